"""What happens to the hosts of a simulated network and when: the vocabulary, timelines in Python and in files. Pure.

A timeline gives *strikes* in the order of their instants, for ever if it likes; who carries them out is in `stagehand`.
A `Scenario` is a list of acts, written down or read from TOML; people who come and go are in `churn`.
"""

from __future__ import annotations

import heapq
import math
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from dfs_sdk.errors import ConfigError
from dfs_sdk.runtime.ports import Rng

ACTS_MAX = 10_000
FILE_BYTES_MAX = 1_000_000
SECONDS_MAX = 10 * 366 * 86_400.0
REPEAT_MIN = 0.1

Duration = float | int | str
Who = str | int | float | tuple[str, ...] | list[str]
EnumT = TypeVar("EnumT", bound=Enum)


class ActKind(Enum):
    """What may happen."""

    PARTITION = "partition"
    REPAIR = "repair"
    CRASH = "crash"
    RESTART = "restart"
    FREEZE = "freeze"
    SLEEP = "sleep"
    CLOG = "clog"
    CORRUPT = "corrupt"
    LIE = "lie"


class Shape(Enum):
    """How a partition cuts hosts off."""

    GROUPS = "groups"
    """They and the rest do not reach each other."""

    ONE_WAY = "one-way"
    """What they send does not reach the rest; what the rest sends reaches them."""

    RING = "ring"
    """In a circle of them, each reaches its nearest neighbours only; the rest reaches all."""


TIMED = frozenset({ActKind.FREEZE, ActKind.SLEEP, ActKind.CLOG})
"""These need a duration; others may go on until a `repair` or a `restart`."""

ENDING = TIMED | {ActKind.PARTITION, ActKind.CRASH, ActKind.CORRUPT}
"""These may have one; the others happen at one instant, or go on until the node is restarted."""

AMOUNT = 0.01
"""Of `corrupt`, where nobody says how much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """One thing that happens to some hosts at one instant.

    Attributes:
        at: Virtual seconds since the timeline began.
        kind: What.
        hosts: Names of those it happens to; a `repair` has none.
        seconds: How long; None until something else ends it.
        amount: How bad, from 0 to 1, where that has a meaning.
        power: Whether a crash takes the power, and with it what was not synced; otherwise only the process ends.
        shape: How a partition cuts.
    """

    at: float
    kind: ActKind
    hosts: tuple[str, ...]
    seconds: float | None = None
    amount: float = 1.0
    power: bool = True
    shape: Shape = Shape.GROUPS


class Timeline(Protocol):
    """What draws strikes."""

    def strikes(self, hosts: Sequence[str], rng: Rng) -> Iterator[Strike]:
        """Draw what happens to these hosts, in the order of its instants, for ever or not."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One line of a scenario.

    Attributes:
        at: Seconds since its beginning, or words such as "90 min", "1 h 30 min", "2 d".
        do: What happens: `partition` cuts `who` off from the rest, `repair` ends all partitions, clogs and corruption,
            `crash` takes the power, `restart` brings back who is down, `freeze` blocks kernels, `sleep` closes lids,
            `clog` holds all datagrams, `corrupt` lets disks flip bits of what is read, `lie` lets nodes answer wrongly.
        who: "all", a name, several names, a number of hosts, or a share such as 0.3 or "30 %"; drawn each time.
        seconds: How long, as `at`; None until a `repair` or a `restart`.
        amount: Of `corrupt`, the ratio of reads that go wrong.
        power: Of `crash`, whether the power goes; otherwise only the process ends, as when a kernel is restarted.
        shape: Of `partition`, "groups", "one-way" or "ring", see `Shape`.
    """

    at: Duration
    do: ActKind | str
    who: Who = "all"
    seconds: Duration | None = None
    amount: float = AMOUNT
    power: bool = True
    shape: Shape | str = Shape.GROUPS

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", parse_duration(self.at))
        object.__setattr__(self, "do", _kind(self.do))
        object.__setattr__(self, "shape", _shape(self.shape))
        if self.seconds is not None:
            object.__setattr__(self, "seconds", parse_duration(self.seconds))
        if isinstance(self.who, list):
            object.__setattr__(self, "who", tuple(self.who))
        _chooser(self.who)
        self._check()

    def _check(self) -> None:
        word = self.kind.value
        if self.kind in TIMED and not self.seconds:
            raise ConfigError(f"{word} needs a duration: give `seconds`, in a file `for`, such as '10 min'")
        if self.kind is ActKind.REPAIR and self.who != "all":
            raise ConfigError("repair takes no who: it ends all partitions, clogs and corruption")
        if self.seconds is not None and self.kind not in ENDING:
            raise ConfigError(f"{word} takes no duration")
        if self.seconds == 0:
            raise ConfigError(f"{word} for 0 s is nothing: give a duration above 0, or none")
        if isinstance(self.amount, bool) or not isinstance(self.amount, (int, float)) or not 0 <= self.amount <= 1:
            raise ConfigError(f"amount is {self.amount!r}: give a ratio between 0 and 1")
        if self.amount != AMOUNT and self.kind is not ActKind.CORRUPT:
            raise ConfigError(f"{word} takes no amount: only corrupt does")
        if not isinstance(self.power, bool):
            raise ConfigError(f"power is {self.power!r}: write true or false")
        if not self.power and self.kind is not ActKind.CRASH:
            raise ConfigError(f"{word} takes no power: only crash does")
        if self.shape is not Shape.GROUPS and self.kind is not ActKind.PARTITION:
            raise ConfigError(f"{word} takes no shape: only partition does")

    @property
    def kind(self) -> ActKind:
        """`do`, parsed."""
        return _kind(self.do)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A list of acts, told once or again and again.

    Every verb returns a longer scenario: `Scenario().partition(at="1 h", who=0.5, seconds="10 min").crash(…)`.

    Attributes:
        acts: What happens; in any order.
        repeat: Begin anew after so long, as `Act.at`; None for once.
        spared: Names of hosts that are never drawn by chance or by "all".
    """

    acts: tuple[Act, ...] = ()
    repeat: Duration | None = None
    spared: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.acts) > ACTS_MAX:
            raise ConfigError(f"a scenario has at most {ACTS_MAX:,} acts, not {len(self.acts):,}")
        if self.repeat is not None:
            object.__setattr__(self, "repeat", parse_duration(self.repeat))
            if not self.repeat:
                raise ConfigError("a scenario that repeats does so after some time above 0")
            last = max((parse_duration(act.at) for act in self.acts), default=0.0)
            if self.acts and parse_duration(self.repeat) < max(last, REPEAT_MIN):
                raise ConfigError(
                    f"repeat is {self.repeat:g} s: give {REPEAT_MIN:g} s or more, and not less than to the last act, "
                    f"which is at {last:g} s"
                )
        if not all(isinstance(name, str) for name in self.spared):
            raise ConfigError(f"spared is {list(self.spared)!r}: give names of hosts")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a scenario from a TOML file; docs/how-to/simulate.md shows one.

        Raises:
            ConfigError: It is no such file; says which line or word is wrong.
            OSError: It cannot be read.
        """
        data = Path(path).read_bytes()
        if len(data) > FILE_BYTES_MAX:
            raise ConfigError(f"{path} has {len(data):,} bytes: a scenario has at most {FILE_BYTES_MAX:,}")
        try:
            table = tomllib.loads(data.decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is no scenario: scenarios are written in TOML: {error}") from error
        try:
            return cls.from_table(table)
        except ConfigError as error:
            raise ConfigError(f"{path} is no scenario: {error}") from error

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> Self:
        """Make a scenario of what a TOML file holds: `repeat`, `spared`, and an array of tables `act`.

        Raises:
            ConfigError: A word is unknown or a value out of range.
        """
        _known(table, ("act", "repeat", "spared"), "a scenario")
        acts = []
        for number, row in enumerate(_list(table, "act"), start=1):
            try:
                _known(row, ("at", "do", "who", "for", "amount", "power", "shape"), "an act")
                if missing := [key for key in ("at", "do") if key not in row]:
                    raise ConfigError(f"an act has to have {missing[0]!r}")
                given = {"seconds" if key == "for" else key: value for key, value in row.items()}
                acts.append(Act(**given))
            except ConfigError as error:
                raise ConfigError(f"act {number}: {error}") from error
        return cls(acts=tuple(acts), repeat=table.get("repeat"), spared=tuple(_list(table, "spared")))

    # The vocabulary

    def partition(
        self, *, at: Duration, who: Who, seconds: Duration | None = None, shape: Shape | str = Shape.GROUPS
    ) -> Self:
        """Cut `who` off from the rest, both ways, one way, or each from most of the others in a ring."""
        return self._also(Act(at=at, do=ActKind.PARTITION, who=who, seconds=seconds, shape=shape))

    def repair(self, *, at: Duration) -> Self:
        """End all partitions, clogs and corruption."""
        return self._also(Act(at=at, do=ActKind.REPAIR))

    def crash(self, *, at: Duration, who: Who, seconds: Duration | None = None, power: bool = True) -> Self:
        """Take the power of `who`, or only end the process; after `seconds` they start on what their disks kept."""
        return self._also(Act(at=at, do=ActKind.CRASH, who=who, seconds=seconds, power=power))

    def restart(self, *, at: Duration, who: Who = "all") -> Self:
        """Bring back those of `who` that are down."""
        return self._also(Act(at=at, do=ActKind.RESTART, who=who))

    def freeze(self, *, at: Duration, who: Who, seconds: Duration) -> Self:
        """Block the kernels of `who`, as long cells do."""
        return self._also(Act(at=at, do=ActKind.FREEZE, who=who, seconds=seconds))

    def sleep(self, *, at: Duration, who: Who, seconds: Duration) -> Self:
        """Close the lids of `who`."""
        return self._also(Act(at=at, do=ActKind.SLEEP, who=who, seconds=seconds))

    def clog(self, *, at: Duration, who: Who, seconds: Duration) -> Self:
        """Hold all datagrams of `who`, and deliver them afterwards."""
        return self._also(Act(at=at, do=ActKind.CLOG, who=who, seconds=seconds))

    def corrupt(self, *, at: Duration, who: Who, seconds: Duration | None = None, amount: float = AMOUNT) -> Self:
        """Let the disks of `who` flip bits, for good, in this ratio of reads."""
        return self._also(Act(at=at, do=ActKind.CORRUPT, who=who, seconds=seconds, amount=amount))

    def lie(self, *, at: Duration, who: Who) -> Self:
        """Let the nodes of `who` answer wrongly until they are restarted."""
        return self._also(Act(at=at, do=ActKind.LIE, who=who))

    def _also(self, act: Act) -> Self:
        return replace(self, acts=(*self.acts, act))

    # As a timeline

    def strikes(self, hosts: Sequence[str], rng: Rng) -> Iterator[Strike]:
        """See `Timeline`; hosts are drawn anew for every act, also when it is repeated.

        Raises:
            ConfigError: An act, or `spared`, names a host that is not there, or an act wants more than there are.
        """
        acts = sorted(self.acts, key=lambda act: parse_duration(act.at))
        known = frozenset(hosts)
        for what, names in (("spared", self.spared), *((act.kind.value, _names(act.who)) for act in acts)):
            require_hosts(names, known, what)
        for act in acts:
            if isinstance(act.who, int) and act.who > len(hosts):
                raise ConfigError(f"{act.kind.value} strikes {act.who} hosts: there are {len(hosts)}")
        begin = 0.0
        while acts:
            for act in acts:
                yield self._strike(act, begin, hosts, rng)
            if self.repeat is None:
                return
            begin += parse_duration(self.repeat)

    def _strike(self, act: Act, begin: float, hosts: Sequence[str], rng: Rng) -> Strike:
        drawn = [host for host in hosts if host not in self.spared]
        seconds = parse_duration(act.seconds) if act.seconds is not None else None
        return Strike(
            at=begin + parse_duration(act.at),
            kind=act.kind,
            hosts=_chooser(act.who)(drawn, rng) if act.kind is not ActKind.REPAIR else (),
            seconds=seconds,
            amount=act.amount,
            power=act.power,
            shape=_shape(act.shape),
        )


def merged(timelines: Iterable[Iterator[Strike]]) -> Iterator[Strike]:
    """Merge ordered strikes of several timelines into one; at one instant the first one's come first."""
    return heapq.merge(*timelines, key=lambda strike: strike.at)


def require_hosts(names: Iterable[str], known: frozenset[str], what: str) -> None:
    """See whether all hosts that are named are there.

    Raises:
        ConfigError: One is not.
    """
    missing = [name for name in names if name not in known]
    if missing:
        raise ConfigError(f"{what} names {missing[0]}, which is no host: they are n0, n1 and on")


# Words and numbers


_PART = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(s|sec|seconds?|min|minutes?|h|hours?|d|days?)(?![a-z])\s*,?")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def parse_duration(value: Duration) -> float:
    """Read a duration: seconds, or words such as "90 s", "1 h 30 min", "2 d".

    Raises:
        ConfigError: It is none, or longer than ten years.
    """
    if isinstance(value, str):
        seconds, place, text = 0.0, 0, value.strip().lower()
        while place < len(text) and (part := _PART.match(text, place)):
            seconds += float(part[1]) * _SECONDS[part[2][0]]
            place = part.end()
        if not text or place < len(text):
            raise ConfigError(f"{value!r} is no duration: write seconds, or such as '90 min' or '1 h 30 min'")
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    else:
        raise ConfigError(f"{value!r} is no duration: write seconds, or such as '90 min'")
    if not 0 <= seconds <= SECONDS_MAX or math.isnan(seconds):
        raise ConfigError(f"{value!r} is out of range: give 0 seconds to ten years")
    return seconds


def _kind(word: ActKind | str) -> ActKind:
    return _one_of(ActKind, word, "nothing that can happen")


def _shape(word: Shape | str) -> Shape:
    return _one_of(Shape, word, "no shape of a partition")


def _one_of(words: type[EnumT], word: EnumT | str, otherwise: str) -> EnumT:
    try:
        return words(word)
    except ValueError:
        known = ", ".join(each.value for each in words)
        raise ConfigError(f"{word!r} is {otherwise}: write one of {known}") from None


def _known(table: Any, keys: Sequence[str], what: str) -> None:
    if not isinstance(table, Mapping):
        raise ConfigError(f"{what} is a table, not {table!r}")
    unknown = sorted(set(table) - set(keys))
    if unknown:
        raise ConfigError(f"{what} has no {unknown[0]!r}: it has {', '.join(keys)}")


def _list(table: Mapping[str, Any], key: str) -> list[Any]:
    value = table.get(key, [])
    if not isinstance(value, list):
        raise ConfigError(f"{key} is {value!r}: write a list")
    return value


Chooser = Callable[[Sequence[str], Rng], tuple[str, ...]]


def _chooser(who: Who) -> Chooser:
    """Say how hosts are chosen.

    Raises:
        ConfigError: It cannot be understood.
    """
    match who:
        case "all":
            return lambda hosts, _rng: tuple(hosts)
        case str() if who.strip().endswith("%"):
            return _chooser(_percent(who))
        case str():
            return lambda _hosts, _rng: (who,)
        case bool():
            pass
        case int() if who >= 0:
            return lambda hosts, rng: tuple(rng.sample(hosts, min(who, len(hosts))))
        case float() if 0 <= who <= 1:
            return lambda hosts, rng: tuple(rng.sample(hosts, round(who * len(hosts))))
        case tuple() | list() if all(isinstance(name, str) for name in who):
            names = tuple(who)
            return lambda _hosts, _rng: names
    raise ConfigError(f"who is {who!r}: give 'all', names, a number of hosts, or a share such as '30 %'")


def _names(who: Who) -> tuple[str, ...]:
    """Say which hosts are meant by name."""
    if isinstance(who, (tuple, list)):
        return tuple(who)
    if isinstance(who, str) and who != "all" and not who.strip().endswith("%"):
        return (who,)
    return ()


def _percent(text: str) -> float:
    try:
        share = float(text.strip().removesuffix("%")) / 100
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise ConfigError(f"who is {text!r}: write a share such as '30 %', up to '100 %'")
    return share
