"""The crash tests bite: a store with one step of its order left out loses something they would see."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dfs_sdk.errors import ContentNotFoundError, ProtocolError
from dfs_sdk.store import changes, files
from dfs_sdk.store.files import ChunkFiles
from tests.fakes.disk import FakeDisk, PowerCut
from tests.fakes.store_model import Model, deleting, putting, verify_state, writing
from tests.fakes.stores import chunk, disk_store

Plant = Callable[[pytest.MonkeyPatch], None]
ONE, TWO = chunk(1), chunk(2)


def skip_sync(patch: pytest.MonkeyPatch, skipped: Callable[[Path], bool]) -> None:
    sync = FakeDisk.sync_folder
    patch.setattr(FakeDisk, "sync_folder", lambda disk, path: None if skipped(path) else sync(disk, path))


def no_folder_sync(patch: pytest.MonkeyPatch) -> None:
    sync = FakeDisk.sync_folder
    patch.setattr(
        FakeDisk, "sync_folder", lambda disk, path: None if path.parent.name == "chunks" else sync(disk, path)
    )


def no_sync_of_the_chunks_folder(patch: pytest.MonkeyPatch) -> None:
    skip_sync(patch, lambda path: path.name == "chunks")


def no_file_sync(patch: pytest.MonkeyPatch) -> None:
    write = FakeDisk.write_new

    def careless(disk: FakeDisk, path: Path, *parts: bytes) -> None:
        write(disk, path, *parts)
        disk._now.files[path].durable = None

    patch.setattr(FakeDisk, "write_new", careless)


def no_sync_of_the_databases_folder(patch: pytest.MonkeyPatch) -> None:
    skip_sync(patch, lambda path: path.name == "store")


def deletion_not_durable(patch: pytest.MonkeyPatch) -> None:
    remove = ChunkFiles.remove
    patch.setattr(ChunkFiles, "remove", lambda self, ids, durably: remove(self, ids, durably=False))


def files_after_the_receipt(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ChunkFiles, "write", lambda self, items, fresh: None)


def unverified_files(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(files, "matches", lambda chunk_id, data: True)


def unverified_arrivals(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(changes, "verify_ids", lambda contents: None)


def index_never_reconciled(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ChunkFiles, "scan", lambda self: [])


async def run_and_cut() -> None:
    """Put, write, delete, lose the power and everything that was not safe; check what must be there."""
    disk, model = FakeDisk(), Model()
    store = disk_store(disk)
    await store.open()
    for operation in (putting(ONE, TWO), writing((b"a", b"1")), deleting(TWO.chunk_id)):
        await operation.call(store)
        model = operation.effect(model)
    disk.power_on(lambda: False)
    store = disk_store(disk)
    await store.open()
    await verify_state(store, model)
    await store.close()


async def damage_and_read() -> None:
    disk = FakeDisk()
    store = disk_store(disk)
    await store.open()
    await store.put([ONE])
    path = store._files.path(ONE.chunk_id)
    disk.overwrite(path, disk.all_files()[path][:-1] + b"?")
    try:
        data = await store.get(ONE.chunk_id)
    except OSError:
        return
    assert data == ONE.data


async def lie_on_arrival() -> None:
    disk = FakeDisk()
    store = disk_store(disk)
    await store.open()
    lie = type(ONE)(chunk_id=ONE.chunk_id, data=b"lie", cell=1, role=ONE.role)
    try:
        await store.put([lie])
    except ProtocolError:
        return
    raise AssertionError("a lie was acknowledged")


async def test_the_sound_store_passes():
    await run_and_cut()
    await damage_and_read()
    await lie_on_arrival()


@pytest.mark.parametrize(
    "plant",
    [
        no_folder_sync,
        no_sync_of_the_chunks_folder,
        no_file_sync,
        no_sync_of_the_databases_folder,
        deletion_not_durable,
        files_after_the_receipt,
        index_never_reconciled,
    ],
)
async def test_planted_carelessness_is_caught(plant: Plant, monkeypatch: pytest.MonkeyPatch):
    plant(monkeypatch)
    with pytest.raises((AssertionError, ContentNotFoundError, OSError, PowerCut)):
        await run_and_cut()


async def test_planted_blindness_is_caught(monkeypatch: pytest.MonkeyPatch):
    unverified_files(monkeypatch)
    with pytest.raises(AssertionError):
        await damage_and_read()
    monkeypatch.undo()
    unverified_arrivals(monkeypatch)
    with pytest.raises(AssertionError):
        await lie_on_arrival()
