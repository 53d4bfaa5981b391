"""Routers that translate addresses, of the four classic kinds; pure.

A mapping is made by what goes out and lives for a while after the last datagram that did; what may come back in depends
on the kind. Both tables are bounded, as in real routers: where one is full, what was used longest ago ends. A port that
somebody set the router to forward is let in from anywhere, and for good. Source: RFC 3489 section 5 for the kinds, RFC
4787 REQ-5 and REQ-6 for time-outs and their refresh.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum

from dfs_sdk.errors import ConfigError
from dfs_sdk.ids import Address

MAPPINGS_MAX = 4_096
MET_MAX = 4_096
"""Addresses outside that one mapping remembers having sent to."""
FIRST_PORT = 20_000
LAST_PORT = 65_535


class NatKind(Enum):
    """Whom a router lets in."""

    FULL_CONE = "full cone"
    ADDRESS_RESTRICTED = "address-restricted"
    PORT_RESTRICTED = "port-restricted"
    SYMMETRIC = "symmetric"


@dataclass(slots=True)
class _Mapping:
    inner: Address
    port: int
    used_at: float
    met: OrderedDict[Address, float] = field(default_factory=OrderedDict)

    def note(self, destination: Address, now: float) -> None:
        """Remember having sent somewhere."""
        self.used_at = self.met[destination] = now
        self.met.move_to_end(destination)
        if len(self.met) > MET_MAX:
            self.met.popitem(last=False)


class Nat:
    """One router with one public address; hosts behind it share it.

    Args:
        host: Its public address.
        kind: Whom it lets in.
        timeout: Seconds after the last outgoing datagram at which a mapping ends, above 0.
        hairpin: Whether hosts behind it reach each other through the public address.
    """

    def __init__(
        self, host: str, kind: NatKind = NatKind.PORT_RESTRICTED, *, timeout: float = 120.0, hairpin: bool = False
    ) -> None:
        if timeout <= 0:
            raise ConfigError(f"timeout is {timeout}: give seconds above 0")
        self.host = host
        self.kind = kind
        self.hairpin = hairpin
        self._timeout = timeout
        self._by_inner: OrderedDict[tuple[Address, Address | None], _Mapping] = OrderedDict()  # least used first
        self._by_port: dict[int, _Mapping] = {}
        self._next_port = FIRST_PORT
        self._forwarded: dict[int, Address] = {}

    def __repr__(self) -> str:
        return f"<Nat {self.kind.value} at {self.host}, {len(self._by_port)} mappings>"

    def forward(self, inner: Address) -> None:
        """Let whatever comes to the port of this number in, to a host behind the router, also after a reboot.

        Raises:
            ConfigError: The port is forwarded already, or one that mappings are given.
        """
        if inner.port in self._forwarded or inner.port >= FIRST_PORT:
            raise ConfigError(f"port {inner.port} of {self!r} cannot be forwarded: give a free one below {FIRST_PORT}")
        self._forwarded[inner.port] = inner

    def outgoing(self, inner: Address, destination: Address, now: float) -> Address:
        """Translate the source of a datagram that goes out; where there are too many mappings, the idlest ends."""
        if self._forwarded.get(inner.port) == inner:
            return Address(self.host, inner.port)
        key = (inner, destination if self.kind is NatKind.SYMMETRIC else None)
        mapping = self._by_inner.get(key)
        if mapping is not None and now - mapping.used_at > self._timeout:
            self._drop(key)
            mapping = None
        if mapping is None:
            mapping = self._map(key, now)
        mapping.note(destination, now)
        self._by_inner.move_to_end(key)
        return Address(self.host, mapping.port)

    def incoming(self, port: int, source: Address, now: float) -> Address | None:
        """Find whom a datagram to a public port is for; None when it is not let in."""
        if port in self._forwarded:
            return self._forwarded[port]
        mapping = self._by_port.get(port)
        if mapping is None or now - mapping.used_at > self._timeout:
            return None
        return mapping.inner if self._lets_in(mapping, source, now) else None

    def reboot(self) -> None:
        """Forget all mappings but what is forwarded; the next ones get other ports."""
        self._by_inner.clear()
        self._by_port.clear()

    def _lets_in(self, mapping: _Mapping, source: Address, now: float) -> bool:
        if self.kind is NatKind.FULL_CONE:
            return True
        if self.kind is NatKind.ADDRESS_RESTRICTED:
            return any(met.host == source.host and now - at <= self._timeout for met, at in mapping.met.items())
        return now - mapping.met.get(source, float("-inf")) <= self._timeout

    def _map(self, key: tuple[Address, Address | None], now: float) -> _Mapping:
        if len(self._by_inner) >= MAPPINGS_MAX:
            self._drop(next(iter(self._by_inner)))
        while self._next_port in self._by_port:
            self._advance()
        mapping = _Mapping(inner=key[0], port=self._next_port, used_at=now)
        self._advance()
        self._by_inner[key] = self._by_port[mapping.port] = mapping
        return mapping

    def _advance(self) -> None:
        self._next_port = self._next_port + 1 if self._next_port < LAST_PORT else FIRST_PORT

    def _drop(self, key: tuple[Address, Address | None]) -> None:
        del self._by_port[self._by_inner.pop(key).port]
