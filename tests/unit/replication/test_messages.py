"""What holders tell each other, on the wire; and the book that is kept of it."""

import contextlib
import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfs_sdk.errors import ProtocolError
from dfs_sdk.ids import ChunkId, NodeId
from dfs_sdk.replication import messages
from dfs_sdk.replication.claims import NOTHING_KNOWN, Claims
from dfs_sdk.replication.messages import (
    CellSummary,
    HeldChunk,
    ListCells,
    Promise,
    Promised,
    RepairClaim,
    Survey,
    Surveyed,
    pack_cells,
    pack_chunks,
    read_cells,
    read_chunks,
)
from dfs_sdk.store.base import CHUNK_BYTES_MAX, ChunkInfo, Role
from dfs_sdk.wire.codec import BODY_BYTES_MAX, decode, encode

A, B = NodeId(b"a" * 32), NodeId(b"b" * 32)
digests = st.binary(min_size=16, max_size=16)
chunk_ids = st.binary(min_size=32, max_size=32).map(ChunkId)


def info_of(
    number: int, *, cell: int = 5, role: Role = Role.PRIMARY, removal_hash: bytes = b"", replicas: int = 3
) -> ChunkInfo:
    return ChunkInfo(
        chunk_id=ChunkId(number.to_bytes(32, "big")),
        size=number,
        cell=cell,
        role=role,
        removal_hash=removal_hash,
        stored_at_wall=0,
        last_read_at_wall=0,
        replicas=replicas,
    )


def held(number: int, *, cell: int = 5, role: Role = Role.PRIMARY) -> HeldChunk:
    return HeldChunk(
        chunk_id=ChunkId(number.to_bytes(32, "big")), cell=cell, role=role, replicas=3, size=number, removal_hash=b""
    )


def summary(text: bytes, count: int = 1) -> CellSummary:
    return CellSummary(count=count, digest=text.ljust(16, b"."))


@given(st.dictionaries(st.integers(0, 99), st.tuples(st.integers(1, 2**32 - 1), digests)))
def test_survey_round_trips(cells: dict[int, tuple[int, bytes]]):
    known = {cell: CellSummary(count=count, digest=digest) for cell, (count, digest) in cells.items()}
    assert read_cells(pack_cells(sorted(known.items())), cells=100) == known


@given(
    st.dictionaries(
        st.tuples(st.integers(0, 9), st.integers(0, 1000)),
        st.tuples(st.sampled_from(Role), st.integers(1, 255), st.sampled_from([b"", b"h" * 32])),
        max_size=30,
    )
)
def test_list_of_chunks_round_trips(entries: dict[tuple[int, int], tuple[Role, int, bytes]]):
    infos = [
        info_of(number, cell=cell, role=role, replicas=replicas, removal_hash=removal)
        for (cell, number), (role, replicas, removal) in sorted(entries.items())
    ]
    found = read_chunks(pack_chunks(infos), asked=range(10))
    assert [(c.chunk_id, c.cell, c.role, c.replicas, c.size, c.removal_hash) for c in found] == [
        (i.chunk_id, i.cell, i.role, i.replicas, i.size, i.removal_hash) for i in infos
    ]


def test_entries_have_golden_bytes():
    assert pack_cells([(258, CellSummary(count=3, digest=b"d" * 16))]) == bytes.fromhex("0000010200000003") + b"d" * 16
    info = info_of(7, cell=258, role=Role.SURPLUS, removal_hash=b"r" * 32, replicas=4)
    assert pack_chunks([info]) == (
        bytes.fromhex("00000102") + bytes(31) + b"\7" + bytes.fromhex("0204 00000007 01") + b"r" * 32
    )


@pytest.mark.parametrize(
    "entries",
    [
        [(3, summary(b"")), (2, summary(b""))],
        [(3, summary(b"")), (3, summary(b""))],
        [(100, summary(b""))],
        [(3, summary(b"", count=0))],
    ],
    ids=["not ascending", "twice", "no such cell", "empty cell"],
)
def test_unsound_survey_is_refused(entries: list[tuple[int, CellSummary]]):
    with pytest.raises(ProtocolError):
        read_cells(pack_cells(entries), cells=100)


@pytest.mark.parametrize(
    "body",
    [
        pack_chunks([info_of(2), info_of(1)]),
        pack_chunks([info_of(1), info_of(1)]),
        pack_chunks([info_of(1, cell=6)]),
        pack_chunks([info_of(CHUNK_BYTES_MAX + 1)]),
        pack_chunks([info_of(1, replicas=0)]),
        pack_chunks([info_of(1)])[:-1],
        pack_chunks([info_of(n) for n in range(1001)]),
        pack_chunks([info_of(1)]).replace(b"\3\3", b"\x09\3"),
    ],
    ids=["not ascending", "twice", "not asked", "too large", "no replicas", "cut", "too many", "unknown role"],
)
def test_unsound_list_is_refused(body: bytes):
    with pytest.raises(ProtocolError):
        read_chunks(body, asked=[5])


@given(st.binary(max_size=300))
def test_any_bulk_bytes_parse_or_raise_protocol_error(data: bytes):
    with contextlib.suppress(ProtocolError):
        read_cells(data, cells=100)
    with contextlib.suppress(ProtocolError):
        read_chunks(data, asked=range(2**16))


@pytest.mark.parametrize(
    "kind", [Survey, Surveyed, ListCells, messages.Listed, RepairClaim, messages.Noted, Promise, Promised]
)
@given(data=st.binary(max_size=200))
def test_any_bytes_parse_or_raise_protocol_error(kind: type, data: bytes):
    with contextlib.suppress(ProtocolError):
        decode(kind, data)


def test_fullest_messages_fit_and_round_trip():
    many = tuple(ChunkId(n.to_bytes(32, "big")) for n in range(1000))
    for message in (
        RepairClaim(chunk_ids=many),
        Promise(chunk_ids=many),
        Promised(kept=many),
        ListCells(cells=tuple(range(65_400, 65_528)), after_cell=3, after_chunk=many[1]),
        Survey(known=bytes(16)),
    ):
        body = encode(message)
        assert len(body) < BODY_BYTES_MAX
        assert decode(type(message), body) == message


# The book


def test_unchanged_peer_needs_no_reading():
    claims = Claims()
    claims.meet(A, b"u")
    claims.surveyed(A, b"1" * 16, {5: summary(b"x"), 9: summary(b"y")}, now=1)
    assert claims.unread_cells(A, [5, 7]) == [5]
    claims.read(A, [5], [held(1)])
    assert claims.unread_cells(A, [5, 7]) == []
    claims.surveyed(A, b"1" * 16, None, now=2)
    assert claims.unread_cells(A, [5]) == []
    assert (claims.heard_at(A), claims.digest(A)) == (2, b"1" * 16)
    assert claims.holders(5, held(1).chunk_id) == [A]


def test_changed_cell_is_read_again_and_vanished_one_forgotten():
    claims = Claims()
    claims.meet(A, b"u")
    claims.surveyed(A, b"1" * 16, {5: summary(b"x"), 6: summary(b"y")}, now=1)
    claims.read(A, [5, 6], [held(1), held(2, cell=6)])
    claims.surveyed(A, b"2" * 16, {5: summary(b"z")}, now=2)
    assert claims.unread_cells(A, [5, 6]) == [5]
    assert claims.holders(6, held(2).chunk_id) == []
    claims.read(A, [5], [held(3)])
    assert claims.holders(5, held(1).chunk_id) == []
    assert list(claims.chunks_of_others(5)) == [held(3).chunk_id]


def test_another_storage_voids_all_claims():
    claims = Claims()
    assert not claims.meet(A, b"u")
    claims.note(A, held(1))
    assert not claims.meet(A, b"u")
    assert claims.holders(5, held(1).chunk_id) == [A]
    assert claims.meet(A, b"v")
    assert claims.holders(5, held(1).chunk_id) == []
    assert A not in claims


def test_cache_copies_are_nobodys_redundancy():
    """I11."""
    claims = Claims()
    claims.meet(A, b"u")
    claims.surveyed(A, b"1" * 16, {5: summary(b"x")}, now=1)
    claims.read(A, [5], [held(1, role=Role.CACHE)])
    claims.note(A, held(2, role=Role.CACHE))
    assert claims.chunks_of_others(5) == {}


def test_receipt_is_believed_until_the_next_reading():
    claims = Claims()
    claims.meet(A, b"u")
    claims.surveyed(A, b"1" * 16, {5: summary(b"x")}, now=1)
    claims.read(A, [5], [])
    claims.note(A, held(1))
    assert claims.holders(5, held(1).chunk_id) == [A]
    assert claims.role(A, 5, held(1).chunk_id) is Role.PRIMARY
    assert claims.unread_cells(A, [5]) == [5], "even if it lost the chunk and reports its old digest"
    claims.read(A, [5], [])
    assert claims.holders(5, held(1).chunk_id) == []


def test_one_liar_does_not_decide_who_may_remove_a_chunk():
    claims = Claims()
    lie = dataclasses.replace(held(1), removal_hash=b"l" * 32, replicas=1)
    for peer, word in ((A, lie), (B, held(1)), (NodeId(b"c" * 32), held(1))):
        claims.meet(peer, b"u")
        claims.note(peer, word)
    assert claims.chunks_of_others(5) == {held(1).chunk_id: held(1)}


def test_receipt_of_a_stranger_is_not_kept():
    claims = Claims()
    claims.note(A, held(1))
    assert claims.cells() == []
    assert claims.digest(A) == NOTHING_KNOWN
    assert claims.heard_at(A) == float("-inf")


@given(
    st.lists(
        st.tuples(st.sampled_from("rnfd"), st.sampled_from([A, B]), st.integers(0, 3), st.integers(0, 5)), max_size=40
    )
)
@settings(max_examples=100)
def test_book_agrees_with_a_naive_one(story: list[tuple[str, NodeId, int, int]]):
    claims, naive = Claims(), dict[NodeId, set[tuple[int, int]]]()
    for what, peer, cell, number in story:
        claims.meet(peer, b"u")
        mine = naive.setdefault(peer, set())
        match what:
            case "r":
                claims.surveyed(peer, b"1" * 16, {c: summary(b"%d" % number) for c in range(4)}, now=1)
                claims.read(peer, [cell], [held(number, cell=cell)])
                naive[peer] = {entry for entry in mine if entry[0] != cell} | {(cell, number)}
            case "n":
                claims.note(peer, held(number, cell=cell))
                mine.add((cell, number))
            case "d":
                claims.drop(peer, held(number).chunk_id, cell)
                mine.discard((cell, number))
            case "f":
                claims.forget(peer)
                naive[peer] = set()
    for cell in range(4):
        for number in range(6):
            expected = sorted(peer for peer, entries in naive.items() if (cell, number) in entries)
            assert claims.holders(cell, held(number).chunk_id) == expected
    for peer, entries in naive.items():
        assert claims.count(peer) == len(entries)
    assert len(claims) == sum(map(len, naive.values()))
