"""How many messages a second the panels of one node send to their pages, all together: at most twenty, always.

There are two kinds. What a panel shows by itself yields: it takes only what leaves room for answers, and is made when
there is room, so that it is never old. Answers to the browser go out at once, and wait in line only where a page asks
for more than twenty a second. Pieces of files count as neither: their receiver bounds them by its acknowledgements.
Everything here runs on the node's home loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Callable
from weakref import WeakKeyDictionary

from dfs_sdk.ui.face import NodeFace

logger = logging.getLogger(__name__)

MESSAGES_PER_SECOND_MAX = 20
SHOWN_PER_SECOND_MAX = 12  # what panels show by themselves; the rest is for answers
ANSWERS_WAITING_MAX = 256
WINDOW_SECONDS = 1.0
TIMER_LATE_SECONDS = 0.001  # a timer may ring early by rounding

Send = Callable[[], object]


class Outlet:
    """The one way out of the panels of a node: no window of a second holds more than twenty messages."""

    def __init__(self) -> None:
        self._sent: deque[float] = deque(maxlen=MESSAGES_PER_SECOND_MAX)
        self._waiting: deque[tuple[Send, contextvars.Context]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_full(self) -> bool:
        """Whether so many answers wait that no more can be asked for."""
        return len(self._waiting) >= ANSWERS_WAITING_MAX

    def room(self) -> int:
        """How many messages panels may show at this moment; none while answers wait."""
        return 0 if self._waiting else max(0, SHOWN_PER_SECOND_MAX - self._recent())

    def wait(self) -> float:
        """Seconds until there is room to show something, as far as can be said; 0 if there is."""
        if self.room():
            return 0.0
        leaving = self._sent[-SHOWN_PER_SECOND_MAX] if len(self._sent) >= SHOWN_PER_SECOND_MAX else self._now()
        return max(0.0, leaving + WINDOW_SECONDS - self._now())

    def spend(self) -> None:
        """Count a message that goes out."""
        self._sent.append(self._now())

    def answer(self, send: Send) -> None:
        """Call `send`, which sends at most one message beyond what there is room to show: at once, or in its turn.

        Args:
            send: Counts what it sends by `spend`; runs in the context of this call.
        """
        if self._waiting or self._recent() >= MESSAGES_PER_SECOND_MAX:
            self._waiting.append((send, contextvars.copy_context()))
            self._set_timer()
        else:
            send()

    def flush(self) -> None:
        """Send what waits at once: the node ends."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            self._send_next()

    def _set_timer(self) -> None:
        if self._timer is None:
            delay = max(0.0, self._sent[0] + WINDOW_SECONDS - self._now()) if self._sent else 0.0
            self._timer = asyncio.get_running_loop().call_later(delay + TIMER_LATE_SECONDS, self._advance)

    def _advance(self) -> None:
        self._timer = None
        while self._waiting and self._recent() < MESSAGES_PER_SECOND_MAX:
            self._send_next()
        if self._waiting:
            self._set_timer()

    def _send_next(self) -> None:
        send, context = self._waiting.popleft()
        try:
            context.run(send)
        except Exception:  # one panel's fault must not keep back what others wait for
            logger.exception("an answer to the browser could not be sent")

    def _recent(self) -> int:
        now = self._now()
        while self._sent and not self._sent[0] <= now < self._sent[0] + WINDOW_SECONDS:
            self._sent.popleft()  # a time to come is one of another loop, on which the node lived before
        return len(self._sent)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


_outlets: WeakKeyDictionary[NodeFace, Outlet] = WeakKeyDictionary()


def outlet_of(node: NodeFace) -> Outlet:
    """The outlet that all panels of a node share."""
    return _outlets.setdefault(node, Outlet())
