"""Keeps records of ours alive: signs them, stores them on the nodes closest to their key, and does so again in time."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

from dfs_sdk.dht.config import DhtConfig
from dfs_sdk.dht.messages import Record, RecordBody, RecordKind, StoreRecord, StoreResult
from dfs_sdk.dht.records import Shelf, sign_record, verify_record
from dfs_sdk.dht.routing import RoutingTable
from dfs_sdk.dht.seeker import Findings, Seeker
from dfs_sdk.errors import DfsError, RemoteError
from dfs_sdk.ids import NetworkId, NodeId
from dfs_sdk.rpc.base import Refusal, RpcService
from dfs_sdk.runtime.ports import Clock, Rng
from dfs_sdk.runtime.tasks import run_all
from dfs_sdk.transport.contact import Contact

logger = logging.getLogger(__name__)

# Pause before a record that nobody took is published again.
RETRY_INTERVAL = 30.0
STORE_PARALLEL = 8


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


class Publisher:
    """Stores records.

    Args:
        rpc: Calls the nodes that are to hold them.
        table: Learns who did not answer.
        seeker: Finds those nodes.
        shelf: What this node holds itself.
        network_id: Records count only for this network.
        clock: Wall time for expiry and sequence, monotonic time for what is due.
        rng: Spreads the publications over time.
        config: Life of a record and limits.
    """

    def __init__(
        self,
        *,
        rpc: RpcService,
        table: RoutingTable,
        seeker: Seeker,
        shelf: Shelf,
        network_id: NetworkId,
        clock: Clock,
        rng: Rng,
        config: DhtConfig,
    ) -> None:
        self._rpc = rpc
        self._table = table
        self._seeker = seeker
        self._shelf = shelf
        self._network_id = network_id
        self._clock = clock
        self._rng = rng
        self._config = config
        self._publications: dict[tuple[RecordKind, bytes], _Publication] = {}

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
            *(self._store_at(contact, record, findings) for contact in findings.closest), limit=STORE_PARALLEL
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
            ProtocolError: The key does not fit the kind.
        """
        if not value:
            raise ValueError("an empty value means that a record is taken back: use `unpublish`")
        slot = (kind, key)
        record = self._sign(kind, key, value)
        # What does not count now never will: it must not be tried again and again.
        verify_record(record, self._network_id, now_wall=self._clock.wall())
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

    async def publish_due(self) -> None:
        """Publish again what is due, in the order of the keys: neighbours are stored on the same nodes."""
        now = self._clock.monotonic()
        due = sorted(
            (slot for slot, publication in self._publications.items() if publication.due_at <= now),
            key=lambda slot: (slot[1], slot[0].value),
        )
        await run_all(*(self._republish(slot) for slot in due), limit=self._config.publish_parallel)

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
            self._table.failed(contact.node_id)
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
