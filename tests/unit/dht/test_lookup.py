"""Lookups as a state machine, on a world of tables without a network: P-DHT-17 to P-DHT-21."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.dht.config import DhtConfig
from dfs_sdk.dht.lookup import Lookup, estimate_network_size, is_suspiciously_dense
from dfs_sdk.ids import Address, NodeId
from dfs_sdk.runtime.system import SeededRng
from dfs_sdk.transport.contact import Contact
from tests.fakes.runtime import FakeEntropy

entropy = FakeEntropy(21)
ADDRESS = Address("10.0.0.1", 4001)


def make_contact() -> Contact:
    public = Identity.generate(entropy).public
    return Contact(ed=public.ed, x=public.x, addresses=(ADDRESS,))


POOL = [make_contact() for _ in range(400)]
OWNER = make_contact().node_id
TARGET = b"\x5a" * 32
CONFIG = DhtConfig()

Oracle = Callable[[NodeId], Sequence[Contact] | None]


def distance(contact: Contact, target: bytes = TARGET) -> int:
    return int.from_bytes(contact.node_id, "big") ^ int.from_bytes(target, "big")


def ranked(contacts: Sequence[Contact]) -> list[Contact]:
    return sorted(contacts, key=distance)


class World:
    """Nodes that each know some of the others, as after joining: a few in every distance class."""

    def __init__(self, contacts: Sequence[Contact], *, bucket: int = 8, seed: int = 1) -> None:
        self.contacts = {contact.node_id: contact for contact in contacts}
        rng = SeededRng(seed)
        self.tables: dict[NodeId, list[Contact]] = {}
        for contact in contacts:
            buckets: dict[int, list[Contact]] = {}
            for other in contacts:
                if other is not contact:
                    cell = (int.from_bytes(contact.node_id, "big") ^ int.from_bytes(other.node_id, "big")).bit_length()
                    buckets.setdefault(cell, []).append(other)
            self.tables[contact.node_id] = [
                peer for cell in buckets.values() for peer in (rng.sample(cell, bucket) if len(cell) > bucket else cell)
            ]

    def ask(self, node_id: NodeId) -> list[Contact] | None:
        if node_id not in self.contacts:
            return None
        return ranked(self.tables[node_id])[:20]


WORLD = World(POOL)


def run(lookup: Lookup, oracle: Oracle, *, seed: int | None = None) -> list[NodeId]:
    """Drive a lookup to its end, answering in order or shuffled; return whom it asked."""
    asked: list[NodeId] = []
    under_way: list[Contact] = []
    rng = SeededRng(seed) if seed is not None else None
    while not lookup.finished:
        fresh = lookup.next_queries()
        under_way += fresh
        asked += [contact.node_id for contact in fresh]
        assert under_way, "an unfinished lookup waits for somebody"
        contact = under_way.pop(rng.randrange(0, len(under_way)) if rng is not None else 0)
        found = oracle(contact.node_id)
        if found is None:
            lookup.failed(contact.node_id)
        else:
            lookup.answered(contact.node_id, found)
    assert len(asked) == len(set(asked)), "nobody is asked twice"
    return asked


def make_lookup(seeds: Sequence[Contact], *, config: DhtConfig = CONFIG, content: bool = False) -> Lookup:
    return Lookup(TARGET, owner=OWNER, seeds=seeds, config=config, content=content)


@pytest.mark.parametrize("seed", range(5))
def test_a_lookup_for_records_reaches_the_twenty_closest(seed: int) -> None:
    """P-DHT-18"""
    seeds = SeededRng(seed).sample(POOL, 20)
    lookup = make_lookup(seeds, content=True)
    asked = run(lookup, WORLD.ask, seed=seed)
    assert lookup.closest() == ranked(POOL)[:20]
    assert len(asked) <= 100
    assert not lookup.asked_everybody


@pytest.mark.parametrize("seed", range(5))
def test_a_lookup_for_nodes_reaches_the_closest_with_few_questions(seed: int) -> None:
    """P-DHT-17"""
    lookup = make_lookup(SeededRng(seed).sample(POOL, 20))
    asked = run(lookup, WORLD.ask, seed=seed)
    assert lookup.closest()[:3] == ranked(POOL)[:3]
    assert len(asked) <= 40


def test_a_lookup_from_a_single_seed_works() -> None:
    lookup = make_lookup([POOL[0]], content=True)
    run(lookup, WORLD.ask)
    assert lookup.closest() == ranked(POOL)[:20]


def test_a_lookup_without_seeds_is_over_at_once() -> None:
    lookup = make_lookup([])
    assert lookup.finished
    assert lookup.asked_everybody
    assert lookup.next_queries() == []
    assert lookup.closest() == []


def test_the_owner_is_never_asked() -> None:
    me = make_contact()
    lookup = Lookup(TARGET, owner=me.node_id, seeds=[me, POOL[0]], config=CONFIG)
    assert me.node_id not in run(lookup, lambda _node_id: [me])


def test_no_path_has_more_than_three_questions_under_way() -> None:
    """P-DHT-17"""
    lookup = make_lookup(POOL[:40])
    assert len(lookup.next_queries()) == CONFIG.paths * CONFIG.parallel
    assert lookup.next_queries() == []


def test_a_region_goes_on_past_an_answer_that_names_nobody() -> None:
    """P-DHT-18: an attacker next to the key that answers with nothing does not end the lookup."""
    near = ranked(POOL)[0].node_id
    lookup = make_lookup(POOL[100:120], content=True)
    run(lookup, lambda node_id: [] if node_id == near else WORLD.ask(node_id))
    assert lookup.closest() == ranked(POOL)[:20]


@pytest.mark.parametrize("seed", range(4))
def test_silent_nodes_are_left_out(seed: int) -> None:
    silent = {contact.node_id for contact in SeededRng(seed).sample(POOL, 120)}
    lookup = make_lookup([c for c in POOL if c.node_id not in silent][:20], content=True)
    run(lookup, lambda node_id: None if node_id in silent else WORLD.ask(node_id), seed=seed)
    alive = [contact for contact in POOL if contact.node_id not in silent]
    assert len({c.node_id for c in lookup.closest()} & {c.node_id for c in ranked(alive)[:20]}) >= 18


def test_a_slow_node_does_not_hold_a_finished_lookup_up() -> None:
    """P-DHT-17: a node further away than enough others that answered is not waited for."""
    order = ranked(POOL[:8])
    lookup = make_lookup(order, config=DhtConfig(paths=1, parallel=3))
    first = lookup.next_queries()
    assert first == order[:3]
    lookup.answered(order[0].node_id, [])
    lookup.answered(order[1].node_id, [])
    (fourth, fifth) = lookup.next_queries()
    assert not lookup.finished
    lookup.answered(order[2].node_id, [])
    assert lookup.finished
    assert fourth.node_id not in {contact.node_id for contact in lookup.closest()}
    lookup.answered(fifth.node_id, [])
    assert lookup.closest() == [order[0], order[1], order[2], fifth]


def test_what_another_path_heard_does_not_end_a_path() -> None:
    """P-DHT-17: each path needs answers of its own, or a liar on one would cut the others short"""
    near, middle, far = ranked(POOL[:3])
    answers = {near.node_id: [], far.node_id: [near, middle], middle.node_id: []}
    lookup = make_lookup([near, far], config=DhtConfig(paths=2, finish_count=1, parallel=1))
    assert run(lookup, answers.get) == [near.node_id, far.node_id, middle.node_id]


def test_a_liar_leads_its_own_path_astray_and_no_other() -> None:
    """P-DHT-17: what one node names is asked on its path only."""
    fakes = sorted((make_contact() for _ in range(60)), key=distance)
    honest = WORLD
    liar = POOL[0]
    asked_fakes: list[NodeId] = []
    fake_ids = {fake.node_id for fake in fakes}

    def oracle(node_id: NodeId) -> Sequence[Contact] | None:
        if node_id == liar.node_id or node_id in fake_ids:
            asked_fakes.append(node_id)
            return fakes[:20]
        return honest.ask(node_id)

    seeds = [liar, *POOL[1:20]]
    lookup = make_lookup(seeds, config=DhtConfig(paths=4))
    run(lookup, oracle)
    truth = [contact for contact in lookup.closest() if contact.node_id not in fake_ids]
    assert truth[:3] == ranked(POOL)[:3]


def test_names_of_nodes_that_do_not_exist_are_believed_only_so_often() -> None:
    """P-DHT-20"""
    liar = ranked(POOL[:20])[0]
    ghosts = [make_contact() for _ in range(20)]
    asked: list[NodeId] = []
    ghost_ids = {ghost.node_id for ghost in ghosts}

    def oracle(node_id: NodeId) -> Sequence[Contact] | None:
        asked.append(node_id)
        if node_id in ghost_ids:
            return None
        return ghosts if node_id == liar.node_id else []

    lookup = make_lookup([liar], config=DhtConfig(lies_max=5))
    run(lookup, oracle)
    assert len(ghost_ids & set(asked)) <= 5 + CONFIG.parallel
    # Words of a known liar are not listened to either.
    lookup._lies[POOL[1].node_id] = 99
    assert lookup.closest() == [liar]


def test_a_ghost_that_an_honest_node_names_too_is_still_asked() -> None:
    liar, honest = POOL[0], POOL[1]
    ghosts = [make_contact() for _ in range(15)]
    real = make_contact()
    answers = {liar.node_id: [*ghosts, real], honest.node_id: [real], real.node_id: []}
    lookup = make_lookup([liar, honest], config=DhtConfig(paths=1, lies_max=2), content=True)
    run(lookup, answers.get)
    assert real.node_id in {contact.node_id for contact in lookup.closest()}


def test_questions_are_bounded_whatever_is_answered() -> None:
    """P-DHT-19"""
    config = DhtConfig(queries_max=50)

    def endless(_node_id: NodeId) -> Sequence[Contact]:
        return [make_contact() for _ in range(20)]

    for content in (False, True):
        lookup = make_lookup(POOL[:20], config=config, content=content)
        assert len(run(lookup, endless)) <= 50
        assert len(lookup._candidates) <= 51 * 20 + 20


def test_an_answer_nobody_asked_for_and_a_second_one_change_nothing() -> None:
    lookup = make_lookup(POOL[:3])
    lookup.answered(POOL[50].node_id, POOL[60:70])
    lookup.failed(POOL[50].node_id)
    queries = lookup.next_queries()
    lookup.answered(queries[0].node_id, [])
    lookup.answered(queries[0].node_id, POOL[60:70])
    lookup.failed(queries[0].node_id)
    assert len(lookup._candidates) == 3
    assert lookup.closest() == [queries[0]]


def test_only_twenty_contacts_of_an_answer_count() -> None:
    lookup = make_lookup(POOL[:1])
    (query,) = lookup.next_queries()
    lookup.answered(query.node_id, POOL[1:100])
    assert len(lookup._candidates) == 21


def test_a_lookup_for_records_in_a_small_network_asks_everybody() -> None:
    small = World(POOL[:15])
    lookup = make_lookup(POOL[:2], content=True)
    assert len(run(lookup, small.ask)) == 15
    assert lookup.asked_everybody


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.floats(0, 0.5), st.booleans())
def test_a_lookup_always_ends_and_never_names_whom_it_did_not_hear(seed: int, dead: float, content: bool) -> None:
    rng = SeededRng(seed)
    silent = {contact.node_id for contact in POOL if rng.random() < dead}
    answered: set[NodeId] = set()

    def oracle(node_id: NodeId) -> Sequence[Contact] | None:
        if node_id in silent:
            return None
        answered.add(node_id)
        return WORLD.ask(node_id)

    lookup = make_lookup(rng.sample(POOL, 20), content=content)
    run(lookup, oracle, seed=seed)
    closest = lookup.closest()
    assert {contact.node_id for contact in closest} <= answered
    assert closest == ranked(closest)
    assert len(closest) <= 20


def test_the_size_of_a_network_is_estimated_within_a_factor_of_two() -> None:
    for size in (50, 100, 400):
        targets = [SeededRng(n).randrange(0, 2**62).to_bytes(32, "little") for n in range(20)]
        for target in targets:
            nearest = sorted(distance(contact, target) for contact in POOL[:size])[:20]
            assert size / 2.5 < estimate_network_size(nearest) < size * 2.5
    assert estimate_network_size([]) == 1.0
    assert estimate_network_size([0]) >= 1.0


def test_honest_regions_are_never_suspicious() -> None:
    """P-DHT-21"""
    for size in (5, 20, 100, 400):
        for number in range(50):
            target = SeededRng(number).randrange(0, 2**62).to_bytes(32, "little")
            nearest = sorted(distance(contact, target) for contact in POOL[:size])[:20]
            assert not is_suspiciously_dense(nearest, float(size))


def test_sybils_crowding_a_key_are_suspicious() -> None:
    """P-DHT-21"""
    nearest = sorted(distance(contact) for contact in POOL)[:20]
    honest_edge = nearest[0]
    sybils = sorted(honest_edge // (2 + number) for number in range(32))[:20]
    assert is_suspiciously_dense(sybils, 400.0)
    assert not is_suspiciously_dense(sybils[:7], 400.0)


def test_a_widened_lookup_looks_past_those_who_crowd_the_region() -> None:
    """P-DHT-21"""
    lookup = make_lookup(POOL[:20], content=True)
    run(lookup, WORLD.ask)
    assert not lookup.is_dense(400.0)
    assert lookup.is_dense(40.0)
    lookup.widen(POOL[:40])  # although the run above left slow ones behind
    assert not lookup.finished
    run(lookup, WORLD.ask)
    assert lookup.closest() == ranked(POOL)[:40]


def test_a_lookup_whose_seeds_were_all_dead_goes_on_with_others() -> None:
    dead = {contact.node_id for contact in ranked(POOL)[:30]}

    def oracle(node_id: NodeId) -> list[Contact] | None:
        return None if node_id in dead else WORLD.ask(node_id)

    lookup = make_lookup(ranked(POOL)[:20], content=True)
    run(lookup, oracle)
    assert lookup.is_short
    lookup.resume(ranked(POOL)[:80])
    run(lookup, oracle)
    assert not lookup.is_short
    assert lookup.closest() == ranked(POOL)[30:50]
