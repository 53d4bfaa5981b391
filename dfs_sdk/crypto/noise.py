"""Noise handshakes: two static keys become two session keys, in as many messages as the pattern has.

Sans-IO: bytes in, bytes out. The state is generic over patterns, ciphers and hashes, so that all published vectors
run through the very code that our one protocol runs through. What comes after the handshake is `crypto.aead`.

A message that does not verify leaves the state unusable: whoever reads messages of unknown origin reads each with a
fresh state.

Source: Noise Protocol Framework revision 34, section 5 (processing rules), 12 (primitives).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from struct import Struct
from typing import TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from dfs_sdk.crypto.keys import PUBLIC_KEY_BYTES, AgreementKey, SecretObject
from dfs_sdk.crypto.noise_patterns import CipherName, HashName, NoiseProtocol, Token, parse_protocol
from dfs_sdk.errors import ProtocolError
from dfs_sdk.runtime.ports import Buffer, Entropy

T = TypeVar("T")

MESSAGE_BYTES_MAX = 65_535
PSK_BYTES = 32
TAG_BYTES = 16
_NONCE_MAX = 2**64 - 2  # 2⁶⁴-1 is reserved for rekeying (section 5.1)

_CIPHERS: dict[CipherName, tuple[type[AESGCM] | type[ChaCha20Poly1305], Callable[[int], bytes]]] = {
    CipherName.AESGCM: (AESGCM, Struct(">4xQ").pack),
    CipherName.CHACHAPOLY: (ChaCha20Poly1305, Struct("<4xQ").pack),
}
_HASHES = {
    HashName.SHA256: "sha256",
    HashName.SHA512: "sha512",
    HashName.BLAKE2S: "blake2s",
    HashName.BLAKE2B: "blake2b",
}


class CipherState(SecretObject):
    """An AEAD key and the nonce that counts its uses (section 5.1); without a key it passes bytes through."""

    __slots__ = ("_aead", "_nonce", "_pack_nonce", "_type")

    def __init__(self, cipher: CipherName) -> None:
        self._type, self._pack_nonce = _CIPHERS[cipher]
        self._aead: AESGCM | ChaCha20Poly1305 | None = None
        self._nonce = 0

    @property
    def has_key(self) -> bool:
        """Whether what it encrypts is hidden."""
        return self._aead is not None

    def initialize_key(self, key: bytes) -> None:
        """Start to use `key`, 32 bytes, from nonce 0."""
        self._aead, self._nonce = self._type(key), 0

    def encrypt(self, associated: bytes, plaintext: Buffer) -> bytes:
        """Seal under the next nonce."""
        if self._aead is None:
            return bytes(plaintext)
        return self._aead.encrypt(self._next_nonce(), plaintext, associated)

    def decrypt(self, associated: bytes, sealed: Buffer) -> bytes:
        """Open under the next nonce.

        Raises:
            ProtocolError: The bytes are not authentic.
        """
        if self._aead is None:
            return bytes(sealed)
        try:
            return self._aead.decrypt(self._next_nonce(), sealed, associated)
        except InvalidTag:
            raise ProtocolError("the handshake message is not authentic") from None

    def _next_nonce(self) -> bytes:
        if self._nonce > _NONCE_MAX:
            raise ProtocolError("the key's nonces are used up")
        self._nonce += 1
        return self._pack_nonce(self._nonce - 1)


class _SymmetricState(SecretObject):
    """The chaining key and the transcript hash (section 5.2)."""

    __slots__ = ("_chaining_key", "_hash", "cipher", "transcript")

    def __init__(self, protocol: NoiseProtocol) -> None:
        self._hash = _HASHES[protocol.hash]
        hash_bytes = hashlib.new(self._hash).digest_size
        self.cipher = CipherState(protocol.cipher)
        name = protocol.name.encode("ascii")
        fits = len(name) <= hash_bytes
        self.transcript = name.ljust(hash_bytes, b"\0") if fits else self._digest(name)
        self._chaining_key = self.transcript

    def mix_key(self, material: bytes) -> None:
        self._chaining_key, key = self._derive(material, 2)
        self.cipher.initialize_key(key[:32])

    def mix_hash(self, data: Buffer) -> None:
        self.transcript = self._digest(self.transcript + data)

    def mix_key_and_hash(self, material: bytes) -> None:
        self._chaining_key, to_hash, key = self._derive(material, 3)
        self.mix_hash(to_hash)
        self.cipher.initialize_key(key[:32])

    def encrypt_and_hash(self, plaintext: Buffer) -> bytes:
        sealed = self.cipher.encrypt(self.transcript, plaintext)
        self.mix_hash(sealed)
        return sealed

    def decrypt_and_hash(self, sealed: bytes) -> bytes:
        plaintext = self.cipher.decrypt(self.transcript, sealed)
        self.mix_hash(sealed)
        return plaintext

    def split(self) -> tuple[bytes, bytes]:
        first, second = self._derive(b"", 2)
        return first[:32], second[:32]

    def _digest(self, data: bytes) -> bytes:
        return hashlib.new(self._hash, data).digest()

    def _derive(self, material: bytes, count: int) -> list[bytes]:
        secret = hmac.digest(self._chaining_key, material, self._hash)
        outputs, block = [], b""
        for number in range(1, count + 1):
            block = hmac.digest(secret, block + bytes((number,)), self._hash)
            outputs.append(block)
        return outputs


class HandshakeState(SecretObject):
    """One side of one handshake (section 5.3)."""

    __slots__ = (
        "_e",
        "_entropy",
        "_failed",
        "_initiator",
        "_position",
        "_protocol",
        "_psks",
        "_re",
        "_rs",
        "_s",
        "_symmetric",
    )

    def __init__(
        self,
        pattern: str,
        *,
        initiator: bool,
        prologue: bytes,
        s: AgreementKey | None = None,
        e: AgreementKey | None = None,
        rs: bytes | None = None,
        re: bytes | None = None,
        psks: Sequence[bytes] = (),
        entropy: Entropy | None = None,
    ) -> None:
        """Start a handshake.

        Args:
            pattern: The full protocol name, such as ``Noise_IKpsk2_25519_AESGCM_SHA256``.
            initiator: Whether this side sends the first message.
            prologue: What both sides must agree on already; it is authenticated, not sent.
            s: Our static key, where the pattern uses one.
            e: Our ephemeral key, if it has to be a given one; it must serve in no other handshake.
            rs: The peer's static public key, where the pattern has it known beforehand.
            re: The peer's ephemeral public key, in the rare case that it is known beforehand.
            psks: The pre-shared keys in the order the pattern mixes them in, 32 bytes each.
            entropy: Where our ephemeral key is drawn from when `e` is not given.

        Raises:
            ValueError: An unknown pattern, or a key it needs is missing or superfluous.
        """
        self._protocol = protocol = parse_protocol(pattern)
        _check_keys(protocol, initiator=initiator, s=s, rs=rs, psks=psks)
        self._initiator, self._entropy, self._psks = initiator, entropy, list(psks)
        self._s, self._e, self._rs, self._re = s, e, rs, re
        self._position, self._failed = 0, False
        self._symmetric = _SymmetricState(protocol)
        self._symmetric.mix_hash(prologue)
        own, remote = s.public if s else b"", rs or b""
        if protocol.initiator_known:
            self._symmetric.mix_hash(own if initiator else remote)
        if protocol.responder_known:
            self._symmetric.mix_hash(remote if initiator else own)

    @property
    def finished(self) -> bool:
        """Whether all messages of the pattern were exchanged."""
        return self._position == len(self._protocol.messages)

    @property
    def handshake_hash(self) -> bytes:
        """The hash over everything exchanged: equal on both sides, different in every handshake."""
        return self._symmetric.transcript

    @property
    def remote_static(self) -> bytes | None:
        """The peer's static public key, as far as known."""
        return self._rs

    def write_message(self, payload: Buffer = b"") -> bytes:
        """Make our next message; how well `payload` is protected depends on the pattern and the position.

        Raises:
            RuntimeError: It is not our turn, or an earlier message failed.
            ValueError: The message would be over 65,535 bytes, or no ephemeral key can be drawn.
            ProtocolError: A key of the peer is of small order.
        """
        if not self._may_act(writing=True):
            raise RuntimeError("this side of the handshake has nothing to write")
        self._failed = True  # until proven otherwise: an exception below must not leave a state that goes on
        message = bytearray()
        for token in self._protocol.messages[self._position]:
            self._write_token(token, message)
        message += self._symmetric.encrypt_and_hash(payload)
        if len(message) > MESSAGE_BYTES_MAX:
            raise ValueError(f"a handshake message of {len(message)} bytes is over {MESSAGE_BYTES_MAX}")
        self._position, self._failed = self._position + 1, False
        return bytes(message)

    def read_message(self, message: Buffer) -> bytes:
        """Verify the peer's next message and return its payload.

        Raises:
            ProtocolError: The message is malformed, not authentic or out of turn; this handshake is over.
        """
        if not self._may_act(writing=False) or len(message) > MESSAGE_BYTES_MAX:
            raise ProtocolError("an unexpected or oversized handshake message")
        self._failed = True
        rest = bytes(message)
        for token in self._protocol.messages[self._position]:
            rest = self._read_token(token, rest)
        payload = self._symmetric.decrypt_and_hash(rest)
        self._position, self._failed = self._position + 1, False
        return payload

    def split(self) -> tuple[bytes, bytes]:
        """Return the session keys: what the initiator seals with, what the responder seals with.

        Raises:
            RuntimeError: The handshake is not finished.
        """
        if not self.finished:
            raise RuntimeError("the handshake is not finished")
        return self._symmetric.split()

    def __repr__(self) -> str:
        side = "initiator" if self._initiator else "responder"
        return f"HandshakeState({self._protocol.name}, {side}, message {self._position})"

    def _may_act(self, *, writing: bool) -> bool:
        our_turn = (self._position % 2 == 0) == self._initiator
        return not self._failed and not self.finished and our_turn == writing

    def _write_token(self, token: Token, message: bytearray) -> None:
        match token:
            case Token.EPHEMERAL:
                public = self._own_ephemeral().public
                message += public
                self._mix_ephemeral(public)
            case Token.STATIC:
                message += self._symmetric.encrypt_and_hash(_present(self._s).public)
            case _:
                self._mix_token(token)

    def _read_token(self, token: Token, rest: bytes) -> bytes:
        match token:
            case Token.EPHEMERAL:
                self._re, rest = _take(rest, PUBLIC_KEY_BYTES)
                self._mix_ephemeral(self._re)
            case Token.STATIC:
                size = PUBLIC_KEY_BYTES + (TAG_BYTES if self._symmetric.cipher.has_key else 0)
                sealed, rest = _take(rest, size)
                self._rs = self._symmetric.decrypt_and_hash(sealed)
            case _:
                self._mix_token(token)
        return rest

    def _own_ephemeral(self) -> AgreementKey:
        if self._e is None:
            if self._entropy is None:
                raise ValueError("a handshake needs `e` or `entropy`")
            self._e = AgreementKey.generate(self._entropy)
        return self._e

    def _mix_ephemeral(self, public: bytes) -> None:
        self._symmetric.mix_hash(public)
        if self._protocol.psk_count:
            self._symmetric.mix_key(public)  # section 9.2: randomizes what a psk alone would leave constant

    def _mix_token(self, token: Token) -> None:
        if token is Token.PSK:
            self._symmetric.mix_key_and_hash(self._psks.pop(0))
            return
        letters = token.value if self._initiator else token.value[::-1]
        own = _present(self._e if letters[0] == "e" else self._s)
        remote = _present(self._re if letters[1] == "e" else self._rs)
        self._symmetric.mix_key(own.agree(remote))


def _check_keys(
    protocol: NoiseProtocol,
    *,
    initiator: bool,
    s: AgreementKey | None,
    rs: bytes | None,
    psks: Sequence[bytes],
) -> None:
    own_known = protocol.initiator_known if initiator else protocol.responder_known
    remote_known = protocol.responder_known if initiator else protocol.initiator_known
    if s is None and (own_known or protocol.sends_static(initiator=initiator)):
        raise ValueError(f"{protocol.name} needs our static key")
    if (rs is not None) != remote_known:
        raise ValueError(f"{protocol.name}: the peer's static key is {'missing' if remote_known else 'superfluous'}")
    if rs is not None and len(rs) != PUBLIC_KEY_BYTES:
        raise ValueError(f"a static key has {PUBLIC_KEY_BYTES} bytes, not {len(rs)}")
    if len(psks) != protocol.psk_count or any(len(psk) != PSK_BYTES for psk in psks):
        raise ValueError(f"{protocol.name} takes {protocol.psk_count} pre-shared keys of {PSK_BYTES} bytes")


def _take(data: bytes, size: int) -> tuple[bytes, bytes]:
    if len(data) < size:
        raise ProtocolError("the handshake message is too short")
    return data[:size], data[size:]


def _present(value: T | None) -> T:
    if value is None:
        raise RuntimeError("the pattern mixes a key that was not exchanged")
    return value
