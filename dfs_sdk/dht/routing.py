"""The routing table: which nodes we know near and far in the id space; pure.

Bucket i holds nodes that share exactly i leading bits with us. A node enters only after it answered us over an
authenticated connection. Old contacts are preferred: a newcomer to a full bucket waits until an old one fails, because
nodes that stayed long stay longer, and because an attacker cannot flush the table with new identities.

Source: Maymounkov, Mazières, "Kademlia" (2002), sections 2.2 to 2.4; Heilman et al., "Eclipse Attacks on Bitcoin's
Peer-to-Peer Network" (2015) for the limits on diversity.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from dfs_sdk.dht.config import DhtConfig
from dfs_sdk.ids import NodeId
from dfs_sdk.rpc.addresses import prefix_of
from dfs_sdk.runtime.ports import Rng
from dfs_sdk.transport.contact import Contact

ID_BITS = 256


class Entered(Enum):
    """What became of a node that answered."""

    ADDED = "added"
    KNOWN = "known"
    WAITING = "waiting"
    REFUSED = "refused"


@dataclass(slots=True)
class Entry:
    """A node in the table.

    Attributes:
        contact: Its keys and the addresses it answered at.
        prefix: The public network it was met in, if any.
        since: Monotonic seconds of its first answer.
        heard_at: Monotonic seconds of its latest answer.
        failures: Questions in a row it did not answer.
    """

    contact: Contact
    prefix: bytes | None
    since: float
    heard_at: float
    failures: int = 0


@dataclass(slots=True)
class _Bucket:
    entries: dict[NodeId, Entry] = field(default_factory=dict)
    waiting: dict[NodeId, Entry] = field(default_factory=dict)
    looked_at: float = 0.0


class RoutingTable:
    """Contacts by distance.

    Args:
        owner: This node, which is never in its own table.
        config: Sizes and limits.
        now: Monotonic seconds.
    """

    def __init__(self, owner: NodeId, config: DhtConfig, *, now: float) -> None:
        self._owner = int.from_bytes(owner, "big")
        self._config = config
        self._buckets: dict[int, _Bucket] = {}
        self._prefixes: Counter[bytes] = Counter()
        self._count = 0
        self._started = now

    def __len__(self) -> int:
        return self._count

    def __contains__(self, node_id: object) -> bool:
        return isinstance(node_id, NodeId) and self.get(node_id) is not None

    def __iter__(self) -> Iterator[Entry]:
        """Iterate over all entries, far buckets first, oldest first."""
        for index in sorted(self._buckets):
            yield from self._buckets[index].entries.values()

    def get(self, node_id: NodeId) -> Entry | None:
        """Return the entry of a node in the table."""
        bucket = self._buckets.get(self._index(node_id))
        return bucket.entries.get(node_id) if bucket is not None else None

    def is_full(self, target: bytes) -> bool:
        """Say whether the bucket of a target has as many contacts as it may."""
        bucket = self._buckets.get(self._index(target))
        return bucket is not None and len(bucket.entries) >= self._config.bucket_size

    def answered(self, contact: Contact, now: float) -> Entered:
        """Enter a node that answered us over an authenticated connection, at the first of its addresses."""
        node_id = contact.node_id
        index = self._index(node_id)
        if index >= ID_BITS or not contact.addresses:
            return Entered.REFUSED
        bucket = self._bucket(index)
        known = bucket.entries.get(node_id)
        if known is not None:
            known.heard_at, known.failures = now, 0
            self._move(known, contact)
            return Entered.KNOWN
        entry = Entry(contact, prefix_of(contact.addresses[0]), since=now, heard_at=now)
        if len(bucket.entries) < self._config.bucket_size and self._diverse(bucket, entry):
            self._add(bucket, node_id, entry)
            return Entered.ADDED
        bucket.waiting.pop(node_id, None)
        bucket.waiting[node_id] = entry
        if len(bucket.waiting) > self._config.bucket_size:
            del bucket.waiting[next(iter(bucket.waiting))]
        return Entered.WAITING

    def failed(self, node_id: NodeId) -> None:
        """Count a question without an answer; a contact that failed too often gives way to a waiting one."""
        bucket = self._buckets.get(self._index(node_id))
        if bucket is None:
            return
        bucket.waiting.pop(node_id, None)
        entry = bucket.entries.get(node_id)
        if entry is None:
            return
        entry.failures += 1
        # Without a replacement a silent contact is better than none: the network may be what failed.
        if entry.failures >= self._config.failures_max:
            self._replace(bucket, node_id)

    def remove(self, node_id: NodeId) -> None:
        """Drop a node that said goodbye."""
        bucket = self._buckets.get(self._index(node_id))
        if bucket is None:
            return
        bucket.waiting.pop(node_id, None)
        if node_id in bucket.entries:
            self._drop(bucket, node_id)
            self._fill(bucket)

    def closest(self, target: bytes, count: int, *, without: NodeId | None = None) -> list[Contact]:
        """Return the contacts closest to a target, closest first.

        Silent ones would cost whoever asks them a time-out. They count only where nobody else is left: it may be our
        own network that fails.
        """
        place = int.from_bytes(target, "big")

        def distance(entry: Entry) -> int:
            return place ^ int.from_bytes(entry.contact.node_id, "big")

        entries = [entry for entry in self if entry.contact.node_id != without]
        heard = [entry for entry in entries if not self._is_silent(entry)]
        return [entry.contact for entry in heapq.nsmallest(count, heard or entries, key=distance)]

    def silent(self) -> list[Contact]:
        """Return the contacts that failed too often and stay because nobody waits for their place."""
        return [entry.contact for entry in self if self._is_silent(entry)]

    def looked_up(self, target: bytes, now: float) -> None:
        """Note that the region of a target was looked into."""
        bucket = self._buckets.get(self._index(target))
        if bucket is not None:
            bucket.looked_at = now

    def stale_targets(self, now: float, rng: Rng) -> list[bytes]:
        """Draw a random target in every region that was not looked into for `refresh_interval`.

        The regions are the buckets down to our own neighbourhood, empty ones too: nobody known there does not mean that
        nobody is. The neighbourhood counts as one, since a lookup anywhere in it brings all of it.
        """
        due = now - self._config.refresh_interval
        buckets = [self._bucket(index) for index in range(self._neighbourhood() + 1)]
        return [self._target_in(index, rng) for index, bucket in enumerate(buckets) if bucket.looked_at <= due]

    def oldest(self, count: int) -> list[Contact]:
        """Return the contacts known longest that still answer."""
        good = [entry for entry in self if entry.failures == 0]
        return [entry.contact for entry in heapq.nsmallest(count, good, key=lambda entry: entry.since)]

    def _index(self, node_id: bytes) -> int:
        """Count the leading bits a node id shares with ours; 256 for our own."""
        return ID_BITS - (self._owner ^ int.from_bytes(node_id, "big")).bit_length()

    def _neighbourhood(self) -> int:
        """Find the first bucket from which on all nearer ones together hold no more than a bucket may; -1 if empty."""
        nearer, first = 0, max((index for index, bucket in self._buckets.items() if bucket.entries), default=-1)
        for index in range(first, -1, -1):
            bucket = self._buckets.get(index)
            nearer += len(bucket.entries) if bucket is not None else 0
            if nearer > self._config.bucket_size:
                break
            first = index
        return first

    def _is_silent(self, entry: Entry) -> bool:
        return entry.failures >= self._config.failures_max

    def _bucket(self, index: int) -> _Bucket:
        return self._buckets.setdefault(index, _Bucket(looked_at=self._started))

    def _target_in(self, index: int, rng: Rng) -> bytes:
        # Share `index` bits with us, differ in the next one, draw the rest.
        free = ID_BITS - index - 1
        place = ((self._owner >> free) ^ 1) << free
        for shift in range(0, free, 32):
            place ^= rng.randrange(0, 2 ** min(32, free - shift)) << shift
        return place.to_bytes(ID_BITS // 8, "big")

    def _diverse(self, bucket: _Bucket, entry: Entry) -> bool:
        if entry.prefix is None:
            return True
        here = sum(other.prefix == entry.prefix for other in bucket.entries.values())
        config = self._config
        return here < config.bucket_prefix_max and self._prefixes[entry.prefix] < config.table_prefix_max

    def _move(self, entry: Entry, contact: Contact) -> None:
        """Take over a node's current addresses; it stays where it is even if its network is crowded."""
        prefix = prefix_of(contact.addresses[0])
        if prefix != entry.prefix:
            self._count_prefix(entry.prefix, -1)
            self._count_prefix(prefix, 1)
        entry.contact, entry.prefix = contact, prefix

    def _add(self, bucket: _Bucket, node_id: NodeId, entry: Entry) -> None:
        bucket.entries[node_id] = entry
        bucket.waiting.pop(node_id, None)
        self._count += 1
        self._count_prefix(entry.prefix, 1)

    def _drop(self, bucket: _Bucket, node_id: NodeId) -> None:
        entry = bucket.entries.pop(node_id)
        self._count -= 1
        self._count_prefix(entry.prefix, -1)

    def _replace(self, bucket: _Bucket, node_id: NodeId) -> None:
        """Put a waiting node in the place of a failed one, if there is one that fits."""
        entry = bucket.entries[node_id]
        self._drop(bucket, node_id)
        if not self._fill(bucket):
            self._add(bucket, node_id, entry)

    def _fill(self, bucket: _Bucket) -> bool:
        """Take in the latest waiting node that fits."""
        for node_id in reversed(tuple(bucket.waiting)):
            entry = bucket.waiting[node_id]
            if self._diverse(bucket, entry):
                self._add(bucket, node_id, entry)
                return True
        return False

    def _count_prefix(self, prefix: bytes | None, change: int) -> None:
        if prefix is None:
            return
        self._prefixes[prefix] += change
        if self._prefixes[prefix] <= 0:
            del self._prefixes[prefix]
