"""Where chunks go: rules P-REPL-1 to P-REPL-5, invariants I1 to I3."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfs_sdk.crypto.hashing import blake3_256, keyed_hash
from dfs_sdk.ids import ChunkId, NetworkId
from dfs_sdk.peers.liveness import PeerState
from dfs_sdk.peers.messages import NodeDesc
from dfs_sdk.replication.config import ReplicationConfig
from dfs_sdk.replication.placement import CELL_DOMAIN, Placement, cells_of, distinct_hosts, log_column
from tests.fakes.descs import GIB, desc_of, identity_of, view_of

NETWORK = NetworkId(bytes(range(32)))
CONFIG = ReplicationConfig()
SMALL = ReplicationConfig(cells=256)


def placement_of(descs: list[NodeDesc], config: ReplicationConfig = SMALL, **view: object) -> Placement:
    return Placement(NETWORK, view_of(descs, **view), config)  # type: ignore[arg-type]


def chunk_id(number: int) -> ChunkId:
    return ChunkId(blake3_256(number.to_bytes(8, "big")))


def test_column_is_the_logarithm_of_the_hash():
    """The formula written out for one cell, as docs/protocol/replication.md gives it."""
    node_id = identity_of(1).node_id
    key = blake3_256(CELL_DOMAIN, NETWORK, node_id)
    cell = 1234
    number = int.from_bytes(keyed_hash(key, (cell // 4).to_bytes(4, "big"))[cell % 4 * 8 :][:8], "big")
    expected = np.float32(np.log((number + 0.5) / 2**64))
    assert log_column(NETWORK, node_id, 4096)[cell] == expected


def test_order_has_golden_values():
    descs = [desc_of(n, capacity_bytes=(n + 1) * GIB) for n in range(6)]
    digits = {desc.node_id: desc.name[1] for desc in descs}
    orders = ["".join(digits[i] for i in placement_of(descs, CONFIG).order(cell)) for cell in (0, 1, 4095)]
    assert orders == ["204531", "245031", "543021"]


@given(st.integers(0, 2**64), st.integers(2, 65_536))
def test_candidate_cells_are_two_different_ones_in_range(number: int, cells: int):
    first, second = cells_of(ChunkId(blake3_256(number.to_bytes(9, "big"))), cells)
    assert first != second
    assert 0 <= first < cells
    assert 0 <= second < cells


def test_every_node_with_the_same_members_ranks_alike():
    """I1."""
    descs = [desc_of(n) for n in range(9)]
    one = placement_of(descs, me=descs[0].node_id)
    other = placement_of(descs[::-1], me=descs[5].node_id)
    for cell in range(256):
        assert one.order(cell) == other.order(cell)
        assert one.members(cell, 3) == other.members(cell, 3)


def test_orders_taken_over_from_an_earlier_view_are_the_right_ones():
    descs = [desc_of(n) for n in range(6)]
    before = placement_of(descs)
    orders = [before.order(cell) for cell in range(256)]
    used = [dataclasses.replace(desc, used_bytes=n) for n, desc in enumerate(descs)]
    same = Placement(NETWORK, view_of(used), SMALL, before=before)
    assert [same.order(cell) for cell in range(256)] == orders
    heavier = [desc_of(n, capacity_bytes=GIB * (1 + n)) for n in range(6)]
    for changed in (heavier, descs[1:]):
        fresh = placement_of(changed)
        after = Placement(NETWORK, view_of(changed), SMALL, before=before)
        assert [after.order(cell) for cell in range(256)] == [fresh.order(cell) for cell in range(256)]


def test_states_short_of_gone_change_no_order():
    """I1: who is reachable is judged when acting, not when ranking."""
    descs = [desc_of(n) for n in range(6)]
    silent = {descs[1].node_id: PeerState.AWAY, descs[2].node_id: PeerState.BUSY, descs[3].node_id: PeerState.SUSPECT}
    calm, troubled = placement_of(descs), placement_of(descs, states=silent)
    assert all(calm.order(cell) == troubled.order(cell) for cell in range(256))


@given(st.integers(1, 12), st.integers(0, 11), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_one_node_less_changes_each_order_only_by_that_node(count: int, lost: int, random: object):
    """I2, with unequal weights."""
    descs = [desc_of(n, capacity_bytes=(1 + n % 5) * GIB) for n in range(count)]
    gone = descs[lost % count]
    before, after = placement_of(descs), placement_of(descs, states={gone.node_id: PeerState.GONE})
    for cell in range(0, 256, 7):
        assert after.order(cell) == tuple(i for i in before.order(cell) if i != gone.node_id)


@given(
    hosts=st.lists(st.integers(0, 4), min_size=1, max_size=12),
    sites=st.lists(st.integers(0, 2), min_size=12, max_size=12),
    full=st.sets(st.integers(0, 11)),
    count=st.integers(1, 8),
    cell=st.integers(0, 255),
)
@settings(max_examples=80, deadline=None)
def test_members_are_different_nodes_with_room(
    hosts: list[int], sites: list[int], full: set[int], count: int, cell: int
):
    """I3 and I7: never two copies on one node, none on a full one, as many as there can be."""
    descs = [
        desc_of(n, host=bytes([host]) * 16, site=str(sites[n]), used_bytes=GIB if n in full else 0)
        for n, host in enumerate(hosts)
    ]
    chosen = placement_of(descs).members(cell, count)
    able = {desc.node_id for n, desc in enumerate(descs) if n not in full}
    assert len(set(chosen)) == len(chosen) == min(count, len(able))
    assert set(chosen) <= able


def test_copies_spread_over_machines_where_there_are_enough():
    """I3: with three machines, three copies never share one, however many nodes the first runs."""
    descs = [desc_of(n, host=bytes([0 if n < 8 else n]) * 16) for n in range(10)]
    placement = placement_of(descs)
    for cell in range(256):
        assert distinct_hosts(placement.view, placement.members(cell, 3)) == 3


def test_copies_spread_over_sites_before_machines():
    descs = [desc_of(n, site="ab"[n % 2]) for n in range(8)]
    sites = {desc.node_id: desc.site for desc in descs}
    placement = placement_of(descs)
    for cell in range(256):
        assert sorted(Counter(sites[i] for i in placement.members(cell, 4)).values()) == [2, 2]


def test_one_machine_is_no_reason_to_have_fewer_copies():
    descs = [desc_of(n, host=bytes(16)) for n in range(5)]
    assert all(len(placement_of(descs).members(cell, 3)) == 3 for cell in range(256))


def test_further_copies_avoid_the_machines_that_hold_one():
    descs = [desc_of(n, host=bytes([n // 2]) * 16) for n in range(6)]
    placement = placement_of(descs)
    for cell in range(64):
        first = placement.order(cell)[0]
        more = placement.choose(cell, 2, holding=[first])
        assert distinct_hosts(placement.view, [first, *more]) == 3


def test_shed_cells_are_passed_over():
    descs = [desc_of(n) for n in range(5)]
    first = placement_of(descs).members(17, 3)[0]
    shedding = [dataclasses.replace(d, shed=(17,)) if d.node_id == first else d for d in descs]
    assert first not in placement_of(shedding).members(17, 3)
    assert any(first in placement_of(shedding).members(cell, 3) for cell in range(18, 64))


def test_node_without_capacity_is_never_chosen():
    descs = [desc_of(0, capacity_bytes=0), desc_of(1), desc_of(2)]
    assert all(descs[0].node_id not in placement_of(descs).members(cell, 3) for cell in range(256))


def test_cells_are_won_in_proportion_to_weight():
    descs = [desc_of(n, capacity_bytes=GIB * (4 if n == 0 else 1)) for n in range(5)]
    placement = placement_of(descs, CONFIG)
    won = Counter(placement.order(cell)[0] for cell in range(4096))
    # Four of eight shares; 5 sigma of a binomial are 160 cells.
    assert abs(won[descs[0].node_id] - 2048) < 160
    assert all(abs(won[desc.node_id] - 512) < 110 for desc in descs[1:])


def test_chunk_takes_the_cell_whose_fullest_member_is_emptier():
    descs = [desc_of(n, used_bytes=GIB // 2 if n == 0 else 0) for n in range(6)]
    placement = placement_of(descs)
    full = descs[0].node_id
    for number in range(100):
        first, second = cells_of(chunk_id(number), 256)
        chosen = placement.choose_cell(chunk_id(number), 2)
        loads = [full in placement.members(cell, 2) for cell in (first, second)]
        assert chosen == (second if loads == [True, False] else first)


def test_bytes_on_their_way_count_as_used():
    descs = [desc_of(n) for n in range(6)]
    placement = placement_of(descs)
    first, second = cells_of(chunk_id(1), 256)
    only_first = [i for i in placement.members(first, 2) if i not in placement.members(second, 2)]
    assert placement.choose_cell(chunk_id(1), 2) == first
    assert placement.choose_cell(chunk_id(1), 2, pending={only_first[0]: 1000}) == second


def test_two_choices_balance_better_than_one():
    """C2 in small: 100 nodes, 3 copies; both ways on the same chunks."""
    descs = [desc_of(n) for n in range(40)]
    placement = placement_of(descs, CONFIG)
    spread = {False: Counter[bytes](), True: Counter[bytes]()}
    for number in range(2000):
        for two in (False, True):
            pending = {i: count * GIB // 2000 for i, count in spread[two].items()}
            cell = (
                placement.choose_cell(chunk_id(number), 3, pending=pending)
                if two
                else cells_of(chunk_id(number), 4096)[0]
            )  # type: ignore[arg-type]
            spread[two].update(placement.members(cell, 3))
    worst = {two: max(counts.values()) / (3 * 2000 / 40) for two, counts in spread.items()}
    assert worst[True] < worst[False]
    assert worst[True] < 1.1


def test_interesting_cells_are_those_where_the_node_ranks_high():
    descs = [desc_of(n, capacity_bytes=(1 + n % 3) * GIB) for n in range(12)]
    placement = placement_of(descs)
    for desc in descs[:4]:
        expected = [cell for cell in range(256) if placement.rank(cell, desc.node_id) < 3]
        assert placement.interesting_cells(desc.node_id, 3) == expected
    assert placement.interesting_cells(descs[0].node_id, 12) == list(range(256))
    assert placement.interesting_cells(identity_of(99).node_id, 3) == []


def test_reasons_name_rank_and_cell():
    descs = [desc_of(n) for n in range(5)]
    placement = placement_of(descs)
    chosen, last = placement.members(9, 2)[0], placement.order(9)[-1]
    assert placement.why(9, chosen, 2) == "rank 1 of 5 for cell 9: one of the 2 chosen"
    assert "stands in" in placement.why(9, last, 2)
    assert "no member" in placement.why(9, identity_of(99).node_id, 2)
    full = placement_of([dataclasses.replace(d, used_bytes=GIB) if d.node_id == chosen else d for d in descs])
    assert "full" in full.why(9, chosen, 2)


@pytest.mark.parametrize("cell", [-1, 256])
def test_cell_out_of_range_is_refused(cell: int):
    with pytest.raises(ValueError, match="cell"):
        placement_of([desc_of(0)]).order(cell)


def test_column_cannot_be_changed_by_its_users():
    with pytest.raises(ValueError, match="read-only"):
        log_column(NETWORK, identity_of(1).node_id, 256)[0] = 0


@given(st.lists(st.sampled_from([GIB, 2 * GIB, 5 * GIB]), min_size=10, max_size=80), st.integers(1, 12))
@settings(max_examples=25)
def test_interesting_cells_are_those_whose_orders_name_the_node_early(capacities: list[int], rank_max: int):
    descs = [desc_of(n, capacity_bytes=size) for n, size in enumerate(capacities)]
    placement, me = placement_of(descs), descs[0].node_id
    if len(descs) <= rank_max:
        assert placement.interesting_cells(me, rank_max) == list(range(SMALL.cells))
    else:
        expected = [cell for cell in range(SMALL.cells) if me in placement.order(cell)[:rank_max]]
        assert placement.interesting_cells(me, rank_max) == expected


def test_rivals_are_the_first_of_the_cells_where_a_node_is_chosen():
    descs = [desc_of(n) for n in range(90)]
    placement, me = placement_of(descs), descs[7].node_id
    orders = [placement.order(cell) for cell in range(SMALL.cells)]
    expected = {other for order in orders if me in order[:3] for other in order[:4]} - {me}
    assert set(placement.rivals(me, 3)) == expected
    assert 0 < len(expected) < 60


def test_rivals_of_a_newcomer_name_who_held_its_cells_before():
    descs = [desc_of(n) for n in range(90)]
    before, after = placement_of(descs[:-1]), placement_of(descs)
    me = descs[-1].node_id
    replaced = {
        before.order(cell)[2] for cell in range(SMALL.cells) if me in after.order(cell)[:3]
    }  # the last of the three that were chosen gave way
    assert replaced <= set(after.rivals(me, 3))


def test_stranger_has_no_rivals():
    assert placement_of([desc_of(n) for n in range(9)]).rivals(desc_of(20).node_id, 3) == []


def test_placements_of_the_same_members_share_their_logarithms():
    descs = [desc_of(n) for n in range(20)]
    one, other = (placement_of(descs, me=descs[n].node_id) for n in range(2))
    for placement in (one, other):
        placement.rivals(descs[0].node_id, 3)
    assert one._table is other._table is not None
