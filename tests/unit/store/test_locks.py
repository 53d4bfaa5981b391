"""Locks, group commit and operations: who waits for whom."""

import asyncio

import pytest

from dfs_sdk.errors import NodeClosedError
from dfs_sdk.ids import ChunkId
from dfs_sdk.store.commit import GroupCommit
from dfs_sdk.store.locks import ChunkLocks
from dfs_sdk.store.operations import Operations

A, B, C = (ChunkId(bytes([n]) * 32) for n in (1, 2, 3))


async def test_overlapping_locks_wait_and_others_do_not():
    locks = ChunkLocks()
    order: list[str] = []

    async def change(name: str, ids: list[ChunkId], turns: int) -> None:
        async with locks.hold(ids):
            order.append(f"+{name}")
            for _ in range(turns):
                await asyncio.sleep(0)
            order.append(f"-{name}")

    await asyncio.gather(change("ab", [A, B], 5), change("bc", [B, C], 5), change("c", [C], 1), change("a", [A], 1))
    assert order[:3] == ["+ab", "+c", "-c"]
    assert order.index("-ab") < order.index("+bc")
    assert order.index("-ab") < order.index("+a")
    assert A not in locks.held


async def test_failed_change_gives_its_locks_back():
    locks = ChunkLocks()
    with pytest.raises(ValueError, match="oops"):
        async with locks.hold([A]):
            raise ValueError("oops")
    async with locks.hold([A]):
        assert A in locks.held


async def test_waiting_changes_share_one_commit():
    commits: list[list[int]] = []

    async def commit(changes: list[int]) -> None:
        commits.append(changes)
        await asyncio.sleep(0)

    group: GroupCommit[int] = GroupCommit(commit)
    await asyncio.gather(*(group.submit(n) for n in range(10)))
    assert [n for commit in commits for n in commit] == list(range(10))
    assert len(commits) <= 2


async def test_error_of_a_commit_reaches_all_it_was_for_and_none_else():
    async def commit(changes: list[int]) -> None:
        await asyncio.sleep(0)
        if 3 in changes:
            raise OSError("no")

    group: GroupCommit[int] = GroupCommit(commit)
    results = await asyncio.gather(*(group.submit(n) for n in range(5)), return_exceptions=True)
    assert [isinstance(result, OSError) for result in results].count(True) >= 1
    assert isinstance(results[3], OSError)
    await group.submit(6)


async def test_operation_runs_to_its_end_when_its_caller_is_cancelled():
    operations = Operations("test")
    done: list[int] = []

    async def change() -> int:
        for _ in range(5):
            await asyncio.sleep(0)
        done.append(1)
        return 7

    assert await operations.run("change", change()) == 7
    task = asyncio.get_running_loop().create_task(operations.run("change", change()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == [1, 1]
    await operations.close()
    with pytest.raises(NodeClosedError):
        await operations.run("change", change())


async def test_error_of_an_operation_reaches_its_caller_alone(caplog: pytest.LogCaptureFixture):
    operations = Operations("test")

    async def change() -> None:
        raise ValueError("oops")

    with pytest.raises(ValueError, match="oops"):
        await operations.run("change", change())
    assert caplog.records == []
    await operations.close()
