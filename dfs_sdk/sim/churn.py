"""People who come and go: sessions drawn from distributions, and the day of a class. Pure.

Each host has a timeline of its own, drawn from its own child rng, and all of them are merged: one host more changes
nothing of the others' days.

Source: D. Stutzbach, R. Rejaie, "Understanding Churn in Peer-to-Peer Networks" (IMC 2006): session lengths follow a
Weibull distribution of shape below 1: many leave at once, a few stay very long.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from dfs_sdk.errors import ConfigError
from dfs_sdk.runtime.ports import Rng
from dfs_sdk.sim.scenario import ActKind, Strike, Timeline, merged

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
PAUSE_MIN = 1.0
"""The shortest session and the shortest absence, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weibull:
    """A distribution of durations.

    Attributes:
        median: In seconds, above 0.
        shape: Above 0; 1 is the exponential distribution, below 1 the tail is heavy.
    """

    median: float
    shape: float = 0.5

    def __post_init__(self) -> None:
        if self.median <= 0 or self.shape <= 0:
            raise ConfigError(f"{self}: median and shape are above 0")

    def draw(self, rng: Rng) -> float:
        """Draw seconds, by inversion; at least 1."""
        scale = self.median / math.log(2) ** (1 / self.shape)
        drawn: float = scale * (-math.log(1.0 - rng.random())) ** (1 / self.shape)
        return max(PAUSE_MIN, drawn)


@dataclass(frozen=True, slots=True, kw_only=True)
class Churn:
    """Hosts that are there for a session and then away for a while, each on its own.

    Attributes:
        session: How long they stay.
        absence: How long they are away.
        leaves_by: `crash` for those that vanish and start anew on their disks, `sleep` for lids, `clog` for holes in a
            mobile network's coverage.
        spared: Names of hosts that always stay.
    """

    session: Weibull
    absence: Weibull
    leaves_by: ActKind = ActKind.CRASH
    spared: tuple[str, ...] = ("n0",)

    def strikes(self, hosts: Sequence[str], rng: Rng) -> Iterator[Strike]:
        """See `scenario.Timeline`."""
        return merged(self._of(host, rng.child(f"churn/{host}")) for host in hosts if host not in self.spared)

    def _of(self, host: str, rng: Rng) -> Iterator[Strike]:
        at = self.session.draw(rng) * rng.random()  # it was there before we began to look
        while True:
            away = self.absence.draw(rng)
            yield Strike(at=at, kind=self.leaves_by, hosts=(host,), seconds=away, power=False)
            at += away + self.session.draw(rng)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lecture:
    """One lecture of a day.

    Attributes:
        begins: Seconds after midnight.
        ends: Seconds after midnight.
    """

    begins: float
    ends: float


LECTURES = (
    Lecture(begins=9 * HOUR, ends=10.5 * HOUR),
    Lecture(begins=11 * HOUR, ends=12.5 * HOUR),
    Lecture(begins=14 * HOUR, ends=15.5 * HOUR),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Classroom:
    """A class with laptops: lids that close in breaks and at night, kernels that block and are restarted.

    Our own model; it was not fitted to a measurement.

    Attributes:
        begins: Seconds after midnight at which the timeline begins; until the lecture of then or the next one that day
            has ended, all are there.
        lectures: The day's lectures, in order.
        attends_ratio: How likely a student comes to a lecture.
        closes_ratio: How likely a lid closes in a break.
        always_on_ratio: Share of machines that are desktops: they never sleep.
        cells: Long cells a student runs in a lecture, on average; each blocks the kernel.
        cell: How long they take.
        restart_ratio: How likely a kernel is restarted in a lecture.
        restart_seconds: How long that takes.
        spared: Names of hosts that are always on: the teacher's.
    """

    begins: float = 9 * HOUR
    lectures: tuple[Lecture, ...] = LECTURES
    attends_ratio: float = 0.9
    closes_ratio: float = 0.7
    always_on_ratio: float = 0.1
    cells: float = 3.0
    cell: Weibull = field(default_factory=lambda: Weibull(median=10.0, shape=0.7))
    restart_ratio: float = 0.3
    restart_seconds: float = 5.0
    spared: tuple[str, ...] = ("n0",)

    def strikes(self, hosts: Sequence[str], rng: Rng) -> Iterator[Strike]:
        """See `scenario.Timeline`."""
        return merged(self._of(host, rng.child(f"class/{host}")) for host in hosts if host not in self.spared)

    def _of(self, host: str, rng: Rng) -> Iterator[Strike]:
        desktop = rng.random() < self.always_on_ratio
        open_until = 0.0
        for day in itertools.count():
            for span in self._day(rng, day):
                if span.begin > open_until and not desktop:
                    yield Strike(at=open_until, kind=ActKind.SLEEP, hosts=(host,), seconds=span.begin - open_until)
                yield from span.strikes(host, not_before=open_until if day else 0.0)
                open_until = max(open_until, span.end)

    def _day(self, rng: Rng, day: int) -> Iterator[_Span]:
        """Draw when the lid is open on one day, and what happens to the kernel then; at first all are there."""
        midnight = day * DAY - self.begins
        open_span: _Span | None = None
        is_there = day == 0
        for lecture in self.lectures:
            comes, stays = rng.random() < self.attends_ratio, rng.random() >= self.closes_ratio
            begin = max(0.0, midnight + lecture.begins + rng.uniform(-10, 5) * MINUTE)
            end = midnight + lecture.ends + rng.uniform(0, 10) * MINUTE
            if end <= 0.0:
                continue
            if is_there:
                begin, comes, is_there = 0.0, True, False
            if not comes:
                continue
            events = self._work(begin, end, rng)
            end += 30 * MINUTE if stays else 0.0
            if open_span is not None and begin <= open_span.end:
                open_span = _Span(begin=open_span.begin, end=max(end, open_span.end), events=open_span.events + events)
                continue
            if open_span is not None:
                yield open_span
            open_span = _Span(begin=begin, end=end, events=events)
        if open_span is not None:
            yield open_span

    def _work(self, begin: float, end: float, rng: Rng) -> tuple[Strike, ...]:
        """Draw what happens to the kernel in one lecture."""
        events: list[Strike] = []
        at = begin
        while self.cells > 0 and (at := at - math.log(1.0 - rng.random()) * (end - begin) / self.cells) < end:
            events.append(Strike(at=at, kind=ActKind.FREEZE, hosts=(), seconds=min(self.cell.draw(rng), end - at)))
        if rng.random() < self.restart_ratio:
            at = rng.uniform(begin, end)
            events.append(Strike(at=at, kind=ActKind.CRASH, hosts=(), seconds=self.restart_seconds, power=False))
        return tuple(events)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Span:
    """A time at which one lid is open."""

    begin: float
    end: float
    events: tuple[Strike, ...]

    def strikes(self, host: str, *, not_before: float) -> Iterator[Strike]:
        """What happens to the kernel meanwhile, in order."""
        for event in sorted(self.events, key=lambda event: event.at):
            yield replace(event, at=max(event.at, not_before), hosts=(host,))


@dataclass(frozen=True, slots=True)
class Together:
    """Several timelines at once.

    Attributes:
        timelines: Each draws from a child rng of its own.
    """

    timelines: tuple[Timeline, ...]

    def strikes(self, hosts: Sequence[str], rng: Rng) -> Iterator[Strike]:
        """See `scenario.Timeline`."""
        return merged(timeline.strikes(hosts, rng.child(f"{number}")) for number, timeline in enumerate(self.timelines))
