"""P-REPL-26: whom a round of repair asks what it holds: all in a small network, whom it must in a large one."""

import asyncio
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfs_sdk.ids import NetworkId, NodeId
from dfs_sdk.peers.liveness import PeerState
from dfs_sdk.peers.view import View
from dfs_sdk.replication.claims import Claims
from dfs_sdk.replication.config import ReplicationConfig
from dfs_sdk.replication.messages import HeldChunk
from dfs_sdk.replication.placement import Placement
from dfs_sdk.replication.rota import STRANGERS_MIN, Rota
from dfs_sdk.runtime.system import SeededRng
from dfs_sdk.store.base import Role
from tests.fakes.descs import desc_of, identity_of, view_of
from tests.fakes.stories import QUICK, put, tell
from tests.fakes.swarm import FakeSwarm, new_chunk

NETWORK = NetworkId(bytes(range(32)))
CONFIG = ReplicationConfig(cells=1024)
MOST = CONFIG.survey_peers_max


@dataclass
class Clock:
    now: float = 0.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


@dataclass
class Cells:
    """A store, as far as a rota looks into it."""

    held: list[int] = field(default_factory=list)

    def cells(self) -> list[int]:
        return self.held


class Asker:
    """A rota of node 0 among `count` others."""

    def __init__(self, count: int, *, held: list[int] | None = None, config: ReplicationConfig = CONFIG) -> None:
        self.clock, self.claims, self.config = Clock(), Claims(), config
        self.view = view_of([desc_of(number) for number in range(count + 1)], me=identity_of(0).node_id)
        self.rota = Rota(
            store=Cells(held or []),  # type: ignore[arg-type]
            claims=self.claims,
            clock=self.clock,
            rng=SeededRng(1),
            config=config,
        )

    @property
    def placement(self) -> Placement:
        return Placement(NETWORK, self.view, self.config)

    def round(self, view: View | None = None) -> list[NodeId]:
        chosen = asyncio.run(self.rota.next(view or self.view, self.placement))
        assert len(set(chosen)) == len(chosen)
        for peer in chosen:  # who is asked answers: it holds nothing
            self.claims.meet(peer, bytes(16))
            self.claims.surveyed(peer, b"nothing at all..", {}, self.clock.now)
        return chosen

    def next_interval(self) -> list[NodeId]:
        self.clock.now += self.config.repair_interval
        return self.round()


@given(st.integers(0, MOST))
@settings(max_examples=10)
def test_in_a_small_network_every_round_asks_everybody(count: int):
    asker = Asker(count)
    for _ in range(3):
        assert set(asker.round()) == set(asker.view.reachable())


@pytest.mark.parametrize("count", [MOST + 1, 100, 300])
def test_a_round_in_a_larger_network_asks_all_who_belong_to_the_cells_held_here(count: int):
    asker = Asker(count, held=[5])
    asker.round()
    belong = set(asker.placement.order(5)[: CONFIG.interest_rank + CONFIG.stand_ins_max]) - {asker.view.me}
    for _ in range(3):  # on news, too
        assert set(asker.round()) == belong
    assert belong < set(asker.next_interval())


def test_whoever_claims_a_chunk_of_a_cell_held_here_is_asked_wherever_it_ranks():
    asker = Asker(300, held=[5])
    last = asker.placement.order(5)[-1]
    asker.round()
    word = HeldChunk(
        chunk_id=new_chunk(1).chunk_id, cell=5, role=Role.SURPLUS, replicas=3, size=1, removal_hash=bytes(32)
    )
    asker.claims.meet(last, bytes(16))
    asker.claims.note(last, word)
    assert last in asker.round()


@pytest.mark.parametrize(("count", "strangers"), [(65, 63), (128, 32), (512, 8), (1024, STRANGERS_MIN)])
def test_the_larger_the_network_the_fewer_strangers_a_node_asks(count: int, strangers: int):
    asker = Asker(count)
    assert len(asker.round()) == strangers
    assert asker.round() == [], "on news nobody is asked who has nothing to do with what is held here"
    assert len(asker.next_interval()) == strangers


def test_a_round_never_asks_more_than_it_may_and_keeps_room_for_strangers():
    asker = Asker(128, held=list(range(CONFIG.cells)))
    for _ in range(4):
        assert len(asker.next_interval()) == MOST


@pytest.mark.parametrize("held", [[], [5], list(range(CONFIG.cells))], ids=["nothing", "a cell", "every cell"])
def test_everybody_is_asked_in_the_end(held: list[int]):
    asker = Asker(130, held=held)
    asked: set[NodeId] = set(asker.round())
    for _ in range(12):
        asked.update(asker.next_interval())
    assert asked == set(asker.view.reachable())


def test_a_node_that_just_came_asks_those_first_who_may_hold_what_belongs_here():
    asker = Asker(500)
    rivals = set(asker.placement.rivals(asker.view.me, CONFIG.replicas))
    asked: list[NodeId] = asker.round()
    while len(asked) < len(rivals):
        asked += asker.next_interval()
    assert set(asked[: len(rivals)]) == rivals


def test_who_is_away_is_not_asked_and_comes_first_when_it_is_back():
    asker = Asker(MOST)
    away = asker.view.reachable()[3]
    states = {away: PeerState.AWAY}
    without = view_of([desc_of(number) for number in range(MOST + 1)], me=asker.view.me, states=states)
    asker.round()
    assert away not in asker.round(without)
    assert asker.round()[0] == away


def test_before_leaving_all_are_asked_who_may_hold_copies_and_nobody_else():
    asker = Asker(300, held=[5, 9])
    named = asyncio.run(asker.rota.before_leaving(asker.view, asker.placement))
    depth = CONFIG.interest_rank + CONFIG.stand_ins_max
    expected = {*asker.placement.order(5)[:depth], *asker.placement.order(9)[:depth]} - {asker.view.me}
    assert set(named) == expected
    few = Asker(MOST, held=[5])
    assert asyncio.run(few.rota.before_leaving(few.view, few.placement)) == few.view.reachable()


# In a network on virtual time in which nobody may ask more than a few


NARROW = replace(QUICK, survey_peers_max=4, interest_rank=3, stand_ins_max=2)


def test_copies_are_restored_where_no_node_asks_everybody():
    async def story(swarm: FakeSwarm) -> None:
        ids = await put(swarm, 12)
        victim = swarm.holders(ids[0])[1]
        await swarm.kill(victim)
        await swarm.until(lambda: all(swarm.copies(chunk_id) >= 3 for chunk_id in ids), timeout=120)

    tell(story, count=14, config=NARROW)


def test_newcomer_fetches_what_belongs_to_it_where_no_node_asks_everybody():
    async def story(swarm: FakeSwarm) -> None:
        ids = await put(swarm, 40)
        newcomer = await swarm.add()
        placement = newcomer.replication.placement

        def all_here() -> bool:
            held = [swarm.nodes[0].store.info(i) or swarm.holders(i)[0].store.info(i) for i in ids]
            mine = [info for info in held if info and newcomer.node_id in placement.members(info.cell, 3)]
            assert mine
            return all(info.chunk_id in newcomer.store for info in mine)

        await swarm.until(all_here, timeout=120)

    tell(story, count=14, config=NARROW)


def test_leaving_node_hands_over_where_it_does_not_ask_everybody():
    async def story(swarm: FakeSwarm) -> None:
        ids = await put(swarm, 20)
        leaver = swarm.nodes[2]
        had = [chunk_id for chunk_id in ids if chunk_id in leaver.store]
        assert await leaver.replication.hand_over() == len(had) > 0
        await leaver.peers.leave()
        await swarm.kill(leaver)
        assert all(swarm.copies(chunk_id) >= 3 for chunk_id in ids)

    tell(story, count=14, config=NARROW)
