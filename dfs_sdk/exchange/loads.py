"""What answers have taught us about each peer: its load, and whether it ever sent damaged bytes. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from dfs_sdk.exchange.messages import HolderLoad
from dfs_sdk.exchange.scheduler import SERVICE_TIME_UNKNOWN, PeerLoad
from dfs_sdk.ids import NodeId

FAULTS_MAX = 1024.0


@dataclass(slots=True)
class _Record:
    inflight: int = 0
    owed_bytes: int = 0
    queue: int = 0
    service_time: float = SERVICE_TIME_UNKNOWN
    faults: float = 0.0
    faulted_at: float = 0.0


class LoadBook:
    """Remembers the load of up to `peers_max` peers; the longest unused are forgotten first.

    Args:
        peers_max: Peers remembered.
        fault_half_life: Seconds in which a bad record halves.
    """

    def __init__(self, *, peers_max: int, fault_half_life: float) -> None:
        self._peers_max = peers_max
        self._half_life = fault_half_life
        self._records: dict[NodeId, _Record] = {}

    def __len__(self) -> int:
        return len(self._records)

    def load(self, peer: NodeId, *, rtt: float | None, now: float) -> PeerLoad:
        """Say what is known of a peer; guesses where nothing is."""
        record = self._records.get(peer, _Record())
        return PeerLoad(
            inflight=record.inflight,
            queue=record.queue,
            service_time=record.service_time,
            rtt=rtt,
            faults=self._faults(record, now),
        )

    def owed_bytes(self, peer: NodeId) -> int:
        """Bytes that calls under way are to bring from a peer."""
        record = self._records.get(peer)
        return 0 if record is None else record.owed_bytes

    @contextmanager
    def calling(self, peer: NodeId, *, owed_bytes: int = 0) -> Iterator[None]:
        """Count a call to a peer as under way inside the block, and what it is to bring."""
        record = self._touch(peer)
        record.inflight += 1
        record.owed_bytes += owed_bytes
        try:
            yield
        finally:
            record.inflight -= 1
            record.owed_bytes -= owed_bytes

    def learn(self, peer: NodeId, load: HolderLoad) -> None:
        """Take in what an answer told."""
        record = self._touch(peer)
        record.queue = load.queue
        record.service_time = load.service_time

    def blame(self, peer: NodeId, *, now: float) -> None:
        """Remember that a peer sent damaged bytes."""
        record = self._touch(peer)
        record.faults = min(self._faults(record, now) + 1.0, FAULTS_MAX)
        record.faulted_at = now

    def _faults(self, record: _Record, now: float) -> float:
        if not record.faults:
            return 0.0
        # The exponent is bounded: 2 ** -1100 is 0 anyway, larger ones would overflow on the way.
        halvings = min(max(now - record.faulted_at, 0.0) / self._half_life, 1100.0)
        return float(record.faults * 2.0**-halvings)

    def _touch(self, peer: NodeId) -> _Record:
        record = self._records.pop(peer, None) or _Record()
        self._records[peer] = record
        if len(self._records) > self._peers_max:
            idle = next((known for known, old in self._records.items() if not old.inflight), None)
            if idle is not None and idle != peer:
                del self._records[idle]
        return record
