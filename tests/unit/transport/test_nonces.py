"""No key seals twice under one nonce, over rekeys, restarts and forks; and what watches that sees it where it happens.

10⁸ packets are a campaign: `python -m tests.campaigns.nonces --packets 100000000`.
"""

import random

import pytest

from dfs_sdk.crypto.aead import SendCipher
from dfs_sdk.sim.fork import CAN_FORK
from dfs_sdk.transport.endpoint import Endpoint
from tests.campaigns import nonces
from tests.campaigns.nonces import Lives, run
from tests.fakes.nonces import Register, Uses

pytestmark = pytest.mark.skipif(not CAN_FORK, reason="this system cannot fork")

PACKETS, LIFE = 60_000, 15_000


def test_no_nonce_comes_twice_over_rekeys_restarts_and_forks():
    lives = run(PACKETS, 3, life_packets=LIFE)
    assert lives.register.sealed >= PACKETS
    assert (lives.register.repeated, lives.problems) == (0, [])
    assert {"lives", "rekeys", "forks", "skipped", "failed", "killed"} <= lives.counts.keys()
    assert lives.register.keys > lives.counts["rekeys"] > lives.counts["lives"]


def test_numbers_that_a_cipher_takes_twice_are_seen(monkeypatch: pytest.MonkeyPatch):
    take = SendCipher._take

    def stutter(cipher: SendCipher, count: int) -> int:
        first = take(cipher, count)
        if first > 1_000 and count > 1:
            cipher._counter -= 1
        return first

    monkeypatch.setattr(SendCipher, "_take", stutter)
    assert run(LIFE, 1, life_packets=LIFE).register.repeated > 0


def test_a_forked_child_that_keeps_its_keys_is_seen(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Endpoint, "wipe", lambda _endpoint: None)
    monkeypatch.setattr(nonces, "FORK_RATIO", 1.0)
    lives = run(LIFE, 1, life_packets=LIFE)
    assert lives.problems
    assert lives.register.repeated > 0


def test_a_life_that_begins_with_the_secrets_of_the_last_one_is_seen():
    lives = Lives(1)
    lives.live(LIFE)
    assert lives.register.repeated == 0
    lives.counts["lives"] -= 1
    lives.live(LIFE)
    assert lives.register.repeated > 0


def test_every_second_use_is_found_however_numbers_come():
    rng = random.Random(5)
    uses, known, found = Uses(), set[int](), 0
    number = 0
    for _ in range(20_000):
        number = number + 1 if rng.random() < 0.9 else rng.randrange(3_000)
        assert uses.add(number) is (number not in known)
        found += number in known
        known.add(number)
    assert uses.count == len(known)
    assert found > 1_000


def test_uses_of_another_process_count_as_well():
    register = Register()
    register.noter("key")((5).to_bytes(12, "big"))
    register.note(("key", 6))
    assert (register.sealed, register.keys, register.repeats) == (2, 1, [])
    register.note(("key", 5))
    assert register.repeats == [("key", 5)]
