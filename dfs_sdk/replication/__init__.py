"""How many copies, where, and how lost ones come back: cells, weighted rendezvous, repair by the odds of return."""

from dfs_sdk.replication.config import ReplicationConfig
from dfs_sdk.replication.events import CopyFetched, CopyTrimmed, RepairFinished, RepairStarted, ReplicationEvent
from dfs_sdk.replication.locator import Holding
from dfs_sdk.replication.placement import Placement, cells_of
from dfs_sdk.replication.policy import Policy
from dfs_sdk.replication.service import Replication
from dfs_sdk.replication.spreader import Spread

__all__ = [
    "CopyFetched",
    "CopyTrimmed",
    "Holding",
    "Placement",
    "Policy",
    "RepairFinished",
    "RepairStarted",
    "Replication",
    "ReplicationConfig",
    "ReplicationEvent",
    "Spread",
    "cells_of",
]
