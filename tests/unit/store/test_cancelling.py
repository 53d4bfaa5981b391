"""Every call of a store is cancelled at every one of its awaits: nothing is left, and the store goes on."""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any, ClassVar

import pytest

from dfs_sdk.store import DiskStore, MemoryStore, Role
from tests.fakes.cancelling import Belongings, Make, Strike, strike, strike_everywhere, strike_turn
from tests.fakes.disk import FakeDisk
from tests.fakes.store_model import assert_tidy
from tests.fakes.stores import FOLDER, SMALL, chunk, disk_runtime, disk_store

KEPT = [chunk(n, role=role) for n, role in enumerate(Role)]
ONE = KEPT[0]


class Calls:
    """One call of each coroutine method of a store, by its name."""

    #: Methods that begin or end the store's life have tests of their own.
    LIFE: ClassVar = frozenset(("open", "close"))

    def __init__(self, store: DiskStore | MemoryStore) -> None:
        self._store = store
        self._number = 100

    def put(self) -> Coroutine[Any, Any, Any]:
        self._number += 10
        return self._store.put([chunk(self._number + n, size=10) for n in range(8)])

    def get(self) -> Coroutine[Any, Any, Any]:
        return self._store.get(ONE.chunk_id)

    def delete(self) -> Coroutine[Any, Any, Any]:
        return self._store.delete([info.chunk_id for info in self._store.chunks() if info.size == 10][:3])

    def set_role(self) -> Coroutine[Any, Any, Any]:
        self._number += 1
        return self._store.set_role(ONE.chunk_id, list(Role)[self._number % 3])

    def set_pinned(self) -> Coroutine[Any, Any, Any]:
        self._number += 1
        return self._store.set_pinned([ONE.chunk_id], bool(self._number % 2))

    def check(self) -> Coroutine[Any, Any, Any]:
        return self._store.check(read_data=True)

    def put_document(self) -> Coroutine[Any, Any, Any]:
        self._number += 1
        return self._store.put_document("k", b"a", b"%d" % self._number)

    def put_documents(self) -> Coroutine[Any, Any, Any]:
        self._number += 1
        return self._store.put_documents("k", [(b"a", b"%d" % self._number), (b"b", b"%d" % self._number)])

    def get_document(self) -> Coroutine[Any, Any, Any]:
        return self._store.get_document("k", b"a")

    def delete_document(self) -> Coroutine[Any, Any, Any]:
        return self._store.delete_document("k", b"a")

    def list_documents(self) -> Coroutine[Any, Any, Any]:
        return self._store.list_documents("k")


CALLS = sorted(name for name in vars(Calls) if name.islower() and not name.startswith("_"))


def test_every_coroutine_method_has_its_call():
    methods = {name for name in dir(DiskStore) if asyncio.iscoroutinefunction(getattr(DiskStore, name))}
    assert {name for name in methods if not name.startswith("_")} == {*CALLS, *Calls.LIFE}


@pytest.mark.parametrize("how", [strike, strike_turn])
@pytest.mark.parametrize("name", CALLS)
async def test_cancelled_call_leaves_nothing_and_the_store_goes_on(name: str, how: Strike):
    disk = FakeDisk()
    store = disk_store(disk, yielding=True)
    await store.open()
    await store.put(KEPT)
    belongings = Belongings()
    make: Make = getattr(Calls(store), name)

    async def after() -> None:
        await belongings.assert_none_left()
        assert_tidy(disk)
        assert store.read_only is None
        assert (await store.check(read_data=True)).clean

    struck = await strike_everywhere(make, after, points_max=None, rng=random.Random(name), how=how)
    assert struck > 0
    held = {info.chunk_id: info.role for info in store.chunks()}
    await store.close()
    again = disk_store(disk)
    await again.open()
    assert {info.chunk_id: info.role for info in again.chunks()} == held
    assert (await again.check(read_data=True)).clean
    await again.close()


@pytest.mark.parametrize("how", [strike, strike_turn])
async def test_cancelled_open_leaves_the_store_to_others(how: Strike):
    at, struck = 1, True
    while struck:
        disk = FakeDisk()
        belongings = Belongings()
        store = DiskStore(FOLDER, disk_runtime(disk, yielding=True), SMALL)
        struck = (await how(store.open, at)).reached
        if struck:
            assert disk.locked == set()
        await belongings.assert_none_left()
        await store.open()
        await store.put([ONE])
        await store.close()
        assert disk.locked == set()
        at += 1
    assert at > 2


@pytest.mark.parametrize("how", [strike, strike_turn])
async def test_cancelled_close_ends_the_store_all_the_same(how: Strike):
    at, struck = 1, True
    while struck:
        disk = FakeDisk()
        belongings = Belongings()
        store = disk_store(disk, yielding=True)
        await store.open()
        await store.put([ONE])
        struck = (await how(store.close, at)).reached
        await belongings.assert_none_left()
        assert disk.locked == set()
        await store.open()
        assert await store.get(ONE.chunk_id) == ONE.data
        await store.close()
        at += 1
    assert at > 2
