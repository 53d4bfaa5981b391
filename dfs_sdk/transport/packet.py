"""The fixed layouts of datagrams: what a stranger's bytes are cut into before anything is believed.

The first byte of a datagram says its kind. HELLO, WELCOME, COOKIE and the two IDENTIFY kinds belong to handshakes;
DATA carries sealed frames, ASIDE what is said beside them, both under the same header. All integers are big-endian.
Nothing here computes: MACs, seals and keys are checked by `handshake`, `cookies`, `keys` and `asides`.

Source: the message layouts of WireGuard (Donenfeld, 2017, section 5.4), with the numbers of this protocol.
"""

from __future__ import annotations

import ipaddress
from enum import IntEnum
from functools import lru_cache
from struct import Struct

from dfs_sdk.errors import ProtocolError
from dfs_sdk.ids import Address
from dfs_sdk.runtime.ports import Buffer
from dfs_sdk.transport.config import KIB

PROTOCOL_VERSION = 1

MAC_BYTES = 16
TAG_BYTES = 16


class Kind(IntEnum):
    """First byte of a datagram. DATA's lowest bit is the key phase."""

    HELLO = 0x01
    WELCOME = 0x02
    COOKIE = 0x03
    IDENTIFY = 0x04
    IDENTIFIED = 0x05
    DATA = 0x10
    DATA_ODD = 0x11
    ASIDE = 0x12


HELLO_BYTES = 1200
COOKIE_BYTES = 64
IDENTIFY_BYTES = 512

# kind, version, 2 reserved bytes, sender's index; then the Noise message, mac1, mac2
HELLO_HEADER = Struct(">BBxxI")
# kind, 3 reserved bytes, sender's index, receiver's index; then the Noise message, mac1
WELCOME_HEADER = Struct(">BxxxII")
# kind, 3 reserved bytes, receiver's index, nonce, sealed cookie
COOKIE_LAYOUT = Struct(">BxxxI24s32s")
# kind, version, 2 reserved bytes, token; then zeros
IDENTIFY_HEADER = Struct(">BBxx16s")
# kind, version, private flag, reserved, token, ed, x, network id, where the question came from
IDENTIFIED_LAYOUT = Struct(">BBBx16s32s32s32s20s64s")
# kind and phase, receiver's index, counter
DATA_HEADER = Struct(">BIQ")
DATA_PREFIX = Struct(">BI")

NOISE_HELLO_BYTES = HELLO_BYTES - HELLO_HEADER.size - 2 * MAC_BYTES
DATA_OVERHEAD = DATA_HEADER.size + TAG_BYTES
DATA_BYTES_MIN = DATA_OVERHEAD + 1
# What every path carries: as long as a HELLO.
ASIDE_BYTES_MAX = HELLO_BYTES

# What each side of a session may send before it was granted more, and the unit in which WELCOME grants that.
INITIAL_WINDOW_BYTES = 64 * KIB

# family (4 or 6), port, IP (an IPv4 one in the first four bytes); 1 reserved byte
_ADDRESS = Struct(">BxH16s")
ADDRESS_BYTES = _ADDRESS.size


def leading_run(datagrams: memoryview, size: int) -> tuple[bytes, int, int]:
    """Say how many of equal DATA packets belong together: one first part of the header, and consecutive numbers.

    Args:
        datagrams: Packets end to end, at least one.
        size: The length of each, at least `DATA_OVERHEAD`.

    Returns:
        (the header's first part, number of the first packet, how many packets).
    """
    prefix, counter = bytes(datagrams[: DATA_PREFIX.size]), DATA_HEADER.unpack_from(datagrams)[2]
    count = len(datagrams) // size
    if count == 1:
        return prefix, counter, 1
    fields = _run_layout(size, count).unpack(datagrams)
    prefixes, counters = fields[::2], fields[1::2]
    if prefixes.count(prefix) < count or counters != tuple(range(counter, counter + count)):
        pairs = zip(prefixes, counters, strict=True)
        count = next(index for index, pair in enumerate(pairs) if pair != (prefix, counter + index))
    return prefix, counter, count


@lru_cache(maxsize=256)
def _run_layout(size: int, count: int) -> Struct:
    """All headers of a run: what repeats in them, and the numbers."""
    return Struct(">" + f"{DATA_PREFIX.size}sQ{size - DATA_HEADER.size}x" * count)


def data_prefix(phase: int, index: int) -> bytes:
    """Build the first five bytes of a DATA packet."""
    return DATA_PREFIX.pack(Kind.DATA | phase, index)


def pack_address(address: Address) -> bytes:
    """Encode an address in 20 bytes; the host must be an IP address in text form.

    Raises:
        ValueError: The host is not an IP address.
    """
    host = ipaddress.ip_address(address.host.partition("%")[0])
    if isinstance(host, ipaddress.IPv6Address) and host.ipv4_mapped is not None:
        host = host.ipv4_mapped
    return _ADDRESS.pack(host.version, address.port, host.packed.ljust(16, b"\0"))


def unpack_address(data: Buffer) -> Address:
    """Decode what `pack_address` made.

    Raises:
        ProtocolError: Not exactly that.
    """
    if len(data) != ADDRESS_BYTES:
        raise ProtocolError(f"an address has {ADDRESS_BYTES} bytes, not {len(data)}")
    family, port, packed = _ADDRESS.unpack(data)
    if family == 4 and not any(packed[4:]):
        return Address(str(ipaddress.IPv4Address(packed[:4])), port)
    if family == 6:
        return Address(str(ipaddress.IPv6Address(packed)), port)
    raise ProtocolError("an address is neither of IPv4 nor of IPv6")


def source_prefix(address: Address, *, ipv4_bytes: int = 3, ipv6_bytes: int = 7) -> bytes:
    """Name the network an address lies in, a /24 or IPv6 /56 unless told otherwise; other hosts are their own."""
    try:
        packed = ipaddress.ip_address(address.host.partition("%")[0]).packed
    except ValueError:
        return address.host.encode()
    return packed[:ipv4_bytes] if len(packed) == 4 else packed[:ipv6_bytes]


def is_loopback(address: Address) -> bool:
    """Say whether an address is of this machine itself."""
    try:
        return ipaddress.ip_address(address.host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def is_private(address: Address) -> bool:
    """Say whether an address is of this machine or of a private network."""
    try:
        return ipaddress.ip_address(address.host.partition("%")[0]).is_private
    except ValueError:
        return False
