"""Invites: what a member hands to a newcomer, `dfs-join:…`. Pure.

An invite carries the network's id, whether it is private, and one member's keys and addresses. It holds no secret: the
passphrase of a private network travels by another way. Layout: docs/protocol/joining.md, rules P-JOIN-1 to P-JOIN-3.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from dataclasses import dataclass

from dfs_sdk.crypto.hashing import blake3_256
from dfs_sdk.errors import LinkError, ProtocolError
from dfs_sdk.ids import Address, NetworkId
from dfs_sdk.transport.contact import Contact

PREFIX = "dfs-join:"
VERSION = 1
ADDRESSES_MAX = 8
TEXT_LENGTH_MAX = 1024
_CHECKSUM_BYTES = 4
_FIXED_BYTES = 1 + 1 + 32 + 32 + 32 + 1
_PRIVATE = 0x01


@dataclass(frozen=True, slots=True, kw_only=True)
class Invite:
    """An invite to one network through one member.

    Attributes:
        network_id: The network.
        private: Whether it asks for a passphrase.
        contact: The member to begin with.
    """

    network_id: NetworkId
    private: bool
    contact: Contact

    def __str__(self) -> str:
        addresses = self.contact.addresses[:ADDRESSES_MAX]
        body = bytes([VERSION, _PRIVATE if self.private else 0])
        body += self.network_id + self.contact.ed + self.contact.x + bytes([len(addresses)])
        body += b"".join(_pack_address(address) for address in addresses)
        text = base64.urlsafe_b64encode(body + _checksum(body)).decode().rstrip("=")
        return PREFIX + text

    @classmethod
    def parse(cls, text: str) -> Invite:
        """Read an invite.

        Raises:
            LinkError: It is incomplete, mistyped or of a later version.
        """
        body = _decode(text.strip())
        if body[0] != VERSION:
            raise LinkError(f"this invite is of version {body[0]}: update dfs_sdk to use it")
        addresses, rest = _unpack_addresses(body[_FIXED_BYTES:], body[_FIXED_BYTES - 1])
        if rest:
            raise LinkError("this invite has bytes too many: copy it again in full")
        try:
            contact = Contact(ed=body[34:66], x=body[66:98], addresses=addresses)
        except ProtocolError as error:
            raise LinkError(f"this invite names an unusable key: {error}") from error
        return cls(network_id=NetworkId(body[2:34]), private=bool(body[1] & _PRIVATE), contact=contact)


def _decode(text: str) -> bytes:
    if not text.startswith(PREFIX):
        raise LinkError(f"an invite starts with {PREFIX!r}: copy it again in full")
    if len(text) > TEXT_LENGTH_MAX:
        raise LinkError("this is too long for an invite: copy it again, and nothing else")
    coded = text.removeprefix(PREFIX)
    try:
        data = base64.b64decode(coded + "=" * (-len(coded) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise LinkError("this invite holds characters that no invite has: copy it again in full") from error
    body, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if len(body) < _FIXED_BYTES or checksum != _checksum(body):
        raise LinkError("this invite is incomplete or mistyped: copy it again in full")
    return body


def _checksum(body: bytes) -> bytes:
    return blake3_256(b"dfs/invite/1", body)[:_CHECKSUM_BYTES]


def _pack_address(address: Address) -> bytes:
    packed = ipaddress.ip_address(address.host).packed
    return bytes([len(packed)]) + packed + address.port.to_bytes(2, "big")


def _unpack_addresses(data: bytes, count: int) -> tuple[tuple[Address, ...], bytes]:
    if count > ADDRESSES_MAX:
        raise LinkError("this invite names too many addresses")
    addresses = []
    for _ in range(count):
        size = data[0] if data else 0
        if size not in (4, 16) or len(data) < size + 3:
            raise LinkError("this invite holds a broken address: copy it again in full")
        port = int.from_bytes(data[size + 1 : size + 3], "big")
        addresses.append(Address(str(ipaddress.ip_address(data[1 : size + 1])), port))
        data = data[size + 3 :]
    return tuple(addresses), data
