"""What can be tuned about knowing who is up. Durations are seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from dfs_sdk.errors import ConfigError, require_above_zero, require_at_least
from dfs_sdk.peers.messages import GOSSIP_ITEMS_MAX

DAY = 86_400.0
MEMBERS_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PeersConfig:
    """How a node watches the others.

    Attributes:
        probe_interval: Pause between two probes, each of one member, in random order without repetition.
        probe_timeout: Wait for the answer of a probe, direct or through others; afterwards the peer is lagging.
        probes_max: Probes under way at one time, at most half because of rumours; a turn beyond that is skipped.
        indirect_count: Members asked to probe in our stead when a direct probe fails.
        suspicion_min: Shortest time from suspect to away: silences below it never cause repair.
        suspicion_scale: Probe intervals per power of ten of the network's size that a suspicion lasts at least.
        suspicion_slack: How many times longer it lasts while nobody else confirms it.
        suspicion_confirmations: Confirmations by others that bring the suspicion down to its shortest.
        busy_grace: How long after the end of its lease a busy peer is still not suspected.
        busy_max: The longest lease we believe.
        down_time_mean: Mean of the time peers stay away, for the odds that one returns.
        gone_below: A silent peer whose odds of returning fall below this is gone.
        clock_jump_max: If our own tick comes this much late we slept: drop suspicions before accusing anybody.
        partition_silent_min: More silent members than this (and than the share) within the window: a partition?
        partition_silent_share: Share of the members, within (0, 1].
        partition_window: Within how long they fell silent.
        partition_freeze: How long nobody is declared gone afterwards.
        gossip_items_max: Descriptions and rumours one probe carries, each.
        gossip_scale: Times an item is passed on per power of ten of the network's size.
        sync_interval: Pause between two comparisons of the member list with a random member.
        describe_interval: Shortest time between two descriptions of ourselves for a change of used bytes.
        persist_interval: Pause between two writes of the peers to the store.
        persist_count: Peers kept in the store for a rejoin.
        rejoin_parallel: Peers tried at one time in a rejoin.
        members_max: The most members known, those gone included; further ones are not learned.
        forget_after: When members that left or are gone are forgotten altogether.
        leave_timeout: The longest a farewell takes.
        standstill_after: How long the node's loop stands still before it is said to be busy; 0 to leave it unsaid.
        standstill_lease: For how long it is said to be busy each time.
        standstill_interval: Pause before that is said again.
    """

    probe_interval: float = 1.0
    probe_timeout: float = 2.0
    probes_max: int = 8
    indirect_count: int = 3
    suspicion_min: float = 30.0
    suspicion_scale: float = 4.0
    suspicion_slack: float = 2.0
    suspicion_confirmations: int = 3
    busy_grace: float = 60.0
    busy_max: float = DAY
    down_time_mean: float = 1800.0
    gone_below: float = 0.01
    clock_jump_max: float = 1.0
    partition_silent_min: int = 3
    partition_silent_share: float = 0.1
    partition_window: float = 60.0
    partition_freeze: float = 600.0
    gossip_items_max: int = GOSSIP_ITEMS_MAX
    gossip_scale: float = 4.0
    sync_interval: float = 30.0
    describe_interval: float = 10.0
    persist_interval: float = 30.0
    persist_count: int = 256
    rejoin_parallel: int = 8
    members_max: int = MEMBERS_MAX
    forget_after: float = 7 * DAY
    leave_timeout: float = 2.0
    standstill_after: float = 1.0
    standstill_lease: float = 30.0
    standstill_interval: float = 10.0

    def __post_init__(self) -> None:
        require_above_zero(
            self,
            "probe_interval", "probe_timeout", "probes_max", "suspicion_scale", "down_time_mean", "clock_jump_max",
            "partition_window", "gossip_scale", "sync_interval", "describe_interval", "persist_interval",
            "persist_count", "rejoin_parallel", "forget_after", "leave_timeout", "suspicion_confirmations",
            "standstill_lease", "standstill_interval",
        )  # fmt: skip
        if not 0 < self.partition_silent_share <= 1 or not 0 < self.gone_below < 1:
            raise ConfigError("partition_silent_share and gone_below are shares: give a number between 0 and 1")
        if not 1 <= self.gossip_items_max <= GOSSIP_ITEMS_MAX:
            raise ConfigError(f"gossip_items_max is {self.gossip_items_max}: give 1 to {GOSSIP_ITEMS_MAX}")
        if not 2 <= self.members_max <= MEMBERS_MAX:
            raise ConfigError(f"members_max is {self.members_max}: give 2 to {MEMBERS_MAX}")
        require_at_least(0, self, "standstill_after")
        require_at_least(1, self, "suspicion_slack")

    @classmethod
    def quick(cls) -> Self:
        """Settings for a swarm inside one kernel: a killed node is gone within about five seconds."""
        return cls(
            probe_interval=0.25,
            probe_timeout=0.5,
            suspicion_min=1.0,
            busy_grace=5.0,
            down_time_mean=0.5,
            partition_silent_share=0.5,
            partition_window=5.0,
            partition_freeze=5.0,
            sync_interval=2.0,
            describe_interval=1.0,
            persist_interval=5.0,
            leave_timeout=1.0,
            # They all stand still together: nobody is there to hear it.
            standstill_after=0.0,
        )
