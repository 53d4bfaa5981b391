"""When the server of `dfs app` ends: windows come, go, sleep, and are loaded again; no browser, no kernel."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("voila", reason='pip install "dfs-sdk[app]"')

from dfs_sdk.cli import server as server_module
from dfs_sdk.cli.server import EMPTY_SECONDS_MAX, LOOK_SECONDS, UNSEEN_SECONDS_MAX, OneKernel, _Watch
from tests.fakes.virtual import run_virtual

HOUR = 3_600


class Program:
    """A server whose windows the test opens and closes.

    Attributes:
        started: Ids that kernels were asked for, None for a new one.
        kernels: The manager under test.
    """

    def __init__(self) -> None:
        self.started: list[str | None] = []
        self.kernels = OneKernel()
        self.ended_at: float | None = None
        self._watch = _Watch(SimpleNamespace(kernel_manager=self.kernels, ioloop=SimpleNamespace(stop=self.end)))

    def end(self) -> None:
        self.ended_at = self.ended_at or asyncio.get_running_loop().time()

    async def ask(self) -> None:
        """A browser loads the page."""
        self.kernel_id = await self.kernels.start_kernel()

    async def open(self) -> None:
        """... and its scripts connect."""
        await self.ask()
        self.kernels.notify_connect(self.kernel_id)

    def vanish(self) -> None:
        self.kernels.notify_disconnect(self.kernel_id)

    def close(self) -> None:
        self.kernels.say_goodbye(self.kernel_id)
        self.vanish()

    async def live(self, seconds: float) -> float | None:
        """Let time pass; returns after how many seconds it ended."""
        begun = asyncio.get_running_loop().time()
        for _ in range(round(seconds / LOOK_SECONDS)):
            self._watch.look()
            if self.ended_at is not None:
                return self.ended_at - begun
            await asyncio.sleep(LOOK_SECONDS)
        return None


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Program], Awaitable[Any]]], Any]:
    """Runs a story on virtual time with kernels that are only names."""

    async def start(self: OneKernel, *, kernel_id: str | None = None) -> str:
        program.started.append(kernel_id)
        await asyncio.sleep(0.5)
        self._kernel_connections.setdefault(kernel_id or "kernel", 0)
        return kernel_id or "kernel"

    monkeypatch.setattr(server_module.AsyncMappingKernelManager, "start_kernel", start)
    program = Program()

    async def story(tell: Callable[[Program], Awaitable[Any]]) -> Any:
        return await tell(program)

    return lambda tell: run_virtual(story(tell))


def test_nobody_has_come_yet_and_it_waits(run):
    assert run(lambda program: program.live(HOUR)) is None


def test_all_windows_have_one_kernel_also_when_they_come_at_once(run):
    async def story(program: Program) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(program.open())
        assert program.started == [None, "kernel", "kernel"]
        assert program.kernels.windows == 3
        assert await program.live(HOUR) is None

    run(story)


def test_last_goodbye_ends_it_within_seconds(run):
    async def story(program: Program) -> None:
        await program.open()
        await program.open()
        program.close()
        assert await program.live(60) is None
        program.close()
        assert await program.live(60) == EMPTY_SECONDS_MAX

    run(story)


@pytest.mark.parametrize("asked_first", [False, True])
def test_window_that_is_loaded_again_keeps_it_however_slowly_it_comes(run, asked_first):
    async def story(program: Program) -> None:
        await program.open()
        if asked_first:
            await program.ask()
            program.close()
        else:
            program.close()
            await program.ask()
        assert await program.live(60) is None
        program.kernels.notify_connect(program.kernel_id)
        assert await program.live(HOUR) is None

    run(story)


def test_window_that_falls_silent_is_waited_for_for_minutes_even_if_another_said_goodbye_long_ago(run):
    async def story(program: Program) -> None:
        await program.open()
        await program.open()
        program.close()
        assert await program.live(60) is None
        program.vanish()
        assert await program.live(HOUR) == UNSEEN_SECONDS_MAX

    run(story)


def test_goodbye_of_a_stranger_changes_nothing(run):
    async def story(program: Program) -> None:
        await program.open()
        program.kernels.say_goodbye("0")
        program.vanish()
        assert await program.live(HOUR) == UNSEEN_SECONDS_MAX

    run(story)
