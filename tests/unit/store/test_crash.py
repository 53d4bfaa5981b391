"""The power goes at every step of every change: nothing acknowledged is lost, nothing half is seen.

`python -m tests.campaigns.store crashes` goes on where this ends.
"""

import asyncio
import errno
import logging
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence

import pytest

from dfs_sdk.errors import QuotaExceededError
from dfs_sdk.store import DiskStore, Role, StoreConfig
from tests.fakes.crash_states import CrashStates
from tests.fakes.disk import FakeDisk, PowerCut, Survival
from tests.fakes.store_histories import begun
from tests.fakes.store_model import (
    Model,
    Operation,
    assert_tidy,
    deleting,
    erasing,
    putting,
    rereading,
    setting_pinned,
    setting_role,
    verify_state,
    writing,
)
from tests.fakes.stores import FOLDER, SMALL, chunk, disk_runtime, disk_store

Lose = Callable[[DiskStore, FakeDisk], Awaitable[None]]

RANDOM_FATES = 2
RECOVERIES = 0.01
DRAWN_STATES = 10_000  # with those of the scenarios above 20,000
ONE, TWO, THREE = chunk(1), chunk(2, role=Role.SURPLUS, removal_hash=b"r" * 32), chunk(3, role=Role.CACHE)
QUARTER = SMALL.capacity_bytes // 4

SETUP: list[Operation] = [
    putting(ONE, TWO, THREE),
    writing((b"a", b"1"), (b"b", b"2")),
    setting_pinned(ONE.chunk_id, pinned=True),
]

SCENARIOS: dict[str, list[Operation]] = {
    "put": [putting(*(chunk(n, size=n * 10) for n in range(10, 18)))],
    "put after put": [putting(chunk(10)), putting(chunk(11), chunk(12))],
    "upgrade": [putting(chunk(3, role=Role.PRIMARY, removal_hash=b"q" * 32), chunk(10))],
    "evict": [
        putting(*(chunk(n, size=QUARTER - 8192, role=Role.CACHE) for n in range(10, 14))),
        putting(chunk(20, size=2 * QUARTER), chunk(21)),
    ],
    "delete": [deleting(ONE.chunk_id, THREE.chunk_id), deleting(TWO.chunk_id)],
    "delete and put again": [deleting(TWO.chunk_id), putting(TWO)],
    "roles": [setting_role(THREE.chunk_id, Role.PRIMARY), setting_role(ONE.chunk_id, Role.SURPLUS)],
    "pins": [setting_pinned(TWO.chunk_id, pinned=True), setting_pinned(ONE.chunk_id, pinned=False)],
    "documents": [writing((b"b", b"3"), (b"c", b"4")), erasing(b"a")],
    "read": [rereading(ONE.chunk_id), putting(chunk(10)), rereading(TWO.chunk_id)],
}


def fates(cut: int) -> Iterator[tuple[str, Survival, random.Random | None]]:
    """What becomes of unsafe work: all lost, all kept but the data, or as a seed decides."""
    yield "lost", lambda: False, None
    yield "kept", lambda: True, None
    for seed in range(RANDOM_FATES):
        rng = random.Random(f"{cut}/{seed}")
        yield f"seed {seed}", lambda rng=rng: rng.random() < 0.5, rng


async def run_until_cut(disk: FakeDisk, operations: Sequence[Operation], model: Model) -> tuple[bool, list[Model]]:
    """Open, run and close a store; return whether the power went, and the states it may have left."""
    allowed = [model]
    try:
        store = disk_store(disk)
        await store.open()
        for operation in operations:
            allowed = [model, operation.effect(model)]
            await operation.call(store)
            model = allowed[1]
            allowed = [model]
        await store.close()
    except PowerCut:
        return True, allowed
    return False, allowed


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_no_cut_loses_what_was_acknowledged(scenario: str):
    disk, model = await begun(SETUP)
    states = CrashStates(random.Random(scenario), random_fates=RANDOM_FATES, recoveries=RECOVERIES)
    await states.run(disk, model, [[operation] for operation in SCENARIOS[scenario]])
    assert states.tally.cuts > 5


async def test_no_cut_of_a_drawn_history_loses_what_was_acknowledged(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.ERROR, logger="dfs_sdk.store")  # every start that repairs something says so
    states = CrashStates(random.Random(0), random_fates=RANDOM_FATES, recoveries=RECOVERIES)
    seed = 0
    while states.tally.states < DRAWN_STATES:
        await states.run_history(seed)
        seed += 1
    assert states.tally.cut_recoveries > 0


async def test_first_start_may_be_cut_off_anywhere():
    cut = 0
    while True:
        for _, survives, torn in fates(cut):
            disk = FakeDisk()
            disk.cut_in(cut)
            happened, _ = await run_until_cut(disk, [], Model())
            disk.power_on(survives, torn=torn)
            cut_again, allowed = await run_until_cut(disk, [putting(ONE)], Model())
            assert not cut_again
            disk.power_on(lambda: False)
            store = disk_store(disk)
            await store.open()
            await verify_state(store, *allowed)
            await store.close()
        if not happened:
            return
        cut += 1


@pytest.mark.parametrize("lost", ["index", "name", "reserve", "index and documents"])
async def test_recovery_may_be_cut_off_anywhere(lost: str):
    base, model = await begun(SETUP)
    for path in base.all_files():
        if path.parent == FOLDER and path.stem in lost.replace("name", "store").split():
            base.remove(path)
    if "documents" in lost:
        model = Model(model.chunks, {})
        pin = ONE.chunk_id
        model = setting_pinned(pin, pinned=False).effect(model)
    base.power_on(lambda: True)
    cut = 0
    while True:
        for _, survives, torn in fates(cut):
            disk = base.copy()
            disk.cut_in(cut)
            happened, _ = await run_until_cut(disk, [], model)
            disk.power_on(survives, torn=torn)
            store = disk_store(disk)
            await store.open()
            await verify_state(store, model)
            assert_tidy(disk)
            await store.close()
        if not happened:
            return
        cut += 1


async def test_cut_with_many_changes_in_flight_loses_nothing_acknowledged():
    for seed in range(40 * max(1, RANDOM_FATES // 2)):
        rng = random.Random(seed)
        disk = FakeDisk()
        store = disk_store(disk, yielding=True)
        await store.open()
        chunks = [chunk(n, size=rng.randrange(300)) for n in range(12)]
        acknowledged: list[int] = []

        async def put(store: DiskStore, numbers: list[int], acknowledged: list[int] = acknowledged) -> None:
            await store.put([chunks[n] for n in numbers])  # noqa: B023 - ends within the turn
            acknowledged.extend(numbers)

        disk.cut_in(rng.randrange(150))
        batches = [[rng.randrange(12) for _ in range(rng.randrange(1, 4))] for _ in range(10)]
        await asyncio.gather(*(put(store, batch) for batch in batches), return_exceptions=True)
        disk.power_on(lambda rng=rng: rng.random() < 0.5, torn=rng)
        store = disk_store(disk)
        await store.open()
        for n in acknowledged:
            assert await store.get(chunks[n].chunk_id) == chunks[n].data
        assert (await store.check(read_data=True)).clean
        assert_tidy(disk)
        await store.close()


async def evicted(store: DiskStore, disk: FakeDisk) -> None:
    await store.put([chunk(10, size=3 * QUARTER), chunk(11, size=QUARTER)])


async def damaged(store: DiskStore, disk: FakeDisk) -> None:
    disk.overwrite(store._files.path(THREE.chunk_id), b"rubbish")
    assert not (await store.check(read_data=True)).clean


async def refused(store: DiskStore, disk: FakeDisk) -> None:
    await store.delete([THREE.chunk_id])
    disk.fail = lambda _step, name: errno.ENOSPC if name.startswith(("commit ", "remove ")) else None
    with pytest.raises(QuotaExceededError):
        await store.put([THREE])
    disk.fail = lambda _step, _name: None


@pytest.mark.parametrize("lose", [evicted, damaged, refused])
async def test_deleted_chunk_that_was_held_no_more_does_not_come_back(lose: Lose):
    disk = FakeDisk()
    store = disk_store(disk)
    await store.open()
    await store.put([THREE])
    await lose(store, disk)
    assert THREE.chunk_id not in store
    await store.delete([THREE.chunk_id])
    disk.power_on(lambda: False)
    store = disk_store(disk)
    await store.open()
    assert THREE.chunk_id not in store
    await store.close()


async def test_new_store_folder_survives_a_cut_right_after_the_first_receipt():
    disk = FakeDisk()
    store = DiskStore(FOLDER / "deep" / "down", disk_runtime(disk), StoreConfig(free_bytes_min=0, reserve_bytes=0))
    await store.open()
    await store.put([ONE])
    disk.power_on(lambda: False)
    store = DiskStore(FOLDER / "deep" / "down", disk_runtime(disk), StoreConfig(free_bytes_min=0, reserve_bytes=0))
    await store.open()
    assert await store.get(ONE.chunk_id) == ONE.data
    await store.close()
