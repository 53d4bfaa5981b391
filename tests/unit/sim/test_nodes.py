"""Real nodes in a simulated world: nothing in them knows."""

import asyncio

import pytest

from dfs_sdk.errors import NodeClosedError
from dfs_sdk.ids import Address
from dfs_sdk.node.invite import Invite
from dfs_sdk.node.tracing import Gap, Traced
from dfs_sdk.sim.conditions import Conditions
from dfs_sdk.sim.errors import HostDownError
from dfs_sdk.sim.fidelity import CHEAP, Fidelity
from dfs_sdk.sim.host import Hardware
from dfs_sdk.sim.nat import FIRST_PORT, Nat, NatKind
from dfs_sdk.sim.world import World
from tests.fakes.simnodes import PORT, all_met, start_network, start_node

DATA = bytes(range(256)) * 1200
ROUGH = Conditions(
    delay_mean=0.01, loss_ratio=0.03, duplicate_ratio=0.03, reorder_ratio=0.03, corrupt_ratio=0.01, bad_enter_ratio=0.01
)


def test_nodes_meet_and_transfer_a_file_over_a_rough_network():
    async def story(world: World) -> bytes:
        nodes = await start_network(world, 4)
        file = await nodes[0].put(DATA, name="data")
        got = await nodes[3].get(file.link)
        assert isinstance(got, bytes)
        return got

    with World(1, conditions=ROUGH) as world:
        assert world.run(story(world)) == DATA
        counters = world.network.counters
        assert counters.lost > 0
        assert counters.duplicated > 0
        assert counters.corrupted > 0
        assert counters.reordered > 0
    assert world.failures == []


def test_crashed_node_sends_nothing_and_comes_back_with_its_files():
    async def story(world: World) -> None:
        nodes = await start_network(world, 3)
        file = await nodes[1].put(DATA, name="data")
        await asyncio.sleep(10)
        host = world.hosts["n1"]
        host.crash()
        seen: list[str] = []
        world.network.on_wire.append(lambda sender, _receiver, _datagram: seen.append(sender))
        with pytest.raises(NodeClosedError):
            await nodes[1].ls()
        with pytest.raises(HostDownError):
            await host.run(asyncio.sleep(1))
        await asyncio.sleep(10)
        assert seen
        assert "n1" not in seen
        host.restart()
        node = await start_node(host)
        assert await node.rejoined() == 2
        assert [each.name for each in await node.ls()] == ["data"]
        assert await node.get(file.link) == DATA

    with World(2) as world:
        world.run(story(world))
    assert world.failures == []


def test_caller_on_the_worlds_loop_hears_of_a_crash():
    async def story(world: World) -> None:
        host = world.host("a")
        with pytest.raises(HostDownError):
            async with asyncio.timeout(60):
                world.scheduler.at(5.0, lambda _: host.crash(), None)
                await host.run(asyncio.sleep(30))
        assert world.now == 5.0

    with World() as world:
        world.run(story(world))


@pytest.mark.parametrize("seconds", [3.0, 20.0])
def test_transfer_goes_on_after_a_holder_was_blocked(seconds: float):
    async def story(world: World) -> None:
        nodes = await start_network(world, 3)
        file = await nodes[0].put(DATA, name="data")
        clock, begun = world.hosts["n1"].clock, world.now - world.hosts["n1"].clock.monotonic()
        world.hosts["n0"].block(seconds)
        world.hosts["n1"].block(seconds)
        assert await nodes[2].get(file.link) == DATA
        await asyncio.sleep(seconds + 10)
        await all_met(nodes)
        assert world.now - clock.monotonic() == pytest.approx(begun)

    with World(3) as world:
        world.run(story(world))
    assert world.failures == []


def test_sleeping_laptop_loses_packets_and_its_monotonic_clock_stands_still():
    async def story(world: World) -> None:
        nodes = await start_network(world, 3)
        host = world.hosts["n2"]
        monotonic, wall = host.clock.monotonic(), host.clock.wall()
        host.sleep(600)
        await asyncio.sleep(601)
        assert host.clock.monotonic() - monotonic == pytest.approx(1)
        assert host.clock.wall() - wall == pytest.approx(601)
        assert world.network.counters.no_listener > 0
        await all_met(nodes)

    with World(4) as world:
        world.run(story(world))
    assert world.failures == []


def test_node_that_moved_is_found_under_its_other_address():
    async def story(world: World) -> None:
        nodes = await start_network(world, 3)
        world.hosts["n1"].move("10.7.7.7")
        await asyncio.sleep(5)
        await all_met(nodes)
        fourth = await start_node(world.host("n3"))
        await fourth.join(f"10.7.7.7:{PORT}")

    with World(5) as world:
        world.run(story(world))


@pytest.mark.parametrize("fidelity", [Fidelity(), CHEAP], ids=["datagrams", "messages"])
def test_node_can_be_looked_at_while_it_moves_to_another_network(fidelity: Fidelity):
    async def story(world: World) -> set[str]:
        await start_node(world.host("n0"))
        # Work for this disk waits so long that the time between two networks is not over within one turn of a loop.
        host = world.host("n1", hardware=Hardware(offload_queued=0.05))
        node = await start_node(host)
        joining = asyncio.ensure_future(host.run(node.join(f"n0:{PORT}")))
        seen = set()
        while not joining.done():
            seen.add(node.snapshot().network)
            await asyncio.sleep(0.001)
        await joining
        return seen | {node.snapshot().network}

    with World(1, fidelity=fidelity) as world:
        assert len(world.run(story(world))) == 2


@pytest.mark.parametrize("fidelity", [Fidelity(), CHEAP], ids=["datagrams", "messages"])
def test_invite_of_a_node_whose_router_restarted_says_where_it_is_now(fidelity: Fidelity):
    async def story(world: World) -> list[Address]:
        router = Nat("70.0.0.1", NatKind.FULL_CONE)
        hosts = [world.host("n0", internet=True), world.host("n1", internet=True)]
        nodes = [await start_node(host) for host in (*hosts, world.host("n2", address="192.168.0.2", nat=router))]
        for node in nodes[1:]:
            await node.join(f"n0:{PORT}")
        await all_met(nodes)
        said = [Invite.parse(nodes[2].invite()).contact.addresses[0]]
        router.reboot()
        await asyncio.sleep(10)
        return [*said, Invite.parse(nodes[2].invite()).contact.addresses[0]]

    with World(1, fidelity=fidelity) as world:
        assert world.run(story(world)) == [Address("70.0.0.1", FIRST_PORT), Address("70.0.0.1", FIRST_PORT + 1)]


@pytest.mark.parametrize("fidelity", [Fidelity(), CHEAP], ids=["datagrams", "messages"])
def test_connections_of_sealed_datagrams_leave_a_trace_and_those_of_whole_messages_none(fidelity: Fidelity):
    async def story(world: World) -> tuple[Traced, Traced]:
        nodes = [await start_node(world.host(f"n{number}")) for number in range(2)]
        await nodes[1].join(f"n0:{PORT}")
        await all_met(nodes)
        await nodes[0].put(bytes(256 * 1024), name="zeros", replicas=2, quorum=1)
        return nodes[0].traced(), nodes[0].traced(transfer="zeros")

    with World(1, conditions=Conditions(delay_min=0.05, delay_mean=0.05), fidelity=fidelity) as world:
        whole, transfer = world.run(story(world))
    if fidelity is CHEAP:
        assert (len(whole), len(transfer), transfer.gap) == (0, 0, Gap.LITTLE)
    else:
        assert transfer.figures["sent_bytes"][-1] > 256 * 1024
        assert min(transfer.figures["rtt_min"]) >= 0.1
        assert len(whole) >= len(transfer) > 2
