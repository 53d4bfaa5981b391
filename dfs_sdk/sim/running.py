"""One run of a swarm: time passes on its home; who waits for it, perhaps on another loop, is shown how far it is."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from dfs_sdk.errors import ConfigError, show_as_line
from dfs_sdk.node.node import Node
from dfs_sdk.runtime.calls import Call, outcome
from dfs_sdk.runtime.door import face
from dfs_sdk.runtime.home import Home
from dfs_sdk.runtime.system import SystemClock
from dfs_sdk.runtime.tasks import TaskScope
from dfs_sdk.sim.chronicle import Chronicle, Standing
from dfs_sdk.sim.ground import Ground
from dfs_sdk.sim.report import RunReport
from dfs_sdk.sim.scenario import SECONDS_MAX

BAR_SECONDS = 0.2
LOOKS_PER_RUN = 240
LOOK_SECONDS_MIN = 1.0
LOOK_SECONDS_MAX = 600.0
LOOK_RATIO = 0.05
"""At first a pause is this share of what has passed, so that a run that is stopped early leaves a history as well."""


class HasNodes(Protocol):
    """Whoever knows the nodes."""

    @property
    def nodes(self) -> list[Node]:
        """All nodes."""
        ...


class Run:
    """One run.

    Args:
        swarm: Whose nodes are looked at.
        wanted: Seconds that are to pass.
        home: Where they pass.
        ground: On what.
        chronicle: What remembers how everything stands.

    Raises:
        ConfigError: No time, or more than ten years.
    """

    def __init__(self, swarm: HasNodes, *, wanted: float, home: Home, ground: Ground, chronicle: Chronicle) -> None:
        if not 0 < wanted <= SECONDS_MAX:
            raise ConfigError(
                f"{wanted:g} s is no time to run: give hours, minutes or seconds above 0, up to ten years"
            )
        self._swarm = swarm
        self._wanted = wanted
        self._home = home
        self._ground = ground
        self._chronicle = chronicle
        self._real = SystemClock()
        self._real_begun = 0.0
        self._begun = 0.0
        self._ended = 0.0
        self._is_over = self._whole = False
        self._before: Standing | None = None
        self._after: Standing | None = None
        self._struck: Counter[str] = Counter()
        self._news: Counter[str] = Counter()

    async def pass_time(self, scenario: Coroutine[Any, Any, None] | None, *, progress: bool | None) -> None:
        """Let the time pass, and show how it does; from any loop.

        Args:
            scenario: Runs meanwhile and is cancelled at the end.
            progress: Whether to show a bar.
        """
        self._real_begun = self._real.monotonic()
        with face("views.bar").make_bar(progress) as bar:
            if self._home.is_here:
                await self._pass(scenario, bar)
                return
            call = self._home.submit(self._pass(scenario, None))
            await self._watch(call, bar)

    @property
    def has_begun(self) -> bool:
        """Whether time passed, so that there is something to report."""
        return self._before is not None

    def report(self, failures: Sequence[str]) -> RunReport:
        """Say what it came to."""
        if self._before is None or self._after is None:
            raise ConfigError("the run did not begin")
        return RunReport(
            seconds=self._ended - self._begun,
            wanted=self._wanted,
            stopped=not self._whole,
            real_seconds=self._real.monotonic() - self._real_begun,
            before=self._before,
            after=self._after,
            strikes=self._struck,
            news=self._news,
            failures=tuple(failures),
        )

    def say_stopped(self, error: BaseException) -> None:
        """Have a notebook show one line for what interrupted the run, instead of the frames it went through.

        The error itself stays what it is: whoever cancels goes on as ever.

        Args:
            error: What came instead of the end.
        """
        show_as_line(error, f"{self._words()}. The swarm can go on; swarm.last_run is the report.")

    async def _watch(self, call: Call[None], bar: Any) -> None:
        """Draw the bar on the caller's loop until the call has ended or somebody stops it."""
        quietly = True  # whoever leaves early hears of that and of nothing else
        try:
            while not call.done() and not bar.is_stopped:
                self._show(bar)
                await asyncio.sleep(BAR_SECONDS)
            quietly = bar.is_stopped
        finally:
            if quietly:
                call.cancel()
            await self._end(call, quietly=quietly)
            self._show(bar)

    async def _end(self, call: Call[None], *, quietly: bool) -> None:
        try:
            await outcome(call)
        except Exception:
            if not quietly:
                raise

    async def _pass(self, scenario: Coroutine[Any, Any, None] | None, bar: Any) -> None:
        clock, chronicle = self._ground.clock, self._chronicle
        self._begun = self._ended = clock.monotonic()
        struck_before, news_before = chronicle.strikes.copy(), chronicle.counts.copy()
        self._before = self._after = chronicle.look(self._swarm.nodes)
        errors: list[BaseException] = []
        scope = TaskScope("run", on_error=lambda _name, error: errors.append(error))
        if scenario is not None:
            scope.spawn("scenario", scenario)
        try:
            while not errors and (left := self._begun + self._wanted - clock.monotonic()) > 0:
                await asyncio.sleep(min(left, self._pause(clock.monotonic() - self._begun)))
                self._after = chronicle.look(self._swarm.nodes)
                if bar is not None:
                    self._show(bar)
                    if bar.is_stopped:
                        break
            else:
                self._whole = not errors
        finally:
            self._ended = min(clock.monotonic(), self._begun + self._wanted)
            self._after, self._is_over = chronicle.look(self._swarm.nodes), True
            # Counted here, where nobody counts on meanwhile: the report is made on the caller's thread.
            self._struck, self._news = chronicle.strikes - struck_before, chronicle.counts - news_before
            if bar is not None:
                self._show(bar)
            await scope.close()
        if errors:
            raise errors[0]

    def _pause(self, passed: float) -> float:
        longest = min(LOOK_SECONDS_MAX, self._wanted / LOOKS_PER_RUN)
        return max(LOOK_SECONDS_MIN, min(longest, LOOK_RATIO * passed))

    def _show(self, bar: Any) -> None:
        bar.show(self._passed() / self._wanted, self._words())

    def _passed(self) -> float:
        """Seconds so far, or in all once it has ended."""
        if self._before is None:
            return 0.0
        end = self._ended if self._is_over else self._ground.clock.monotonic()
        return min(max(0.0, end - self._begun), self._wanted)

    def _words(self) -> str:
        words, standing = face("views.words"), self._after
        real = self._real.monotonic() - self._real_begun
        nodes = f", {standing.answering} of {standing.nodes} nodes answer" if standing is not None else ""
        text = f"{words.duration(self._passed())} of {words.duration(self._wanted)} in {words.duration(real)}{nodes}"
        if not self._is_over or self._whole or standing is None:
            return text
        at = datetime.fromtimestamp(standing.at_wall, UTC)
        return f"Stopped at {at:%H:%M:%S} (UTC): {text}"
