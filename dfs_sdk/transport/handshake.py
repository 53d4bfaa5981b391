"""The handshake: two datagrams that prove who is who and end in two packet keys.

HELLO carries the initiator's certificate, a proof that it is a member of the network, and padding; WELCOME carries
the responder's certificate and the address it saw. Noise does the cryptography; a responder says nothing at all to
whoever lacks its public key, the network id or the network's passphrase.

Source: Noise Protocol Framework revision 34, pattern IKpsk2; WireGuard for indices, MACs and silence.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from dfs_sdk.crypto.hashing import keyed_hash
from dfs_sdk.crypto.identity import Identity, PublicIdentity, verify_certificate
from dfs_sdk.crypto.keys import AgreementKey, SecretObject
from dfs_sdk.crypto.noise import HandshakeState
from dfs_sdk.errors import ProtocolError
from dfs_sdk.ids import Address, NetworkId
from dfs_sdk.runtime.ports import Entropy
from dfs_sdk.transport.cookies import compute_mac1, compute_mac2, equal, mac1_key, open_cookie
from dfs_sdk.transport.packet import (
    HELLO_BYTES,
    HELLO_HEADER,
    INITIAL_WINDOW_BYTES,
    MAC_BYTES,
    NOISE_HELLO_BYTES,
    PROTOCOL_VERSION,
    WELCOME_HEADER,
    Kind,
    pack_address,
    unpack_address,
)

PATTERN = "Noise_IKpsk2_25519_AESGCM_SHA256"
PSK_BYTES = 32
OPEN_PSK = bytes(PSK_BYTES)
INSTANCE_BYTES = 8
PUBLIC_BYTES = 32

# ed, certificate, proof of membership, instance; then zeros
_HELLO_PAYLOAD = Struct(">32s64s32s8s")
# ed, certificate, instance; then family of the initiator's address, window, the rest of that address. The place of the
# window is a byte that an address leaves free: who does not know of it takes the same WELCOME.
_WELCOME_PAYLOAD = Struct(">32s64s8s1sB18s")
# Noise message 1: ephemeral, sealed static key, sealed payload; message 2: ephemeral, sealed payload
_HELLO_PAYLOAD_BYTES = NOISE_HELLO_BYTES - 32 - 48 - 16
NOISE_WELCOME_BYTES = 32 + _WELCOME_PAYLOAD.size + 16
WELCOME_BYTES = WELCOME_HEADER.size + NOISE_WELCOME_BYTES + MAC_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Which network this node belongs to.

    Attributes:
        network_id: Its name.
        psk: 32 bytes derived from its passphrase; zeros for an open network.
    """

    network_id: NetworkId
    psk: bytes = OPEN_PSK

    def __post_init__(self) -> None:
        if len(self.psk) != PSK_BYTES:
            raise ValueError(f"a network key has {PSK_BYTES} bytes, not {len(self.psk)}")

    @property
    def is_private(self) -> bool:
        """Whether a passphrase guards it."""
        return self.psk != OPEN_PSK

    @property
    def prologue(self) -> bytes:
        """What both sides of a handshake must agree on."""
        return b"dfs/transport" + bytes((PROTOCOL_VERSION,)) + self.network_id

    def __repr__(self) -> str:
        return f"Network({self.network_id.short}…, {'private' if self.is_private else 'open'})"


class Agreement(SecretObject):
    """What a finished handshake leaves.

    Attributes:
        peer: Who answered, proven.
        instance: A value that differs after each start of the peer's program.
        send_secret: 32 bytes, seed of our packet keys.
        receive_secret: 32 bytes, seed of the peer's.
        local_index: How the peer addresses this session.
        remote_index: How we address it.
        observed: How the peer sees our address, if it said so.
        initiated: Whether we began.
        window_bytes: What the side that began may send before it is granted more.
        rtt: How long the peer took to answer, in seconds, where no repetition makes that ambiguous.
    """

    __slots__ = (
        "initiated", "instance", "local_index", "observed", "peer", "receive_secret", "remote_index", "rtt",
        "send_secret", "window_bytes",
    )  # fmt: skip

    def __init__(
        self,
        *,
        peer: PublicIdentity,
        instance: bytes,
        send_secret: bytes,
        receive_secret: bytes,
        local_index: int,
        remote_index: int,
        observed: Address | None,
        initiated: bool,
        window_bytes: int,
    ) -> None:
        self.peer = peer
        self.instance = instance
        self.send_secret = send_secret
        self.receive_secret = receive_secret
        self.local_index = local_index
        self.remote_index = remote_index
        self.observed = observed
        self.initiated = initiated
        self.window_bytes = window_bytes
        self.rtt: float | None = None


class Initiation(SecretObject):
    """Our side of a handshake that we began."""

    def __init__(
        self,
        *,
        identity: Identity,
        network: Network,
        peer: PublicIdentity,
        local_index: int,
        instance: bytes,
        entropy: Entropy,
    ) -> None:
        self.peer = peer
        self.local_index = local_index
        self._identity = identity
        self._network = network
        ephemeral = AgreementKey.generate(entropy)
        self._noise = HandshakeState(
            PATTERN,
            initiator=True,
            prologue=network.prologue,
            s=identity.agreement,
            e=ephemeral,
            rs=peer.x,
            psks=(network.psk,),
        )
        proof = _membership_proof(network, ephemeral.public, peer.x)
        payload = _HELLO_PAYLOAD.pack(identity.public.ed, identity.certificate, proof, instance)
        message = self._noise.write_message(payload.ljust(_HELLO_PAYLOAD_BYTES, b"\0"))
        body = HELLO_HEADER.pack(Kind.HELLO, PROTOCOL_VERSION, local_index) + message
        self._mac1 = compute_mac1(mac1_key(peer.x, network.network_id), body)
        self._covered = body + self._mac1
        self._cookie: bytes | None = None
        self._welcome_key = mac1_key(identity.public.x, network.network_id)

    def hello(self) -> bytes:
        """Build the datagram; sending it again is harmless."""
        mac2 = bytes(MAC_BYTES) if self._cookie is None else compute_mac2(self._cookie, self._covered)
        return self._covered + mac2

    def on_cookie(self, datagram: memoryview) -> None:
        """Take a cookie, so that the next HELLO carries mac2.

        Raises:
            ProtocolError: It does not answer our HELLO.
        """
        self._cookie = open_cookie(datagram, public_x=self.peer.x, mac1=self._mac1)

    def on_welcome(self, datagram: memoryview) -> Agreement:
        """Finish the handshake.

        Raises:
            ProtocolError: The datagram does not answer our HELLO, is forged, or comes from another network.
        """
        if len(datagram) != WELCOME_BYTES:
            raise ProtocolError(f"a WELCOME has {WELCOME_BYTES} bytes")
        covered, mac1 = datagram[:-MAC_BYTES], datagram[-MAC_BYTES:]
        if not equal(mac1, compute_mac1(self._welcome_key, covered)):
            raise ProtocolError("a WELCOME for somebody else")
        _, remote_index, _ = WELCOME_HEADER.unpack_from(datagram)
        payload = self._noise.read_message(bytes(covered[WELCOME_HEADER.size :]))
        ed, certificate, instance, family, window, host = _WELCOME_PAYLOAD.unpack(payload)
        if ed != self.peer.ed:
            raise ProtocolError("the peer's signing key is not the one of its contact")
        verify_certificate(self.peer, certificate)
        send_secret, receive_secret = self._noise.split()
        return Agreement(
            peer=self.peer,
            instance=instance,
            send_secret=send_secret,
            receive_secret=receive_secret,
            local_index=self.local_index,
            remote_index=remote_index,
            observed=unpack_address(family + b"\0" + host),
            initiated=True,
            window_bytes=(1 + window) * INITIAL_WINDOW_BYTES,
        )


def answer_hello(
    datagram: memoryview,
    *,
    identity: Identity,
    network: Network,
    local_index: int,
    instance: bytes,
    source: Address,
    window_bytes: int,
    entropy: Entropy,
) -> tuple[bytes, Agreement]:
    """Answer a HELLO whose mac1 was checked.

    Args:
        datagram: All its bytes.
        identity: Our keys.
        network: Ours.
        local_index: An unused receiver index.
        instance: What differs after each start of this program.
        source: Where it came from.
        window_bytes: What its sender may send us before it is granted more, 1 … 256 times `INITIAL_WINDOW_BYTES`.
        entropy: For the ephemeral key.

    Returns:
        The WELCOME, and the agreement that holds once the initiator confirms it with a first packet.

    Raises:
        ProtocolError: It is forged, from another network, by a non-member, or our own.
    """
    _, version, remote_index = HELLO_HEADER.unpack_from(datagram)
    if version != PROTOCOL_VERSION or len(datagram) != HELLO_BYTES:
        raise ProtocolError("a HELLO of another version or length")
    message = bytes(datagram[HELLO_HEADER.size : HELLO_HEADER.size + NOISE_HELLO_BYTES])
    noise = HandshakeState(
        PATTERN,
        initiator=False,
        prologue=network.prologue,
        s=identity.agreement,
        psks=(network.psk,),
        entropy=entropy,
    )
    payload = noise.read_message(message)
    ed, certificate, proof, peer_instance = _HELLO_PAYLOAD.unpack_from(payload)
    if not equal(proof, _membership_proof(network, message[:PUBLIC_BYTES], identity.public.x)):
        raise ProtocolError("a HELLO of somebody who is no member of this network")
    peer = PublicIdentity(ed=ed, x=noise.remote_static or b"")
    if peer.x == identity.public.x:
        raise ProtocolError("our own HELLO came back")
    verify_certificate(peer, certificate)
    window, address = window_bytes // INITIAL_WINDOW_BYTES - 1, pack_address(source)
    answer = _WELCOME_PAYLOAD.pack(identity.public.ed, identity.certificate, instance, address[:1], window, address[2:])
    body = WELCOME_HEADER.pack(Kind.WELCOME, local_index, remote_index) + noise.write_message(answer)
    welcome = body + compute_mac1(mac1_key(peer.x, network.network_id), body)
    receive_secret, send_secret = noise.split()
    return welcome, Agreement(
        peer=peer,
        instance=peer_instance,
        send_secret=send_secret,
        receive_secret=receive_secret,
        local_index=local_index,
        remote_index=remote_index,
        observed=None,
        initiated=False,
        window_bytes=window_bytes,
    )


def hello_is_for(datagram: memoryview, key: bytes) -> bool:
    """Check mac1 of a datagram of `HELLO_BYTES` bytes."""
    covered = datagram[: HELLO_BYTES - 2 * MAC_BYTES]
    return equal(datagram[HELLO_BYTES - 2 * MAC_BYTES : HELLO_BYTES - MAC_BYTES], compute_mac1(key, covered))


def _membership_proof(network: Network, ephemeral: bytes, responder_x: bytes) -> bytes:
    return keyed_hash(network.psk, b"dfs/member/1", ephemeral, responder_x)
