"""Getting one chunk: from the local store, or from the best of several peers, held against its id in either case.

The bytes of a chunk cross one thread border: the worker that verifies them also does with them what the caller wants,
such as opening them and writing them to a file.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from dfs_sdk.crypto.hashing import blake3_256
from dfs_sdk.errors import (
    ContentNotFoundError,
    ContentUnavailableError,
    CorruptContentError,
    DeadlineError,
    DfsError,
    PeerUnreachableError,
    ProtocolError,
    RemoteError,
    StoreError,
)
from dfs_sdk.exchange.budget import ByteBudget
from dfs_sdk.exchange.config import SEALED_BYTES_MAX, ExchangeConfig
from dfs_sdk.exchange.loads import LoadBook
from dfs_sdk.exchange.messages import Fetch, Fetched
from dfs_sdk.exchange.race import Miss, Pace, Race
from dfs_sdk.exchange.scheduler import FAILOVER_FACTOR, HedgeBudget, Latencies, PeerLoad, choose_source, clip
from dfs_sdk.ids import ChunkId, NodeId
from dfs_sdk.rpc.base import Answer, RefusalCode, RpcService
from dfs_sdk.runtime.ports import Buffer, Rng, Runtime
from dfs_sdk.runtime.tasks import TaskScope
from dfs_sdk.store.base import ChunkInfo, ChunkStore, NewChunk
from dfs_sdk.transport.priority import Priority

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Sources that are told at one time, beside all fetches, that they sent other bytes; the scrubs of further ones must do.
CHECKS_MAX = 16
# BLAKE3 and AES-GCM take less than 0.1 ms for this much; a thread hop costs about the same.
INLINE_BYTES_MAX = 128 * 1024


class NotHeldError(ContentUnavailableError):
    """Every peer asked answered that it does not hold this chunk: ask others, or wait for its holders."""


class NoIntactCopyError(CorruptContentError):
    """Every peer that holds this chunk sent damaged bytes: ask others."""


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
        on_source: Told which peer gave it; not called for a local copy.
    """

    chunk_id: ChunkId
    use: Callable[[Buffer], T]
    inline_bytes_max: int = 0
    priority: Priority = Priority.TRANSFER
    size_max: int = SEALED_BYTES_MAX
    on_source: Callable[[NodeId], None] | None = None


class Fetching:
    """Fetches chunks within a budget of bytes.

    Args:
        rpc: Calls.
        store: The local store.
        scope: The parent of its tasks.
        runtime: Clock and worker threads.
        rng: Draws among sources.
        loads: What is known of peers.
        config: What can be tuned.
    """

    def __init__(
        self,
        *,
        rpc: RpcService,
        store: ChunkStore,
        scope: TaskScope,
        runtime: Runtime,
        rng: Rng,
        loads: LoadBook,
        config: ExchangeConfig,
    ) -> None:
        self._rpc = rpc
        self._store = store
        self._scope = scope
        self._clock = runtime.clock
        self._offload = runtime.offload
        self._rng = rng
        self._loads = loads
        self._config = config
        self._budget = ByteBudget(config.fetch_bytes_max)
        self._latencies = Latencies()
        self._hedges = HedgeBudget(config.hedge_ratio)
        self._checks = 0

    @property
    def in_flight_bytes(self) -> int:
        """Chunk bytes being fetched."""
        return self._budget.used_bytes

    def load(self, peer: NodeId) -> PeerLoad:
        """Say how busy a peer is, as far as its answers told."""
        return self._loads.load(peer, rtt=self._rpc.rtt(peer), now=self._clock.monotonic())

    async def fetch(self, wanted: Wanted[T], sources: Sequence[NodeId]) -> T:
        """Get a chunk and return what its `use` made of it; see `Exchange.fetch_into`."""
        chunk_id = wanted.chunk_id
        info = self._store.info(chunk_id)
        if info is not None:
            try:
                data = await self._store.get(chunk_id)
            except (ContentNotFoundError, CorruptContentError, StoreError) as error:
                # The store has put a damaged copy aside: an intact one replaces it below.
                logger.warning("chunk %s cannot be read here: %s", chunk_id.short, type(error).__name__)
            else:
                return await self._run(wanted, wanted.use, data)
        others = [source for source in dict.fromkeys(sources) if source != self._rpc.node_id]
        if info is None or chunk_id in self._store:  # nothing was put aside here
            return await self._from_peers(wanted, wanted.use, others)
        data = await self._from_peers(wanted, bytes, others)
        await self._restore(info, data)
        return await self._run(wanted, wanted.use, data)

    async def _from_peers(self, wanted: Wanted[Any], use: Callable[[Buffer], T], sources: list[NodeId]) -> T:
        await self._budget.take(wanted.size_max)
        try:
            self._hedges.note_request()
            started_at = self._clock.monotonic()
            outcome, winner, misses = await self._raced(wanted, use, sources)
        finally:
            self._budget.give(wanted.size_max)
        if isinstance(outcome, Miss) or winner is None:
            raise missing(wanted.chunk_id, misses)
        self._latencies.note(self._clock.monotonic() - started_at)
        if wanted.on_source is not None:
            wanted.on_source(winner)
        return outcome

    async def _raced(
        self, wanted: Wanted[Any], use: Callable[[Buffer], T], sources: list[NodeId]
    ) -> tuple[T | Miss, NodeId | None, Mapping[NodeId, Miss]]:
        """Return what came of it, who gave it and who did not; where there is one source nobody races."""
        if len(sources) == 1:
            outcome = await self._ask(sources[0], wanted, use)
            if outcome is Miss.UNCHECKED:
                outcome = await self._ask(sources[0], wanted, use, check=True)
            return outcome, sources[0], {sources[0]: outcome} if isinstance(outcome, Miss) else {}
        race: Race[T] = Race(
            sources,
            choose=lambda left: choose_source(left, self.load, self._rng, window=self._config.choice_window),
            attempt=lambda source, check: self._ask(source, wanted, use, check=check),
            may_hedge=self._hedges.take,
            pace=self._pace(),
            scope=self._scope,
        )
        outcome = await race.run()
        for source in race.unchecked:
            self._tell(source, wanted.chunk_id)
        return outcome, race.winner, race.misses

    def _pace(self) -> Pace:
        config, p95 = self._config, self._latencies.p95()
        usual = config.hedge_delay_max if p95 is None else p95
        return Pace(
            hedge_after=clip(usual, config.hedge_delay_min, config.hedge_delay_max),
            failover_after=clip(FAILOVER_FACTOR * usual, config.failover_delay_min, config.failover_delay_max),
            parallel_max=config.sources_parallel_max,
        )

    async def _ask(
        self, source: NodeId, wanted: Wanted[Any], use: Callable[[Buffer], T], *, check: bool = False
    ) -> T | Miss:
        """Ask one source, or once more if its bytes were others: an honest one finds that out then and says so."""
        try:
            answer = await self._call(source, wanted.chunk_id, wanted.priority, check=check)
        except RemoteError as error:
            if error.code == RefusalCode.NOT_FOUND.name:
                return Miss.NOT_HELD
            return Miss.DAMAGED if check else Miss.REFUSED
        except (PeerUnreachableError, DeadlineError):
            return Miss.DAMAGED if check else Miss.UNREACHABLE
        except ProtocolError:
            self._blame(source)
            return Miss.DAMAGED
        outcome = await self._run(wanted, use_intact, wanted.chunk_id, use, answer.body)
        if outcome is not Miss.DAMAGED:
            self._loads.learn(source, answer.reply.load)
            return outcome
        if check:
            return Miss.DAMAGED
        # Before it is asked again: who lied may be silent then, or say that it has nothing.
        self._blame(source)
        return Miss.UNCHECKED

    async def _call(self, source: NodeId, chunk_id: ChunkId, priority: Priority, *, check: bool) -> Answer[Fetched]:
        with self._loads.calling(source):
            request = Fetch(chunk_id=chunk_id, check=check)
            return await self._rpc.call(source, request, timeout=self._config.fetch_timeout, priority=priority)

    def _tell(self, source: NodeId, chunk_id: ChunkId) -> None:
        """Let a source find out that its bytes are others, though nobody waits for what it answers."""
        if self._checks < CHECKS_MAX:
            self._checks += 1
            task = self._scope.spawn(f"check at {source.short}", self._check(source, chunk_id))
            task.add_done_callback(self._on_checked)

    async def _check(self, source: NodeId, chunk_id: ChunkId) -> None:
        with suppress(DfsError):
            await self._call(source, chunk_id, Priority.BACKGROUND, check=True)

    def _on_checked(self, _task: asyncio.Task[None]) -> None:
        self._checks -= 1

    async def _run(self, wanted: Wanted[Any], function: Callable[..., T], /, *arguments: Any) -> T:
        """Call a function whose last argument is the chunk's bytes: here where they are few, else in a worker."""
        if len(arguments[-1]) <= wanted.inline_bytes_max:
            return function(*arguments)
        return await self._offload.compute(function, *arguments)

    def _blame(self, source: NodeId) -> None:
        self._loads.blame(source, now=self._clock.monotonic())

    async def _restore(self, info: ChunkInfo, data: bytes) -> None:
        """Put an intact copy where a damaged one was quarantined; a store that refuses does not spoil the fetch."""
        try:
            await self._store.put([NewChunk.again(info, data)])
            if info.pinned:
                await self._store.set_pinned([info.chunk_id], True)
        except StoreError as error:
            logger.warning("chunk %s could not be replaced here: %s", info.chunk_id.short, type(error).__name__)


def use_intact(chunk_id: ChunkId, use: Callable[[Buffer], T], body: Buffer) -> T | Miss:
    """Hand bytes that hash to the id to `use`; others are damaged."""
    return use(body) if blake3_256(body) == chunk_id else Miss.DAMAGED


def missing(chunk_id: ChunkId, misses: Mapping[NodeId, Miss]) -> ContentUnavailableError | CorruptContentError:
    """Say in words why no source gave a chunk."""
    kinds = set(misses.values())
    if kinds <= {Miss.NOT_HELD}:
        asked = _listed(misses) if misses else "no peer that may hold it can be reached; try again when they are back"
        return NotHeldError(f"chunk {chunk_id.short}: {asked}")
    if Miss.DAMAGED in kinds and not kinds & {Miss.UNREACHABLE, Miss.REFUSED}:
        return NoIntactCopyError(f"chunk {chunk_id.short}: no intact copy was found ({_listed(misses)})")
    return ContentUnavailableError(f"chunk {chunk_id.short}: no holder gave it ({_listed(misses)}); try again later")


def _listed(misses: Mapping[NodeId, Miss]) -> str:
    return ", ".join(f"{peer.short} {miss.value}" for peer, miss in misses.items())
