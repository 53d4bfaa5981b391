"""Messages of the calls themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from dfs_sdk.wire.codec import U16, Size

REFUSAL_TEXT_BYTES_MAX = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalMessage:
    """The answer of a peer that does not do what it was asked.

    Attributes:
        code: A `RefusalCode`, or a later version's code that we do not know.
        text: One sentence for a person.
    """

    code: U16
    text: Annotated[str, Size(0, REFUSAL_TEXT_BYTES_MAX)]
