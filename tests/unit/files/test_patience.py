"""Waiting for silent holders: told soon, ended when the user wants it, and not because a disk or a pause takes long."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dfs_sdk.errors import ConfigError, ContentUnavailableError, DeadlineError
from dfs_sdk.files.config import FilesConfig
from dfs_sdk.files.patience import SILENCE_TOLD, patiently
from dfs_sdk.files.transfers import Direction, Transfer
from dfs_sdk.runtime.ports import Clock
from tests.fakes.filenodes import CHUNK, FileNode, file_nodes, some
from tests.fakes.network import FakeNetwork
from tests.fakes.runtime import LoopClock, run_virtual

PATIENT = FilesConfig(rounds=100, round_pause=0.5, patience=20.0)


async def silenced(network: FakeNetwork) -> tuple[FileNode, str, Callable[[], None]]:
    """A file of twenty chunks whose holders fall silent when `cut` is called."""
    a, b, c, reader = await file_nodes(network, 4, readers=1, config=PATIENT)
    file = await a.files.put(some(40 * CHUNK), chunk_bytes=CHUNK)

    def cut() -> None:
        for node in (a, b, c):
            network.kill(node.node_id, silent=True)

    return reader, file.link, cut


@pytest.mark.parametrize("when", ["before", "amid"])
def test_a_get_gives_up_when_its_user_wants_it(when: str, tmp_path: Path):
    async def main(clock: LoopClock) -> None:
        async with FakeNetwork(clock=clock, latency=0.001) as network:
            reader, link, cut = await silenced(network)
            cut_at = [clock.monotonic()]

            def on_progress(_transfer: Transfer) -> None:
                if not network.is_dead(reader.replication.others[0]):
                    cut_at[0] = clock.monotonic()
                    cut()

            if when == "before":
                cut()
            with pytest.raises(DeadlineError, match="holders may be blocked"):
                await reader.files.get(link, tmp_path / "x", timeout=5.0, progress=on_progress)
            assert 5.0 <= clock.monotonic() - cut_at[0] < 6.5
            left = os.listdir(tmp_path)
            assert [name.partition("part")[0] for name in left] == ["x."] * (when == "amid")

    run_virtual(main)


def test_silence_is_told_soon_and_forgotten_when_bytes_arrive():
    async def main(clock: LoopClock) -> None:
        async with FakeNetwork(clock=clock, latency=0.001) as network:
            reader, link, cut = await silenced(network)
            told: list[tuple[float, str]] = []
            cut_at: list[float] = []

            def on_progress(transfer: Transfer) -> None:
                if not cut_at:
                    cut_at.append(clock.monotonic())
                    cut()
                told.append((clock.monotonic(), transfer.waiting))

            with pytest.raises(ContentUnavailableError):
                await reader.files.get(link, progress=on_progress)
            words = [(at - cut_at[0], waiting) for at, waiting in told if waiting]
            assert SILENCE_TOLD <= words[0][0] < SILENCE_TOLD + 1.5
            assert "no chunk arrived for" in words[0][1]
            assert told[-1][1] == "", "an ended transfer waits for nothing"

    run_virtual(main)


def lone_transfer(clock: Clock, *, total: int) -> Transfer:
    return Transfer(transfer_id=1, direction=Direction.GET, name="x", bytes_total=total, clock=clock)


def test_neither_a_pause_nor_a_slow_disk_counts_as_silence():
    async def main(clock: LoopClock) -> None:
        transfer = lone_transfer(clock, total=10)

        async def work() -> str:
            transfer.pause()
            await asyncio.sleep(60)
            transfer.resume()
            await asyncio.sleep(2)
            assert transfer.waiting == ""
            transfer.advance(10)
            await asyncio.sleep(60)
            return "done"

        assert await patiently(work(), transfer, clock, timeout=5.0) == "done"
        assert transfer.waiting == ""

    run_virtual(main)


def test_the_work_has_ended_when_patience_has():
    async def main(clock: LoopClock) -> None:
        transfer = lone_transfer(clock, total=10)
        ended: list[bool] = []

        async def work() -> None:
            try:
                await asyncio.sleep(1000)
            finally:
                await asyncio.sleep(1)
                ended.append(True)

        with pytest.raises(DeadlineError):
            await patiently(work(), transfer, clock, timeout=0.5)
        assert ended == [True]

    run_virtual(main)


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan")])
async def test_a_timeout_is_above_zero(timeout: float):
    async with FakeNetwork() as network:
        reader, link, _cut = await silenced(network)
        with pytest.raises(ConfigError, match="timeout"):
            await reader.files.get(link, timeout=timeout)
