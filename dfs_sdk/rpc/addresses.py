"""Which addresses a node may send to when somebody else named them; pure.

A peer could name an address inside our own network, or a stranger's server that answers small questions with large
replies. An address counts only where the network it belongs to is the one it was learned on.

Source: RFC 6890 (special-purpose addresses); US-CERT TA14-017A (ports of reflectors).
"""

from __future__ import annotations

import ipaddress
from enum import IntEnum
from functools import lru_cache

from dfs_sdk.ids import Address

# Services on UDP that answer strangers, mostly with more bytes than they were asked with.
REFLECTOR_PORTS = frozenset(
    {0, 7, 13, 17, 19, 53, 67, 68, 69, 111, 123, 137, 138, 161, 162, 177, 389, 427, 500, 514, 520, 523, 623, 1194}
    | {1434, 1604, 1645, 1646, 1701, 1812, 1813, 1900, 2049, 3283, 3478, 3702, 4500, 5060, 5093, 5351, 5353, 5355}
    | {5683, 10001, 11211, 17185, 20800, 26000, 27015, 27960, 30718, 33848, 37810, 47808}
)
_SHARED = ipaddress.ip_network("100.64.0.0/10")  # carrier-grade NAT, RFC 6598
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")  # NAT64 may lead to any IPv4 address, RFC 6052


class Scope(IntEnum):
    """How far an address reaches; a larger value reaches further."""

    LOOPBACK = 0
    LINK = 1
    PRIVATE = 2
    GLOBAL = 3


# Parsing takes 10 µs, and a node hears of the same addresses thousands of times.
@lru_cache(maxsize=16_384)
def scope_of(address: Address) -> Scope | None:
    """Say how far an address reaches; None for one that no node can have (multicast, unspecified, reserved …)."""
    try:
        ip = ipaddress.ip_address(address.host)
    except ValueError:
        return None
    if ip.is_multicast or ip.is_unspecified or not 1 <= address.port < 2**16:
        return None
    if isinstance(ip, ipaddress.IPv6Address) and (ip.ipv4_mapped or ip.sixtofour or ip.teredo or ip in _TRANSLATED):
        return None  # an IPv4 address in disguise; Python 3.13 takes a disguised loopback for loopback
    if ip.is_loopback:
        return Scope.LOOPBACK
    if ip.is_link_local:
        return Scope.LINK
    if isinstance(ip, ipaddress.IPv6Address):
        return Scope.PRIVATE if ip.is_private else Scope.GLOBAL if ip.is_global else None
    if ip.is_reserved or ip.packed[0] == 0:
        return None  # broadcast and future use; "this network"
    return Scope.PRIVATE if ip.is_private or ip in _SHARED else Scope.GLOBAL


def may_dial(address: Address, *, source: Address | None) -> bool:
    """Decide whether to believe and use an address.

    Args:
        address: The address in question.
        source: Where the one who named it is reached; None when it was our own user or our own disk.
    """
    scope = scope_of(address)
    if scope is None or address.port in REFLECTOR_PORTS:
        return False
    if source is None:
        return True
    seen = scope_of(source)
    if seen is None:
        return False
    # Link-local names one cable: never the machine's own services or a cloud's metadata address from afar.
    return scope is seen if scope is Scope.LINK else scope >= seen


@lru_cache(maxsize=16_384)
def prefix_of(address: Address) -> bytes | None:
    """Name the network an address belongs to for diversity limits: /24, IPv6 /48; None where no limit applies.

    Loopback, link-local and private networks are one household, however many nodes it has.
    """
    if scope_of(address) is not Scope.GLOBAL:
        return None
    packed = ipaddress.ip_address(address.host).packed
    return packed[:3] if len(packed) == 4 else packed[:6]
