"""What sealing costs beside the bare primitive, as ratios of one run."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dfs_sdk.crypto.aead import COUNTER_BYTES, TAG_BYTES, ReceiveCipher, SendCipher

pytestmark = pytest.mark.bench

KEY, PREFIX, HEADER = bytes(32), bytes(6), bytes(14)
PACKETS, PACKET_BYTES = 64, 1_400
ROUNDS = 300


def microseconds_a_packet(one_round: Callable[[], None]) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        one_round()
        best = min(best, time.perf_counter() - start)
    return best / PACKETS * 1e6


def test_ciphers_cost_little_beside_the_bare_call() -> None:
    body = memoryview(bytearray(PACKET_BYTES))
    sealed = memoryview(bytearray(PACKET_BYTES + TAG_BYTES))
    opened = memoryview(bytearray(PACKET_BYTES))
    bodies = [memoryview(bytearray(PACKET_BYTES)) for _ in range(PACKETS)]
    headers, numbers = [PREFIX + bytes(COUNTER_BYTES)] * PACKETS, np.zeros(PACKETS)
    places = [memoryview(bytearray(PACKET_BYTES + TAG_BYTES)) for _ in range(PACKETS)]
    sender, receiver = SendCipher(KEY), ReceiveCipher(KEY)
    SendCipher(KEY).seal_into(HEADER, body, sealed)
    run = [memoryview(bytearray(PACKET_BYTES + TAG_BYTES)) for _ in range(PACKETS)]
    SendCipher(KEY).seal_burst(numbers, headers=headers, plaintexts=bodies, bodies=run)
    nonce, encrypt_into, scratch = bytes(12), AESGCM(KEY).encrypt_into, memoryview(bytearray(len(sealed)))

    def bare() -> None:
        for _ in range(PACKETS):
            encrypt_into(nonce, body, HEADER, scratch)

    def open_each() -> None:
        for _ in range(PACKETS):
            receiver.open_into(0, HEADER, sealed, opened)

    def open_all() -> None:
        assert receiver.open_burst(range(PACKETS), headers=headers, sealed=run, plaintexts=bodies) == PACKETS

    def seal_all() -> None:
        sender.seal_burst(numbers, headers=headers, plaintexts=bodies, bodies=places)

    def seal_each() -> None:
        for _ in range(PACKETS):
            sender.seal_into(HEADER, body, scratch)

    cost = {
        "bare": microseconds_a_packet(bare),
        "seal_into": microseconds_a_packet(seal_each),
        "seal_burst": microseconds_a_packet(seal_all),
        "open_burst": microseconds_a_packet(open_all),
        "open_into": microseconds_a_packet(open_each),
    }
    print(", ".join(f"{name} {value:.2f} µs" for name, value in cost.items()))
    for name, value in cost.items():
        assert value < 3 * cost["bare"], name
