"""Room: the eviction order and its bounds."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.errors import ConfigError, QuotaExceededError
from dfs_sdk.ids import ChunkId
from dfs_sdk.store import Role, StoreConfig
from dfs_sdk.store.base import ChunkInfo
from dfs_sdk.store.holdings import Holdings
from dfs_sdk.store.quota import CHARGE_BYTES_MIN, charged_bytes, eviction_order, plan_eviction


def info(number: int, *, size: int = 5000, role: Role = Role.CACHE, pinned: bool = False, read: float = 0) -> ChunkInfo:
    chunk_id = ChunkId(number.to_bytes(32, "big"))
    return ChunkInfo(
        chunk_id=chunk_id,
        size=size,
        cell=number % 3,
        role=role,
        stored_at_wall=0,
        last_read_at_wall=read,
        pinned=pinned,
    )


infos = st.lists(
    st.builds(
        info,
        st.integers(0, 50),
        size=st.integers(0, 20_000),
        role=st.sampled_from(Role),
        pinned=st.booleans(),
        read=st.integers(0, 9).map(float),
    ),
    unique_by=lambda made: made.chunk_id,
    max_size=20,
)


def test_least_recently_read_goes_first_and_ties_go_by_id():
    order = eviction_order([info(3, read=2), info(2, read=1), info(1, read=1)])
    assert [made.chunk_id[-1] for made in order] == [1, 2, 3]


@given(infos)
def test_duty_and_pins_are_never_in_the_order(held: list[ChunkInfo]):
    order = eviction_order(held)
    assert all(made.role is Role.CACHE and not made.pinned for made in order)
    assert len(order) == sum(made.role is Role.CACHE and not made.pinned for made in held)


@given(infos, st.integers(0, 100_000), st.integers(0, 100_000))
def test_plan_frees_enough_and_no_more_or_refuses(held: list[ChunkInfo], needed: int, spare: int):
    used = sum(charged_bytes(made.size) for made in held)
    capacity = used + spare
    order = eviction_order(held)
    evictable = sum(charged_bytes(made.size) for made in order)
    try:
        chosen = plan_eviction(
            needed, used_bytes=used, capacity_bytes=capacity, evictable_bytes=evictable, candidates=iter(order)
        )
    except QuotaExceededError:
        assert used - evictable + needed > capacity
        return
    freed = [charged_bytes(made.size) for made in order[: len(chosen)]]
    assert chosen == [made.chunk_id for made in order[: len(chosen)]]
    assert used - sum(freed) + needed <= capacity
    assert not chosen or used - sum(freed[:-1]) + needed > capacity


def test_nothing_needed_evicts_nothing_even_over_quota():
    assert plan_eviction(0, used_bytes=10, capacity_bytes=5, evictable_bytes=10, candidates=[info(1)]) == []


def test_busy_candidates_may_make_a_plan_fail():
    with pytest.raises(QuotaExceededError):
        plan_eviction(5000, used_bytes=5000, capacity_bytes=5000, evictable_bytes=5000, candidates=[])


@given(infos, st.lists(st.tuples(st.integers(0, 50), st.sampled_from(["drop", "touch", "add"])), max_size=30))
def test_holdings_agree_with_a_recount(held: list[ChunkInfo], changes: list[tuple[int, str]]):
    holdings = Holdings()
    holdings.load(held)
    assert [made.chunk_id for made in holdings.candidates()] == [made.chunk_id for made in eviction_order(held)]
    for step, (number, change) in enumerate(changes):
        chunk_id = info(number).chunk_id
        match change:
            case "drop":
                known = holdings.get(chunk_id)
                assert holdings.discard(chunk_id) == known
            case "touch":
                holdings.touch(chunk_id, 100.0 + step)
            case _:
                holdings.add(replace(info(number, read=100.0 + step), cell=step % 4))
    left = list(holdings)
    order = eviction_order(left)
    assert len(holdings) == len(left)
    assert holdings.used_bytes == sum(charged_bytes(made.size) for made in left)
    assert holdings.evictable_bytes == sum(charged_bytes(made.size) for made in order)
    assert [made.chunk_id for made in holdings.candidates()] == [made.chunk_id for made in order]
    assert holdings.cells() == sorted({made.cell for made in left})
    for cell in holdings.cells():
        assert [made.chunk_id for made in holdings.in_cell(cell)] == sorted(m.chunk_id for m in left if m.cell == cell)


def test_a_block_is_the_least_charge():
    assert [charged_bytes(size) for size in (0, 1, CHARGE_BYTES_MIN, CHARGE_BYTES_MIN + 1)] == [
        CHARGE_BYTES_MIN,
        CHARGE_BYTES_MIN,
        CHARGE_BYTES_MIN,
        CHARGE_BYTES_MIN + 1,
    ]


@pytest.mark.parametrize(
    "setting",
    [{"capacity_bytes": -1}, {"reserve_bytes": -1}, {"quarantine_files_max": -1}, {"lock_wait_seconds": 2.0}],
)
def test_impossible_config_is_refused(setting: dict[str, float]):
    with pytest.raises(ConfigError, match=next(iter(setting))):
        StoreConfig(**setting)
