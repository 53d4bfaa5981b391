"""The simulated network on its own: sockets, paths, partitions, routers, roaming, clogs."""

import asyncio
import itertools
from collections.abc import Callable

import pytest

from dfs_sdk.errors import ConfigError
from dfs_sdk.ids import Address
from dfs_sdk.runtime.ports import UdpSocket
from dfs_sdk.runtime.system import SeededRng
from dfs_sdk.sim.conditions import Conditions, Hits, Link, Losses
from dfs_sdk.sim.host import Host
from dfs_sdk.sim.nat import FIRST_PORT, MAPPINGS_MAX, MET_MAX, Nat, NatKind
from dfs_sdk.sim.partitions import Groups, Isolated, OneWay, Partition, Ring, halves, swizzle
from dfs_sdk.sim.world import World

PORT = 4001


class Listener:
    """A socket and what arrived: (instant, datagram, source)."""

    def __init__(self, world: World, host: Host) -> None:
        self.world, self.host = world, host
        self.got: list[tuple[float, bytes, Address]] = []
        self.socket: UdpSocket

    async def bind(self) -> "Listener":
        self.socket = await self.host.run(
            self.host.runtime.udp.bind(Address("0.0.0.0", PORT), on_datagrams=self._take, on_writable=lambda: None)
        )
        return self

    @property
    def address(self) -> Address:
        return Address(self.host.station.address, PORT)

    @property
    def data(self) -> list[bytes]:
        return [datagram for _, datagram, _ in self.got]

    def send(self, data: bytes, to: "Listener | Address", *, segment: int | None = None) -> None:
        self.socket.send(data, segment or len(data), to.address if isinstance(to, Listener) else to)

    def _take(self, burst: memoryview, segment: int, source: Address) -> None:
        assert asyncio.get_running_loop() is self.host.loop
        for start in range(0, len(burst), segment):
            self.got.append((self.world.now, bytes(burst[start : start + segment]), source))


def listeners(world: World, count: int, **options: object) -> list[Listener]:
    """Make hosts `h0` and on, each with a socket."""
    return [listener(world, f"h{number}", **options) for number in range(count)]


def listener(world: World, name: str, **options: object) -> Listener:
    return world.run(Listener(world, world.host(name, **options)).bind())  # type: ignore[arg-type]


def test_burst_arrives_whole_after_the_delay_from_its_source():
    with World(conditions=Conditions(delay_min=0.25)) as world:
        a, b = listeners(world, 2)
        a.send(b"aabbc", b, segment=2)
        world.run_for(0.2)
        assert b.got == []
        world.run_for(0.1)
        assert b.got == [(0.25, part, a.address) for part in (b"aa", b"bb", b"c")]
        assert world.network.counters.delivered == 3


def test_delays_spread_and_keep_the_order():
    with World(conditions=Conditions(delay_min=0.01, delay_mean=0.02, delay_sigma=1.0)) as world:
        a, b = listeners(world, 2)
        arrivals = []
        for number in range(2000):
            a.send(number.to_bytes(2, "big"), b)
            world.run_for(1.0)
            arrivals.append(b.got[-1][0] - (number * 1.0))
        assert 0.01 < min(arrivals) < 0.015
        assert sum(arrivals) / len(arrivals) == pytest.approx(0.03, rel=0.1)
        assert max(arrivals) > 0.1
        for number in range(500):
            a.send(number.to_bytes(2, "big"), b)
        world.run_for(10.0)
        assert b.data[-500:] == [number.to_bytes(2, "big") for number in range(500)]


@pytest.mark.parametrize("ratio", [0.0, 0.003, 0.1, 0.5, 1.0])
def test_hits_have_their_ratio(ratio: float):
    hits, count = Hits(ratio, SeededRng(1)), 0
    for _ in range(2000):
        found = list(hits.among(17))
        assert found == sorted(set(found))
        assert all(0 <= position < 17 for position in found)
        count += len(found)
    assert count / (2000 * 17) == pytest.approx(ratio, rel=0.2)


def test_losses_come_in_bursts():
    conditions = Conditions(bad_enter_ratio=0.01, bad_leave_ratio=0.1, bad_loss_ratio=0.8)
    losses = Losses(conditions, SeededRng(2))
    lost = [bool(losses.among(1)) for _ in range(100_000)]
    # In the long run the path is bad for 0.01 / (0.01 + 0.1) of the datagrams.
    assert sum(lost) / len(lost) == pytest.approx(0.8 * 0.01 / 0.11, rel=0.15)
    after_a_loss = [second for first, second in itertools.pairwise(lost) if first]
    assert sum(after_a_loss) / len(after_a_loss) > 0.5


def test_every_datagram_is_accounted_for():
    rough = Conditions(
        delay_mean=0.01, loss_ratio=0.1, duplicate_ratio=0.1, reorder_ratio=0.1, corrupt_ratio=0.1,
        rate_bytes=50_000, queue_bytes=20_000, spike_interval=1.0,
    )  # fmt: skip
    with World(7, conditions=rough) as world:
        a, b = listeners(world, 2)
        for number in range(300):
            a.send(bytes([number % 256]) * 1900, b, segment=200)
            world.run_for(0.03)
        a.send(bytes(3000), b)
        a.send(b"x", Address("10.99.99.99", 1))
        world.run_for(10)
        counters = world.network.counters
        ended = (
            counters.delivered, counters.lost, counters.cut, counters.queue_full, counters.too_large,
            counters.no_listener, counters.buffer_full, counters.clog_full,
        )  # fmt: skip
        assert counters.sent + counters.duplicated == sum(ended)
        assert counters.delivered == len(b.got)
        assert (counters.too_large, counters.no_listener) == (1, 1)
        assert min(counters.lost, counters.duplicated, counters.corrupted, counters.reordered, counters.queue_full) > 20
        damaged = [datagram for datagram in b.data if len(set(datagram)) > 1]
        assert len(damaged) == pytest.approx(counters.corrupted, abs=30)


def test_reordered_datagrams_are_overtaken():
    with World(conditions=Conditions(reorder_ratio=0.2)) as world:
        a, b = listeners(world, 2)
        for number in range(200):
            a.send(bytes([number]), b)
            world.run_for(0.001)
        world.run_for(1)
        assert sorted(b.data) == [bytes([number]) for number in range(200)]
        assert b.data != sorted(b.data)


def test_rate_of_a_path_and_of_links_spaces_arrivals():
    cases: list[tuple[Conditions, Link, Link]] = [
        (Conditions(rate_bytes=10_000), Link(), Link()),
        (Conditions(), Link(up_bytes=10_000), Link()),
        (Conditions(), Link(), Link(down_bytes=10_000)),
    ]
    for conditions, up, down in cases:
        with World(conditions=conditions) as world:
            a, b = listener(world, "a", link=up), listener(world, "b", link=down)
            for _ in range(10):
                a.send(bytes(1000), b)
            world.run_for(5)
            spaces = [later[0] - earlier[0] for earlier, later in zip(b.got, b.got[1:], strict=False)]
            assert spaces == pytest.approx([0.1] * 9)


def test_queue_of_a_slow_link_drops_its_tail():
    with World() as world:
        a, b = listener(world, "a", link=Link(up_bytes=1000, queue_bytes=2500)), listener(world, "b")
        for number in range(5):
            a.send(bytes([number]) * 1000, b)
        world.run_for(10)
        assert [datagram[0] for datagram in b.data] == [0, 1]
        assert world.network.counters.queue_full == 3


@pytest.mark.parametrize(
    ("rule", "reached"),
    [
        (Isolated("h0"), {"12", "13", "21", "23", "31", "32"}),
        (Groups(["h0", "h1"], ["h2", "h3"]), {"01", "10", "23", "32"}),
        (OneWay(["h0"], ["h1", "h2", "h3"]), {"10", "12", "13", "20", "21", "23", "30", "31", "32"}),
        (Ring(["h0", "h1", "h2", "h3"], reach=1), {"01", "10", "12", "21", "23", "32", "30", "03"}),
    ],
)
def test_partitions_cut_what_they_say_and_heal(rule: Partition, reached: set[str]):
    def through(world: World, hosts: list[Listener]) -> set[str]:
        for one, sender in enumerate(hosts):
            for other, receiver in enumerate(hosts):
                if one != other:
                    sender.send(f"{one}{other}".encode(), receiver)
        world.run_for(1)
        arrived = {datagram.decode() for each in hosts for datagram in each.data}
        for each in hosts:
            each.got.clear()
        return arrived

    with World() as world:
        hosts = listeners(world, 4)
        everybody = through(world, hosts)
        heal = world.network.partition(rule)
        assert through(world, hosts) == reached
        heal()
        heal()
        assert through(world, hosts) == everybody
        assert len(everybody) == 12


def test_halves_part_everybody_into_two():
    names = [f"h{number}" for number in range(9)]
    rule = halves(names, SeededRng(1))
    sides = {frozenset(other for other in names if not rule.blocks(name, other)) for name in names}
    assert sorted(len(side) for side in sides) == [4, 5]


def test_host_in_two_groups_is_refused():
    with pytest.raises(ConfigError, match="two groups"):
        Groups(["a"], ["a"])


def test_partition_also_cuts_what_is_under_way():
    with World(conditions=Conditions(delay_min=1.0)) as world:
        a, b = listeners(world, 2)
        a.send(b"x", b)
        world.run_for(0.5)
        world.network.partition(Isolated("h1"))
        world.run_for(5)
        assert b.got == []
        assert world.network.counters.cut == 1


def test_clogged_datagrams_arrive_in_order_when_let_go():
    with World() as world:
        a, b = listeners(world, 2)
        world.network.clog("h1")
        for number in range(5):
            a.send(bytes([number]), b)
            world.run_for(1)
        assert b.got == []
        world.network.unclog("h1")
        world.run_for(1)
        assert b.data == [bytes([number]) for number in range(5)]
        assert {at for at, _, _ in b.got} == {5.0}


def test_swizzle_clogs_and_releases_everybody_it_chose():
    steps = swizzle(["a", "b", "c", "d"], SeededRng(3), interval=1.0)
    clogged = [step.host for step in steps if step.clogged]
    released = [step.host for step in steps if not step.clogged]
    assert sorted(clogged) == sorted(released)
    assert [step.after for step in steps] == sorted(step.after for step in steps)
    with World() as world:
        a, b = listeners(world, 2)
        seconds = world.network.swizzle(["h0", "h1"], interval=1.0)
        for _ in range(20):
            a.send(b"x", b)
            world.run_for(seconds / 10)
        assert len(b.got) >= 19


def test_socket_of_a_blocked_kernel_keeps_ninety_datagrams():
    with World() as world:
        a, b = listeners(world, 2)
        b.host.block(10)
        for number in range(200):
            a.send(bytes([number]), b)
        world.run_for(5)
        assert b.got == []
        world.run_for(6)
        assert b.data == [bytes([number]) for number in range(90)]
        assert world.network.counters.buffer_full == 110


def test_moved_host_is_reached_at_its_other_address_only():
    with World(conditions=Conditions(delay_min=1.0)) as world:
        a, b = listeners(world, 2)
        old = b.address
        a.send(b"under way", b)
        world.run_for(0.5)
        b.host.move("10.8.8.8")
        a.send(b"too late", old)
        a.send(b"found", b)
        b.send(b"from there", a)
        world.run_for(5)
        assert b.data == [b"found"]
        assert a.got == [(1.5, b"from there", Address("10.8.8.8", PORT))]


def test_crashed_hosts_socket_neither_sends_nor_receives():
    with World() as world:
        a, b = listeners(world, 2)
        a.send(b"lost", b)
        b.host.crash()
        b.send(b"nothing", a)
        world.run_for(1)
        assert (a.got, b.got) == ([], [])
        b.host.restart()
        again = world.run(Listener(world, b.host).bind())
        a.send(b"hello", again)
        world.run_for(1)
        assert again.data == [b"hello"]


def test_taken_port_and_foreign_address_are_refused():
    with World() as world:
        (a,) = listeners(world, 1)
        with pytest.raises(OSError, match="in use"):
            world.run(Listener(world, a.host).bind())
        with pytest.raises(OSError, match="assign"):
            world.run(
                a.host.run(
                    a.host.runtime.udp.bind(
                        Address("10.1.2.3", 1), on_datagrams=lambda *_: None, on_writable=lambda: None
                    )
                )
            )
        with pytest.raises(ConfigError, match="taken"):
            world.host("other", address=a.address.host)


def test_conditions_of_a_pair_win_over_those_of_a_host_and_of_all():
    with World(conditions=Conditions(delay_min=1.0)) as world:
        a, b, c = listeners(world, 3)
        world.network.set_conditions(Conditions(delay_min=2.0), receiver="h1")
        world.network.set_conditions(Conditions(delay_min=3.0), sender="h0")
        world.network.set_conditions(Conditions(delay_min=4.0), sender="h0", receiver="h1")
        a.send(b"x", b)
        a.send(b"x", c)
        c.send(b"x", b)
        c.send(b"x", a)
        world.run_for(10)
        assert [at for at, _, _ in b.got] == [2.0, 4.0]
        assert ([at for at, _, _ in c.got], [at for at, _, _ in a.got]) == ([3.0], [1.0])
        world.network.set_conditions(None, sender="h0", receiver="h1")
        assert world.network.conditions("h0", "h1").delay_min == 3.0


def test_hooks_see_every_datagram_on_the_wire():
    seen: list[tuple[str, str, bytes]] = []
    with World() as world:
        a, b = listeners(world, 2)
        world.network.on_wire.append(lambda one, other, datagram: seen.append((one, other, bytes(datagram))))
        world.network.partition(Isolated("h1"))
        a.send(b"aabb", b, segment=2)
        a.send(b"x", Address("10.9.9.9", 9))
    assert seen == [("h0", "h1", b"aa"), ("h0", "h1", b"bb"), ("h0", "", b"x")]


LETS_IN: dict[NatKind, Callable[[bool, bool], bool]] = {
    NatKind.FULL_CONE: lambda _host, _port: True,
    NatKind.ADDRESS_RESTRICTED: lambda host, _port: host,
    NatKind.PORT_RESTRICTED: lambda host, port: host and port,
    NatKind.SYMMETRIC: lambda host, port: host and port,
}


@pytest.mark.parametrize("kind", list(NatKind))
def test_router_lets_in_whom_its_kind_lets_in(kind: NatKind):
    nat, inner = Nat("60.0.0.1", kind, timeout=60), Address("192.168.0.2", 5)
    met = Address("61.0.0.1", 7)
    outer = nat.outgoing(inner, met, 0.0)
    assert outer.host == "60.0.0.1"
    for source, same_host, same_port in (
        (met, True, True),
        (Address("61.0.0.1", 8), True, False),
        (Address("62.0.0.1", 7), False, True),
    ):
        found = nat.incoming(outer.port, source, 1.0)
        assert found == (inner if LETS_IN[kind](same_host, same_port) else None)
    assert nat.incoming(outer.port, met, 61.0) is None
    again = nat.outgoing(inner, Address("62.0.0.1", 7), 1.0)
    assert (again == outer) is (kind is not NatKind.SYMMETRIC)
    nat.reboot()
    assert nat.incoming(outer.port, met, 1.0) is None
    assert nat.outgoing(inner, met, 2.0) != outer


def test_router_with_too_many_mappings_ends_the_idlest():
    nat, met = Nat("60.0.0.1", timeout=60), Address("61.0.0.1", 7)
    inner = [Address("192.168.0.2", 1000 + number) for number in range(MAPPINGS_MAX + 1)]
    outer = [nat.outgoing(address, met, 0.0) for address in inner[:-1]]
    nat.outgoing(inner[0], met, 1.0)  # the first is used again: the second is the idlest now
    last = nat.outgoing(inner[-1], met, 1.0)
    assert nat.incoming(outer[0].port, met, 1.0) == inner[0]
    assert nat.incoming(outer[1].port, met, 1.0) is None
    assert nat.incoming(outer[2].port, met, 1.0) == inner[2]
    assert nat.incoming(last.port, met, 1.0) == inner[-1]
    assert repr(nat).endswith(f"{MAPPINGS_MAX} mappings>")


def test_router_forgets_whom_a_mapping_met_longest_ago():
    nat, inner = Nat("60.0.0.1", timeout=60), Address("192.168.0.2", 5)
    met = [Address(f"61.{number >> 8}.{number & 255}.1", 7) for number in range(MET_MAX + 1)]
    outer = nat.outgoing(inner, met[0], 0.0)
    for address in met[1:]:
        nat.outgoing(inner, address, 0.0)
    assert nat.incoming(outer.port, met[0], 0.0) is None
    assert nat.incoming(outer.port, met[1], 0.0) == inner
    assert nat.incoming(outer.port, met[-1], 0.0) == inner


def test_forwarded_port_lets_anybody_in_for_good():
    nat, inner, stranger = Nat("60.0.0.1", timeout=60), Address("192.168.0.2", PORT), Address("61.0.0.1", 7)
    nat.forward(inner)
    assert nat.outgoing(inner, stranger, 0.0) == Address("60.0.0.1", PORT)
    nat.reboot()
    assert nat.incoming(PORT, stranger, 1e6) == inner
    assert nat.outgoing(Address("192.168.0.3", PORT), stranger, 0.0).port != PORT
    for taken in (inner, Address("192.168.0.2", FIRST_PORT)):
        with pytest.raises(ConfigError, match="cannot be forwarded"):
            nat.forward(taken)


def test_router_with_another_address_is_reached_there_and_only_there():
    with World() as world:
        home = Nat("60.1.1.1", NatKind.FULL_CONE)
        a, c = listener(world, "a", nat=home), listener(world, "c", internet=True)
        home.forward(a.address)
        assert world.network.address_of("a") == "60.1.1.1"
        c.send(b"early", Address("60.1.1.1", PORT))
        world.network.readdress(home, "60.1.1.2")
        c.send(b"lost", Address("60.1.1.1", PORT))
        c.send(b"found", Address("60.1.1.2", PORT))
        a.send(b"from the new one", c)
        world.run_for(1)
        assert a.data == [b"found"]
        assert c.got[0][2] == Address("60.1.1.2", PORT)
        assert world.network.address_of("a") == "60.1.1.2"
        with pytest.raises(ConfigError, match="taken"):
            world.network.readdress(home, c.address.host)
        with pytest.raises(ConfigError, match="no host"):
            world.network.readdress(Nat("60.9.9.9"), "60.9.9.8")


def test_who_watches_the_wire_is_told_who_is_behind_a_router():
    with World() as world:
        home = Nat("60.1.1.1", NatKind.PORT_RESTRICTED)
        a, c = listener(world, "a", nat=home), listener(world, "c", internet=True)
        seen: list[tuple[str, str, bytes]] = []
        world.network.on_wire.append(lambda sender, receiver, data: seen.append((sender, receiver, bytes(data))))
        c.send(b"unasked", Address("60.1.1.1", FIRST_PORT))
        a.send(b"hello", c)
        world.run_for(1)
        c.send(b"answer", c.got[0][2])
        world.run_for(1)
    assert seen == [("c", "", b"unasked"), ("a", "c", b"hello"), ("c", "a", b"answer")]


def test_hosts_behind_routers_talk_out_and_get_answers():
    with World() as world:
        home = Nat("60.1.1.1", NatKind.PORT_RESTRICTED, timeout=30)
        a, b = listener(world, "a", nat=home), listener(world, "b", nat=home)
        c, d = listener(world, "c", internet=True), listener(world, "d", internet=True)
        a.send(b"hello", c)
        a.send(b"neighbour", b)
        world.run_for(1)
        assert b.got == [(world.now - 1 + 0.0005, b"neighbour", a.address)]
        source = c.got[0][2]
        assert source.host == "60.1.1.1"
        c.send(b"answer", source)
        d.send(b"stranger", source)
        c.send(b"private", a)
        world.run_for(1)
        assert a.data == [b"answer"]
        world.run_for(40)
        c.send(b"too late", source)
        world.run_for(1)
        assert a.data == [b"answer"]
