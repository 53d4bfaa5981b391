from __future__ import annotations

from dataclasses import dataclass

from dfs_sdk.chat.news import ChatDelivered, ChatMessage
from dfs_sdk.events import EVENT_LOG_LENGTH_MAX, Event, EventBus
from dfs_sdk.ids import NodeId
from dfs_sdk.node.observing import EventRows


@dataclass(frozen=True, slots=True, kw_only=True)
class Said(Event):
    words: str

    @property
    def text(self) -> str:
        return self.words


def delivered(message_id: str, count: int) -> ChatDelivered:
    message = ChatMessage(
        message_id=message_id, conversation=None, sender=NodeId(bytes(32)), sender_name="ada", text="hello", link="",
        sent_at_wall=1.0, received_at_wall=1.0, mine=True, delivered=count,
    )  # fmt: skip
    return ChatDelivered(at_wall=float(count), message=message)


def texts(rows: EventRows, bus: EventBus) -> list[str]:
    return [row.text for row in rows.follow(bus)]


def test_delivery_of_a_message_is_told_once_with_its_latest_count():
    bus, rows = EventBus(), EventRows()
    bus.publish(delivered("a", 1))
    bus.publish(Said(at_wall=1.0, words="between"))
    assert texts(rows, bus) == ["a message of ours reached 1 node", "between"]
    bus.publish(delivered("b", 1))
    bus.publish(delivered("a", 2))
    bus.publish(delivered("a", 3))
    assert texts(rows, bus) == ["between", "a message of ours reached 1 node", "a message of ours reached 3 nodes"]
    assert [row.at_wall for row in rows.follow(bus)] == [1.0, 1.0, 3.0]


def test_news_without_a_subject_stand_one_by_one_even_if_they_say_the_same():
    bus, rows = EventBus(), EventRows()
    for _ in range(3):
        bus.publish(Said(at_wall=1.0, words="again"))
    assert texts(rows, bus) == ["again"] * 3
    bus.publish(Said(at_wall=1.0, words="again"))
    assert texts(rows, bus) == ["again"] * 4


def test_rows_are_bounded_like_the_log_and_the_oldest_go_first():
    bus, rows = EventBus(), EventRows()
    for start in range(0, 2 * EVENT_LOG_LENGTH_MAX, 7_000):
        for number in range(start, start + 7_000):
            bus.publish(Said(at_wall=1.0, words=str(number)))
        told = texts(rows, bus)
    assert len(told) == EVENT_LOG_LENGTH_MAX
    assert told == [str(number) for number in range(21_000 - EVENT_LOG_LENGTH_MAX, 21_000)]
