"""Attacks on the door of the transport, handshakes and cookies, each by its name in the threat model."""

from __future__ import annotations

import random

import pytest

from dfs_sdk.ids import Address, NetworkId
from dfs_sdk.transport.config import TransportConfig
from dfs_sdk.transport.cookies import compute_mac1, mac1_key
from dfs_sdk.transport.handshake import Network
from dfs_sdk.transport.outbox import SendState
from dfs_sdk.transport.packet import (
    COOKIE_BYTES,
    HELLO_BYTES,
    HELLO_HEADER,
    IDENTIFY_BYTES,
    MAC_BYTES,
    Kind,
)
from tests.fakes.pair import NETWORK, Pair
from tests.fakes.strangers import ELSEWHERE, answers, hello_for, initiation_of


def test_a1_answers_to_spoofed_hellos_are_smaller_than_three_times_the_question():
    pair = Pair()
    hello = hello_for(pair.right)
    for version in range(4):
        for size in (*range(64), 511, 512, 1199, 1200, 1201, 4000):
            for kind in (Kind.HELLO, Kind.IDENTIFY):
                question = (bytes((kind, version)) + hello[2:] + bytes(4000))[:size]
                if question:
                    replies = answers(pair, pair.right, question, ELSEWHERE)
                    assert len(replies) <= 1
                    assert sum(map(len, replies)) <= 3 * size
    assert len(answers(pair, pair.right, hello, ELSEWHERE)[0]) <= 3 * len(hello)


def test_a1_under_load_only_small_cookies_leave():
    pair = Pair(config=TransportConfig(handshakes_under_load=0))
    (reply,) = answers(pair, pair.right, hello_for(pair.right), ELSEWHERE)
    assert reply[0] == Kind.COOKIE
    assert len(reply) == COOKIE_BYTES


def test_a1_identify_answers_are_limited_for_each_prefix():
    pair = Pair()
    question = bytes((Kind.IDENTIFY, 1)) + bytes(IDENTIFY_BYTES - 2)
    replies = [answers(pair, pair.right, question, Address("203.0.113.9", port)) for port in range(1, 100)]
    assert sum(map(len, replies)) == TransportConfig().handshake_burst


def test_a3_replayed_hello_makes_no_session():
    pair = Pair()
    pair.record = True
    pair.connect()
    hello = next(data for source, _, data in pair.sent if data[0] == Kind.HELLO)
    for delay in (0, 1, 200, 1000):
        pair.run_for(delay)
        for source in (pair.left.address, ELSEWHERE):
            answers(pair, pair.right, hello, source)
    pair.run_for(20)
    assert len(pair.right.endpoint.sessions) == 1
    assert pair.right.closed == []
    assert pair.right.endpoint._handshakes.half_open == 0
    message = pair.left.send(b"undisturbed")
    pair.run_until(lambda: message.state is SendState.ACKED)


def test_a3_hello_replayed_from_elsewhere_while_half_open_draws_nothing():
    pair = Pair()
    hello = hello_for(pair.right)
    assert len(answers(pair, pair.right, hello, ELSEWHERE)) == 1
    assert answers(pair, pair.right, hello, Address("203.0.113.78", 1)) == []
    first, second = (answers(pair, pair.right, hello, ELSEWHERE)[0] for _ in range(2))
    assert first == second


def test_a5_hello_made_with_our_own_key_is_refused():
    pair = Pair()
    mirror = initiation_of(pair.right, seed="mirror", index=5, identity=pair.right.identity)
    assert answers(pair, pair.right, mirror.hello(), ELSEWHERE) == []


def test_a6_half_open_flood_keeps_the_table_bounded_and_sessions_alive():
    config = TransportConfig(half_open_max=64, handshakes_per_second=1e9, handshake_burst=10**6)
    pair = Pair(config=config)
    pair.connect()
    cookies = 0
    for number in range(200):
        source = Address(f"203.0.{number % 250}.{number // 250 + 1}", 1000 + number)
        (reply,) = answers(pair, pair.right, hello_for(pair.right, seed=number, index=number), source)
        cookies += reply[0] == Kind.COOKIE
        assert pair.right.endpoint._handshakes.half_open <= 64
    assert cookies >= 100
    message = pair.left.send(b"still served" * 1000)
    pair.run_until(lambda: message.state is SendState.ACKED, limit=3)
    newcomer = pair.add("newcomer", Address("192.0.2.50", 4001), config)
    newcomer.endpoint.connect(pair.right.contact, pair.right.address, pair.now)
    assert pair.run_until(lambda: bool(newcomer.opened)) <= 3
    pair.run_for(30)
    assert pair.right.endpoint._handshakes.half_open == 0


def test_a6_half_open_table_is_bounded_for_those_who_prove_their_address_too():
    config = TransportConfig(half_open_max=16, handshakes_under_load=0, handshakes_per_second=1e9, handshake_burst=1000)
    pair = Pair(right_config=config)
    welcomed = 0
    for number in range(40):
        initiation, source = initiation_of(pair.right, seed=number, index=number), Address(f"203.0.{number}.1", 4001)
        initiation.on_cookie(memoryview(cookie_for(pair, initiation.hello(), source)))
        welcomed += answers(pair, pair.right, initiation.hello(), source)[0][0] == Kind.WELCOME
        assert pair.right.endpoint._handshakes.half_open <= 16
    assert welcomed == 40


def test_a6_handshake_rate_is_limited_for_each_prefix():
    pair = Pair()
    served = 0
    for number in range(30):
        source = Address("203.0.113.5", 1000 + number)
        (answer,) = answers(pair, pair.right, hello_for(pair.right, seed=number, index=number), source)
        served += answer[0] == Kind.WELCOME
        assert answer[0] in (Kind.WELCOME, Kind.COOKIE)
    assert served == TransportConfig().handshake_burst


def test_a6_handshake_rate_of_proven_sources_is_limited_for_each_prefix():
    pair = Pair()
    served = 0
    for number in range(30):
        source = Address("203.0.113.5", 1000 + number)
        initiation = initiation_of(pair.right, seed=f"member {number}", index=number)
        (answer,) = answers(pair, pair.right, initiation.hello(), source)
        if answer[0] == Kind.COOKIE:
            initiation.on_cookie(memoryview(answer))
            served += len(answers(pair, pair.right, initiation.hello(), source))
    assert served == TransportConfig().handshake_burst


def test_a6_forged_sources_keep_no_newcomer_of_their_network_out():
    """Twenty datagrams a second once did."""
    pair = Pair()
    newcomer = pair.add("newcomer", Address("203.0.113.5", 4001))
    for tick in range(40):
        for number in range(2):
            forged = hello_for(pair.right, seed=f"{tick} {number}", index=number)
            pair.inject(Address("203.0.113.200", 1000 + number), pair.right.address, forged, delay=tick * 0.05)
    pair.run_for(0.5)
    newcomer.endpoint.connect(pair.right.contact, pair.right.address, pair.now)
    assert pair.run_until(lambda: bool(newcomer.opened)) < 1.2


def cookie_for(pair, hello, source) -> bytes:
    (cookie,) = answers(pair, pair.right, hello, source)
    assert cookie[0] == Kind.COOKIE
    return cookie


@pytest.fixture
def loaded():
    """A pair whose right side always asks for a cookie, and a handshake of a member with it."""
    pair = Pair(right_config=TransportConfig(handshakes_under_load=0))
    return pair, initiation_of(pair.right, seed="cookie", index=9)


def test_a8_right_cookie_opens_the_door(loaded):
    pair, initiation = loaded
    initiation.on_cookie(memoryview(cookie_for(pair, initiation.hello(), ELSEWHERE)))
    assert answers(pair, pair.right, initiation.hello(), ELSEWHERE)[0][0] == Kind.WELCOME


@pytest.mark.parametrize("source", [Address("203.0.113.77", 7778), Address("203.0.113.78", 7777)])
def test_a8_cookie_of_another_address_or_port_draws_a_fresh_one_at_most(loaded, source):
    pair, initiation = loaded
    initiation.on_cookie(memoryview(cookie_for(pair, initiation.hello(), ELSEWHERE)))
    assert answers(pair, pair.right, initiation.hello(), source)[0][0] == Kind.COOKIE


def test_a8_stale_cookie_draws_a_fresh_one_at_most(loaded):
    pair, initiation = loaded
    initiation.on_cookie(memoryview(cookie_for(pair, initiation.hello(), ELSEWHERE)))
    pair.now += 119
    assert answers(pair, pair.right, initiation.hello(), ELSEWHERE)[0][0] == Kind.WELCOME
    pair.now += 241
    assert answers(pair, pair.right, initiation.hello(), ELSEWHERE)[0][0] == Kind.COOKIE


def test_a8_dial_succeeds_under_load(loaded):
    pair, _ = loaded
    pair.connect()


def test_a9_forged_cookie_is_ignored():
    pair = Pair(right_config=TransportConfig(handshakes_under_load=0))
    pair.left.endpoint.connect(pair.right.contact, pair.right.address, pair.now)
    index = next(iter(pair.left.endpoint._handshakes._dials.values())).local_index
    forged = bytes((Kind.COOKIE, 0, 0, 0)) + index.to_bytes(4, "big") + random.Random(1).randbytes(56)
    assert answers(pair, pair.left, forged, pair.right.address)[0][0] == Kind.HELLO
    assert pair.left.endpoint.counters["handshake dropped"] == 1
    pair.run_until(lambda: bool(pair.left.opened))


@pytest.mark.parametrize(
    "network",
    [
        Network(network_id=NetworkId(b"x" * 32)),
        Network(network_id=NETWORK.network_id, psk=b"p" * 32),
    ],
)
def test_a17_wrong_network_or_passphrase_meets_silence(network):
    pair = Pair(right_network=network)
    pair.left.endpoint.connect(pair.right.contact, pair.right.address, pair.now)
    pair.record = True
    pair.run_for(8)
    assert {source for source, _, _ in pair.sent} == {pair.left.address}
    assert pair.left.opened == pair.right.opened == []


def resealed(pair, hello: bytearray) -> bytes:
    """A HELLO for the right one whose mac1, which anybody can compute, covers what was changed in it."""
    covered = bytes(hello[: HELLO_BYTES - 2 * MAC_BYTES])
    key = mac1_key(pair.right.identity.public.x, NETWORK.network_id)
    return covered + compute_mac1(key, covered) + bytes(hello[HELLO_BYTES - MAC_BYTES :])


def test_a17_wrong_version_and_unknown_kinds_meet_silence():
    pair = Pair()
    hello = bytearray(hello_for(pair.right))
    for version in (0, 2, 255):
        hello[1] = version
        assert answers(pair, pair.right, resealed(pair, hello), ELSEWHERE) == []
    hello[1] = 1
    assert answers(pair, pair.right, resealed(pair, hello), ELSEWHERE) != [], "it was the version"
    for kind in (*range(6, 16), *range(18, 256)):
        assert answers(pair, pair.right, bytes((kind,)) * 100, ELSEWHERE) == []
    assert pair.right.endpoint.counters["datagram unknown"] > 200


LOW_ORDER = [
    bytes(32),
    (1).to_bytes(32, "little"),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    (2**255 - 19).to_bytes(32, "little"),
    (2**255 - 20).to_bytes(32, "little"),
]


@pytest.mark.parametrize("ephemeral", LOW_ORDER)
def test_a18_low_order_ephemeral_key_meets_silence(ephemeral):
    pair = Pair()
    hello = bytearray(hello_for(pair.right))
    hello[HELLO_HEADER.size : HELLO_HEADER.size + 32] = ephemeral
    assert answers(pair, pair.right, resealed(pair, hello), ELSEWHERE) == []
    assert pair.right.endpoint.counters["handshake dropped"] == 1
