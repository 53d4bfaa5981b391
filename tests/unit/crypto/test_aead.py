"""Sealed packets: numbers are never reused, nothing altered opens."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.crypto import aead
from dfs_sdk.crypto.aead import (
    COUNTER_BYTES,
    PACKETS_PER_KEY_MAX,
    TAG_BYTES,
    ReceiveCipher,
    SendCipher,
    open_once,
    seal_once,
)
from dfs_sdk.errors import ForkedNodeError, ProtocolError

KEY = bytes(range(32))
PREFIX = b"\x40\x00\x01\x02\x03\x04"


def seal(cipher: SendCipher, header: bytes, plaintext: bytes) -> bytes:
    out = bytearray(len(plaintext) + TAG_BYTES)
    cipher.seal_into(header, plaintext, memoryview(out))
    return bytes(out)


def open_(cipher: ReceiveCipher, counter: int, header: bytes, sealed: bytes) -> bytes:
    out = bytearray(max(0, len(sealed) - TAG_BYTES))
    size = cipher.open_into(counter, header, sealed, memoryview(out))
    return bytes(out[:size])


def seal_burst(cipher: SendCipher, prefix: bytes, bodies: Sequence[bytes]) -> list[bytes]:
    """Seal packets into places with a byte to spare on either side; returns header and sealed body of each."""
    header_bytes = len(prefix) + COUNTER_BYTES
    stride = header_bytes + max(map(len, bodies), default=0) + TAG_BYTES + 2
    memory = memoryview(bytearray((len(bodies) + 1) * stride))
    starts = range(0, len(bodies) * stride, stride)
    places = [
        memory[at : at + header_bytes + len(body) + TAG_BYTES + 2] for at, body in zip(starts, bodies, strict=True)
    ]
    for place in places:
        place[1 : len(prefix) + 1] = prefix
    cipher.seal_burst(
        np.ndarray((len(bodies),), ">u8", memory, len(prefix) + 1, (stride,)),
        headers=[place[1 : header_bytes + 1] for place in places],
        plaintexts=bodies,
        bodies=[place[header_bytes + 1 : -1] for place in places],
    )
    assert not any(place[0] or place[-1] for place in places)
    return [bytes(place[1:-1]) for place in places]


def open_burst(receiver: ReceiveCipher, counter: int, packets: Sequence[bytes], header_bytes: int) -> list[bytes]:
    """Open packets of a burst and return the plaintexts of those that are authentic."""
    plaintexts = [memoryview(bytearray(len(packet) - header_bytes - TAG_BYTES)) for packet in packets]
    opened = receiver.open_burst(
        range(counter, counter + len(packets)),
        headers=[packet[:header_bytes] for packet in packets],
        sealed=[packet[header_bytes:] for packet in packets],
        plaintexts=plaintexts,
    )
    return [bytes(plaintext) for plaintext in plaintexts[:opened]]


def advance(cipher: SendCipher, counter: int) -> None:
    cipher._counter = counter


def test_first_packets_are_the_golden_ones() -> None:
    cipher = SendCipher(KEY)
    assert seal(cipher, b"head", b"body").hex() == "6cd3d1a79f287fd992937378da133bb44c101368"
    assert seal(cipher, b"head", b"body").hex() == "77b9db859685ac3cada810f7c2fc1ef754255ae3"


def test_nonce_is_four_zero_bytes_and_the_big_endian_counter() -> None:
    cipher = SendCipher(KEY)
    advance(cipher, 0x01020304)
    expected = AESGCM(KEY).encrypt(bytes(8) + b"\x01\x02\x03\x04", b"body", b"head")
    assert seal(cipher, b"head", b"body") == expected


@given(st.lists(st.tuples(st.binary(max_size=40), st.binary(max_size=2000)), max_size=8))
def test_what_is_sealed_opens_in_any_order(packets: list[tuple[bytes, bytes]]) -> None:
    sender, receiver = SendCipher(KEY), ReceiveCipher(KEY)
    sealed = [(sender.counter, header, seal(sender, header, body), body) for header, body in packets]
    assert sender.counter == len(packets)
    for counter, header, data, body in reversed(sealed):
        assert open_(receiver, counter, header, data) == body


def test_every_single_bit_flip_is_refused() -> None:
    header, body = b"head", b"body"
    sealed = seal(SendCipher(KEY), header, body)
    receiver = ReceiveCipher(KEY)
    for bit in range(len(sealed) * 8):
        altered = bytearray(sealed)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ProtocolError, match="authentic"):
            open_(receiver, 0, header, bytes(altered))
    for bit in range(len(header) * 8):
        other = bytearray(header)
        other[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ProtocolError, match="authentic"):
            open_(receiver, 0, bytes(other), sealed)
    with pytest.raises(ProtocolError, match="authentic"):
        open_(receiver, 1, header, sealed)
    assert open_(receiver, 0, header, sealed) == body


@given(st.integers(-(2**65), 2**65), st.binary(max_size=40), st.binary(max_size=60), st.integers(0, 60))
def test_any_packet_raises_protocol_error_only(counter: int, header: bytes, data: bytes, room: int) -> None:
    with pytest.raises(ProtocolError):
        ReceiveCipher(KEY).open_into(counter, header, data, memoryview(bytearray(room)))


@pytest.mark.parametrize("counter", [PACKETS_PER_KEY_MAX, 2**40, 2**64 - 1, 2**64, -1])
def test_number_beyond_the_life_of_a_key_is_refused(counter: int) -> None:
    with pytest.raises(ProtocolError, match="number"):
        open_(ReceiveCipher(KEY), counter, b"", bytes(20))


def test_a_packet_larger_than_the_room_is_refused() -> None:
    sealed = seal(SendCipher(KEY), b"", b"12345")
    with pytest.raises(ProtocolError, match="fit"):
        ReceiveCipher(KEY).open_into(0, b"", sealed, memoryview(bytearray(4)))


def test_roomy_output_is_filled_from_its_start() -> None:
    sealed = seal(SendCipher(KEY), b"", b"12345")
    out = bytearray(b"\xff" * 9)
    assert ReceiveCipher(KEY).open_into(0, b"", sealed, memoryview(out)) == 5
    assert out == b"12345" + b"\xff" * 4


@given(st.lists(st.binary(max_size=300), max_size=10), st.binary(max_size=20), st.integers(0, 1000))
def test_burst_equals_packets_sealed_one_by_one(bodies: list[bytes], prefix: bytes, first: int) -> None:
    burst, single = SendCipher(KEY), SendCipher(KEY)
    advance(burst, first)
    advance(single, first)
    expected = []
    for body in bodies:
        header = prefix + single.counter.to_bytes(8, "big")
        expected.append(header + seal(single, header, body))
    assert seal_burst(burst, prefix, bodies) == expected
    assert burst.counter == single.counter == first + len(bodies)
    assert open_burst(ReceiveCipher(KEY), first, expected, len(prefix) + COUNTER_BYTES) == bodies


@given(st.binary(max_size=300), st.binary(max_size=20), st.integers(0, 1000))
def test_packet_lies_behind_its_header(body: bytes, prefix: bytes, first: int) -> None:
    cipher, single = SendCipher(KEY), SendCipher(KEY)
    advance(cipher, first)
    advance(single, first)
    header, out = prefix + first.to_bytes(8, "big"), bytearray(400)
    size = cipher.seal_packet(prefix, body, memoryview(out))
    assert bytes(out) == (header + seal(single, header, body)).ljust(400, b"\0")
    assert size == len(header) + len(body) + TAG_BYTES
    assert cipher.counter == first + 1


@given(
    st.lists(st.binary(max_size=60), min_size=1, max_size=8),
    st.integers(0, 7),
    st.integers(0, 10_000),
    st.integers(0, 7),
)
def test_burst_opens_up_to_the_first_packet_that_was_altered(
    bodies: list[bytes], damaged: int, bit: int, flipped: int
) -> None:
    packets = seal_burst(SendCipher(KEY), PREFIX, bodies)
    damaged %= len(packets)
    header_bytes = len(PREFIX) + COUNTER_BYTES
    altered = bytearray(packets[damaged])
    altered[header_bytes + bit % (len(altered) - header_bytes)] ^= 1 << flipped
    packets[damaged] = bytes(altered)
    assert open_burst(ReceiveCipher(KEY), 0, packets, header_bytes) == bodies[:damaged]


@pytest.mark.parametrize(("prefix", "counter"), [(b"another prefix"[: len(PREFIX)], 0), (PREFIX, 1), (PREFIX, -1)])
def test_burst_under_another_header_or_number_does_not_open(prefix: bytes, counter: int) -> None:
    packets = [prefix + packet[len(PREFIX) :] for packet in seal_burst(SendCipher(KEY), PREFIX, [b"a", b"b"])]
    assert open_burst(ReceiveCipher(KEY), counter, packets, len(PREFIX) + COUNTER_BYTES) == []


@pytest.mark.parametrize("counter", [PACKETS_PER_KEY_MAX - 1, PACKETS_PER_KEY_MAX, 2**64 - 1, 2**64, -1])
def test_burst_beyond_the_life_of_a_key_does_not_open(counter: int) -> None:
    assert open_burst(ReceiveCipher(KEY), counter, [bytes(20 + COUNTER_BYTES)] * 2, COUNTER_BYTES) == []


@pytest.mark.parametrize("part", ["headers", "sealed", "plaintexts"])
def test_burst_is_not_opened_where_a_part_is_missing(part: str) -> None:
    lengths = dict.fromkeys(("headers", "sealed", "plaintexts"), 3) | {part: 2}
    with pytest.raises(ValueError, match="3 packets need"):
        ReceiveCipher(KEY).open_burst(
            range(3),
            headers=[bytes(8)] * lengths["headers"],
            sealed=[bytes(20)] * lengths["sealed"],
            plaintexts=[memoryview(bytearray(4))] * lengths["plaintexts"],
        )


def test_no_call_for_sending_takes_a_nonce_or_a_counter() -> None:
    for name, method in inspect.getmembers(SendCipher, inspect.isfunction):
        if not name.startswith("__"):
            parameters = set(inspect.signature(method).parameters)
            assert not parameters & {"nonce", "counter", "number", "iv"}, name
    with pytest.raises(AttributeError):
        SendCipher(KEY).counter = 0  # type: ignore[misc]


def test_failed_sealing_burns_its_number() -> None:
    cipher = SendCipher(KEY)
    with pytest.raises(ValueError, match="buffer"):
        cipher.seal_into(b"", b"body", memoryview(bytearray(3)))
    assert cipher.counter == 1
    with pytest.raises(ValueError):
        cipher.seal_burst(np.zeros(3), headers=[b"h"] * 3, plaintexts=[b"a"] * 3, bodies=[memoryview(bytearray(4))] * 3)
    assert cipher.counter == 4
    with pytest.raises(ValueError, match="2 packets need"):
        cipher.seal_burst(np.zeros(2), headers=[b"h"], plaintexts=[b"a"] * 2, bodies=[memoryview(bytearray(17))] * 2)
    assert cipher.counter == 6
    with pytest.raises(ValueError):
        cipher.seal_packet(PREFIX, b"a", memoryview(bytearray(20)))
    assert cipher.counter == 7


def test_skipped_number_is_never_used() -> None:
    cipher = SendCipher(KEY)
    assert cipher.skip() == 0
    assert cipher.counter == 1
    sealed = seal(cipher, b"", b"x")
    with pytest.raises(ProtocolError):
        open_(ReceiveCipher(KEY), 0, b"", sealed)
    assert open_(ReceiveCipher(KEY), 1, b"", sealed) == b"x"


def test_key_seals_its_last_packet_and_no_more() -> None:
    cipher = SendCipher(KEY)
    advance(cipher, PACKETS_PER_KEY_MAX - 1)
    sealed = seal(cipher, b"", b"last")
    assert open_(ReceiveCipher(KEY), PACKETS_PER_KEY_MAX - 1, b"", sealed) == b"last"
    for attempt in (lambda: seal(cipher, b"", b"x"), cipher.skip):
        with pytest.raises(ProtocolError, match="change keys"):
            attempt()
    assert cipher.counter == PACKETS_PER_KEY_MAX


def test_burst_that_would_pass_the_limit_seals_nothing() -> None:
    cipher = SendCipher(KEY)
    advance(cipher, PACKETS_PER_KEY_MAX - 1)
    numbers, body = np.zeros(2), bytearray(17)
    with pytest.raises(ProtocolError, match="change keys"):
        cipher.seal_burst(numbers, headers=[b"h"] * 2, plaintexts=[b"a", b"b"], bodies=[memoryview(body)] * 2)
    assert not any(numbers)
    assert not any(body)
    assert cipher.counter == PACKETS_PER_KEY_MAX - 1


def test_wiped_ciphers_refuse_every_use() -> None:
    sender, receiver = SendCipher(KEY), ReceiveCipher(KEY)
    sealed = seal(sender, b"", b"x")
    sender.wipe()
    receiver.wipe()
    out = bytearray(100)
    for attempt in (
        lambda: seal(sender, b"", b"x"),
        lambda: sender.seal_burst(np.zeros(1), headers=[b"h"], plaintexts=[b"x"], bodies=[memoryview(out)[14:31]]),
        lambda: sender.seal_burst(np.zeros(0), headers=[], plaintexts=[], bodies=[]),
        lambda: sender.seal_packet(PREFIX, b"x", memoryview(out)),
        sender.skip,
    ):
        with pytest.raises(ForkedNodeError, match="wiped"):
            attempt()
    assert not any(out)
    with pytest.raises(ProtocolError, match="wiped"):
        open_(receiver, 0, b"", sealed)
    assert open_burst(receiver, 0, [sealed], 0) == []


@pytest.mark.parametrize("cipher", [SendCipher(KEY), ReceiveCipher(KEY)])
def test_ciphers_neither_print_nor_copy_nor_pickle(cipher: SendCipher | ReceiveCipher) -> None:
    assert KEY[:4].hex() not in repr(cipher)
    for leak in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="secret"):
            leak(cipher)


@pytest.mark.parametrize("size", [0, 16, 24, 31, 33])
def test_only_256_bit_keys_are_taken(size: int) -> None:
    for use in (SendCipher, ReceiveCipher, lambda key: seal_once(key, b""), lambda key: open_once(key, bytes(16))):
        with pytest.raises(ValueError, match="32 bytes"):
            use(bytes(size))


@given(st.binary(max_size=500), st.binary(max_size=50))
def test_one_time_sealing_round_trips(plaintext: bytes, associated: bytes) -> None:
    sealed = seal_once(KEY, plaintext, associated)
    assert len(sealed) == len(plaintext) + TAG_BYTES
    assert sealed == seal_once(KEY, memoryview(plaintext), associated)
    assert open_once(KEY, sealed, associated) == plaintext
    with pytest.raises(ProtocolError):
        open_once(KEY, sealed, associated + b"\0")
    with pytest.raises(ProtocolError):
        open_once(bytes(32), sealed, associated)


@given(st.binary(max_size=60), st.binary(max_size=20))
def test_any_bytes_open_once_or_raise_protocol_error(sealed: bytes, associated: bytes) -> None:
    with pytest.raises(ProtocolError):
        open_once(KEY, sealed, associated)


def test_aes_gcm_wycheproof_vectors_of_our_sizes(read_vectors: Any) -> None:
    """Those with 256-bit keys and 96-bit nonces run through `open_once` with the vector's own nonce in its place."""
    seen = 0
    for group in read_vectors("wycheproof-aes_gcm_test.json")["testGroups"]:
        if (group["keySize"], group["ivSize"], group["tagSize"]) != (256, 96, 128):
            continue
        for test in group["tests"]:
            seen += 1
            check_wycheproof_gcm(test)
    assert seen > 50


def check_wycheproof_gcm(test: dict[str, Any]) -> None:
    key, nonce, associated, plaintext, ciphertext, tag = (
        bytes.fromhex(test[name]) for name in ("key", "iv", "aad", "msg", "ct", "tag")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aead, "_ZERO_NONCE", nonce)
        patch.setattr(aead, "_pack_nonce", lambda _: nonce)
        receiver, out = ReceiveCipher(key), memoryview(bytearray(len(plaintext)))
        if test["result"] == "valid":
            assert open_once(key, ciphertext + tag, associated) == plaintext
            assert seal_once(key, plaintext, associated) == ciphertext + tag
            assert seal(SendCipher(key), associated, plaintext) == ciphertext + tag
            assert receiver.open_into(0, associated, ciphertext + tag, out) == len(plaintext)
            assert out == plaintext
        else:
            with pytest.raises(ProtocolError):
                open_once(key, ciphertext + tag, associated)
            with pytest.raises(ProtocolError):
                receiver.open_into(0, associated, ciphertext + tag, out)
