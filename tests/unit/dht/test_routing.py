"""The routing table: P-DHT-10 to P-DHT-16."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.dht.config import DhtConfig
from dfs_sdk.dht.routing import Entered, RoutingTable
from dfs_sdk.errors import ConfigError
from dfs_sdk.ids import Address
from dfs_sdk.rpc.addresses import prefix_of
from dfs_sdk.runtime.system import SeededRng
from dfs_sdk.transport.contact import Contact
from tests.fakes.runtime import FakeEntropy

entropy = FakeEntropy(11)
OWNER = Identity.generate(entropy).node_id
POOL = [Identity.generate(entropy).public for _ in range(300)]


def contact(number: int, address: Address | None = None) -> Contact:
    public = POOL[number]
    return Contact(ed=public.ed, x=public.x, addresses=(address or Address(f"10.0.0.{number % 250 + 1}", 4001),))


def shared_bits(number: int) -> int:
    return 256 - (int.from_bytes(OWNER, "big") ^ int.from_bytes(POOL[number].node_id, "big")).bit_length()


FAR = [number for number in range(len(POOL)) if shared_bits(number) == 0]


def make_table(**changes: object) -> RoutingTable:
    return RoutingTable(OWNER, DhtConfig(**changes), now=0.0)  # type: ignore[arg-type]


def test_a_full_bucket_keeps_its_long_lived_contacts() -> None:
    """P-DHT-10, P-DHT-13"""
    table = make_table(bucket_size=4)
    assert [table.answered(contact(n), 1.0) for n in FAR[:4]] == [Entered.ADDED] * 4
    assert [table.answered(contact(n), 2.0) for n in FAR[4:40]] == [Entered.WAITING] * 36
    assert {entry.contact.node_id for entry in table} == {contact(n).node_id for n in FAR[:4]}
    assert table.answered(contact(FAR[0]), 3.0) is Entered.KNOWN
    assert sum(len(bucket.waiting) for bucket in table._buckets.values()) == 4


def test_a_contact_gives_way_after_two_failures_to_the_latest_waiting_one() -> None:
    """P-DHT-13"""
    table = make_table(bucket_size=2)
    for number in FAR[:4]:
        table.answered(contact(number), 1.0)
    first = contact(FAR[0]).node_id
    table.failed(first)
    assert first in table
    table.failed(first)
    assert first not in table
    assert contact(FAR[3]).node_id in table


def test_an_answer_in_between_forgives_a_failure() -> None:
    table = make_table(bucket_size=1)
    for number in FAR[:2]:
        table.answered(contact(number), 1.0)
    for _ in range(5):
        table.failed(contact(FAR[0]).node_id)
        table.answered(contact(FAR[0]), 2.0)
    assert contact(FAR[0]).node_id in table


def test_a_silent_contact_stays_while_nobody_waits_but_is_named_only_if_all_are_silent() -> None:
    """P-DHT-13"""
    table = make_table()
    for number in FAR[:3]:
        table.answered(contact(number), 1.0)
    silent = contact(FAR[0]).node_id
    for _ in range(10):
        table.failed(silent)
    assert silent in table
    assert silent not in {known.node_id for known in (*table.closest(silent, 3), *table.oldest(3))}
    assert [known.node_id for known in table.silent()] == [silent]
    for number in FAR[1:3]:
        for _ in range(2):
            table.failed(contact(number).node_id)
    assert table.closest(silent, 3)[0].node_id == silent
    table.answered(contact(FAR[0]), 2.0)
    assert [known.node_id for known in table.closest(silent, 3)] == [silent]


def test_a_failed_waiting_contact_no_longer_waits() -> None:
    table = make_table(bucket_size=1)
    for number in FAR[:2]:
        table.answered(contact(number), 1.0)
    table.failed(contact(FAR[1]).node_id)
    for _ in range(3):
        table.failed(contact(FAR[0]).node_id)
    assert contact(FAR[0]).node_id in table


def test_a_contact_that_left_is_replaced_at_once() -> None:
    table = make_table(bucket_size=1)
    for number in FAR[:2]:
        table.answered(contact(number), 1.0)
    table.remove(contact(FAR[0]).node_id)
    assert [entry.contact.node_id for entry in table] == [contact(FAR[1]).node_id]
    table.remove(contact(FAR[5]).node_id)


def test_a_table_never_holds_its_owner_or_a_contact_without_an_address() -> None:
    table = make_table()
    identity = Identity.from_bytes(bytes(range(64)))
    mine = RoutingTable(identity.node_id, DhtConfig(), now=0.0)
    own = Contact(ed=identity.public.ed, x=identity.public.x, addresses=(Address("10.0.0.1", 1),))
    assert mine.answered(own, 1.0) is Entered.REFUSED
    public = POOL[0]
    assert table.answered(Contact(ed=public.ed, x=public.x), 1.0) is Entered.REFUSED
    assert len(table) == len(mine) == 0


def test_public_networks_are_limited_per_bucket_and_table_and_households_are_not() -> None:
    """P-DHT-14"""
    table = make_table()
    crowd = [table.answered(contact(n, Address(f"93.184.215.{n % 250}", 4001)), 1.0) for n in range(60)]
    assert crowd.count(Entered.ADDED) == 3
    table = make_table()
    one_bucket = [table.answered(contact(n, Address(f"93.184.215.{n % 250}", 4001)), 1.0) for n in FAR[:20]]
    assert one_bucket.count(Entered.ADDED) == 2
    household = [table.answered(contact(n), 1.0) for n in FAR[20:38]]
    assert household == [Entered.ADDED] * 18


def test_an_eclipse_from_sixteen_networks_leaves_the_old_contacts_in_place() -> None:
    """P-DHT-13, P-DHT-14: ten attackers for each honest node"""
    table = make_table()
    honest = [contact(n, Address(f"8.{n}.1.1", 4001)) for n in range(20)]
    for peer in honest:
        table.answered(peer, 1.0)
    attackers = 0
    for number in range(20, 220):
        peer = contact(number, Address(f"93.184.{number % 16}.{number}", 4001))
        attackers += table.answered(peer, 2.0) is Entered.ADDED
    assert attackers <= 16 * 3
    assert all(peer.node_id in table for peer in honest)


def test_closest_orders_by_distance() -> None:
    table = make_table()
    for number in range(200):
        table.answered(contact(number), 1.0)
    target = POOL[250].node_id
    known = [entry.contact.node_id for entry in table]

    def distance(node_id: bytes) -> int:
        return int.from_bytes(node_id, "big") ^ int.from_bytes(target, "big")

    assert [peer.node_id for peer in table.closest(target, 7)] == sorted(known, key=distance)[:7]
    nearest = table.closest(target, 1)[0].node_id
    assert nearest not in {peer.node_id for peer in table.closest(target, 5, without=nearest)}


def test_a_contact_that_moved_is_kept_at_its_latest_address() -> None:
    table = make_table()
    table.answered(contact(1, Address("93.184.215.1", 1)), 1.0)
    moved = contact(1, Address("8.8.8.8", 2))
    table.answered(moved, 2.0)
    entry = table.get(moved.node_id)
    assert entry is not None
    assert entry.contact.addresses == moved.addresses
    assert table._prefixes == Counter({prefix_of(moved.addresses[0]): 1})


def test_neglected_buckets_are_looked_into_empty_ones_too_and_our_neighbourhood_as_one() -> None:
    """P-DHT-15"""
    table = make_table(refresh_interval=600.0, bucket_size=3)
    nearest = sorted(range(len(POOL)), key=shared_bits, reverse=True)[:4]
    for number in nearest:
        table.answered(contact(number), 0.0)
    assert table.stale_targets(599.0, SeededRng(1)) == []
    targets = table.stale_targets(600.0, SeededRng(1))
    # Of the four nearest, the three nearest fit into one answer.
    assert len(targets) == shared_bits(nearest[3]) + 2 >= 5
    assert [table._index(target) for target in targets] == list(range(len(targets)))
    table.looked_up(targets[0], 600.0)
    assert len(table.stale_targets(601.0, SeededRng(1))) == len(targets) - 1


def test_a_table_that_fits_into_one_answer_is_one_region() -> None:
    """P-DHT-15"""
    table = make_table(refresh_interval=600.0)
    assert table.stale_targets(600.0, SeededRng(1)) == []
    for number in range(20):
        table.answered(contact(number), 0.0)
    assert [table._index(target) for target in table.stale_targets(600.0, SeededRng(1))] == [0]


def test_targets_in_a_bucket_are_spread_over_it() -> None:
    table = make_table()
    targets = {table._target_in(3, SeededRng(seed)) for seed in range(50)}
    assert len(targets) == 50
    assert {table._index(target) for target in targets} == {3}


@pytest.mark.parametrize(
    "changes",
    [
        {"bucket_size": 0},
        {"bucket_size": 21},
        {"record_lifetime": 200_000.0},
        {"republish_ratio": 0.9},
        {"paths": 0},
        {"good_peers_max": 65},
    ],
)
def test_a_config_out_of_range_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        DhtConfig(**changes)  # type: ignore[arg-type]


class TableMachine(RuleBasedStateMachine):
    """The table against a set of rules that must hold whatever happens."""

    def __init__(self) -> None:
        super().__init__()
        self.config = DhtConfig(bucket_size=3)
        self.table = RoutingTable(OWNER, self.config, now=0.0)
        self.now = 0.0
        self.answered: set[bytes] = set()

    @rule(number=st.integers(0, 39), net=st.integers(0, 4))
    def answer(self, number: int, net: int) -> None:
        self.now += 1.0
        address = Address("10.0.0.9", 1) if net == 0 else Address(f"93.184.{net}.{number}", 1)
        before = {entry.contact.node_id for entry in self.table}
        peer = contact(number, address)
        result = self.table.answered(peer, self.now)
        self.answered.add(peer.node_id)
        after = {entry.contact.node_id for entry in self.table}
        assert before <= after, "an answer never costs anybody a place"
        assert (peer.node_id in after) == (result in (Entered.ADDED, Entered.KNOWN))

    @rule(number=st.integers(0, 39))
    def fail(self, number: int) -> None:
        before = len(self.table)
        self.table.failed(contact(number).node_id)
        assert len(self.table) == before, "a failure alone leaves no gap"

    @rule(number=st.integers(0, 39))
    def leave(self, number: int) -> None:
        self.table.remove(contact(number).node_id)
        assert contact(number).node_id not in self.table

    @invariant()
    def bounds_hold(self) -> None:
        entries = list(self.table)
        assert len(entries) == len(self.table)
        prefixes: Counter[bytes] = Counter()
        for index, bucket in self.table._buckets.items():
            assert len(bucket.entries) <= 3
            assert len(bucket.waiting) <= 3
            assert not bucket.entries.keys() & bucket.waiting.keys()
            for node_id, entry in bucket.entries.items():
                assert self.table._index(node_id) == index
                assert node_id in self.answered
                if entry.prefix is not None:
                    prefixes[entry.prefix] += 1
        assert prefixes == self.table._prefixes


TableMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestTable = TableMachine.TestCase
