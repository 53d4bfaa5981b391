"""Getting one chunk: from the local store, or from the best of several peers, held against its id in either case.

The bytes of a chunk cross one thread border: the worker that verifies them also does with them what the caller wants,
such as opening them and writing them to a file.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from dfs_sdk.errors import (
    ContentNotFoundError,
    ContentUnavailableError,
    CorruptContentError,
    DfsError,
    StoreError,
)
from dfs_sdk.exchange.asking import Asking, Given, Wanted
from dfs_sdk.exchange.budget import ByteBudget
from dfs_sdk.exchange.config import ExchangeConfig
from dfs_sdk.exchange.delivery import Delivery
from dfs_sdk.exchange.demand import PutOff
from dfs_sdk.exchange.loads import LoadBook
from dfs_sdk.exchange.messages import Fetch
from dfs_sdk.exchange.race import Manner, Miss, Pace, Race
from dfs_sdk.exchange.scheduler import FAILOVER_FACTOR, HedgeBudget, Latencies, PeerLoad, choose_source, clip
from dfs_sdk.ids import ChunkId, NodeId
from dfs_sdk.rpc.base import RpcService
from dfs_sdk.runtime.ports import Buffer, Clock, Rng
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


class Fetching:
    """Fetches chunks within a budget of bytes.

    Args:
        rpc: Knows peers.
        store: The local store.
        asking: Asks them.
        scope: The parent of its tasks.
        clock: Times fetches.
        rng: Draws among sources.
        loads: What is known of peers.
        config: What can be tuned.
    """

    def __init__(
        self,
        *,
        rpc: RpcService,
        store: ChunkStore,
        asking: Asking,
        scope: TaskScope,
        clock: Clock,
        rng: Rng,
        loads: LoadBook,
        config: ExchangeConfig,
    ) -> None:
        self._rpc = rpc
        self._store = store
        self._asking = asking
        self._scope = scope
        self._clock = clock
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
                return await self._asking.run(wanted, wanted.use, data)
        others = [source for source in dict.fromkeys(sources) if source != self._rpc.node_id]
        if info is None or chunk_id in self._store:  # nothing was put aside here
            return await self._from_peers(wanted, wanted.use, others)
        data = await self._from_peers(wanted, bytes, others)
        await self._restore(info, data)
        return await self._asking.run(wanted, wanted.use, data)

    async def _from_peers(self, wanted: Wanted[Any], use: Callable[[Buffer], T], sources: list[NodeId]) -> T:
        await self._budget.take(wanted.size_max)
        try:
            self._hedges.note_request()
            started_at = self._clock.monotonic()
            outcome, winner, misses = await self._raced(wanted, use, sources)
        finally:
            self._budget.give(wanted.size_max)
        if isinstance(outcome, Miss) or winner is None:
            raise missing(wanted.chunk_id, {source: misses[source] for source in sources if source in misses})
        self._latencies.note(self._clock.monotonic() - started_at)
        if wanted.on_source is not None:
            # Who was named by another one is nobody's holder, whatever it says.
            wanted.on_source(winner, outcome.lent or winner not in sources)
        return outcome.value

    async def _raced(
        self, wanted: Wanted[Any], use: Callable[[Buffer], T], sources: list[NodeId]
    ) -> tuple[Given[T] | Miss, NodeId | None, Mapping[NodeId, Miss]]:
        """Return what came of it, who gave it and who did not; where there is one source nobody races."""
        deliveries: dict[NodeId, Delivery] = {}

        def attempt(source: NodeId, manner: Manner) -> Awaitable[Given[T] | Miss | PutOff]:
            deliveries[source] = self._asking.delivery(source, wanted)
            return self._asking.ask(source, wanted, use, manner)

        first: PutOff | None = None
        if len(sources) == 1:
            outcome = await self._asking.ask(sources[0], wanted, use, Manner.PATIENT)
            if outcome is Miss.UNCHECKED:
                outcome = await self._asking.ask(sources[0], wanted, use, Manner.TO_CHECK)
            if not isinstance(outcome, PutOff):
                return outcome, sources[0], {sources[0]: outcome} if isinstance(outcome, Miss) else {}
            first = outcome
        race: Race[Given[T]] = Race(
            sources,
            choose=lambda left: choose_source(left, self.load, self._rng, window=self._config.choice_window),
            attempt=attempt,
            may_hedge=self._hedges.take,
            advances=lambda source: self._asking.advances(source, deliveries[source]),
            pace=self._pace(),
            scope=self._scope,
        )
        if first is not None:
            race.put_off(sources[0], first)
        outcome = await race.run()
        for source in race.unchecked:
            self._tell(source, wanted)
        return outcome, race.winner, race.misses

    def _pace(self) -> Pace:
        config, p95 = self._config, self._latencies.p95()
        usual = config.hedge_delay_max if p95 is None else p95
        return Pace(
            hedge_after=clip(usual, config.hedge_delay_min, config.hedge_delay_max),
            failover_after=clip(FAILOVER_FACTOR * usual, config.failover_delay_min, config.failover_delay_max),
            parallel_max=config.sources_parallel_max,
        )

    def _tell(self, source: NodeId, wanted: Wanted[Any]) -> None:
        """Let a source find out that its bytes are others, though nobody waits for what it answers."""
        if self._checks < CHECKS_MAX:
            self._checks += 1
            task = self._scope.spawn(f"check at {source.short}", self._check(source, wanted))
            task.add_done_callback(self._on_checked)

    async def _check(self, source: NodeId, wanted: Wanted[Any]) -> None:
        with suppress(DfsError):
            request = Fetch(chunk_id=wanted.chunk_id, check=True)
            await self._asking.call(source, replace(wanted, priority=Priority.BACKGROUND), request)

    def _on_checked(self, _task: asyncio.Task[None]) -> None:
        self._checks -= 1

    async def _restore(self, info: ChunkInfo, data: bytes) -> None:
        """Put an intact copy where a damaged one was quarantined; a store that refuses does not spoil the fetch."""
        try:
            await self._store.put([NewChunk.again(info, data)])
            if info.pinned:
                await self._store.set_pinned([info.chunk_id], True)
        except StoreError as error:
            logger.warning("chunk %s could not be replaced here: %s", info.chunk_id.short, type(error).__name__)


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
