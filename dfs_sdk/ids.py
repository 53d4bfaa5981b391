"""Names of things: nodes, chunks, networks and addresses, as 32-byte values that print short.

Nothing here computes a hash: an id is made by the floor that owns the rule (`crypto.identity`, `files.seal`).
"""

from __future__ import annotations

from typing import NamedTuple, Self

ID_BYTES = 32


class Id(bytes):
    """A 32-byte name; `str()` gives its hex, `repr()` and `short` its first 8 digits."""

    __slots__ = ()

    def __new__(cls, value: bytes | bytearray | memoryview) -> Self:
        """Copy `value`, which must be exactly 32 bytes long."""
        self = super().__new__(cls, value)
        if len(self) != ID_BYTES:
            raise ValueError(f"{cls.__name__} takes {ID_BYTES} bytes, not {len(self)}")
        return self

    @classmethod
    def from_hex(cls, text: str) -> Self:
        """Parse 64 hexadecimal digits."""
        return cls(bytes.fromhex(text))

    @property
    def short(self) -> str:
        """The first 8 hexadecimal digits: enough to tell nodes of one network apart on a screen."""
        return self[:4].hex()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.short}…)"

    def __str__(self) -> str:
        return self.hex()


class NodeId(Id):
    """Names a node: a hash over both of its public keys."""

    __slots__ = ()


class ChunkId(Id):
    """Names a chunk: the BLAKE3 hash of its sealed bytes."""

    __slots__ = ()


class NetworkId(Id):
    """Names a network: random, drawn at its birth."""

    __slots__ = ()


class Address(NamedTuple):
    """Where datagrams go: an IP address in text form and a UDP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
