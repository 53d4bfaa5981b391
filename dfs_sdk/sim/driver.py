"""Drives a world for callers outside of it, a notebook's loop above all: what `runtime.driven` asks for."""

from __future__ import annotations

from dfs_sdk.sim.loop import SimLoop
from dfs_sdk.sim.scheduler import Ending
from dfs_sdk.sim.world import World


class WorldDriver:
    """Gives a world its turns.

    Args:
        world: The world.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    @property
    def loop(self) -> SimLoop:
        """The loop that is nobody's host."""
        return self._world.loop

    def turn(self, seconds: float, *, wanted: bool) -> bool:
        """See `runtime.driven.Driver`.

        Raises:
            LivelockError: No time passes any more.
        """
        scheduler = self._world.scheduler
        if not wanted:
            scheduler.drive(until=scheduler.now)
            return False
        return scheduler.drive(real_seconds=seconds) is not Ending.IDLE

    def stop(self) -> None:
        """See `runtime.driven.Driver`."""
        self._world.scheduler.stop()

    def end(self) -> None:
        """See `runtime.driven.Driver`."""
        self._world.close()
