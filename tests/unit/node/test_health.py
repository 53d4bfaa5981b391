"""The sentence about health is true in the worst case: checked against every way in which peers can leave."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.files.health import copies_min, machines_min
from dfs_sdk.ids import NodeId
from dfs_sdk.node.health import in_words, margin

ME = NodeId(bytes(32))
PEERS = [NodeId(bytes([number + 1]) * 32) for number in range(5)]
Copies = Sequence[frozenset[NodeId]]

copies = st.lists(st.frozensets(st.sampled_from([ME, *PEERS]), min_size=1), min_size=1, max_size=4)
machines = st.lists(st.sampled_from([b"one", b"two", b"three"]), min_size=len(PEERS), max_size=len(PEERS))


@dataclass(frozen=True)
class Kept:
    copies_min: int
    copies_elsewhere: int
    machines_elsewhere: int


def kept(chunks: Copies, machine_of: Sequence[bytes] = tuple(map(bytes, PEERS))) -> Kept:
    holders = [sorted(each) for each in chunks]
    machine = dict(zip(PEERS, machine_of, strict=True))
    return Kept(
        copies_min=copies_min(holders, lambda _node: True),
        copies_elsewhere=copies_min(holders, ME.__ne__),
        machines_elsewhere=machines_min(holders, ME.__ne__, machine.__getitem__),
    )


def readable(chunks: Copies, gone: Iterable[NodeId]) -> bool:
    return all(chunk - {ME} - set(gone) for chunk in chunks)


@given(st.lists(copies, min_size=1, max_size=3))
def test_so_many_peers_may_leave_and_not_one_more(files: list[Copies]):
    spare = margin([kept(each) for each in files]).peers
    for chunks in files:
        for gone in combinations(PEERS, max(spare, 0)):
            assert readable(chunks, gone) or spare < 0
    assert any(not readable(chunks, gone) for chunks in files for gone in combinations(PEERS, spare + 1))


@given(copies, machines)
def test_so_many_machines_may_fail_and_not_one_more(chunks: Copies, machine_of: list[bytes]):
    spare = margin([kept(chunks, machine_of)]).machines
    names = sorted(set(machine_of))

    def on(failed: Iterable[bytes]) -> list[NodeId]:
        return [peer for peer, name in zip(PEERS, machine_of, strict=True) if name in failed]

    for failed in combinations(names, max(spare, 0)):
        assert readable(chunks, on(failed)) or spare < 0
    assert any(not readable(chunks, on(failed)) for failed in combinations(names, spare + 1))


def test_nothing_is_claimed_of_no_files():
    assert margin([]).peers == -1


ONE = Kept(1, 0, 0)


@pytest.mark.parametrize(
    ("files", "peers", "machine_count", "said"),
    [
        ([], 0, 0, "alone: join a network or hand on an invite"),
        ([ONE], 0, 0, "alone: what is stored is only here"),
        ([ONE, Kept(0, 0, 0)], 0, 0, "alone; 1 of 2 files cannot be read just now"),
        ([], 3, 3, "3 peers; no files yet"),
        ([Kept(0, 0, 0), ONE], 1, 1, "1 peer; 1 of 2 files cannot be read just now"),
        ([Kept(0, 0, 0)], 1, 1, "1 peer; the one file cannot be read just now"),
        ([ONE, Kept(4, 3, 3)], 9, 9, "9 peers; 1 of 2 files would be lost with this node"),
        (
            [Kept(2, 1, 1), Kept(4, 3, 3)],
            9,
            9,
            "9 peers; every file can do without this node, but 1 of 2 files would be lost with one peer more",
        ),
        (
            [Kept(3, 3, 3)],
            9,
            9,
            "9 peers; every file survives any 2 of 9 peers leaving, this node too, or any 2 of their 9 machines",
        ),
        ([Kept(3, 3, 1)], 9, 4, "9 peers; every file survives any 2 of 9 peers leaving, this node too"),
        (
            [Kept(3, 2, 1)],
            2,
            1,
            "2 peers; every file survives either peer leaving, this node too; all peers are on one machine",
        ),
        (
            [Kept(3, 3, 3)],
            3,
            1,
            "3 peers; every file survives all peers but one leaving, this node too; all peers are on one machine",
        ),
    ],
)
def test_health_is_said_in_words(files: list[Kept], peers: int, machine_count: int, said: str):
    assert in_words(files, peers=peers, machines=machine_count, read_only=None) == said


def test_a_store_that_only_reads_is_said_first():
    assert (
        in_words([ONE], peers=3, machines=3, read_only="the disk is full") == "the store only reads: the disk is full"
    )
