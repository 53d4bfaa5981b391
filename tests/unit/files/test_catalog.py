"""What the catalog and the drafts write down."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.errors import ContentNotFoundError, ProtocolError, QuotaExceededError
from dfs_sdk.files.catalog import RECORD_KIND, Catalog, File, Record, file_of
from dfs_sdk.files.drafts import DRAFT_KIND, Draft, Drafts, Placed, draft_id_of
from dfs_sdk.files.link import Link, LinkKind
from dfs_sdk.ids import ChunkId
from dfs_sdk.store import MemoryStore
from dfs_sdk.wire.codec import decode, encode
from tests.fakes.runtime import fake_runtime


def link(number: int = 1) -> Link:
    return Link(kind=LinkKind.READ, network_tag=b"tttt", manifest_id=ChunkId(bytes([number]) * 32), key=b"k" * 32)


def record(number: int = 1, *, created: float = 1.0) -> Record:
    return Record(
        name=f"file-{number}",
        link=str(link(number)),
        size=9,
        chunk_bytes=0,
        chunk_count=0,
        replicas=3,
        pinned=False,
        origin="put",
        created_at_wall=created,
        removal_key=b"r" * 32,
    )


async def catalog(*, files_max: int = 10) -> Catalog:
    runtime = fake_runtime()
    store = MemoryStore(runtime)
    await store.open()
    return Catalog(store, runtime.offload, lambda _chunk_id: (0, 1), files_max=files_max)


def test_golden_record():
    assert encode(record()).hex().startswith("9ca666696c652d31d967" + str(link()).encode().hex() + "09000003c2a3707574")
    assert decode(Record, encode(record())) == record()


@given(st.binary(max_size=300))
def test_any_bytes_are_a_record_or_a_protocol_error(body: bytes):
    with contextlib.suppress(ProtocolError):
        decode(Record, body)


def test_a_record_shows_no_secret():
    shown = repr(record()) + repr(file_of(record()))
    assert "rrrr" not in shown
    assert str(link())[8:40] not in shown


async def test_files_are_listed_in_the_order_they_came():
    known = await catalog()
    for number, created in ((1, 5.0), (2, 3.0), (3, 4.0)):
        await known.add(record(number, created=created), None, None)
    await known.load()
    assert [entry.file.name for entry in known] == ["file-2", "file-3", "file-1"]
    await known.set_pinned(link(3).manifest_id, pinned=True)
    await known.load()
    assert [entry.file.pinned for entry in known] == [False, True, False]


async def test_a_full_catalog_refuses_further_files_but_changes_known_ones():
    known = await catalog(files_max=2)
    await known.add(record(1), None, None)
    await known.add(record(2), None, None)
    with pytest.raises(QuotaExceededError, match="2 files"):
        await known.add(record(3), None, None)
    await known.set_pinned(link(2).manifest_id, pinned=True)
    await known.remove(link(1).manifest_id)
    await known.remove(link(1).manifest_id)
    await known.add(record(3), None, None)
    assert len(known) == 2


async def test_a_record_under_a_foreign_key_is_passed_over():
    known = await catalog()
    await known._store.put_document(RECORD_KIND, b"x" * 32, encode(record()))
    await known.load()
    assert len(known) == 0
    with pytest.raises(ContentNotFoundError, match="not in this node's list"):
        known.entry(link().manifest_id)


async def test_drafts_keep_keys_and_progress():
    runtime = fake_runtime()
    store = MemoryStore(runtime)
    await store.open()
    drafts = Drafts(store, runtime.clock, runtime.entropy, drafts_max=2, draft_seconds=100)
    draft, placed = await drafts.resume(b"a" * 32)
    assert placed == {}
    notes = {
        3: Placed(chunk_id=ChunkId(b"3" * 32), cell=7),
        70_000: Placed(chunk_id=ChunkId(b"4" * 32), cell=None),
    }
    await drafts.note(b"a" * 32, notes)
    assert await drafts.resume(b"a" * 32) == (draft, notes)
    other, _ = await drafts.resume(b"b" * 32)
    assert other.read_key != draft.read_key
    assert "read_key" not in repr(draft)
    await store.put_document(DRAFT_KIND, b"a" * 32, b"damaged")
    fresh, placed = await drafts.resume(b"a" * 32)
    assert (fresh.read_key != draft.read_key, placed) == (True, {})
    runtime.clock.advance(101)  # type: ignore[attr-defined]
    later, _ = await drafts.resume(b"a" * 32)
    assert later.read_key != fresh.read_key


@given(st.binary(max_size=200))
def test_any_bytes_are_a_draft_or_a_protocol_error(body: bytes):
    with contextlib.suppress(ProtocolError):
        decode(Draft, body)


def test_a_draft_is_named_by_content_and_settings():
    names = {
        draft_id_of(b"path", (1, 2)),
        draft_id_of(b"path", (2, 1)),
        draft_id_of(b"path2", (1, 2)),
        draft_id_of(b"path", (1,)),
    }
    assert len(names) == 4


def test_a_file_says_what_it_is():
    file = File(name="x.csv", link=link(), size=5, chunk_count=2)
    assert str(file) == "x.csv (5 bytes, 2 chunks)"
    assert file.file_id == "01010101"
