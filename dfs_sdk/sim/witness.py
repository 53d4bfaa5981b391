"""Watches the wire and the disks of a world for what must never be there.

No two packets under one number of a session; no plain content on the wire, on any
disk or in the log; and handshakes never answered with more than three times what was asked.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from dfs_sdk.sim.ledger import Ledger
from dfs_sdk.sim.world import World
from dfs_sdk.transport.packet import DATA_HEADER, Kind

CANARY = b"plain text that nobody but a reader of the link may ever see"
AMPLIFICATION_MAX = 3.0
_ASKING = frozenset({Kind.HELLO, Kind.IDENTIFY})
_ANSWERING = frozenset({Kind.WELCOME, Kind.COOKIE, Kind.IDENTIFIED})


class Witness(logging.Handler):
    """Looks at every datagram that is sent and every line that is logged.

    Args:
        world: What it watches.
        ledger: Where breaches go.
    """

    def __init__(self, world: World, ledger: Ledger) -> None:
        super().__init__(level=logging.DEBUG)
        self._world = world
        self._ledger = ledger
        self._sealed: dict[tuple[str, int, int], dict[int, bytes]] = {}
        self._asked: dict[tuple[str, str], int] = {}
        self._answered: dict[tuple[str, str], int] = {}
        self._logger = logging.getLogger("dfs_sdk")
        self._level = self._logger.level
        world.network.on_wire.append(self._see)
        if world.fidelity.datagrams:
            # A question counts where it arrives: one that the network doubles is answered twice.
            world.network.on_arrival.append(self._hear)

    def __enter__(self) -> Self:
        self._logger.addHandler(self)
        self._logger.setLevel(logging.DEBUG)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._logger.removeHandler(self)
        self._logger.setLevel(self._level)

    def emit(self, record: logging.LogRecord) -> None:
        """Look at one line of the log."""
        words = record.getMessage()
        if CANARY.decode() in words or any(file.link in words for file in self._ledger.files):
            self._ledger.breach(f"the log of {record.name} names a secret")

    def search_disks(self) -> None:
        """Look for plain content in every file of every disk."""
        for host in self._world.hosts.values():
            for path, content in host.disk.all_files().items():
                if CANARY in content:
                    self._ledger.breach(f"{path} of {host.name} holds plain content")

    def search_links(self, texts: Iterable[str]) -> None:
        """Look for links in texts that others may see, such as reprs."""
        for text in texts:
            if any(file.link in text for file in self._ledger.files):
                self._ledger.breach("a repr shows a link")

    def _see(self, sender: str, receiver: str, datagram: memoryview) -> None:
        kind = datagram[0]
        if kind & ~1 == Kind.DATA:
            self._count(sender, datagram)
        elif kind in _ANSWERING and receiver:
            told = self._answered.get((receiver, sender), 0) + len(datagram)
            self._answered[receiver, sender] = told
            if told > AMPLIFICATION_MAX * self._asked.get((receiver, sender), 0):
                self._ledger.breach(f"{sender} answered {receiver} with {told} bytes, over three times what was asked")
        if CANARY in bytes(datagram):
            self._ledger.breach(f"{sender} sent plain content to {receiver}")

    def _hear(self, sender: str, receiver: str, datagram: memoryview) -> None:
        if datagram[0] in _ASKING:
            self._asked[sender, receiver] = self._asked.get((sender, receiver), 0) + len(datagram)

    def _count(self, sender: str, datagram: memoryview) -> None:
        kind, index, number = DATA_HEADER.unpack_from(datagram)
        sealed = self._sealed.setdefault((sender, index, kind), {})
        # A farewell is sent again as it is; anything else under a number already used breaks the cipher.
        digest = hashlib.blake2b(datagram, digest_size=16).digest()
        if sealed.setdefault(number, digest) != digest:
            self._ledger.breach(f"{sender} sealed two packets under number {number} of session {index:08x}")
