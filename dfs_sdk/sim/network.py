"""The simulated network: who is attached where, what a path does to datagrams, and when they arrive.

A burst stays one event in the heap as long as all of its datagrams share a fate; where loss, duplication, reordering or
corruption hits some of them, it is split there. Paths keep the order of what they carry unless their conditions say
that some datagrams are overtaken. What a host sends is looked up once for each destination; every change of the
network's shape moves its `epoch` on, and what was looked up before is looked up again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

from dfs_sdk.errors import ConfigError
from dfs_sdk.ids import Address
from dfs_sdk.runtime.ports import Rng
from dfs_sdk.sim.conditions import Conditions, Link
from dfs_sdk.sim.nat import Nat
from dfs_sdk.sim.partitions import Partition, swizzle
from dfs_sdk.sim.path import Path, pieces
from dfs_sdk.sim.scheduler import Scheduler
from dfs_sdk.sim.sockets import SimSocket
from dfs_sdk.sim.stations import Counters, Route, Station
from dfs_sdk.sim.trace import Trace

CLOGGED_BURSTS_MAX = 65_536
"""Bursts held for clogged hosts, all together; later ones are lost."""

WireHook = Callable[[str, str, memoryview], None]


# Route, source as the receiver sees it, datagrams, bytes of each.
Flight = tuple[Route, Address, bytes, int]


class SimNetwork:
    """All hosts and all that is between them.

    Args:
        scheduler: Virtual time.
        rng: Chance, of which every host gets a child by name.
        trace: Where deliveries are recorded.
        conditions: Of every path where nothing else is set.
        any_size: Carry datagrams of any size: each is a whole message of the shortcut transport.

    Attributes:
        counters: What became of all datagrams.
        epoch: Moves on with every change of the network's shape.
        on_wire: Called with the names of sender and receiver ("" when nobody listens) and each datagram as it is sent,
            whatever becomes of it; the buffer is lent for the call.
        on_arrival: The same for each datagram that reaches a socket of a host that is up.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        rng: Rng,
        trace: Trace,
        conditions: Conditions | None = None,
        any_size: bool = False,
    ) -> None:
        self.scheduler = scheduler
        self.counters = Counters()
        self.epoch = 0
        self.on_wire: list[WireHook] = []
        self.on_arrival: list[WireHook] = []
        self._trace = trace
        self._rng = rng
        self._any_size = any_size
        self._default = conditions or Conditions()
        self._set: dict[tuple[str | None, str | None], Conditions] = {}
        self._stations: dict[str, Station] = {}
        self._by_address: dict[str, Station] = {}
        self._routers: dict[str, Nat] = {}
        self._sockets: dict[Address, SimSocket] = {}
        self._partitions: list[Partition] = []
        self._clogged: dict[str, int] = {}
        self._held: deque[Flight] = deque()

    # Its shape

    def attach(self, name: str, address: str, *, nat: Nat | None = None, link: Link | None = None) -> Station:
        """Attach a host.

        Raises:
            ConfigError: The name or address is taken.
        """
        if name in self._stations:
            raise ConfigError(f"there is a host {name} already")
        self._require_free(address)
        station = Station(
            name, len(self._stations), address, nat=nat, link=link or Link(), rng=self._rng.child(f"host/{name}")
        )
        self._stations[name] = self._by_address[address] = station
        self._register(nat)
        self.touch()
        return station

    def move(self, station: Station, address: str, *, nat: Nat | None = None) -> None:
        """Give a host another address, as when a laptop changes networks; what is under way to the old one is lost.

        Raises:
            ConfigError: The address is taken.
        """
        if address != station.address:
            self._require_free(address)
        mine = self.sockets_of(station)
        for socket in mine:
            del self._sockets[Address(station.address, socket.port)]
        del self._by_address[station.address]
        station.address, station.nat = address, nat
        self._by_address[address] = station
        self._register(nat)
        for socket in mine:
            self._sockets[Address(address, socket.port)] = socket
        self.touch()

    def readdress(self, nat: Nat, address: str) -> None:
        """Give a router another public address, as providers do over night; what is under way to the old one is lost.

        Raises:
            ConfigError: The address is taken, or no host was ever behind that router.
        """
        if self._routers.get(nat.host) is not nat:
            raise ConfigError(f"no host is behind {nat!r}")
        self._require_free(address)
        del self._routers[nat.host]
        nat.host = address
        self._register(nat)
        self.touch()

    def set_link(self, host: str, link: Link) -> None:
        """Set what a host's own connection carries."""
        self._station(host).link = link
        self.touch()

    def set_conditions(
        self, conditions: Conditions | None, *, sender: str | None = None, receiver: str | None = None
    ) -> None:
        """Set what paths are like: of one pair, of all from a sender, of all to a receiver, or of all.

        The most specific that was set counts: pair, sender, receiver, all. None takes a setting back.
        """
        for host in (sender, receiver):
            if host is not None:
                self._station(host)
        if conditions is not None:
            self._set[(sender, receiver)] = conditions
        else:
            self._set.pop((sender, receiver), None)
        self.touch()

    def conditions(self, sender: str, receiver: str) -> Conditions:
        """Return what the path between two hosts is like."""
        settings = self._set
        if settings:
            for key in ((sender, receiver), (sender, None), (None, receiver), (None, None)):
                if key in settings:
                    return settings[key]
        return self._default

    def partition(self, rule: Partition) -> Callable[[], None]:
        """Let the network fall apart by a rule, beside those that hold already.

        Returns:
            A function that heals this one; calling it again is harmless.
        """
        self._partitions.append(rule)
        self.touch()

        def heal() -> None:
            if any(rule is each for each in self._partitions):
                self._partitions = [each for each in self._partitions if each is not rule]
                self.touch()

        return heal

    def clog(self, host: str) -> None:
        """Hold all that arrives from and for a host; each call needs an `unclog`."""
        self._station(host)
        self._clogged[host] = self._clogged.get(host, 0) + 1
        self.touch()

    def unclog(self, host: str) -> None:
        """Deliver what was held for a host, in order, at this instant."""
        count = self._clogged.get(host, 0)
        if count > 1:
            self._clogged[host] = count - 1
        elif count == 1:
            del self._clogged[host]
            self.touch()
            self._release()

    def swizzle(self, hosts: Iterable[str], *, interval: float) -> float:
        """Clog a random subset of hosts one by one and release it in another order.

        Args:
            hosts: Names to draw from.
            interval: Mean seconds between two steps.

        Returns:
            Seconds until the last is released.
        """
        steps = swizzle(list(hosts), self._rng, interval=interval)
        for step in steps:
            act = self.clog if step.clogged else self.unclog
            self.scheduler.at(self.scheduler.now + step.after, act, step.host)
        return steps[-1].after if steps else 0.0

    def heal(self) -> None:
        """End all partitions and clogs."""
        self._partitions.clear()
        self._clogged.clear()
        self.touch()
        self._release()

    def touch(self) -> None:
        """Note that something changed: what was looked up before counts no more."""
        self.epoch += 1

    def is_cut(self, sender: str, receiver: str) -> bool:
        """Say whether a partition keeps one host's datagrams from another."""
        return any(rule.blocks(sender, receiver) for rule in self._partitions)

    def address_of(self, host: str) -> str | None:
        """Resolve a host's name, as its DNS would: to its router, where it is behind one."""
        station = self._stations.get(host)
        if station is None:
            return None
        return station.address if station.nat is None else station.nat.host

    # Sockets

    def listen(self, socket: SimSocket) -> None:
        """Let a socket receive what is sent to its host and port."""
        self._sockets[Address(socket.station.address, socket.port)] = socket
        self.touch()

    def sockets_of(self, station: Station) -> list[SimSocket]:
        """List the sockets that listen on a host."""
        return [socket for socket in self._sockets.values() if socket.station is station]

    def hang_up(self, socket: SimSocket) -> None:
        """Let nothing more reach a socket."""
        key = Address(socket.station.address, socket.port)
        if self._sockets.get(key) is socket:
            del self._sockets[key]
            self.touch()

    def is_taken(self, address: Address) -> bool:
        """Say whether a socket listens at an address."""
        return address in self._sockets

    def route(self, socket: SimSocket, destination: Address) -> Route:
        """Look up where a socket's datagrams to an address go."""
        sender = socket.station
        source = Address(sender.address, socket.port)
        nat = sender.nat
        station = self._by_address.get(destination.host)
        direct = station is not None and station.nat is nat
        target = self._sockets.get(destination) if direct else None
        route = Route(epoch=self.epoch, sender=sender, source=source, destination=destination, target=target)
        route.path = self._path(sender, target.station) if target is not None else None
        route.special = self._is_special(route)
        return route

    def send(self, route: Route, data: bytes, segment_bytes: int) -> None:
        """Carry datagrams of `segment_bytes` (the last may be shorter) along a route."""
        count = -(-len(data) // segment_bytes)
        self.counters.sent += count
        path = route.path
        if route.special or path is None:
            self._send_special(route, data, segment_bytes, count)
            return
        if self.on_wire:
            self._show(route.sender, route.target, data, segment_bytes)
        if not path.is_plain:
            for arrival, part in path.carry(data, segment_bytes, self.scheduler.now, self.counters):
                self.scheduler.at(arrival, self._arrive, (route, route.source, part, segment_bytes))
        else:
            self.scheduler.at(
                path.arrival(self.scheduler.now), self._arrive, (route, route.source, data, segment_bytes)
            )

    # Inside: sending

    def _is_special(self, route: Route) -> bool:
        path, target = route.path, route.target
        if path is None or target is None:
            return True
        link = route.sender.link
        return (
            link.up_bytes > 0
            or target.station.link.down_bytes > 0
            or bool(self._partitions and self.is_cut(route.sender.name, target.station.name))
            or bool(self._clogged)
        )

    def _path(self, sender: Station, receiver: Station) -> Path:
        path = sender.paths.get(receiver.number)
        conditions = self.conditions(sender.name, receiver.name)
        if path is None:
            path = sender.paths[receiver.number] = Path(conditions, sender.rng, any_size=self._any_size)
        elif path.conditions is not conditions:
            path.change(conditions)
        return path

    def _show(self, sender: Station, target: SimSocket | None, data: bytes, segment_bytes: int) -> None:
        receiver = target.station.name if target is not None else ""
        _tell(self.on_wire, sender.name, receiver, data, segment_bytes)

    def _send_special(self, route: Route, data: bytes, segment_bytes: int, count: int) -> None:
        found = self._translate(route)
        if self.on_wire:
            self._show(route.sender, found[0] if found is not None else None, data, segment_bytes)
        if found is None:
            self.counters.no_listener += count
            return
        target, source = found
        path = self._path(route.sender, target.station)
        if self.is_cut(route.sender.name, target.station.name):
            self.counters.cut += count
            return
        if route.target is not target:
            route = Route(
                epoch=self.epoch, sender=route.sender, source=source, destination=route.destination, target=target
            )
            route.path = path
        if not route.sender.link.up_bytes:
            for arrival, part in path.carry(data, segment_bytes, self.scheduler.now, self.counters):
                self.scheduler.at(arrival, self._arrive, (route, source, part, segment_bytes))
            return
        for piece, size, at in self._through_link(route.sender, data, segment_bytes):
            for arrival, part in path.carry(piece, size, at, self.counters):
                self.scheduler.at(arrival, self._arrive, (route, source, part, size))

    def _translate(self, route: Route) -> tuple[SimSocket, Address] | None:
        """Find the socket behind routers, and the source as it sees it; None where no socket is reached."""
        if route.target is not None:
            return route.target, route.source
        now, nat, source = self.scheduler.now, route.sender.nat, route.source
        if nat is not None:
            source = nat.outgoing(source, route.destination, now)
        router = self._routers.get(route.destination.host)
        if router is not None:
            inner = router.incoming(route.destination.port, source, now) if router is not nat or nat.hairpin else None
            target = self._sockets.get(inner) if inner is not None else None
        else:
            station = self._by_address.get(route.destination.host)
            target = self._sockets.get(route.destination) if station is not None and station.nat is None else None
        return (target, source) if target is not None else None

    def _through_link(self, sender: Station, data: bytes, segment_bytes: int) -> Iterator[tuple[bytes, int, float]]:
        """Send over a host's own uplink: pieces, the bytes of their datagrams, and when each has left."""
        rate, now = sender.link.up_bytes, self.scheduler.now
        for piece in pieces(data, segment_bytes, rate):
            free_at = max(sender.up_free_at, now)
            waiting = (free_at - now) * rate
            if waiting + len(piece) > sender.link.queue_bytes and (waiting or not self._any_size):
                self.counters.queue_full += -(-len(piece) // segment_bytes)
                continue
            sender.up_free_at = free_at + len(piece) / rate
            yield piece, segment_bytes, sender.up_free_at

    # Inside: arriving

    def _arrive(self, flight: Flight) -> None:
        route, source, data, segment_bytes = flight
        target = route.target
        if route.special or route.epoch != self.epoch or target is None:
            self._arrive_special(flight)
        else:
            self._deliver(target, route.sender, source, data, segment_bytes)

    def _arrive_special(self, flight: Flight) -> None:
        route, _, data, segment_bytes = flight
        target, count = route.target, -(-len(data) // segment_bytes)
        if target is None or target.is_closed or self._is_elsewhere(route, target):
            self.counters.no_listener += count
            return
        sender, receiver = route.sender.name, target.station.name
        if self._partitions and self.is_cut(sender, receiver):
            self.counters.cut += count
            return
        if self._clogged and (sender in self._clogged or receiver in self._clogged):
            self._hold(flight, count)
            return
        rate, now = target.station.link.down_bytes, self.scheduler.now
        if not rate:
            self._deliver(target, route.sender, flight[1], data, segment_bytes)
            return
        for piece in pieces(data, segment_bytes, rate):
            free_at = max(target.station.down_free_at, now)
            waiting = (free_at - now) * rate
            if waiting + len(piece) > target.station.link.queue_bytes and (waiting or not self._any_size):
                self.counters.queue_full += -(-len(piece) // segment_bytes)
                continue
            target.station.down_free_at = free_at + len(piece) / rate
            self.scheduler.at(target.station.down_free_at, self._deliver_late, (route, flight[1], piece, segment_bytes))

    def _deliver_late(self, flight: Flight) -> None:
        route, source, data, segment_bytes = flight
        if route.target is not None:
            self._deliver(route.target, route.sender, source, data, segment_bytes)

    def _deliver(self, target: SimSocket, sender: Station, source: Address, data: bytes, segment_bytes: int) -> None:
        count, station = -(-len(data) // segment_bytes), target.station
        if not station.is_up or target.is_closed:
            self.counters.no_listener += count
            return
        self._trace.delivery(self.scheduler.now, sender.number, station.number, data)
        if self.on_arrival:
            _tell(self.on_arrival, sender.name, station.name, data, segment_bytes)
        kept = target.receive(data, segment_bytes, source)
        self.counters.delivered += kept
        self.counters.buffer_full += count - kept
        self.counters.bytes_delivered += len(data)

    def _is_elsewhere(self, route: Route, target: SimSocket) -> bool:
        """Say whether the receiver has moved away since this was sent straight to its address."""
        sent_to = route.destination.host
        return sent_to not in self._routers and target.station.address != sent_to

    def _hold(self, flight: Flight, count: int) -> None:
        if len(self._held) >= CLOGGED_BURSTS_MAX:
            self.counters.clog_full += count
        else:
            self._held.append(flight)

    def _release(self) -> None:
        held, self._held = self._held, deque()
        # Not here: the caller may be a task of another loop, and hosts take datagrams on their own.
        for flight in held:
            self.scheduler.at(self.scheduler.now, self._arrive_special, flight)

    # Inside: names

    def _station(self, host: str) -> Station:
        if host not in self._stations:
            raise ConfigError(f"there is no host {host}")
        return self._stations[host]

    def _require_free(self, address: str) -> None:
        if address in self._by_address or address in self._routers:
            raise ConfigError(f"the address {address} is taken")

    def _register(self, nat: Nat | None) -> None:
        if nat is None or self._routers.get(nat.host) is nat:
            return
        self._require_free(nat.host)
        self._routers[nat.host] = nat


def _tell(hooks: Iterable[WireHook], sender: str, receiver: str, data: bytes, segment_bytes: int) -> None:
    view = memoryview(data)
    for start in range(0, len(data), segment_bytes):
        for hook in hooks:
            hook(sender, receiver, view[start : start + segment_bytes])
