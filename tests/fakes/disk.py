"""The simulated disk under the names that the tests of the store use."""

from __future__ import annotations

from dfs_sdk.sim.disk import PowerCut, Survival
from dfs_sdk.sim.disk import SimDisk as FakeDisk
from dfs_sdk.sim.platter import EntryChange
from dfs_sdk.sim.platter import SimFile as FakeFile

__all__ = ["EntryChange", "FakeDisk", "FakeFile", "PowerCut", "Survival"]
