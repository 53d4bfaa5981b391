"""What every store promises of documents, run on every store."""

import pytest

from dfs_sdk.errors import (
    ConfigError,
    QuotaExceededError,
)
from dfs_sdk.store import ChunkStore
from dfs_sdk.store.base import DOCUMENT_BYTES_MAX
from tests.fakes.stores import SMALL


async def test_documents_are_kept_by_kind_and_key(store: ChunkStore):
    await store.put_document("chat", b"k", b"one")
    await store.put_document("dht", b"k", b"two")
    await store.put_document("chat", b"k", b"three")
    assert await store.get_document("chat", b"k") == b"three"
    assert await store.get_document("dht", b"k") == b"two"
    assert await store.get_document("peers", b"k") is None
    for _ in range(2):
        await store.delete_document("chat", b"k")
    assert await store.get_document("chat", b"k") is None
    assert await store.get_document("dht", b"k") == b"two"


async def test_documents_are_listed_in_key_order(store: ChunkStore):
    keys = [b"b", b"a\xff\xff", b"", b"a", b"a\x00", b"a\xff", b"c", b"\xff\xff", b"\xff"]
    await store.put_documents("k", [(key, key * 2) for key in keys])
    await store.put_document("other", b"a", b"")
    everything = [(key, key * 2) for key in sorted(keys)]
    assert await store.list_documents("k") == everything
    assert await store.list_documents("k", limit=3) == everything[:3]
    assert await store.list_documents("k", limit=0) == []
    assert [key for key, _ in await store.list_documents("k", prefix=b"a")] == [b"a", b"a\x00", b"a\xff", b"a\xff\xff"]
    assert [key for key, _ in await store.list_documents("k", prefix=b"a", after=b"a\x00", limit=1)] == [b"a\xff"]
    assert [key for key, _ in await store.list_documents("k", prefix=b"\xff")] == [b"\xff", b"\xff\xff"]
    assert [key for key, _ in await store.list_documents("k", after=b"")] == sorted(keys)[1:]
    assert await store.list_documents("k", prefix=b"a", after=b"b") == []
    assert await store.list_documents("none") == []


async def test_documents_keep_to_their_quota(store: ChunkStore):
    half = bytes(SMALL.documents_bytes_max // 2)
    await store.put_documents("k", [(b"1", half), (b"2", half)])
    with pytest.raises(QuotaExceededError):
        await store.put_documents("k", [(b"1", b""), (b"3", half), (b"4", b"x")])
    assert [key for key, _ in await store.list_documents("k")] == [b"1", b"2"]
    await store.put_document("k", b"1", half)
    await store.delete_document("k", b"2")
    await store.put_document("k", b"3", half)


async def test_repeated_key_in_a_batch_counts_once(store: ChunkStore):
    most = bytes(SMALL.documents_bytes_max)
    await store.put_documents("k", [(b"1", most), (b"1", most)])
    assert await store.get_document("k", b"1") == most


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("", b"", b""),
        ("k" * 65, b"", b""),
        ("store.pin", b"", b""),
        ("k", bytes(1025), b""),
        ("k", b"", bytes(DOCUMENT_BYTES_MAX + 1)),
    ],
    ids=["no kind", "long kind", "reserved kind", "long key", "large value"],
)
async def test_document_out_of_bounds_is_refused(store: ChunkStore, kind: str, key: bytes, value: bytes):
    with pytest.raises(ConfigError):
        await store.put_document(kind, key, value)
