"""The life of a panel: made once, filled by a pump, closed without a trace; and no error in it goes unseen.

Rules that every panel keeps by deriving from `Panel`:

* A callback of the browser may come on any thread, with any loop. It only reads the message and hands a coroutine to
  the node.
* Only the node's side writes traits, through the pump; the browser never writes one, it sends messages.
* All panels of a node together send at most twenty messages a second (`ui.outlet`), whatever changes and whoever asks.
* Traits are saved in notebooks. No secret enters one: links, invites, passphrases and tracebacks travel in messages,
  one way, when the user asks.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import traceback
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

import anywidget
import ipywidgets
import traitlets

from dfs_sdk.errors import ConfigError, DfsError, NodeClosedError
from dfs_sdk.node.snapshot import NodeSnapshot
from dfs_sdk.runtime.ports import Buffer
from dfs_sdk.ui.assets import style
from dfs_sdk.ui.face import NodeFace
from dfs_sdk.ui.message import Message
from dfs_sdk.ui.outlet import outlet_of
from dfs_sdk.ui.pump import Pump, submitted
from dfs_sdk.views import html, text, words

logger = logging.getLogger(__name__)

PROBLEMS_SHOWN_MAX = 5
PROBLEM_LENGTH_MAX = 1_000
TRACEBACK_LENGTH_MAX = 20_000

Action = Callable[[Message], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An error to show.

    Attributes:
        number: Tells the problems of a panel apart.
        what: What failed, such as `join the network`.
        text: The error in words, safe to show and to keep.
        trace: The traceback, shown when asked for.
    """

    number: int
    what: str
    text: str
    trace: str


class Panel(anywidget.AnyWidget):
    """One view of one node. Subclasses say what to show (`render`) and what the browser may ask (`actions`)."""

    title: ClassVar[str] = ""
    unfold: ClassVar[str] = ""
    """What of the node's card a saved notebook shows unfolded, as in `views.html.node_card`."""
    _css = traitlets.Unicode(style()).tag(sync=True)
    problems: traitlets.List[Any] = traitlets.List().tag(sync=True)

    def __init__(self, node: NodeFace, *, pump: Pump | None = None) -> None:
        self._node = node
        self._pump = pump if pump is not None else Pump(node)
        self._outlet = outlet_of(node)
        self._closed = False
        self._problems: deque[Problem] = deque(maxlen=PROBLEMS_SHOWN_MAX)
        self._problem_count = 0
        self._fault = ""
        self._actions: dict[str, tuple[str, Action]] = {}
        self._work: set[Future[None]] = set()
        self._context = contextvars.copy_context()
        self._snapshot = node.snapshot()
        super().__init__(**self._state())
        let_the_header_route(self.comm)
        self._actions = self.actions()
        self.on_msg(self._on_message)
        self._pump.attach(self)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def lively(self) -> bool:
        """Whether it shows something that moves without news of the node."""
        return False

    def render(self, snapshot: NodeSnapshot) -> dict[str, Any]:
        """Say what the traits should be: plain JSON values, a function of the snapshot and the panel's own state."""
        raise NotImplementedError

    def actions(self) -> dict[str, tuple[str, Action]]:
        """List what the browser may ask: the kind of message → what it does in words, and the coroutine function."""
        return {}

    def refresh(self, snapshot: NodeSnapshot) -> int:
        """Write the traits that changed, in one message; on the home loop.

        Returns:
            About how many bytes were sent; 0 when nothing had changed.
        """
        if self._closed:
            return 0
        self._snapshot = snapshot
        try:
            state = self._state()
            self._fault = ""
        except Exception as error:  # noqa: BLE001 - shown in the panel, which keeps what it showed before
            state = self._faulty(error)
        changed = {name: value for name, value in state.items() if getattr(self, name) != value}
        if not changed:
            return 0
        sent = len(json.dumps(changed, allow_nan=False))  # before anything is written: NaN is no JSON
        self._context.run(self._write, changed)
        return sent

    def close(self) -> None:
        """End the pump and what the browser had asked for; leave no callback and no model in the widget registry."""
        if getattr(self, "_closed", True):
            return
        self._closed = True
        self._pump.detach(self)
        for work in tuple(self._work):
            work.cancel()
        self.on_msg(self._on_message, remove=True)
        layout = self.layout
        super().close()
        layout.close()

    def tell(self, content: Mapping[str, Any], buffers: Sequence[Buffer] | None = None) -> None:
        """Send the browser a message, which is kept nowhere; at once, or in its turn; on the home loop."""
        self._in_turn(lambda: self._emit(content, buffers))

    def give(self, content: Mapping[str, Any], piece: Buffer) -> None:
        """Send the browser a piece of a file at once: its acknowledgements bound how many; on the home loop."""
        if not self._closed:
            self.send(dict(content), buffers=[piece])
            let_the_header_route(self.comm)

    def report(self, what: str, error: BaseException) -> None:
        """Show an error in the panel.

        Args:
            what: What failed, as it follows "Could not".
            error: Why.
        """
        self._note(what, error)
        self.wake()

    def wake(self) -> None:
        """Have the traits looked at soon; from any thread."""
        if self._pump.running:
            self._pump.wake()
        else:  # a node that does not run has no side that could write
            self._show_now()

    def _answer(self) -> None:
        """Show what a request brought: who clicked does not wait for the pump's turn. On the home loop."""
        self._in_turn(self._show_now)

    def _in_turn(self, send: Callable[[], None]) -> None:
        if self._pump.running:
            self._outlet.answer(send)
        else:  # a node that does not run shows nothing by itself
            send()

    def _emit(self, content: Mapping[str, Any], buffers: Sequence[Buffer] | None) -> None:
        if not self._closed:
            self._spend()
            self.send(dict(content), buffers=list(buffers) if buffers else None)
            let_the_header_route(self.comm)

    def _spend(self) -> None:
        if self._pump.running:
            self._outlet.spend()

    def _show_now(self) -> None:
        with suppress(DfsError):
            self._snapshot = self._node.snapshot()
        self.refresh(self._snapshot)

    def _note(self, what: str, error: BaseException) -> None:
        self._problem_count += 1
        trace = "".join(traceback.format_exception(error))[-TRACEBACK_LENGTH_MAX:]
        problem = Problem(
            number=self._problem_count,
            what=words.masked(what),
            text=in_words(error),
            trace=words.masked(trace, lines=True, length_max=TRACEBACK_LENGTH_MAX),
        )
        self._problems.append(problem)
        logger.debug("could not %s", what, exc_info=error)

    def _state(self) -> dict[str, Any]:
        return {"problems": self._shown_problems(), **self.render(self._snapshot)}

    def _shown_problems(self) -> list[dict[str, Any]]:
        return [{"number": each.number, "what": each.what, "text": each.text} for each in self._problems]

    def _faulty(self, error: Exception) -> dict[str, Any]:
        """What to show when the panel cannot show the node: why not, once."""
        fault = in_words(error)
        if fault != self._fault:
            self._fault = fault
            self._note("show the node", error)
        return {"problems": self._shown_problems()}

    def _write(self, changed: Mapping[str, Any]) -> None:
        self._spend()
        with self.hold_sync():
            for name, value in changed.items():
                setattr(self, name, value)
        let_the_header_route(self.comm)

    def _on_message(self, _widget: object, content: object, buffers: Sequence[Buffer]) -> None:
        message = Message(content, buffers)
        # ipykernel sends the browser's next message to the shell whose message was the parent of our last one: writing
        # in the context of the browser's message keeps the panel off the main shell, which a long cell blocks.
        self._context = contextvars.copy_context()
        try:
            self._pump.start()
            self._dispatch(message)
        except Exception as error:  # noqa: BLE001 - shown in the panel; a callback has nobody else to tell
            self.report(f"understand the browser ({message.kind})", error)

    def _dispatch(self, message: Message) -> None:
        if message.kind == "ping":
            self._answer_ping()
            return
        if self._outlet.is_full:
            raise ConfigError("the page asks for more than it can be answered: try again in a moment")
        own: dict[str, Action] = {"hello": self._hello, "traceback": self._show_trace, "dismiss": self._dismiss}
        what, action = self._actions.get(message.kind) or ("answer the browser", own.get(message.kind))
        if action is None:
            raise ValueError("this panel does not know that request: display it again")
        work = submitted(self._node, self._guarded(what, action, message))
        if work is None:
            raise NodeClosedError("the node is not running: start it, then try again")
        self._work.add(work)
        work.add_done_callback(self._work.discard)

    def _answer_ping(self) -> None:
        """Answer from the node's side, so that a loop that is held shows; at once for a node that has none."""
        if submitted(self._node, self._pong()) is None:
            self.tell({"kind": "pong"})

    async def _pong(self) -> None:
        self.tell({"kind": "pong"})

    async def _guarded(self, what: str, action: Action, message: Message) -> None:
        fine = False
        try:
            await action(message)
            fine = True
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - shown in the panel
            self.report(what, error)
        finally:
            if message.reference:
                self._answer()
                self.tell({"kind": "done", "ref": message.reference, "fine": fine})
            self.wake()

    async def _hello(self, _message: Message) -> None:
        """A view appeared; the pump, which its message started if need be, fills it."""
        self.tell({"kind": "welcome"})

    async def _show_trace(self, message: Message) -> None:
        number = message.number("number", maximum=self._problem_count)
        for each in self._problems:
            if each.number == number:
                self.tell({"kind": "traceback", "number": number, "text": each.trace})

    async def _dismiss(self, message: Message) -> None:
        number = message.number("number", maximum=self._problem_count)
        kept = [each for each in self._problems if each.number != number]
        self._problems.clear()
        self._problems.extend(kept)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        if isinstance(data, dict):
            data["text/html"] = html.node_card(self._snapshot, unfold=self.unfold)
            data["text/plain"] = f"{self.title} of\n{text.node_text(self._snapshot)}"
        return bundle

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {words.visible(self._snapshot.name)}{', closed' if self._closed else ''}>"


def in_words(error: BaseException) -> str:
    """Say an error to a person: its message, or the sentence of its class; safe to show and to keep."""
    message = str(error).strip()
    if not message:
        message = (type(error).__doc__ or type(error).__name__).strip().splitlines()[0]
    if not isinstance(error, DfsError | OSError | ValueError):
        message = f"{type(error).__name__}: {message}"
    return words.masked(message, length_max=PROBLEM_LENGTH_MAX)


def let_the_header_route(comm: object) -> None:
    """Have the browser's next message go to the shell that its own header names.

    ipykernel 7.4 sends it to the shell that wrote last, whatever the header says: the main one for a panel that a cell
    has just made, which then answers after that cell, not during it. Without its note of who wrote last, it goes by
    the header, as all other versions do.

    Source: ipykernel 7.4.0, `comm/comm.py`, `BaseComm._reply_subshell_for`.
    """
    if hasattr(comm, "__dict__"):
        vars(comm).pop("_reply_subshell_id", None)


def close_tree(widget: Any) -> None:
    """Close a widget and every widget it holds: children, layout, style. Closing again is harmless."""
    held: list[Any] = list(getattr(widget, "children", ()))
    held += [part for name in ("layout", "style") if isinstance(part := getattr(widget, name, None), ipywidgets.Widget)]
    widget.close()
    for each in held:
        close_tree(each)
