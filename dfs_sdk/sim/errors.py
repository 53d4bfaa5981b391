"""What can go wrong with a simulated world itself, as opposed to the nodes in it."""

from __future__ import annotations

from dfs_sdk.errors import ConfigError, DfsError


class NoSuchNodeError(ConfigError, IndexError):
    """A swarm has no node of that number or name; the message says which there are.

    Args:
        who: What was asked for.
        count: How many nodes there are.
    """

    def __init__(self, who: object, count: int) -> None:
        last = count - 1
        super().__init__(
            f"there is no node {who!r} in this swarm: give a number from 0 to {last}, or a name, n0 to n{last}"
        )


class DeadlockError(DfsError, RuntimeError):
    """Everything in the world waits and nothing is scheduled; the message names the tasks and where they wait."""


class LivelockError(DfsError, RuntimeError):
    """Callbacks call each other without end while no virtual time passes; the message names the last of them."""


class HostDownError(DfsError, ConnectionError):
    """The simulated host crashed or is not started: `restart` it first."""


class ForkError(DfsError, RuntimeError):
    """A forked child of the simulator could not be made, or ended without telling what it did."""


class CrewError(DfsError, ChildProcessError):
    """A process that ran a seed ended before it could say how it went; the message names the seed and how it ended."""
