"""Tables and queues that strangers and peers fill are bounded, and what is replayed or repeated draws little."""

from __future__ import annotations

from dfs_sdk.ids import Address
from dfs_sdk.transport.acceptor import RESENDS_MAX
from dfs_sdk.transport.config import TransportConfig
from dfs_sdk.transport.frames import PathChallenge
from dfs_sdk.transport.handshakes import QUESTIONS_MAX, REPLIES_MAX
from dfs_sdk.transport.identify import build_question
from dfs_sdk.transport.packet import Kind
from dfs_sdk.transport.registry import FAREWELLS_MAX, GRAVES_MAX, Registry
from tests.fakes.pair import Pair
from tests.fakes.rogue import Rogue
from tests.fakes.strangers import ELSEWHERE, answers, hello_for

PING = b"\x01"


def test_a3_a_repeated_hello_draws_its_welcome_again_only_so_often() -> None:
    pair = Pair()
    hello = hello_for(pair.right)
    drawn = sum(len(answers(pair, pair.right, hello, ELSEWHERE)) for _ in range(3 * RESENDS_MAX))
    assert drawn == 1 + RESENDS_MAX


def test_a4_a_packet_under_the_previous_key_is_not_taken_twice() -> None:
    pair = Pair()
    pair.connect()
    rogue = Rogue(pair, pair.left, pair.right)
    keys, receiver = rogue.session.sender.keys, rogue.victim.session.receiver
    old = [rogue.seal(PING) for _ in range(3)]
    pair.inject(rogue.peer.address, rogue.victim.address, old[0])
    pair.run_for(0.01)
    keys.on_acked(keys.next_number - 1)
    assert keys.change_if_due(pair.now, interval=0, packets=1)
    rogue.say(PING, duration=0.01)
    before = receiver.received_packets
    for _ in range(3):
        for packet in old:
            pair.inject(rogue.peer.address, rogue.victim.address, packet)
            pair.run_for(0.01)
    assert receiver.received_packets == before + 2, "those that were late, once"
    assert receiver.replayed_packets == 7


def test_a6_answers_that_wait_for_the_socket_and_questions_of_ours_are_bounded() -> None:
    pair = Pair()
    endpoint = pair.right.endpoint
    question = build_question(bytes(16))
    for number in range(2 * REPLIES_MAX):
        source = Address(f"198.{number // 256}.{number % 256}.1", 4001)
        endpoint.receive_datagrams(memoryview(question), len(question), source, pair.now)
    assert len(endpoint._handshakes._replies) == REPLIES_MAX
    for number in range(2 * QUESTIONS_MAX):
        endpoint.identify(ELSEWHERE, number.to_bytes(16, "big"))
    assert len(endpoint._handshakes._questions) == QUESTIONS_MAX


def test_a9_a_copied_cookie_draws_one_hello_and_only_from_where_it_was_asked() -> None:
    pair = Pair(right_config=TransportConfig(handshakes_under_load=0))
    left, right = pair.left, pair.right
    left.endpoint.connect(right.contact, right.address, pair.now)
    (hello,) = [bytes(burst.buffer) for burst in left.endpoint.datagrams_to_send(pair.now)]
    (cookie,) = answers(pair, right, hello, left.address)
    assert answers(pair, left, cookie, ELSEWHERE) == []
    assert list(left.endpoint.datagrams_to_send(pair.now)) == [], "nor does anybody else get one for it"
    drawn = [answer for _ in range(20) for answer in answers(pair, left, cookie, right.address)]
    assert [answer[0] for answer in drawn] == [Kind.HELLO]


def test_a13_the_graves_of_sessions_are_bounded_and_only_who_was_there_draws_a_farewell() -> None:
    pair = Pair()
    pair.connect()
    rogue = Rogue(pair, pair.left, pair.right)
    index = pair.right.session.local_index
    pair.right.endpoint.close_session(pair.right.session, "enough")
    pair.run_for(0.1)
    packets = [rogue.seal(PING) for _ in range(3 * FAREWELLS_MAX)]
    assert all(answers(pair, pair.right, packet, ELSEWHERE) == [] for packet in packets)
    drawn = [answer for packet in packets for answer in answers(pair, pair.right, packet, rogue.peer.address)]
    assert len(drawn) == FAREWELLS_MAX
    registry = Registry(TransportConfig(), pair.right.identity.node_id)
    for number in range(GRAVES_MAX + 10):
        rogue.session.local_index = index + number
        registry.bury(rogue.session, b"farewell", ELSEWHERE, pair.now)
    assert [registry.is_known(index + number) for number in (0, 9, 10, GRAVES_MAX + 9)] == [False, False, True, True]


def test_a20_what_answers_a_challenge_goes_out_once_and_in_the_size_of_the_question() -> None:
    pair = Pair()
    pair.connect()
    rogue = Rogue(pair, pair.left, pair.right)
    question = rogue.seal(PathChallenge(token=b"t" * 8).encode() * 20)
    drawn = answers(pair, pair.right, question, ELSEWHERE)
    assert 0 < sum(map(len, drawn)) <= 3 * len(question)
    assert answers(pair, pair.right, question, ELSEWHERE) == [], "a copy draws nothing"
