"""IDENTIFY: asking a bare address who is there, before its keys are known.

Unauthenticated and padded: the answer is never larger than the question, and the answer's certificate only proves
that its two keys belong together. Whoever connects to what it names trusts on first use.
"""

from __future__ import annotations

from dataclasses import dataclass

from dfs_sdk.crypto.identity import Identity, PublicIdentity, verify_certificate
from dfs_sdk.errors import ProtocolError
from dfs_sdk.ids import Address, NetworkId
from dfs_sdk.transport.contact import Contact
from dfs_sdk.transport.handshake import Network
from dfs_sdk.transport.packet import (
    IDENTIFIED_LAYOUT,
    IDENTIFY_BYTES,
    IDENTIFY_HEADER,
    PROTOCOL_VERSION,
    Kind,
    pack_address,
    unpack_address,
)

TOKEN_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified:
    """Who answered at an address, by its own word.

    Attributes:
        contact: Its keys and the address asked.
        network_id: The network it says it belongs to.
        private: Whether a passphrase is needed there.
        observed: From where our question came, seen from there.
    """

    contact: Contact
    network_id: NetworkId
    private: bool
    observed: Address


def build_question(token: bytes) -> bytes:
    """Build the IDENTIFY datagram with a 16-byte token of ours."""
    return IDENTIFY_HEADER.pack(Kind.IDENTIFY, PROTOCOL_VERSION, token).ljust(IDENTIFY_BYTES, b"\0")


def build_answer(question: memoryview, *, identity: Identity, network: Network, source: Address) -> bytes:
    """Build the IDENTIFIED datagram.

    Raises:
        ProtocolError: The question has another version or is too short to be answered.
    """
    if len(question) != IDENTIFY_BYTES:
        raise ProtocolError(f"an IDENTIFY has {IDENTIFY_BYTES} bytes")
    _, version, token = IDENTIFY_HEADER.unpack_from(question)
    if version != PROTOCOL_VERSION:
        raise ProtocolError(f"protocol version {version} is unknown")
    return IDENTIFIED_LAYOUT.pack(
        Kind.IDENTIFIED,
        PROTOCOL_VERSION,
        network.is_private,
        token,
        identity.public.ed,
        identity.public.x,
        network.network_id,
        pack_address(source),
        identity.certificate,
    )


def token_of(answer: memoryview) -> bytes:
    """Return the token an answer repeats.

    Raises:
        ProtocolError: It is no answer.
    """
    if len(answer) != IDENTIFIED_LAYOUT.size:
        raise ProtocolError("an IDENTIFIED of another length")
    token: bytes = IDENTIFIED_LAYOUT.unpack(answer)[3]
    return token


def read_answer(answer: memoryview, address: Address) -> Identified:
    """Read an IDENTIFIED datagram that came from `address`.

    Raises:
        ProtocolError: Wrong version or length, unusable keys, or a certificate that does not match.
    """
    if len(answer) != IDENTIFIED_LAYOUT.size:
        raise ProtocolError("an IDENTIFIED of another length")
    _, version, private, _, ed, x, network_id, observed, certificate = IDENTIFIED_LAYOUT.unpack(answer)
    if version != PROTOCOL_VERSION or private not in (0, 1):
        raise ProtocolError("an IDENTIFIED of another version")
    verify_certificate(PublicIdentity(ed=ed, x=x), certificate)
    return Identified(
        contact=Contact(ed=ed, x=x, addresses=(address,)),
        network_id=NetworkId(network_id),
        private=bool(private),
        observed=unpack_address(observed),
    )
