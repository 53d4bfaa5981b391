"""The machine a node runs on: its own addresses, a fingerprint that tells machines apart, and the names it resolves."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import sys
import uuid
from contextlib import suppress
from pathlib import Path

from dfs_sdk.ids import Address

_MACHINE_ID = Path("/etc/machine-id")
# Documentation addresses: connecting a datagram socket there sends nothing, it only asks the routing table.
_ROUTE_PROBES = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
_ROUTE_PORT = 9
FINGERPRINT_BYTES = 16


class SystemMachine:
    """This machine."""

    __slots__ = ()

    async def lookup(self, host: str, port: int) -> list[Address]:
        """Resolve a name that the user gave; numeric hosts come back as they are.

        Raises:
            OSError: The name is unknown or the resolver does not answer.
        """
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        except UnicodeError as error:
            raise OSError(f"{host!r} is not a host name") from error
        addresses = [Address(str(sockaddr[0]), int(sockaddr[1])) for *_, sockaddr in found]
        return list(dict.fromkeys(addresses))

    def addresses(self) -> list[str]:
        """The addresses others on our networks reach this machine at: those it would itself send from."""
        found = []
        for family, target in _ROUTE_PROBES:
            with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((target, _ROUTE_PORT))
                found.append(str(probe.getsockname()[0]))
        return found

    def fingerprint(self) -> bytes:
        """16 bytes that are the same for all nodes of this machine and tell nothing else about it."""
        text = b"dfs/machine/1" + _machine_id() + socket.gethostname().encode()
        return hashlib.sha256(text).digest()[:FINGERPRINT_BYTES]


def _machine_id() -> bytes:
    """What the system calls this installation of it, else the hardware address of a network card."""
    with suppress(OSError):
        return _MACHINE_ID.read_bytes().strip()
    if sys.platform == "win32":
        import winreg

        with suppress(OSError), winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SOFTWARE\Microsoft\Cryptography") as key:
            return str(winreg.QueryValueEx(key, "MachineGuid")[0]).encode()
    return uuid.getnode().to_bytes(8, "big")
