"""Noise handshakes: byte-exact with the published vectors, and deaf to everything else."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from noise.connection import Keypair, NoiseConnection

from dfs_sdk.crypto.aead import TAG_BYTES, ReceiveCipher, SendCipher
from dfs_sdk.crypto.keys import SMALL_ORDER_U, AgreementKey
from dfs_sdk.crypto.noise import MESSAGE_BYTES_MAX, CipherState, HandshakeState
from dfs_sdk.crypto.noise_patterns import CipherName, parse_protocol
from dfs_sdk.errors import ProtocolError
from tests.fakes.entropy import SeededEntropy

OURS = "Noise_IKpsk2_25519_AESGCM_SHA256"
PSK = bytes(range(32))
INITIATOR, RESPONDER = (AgreementKey.generate(SeededEntropy(seed)) for seed in (11, 12))


def initiator(**changes: Any) -> HandshakeState:
    given_: dict[str, Any] = {
        "prologue": b"net",
        "s": INITIATOR,
        "rs": RESPONDER.public,
        "psks": [PSK],
        "entropy": SeededEntropy(1),
    }
    return HandshakeState(OURS, initiator=True, **given_ | changes)


def responder(**changes: Any) -> HandshakeState:
    given_: dict[str, Any] = {"prologue": b"net", "s": RESPONDER, "psks": [PSK], "entropy": SeededEntropy(2)}
    return HandshakeState(OURS, initiator=False, **given_ | changes)


# ------------------------------------------------------------------------------------------------ official vectors


def vector_side(vector: dict[str, Any], side: str) -> HandshakeState:
    def raw(name: str) -> bytes | None:
        return bytes.fromhex(vector[name]) if name in vector else None

    def key(name: str) -> AgreementKey | None:
        private = raw(name)
        return None if private is None else AgreementKey.from_bytes(private)

    return HandshakeState(
        vector["protocol_name"],
        initiator=side == "init",
        prologue=raw(f"{side}_prologue") or b"",
        s=key(f"{side}_static"),
        e=key(f"{side}_ephemeral"),
        rs=raw(f"{side}_remote_static"),
        psks=[bytes.fromhex(psk) for psk in vector.get(f"{side}_psks", [])],
    )


class Transport:
    """One direction after the handshake: packets under AES-GCM go through the ciphers that sessions use."""

    def __init__(self, protocol_name: str, key: bytes) -> None:
        self._aesgcm = "_AESGCM_" in protocol_name
        if self._aesgcm:
            self._sender, self._receiver = SendCipher(key), ReceiveCipher(key)
        else:
            self._encrypter, self._decrypter = (CipherState(CipherName.CHACHAPOLY) for _ in range(2))
            self._encrypter.initialize_key(key)
            self._decrypter.initialize_key(key)

    def check(self, payload: bytes, ciphertext: bytes) -> None:
        if not self._aesgcm:
            assert self._encrypter.encrypt(b"", payload) == ciphertext
            assert self._decrypter.decrypt(b"", ciphertext) == payload
            return
        counter, out = self._sender.counter, bytearray(len(payload) + TAG_BYTES)
        self._sender.seal_into(b"", payload, memoryview(out))
        assert out == ciphertext
        opened = bytearray(len(payload))
        self._receiver.open_into(counter, b"", out, memoryview(opened))
        assert opened == payload


def check_vector(vector: dict[str, Any]) -> None:
    name = vector["protocol_name"]
    first, second = vector_side(vector, "init"), vector_side(vector, "resp")
    messages = [(bytes.fromhex(m["payload"]), bytes.fromhex(m["ciphertext"])) for m in vector["messages"]]
    writer, reader = first, second
    while not first.finished:
        payload, ciphertext = messages.pop(0)
        assert writer.write_message(payload) == ciphertext
        assert reader.read_message(ciphertext) == payload
        writer, reader = reader, writer
    assert first.handshake_hash == second.handshake_hash == bytes.fromhex(vector["handshake_hash"])
    keys = first.split()
    assert keys == second.split()
    if len(parse_protocol(name).messages) == 1:
        directions = [Transport(name, keys[0])]
    else:
        # Whoever did not write the last message of the handshake goes on.
        order = keys if writer is first else (keys[1], keys[0])
        directions = [Transport(name, key) for key in order]
    assert messages
    for number, (payload, ciphertext) in enumerate(messages):
        directions[number % len(directions)].check(payload, ciphertext)


def test_every_cacophony_vector_on_curve25519_is_reproduced(read_vectors: Any) -> None:
    seen = set()
    for vector in read_vectors("noise-cacophony.txt")["vectors"]:
        name = vector["protocol_name"]
        if "_25519_" not in name or "hfs" in name or "fallback" in name:
            continue
        try:
            check_vector(vector)
        except Exception as error:
            raise AssertionError(name) from error
        seen.add(name)
    assert len(seen) == 472


# ---------------------------------------------------------------------------------- against another implementation


def other_side(*, initiator: bool, static: AgreementKey, remote: bytes | None, prologue: bytes, psk: bytes) -> Any:
    other = NoiseConnection.from_name(OURS.encode())
    other.set_psks(psks=[psk])
    other.set_prologue(prologue)
    (other.set_as_initiator if initiator else other.set_as_responder)()
    other.set_keypair_from_private_bytes(Keypair.STATIC, static.private)
    if remote is not None:
        other.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, remote)
    other.start_handshake()
    return other


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**64), st.binary(max_size=200), st.binary(max_size=200), st.binary(max_size=60))
def test_we_and_noiseprotocol_understand_each_other(seed: int, early: bytes, reply: bytes, prologue: bytes) -> None:
    """Two handshakes an example, one with us on each side."""
    for we_start in (True, False):
        entropy = SeededEntropy(seed)
        a, b, psk = AgreementKey.generate(entropy), AgreementKey.generate(entropy), entropy.token(32)
        ours = HandshakeState(
            OURS, initiator=we_start, prologue=prologue, s=a if we_start else b,
            rs=b.public if we_start else None, psks=[psk], entropy=entropy,
        )  # fmt: skip
        theirs = other_side(
            initiator=not we_start, static=b if we_start else a, remote=None if we_start else b.public,
            prologue=prologue, psk=psk,
        )  # fmt: skip
        if we_start:
            assert theirs.read_message(ours.write_message(early)) == early
            assert ours.read_message(bytes(theirs.write_message(reply))) == reply
        else:
            assert ours.read_message(bytes(theirs.write_message(early))) == early
            assert theirs.read_message(ours.write_message(reply)) == reply
            assert ours.remote_static == a.public
        assert ours.finished
        assert ours.handshake_hash == theirs.get_handshake_hash()
        check_packets(ours.split(), theirs, we_start=we_start)


def check_packets(keys: tuple[bytes, bytes], theirs: Any, *, we_start: bool) -> None:
    sender, receiver = SendCipher(keys[0 if we_start else 1]), ReceiveCipher(keys[1 if we_start else 0])
    for number in range(2):
        out = memoryview(bytearray(4 + TAG_BYTES))
        sender.seal_into(b"", b"ping", out)
        assert theirs.decrypt(bytes(out)) == b"ping"
        opened = memoryview(bytearray(4))
        assert receiver.open_into(number, b"", theirs.encrypt(b"pong"), opened) == 4
        assert opened == b"pong"


# ----------------------------------------------------------------------------------------------- what is refused


def test_handshake_takes_one_message_each_and_reveals_the_initiator() -> None:
    a, b = initiator(), responder()
    assert b.remote_static is None
    assert b.read_message(a.write_message(b"early")) == b"early"
    assert b.remote_static == INITIATOR.public
    assert not b.finished
    assert a.read_message(b.write_message(b"reply")) == b"reply"
    assert a.finished
    assert b.finished
    assert a.split() == b.split()
    assert len(set(a.split())) == 2


def test_same_entropy_writes_the_same_golden_hello() -> None:
    message = initiator().write_message(b"hi")
    assert message == initiator().write_message(b"hi")
    assert len(message) == 32 + 32 + TAG_BYTES + 2 + TAG_BYTES
    assert message.hex() == (
        "9800029ac5fcdddf69f2ead5db9fee963f244579fce7dfa9e734aaba38a00a57ead2b51ed12b73f7"
        "5f0df615f2d19309ac26ad6aa1a3b317f2cffd447c23f01138db555ef1a344f485939629a8f96b4c"
        "48c58ce3b825271dc5eaded900fe32266994"
    )


def test_every_flipped_bit_and_every_cut_of_a_hello_is_refused() -> None:
    message = initiator().write_message(b"x")
    for bit in range(0, len(message) * 8, 5):
        altered = bytearray(message)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ProtocolError):
            responder().read_message(bytes(altered))
    for size in range(len(message)):
        with pytest.raises(ProtocolError):
            responder().read_message(message[:size])
    with pytest.raises(ProtocolError):
        responder().read_message(message + b"\0")


def test_every_flipped_bit_and_every_cut_of_a_welcome_is_refused() -> None:
    hello = initiator().write_message()
    b = responder()
    b.read_message(hello)
    welcome = b.write_message(b"x")
    damaged = [welcome[:size] for size in range(len(welcome))]
    for bit in range(0, len(welcome) * 8, 5):
        altered = bytearray(welcome)
        altered[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(altered))
    for message in damaged:
        a = initiator()
        a.write_message()
        with pytest.raises(ProtocolError):
            a.read_message(message)


@given(st.binary(max_size=200))
def test_any_bytes_raise_protocol_error_only(message: bytes) -> None:
    with pytest.raises(ProtocolError):
        responder().read_message(message)
    a = initiator()
    a.write_message()
    with pytest.raises(ProtocolError):
        a.read_message(message)


@pytest.mark.parametrize("u", sorted(SMALL_ORDER_U))
def test_small_order_ephemeral_or_static_is_refused(u: int) -> None:
    bad = u.to_bytes(32, "little")
    with pytest.raises(ProtocolError, match="small order"):
        responder().read_message(bad + bytes(64))
    with pytest.raises(ProtocolError, match="small order"):
        initiator(rs=bad).write_message()


@pytest.mark.parametrize(
    "changes", [{"prologue": b"other"}, {"s": INITIATOR}], ids=["another network", "another responder"]
)
def test_hello_for_somebody_else_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match="authentic"):
        responder(**changes).read_message(initiator().write_message())


def test_wrong_psk_is_refused_in_the_welcome() -> None:
    a, b = initiator(), responder(psks=[bytes(32)])
    b.read_message(a.write_message())
    with pytest.raises(ProtocolError, match="authentic"):
        a.read_message(b.write_message())


def test_failed_handshake_stays_failed() -> None:
    good = initiator().write_message()
    b = responder()
    with pytest.raises(ProtocolError):
        b.read_message(good[:-1])
    with pytest.raises(ProtocolError, match="unexpected"):
        b.read_message(good)
    with pytest.raises(RuntimeError, match="nothing to write"):
        b.write_message()


def test_oversized_messages_are_refused_on_both_sides() -> None:
    room = MESSAGE_BYTES_MAX - 32 - 32 - 2 * TAG_BYTES
    assert responder().read_message(initiator().write_message(bytes(room))) == bytes(room)
    with pytest.raises(ValueError, match="over 65535"):
        initiator().write_message(bytes(room + 1))
    with pytest.raises(ProtocolError, match="oversized"):
        responder().read_message(bytes(MESSAGE_BYTES_MAX + 1))


def test_out_of_turn_calls_are_refused() -> None:
    a, b = initiator(), responder()
    with pytest.raises(RuntimeError, match="nothing to write"):
        b.write_message()
    with pytest.raises(ProtocolError, match="unexpected"):
        a.read_message(bytes(100))
    with pytest.raises(RuntimeError, match="not finished"):
        a.split()
    hello = a.write_message()
    with pytest.raises(RuntimeError, match="nothing to write"):
        a.write_message()
    b.read_message(hello)
    a.read_message(b.write_message())
    with pytest.raises(ProtocolError, match="unexpected"):
        a.read_message(hello)


@pytest.mark.parametrize(
    "changes",
    [{"s": None}, {"rs": None}, {"rs": bytes(31)}, {"psks": []}, {"psks": [bytes(31)]}, {"psks": [PSK, PSK]}],
    ids=str,
)
def test_missing_or_misshapen_keys_are_refused_at_construction(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="key"):
        initiator(**changes)


def test_superfluous_remote_key_is_refused() -> None:
    with pytest.raises(ValueError, match="superfluous"):
        responder(rs=INITIATOR.public)


def test_without_entropy_or_ephemeral_nothing_is_written() -> None:
    with pytest.raises(ValueError, match="entropy"):
        initiator(entropy=None).write_message()


@pytest.mark.parametrize(
    "name",
    ["", "Noise_IK_448_AESGCM_SHA256", "Noise_ZZ_25519_AESGCM_SHA256", "Noise_IKpsk3_25519_AESGCM_SHA256",
     "Noise_IKpsk1+psk1_25519_AESGCM_SHA256", "Noise_IK_25519_DES_SHA256", "Noise_IK_25519_AESGCM_MD5",
     "Noise_XXfallback_25519_AESGCM_SHA256"],
)  # fmt: skip
def test_unknown_protocol_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError):
        parse_protocol(name)


def test_several_psks_mix_in_the_order_given() -> None:
    name, psks = "Noise_NNpsk0+psk2_25519_ChaChaPoly_BLAKE2s", [bytes(32), PSK]

    def side(*, first: bool, keys: list[bytes]) -> HandshakeState:
        return HandshakeState(name, initiator=first, prologue=b"", psks=keys, entropy=SeededEntropy(int(first)))

    a, b = side(first=True, keys=psks), side(first=False, keys=psks)
    b.read_message(a.write_message())
    a.read_message(b.write_message())
    assert a.split() == b.split()
    with pytest.raises(ProtocolError):
        side(first=False, keys=psks[::-1]).read_message(side(first=True, keys=psks).write_message())


def test_handshake_neither_prints_nor_copies_its_keys() -> None:
    state = initiator()
    assert INITIATOR.private[:4].hex() not in repr(state)
    assert PSK[:4].hex() not in repr(state)
    with pytest.raises(TypeError, match="secret"):
        copy.deepcopy(state)


def test_cipher_stops_at_the_reserved_nonce() -> None:
    cipher = CipherState(CipherName.CHACHAPOLY)
    cipher.initialize_key(PSK)
    cipher._nonce = 2**64 - 2
    cipher.encrypt(b"", b"last")
    with pytest.raises(ProtocolError, match="used up"):
        cipher.encrypt(b"", b"x")
