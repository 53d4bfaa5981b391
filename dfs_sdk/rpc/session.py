"""The calls of one connection, in both directions: which answers we wait for, which calls of the peer run here.

A call is sent once and answered at most once. An answer to a call that nobody waits for any more is dropped. When the
caller gives up, CANCEL goes out and the handler over there ends, or the rest of a large answer is not sent; when the
connection ends, so do all its calls.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from dfs_sdk.errors import MessageTooLargeError, PeerUnreachableError, ProtocolError, RemoteError
from dfs_sdk.rpc.base import Caller, Refusal, RefusalCode
from dfs_sdk.rpc.config import RpcConfig
from dfs_sdk.rpc.envelope import TIMEOUT_MS_MAX, Envelope, Kind, pack_envelope, parse_envelope
from dfs_sdk.rpc.messages import REFUSAL_TEXT_BYTES_MAX, RefusalMessage
from dfs_sdk.rpc.ports import ConnectionPort, SentPort
from dfs_sdk.rpc.router import IncomingCall, Outcome, Router
from dfs_sdk.rpc.unacked import REPLY_CHARGE, ReplyBudget, UnackedBytes
from dfs_sdk.runtime.ports import Buffer
from dfs_sdk.runtime.tasks import TaskScope
from dfs_sdk.transport.contact import Contact
from dfs_sdk.transport.priority import Priority
from dfs_sdk.wire.codec import Request, decode, encode
from dfs_sdk.wire.text import safe_text

# A CANCEL may overtake the larger request it belongs to; so many are remembered.
EARLY_CANCELS_MAX = 256
CALL_ID_MAX = 2**32 - 1
REFUSAL_TEXT_CHARS_MAX = 200
# Smaller answers are gone before anybody can give them up.
REVOCABLE_BYTES_MIN = 16 * 1024

ReplyT = TypeVar("ReplyT")


@dataclass(slots=True)
class _Pending:
    """A call of ours that waits for its answer."""

    request: Request[Any]
    answer: asyncio.Future[tuple[Any, memoryview]]

    def expire(self) -> None:
        """Fail: the time is over."""
        if not self.answer.done():
            self.answer.set_exception(TimeoutError())


class Session:
    """Calls over one connection.

    Args:
        connection: An open connection.
        router: Answers the peer's calls.
        scope: The parent of short tasks that send.
        config: Limits.
        budget: Of replies to all peers.

    Attributes:
        replies: Those that the peer has not acknowledged.
    """

    def __init__(
        self, connection: ConnectionPort, *, router: Router, scope: TaskScope, config: RpcConfig, budget: ReplyBudget
    ) -> None:
        self.connection = connection
        self._router = router
        self._scope = scope
        self._config = config
        self._next_id = 1
        self._pending: dict[int, _Pending] = {}
        self._incoming: dict[int, IncomingCall] = {}
        self._early_cancels: OrderedDict[int, None] = OrderedDict()
        self._revocable: dict[int, SentPort] = {}  # bounded by the bytes of `replies`
        self._refusals = 0
        self._last_caller: Caller | None = None  # calls of one packet come from the same
        self.replies = UnackedBytes(config.peer_reply_bytes_max, budget)

    async def call(
        self, request: Request[ReplyT], *, body: Buffer, timeout: float, priority: Priority
    ) -> tuple[ReplyT, memoryview]:
        """Send a request and wait for its answer.

        Args:
            request: The request message.
            body: Bulk bytes.
            timeout: Seconds to wait, and to tell the peer; above 0.
            priority: How urgent it is.

        Raises:
            TimeoutError: No answer in time.
            PeerUnreachableError, RemoteError, ProtocolError, MessageTooLargeError: See `RpcService.call`.
        """
        call_id = self._free_id()
        # CONTROL is the transport's own.
        priority = max(priority, Priority.INTERACTIVE)
        parts = pack_envelope(
            Envelope(
                kind=Kind.REQUEST,
                call_id=call_id,
                tag=request.tag,
                timeout_ms=min(max(1, math.ceil(timeout * 1000)), TIMEOUT_MS_MAX),
                priority=priority,
                header=encode(request),
                body=body,
            )
        )
        loop = asyncio.get_running_loop()
        pending = self._pending[call_id] = _Pending(request, loop.create_future())
        # A timer of the loop and no `asyncio.timeout`: that one costs as much as all the rest of a small call.
        timer = loop.call_later(timeout, pending.expire)
        sent = None
        try:
            sent = self.connection.send_now(parts, priority=priority)
            if sent is None:
                async with asyncio.timeout(timeout):
                    sent = await self.connection.send(parts, priority=priority)
            return await pending.answer
        except (asyncio.CancelledError, TimeoutError):
            if sent is not None:
                sent.cancel()
                self._send_later(Envelope(kind=Kind.CANCEL, call_id=call_id))
            raise
        finally:
            timer.cancel()
            self._pending.pop(call_id, None)
            if pending.answer.done() and not pending.answer.cancelled():
                pending.answer.exception()  # marks it as seen where the send failed first

    def receive(self, message: memoryview) -> None:
        """Take in one message of the peer.

        Raises:
            ProtocolError: It breaks the protocol: close the connection.
        """
        envelope = parse_envelope(message)
        match envelope.kind:
            case Kind.REQUEST:
                self._on_request(envelope)
            case Kind.REPLY:
                self._on_reply(envelope)
            case Kind.REFUSAL:
                self._on_refusal(envelope)
            case Kind.CANCEL:
                self._on_cancel(envelope.call_id)

    def end(self, reason: str) -> None:
        """Fail the calls that wait and cancel the peer's; the connection is gone."""
        for pending in tuple(self._pending.values()):
            if not pending.answer.done():
                pending.answer.set_exception(
                    PeerUnreachableError(f"the connection to {self.connection.node_id.short} ended: {reason}")
                )
        for call in tuple(self._incoming.values()):
            self._router.cancel(call)

    def _free_id(self) -> int:
        while self._next_id in self._pending:
            self._next_id = self._next_id % CALL_ID_MAX + 1
        call_id, self._next_id = self._next_id, self._next_id % CALL_ID_MAX + 1
        return call_id

    def _on_request(self, envelope: Envelope) -> None:
        call_id = envelope.call_id
        if call_id in self._incoming:
            raise ProtocolError(f"call {call_id} is under way already")
        if call_id in self._early_cancels:
            del self._early_cancels[call_id]
            return
        call = IncomingCall(
            caller=self._caller(),
            tag=envelope.tag,
            header=envelope.header,
            body=memoryview(envelope.body),
            timeout=envelope.timeout_ms / 1000,
            respond=lambda outcome: self._respond(envelope, outcome),
            respond_now=lambda outcome: self._respond_now(envelope, outcome),
            has_room=self.replies.may_begin,
            wait_to_begin=self.replies.wait_to_begin,
            on_end=lambda: self._forget(call_id),
        )
        self._incoming[call_id] = call
        try:
            self._router.admit(call)
        except Refusal as refusal:
            self._forget(call_id)
            self._refuse_later(call_id, refusal)
        except ProtocolError:
            self._forget(call_id)
            raise

    def _on_reply(self, envelope: Envelope) -> None:
        pending = self._pending.get(envelope.call_id)
        if pending is None or pending.answer.done():
            return
        try:
            if envelope.tag != pending.request.tag:
                raise ProtocolError("a reply is of another kind than its request")
            reply: object = decode(pending.request.reply, envelope.header)
        except ProtocolError as error:
            pending.answer.set_exception(error)
            raise
        pending.answer.set_result((reply, memoryview(envelope.body)))

    def _on_refusal(self, envelope: Envelope) -> None:
        message = decode(RefusalMessage, envelope.header)
        pending = self._pending.get(envelope.call_id)
        if pending is None or pending.answer.done():
            return
        names = {code.value: code.name for code in RefusalCode}
        code = names.get(message.code, f"CODE_{message.code}")
        text = safe_text(message.text, length_max=REFUSAL_TEXT_CHARS_MAX)
        what = type(pending.request).__name__
        said = f"{code}: {text}" if text else code
        error = RemoteError(f"peer {self.connection.node_id.short} refused {what}: {said}", code=code, text=text)
        pending.answer.set_exception(error)

    def _on_cancel(self, call_id: int) -> None:
        call, answer = self._incoming.get(call_id), self._revocable.get(call_id)
        if answer is not None:  # its call may not have ended yet
            answer.cancel()
        elif call is not None:
            self._router.cancel(call)
        else:
            self._remember_cancel(call_id)

    def _remember_cancel(self, call_id: int) -> None:
        self._early_cancels[call_id] = None
        if len(self._early_cancels) > EARLY_CANCELS_MAX:
            self._early_cancels.popitem(last=False)

    def _caller(self) -> Caller:
        connection, caller = self.connection, self._last_caller
        address, rtt = connection.address, connection.rtt
        if caller is None or caller.address != address or caller.rtt != rtt:
            peer = connection.peer
            contact = Contact(ed=peer.ed, x=peer.x, addresses=(address,))
            caller = self._last_caller = Caller(node_id=peer.node_id, address=address, rtt=rtt, contact=contact)
        return caller

    def _forget(self, call_id: int) -> None:
        self._incoming.pop(call_id, None)

    async def _respond(self, asked: Envelope, outcome: Outcome) -> None:
        parts, priority = _answer_parts(asked, outcome)
        size, sent = sum(map(len, parts)), None
        try:
            # Once the peer has taken enough of the earlier ones.
            with self.replies.made(size + REPLY_CHARGE):
                await self.replies.wait_for_room()
                sent = await self._send(parts, priority=priority)
                if sent is not None:
                    self._count_reply(asked.call_id, size, sent, outcome)
        finally:
            if sent is None:
                outcome.on_settled(False)

    def _respond_now(self, asked: Envelope, outcome: Outcome) -> bool:
        """Send an answer at once; say whether it needed no waiting."""
        if not self.replies.has_room:
            return False
        parts, priority = _answer_parts(asked, outcome)
        try:
            sent = self.connection.send_now(parts, priority=priority)
        except PeerUnreachableError:
            outcome.on_settled(False)
            return True  # gone meanwhile: nobody waits for it
        if sent is None:
            return False
        self._count_reply(asked.call_id, sum(map(len, parts)), sent, outcome)
        return True

    def _count_reply(self, call_id: int, size: int, sent: SentPort, outcome: Outcome) -> None:
        """Keep track of an answer until the peer has it, or gives it up."""
        self.replies.add(size, sent, outcome.on_settled)
        if size >= REVOCABLE_BYTES_MIN:
            self._revocable[call_id] = sent
            sent.acked.add_done_callback(lambda _acked: self._revocable.pop(call_id, None))

    def _refuse_later(self, call_id: int, refusal: Refusal) -> None:
        if self._refusals >= self._config.peer_refusals_max:
            raise ProtocolError("the peer asks on without taking the refusals")
        self._refusals += 1
        self._send_later(_refusal(call_id, refusal), on_settled=self._count_refusal)

    def _count_refusal(self) -> None:
        self._refusals -= 1

    def _send_later(self, envelope: Envelope, *, on_settled: Callable[[], None] | None = None) -> None:
        """Send something small that no task waits for, and say when the peer has it or never will."""

        async def send() -> None:
            sent = await self._send(pack_envelope(envelope), priority=Priority.INTERACTIVE)
            if sent is not None and on_settled is not None:
                sent.acked.add_done_callback(lambda _acked: on_settled())

        if not self._scope.closed:
            self._scope.spawn(envelope.kind.name.lower(), send())

    async def _send(self, parts: Sequence[Buffer], *, priority: Priority) -> SentPort | None:
        """Send what nobody waits for: a connection that has gone meanwhile is none of our worries."""
        try:
            return await self.connection.send(parts, priority=priority)
        except PeerUnreachableError:
            return None


def _answer_parts(asked: Envelope, outcome: Outcome) -> tuple[list[Buffer], Priority]:
    """Lay an answer out, as a refusal where it is one or would be too large."""
    if outcome.refusal is None:
        reply = Envelope(
            kind=Kind.REPLY, call_id=asked.call_id, tag=asked.tag, header=outcome.header, body=outcome.body
        )
        try:
            parts = pack_envelope(reply)
        except MessageTooLargeError:
            return pack_envelope(_refusal(asked.call_id, Refusal(RefusalCode.TOO_LARGE))), Priority.INTERACTIVE
        return parts, asked.priority
    return pack_envelope(_refusal(asked.call_id, outcome.refusal)), Priority.INTERACTIVE


def _refusal(call_id: int, refusal: Refusal) -> Envelope:
    text = refusal.text.encode("utf-8", "replace")[:REFUSAL_TEXT_BYTES_MAX].decode("utf-8", "ignore")
    header = encode(RefusalMessage(code=refusal.code.value, text=text))
    return Envelope(kind=Kind.REFUSAL, call_id=call_id, header=header)
