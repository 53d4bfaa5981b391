"""Asking one source for one chunk: the call, the verdict on what came, and what of it is remembered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from dfs_sdk.crypto.hashing import blake3_256
from dfs_sdk.errors import DeadlineError, PeerUnreachableError, ProtocolError, RemoteError
from dfs_sdk.exchange.config import SEALED_BYTES_MAX, ExchangeConfig
from dfs_sdk.exchange.delivery import Delivery
from dfs_sdk.exchange.demand import SHARED_BYTES_MIN, PutOff
from dfs_sdk.exchange.lending import Lending, LentChunk
from dfs_sdk.exchange.loads import LoadBook
from dfs_sdk.exchange.messages import Fetch, Fetched
from dfs_sdk.exchange.race import Manner, Miss
from dfs_sdk.ids import ChunkId, NodeId
from dfs_sdk.rpc.base import Answer, RefusalCode, RpcService
from dfs_sdk.runtime.ports import Buffer, Runtime
from dfs_sdk.transport.priority import Priority

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted(Generic[T]):
    """A chunk that somebody wants, and what for.

    Attributes:
        chunk_id: The chunk.
        use: What is done with its verified bytes, which are lent for the call. A slow source's answer may come after
            another's: then it is called twice, at one time or one after the other. What it raises ends the fetch.
        inline_bytes_max: Up to so many bytes `use` is called on the loop, above in a worker thread.
        priority: How urgent it is.
        size_max: The length expected, for the budget; a whole chunk if not given.
        on_source: Told which peer gave it, and whether that one keeps it for a while only; not called for a local copy.
    """

    chunk_id: ChunkId
    use: Callable[[Buffer], T]
    inline_bytes_max: int = 0
    priority: Priority = Priority.TRANSFER
    size_max: int = SEALED_BYTES_MAX
    on_source: Callable[[NodeId, bool], None] | None = None


@dataclass(frozen=True, slots=True)
class Given(Generic[T]):
    """A chunk that came.

    Attributes:
        value: What `Wanted.use` made of it.
        lent: Whether it came from somebody who keeps it for a while only.
    """

    value: T
    lent: bool


class Asking:
    """Asks sources.

    Args:
        rpc: Calls.
        runtime: Clock and worker threads.
        loads: What is known of peers.
        lending: Where chunks are kept for others.
        config: What can be tuned.
    """

    def __init__(
        self, *, rpc: RpcService, runtime: Runtime, loads: LoadBook, lending: Lending, config: ExchangeConfig
    ) -> None:
        self._rpc = rpc
        self._clock = runtime.clock
        self._offload = runtime.offload
        self._loads = loads
        self._lending = lending
        self._config = config

    async def ask(
        self, source: NodeId, wanted: Wanted[Any], use: Callable[[Buffer], T], manner: Manner
    ) -> Given[T] | Miss | PutOff:
        """Ask one source and say what came of it; raises only what `use` does."""
        check = manner is Manner.TO_CHECK
        request = self._request(wanted, manner)
        try:
            answer = await self.call(source, wanted, request)
        except RemoteError as error:
            if error.code == RefusalCode.NOT_FOUND.name:
                return Miss.NOT_HELD
            return Miss.DAMAGED if check else Miss.REFUSED
        except (PeerUnreachableError, DeadlineError):
            return Miss.DAMAGED if check else Miss.UNREACHABLE
        except ProtocolError:
            self._blame(source)
            return Miss.DAMAGED
        if answer.reply.put_off:
            self._loads.learn(source, answer.reply.load)
            if request.patient:
                return self._put_off(answer.reply)
            return Miss.DAMAGED if check else Miss.REFUSED
        outcome = await self.run(wanted, use_intact, wanted.chunk_id, use, answer.body)
        if not isinstance(outcome, Miss):
            self._loads.learn(source, answer.reply.load)
            if request.keeps and answer.reply.keep:
                self._keep(wanted.chunk_id, answer)
            return Given(outcome, answer.reply.lent)
        if check:
            return Miss.DAMAGED
        # Before it is asked again: who lied may be silent then, or say that it has nothing.
        self._blame(source)
        return Miss.UNCHECKED

    async def call(self, source: NodeId, wanted: Wanted[Any], request: Fetch) -> Answer[Fetched]:
        """Send a request to one source; raises what calls raise."""
        with self._loads.calling(source, owed_bytes=wanted.size_max):
            return await self._rpc.call(source, request, timeout=self._config.fetch_timeout, priority=wanted.priority)

    async def run(self, wanted: Wanted[Any], function: Callable[..., T], /, *arguments: Any) -> T:
        """Call a function whose last argument is the chunk's bytes: here where they are few, else in a worker."""
        if len(arguments[-1]) <= wanted.inline_bytes_max:
            return function(*arguments)
        return await self._offload.compute(function, *arguments)

    def delivery(self, source: NodeId, wanted: Wanted[Any]) -> Delivery:
        """Begin to watch what comes from a source that is asked now."""
        return Delivery(
            now=self._clock.monotonic(),
            received_bytes=self._rpc.received_bytes(source),
            owed_bytes=self._loads.owed_bytes(source) + wanted.size_max,
            pace=wanted.size_max / self._config.fetch_timeout,
        )

    def advances(self, source: NodeId, delivery: Delivery) -> bool:
        """Say whether a source delivered since this was last asked."""
        return delivery.advances(now=self._clock.monotonic(), received_bytes=self._rpc.received_bytes(source))

    def _request(self, wanted: Wanted[Any], manner: Manner) -> Fetch:
        """Say how a source is asked: of what is fetched for somebody who waits, large chunks are shared with others."""
        urgent = wanted.priority is not Priority.BACKGROUND
        shares = urgent and wanted.size_max >= SHARED_BYTES_MIN and self._lending.takes_part
        return Fetch(
            chunk_id=wanted.chunk_id,
            check=manner is Manner.TO_CHECK,
            patient=shares and manner is Manner.PATIENT,
            keeps=shares and manner is not Manner.TO_CHECK,
        )

    def _put_off(self, reply: Fetched) -> PutOff:
        known = [other for other in reply.others if other in self._rpc.book and other != self._rpc.node_id]
        return PutOff(seconds=reply.put_off, others=tuple(known))

    def _keep(self, chunk_id: ChunkId, answer: Answer[Fetched]) -> None:
        reply = answer.reply
        chunk = LentChunk(data=answer.body, cell=reply.cell, removal_hash=reply.removal_hash, replicas=reply.replicas)
        self._lending.keep(chunk_id, chunk)

    def _blame(self, source: NodeId) -> None:
        self._loads.blame(source, now=self._clock.monotonic())


def use_intact(chunk_id: ChunkId, use: Callable[[Buffer], T], body: Buffer) -> T | Miss:
    """Hand bytes that hash to the id to `use`; others are damaged."""
    return use(body) if blake3_256(body) == chunk_id else Miss.DAMAGED
