import asyncio
import itertools
from contextvars import ContextVar

from dfs_sdk.ui.outlet import ANSWERS_WAITING_MAX, MESSAGES_PER_SECOND_MAX, SHOWN_PER_SECOND_MAX, Outlet, outlet_of
from tests.fakes.node import FakeNode
from tests.fakes.virtual import run_virtual

WHOSE = ContextVar("whose", default="nobody")


class Line:
    """An outlet, and when what went through it."""

    def __init__(self) -> None:
        self.outlet = Outlet()
        self.sent: list[tuple[float, int]] = []

    def say(self, number: int) -> None:
        self.outlet.spend()
        self.sent.append((asyncio.get_running_loop().time(), number))

    def answer(self, number: int) -> None:
        self.outlet.answer(lambda: self.say(number))


def test_answers_beyond_the_bound_wait_and_keep_their_order():
    async def scenario() -> list[tuple[float, int]]:
        line = Line()
        for number in range(100):
            line.answer(number)
        await asyncio.sleep(10)
        return line.sent

    sent = run_virtual(scenario())
    assert [number for _, number in sent] == list(range(100))
    assert [at for at, _ in sent[:MESSAGES_PER_SECOND_MAX]] == [0.0] * MESSAGES_PER_SECOND_MAX
    assert all(sent[place + MESSAGES_PER_SECOND_MAX][0] - sent[place][0] >= 1.0 for place in range(80))
    assert sent[-1][0] < 5.1


def test_what_is_shown_leaves_room_for_answers():
    async def scenario() -> None:
        line = Line()
        for left in range(SHOWN_PER_SECOND_MAX, 0, -1):
            assert line.outlet.room() == left
            assert line.outlet.wait() == 0.0
            line.say(0)
        assert line.outlet.room() == 0
        assert line.outlet.wait() == 1.0
        for number in range(MESSAGES_PER_SECOND_MAX - SHOWN_PER_SECOND_MAX):
            line.answer(number)
        assert len(line.sent) == MESSAGES_PER_SECOND_MAX
        await asyncio.sleep(line.outlet.wait())
        assert line.outlet.room() == SHOWN_PER_SECOND_MAX

    run_virtual(scenario())


def test_nothing_is_shown_while_answers_wait():
    async def scenario() -> None:
        line = Line()
        for number in range(MESSAGES_PER_SECOND_MAX + 5):
            line.answer(number)
        assert line.outlet.room() == 0
        await asyncio.sleep(1.01)
        assert len(line.sent) == MESSAGES_PER_SECOND_MAX + 5
        assert line.outlet.room() == SHOWN_PER_SECOND_MAX - 5

    run_virtual(scenario())


def test_an_answer_that_fails_does_not_keep_the_others_back(caplog):
    async def scenario() -> list[tuple[float, int]]:
        line = Line()
        for number in range(MESSAGES_PER_SECOND_MAX):
            line.answer(number)
        line.outlet.answer(lambda: 1 / 0)
        line.answer(77)
        await asyncio.sleep(2)
        return line.sent

    assert run_virtual(scenario())[-1][1] == 77
    assert "could not be sent" in caplog.text


def test_waiting_answers_go_in_the_context_of_who_asked():
    async def scenario() -> list[str]:
        line, seen = Line(), list[str]()
        for number in range(MESSAGES_PER_SECOND_MAX):
            line.answer(number)
        WHOSE.set("the first")
        line.outlet.answer(lambda: seen.append(WHOSE.get()))
        WHOSE.set("the second")
        line.outlet.answer(lambda: seen.append(WHOSE.get()))
        await asyncio.sleep(2)
        return seen

    assert run_virtual(scenario()) == ["the first", "the second"]


def test_flush_sends_all_and_leaves_no_timer():
    async def scenario() -> int:
        line = Line()
        for number in range(ANSWERS_WAITING_MAX + MESSAGES_PER_SECOND_MAX):
            line.answer(number)
        assert line.outlet.is_full
        line.outlet.flush()
        assert line.outlet._timer is None
        assert not line.outlet.is_full
        return len(line.sent)

    assert run_virtual(scenario()) == ANSWERS_WAITING_MAX + MESSAGES_PER_SECOND_MAX


def test_a_node_that_moves_to_a_loop_with_another_clock_is_not_held_up():
    line = Line()

    async def early() -> None:
        for number in range(MESSAGES_PER_SECOND_MAX):
            line.answer(number)

    async def late() -> None:
        await asyncio.sleep(1_000)
        await early()

    run_virtual(late())
    run_virtual(early())
    assert [at for at, _ in line.sent] == [1_000.0] * MESSAGES_PER_SECOND_MAX + [0.0] * MESSAGES_PER_SECOND_MAX


def test_panels_of_a_node_share_one_outlet_and_nodes_do_not():
    nodes = FakeNode(), FakeNode()
    assert outlet_of(nodes[0]) is outlet_of(nodes[0])
    assert all(one is not two for one, two in itertools.pairwise(map(outlet_of, nodes)))
