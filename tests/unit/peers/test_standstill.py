"""What is said in the name of a node whose loop stands still, and taken back when it turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from dfs_sdk.errors import ForkedNodeError, ProtocolError
from dfs_sdk.ids import NodeId
from dfs_sdk.peers.config import PeersConfig
from dfs_sdk.peers.liveness import PeerState
from dfs_sdk.peers.membership import Membership
from dfs_sdk.peers.messages import NodeDesc, NodeStatus, read_desc, sign_desc, verify_desc
from dfs_sdk.peers.standstill import LISTENERS_MAX, Spokesman, read_aside
from dfs_sdk.transport.asides import Whisper
from dfs_sdk.wire.codec import encode
from tests.fakes.descs import desc_of, identity_of
from tests.fakes.runtime import FakeClock


class FakeAsides:
    """Keeps what is whispered to each of some peers."""

    def __init__(self, listeners: int = 3) -> None:
        self.on_aside: Callable[[NodeId, bytes], None] = lambda *_: None
        self.asked: list[int] = []
        self.heard: list[list[bytes]] = [[] for _ in range(listeners)]

    def whispers(self, count: int) -> tuple[Whisper, ...]:
        self.asked.append(count)
        return tuple(each.append for each in self.heard[:count])


class FakeStandstills:
    """Lets a test be the thread."""

    def __init__(self) -> None:
        self.tell: Callable[[], None] | None = None
        self.times = (0.0, 0.0)

    def watch(self, tell: Callable[[], None], *, after: float, every: float) -> Callable[[], None]:
        self.tell, self.times = tell, (after, every)

        def end() -> None:
            self.tell = None

        return end


class Scene:
    """A node, its listeners and the thread."""

    def __init__(self, listeners: int = 3, **changes: object) -> None:
        self.clock = FakeClock()
        self.asides = FakeAsides(listeners)
        self.standstills = FakeStandstills()
        self.came_back = 0
        desc = desc_of(1, **{"incarnation": int(self.clock.wall() * 1000) + 5, **changes})
        self.membership = Membership(identity=identity_of(1), desc=desc, config=PeersConfig(), now=0.0)
        self.spokesman = Spokesman(
            membership=self.membership,
            asides=self.asides,
            clock=self.clock,
            config=PeersConfig(),
            back=self._on_back,
        )

    def said(self, listener: int = 0) -> list[NodeDesc]:
        """What one listener heard, every signature checked."""
        read = [read_aside(self.membership.me, content) for content in self.asides.heard[listener]]
        for signed in read:
            verify_desc(signed, read_desc(signed))
        return [read_desc(signed) for signed in read]

    async def stand_still(self, *calls_after_seconds: float) -> None:
        """Have the thread speak after each of these pauses in which the loop does nothing.

        A pause below 0 sets the wall clock back.
        """
        watching = asyncio.get_running_loop().create_task(self.spokesman.watch(self.standstills))
        await asyncio.sleep(0)
        for seconds in calls_after_seconds:
            if seconds < 0:
                self.clock.jump_wall(seconds)
            else:
                self.clock.advance(seconds)
            assert self.standstills.tell is not None
            self.standstills.tell()
        await asyncio.sleep(0)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    def _on_back(self) -> None:
        self.came_back += 1


async def test_each_listener_hears_a_signed_lease_above_all_that_was_said_before():
    """P-PEER-29."""
    scene = Scene()
    before = scene.membership.desc
    await scene.stand_still(1.0)
    for listener in range(3):
        [said] = scene.said(listener)
        assert said.status is NodeStatus.BUSY
        assert said.incarnation > before.incarnation
        assert said.busy_until_wall == scene.clock.wall() + PeersConfig().standstill_lease
        assert replace(said, status=before.status, busy_until_wall=0.0, incarnation=before.incarnation) == before
    assert scene.standstills.times == (1.0, 10.0)
    assert scene.asides.asked == [LISTENERS_MAX]


async def test_the_lease_is_renewed_and_taken_back_once():
    """P-PEER-29."""
    scene = Scene()
    await scene.stand_still(1.0, 10.0, 10.0)
    said = scene.said()
    assert [later.busy_until_wall - said[0].busy_until_wall for later in said] == [0.0, 10.0, 20.0]
    assert sorted({one.incarnation for one in said}) == [one.incarnation for one in said]
    assert scene.membership.desc.status is NodeStatus.ALIVE
    assert scene.membership.desc.incarnation > said[-1].incarnation
    assert scene.came_back == 1
    assert scene.standstills.tell is None, "the watch goes on"


async def test_a_wall_clock_that_went_back_says_nothing_twice():
    scene = Scene()
    await scene.stand_still(1.0, -3600.0, 1.0)
    incarnations = [one.incarnation for one in scene.said()]
    assert incarnations == sorted(set(incarnations))
    assert scene.membership.desc.incarnation > incarnations[-1]


@pytest.mark.parametrize(
    "changes",
    [
        {"status": NodeStatus.LEFT},
        {"status": NodeStatus.BUSY, "busy_until_wall": 4e9},
    ],
)
async def test_who_said_goodbye_or_has_a_lease_is_not_contradicted(changes: dict[str, object]):
    scene = Scene(**changes)
    before = scene.membership.desc
    await scene.stand_still(1.0)
    assert scene.said() == []
    assert scene.membership.desc == before
    assert scene.came_back == 0


async def test_a_lease_that_ran_out_is_followed_by_this_one():
    scene = Scene(status=NodeStatus.BUSY, busy_until_wall=1.0)
    await scene.stand_still(1.0)
    assert len(scene.said()) == 1
    assert scene.membership.desc.status is NodeStatus.ALIVE


async def test_what_the_node_said_itself_since_stands():
    """A cell that ends with `await node.busy(3600)` goes on before the loop comes to us."""
    scene = Scene()
    watching = asyncio.get_running_loop().create_task(scene.spokesman.watch(scene.standstills))
    await asyncio.sleep(0)
    scene.clock.advance(1.0)
    assert scene.standstills.tell is not None
    scene.standstills.tell()
    scene.clock.advance(5.0)
    until = scene.clock.wall() + 3600
    scene.membership.describe(scene.clock.wall(), status=NodeStatus.BUSY, busy_until_wall=until)
    await asyncio.sleep(0)
    assert scene.membership.desc.busy_until_wall == until
    assert scene.came_back == 1
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_without_anybody_connected_nothing_is_said():
    scene = Scene(listeners=0)
    before = scene.membership.desc
    await scene.stand_still(1.0)
    assert scene.membership.desc == before


async def test_a_node_that_vanishes_meanwhile_raises_nothing():
    scene = Scene()

    def wiped(_content: bytes) -> None:
        raise ForkedNodeError("the keys were wiped")

    scene.asides.heard = []
    scene.asides.whispers = lambda _count: (wiped, wiped)  # type: ignore[method-assign]
    await scene.stand_still(1.0)
    assert scene.came_back == 1


def test_nobody_may_describe_somebody_else_aside():
    """P-PEER-30."""
    signed = sign_desc(desc_of(2), identity_of(2))
    assert read_aside(desc_of(2).node_id, encode(signed)) == signed
    with pytest.raises(ProtocolError):
        read_aside(desc_of(3).node_id, encode(signed))
    for other in (b"", b"\xc1", b"\x92\xa1a\xa1b", encode(signed)[:-1]):
        with pytest.raises(ProtocolError):
            read_aside(desc_of(2).node_id, other)


def test_a_lease_that_was_heard_is_a_state_of_its_own():
    membership = Membership(identity=identity_of(1), desc=desc_of(1), config=PeersConfig(), now=0.0)
    signed = sign_desc(desc_of(2, status=NodeStatus.BUSY, busy_until_wall=130.0, incarnation=9), identity_of(2))
    membership.take(signed, 0.0, 100.0)
    membership.review(0.0, 100.0)
    member = membership.member(desc_of(2).node_id, 0.0)
    assert member is not None
    assert member.state is PeerState.BUSY
