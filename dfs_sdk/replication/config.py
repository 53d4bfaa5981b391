"""What can be tuned about copies. Durations are seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from dfs_sdk.errors import ConfigError, require_above_zero, require_at_least
from dfs_sdk.replication.policy import REPLICAS_MAX

MIB = 1024 * 1024
CELLS_MAX = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicationConfig:
    """How a node places, watches and repairs copies.

    Attributes:
        replicas: Copies of each chunk where a put does not say otherwise.
        cells: Placement cells; fixed at a network's birth, 2 to 65,536.
        fill_max: A node fuller than this share of its capacity takes no new primary copies.
        rank_slack: A holder stays a primary one until its rank is this far beyond the chosen ones.
        interest_rank: Cells in which this node ranks better than this are watched for chunks it should hold.
        stand_ins_max: Nodes tried beyond the chosen ones when some do not take a chunk.
        push_timeout: For one chunk to be durable on one peer.
        ask_timeout: For questions without bulk bytes.
        repair_interval: Pause between two rounds when there is no news.
        settle_time: After news about members, and for fresh chunks, before anything is repaired.
        stagger: Each holder waits its rank times this for those before it to repair.
        claim_ttl: How long another holder's word that it repairs keeps us from doing it.
        odds_min: A silent holder counts as a copy while the odds of its return are at least this.
        repair_bytes_per_second: Bytes of repair and rebalancing, twice that when a chunk has one copy left.
        repair_burst_bytes: Bytes that may go at once after a quiet time, at least one chunk.
        repair_parallel: Chunks on their way at one time.
        survey_peers_max: Peers asked in one round what they hold: all in a network no larger than that, else mostly
            those who share cells with us.
        refusal_pause: A peer that refused a copy or did not answer is not asked again for this long.
        trim_fill_min: Above this share of our capacity surplus copies go as soon as they are not needed.
        surplus_keep: Below it they go after having been superfluous for this long.
        confirm_age_max: A holder's word counts for a trim when it is no older than this.
        promise_time: How long a holder keeps what another one's trim relies on.
        promises_max: Promises and repair claims remembered, each; beyond that none are given or noted.
        claims_per_peer_max: Chunks of one peer that are remembered; further ones are not asked for.
        claims_max: The same for all peers together, of which none may have more than half of what the others left:
            some 300 bytes each.
    """

    replicas: int = 3
    cells: int = 4096
    fill_max: float = 0.95
    rank_slack: int = 2
    interest_rank: int = 8
    stand_ins_max: int = 8
    push_timeout: float = 60.0
    ask_timeout: float = 5.0
    repair_interval: float = 60.0
    settle_time: float = 10.0
    stagger: float = 2.0
    claim_ttl: float = 30.0
    odds_min: float = 0.5
    repair_bytes_per_second: float = 2.5 * MIB
    repair_burst_bytes: int = 16 * MIB
    repair_parallel: int = 4
    survey_peers_max: int = 64
    refusal_pause: float = 60.0
    trim_fill_min: float = 0.8
    surplus_keep: float = 3600.0
    confirm_age_max: float = 60.0
    promise_time: float = 120.0
    promises_max: int = 100_000
    claims_per_peer_max: int = 200_000
    claims_max: int = 2_000_000

    def __post_init__(self) -> None:
        if not 1 <= self.replicas <= REPLICAS_MAX:
            raise ConfigError(f"replicas is {self.replicas}: give 1 to {REPLICAS_MAX} copies")
        if not 2 <= self.cells <= CELLS_MAX:
            raise ConfigError(f"cells is {self.cells}: give 2 to {CELLS_MAX}")
        for name in ("fill_max", "odds_min", "trim_fill_min"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: give a share above 0 and at most 1")
        require_above_zero(
            self,
            "interest_rank", "push_timeout", "ask_timeout", "repair_interval", "claim_ttl", "repair_bytes_per_second",
            "repair_parallel", "survey_peers_max", "confirm_age_max", "promise_time", "promises_max",
            "claims_per_peer_max", "claims_max",
        )  # fmt: skip
        require_at_least(
            0, self, "rank_slack", "stand_ins_max", "settle_time", "stagger", "refusal_pause", "surplus_keep"
        )
        if self.repair_burst_bytes < 5 * MIB:
            raise ConfigError(
                f"repair_burst_bytes is {self.repair_burst_bytes}: one chunk must fit, give 5 MiB or more"
            )

    @classmethod
    def quick(cls) -> Self:
        """Settings for a swarm inside one kernel, where a lost copy is back within seconds."""
        return cls(
            push_timeout=20.0,
            ask_timeout=2.0,
            repair_interval=2.0,
            settle_time=0.5,
            stagger=0.5,
            claim_ttl=5.0,
            repair_bytes_per_second=200.0 * MIB,
            repair_burst_bytes=64 * MIB,
            survey_peers_max=8,
            refusal_pause=3.0,
            surplus_keep=60.0,
            promise_time=20.0,
        )
