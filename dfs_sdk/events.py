"""News: what a node tells its views and panels, published by any floor, kept in a bounded log.

News travels upward by subscription, never by import. A handler runs on the node's home loop, at once, and must be
quick; one that raises is logged and does not disturb the others.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from dfs_sdk.runtime.handlers import notify

EVENT_LOG_LENGTH_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One piece of news. Subclasses add fields; `text` says it to a person.

    Attributes:
        at_wall: Seconds since the epoch on the node's wall clock.
    """

    at_wall: float
    topic: ClassVar[str] = "node"

    @property
    def text(self) -> str:
        """Say what happened in one sentence."""
        return type(self).__name__

    @property
    def subject(self) -> str:
        """What it tells the state of: faces show the newest event of a subject; empty for one that stands alone."""
        return ""


EventT = TypeVar("EventT", bound=Event)
Handler = Callable[[Any], None]


class Subscription:
    """A handle that ends a subscription; also a context manager."""

    __slots__ = ("_bus", "_entry")

    def __init__(self, bus: EventBus, entry: tuple[type[Event], Handler]) -> None:
        self._bus = bus
        self._entry: tuple[type[Event], Handler] | None = entry

    def cancel(self) -> None:
        """Stop receiving; calling it again is harmless."""
        if self._entry is not None:
            self._bus._drop(self._entry)  # noqa: SLF001 - the two classes are one unit
            self._entry = None

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.cancel()


class EventBus:
    """Delivers events to subscribers in the order of their subscription and remembers the newest ones."""

    def __init__(self, *, log_length_max: int = EVENT_LOG_LENGTH_MAX) -> None:
        self._entries: list[tuple[type[Event], Handler]] = []
        self._log: deque[Event] = deque(maxlen=log_length_max)
        self._counts: Counter[str] = Counter()

    def subscribe(self, kind: type[EventT], handler: Callable[[EventT], None]) -> Subscription:
        """Call `handler` with every later event of class `kind` or below."""
        entry = (kind, handler)
        self._entries.append(entry)
        return Subscription(self, entry)

    def publish(self, event: Event) -> None:
        """Log `event` and hand it to its subscribers."""
        self._log.append(event)
        self._counts[event.topic] += 1
        for kind, handler in tuple(self._entries):
            if isinstance(event, kind):
                notify(handler, event, of=type(event).__name__)

    def count(self, topic: str | None = None) -> int:
        """How many events were published so far, of one topic or of all: tells cheaply whether there is news."""
        return self._counts.total() if topic is None else self._counts[topic]

    def log(self) -> Iterator[Event]:
        """Iterate over the remembered events, oldest first."""
        return iter(tuple(self._log))

    def _drop(self, entry: tuple[type[Event], Handler]) -> None:
        if entry in self._entries:
            self._entries.remove(entry)
