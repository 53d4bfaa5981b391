"""What can be tuned in the exchange: each field with its unit, its default and the reason for it."""

from __future__ import annotations

from dataclasses import dataclass

from dfs_sdk.errors import ConfigError, require_above_zero, require_at_least

KIB = 1024
MIB = 1024 * KIB

# A chunk of 4 MiB and what sealing adds to it; also the most that one call carries.
SEALED_BYTES_MAX = 4 * MIB + KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeConfig:
    """Settings of one node's exchange; durations in seconds.

    Attributes:
        cells: Placement cells of the network; a chunk of another cell is refused.
        push_bytes_max: Chunk bytes this node sends at one time, over all peers.
        peer_push_bytes_max: The same to one peer, so that a silent one cannot hold up the others.
        fetch_bytes_max: Chunk bytes this node fetches at one time; apart from the above, so that storing and repair
            cannot hold up reading.
        lend_bytes_max: Chunk bytes kept in memory for others that want them at the same time; 0 for none, and then this
            node is not served by others' either.
        push_timeout: For one chunk to reach a peer's disk: 4 MiB at 1 Mbit/s take 34 s.
        fetch_timeout: For one chunk to arrive from one source.
        ask_timeout: For questions without bulk bytes.
        choice_window: Sources at the front of the list among which two are drawn.
        sources_parallel_max: Sources asked for one chunk at the same time.
        hedge_delay_min: A second source is never asked earlier than this.
        hedge_delay_max: Nor later, while the hedging budget lasts.
        hedge_ratio: Share of fetches that may ask a second source before the first is called slow.
        failover_delay_min: After this, or four times the usual time, the next source is asked whatever the budget.
        failover_delay_max: Upper bound of that.
        push_concurrency: Pushes of all peers served at one time.
        fetch_concurrency: Fetches of all peers served at one time; each holds a chunk in memory.
        tombstone_seconds: How long a removal is remembered for holders that were away.
        tombstones_max: Removals remembered; the oldest go first. Each takes about 200 bytes of memory.
        peers_max: Peers whose load is remembered.
        fault_half_life: Time in which a peer's bad record halves.
    """

    cells: int = 4096
    push_bytes_max: int = 32 * MIB
    peer_push_bytes_max: int = 16 * MIB
    fetch_bytes_max: int = 32 * MIB
    lend_bytes_max: int = 16 * MIB
    push_timeout: float = 60.0
    fetch_timeout: float = 60.0
    ask_timeout: float = 5.0
    choice_window: int = 3
    sources_parallel_max: int = 3
    hedge_delay_min: float = 0.05
    hedge_delay_max: float = 0.5
    hedge_ratio: float = 0.05
    failover_delay_min: float = 2.0
    failover_delay_max: float = 20.0
    push_concurrency: int = 32
    fetch_concurrency: int = 16
    tombstone_seconds: float = 7 * 86_400.0
    tombstones_max: int = 100_000
    peers_max: int = 10_000
    fault_half_life: float = 600.0

    def __post_init__(self) -> None:
        for name in ("push_bytes_max", "peer_push_bytes_max", "fetch_bytes_max"):
            if getattr(self, name) < SEALED_BYTES_MAX:
                raise ConfigError(f"{name} must hold one chunk: at least {SEALED_BYTES_MAX} bytes")
        if not 0 <= self.hedge_ratio <= 1:
            raise ConfigError(f"hedge_ratio must be within 0 and 1, not {self.hedge_ratio}")
        if not 0 < self.hedge_delay_min <= self.hedge_delay_max:
            raise ConfigError("hedge_delay_min must be above 0 and at most hedge_delay_max")
        if not 0 < self.failover_delay_min <= self.failover_delay_max:
            raise ConfigError("failover_delay_min must be above 0 and at most failover_delay_max")
        require_at_least(0, self, "lend_bytes_max")
        counts = ("cells", "choice_window", "sources_parallel_max", "push_concurrency", "fetch_concurrency")
        require_at_least(1, self, *counts, "tombstones_max", "peers_max")
        require_above_zero(self, "push_timeout", "fetch_timeout", "ask_timeout", "tombstone_seconds", "fault_half_life")
