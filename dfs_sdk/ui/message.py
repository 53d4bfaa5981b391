"""A message of the browser, read with bounds: a view that is out of date or broken must not break the panel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dfs_sdk.runtime.ports import Buffer

TEXT_LENGTH_MAX = 100_000
REFERENCE_LENGTH_MAX = 64


class Message:
    """One custom message: named fields and binary buffers. Every accessor raises `ValueError` on what does not fit."""

    __slots__ = ("_buffers", "_fields")

    def __init__(self, fields: object, buffers: Sequence[Buffer] | None = None) -> None:
        self._fields: Mapping[str, Any] = fields if isinstance(fields, Mapping) else {}
        self._buffers = buffers or ()

    @property
    def kind(self) -> str:
        """What it asks for; empty if it does not say."""
        return self._short("kind")

    @property
    def reference(self) -> str:
        """What the view calls this request; empty if it expects no answer."""
        return self._short("ref")

    def text(self, name: str, *, length_max: int = TEXT_LENGTH_MAX, default: str | None = None) -> str:
        """A text of at most `length_max` characters.

        Raises:
            ValueError: It is missing and has no default, is no text, or is too long.
        """
        value = self._fields.get(name, default)
        if not isinstance(value, str) or len(value) > length_max:
            raise ValueError(f"{self.kind}: {name} must be a text of at most {length_max:,} characters")
        return value

    def number(self, name: str, *, maximum: int) -> int:
        """A whole number from 0 to `maximum`.

        Raises:
            ValueError: It is missing, no whole number or out of range.
        """
        value = self._fields.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= maximum:
            raise ValueError(f"{self.kind}: {name} must be a whole number from 0 to {maximum:,}")
        return value

    def _short(self, name: str) -> str:
        value = self._fields.get(name)
        return value if isinstance(value, str) and len(value) <= REFERENCE_LENGTH_MAX else ""

    def buffer(self) -> bytes:
        """Its one buffer, copied.

        Raises:
            ValueError: It has none or several.
        """
        if len(self._buffers) != 1:
            raise ValueError(f"{self.kind}: expected one buffer, not {len(self._buffers)}")
        return bytes(self._buffers[0])
