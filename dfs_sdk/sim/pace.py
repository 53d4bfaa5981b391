"""How often the nodes of a swarm look around: in a hurry for a minute in a cell, at leisure for a simulated day."""

from __future__ import annotations

from dataclasses import replace

from dfs_sdk.dht.config import DhtConfig
from dfs_sdk.errors import ConfigError
from dfs_sdk.node.config import NodeConfig
from dfs_sdk.peers.config import PeersConfig
from dfs_sdk.replication.config import ReplicationConfig

ROOM_AT_FULL_SPEED = 8
SLOWER_MAX = 1000.0
LAG_SECONDS = 1.0
"""How often a loop's lateness is looked at: a block is seen as well, and costs a tenth of the ticks."""


def hurried(count: int = 8) -> NodeConfig:
    """Settings of nodes that miss a silent peer within seconds instead of hours: for networks inside one kernel.

    Args:
        count: How many nodes share the kernel. They share its one core, too: beyond 8 their rhythms slow down with
            their number, or answers would come later than they are waited for.
    """
    slower = max(1.0, count / ROOM_AT_FULL_SPEED)
    peers, dht, replication = PeersConfig.quick(), DhtConfig.quick(), ReplicationConfig.quick()
    return NodeConfig(
        peers=replace(
            peers,
            probe_interval=peers.probe_interval * slower,
            probe_timeout=peers.probe_timeout * slower,
            suspicion_min=peers.suspicion_min * slower,
            sync_interval=peers.sync_interval * slower,
        ),
        dht=replace(
            dht,
            query_timeout=dht.query_timeout * slower,
            lookup_timeout=dht.lookup_timeout * slower,
            maintain_interval=dht.maintain_interval * slower,
        ),
        replication=replace(
            replication,
            ask_timeout=replication.ask_timeout * slower,
            repair_interval=replication.repair_interval * slower,
            settle_time=replication.settle_time * slower,
        ),
    )


def at_leisure(slower: float, config: NodeConfig | None = None) -> NodeConfig:
    """Settings of nodes that look around less often: a simulated day costs that much less.

    What a node does when it is asked, how long it waits for answers and how it repairs stay as they are. What it
    notices by itself, a silent peer above all, it notices later.

    Args:
        slower: How many times longer the pauses are between probes, comparisons and rounds; 1 to 1,000.
        config: What to begin with; by default the settings of any node.

    Raises:
        ConfigError: A factor out of range.
    """
    if not 1 <= slower <= SLOWER_MAX:
        raise ConfigError(f"slower is {slower}: give 1 to {SLOWER_MAX:g}")
    base = config or NodeConfig()
    peers, dht, replication = base.peers, base.dht, base.replication
    return replace(
        base,
        chat=replace(base.chat, sync_interval=base.chat.sync_interval * slower),
        files=replace(base.files, audit_interval=base.files.audit_interval * slower),
        lag_interval=max(base.lag_interval, LAG_SECONDS * slower),
        peers=replace(
            peers,
            probe_interval=peers.probe_interval * slower,
            clock_jump_max=peers.clock_jump_max * slower,  # else the jitter of a long pause looks like a sleep
            sync_interval=peers.sync_interval * slower,
            describe_interval=peers.describe_interval * slower,
            persist_interval=peers.persist_interval * slower,
        ),
        dht=replace(dht, maintain_interval=dht.maintain_interval * slower),
        replication=replace(replication, repair_interval=replication.repair_interval * slower),
    )
