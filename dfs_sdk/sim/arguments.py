"""What people give to a swarm, checked: whoever mistypes something is told so in words, and at once. Pure."""

from __future__ import annotations

from numbers import Integral, Real
from pathlib import Path

from dfs_sdk.errors import ConfigError
from dfs_sdk.sim.fidelity import Fidelity
from dfs_sdk.sim.scenario import Scenario, Timeline


def count_of(count: object, nodes_max: int) -> int:
    """Read how many nodes a swarm has.

    Args:
        count: What was given.
        nodes_max: The most there may be.

    Raises:
        ConfigError: It is no whole number, or out of range.
    """
    if not _is_whole(count) or not 1 <= int(count) <= nodes_max:  # type: ignore[call-overload] # a whole number
        raise ConfigError(f"a swarm has 1 to {nodes_max:,} nodes here, not {count!r}")
    return int(count)  # type: ignore[call-overload,no-any-return] # as above


def seed_of(seed: object) -> int | None:
    """Read a seed.

    Raises:
        ConfigError: It is neither a whole number nor None.
    """
    if seed is None:
        return None
    if not _is_whole(seed):
        raise ConfigError(f"seed is {seed!r}: give a whole number")
    return int(seed)  # type: ignore[call-overload,no-any-return] # a whole number


def fidelity_of(fidelity: object) -> Fidelity | None:
    """Read what a world does for real.

    Raises:
        ConfigError: It is neither a `Fidelity` nor None.
    """
    if fidelity is None or isinstance(fidelity, Fidelity):
        return fidelity
    raise ConfigError(f"fidelity is {fidelity!r}: give `dfs_sdk.sim.fidelity.Fidelity()` to seal every datagram")


def timeline_of(scenario: object) -> Timeline:
    """Read a scenario: one, the path of its file, anything that draws strikes, or None for nothing.

    Raises:
        ConfigError: It is none of these, or the file is no scenario.
        OSError: The file cannot be read.
    """
    if scenario is None:
        return Scenario()
    if isinstance(scenario, (str, Path)):
        return Scenario.load(scenario)
    if callable(getattr(scenario, "strikes", None)):
        return scenario  # type: ignore[return-value] # it has what a timeline has
    raise ConfigError(f"scenario is {scenario!r}: give a Scenario, the path of a TOML file, or Scenario.from_table(…)")


def seconds_of(**spans: object) -> float:
    """Add up `hours`, `minutes` and `seconds`, each a number.

    Raises:
        ConfigError: One of them is no number.
    """
    total = 0.0
    for name, value in spans.items():
        if isinstance(value, bool) or not isinstance(value, Real):
            raise ConfigError(f"{name} is {value!r}: give a number, such as {name}=10")
        total += float(value) * _UNITS[name]
    return total


_UNITS = {"hours": 3600.0, "minutes": 60.0, "seconds": 1.0}


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
