"""Opening a store: whatever state a crash left it in, bring index and files to one sound state. Blocks.

The chunk files are the truth. What was acknowledged is a whole file under its name, so a file without a row gets one
and a row without a file goes; neither needs the data to be read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from dfs_sdk.errors import CorruptContentError
from dfs_sdk.ids import ChunkId
from dfs_sdk.runtime.ports import Disk
from dfs_sdk.store.base import ChunkInfo
from dfs_sdk.store.documents import DocumentTable, open_documents
from dfs_sdk.store.files import TEMPORARY_FOLDER, ChunkFiles
from dfs_sdk.store.header import decode_store_name, encode_store_name
from dfs_sdk.store.holdings import Holdings
from dfs_sdk.store.index import ChunkIndex, IndexChanges, open_index
from dfs_sdk.store.reserve import Reserve

NAME_FILE = "store.id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """A store in a sound state.

    Attributes:
        storage_uuid: Its name.
        holdings: Everything it holds.
        pins: The pinned ids, also of chunks that are not held just now.
        index: The open index.
        documents: The open documents.
        repairs: What was set right, in sentences.
    """

    storage_uuid: bytes
    holdings: Holdings
    pins: set[ChunkId]
    index: ChunkIndex
    documents: DocumentTable
    repairs: tuple[str, ...]


def recover(
    disk: Disk,
    folder: Path,
    *,
    files: ChunkFiles,
    reserve: Reserve,
    documents_bytes_max: int,
    draw_uuid: Callable[[], bytes],
) -> Recovered:
    """Open everything below `folder`, which this process has locked.

    Raises:
        StoreError: The store is of another version.
        OSError, sqlite3.Error: The disk refused.
    """
    storage_uuid = _named(disk, folder, draw_uuid)
    files.prepare()
    reserve.renew()
    documents, repair = open_documents(disk, folder, bytes_max=documents_bytes_max)
    repairs = [repair] if repair else []
    try:
        pins = documents.pins()
        index, rows = open_index(disk, folder)
    except BaseException:
        documents.close()
        raise
    try:
        infos, difference = _reconciled(files, rows, repairs)
        if difference is not None:
            reserve.backed(lambda: index.apply([difference]))
        disk.sync_folder(folder)  # the databases' own entries
    except BaseException:
        documents.close()
        index.close()
        raise
    holdings = Holdings()
    holdings.load(replace(info, pinned=True) if info.chunk_id in pins else info for info in infos)
    return Recovered(
        storage_uuid=storage_uuid,
        holdings=holdings,
        pins=pins,
        index=index,
        documents=documents,
        repairs=tuple(repairs),
    )


def _named(disk: Disk, folder: Path, draw_uuid: Callable[[], bytes]) -> bytes:
    """Read the store's name, or give it one."""
    path = folder / NAME_FILE
    storage_uuid = decode_store_name(disk.read(path)) if disk.exists(path) else None
    if storage_uuid is None:
        storage_uuid = draw_uuid()
        temporary = folder / TEMPORARY_FOLDER / NAME_FILE
        disk.make_folders(temporary.parent)
        disk.remove(temporary)
        disk.write_new(temporary, encode_store_name(storage_uuid))
        disk.replace(temporary, path)
        disk.sync_folder(folder)
    return storage_uuid


def _reconciled(
    files: ChunkFiles, rows: dict[ChunkId, ChunkInfo], repairs: list[str]
) -> tuple[list[ChunkInfo], IndexChanges | None]:
    """Compare rows with files by name; return what is held and what the index has to learn."""
    held: list[ChunkInfo] = []
    adopted: list[ChunkInfo] = []
    damaged = unreadable = 0
    for chunk_id in files.scan():
        info = rows.pop(chunk_id, None)
        if info is None:
            try:
                info = files.load_header(chunk_id)
            except CorruptContentError:
                files.quarantine(chunk_id)
                damaged += 1
                continue
            except OSError:
                unreadable += 1  # one bad sector must not keep the rest of the store from its owner
                continue
            adopted.append(info)
        held.append(info)
    # A write that failed may have left a name that only the page cache knows, and its undoing may have failed, too.
    files.secure(info.chunk_id for info in adopted)
    for count, what in (
        (len(adopted), "chunk files were added to the index"),
        (len(rows), "chunks were dropped from the index: their files are gone"),
        (damaged, "damaged chunk files were put aside"),
        (unreadable, "chunk files could not be read and do not count as held: check the disk"),
    ):
        if count:
            repairs.append(f"{count} {what}")
    return held, IndexChanges(kept=adopted, dropped=list(rows)) if adopted or rows else None
