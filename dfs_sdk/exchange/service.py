"""The exchange of one node: chunks between two peers, each verified by whoever receives it.

`push` returns when the peer has the chunk on its disk; `fetch` returns bytes that hash to the id asked for, or raises.
Which peers should have a chunk is the business of `replication`; what is in a chunk, that of `files`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from dfs_sdk.errors import ProtocolError
from dfs_sdk.exchange.asking import Asking, Wanted
from dfs_sdk.exchange.budget import ByteBudget
from dfs_sdk.exchange.config import SEALED_BYTES_MAX, ExchangeConfig
from dfs_sdk.exchange.demand import Demand
from dfs_sdk.exchange.fetching import INLINE_BYTES_MAX, Fetching
from dfs_sdk.exchange.giving import Giving
from dfs_sdk.exchange.holder import Holder
from dfs_sdk.exchange.lending import Lending
from dfs_sdk.exchange.loads import LoadBook
from dfs_sdk.exchange.messages import (
    ASK_CHUNKS_MAX,
    STATE_ABSENT,
    STATE_REMOVED,
    Have,
    HaveStates,
    Push,
    Remove,
)
from dfs_sdk.exchange.scheduler import PeerLoad
from dfs_sdk.exchange.tombstones import Tombstones
from dfs_sdk.exchange.workload import Workload
from dfs_sdk.ids import ChunkId, NodeId
from dfs_sdk.rpc.base import RpcService
from dfs_sdk.runtime.ports import Runtime
from dfs_sdk.runtime.tasks import TaskScope
from dfs_sdk.store.base import ChunkStore, NewChunk, Role
from dfs_sdk.transport.priority import Priority

T = TypeVar("T")

EXPIRY_INTERVAL = 3600.0
LENT_INTERVAL = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A holder's word that a chunk is on its disk, fsynced and hash-checked.

    Attributes:
        peer: The holder.
        chunk_id: The chunk.
        role: Why it keeps it.
        already: Whether it had it before.
    """

    peer: NodeId
    chunk_id: ChunkId
    role: Role
    already: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HaveReport:
    """What a peer says about some chunks.

    Attributes:
        roles: Why it holds those that it holds.
        tombstones: Removal keys of those it knows to be removed.
    """

    roles: Mapping[ChunkId, Role]
    tombstones: Mapping[ChunkId, bytes]

    @property
    def held(self) -> set[ChunkId]:
        """The chunks it holds."""
        return set(self.roles)


class Exchange:
    """Moves chunks between this node and its peers, within a budget of bytes in flight.

    Args:
        rpc: Calls.
        store: The local store, open.
        scope: The parent of its tasks.
        runtime: Clock, chance and worker threads.
        config: What can be tuned.
    """

    def __init__(
        self,
        *,
        rpc: RpcService,
        store: ChunkStore,
        scope: TaskScope,
        runtime: Runtime,
        config: ExchangeConfig | None = None,
    ) -> None:
        self._config = config or ExchangeConfig()
        self._rpc = rpc
        self._store = store
        self._scope = scope
        self._clock = runtime.clock
        self._rng = runtime.rng.child("exchange")
        self._loads = LoadBook(peers_max=self._config.peers_max, fault_half_life=self._config.fault_half_life)
        self._push_budget = ByteBudget(self._config.push_bytes_max)
        self._peer_budgets: dict[NodeId, ByteBudget] = {}
        self._lending = Lending(self._config.lend_bytes_max, self._clock.monotonic, on_kept=self._on_kept)
        self._letting_go = False
        self._fetching = Fetching(
            rpc=rpc,
            store=store,
            asking=Asking(rpc=rpc, runtime=runtime, loads=self._loads, lending=self._lending, config=self._config),
            scope=scope,
            clock=self._clock,
            rng=self._rng,
            loads=self._loads,
            config=self._config,
        )
        self._tombstones = Tombstones(
            store,
            self._clock,
            ttl_seconds=self._config.tombstone_seconds,
            count_max=self._config.tombstones_max,
        )
        workload = Workload(self._clock)
        giving = Giving(
            store=store,
            lending=self._lending,
            demand=Demand(self._clock.monotonic),
            tombstones=self._tombstones,
            workload=workload,
        )
        self._holder = Holder(store, giving=giving, tombstones=self._tombstones, workload=workload, config=self._config)

    async def start(self) -> None:
        """Read the tombstones and begin to serve."""
        await self._tombstones.load()
        self._holder.serve(self._rpc)
        self._scope.every("expire tombstones", EXPIRY_INTERVAL, self._tombstones.expire, rng=self._rng)

    @property
    def in_flight_bytes(self) -> int:
        """Chunk bytes being sent or fetched by this node."""
        return self._push_budget.used_bytes + self._fetching.in_flight_bytes

    def load(self, peer: NodeId) -> PeerLoad:
        """Say how busy a peer is, as far as its answers told."""
        return self._fetching.load(peer)

    def removed(self, chunk_id: ChunkId) -> bool:
        """Say whether its owner took this chunk back, as far as this node knows."""
        return self._tombstones.key_of(chunk_id) is not None

    async def push(
        self,
        peer: NodeId,
        chunk: NewChunk,
        *,
        priority: Priority = Priority.TRANSFER,
        timeout: float | None = None,
    ) -> Receipt:
        """Hand a chunk to a peer, or to this node's own store, and wait until it is durable there.

        Args:
            peer: The holder to be.
            chunk: What to keep, and why.
            priority: How urgent it is.
            timeout: Seconds; the config's `push_timeout` if not given.

        Raises:
            PeerUnreachableError: The peer cannot be reached.
            DeadlineError: No receipt in time; the chunk may be there all the same.
            RemoteError: It refused: `code` is STORE_FULL, DENIED, BUSY …
            QuotaExceededError: This node's own store is full.
        """
        if peer == self._rpc.node_id:
            return await self._keep(chunk)
        request = Push(
            chunk_id=chunk.chunk_id,
            cell=chunk.cell,
            role=chunk.role,
            removal_hash=chunk.removal_hash,
            replicas=chunk.replicas,
        )
        async with self._room_for(peer, len(chunk.data)):
            with self._loads.calling(peer):
                answer = await self._rpc.call(
                    peer, request, body=chunk.data, timeout=timeout or self._config.push_timeout, priority=priority
                )
        self._loads.learn(peer, answer.reply.load)
        return Receipt(peer=peer, chunk_id=chunk.chunk_id, role=answer.reply.role, already=answer.reply.already)

    async def fetch(
        self,
        chunk_id: ChunkId,
        sources: Sequence[NodeId],
        *,
        priority: Priority = Priority.TRANSFER,
        size_max: int | None = None,
        on_source: Callable[[NodeId, bool], None] | None = None,
    ) -> bytes:
        """Get a chunk from the local store or from the best of `sources`; the bytes are verified.

        Args:
            chunk_id: The chunk.
            sources: Peers that may hold it, most promising first.
            priority: How urgent it is.
            size_max: The length expected, for the budget; a whole chunk if not given.
            on_source: Told which peer gave it, and whether that one keeps it for a while only; not called for a local
                copy.

        Raises:
            NotHeldError: All of them answered that they do not hold it, or there was nobody to ask.
            ContentUnavailableError: Some gave no answer, the others do not hold it.
            CorruptContentError: Those that hold it sent damaged bytes.
        """
        wanted = Wanted(
            chunk_id=chunk_id,
            use=bytes,
            inline_bytes_max=INLINE_BYTES_MAX,
            priority=priority,
            size_max=size_max or SEALED_BYTES_MAX,
            on_source=on_source,
        )
        return await self._fetching.fetch(wanted, sources)

    async def fetch_into(self, wanted: Wanted[T], sources: Sequence[NodeId]) -> T:
        """Get a chunk as `fetch` does and let its verified bytes be used in the thread that has verified them.

        When this returns or raises, no call of `wanted.use` is under way.

        Args:
            wanted: Which chunk, and what for.
            sources: Peers that may hold it, most promising first.

        Returns:
            What `wanted.use` returned.

        Raises:
            NotHeldError, ContentUnavailableError, CorruptContentError: See `fetch`.
            Exception: Whatever `wanted.use` raises.
        """
        return await self._fetching.fetch(wanted, sources)

    async def have(self, peer: NodeId, chunk_ids: Sequence[ChunkId], *, timeout: float | None = None) -> HaveReport:
        """Ask a peer which of at most 1,000 chunks it holds; copies here that it proves removed are deleted.

        Raises:
            PeerUnreachableError: The peer cannot be reached.
            DeadlineError: No answer in time.
            RemoteError: It refused.
            ProtocolError: Its answer does not fit the question.
        """
        if len(chunk_ids) > ASK_CHUNKS_MAX:
            raise ValueError(f"ask about at most {ASK_CHUNKS_MAX} chunks, not {len(chunk_ids)}")
        answer = await self._rpc.call(
            peer, Have(chunk_ids=tuple(chunk_ids)), timeout=timeout or self._config.ask_timeout
        )
        self._loads.learn(peer, answer.reply.load)
        report = read_states(chunk_ids, answer.reply)
        await self._apply(report.tombstones)
        return report

    async def remove(
        self, peer: NodeId, chunk_ids: Sequence[ChunkId], removal_key: bytes, *, timeout: float | None = None
    ) -> int:
        """Ask a peer, or our own store, to let go of at most 1,000 chunks.

        Returns:
            How many it deleted.

        Raises:
            PeerUnreachableError: The peer cannot be reached; it learns of the removal from others later.
            DeadlineError: No answer in time.
            RemoteError: It refused.
        """
        if len(chunk_ids) > ASK_CHUNKS_MAX:
            raise ValueError(f"remove at most {ASK_CHUNKS_MAX} chunks, not {len(chunk_ids)}")
        if peer == self._rpc.node_id:
            removed = await self._tombstones.remove(chunk_ids, removal_key)
            await self._tombstones.remember(chunk_ids, removal_key)
            return len(removed)
        request = Remove(removal_key=removal_key, chunk_ids=tuple(chunk_ids))
        answer = await self._rpc.call(peer, request, timeout=timeout or self._config.ask_timeout)
        return answer.reply.count

    def _on_kept(self) -> None:
        if not self._letting_go:
            self._letting_go = True
            self._scope.spawn("let go of what is lent", self._let_go())

    async def _let_go(self) -> None:
        while self._lending.kept_bytes:
            await asyncio.sleep(LENT_INTERVAL)
            self._lending.expire()
        self._letting_go = False

    async def _keep(self, chunk: NewChunk) -> Receipt:
        already = chunk.chunk_id in self._store
        await self._store.put([chunk])
        info = self._store.info(chunk.chunk_id)
        role = chunk.role if info is None else info.role
        return Receipt(peer=self._rpc.node_id, chunk_id=chunk.chunk_id, role=role, already=already)

    @asynccontextmanager
    async def _room_for(self, peer: NodeId, size: int) -> AsyncIterator[None]:
        """Hold room for a push: first to that peer, then over all, so that a silent peer holds up nobody else."""
        budget = self._peer_budgets.get(peer)
        if budget is None:
            budget = self._peer_budgets[peer] = ByteBudget(self._config.peer_push_bytes_max)
        try:
            async with budget.hold(size), self._push_budget.hold(size):
                yield
        finally:
            if budget.idle:
                self._peer_budgets.pop(peer, None)

    async def _apply(self, tombstones: Mapping[ChunkId, bytes]) -> None:
        by_key: dict[bytes, list[ChunkId]] = {}
        for chunk_id, removal_key in tombstones.items():
            by_key.setdefault(removal_key, []).append(chunk_id)
        for removal_key, chunk_ids in by_key.items():
            await self._tombstones.remove(chunk_ids, removal_key)


def read_states(chunk_ids: Sequence[ChunkId], reply: HaveStates) -> HaveReport:
    """Read a holder's state bytes.

    Raises:
        ProtocolError: They do not fit the question, or name an unknown state.
    """
    if len(reply.states) != len(chunk_ids):
        raise ProtocolError(f"{len(reply.states)} states for {len(chunk_ids)} chunks")
    known_roles = {role.value: role for role in Role}
    roles: dict[ChunkId, Role] = {}
    tombstones: dict[ChunkId, bytes] = {}
    for chunk_id, state in zip(chunk_ids, reply.states, strict=True):
        if state in known_roles:
            roles[chunk_id] = known_roles[state]
        elif STATE_REMOVED <= state < STATE_REMOVED + len(reply.removal_keys):
            tombstones[chunk_id] = reply.removal_keys[state - STATE_REMOVED]
        elif state != STATE_ABSENT:
            raise ProtocolError(f"{state} is no state of a chunk")
    return HaveReport(roles=roles, tombstones=tombstones)
