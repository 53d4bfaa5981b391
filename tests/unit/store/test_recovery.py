"""A start sets right whatever it finds: lost or damaged index, damaged documents, strange files, another holder."""

import asyncio
import errno
from dataclasses import replace
from pathlib import Path

import pytest

from dfs_sdk.errors import CorruptContentError, StoreError, StoreLockedError
from dfs_sdk.runtime.system import SystemDisk, ThreadOffload
from dfs_sdk.store import DiskStore, Role
from dfs_sdk.store.database import Database
from dfs_sdk.store.documents import DOCUMENTS_FILE, SALVAGED_FILE
from dfs_sdk.store.files import ChunkFiles
from dfs_sdk.store.header import HEADER_BYTES, encode_store_name
from dfs_sdk.store.holdings import described
from dfs_sdk.store.index import INDEX_FILE
from tests.fakes.disk import FakeDisk
from tests.fakes.runtime import run_virtual
from tests.fakes.stores import FOLDER, SMALL, chunk, disk_runtime, disk_store

CHUNKS = [
    replace(chunk(n, size=n * 100, role=role, cell=n + 5, removal_hash=bytes([n]) * 32), replicas=n + 4)
    for n, role in enumerate(Role)
]


async def filled(disk: FakeDisk) -> bytes:
    store = disk_store(disk)
    await store.open()
    await store.put(CHUNKS)
    await store.set_pinned([CHUNKS[0].chunk_id], True)
    await store.put_documents("k", [(bytes([n]), bytes(100)) for n in range(200)])
    await store.close()
    return store.storage_uuid


async def assert_all_there(store: DiskStore) -> None:
    for new in CHUNKS:
        info = store.info(new.chunk_id)
        assert info is not None
        assert (info.cell, info.role, info.removal_hash) == (new.cell, new.role, new.removal_hash)
        assert info.replicas == new.replicas
        assert await store.get(new.chunk_id) == new.data
    first = store.info(CHUNKS[0].chunk_id)
    assert first is not None
    assert first.pinned
    assert len(await store.list_documents("k")) == 200


@pytest.mark.parametrize(
    "damage",
    [None, b"", b"rubbish " * 1000, b"SQLite format 3\0" + bytes(4080)],
    ids=["deleted", "empty", "rubbish", "hollow"],
)
async def test_index_is_rebuilt_from_chunk_files(damage: bytes | None):
    disk = FakeDisk()
    uuid = await filled(disk)
    if damage is None:
        disk.remove(FOLDER / INDEX_FILE)
    else:
        disk.overwrite(FOLDER / INDEX_FILE, damage)
    store = disk_store(disk)
    await store.open()
    await assert_all_there(store)
    assert store.storage_uuid == uuid
    await store.close()


async def test_file_that_a_failed_write_left_is_durable_before_it_counts():
    disk = FakeDisk()
    await filled(disk)
    new = chunk(9, size=900)
    files = ChunkFiles(disk, FOLDER, quarantine_files_max=1)
    staged = files.plan([(described(new, now_wall=1.0), new.data)])
    files.stage(staged)
    files.publish(staged)  # then its folder could not be synced, nor the file removed, and the process ended
    store = disk_store(disk)
    await store.open()
    assert new.chunk_id in store
    disk.power_on(lambda: False)
    again = disk_store(disk)
    await again.open()
    assert await again.get(new.chunk_id) == new.data
    await again.close()


async def test_any_flipped_byte_of_the_index_is_survived():
    disk = FakeDisk()
    await filled(disk)
    content = disk.all_files()[FOLDER / INDEX_FILE]
    for position in range(0, len(content), 61):
        flipped = bytes([content[position] ^ 0x55])
        disk.overwrite(FOLDER / INDEX_FILE, content[:position] + flipped + content[position + 1 :])
        store = disk_store(disk)
        await store.open()
        await store.check(read_data=True)
        for new in CHUNKS:
            assert await store.get(new.chunk_id) == new.data
        await store.close()


async def test_index_of_another_version_is_rebuilt():
    disk = FakeDisk()
    await filled(disk)
    database = Database(disk, FOLDER / INDEX_FILE, schema="", version=1)
    with database.transaction() as connection:
        connection.execute("PRAGMA user_version = 9")
    database.close()
    store = disk_store(disk)
    await store.open()
    await assert_all_there(store)
    await store.close()


async def test_index_row_that_disagrees_with_its_file_is_corrected_by_a_check():
    disk = FakeDisk()
    await filled(disk)
    database = Database(disk, FOLDER / INDEX_FILE, schema="", version=1)
    with database.transaction() as connection:
        connection.execute("UPDATE chunks SET role = 1, cell = 99")
    database.close()
    store = disk_store(disk)
    await store.open()
    report = await store.check(read_data=False)
    assert len(report.corrected) == 3
    await assert_all_there(store)
    assert (await store.check(read_data=False)).clean
    await store.close()
    await store.open()
    await assert_all_there(store)
    await store.close()


async def test_documents_survive_a_damaged_page_as_far_as_they_can_be_read():
    disk = FakeDisk()
    await filled(disk)
    content = disk.all_files()[FOLDER / DOCUMENTS_FILE]
    page = 4096
    assert len(content) > 6 * page
    disk.overwrite(FOLDER / DOCUMENTS_FILE, content[: -2 * page] + b"\xff" * page + content[-page:])
    store = disk_store(disk)
    await store.open()
    kept = await store.list_documents("k")
    assert 0 < len(kept) <= 200
    assert all(value == bytes(100) for _, value in kept)
    assert any(DOCUMENTS_FILE.removesuffix(".sqlite") in path.name for path in disk.list_files(FOLDER / "quarantine"))
    await store.put_document("k", b"later", b"value")
    await store.close()
    await store.open()
    assert len(await store.list_documents("k")) == len(kept) + 1
    await store.close()


async def test_rubbish_instead_of_documents_is_put_aside():
    disk = FakeDisk()
    await filled(disk)
    disk.overwrite(FOLDER / DOCUMENTS_FILE, b"rubbish " * 1000)
    store = disk_store(disk)
    await store.open()
    assert await store.list_documents("k") == []
    assert all([await store.get(new.chunk_id) == new.data for new in CHUNKS])
    await store.close()


async def test_salvage_that_was_cut_off_at_its_last_step_is_finished():
    disk = FakeDisk()
    await filled(disk)
    disk.replace(FOLDER / DOCUMENTS_FILE, FOLDER / SALVAGED_FILE)
    store = disk_store(disk)
    await store.open()
    await assert_all_there(store)
    await store.close()


async def test_documents_of_a_newer_version_are_refused_and_left_alone():
    disk = FakeDisk()
    await filled(disk)
    database = Database(disk, FOLDER / DOCUMENTS_FILE, schema="", version=1)
    with database.transaction() as connection:
        connection.execute("PRAGMA user_version = 9")
    database.close()
    before = disk.all_files()[FOLDER / DOCUMENTS_FILE]
    with pytest.raises(StoreError, match="format 9"):
        await disk_store(disk).open()
    assert disk.all_files()[FOLDER / DOCUMENTS_FILE] == before
    assert disk.locked == set()


async def test_store_of_a_newer_version_is_refused_and_left_alone(monkeypatch: pytest.MonkeyPatch):
    disk = FakeDisk()
    await filled(disk)
    monkeypatch.setattr("dfs_sdk.store.header.STORE_VERSION", 2)
    disk.overwrite(FOLDER / "store.id", encode_store_name(bytes(16)))
    monkeypatch.undo()
    before = disk.all_files()
    with pytest.raises(StoreError, match="format 2"):
        await disk_store(disk).open()
    assert disk.all_files() == before


@pytest.mark.parametrize("name", [b"", b"rubbish", encode_store_name(bytes(16))[:-1] + b"x"])
async def test_damaged_name_gives_a_new_one_and_keeps_the_chunks(name: bytes):
    disk = FakeDisk()
    uuid = await filled(disk)
    disk.overwrite(FOLDER / "store.id", name)
    store = disk_store(disk)
    await store.open()
    assert len(store.storage_uuid) == len(uuid) == 16
    await assert_all_there(store)
    await store.close()


async def test_foreign_and_half_files_are_not_chunks():
    disk = FakeDisk()
    await filled(disk)
    good = disk.all_files()
    path = next(path for path in good if "chunks" in path.parts)
    disk.remove(FOLDER / INDEX_FILE)
    disk.make_folders(FOLDER / "chunks" / "zz")
    disk.make_folders(FOLDER / "chunks" / "00")
    for stray in ("notes.txt", "00" * 31, "00" * 33, "zz" * 32, "AB" * 32):
        disk.write_new(FOLDER / "chunks" / "zz" / stray, b"?")
    disk.write_new(FOLDER / "chunks" / "00" / ("00" * 32), good[path])  # another chunk's bytes under this name
    disk.write_new(FOLDER / "tmp" / "7-abcd", b"half")
    disk.overwrite(path, good[path][: HEADER_BYTES - 1])
    store = disk_store(disk)
    await store.open()
    assert len(store) == 2
    assert disk.list_files(FOLDER / "tmp") == []
    assert len(disk.list_files(FOLDER / "quarantine")) == 2
    assert len(disk.list_files(FOLDER / "chunks" / "zz")) == 5
    await store.close()


async def test_corruption_of_any_byte_of_a_file_is_found():
    disk = FakeDisk()
    store = disk_store(disk)
    await store.open()
    small = chunk(1, size=40)
    path = store._files.path(small.chunk_id)
    for position in range(HEADER_BYTES + 40):
        await store.put([small])
        content = disk.all_files()[path]
        disk.overwrite(path, content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        with pytest.raises(CorruptContentError):
            await store.get(small.chunk_id)
    await store.close()


async def test_unreadable_file_does_not_keep_the_rest_from_opening():
    disk = FakeDisk()
    await filled(disk)
    disk.remove(FOLDER / INDEX_FILE)
    bad = CHUNKS[1].chunk_id
    disk.fail = lambda _step, name: errno.EIO if name.startswith("read") and bad.hex() in name else None
    store = disk_store(disk)
    await store.open()
    assert len(store) == 2
    await store.close()
    disk.fail = lambda _step, _name: None
    await store.open()
    await assert_all_there(store)
    await store.close()


async def test_network_file_system_gets_no_write_ahead_log():
    disk = FakeDisk()
    disk.network = True
    await filled(disk)
    assert set(disk.journal_modes) == {"DELETE"}
    disk.network = False
    await disk_store(disk).open()
    assert disk.journal_modes[-1] == "WAL"


def test_commit_of_a_database_on_a_real_disk_waits_for_the_drive(tmp_path: Path):
    schema = "CREATE TABLE kept (value)"
    database = Database(SystemDisk(), tmp_path / "some.db", schema=schema, version=1)
    (synchronous,) = database.connection.execute("PRAGMA synchronous").fetchone()
    database.close()
    assert synchronous >= 2, "FULL or EXTRA: below it SQLite leaves the last commits to the drive's cache"


def test_second_holder_is_refused_within_a_second_in_words():
    async def main(clock: object) -> float:
        disk = FakeDisk()
        first, second = disk_store(disk), disk_store(disk)
        await first.open()
        begin = asyncio.get_running_loop().time()
        with pytest.raises(StoreLockedError, match=r"/home/me/store is in use by process 4711"):
            await second.open()
        elapsed = asyncio.get_running_loop().time() - begin
        await first.close()
        await second.open()
        await second.close()
        return elapsed

    assert run_virtual(main) <= 1


async def test_folder_that_cannot_be_made_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    threads = ThreadOffload(threads=1)
    runtime = replace(disk_runtime(FakeDisk()), disk=SystemDisk(), offload=threads)
    with pytest.raises(StoreError, match="ENOTDIR"):
        await DiskStore(tmp_path / "file" / "store", runtime, SMALL).open()
    await threads.close()
