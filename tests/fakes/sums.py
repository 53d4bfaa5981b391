"""A call to test calls with: numbers to add up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from dfs_sdk.wire import U32, Request, Size


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    total: U32


@dataclass(frozen=True, slots=True, kw_only=True)
class Add(Request[Sum]):
    tag: ClassVar[int] = 0x7001
    reply: ClassVar[type] = Sum
    numbers: Annotated[tuple[U32, ...], Size(0, 16)]


ADD = Add(numbers=(1, 2, 3))
