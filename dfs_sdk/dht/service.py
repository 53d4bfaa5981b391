"""The DHT of a node: answers questions, finds and stores records, keeps its own records alive.

Reads go by signature and sequence alone, so it does not matter who answers. Of what this node holds for others nothing
survives a restart: owners publish again. What does survive is whom we know: see `remember`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

from dfs_sdk.dht.config import DhtConfig
from dfs_sdk.dht.lookup import estimate_network_size
from dfs_sdk.dht.memory import PeerMemory
from dfs_sdk.dht.messages import (
    FindNode,
    FindRecord,
    Found,
    Record,
    RecordBody,
    RecordKind,
    StoreRecord,
    StoreReply,
    StoreResult,
)
from dfs_sdk.dht.records import Shelf, sign_record, verify_record
from dfs_sdk.dht.routing import RoutingTable
from dfs_sdk.dht.seeker import Findings, Seeker, keep_newest
from dfs_sdk.dht.tokens import TokenMint
from dfs_sdk.errors import DfsError, RemoteError
from dfs_sdk.ids import NetworkId, NodeId
from dfs_sdk.rpc.addresses import Scope, prefix_of, scope_of
from dfs_sdk.rpc.base import Caller, Refusal, RefusalCode, RpcService
from dfs_sdk.runtime.ports import Runtime
from dfs_sdk.runtime.tasks import TaskScope, run_all
from dfs_sdk.store.base import DocumentStore
from dfs_sdk.transport.contact import Contact

logger = logging.getLogger(__name__)

# Pause before a record that nobody took is published again.
RETRY_INTERVAL = 30.0
REMEMBER_INTERVAL = 60.0
JOIN_PARALLEL = 8
# Buckets looked into in one turn of maintenance, and on joining.
REFRESH_MAX = 4
JOIN_REFRESH_MAX = 16


@dataclass(slots=True)
class _Publication:
    """A record of our own that is kept alive.

    Attributes:
        value: What it says.
        sequence: The highest one known.
        due_at: Monotonic seconds of its next publication.
        outdated: Whether the network holds a newer one than was published last.
    """

    value: bytes
    sequence: int
    due_at: float
    outdated: bool = False


class Dht:
    """Records and lookups. `async with` is not needed: its tasks belong to `scope`.

    Args:
        rpc: Calls nodes and serves theirs.
        store: Remembers whom we know.
        scope: The parent of its tasks.
        runtime: Clocks, chance, entropy.
        network_id: Records count only for this network.
        config: What can be tuned.
    """

    def __init__(
        self,
        *,
        rpc: RpcService,
        store: DocumentStore,
        scope: TaskScope,
        runtime: Runtime,
        network_id: NetworkId,
        config: DhtConfig | None = None,
    ) -> None:
        self._config = config or DhtConfig()
        self._rpc = rpc
        self._scope = scope
        self._clock = runtime.clock
        self._rng = runtime.rng.child("dht")
        self._network_id = network_id
        now = self._clock.monotonic()
        self._started_at = now
        self._remembered_at = now
        self._mint = TokenMint(entropy=runtime.entropy, lifetime=self._config.token_lifetime, now=now)
        self._shelf = Shelf(rpc.node_id, self._config)
        self._publications: dict[tuple[RecordKind, bytes], _Publication] = {}
        self._checking: set[NodeId] = set()
        self._memory = PeerMemory(store, self._config)
        self.table = RoutingTable(rpc.node_id, self._config, now=now)
        self._seeker = Seeker(
            rpc=rpc,
            table=self.table,
            network_id=network_id,
            clock=self._clock,
            config=self._config,
            serves=self._serves,
            network_size=self.network_size,
        )

    @property
    def records_held(self) -> int:
        """Records held for others, our own among them."""
        return len(self._shelf)

    def network_size(self) -> float:
        """Estimate the number of nodes from how close the closest ones stand to us, ourselves included."""
        place = int.from_bytes(self._rpc.node_id, "big")
        closest = self.table.closest(self._rpc.node_id, self._config.bucket_size)
        distances = sorted(place ^ int.from_bytes(contact.node_id, "big") for contact in closest)
        return estimate_network_size(distances) + 1

    async def start(self) -> None:
        """Answer questions, look for those known from before, begin the upkeep."""
        self._rpc.serve(FindNode, self._on_find_node)
        self._rpc.serve(FindRecord, self._on_find_record)
        self._rpc.serve(StoreRecord, self._on_store_record)
        self._rpc.on_connected(self._meet)
        known = await self._memory.load()
        if known:
            self._scope.spawn("rejoin", self.join(known))
        self._scope.every("dht upkeep", self._config.maintain_interval, self.maintain, rng=self._rng)

    async def join(self, contacts: Sequence[Contact]) -> int:
        """Get to know the network through some of its members that our user or our disk names.

        Returns:
            How many nodes the table holds then.
        """
        for contact in contacts:
            self._rpc.book.learn(contact, None)
        question = FindNode(target=self._rpc.node_id, serves=self._serves())
        await run_all(*(self._introduce(contact, question) for contact in contacts), limit=JOIN_PARALLEL)
        # Our own region answers as a whole: these are the nodes whose records we shall share.
        findings = await self._seeker.find_place(self._rpc.node_id)
        if findings.met_everybody:
            return len(self.table)  # a small network: no region is left to look into
        # The nearest buckets first: what is met on the way there fills the far ones.
        later = self._clock.monotonic() + self._config.refresh_interval
        targets = self.table.stale_targets(later, self._rng)[:JOIN_REFRESH_MAX]
        await run_all(*(self._fill(target) for target in reversed(targets)), limit=REFRESH_MAX)
        return len(self.table)

    async def find_node(self, target: bytes) -> list[Contact]:
        """Find the nodes closest to a place in the id space (32 bytes), closest first, without ourselves."""
        return (await self._seeker.find_node(target)).closest

    async def find(self, key: bytes, *, kind: RecordKind) -> list[Record]:
        """Find the records under a key: verified, not expired, the newest of each owner, ordered by owner."""
        now_wall = self._clock.wall()
        findings = await self._seeker.find_records(kind, key)
        for record in self._shelf.get(kind, key, now_wall=now_wall, rng=self._rng):
            keep_newest(findings.records, record.owner.node_id, record)
        return [record for _, record in sorted(findings.records.items()) if record.value]

    async def put(self, record: Record) -> int:
        """Store a record on the nodes closest to its key, ourselves included where we are one of them.

        Returns:
            How many nodes hold it.

        Raises:
            ProtocolError: The record does not count: see `records.verify_record`.
        """
        owner = verify_record(record, self._network_id, now_wall=self._clock.wall())
        findings = await self._seeker.find_place(record.key)
        results = await run_all(
            *(self._store_at(contact, record, findings) for contact in findings.closest), limit=JOIN_PARALLEL
        )
        results.append(self._store_here(record, owner, findings.closest))
        if StoreResult.STALE in results and owner == self._rpc.node_id:
            await self._catch_up(record)
        return results.count(StoreResult.STORED)

    async def publish(self, kind: RecordKind, key: bytes, value: bytes) -> int:
        """Sign and store a record of ours and keep it alive until `unpublish`; a repeated call changes its value.

        Returns:
            How many nodes hold it at first.

        Raises:
            ValueError: The value is empty or over 1,000 bytes, or the key is not 32 bytes.
        """
        if not value:
            raise ValueError("an empty value means that a record is taken back: use `unpublish`")
        slot = (kind, key)
        record = self._sign(kind, key, value)
        self._publications[slot] = _Publication(value, record.body.sequence, due_at=math.inf)
        return await self._put_again(slot, record)

    async def unpublish(self, kind: RecordKind, key: bytes) -> None:
        """Stop keeping a record alive and tell its holders that it is taken back; one never published is fine."""
        publication = self._publications.get((kind, key))
        if publication is None:
            return
        record = self._sign(kind, key, b"")
        del self._publications[(kind, key)]
        await self.put(record)

    async def maintain(self) -> None:
        """Do what is due: drop expired records, publish ours again, look into neglected regions, remember peers."""
        now = self._clock.monotonic()
        self._shelf.expire(now_wall=self._clock.wall())
        # In the order of their keys: neighbours are stored on the same nodes.
        due = sorted(
            (slot for slot, publication in self._publications.items() if publication.due_at <= now),
            key=lambda slot: (slot[1], slot[0].value),
        )
        await run_all(*(self._republish(slot) for slot in due), limit=self._config.publish_parallel)
        for target in self.table.stale_targets(now, self._rng)[:REFRESH_MAX]:
            await self._seeker.find_node(target)
        if silent := self.table.silent():
            # One at a time: they may be back.
            await self._check(self._rng.choice(silent))
        if now - self._remembered_at >= REMEMBER_INTERVAL:
            await self.remember()

    async def remember(self) -> None:
        """Write down whom we know, for the next start."""
        self._remembered_at = self._clock.monotonic()
        await self._memory.save(self.table)

    def _serves(self) -> bool:
        addresses = self._rpc.local_contact().addresses
        if not any(scope_of(address) is Scope.GLOBAL for address in addresses):
            return True
        return self._clock.monotonic() - self._started_at >= self._config.serve_after

    def _sign(self, kind: RecordKind, key: bytes, value: bytes) -> Record:
        public = self._rpc.identity.public
        now_wall = self._clock.wall()
        known = self._publications.get((kind, key))
        # By the clock, so that it also grows across a restart; by one, where the clock went back.
        sequence = max(int(now_wall * 1000), known.sequence + 1 if known is not None else 0)
        body = RecordBody(
            kind=kind,
            key=key,
            owner_ed=public.ed,
            owner_x=public.x,
            sequence=sequence,
            expires=math.ceil(now_wall + self._config.record_lifetime),
            value=value,
        )
        return sign_record(self._rpc.identity, self._network_id, body)

    async def _republish(self, slot: tuple[RecordKind, bytes]) -> None:
        publication = self._publications.get(slot)
        if publication is None:
            return
        record = self._sign(*slot, publication.value)
        publication.sequence = record.body.sequence
        await self._put_again(slot, record)

    async def _put_again(self, slot: tuple[RecordKind, bytes], record: Record) -> int:
        count, config = 0, self._config
        publication = self._publications.get(slot)
        try:
            count = await self.put(record)
            if publication is not None and publication.outdated:
                publication.outdated = False
                again = self._sign(*slot, publication.value)
                publication.sequence = again.body.sequence
                count = await self.put(again)
        finally:
            if publication is not None:
                # Only ourselves is nobody: a node that is alone looks for company soon.
                spread = self._rng.uniform(1 - config.republish_jitter, 1 + config.republish_jitter)
                pause = config.record_lifetime * config.republish_ratio * spread
                publication.due_at = self._clock.monotonic() + (pause if count > 1 else min(RETRY_INTERVAL, pause))
        return count

    async def _catch_up(self, record: Record) -> None:
        """Find out the sequence of a newer record of our own, as after a restart with a clock that went back.

        Only what we signed counts: a holder could name any number.
        """
        publication = self._publications.get((record.kind, record.key))
        findings = await self._seeker.find_records(record.kind, record.key)
        newest = findings.records.get(self._rpc.node_id)
        if publication is not None and newest is not None and newest.body.sequence > publication.sequence:
            publication.sequence = newest.body.sequence
            publication.outdated = True

    async def _store_at(self, contact: Contact, record: Record, findings: Findings) -> StoreResult | None:
        request = StoreRecord(record=record, token=findings.tokens[contact.node_id])
        try:
            answer = await self._rpc.call(contact.node_id, request, timeout=self._config.query_timeout)
        except RemoteError as error:
            logger.debug("%s", error)
            return None
        except DfsError:
            self.table.failed(contact.node_id)
            return None
        return answer.reply.result

    def _store_here(self, record: Record, owner: NodeId, closest: Sequence[Contact]) -> StoreResult | None:
        place = int.from_bytes(record.key, "big")
        ours = place ^ int.from_bytes(self._rpc.node_id, "big")
        closer = sum(place ^ int.from_bytes(contact.node_id, "big") < ours for contact in closest)
        if closer >= self._config.bucket_size:
            return None
        try:
            result, _ = self._shelf.put(record, owner=owner, prefix=None, now_wall=self._clock.wall())
        except Refusal as refusal:
            logger.debug("no room for a record here: %s", refusal)
            return None
        return result

    async def _fill(self, target: bytes) -> None:
        """Look into a region of which the table has room to know more."""
        if not self.table.is_full(target):
            await self._seeker.find_node(target)

    async def _introduce(self, contact: Contact, question: FindNode) -> None:
        try:
            found = await self._seeker.ask(contact, question)
        except DfsError as error:
            logger.debug("%s did not help to join: %s", contact.node_id.short, error)
            return
        if found is not None:
            self._seeker.usable(found.contacts, contact.node_id)

    def _meet(self, node_id: NodeId) -> None:
        """Ask a node that came to us, so that it may enter the table; beyond some at a time it has to come again."""
        full = len(self._checking) >= self._config.checks_max
        if full or node_id in self._checking or not self.table.wants(node_id) or self._scope.closed:
            return
        contact = self._rpc.book.contact(node_id)
        if contact is None:
            return
        self._scope.spawn("check", self._check(contact))
        self._checking.add(node_id)

    async def _check(self, contact: Contact) -> None:
        # It has just asked us, so it knows of us: a question that asked to be asked back would go on for ever.
        question = FindNode(target=self._rpc.node_id, serves=False)
        try:
            await self._introduce(contact, question)
        finally:
            self._checking.discard(contact.node_id)

    async def _on_find_node(self, caller: Caller, request: FindNode, _body: memoryview) -> Found:
        return self._answer(caller, request.target, serves=request.serves)

    async def _on_find_record(self, caller: Caller, request: FindRecord, _body: memoryview) -> Found:
        records = self._shelf.get(request.kind, request.key, now_wall=self._clock.wall(), rng=self._rng)
        return self._answer(caller, request.key, serves=request.serves, records=tuple(records))

    def _answer(self, caller: Caller, target: bytes, *, serves: bool, records: tuple[Record, ...] = ()) -> Found:
        if serves:
            self._meet(caller.node_id)
        closest = self.table.closest(target, self._config.bucket_size, without=caller.node_id)
        return Found(
            contacts=tuple(closest),
            token=self._mint.make(caller.node_id, caller.address, self._clock.monotonic()),
            serves=self._serves(),
            records=records,
        )

    async def _on_store_record(self, caller: Caller, request: StoreRecord, _body: memoryview) -> StoreReply:
        if not self._mint.check(request.token, caller.node_id, caller.address, self._clock.monotonic()):
            raise Refusal(RefusalCode.DENIED, "the write token is not for this node, or too old")
        now_wall = self._clock.wall()
        owner = verify_record(request.record, self._network_id, now_wall=now_wall)
        result, sequence = self._shelf.put(
            request.record, owner=owner, prefix=prefix_of(caller.address), now_wall=now_wall
        )
        return StoreReply(result=result, sequence=sequence)
