"""What happened in a simulated world as one number: same seed, same digest, or something in it is not determined.

Every delivery, disk operation and event goes into one rolling hash, in order, with its virtual instant. Marks kept
along the way tell at which virtual second two runs part; `keep` keeps the last records themselves for a closer look.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import deque
from dataclasses import dataclass
from struct import Struct

from dfs_sdk.runtime.ports import Buffer

RECORDS_BUFFERED = 1_024
MARK_INTERVAL_SECONDS = 10.0
MARKS_MAX = 100_000
DIGEST_BYTES = 16

_DELIVERY = Struct(">BdIIII")
_EVENT = Struct(">BdI")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """The digest as it was at some virtual instant.

    Attributes:
        at: Virtual seconds.
        records: How much had happened.
        digest: Hexadecimal digits.
    """

    at: float
    records: int
    digest: str


class Trace:
    """A rolling digest.

    Args:
        content: Whether the bytes of datagrams count; otherwise their kinds, sizes, ends and instants do.
        keep: How many of the last records to keep in words.

    Attributes:
        records: How many there were.
        last: The last `keep` of them in words.
        marks: The digest every 10 virtual seconds, at most 100,000 of them.
    """

    __slots__ = ("_buffer", "_content", "_hash", "_next_mark", "last", "marks", "records")

    def __init__(self, *, content: bool = False, keep: int = 0) -> None:
        self.records = 0
        self.last: deque[str] = deque(maxlen=keep)
        self.marks: list[Mark] = []
        self._content = content
        self._hash = hashlib.blake2b(digest_size=DIGEST_BYTES)
        self._buffer: list[bytes] = []
        self._next_mark = MARK_INTERVAL_SECONDS

    def delivery(self, now: float, sender: int, receiver: int, burst: Buffer) -> None:
        """Add datagrams that arrived.

        Args:
            now: The virtual instant.
            sender: Number of the sending host.
            receiver: Number of the receiving host.
            burst: What arrived.
        """
        # The first byte of a datagram tells its kind.
        checksum = zlib.crc32(burst) if self._content else burst[0]
        self._add(now, _DELIVERY.pack(1, now, sender, receiver, len(burst), checksum))
        if self.last.maxlen:
            self.last.append(f"{now:.6f} {sender} > {receiver}: {len(burst)} bytes, {checksum:08x}")

    def event(self, now: float, host: str, text: str) -> None:
        """Add anything else, in words that do not differ between two runs."""
        words = f"{host}\0{text}".encode()
        self._add(now, _EVENT.pack(2, now, len(words)) + words)
        if self.last.maxlen:
            self.last.append(f"{now:.6f} {host}: {text}")

    def digest(self) -> str:
        """Return the digest of everything so far."""
        self._flush()
        return self._hash.hexdigest()

    def _add(self, now: float, record: bytes) -> None:
        if now >= self._next_mark:
            self._mark(now)
        self.records += 1
        self._buffer.append(record)
        if len(self._buffer) >= RECORDS_BUFFERED:
            self._flush()

    def _mark(self, now: float) -> None:
        if len(self.marks) < MARKS_MAX:
            self.marks.append(Mark(at=now, records=self.records, digest=self.digest()))
        self._next_mark = (now // MARK_INTERVAL_SECONDS + 1) * MARK_INTERVAL_SECONDS

    def _flush(self) -> None:
        self._hash.update(b"".join(self._buffer))
        self._buffer.clear()
