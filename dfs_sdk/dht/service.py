"""The DHT of a node: answers questions, finds and stores records, keeps its own records alive.

Reads go by signature and sequence alone, so it does not matter who answers. Of what this node holds for others nothing
survives a restart: owners publish again. What does survive is whom we know: see `remember`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from dfs_sdk.dht.config import DhtConfig
from dfs_sdk.dht.lookup import estimate_network_size
from dfs_sdk.dht.memory import PeerMemory
from dfs_sdk.dht.messages import (
    FindNode,
    FindRecord,
    Found,
    Record,
    RecordKind,
    StoreRecord,
    StoreReply,
)
from dfs_sdk.dht.publisher import Publisher
from dfs_sdk.dht.records import Shelf, verify_record
from dfs_sdk.dht.routing import RoutingTable
from dfs_sdk.dht.seeker import Seeker, keep_newest
from dfs_sdk.dht.tokens import TokenMint
from dfs_sdk.errors import DfsError
from dfs_sdk.ids import NetworkId
from dfs_sdk.rpc.addresses import Scope, prefix_of, scope_of
from dfs_sdk.rpc.base import Caller, Refusal, RefusalCode, RpcService
from dfs_sdk.runtime.ports import Runtime
from dfs_sdk.runtime.tasks import TaskScope, run_all
from dfs_sdk.store.base import DocumentStore
from dfs_sdk.transport.contact import Contact

logger = logging.getLogger(__name__)

REMEMBER_INTERVAL = 60.0
JOIN_PARALLEL = 8
# Buckets looked into in one turn of maintenance, and on joining.
REFRESH_MAX = 4
JOIN_REFRESH_MAX = 16


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
        self._publisher = Publisher(
            rpc=rpc,
            table=self.table,
            seeker=self._seeker,
            shelf=self._shelf,
            network_id=network_id,
            clock=self._clock,
            rng=self._rng,
            config=self._config,
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
        self._rpc.serve_at_once(FindNode, self._on_find_node)
        self._rpc.serve_at_once(FindRecord, self._on_find_record)
        self._rpc.serve_at_once(StoreRecord, self._on_store_record)
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
        return await self._publisher.put(record)

    async def publish(self, kind: RecordKind, key: bytes, value: bytes) -> int:
        """Sign and store a record of ours and keep it alive until `unpublish`; a repeated call changes its value.

        Returns:
            How many nodes hold it at first.

        Raises:
            ValueError: The value is empty or over 1,000 bytes, or the key is not 32 bytes.
            ProtocolError: The key does not fit the kind.
        """
        return await self._publisher.publish(kind, key, value)

    async def unpublish(self, kind: RecordKind, key: bytes) -> None:
        """Stop keeping a record alive and tell its holders that it is taken back; one never published is fine."""
        await self._publisher.unpublish(kind, key)

    async def maintain(self) -> None:
        """Do what is due: drop expired records, publish ours again, look into neglected regions, remember peers."""
        now = self._clock.monotonic()
        self._shelf.expire(now_wall=self._clock.wall())
        await self._publisher.publish_due()
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

    async def _check(self, contact: Contact) -> None:
        """Ask whether a silent contact is back."""
        await self._introduce(contact, FindNode(target=self._rpc.node_id, serves=False))

    def _meet(self, caller: Caller) -> None:
        """Enter a node that asked us: its session proves its keys and its address, so nothing is left to ask it."""
        self.table.answered(caller.contact, self._clock.monotonic())

    def _on_find_node(self, caller: Caller, request: FindNode, _body: memoryview) -> Found:
        return self._answer(caller, request.target, serves=request.serves)

    def _on_find_record(self, caller: Caller, request: FindRecord, _body: memoryview) -> Found:
        records = self._shelf.get(request.kind, request.key, now_wall=self._clock.wall(), rng=self._rng)
        return self._answer(caller, request.key, serves=request.serves, records=tuple(records))

    def _answer(self, caller: Caller, target: bytes, *, serves: bool, records: tuple[Record, ...] = ()) -> Found:
        if serves:
            self._meet(caller)
        closest = self.table.closest(target, self._config.bucket_size, without=caller.node_id)
        return Found(
            contacts=tuple(closest),
            token=self._mint.make(caller.node_id, caller.address, self._clock.monotonic()),
            serves=self._serves(),
            records=records,
        )

    def _on_store_record(self, caller: Caller, request: StoreRecord, _body: memoryview) -> StoreReply:
        if not self._mint.check(request.token, caller.node_id, caller.address, self._clock.monotonic()):
            raise Refusal(RefusalCode.DENIED, "the write token is not for this node, or too old")
        now_wall = self._clock.wall()
        owner = verify_record(request.record, self._network_id, now_wall=now_wall)
        result, sequence = self._shelf.put(
            request.record, owner=owner, prefix=prefix_of(caller.address), now_wall=now_wall
        )
        return StoreReply(result=result, sequence=sequence)
