"""The third book: routers, slow lines, crowds and long hours, within what is promised; older books are untouched."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.ids import Address
from dfs_sdk.sim.books import Book
from dfs_sdk.sim.conditions import Conditions, Link
from dfs_sdk.sim.host import Hardware
from dfs_sdk.sim.households import Household, settle
from dfs_sdk.sim.nat import NatKind
from dfs_sdk.sim.plan import LOSING, Fault, FaultKind, Plan
from dfs_sdk.sim.trial import run_trial
from dfs_sdk.sim.wild import CRASHES, LINE_BYTES, LONGEST, MAPPING_SECONDS, PARTITIONS, draw_wild_plan
from dfs_sdk.sim.world import World

PORT = 4001
MEANT = {
    Book.FAULTS: "e26980d1353143f3",
    Book.RECEIPTS: "569db2e19ca26cd8",
}
"""Of the plans of each book's first 300 seeds."""

HOME = Household(hosts=("n1", "n2"), kind=NatKind.FULL_CONE, forwards=True, mapping_seconds=30.0)
HIDING = Household(hosts=("n3",), kind=NatKind.PORT_RESTRICTED, forwards=False, mapping_seconds=30.0)
NEIGHBOURS = Plan(
    seed=1,
    hosts=("n0", "n1", "n2", "n3", "n4"),
    conditions=Conditions(delay_min=0.01),
    faults=(),
    liars=frozenset(),
    doomed=frozenset(),
    quorum=1,
    replicas=3,
    seconds=15.0,
    sealed=False,
    households=(HOME, HIDING),
    lines={"n1": Link(up_bytes=125e3, down_bytes=125e3, queue_bytes=64 * 1024)},
    internet=True,
    work_interval=1.0,
    file_bytes_max=4096,
    reads_at_once=4,
)


@given(st.integers(0, 10**9))
def test_plan_never_asks_for_more_than_the_promise_gives(seed: int):
    plan = draw_wild_plan(seed)
    first = plan.hosts[0]
    struck = {fault.host for fault in plan.faults if fault.kind in LOSING}
    assert plan.liars | struck <= plan.doomed
    assert len(plan.doomed) < plan.quorum <= plan.replicas < len(plan.hosts)
    # Whoever stores finds a quorum among the others, even if none of the doomed answers.
    assert plan.quorum <= len(plan.hosts) - 1 - len(plan.doomed)
    assert first not in plan.doomed | {fault.host for fault in plan.faults if fault.kind is FaultKind.MOVE}
    assert list(plan.faults) == sorted(plan.faults, key=lambda fault: fault.at)
    assert all(0 <= fault.at < fault.at + fault.seconds <= plan.seconds + 1e-6 for fault in plan.faults)
    assert all(fault.seconds <= LONGEST.get(fault.kind, plan.seconds) for fault in plan.faults)
    assert plan == draw_wild_plan(seed)


@given(st.integers(0, 10**9))
def test_only_one_host_is_out_of_reach_of_strangers_and_two_can_be_found_by_name(seed: int):
    plan = draw_wild_plan(seed)
    behind = [name for each in plan.households for name in each.hosts]
    assert len(behind) == len(set(behind))
    assert plan.hosts[0] not in behind
    assert plan.listed[:2] == plan.hosts[:2]
    closed = [each for each in plan.households if each.kind is not NatKind.FULL_CONE]
    assert sum(len(each.hosts) for each in closed) <= 1
    assert all(MAPPING_SECONDS[0] <= each.mapping_seconds <= MAPPING_SECONDS[1] for each in plan.households)
    assert all(fault.host in behind for fault in plan.faults if fault.kind is FaultKind.ROUTER)
    for line in plan.lines.values():
        assert LINE_BYTES[0] <= line.up_bytes <= line.down_bytes <= LINE_BYTES[1]


@given(st.integers(0, 10**6))
def test_crash_strikes_only_hosts_that_are_up(seed: int):
    back: dict[str, float] = {}
    for fault in draw_wild_plan(seed).faults:
        if fault.kind in (*CRASHES, FaultKind.WIPE):
            assert fault.at >= back.get(fault.host, 0.0)
            back[fault.host] = fault.at + fault.seconds


def test_book_holds_what_the_others_do_not():
    plans = [draw_wild_plan(seed) for seed in range(200)]
    kinds = Counter(fault.kind for plan in plans for fault in plan.faults)
    assert set(kinds) == set(FaultKind) - {FaultKind.RECEIPT, FaultKind.FORK}
    assert {len(plan.hosts) for plan in plans} >= {4, 6, 9, 24}
    assert {each.kind for plan in plans for each in plan.households} == set(NatKind)
    assert max(plan.seconds for plan in plans) > 1.5 * 3600
    blocks = [fault.seconds for plan in plans for fault in plan.faults if fault.kind is FaultKind.BLOCK]
    assert max(blocks) == 300.0
    assert sum(kinds[kind] for kind in (*set(CRASHES), FaultKind.WIPE)) > 40 * len(plans)
    assert sum(kinds[kind] for kind in PARTITIONS) > 20 * len(plans)
    assert sum(plan.sealed for plan in plans) > 10


@pytest.mark.parametrize("book", MEANT)
def test_seeds_of_older_books_mean_what_they_meant(book: Book):
    digest = hashlib.sha256()
    for seed in range(300):
        plan = book.draw(seed)
        digest.update(f"{plan.hosts} {sorted(plan.liars)} {plan.quorum} {plan.replicas} {plan.sealed}".encode())
        for each in plan.faults:
            digest.update(f"{each.at:.6f} {each.kind.value} {each.host} {each.seconds:.6f} {each.amount:.6f}".encode())
        assert (plan.households, plan.lines, plan.work_interval, plan.reads_at_once) == ((), {}, 4.0, 1)
        assert plan.listed == plan.hosts
    assert digest.hexdigest().startswith(MEANT[book])


def test_hosts_are_settled_behind_their_routers():
    with World() as world:
        settle(world, NEIGHBOURS, hardware=Hardware(), port=PORT)
        stations = {name: host.station for name, host in world.hosts.items()}
        router = stations["n1"].nat
        assert router is not None
        assert router is stations["n2"].nat is not stations["n3"].nat
        assert stations["n0"].nat is None
        assert world.network.address_of("n1") == router.host
        assert router.incoming(PORT, Address("60.0.0.1", 1), 0.0) == Address(stations["n1"].address, PORT)
        assert stations["n1"].link == NEIGHBOURS.lines["n1"]
        assert stations["n0"].link == Link()
    assert NEIGHBOURS.listed == ("n0", "n1", "n4")


@pytest.mark.parametrize("sealed", [False, True])
def test_network_behind_routers_keeps_its_promise_while_they_roam_and_restart(sealed: bool):
    def fault(at: float, kind: FaultKind, host: str, seconds: float = 1.0) -> Fault:
        return Fault(at=at, kind=kind, host=host, seconds=seconds, amount=0.0)

    faults = (
        fault(2, FaultKind.MOVE, "n1"), fault(4, FaultKind.KILL, "n3"), fault(6, FaultKind.ROUTER, "n3"),
        fault(8, FaultKind.ROUTER, "n2"), fault(10, FaultKind.MOVE, "n3"), fault(12, FaultKind.MOVE, "n4"),
        fault(13, FaultKind.KILL, "n2", 2.0),
    )  # fmt: skip
    plan = replace(NEIGHBOURS, faults=faults, sealed=sealed)
    verdict = run_trial(plan)
    assert verdict.passed, verdict
    assert verdict.files
    assert verdict.faults == {FaultKind.MOVE: 3, FaultKind.ROUTER: 2, FaultKind.KILL: 2}
