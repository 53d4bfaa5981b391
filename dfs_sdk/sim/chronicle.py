"""What happened in a swarm: news of all nodes, strikes, and now and then how everything stands. Bounded; memory only.

It sees more than any node: it looks into all stores, so a copy counts when it is there and not when somebody says so.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from dfs_sdk.events import Event
from dfs_sdk.files.news import FileRemoved, FileStored
from dfs_sdk.ids import ChunkId
from dfs_sdk.node.node import Node
from dfs_sdk.node.snapshot import EventRow
from dfs_sdk.sim.ground import Ground
from dfs_sdk.sim.news import Struck
from dfs_sdk.sim.scenario import Strike

EVENTS_MAX = 200_000
STANDINGS_MAX = 100_000
FILES_MAX = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a swarm stands at one instant.

    Attributes:
        at_wall: When, in seconds since the epoch.
        seconds: Seconds since the swarm began.
        nodes: Hosts there are.
        up: Nodes that run, asleep or not.
        answering: Nodes that run on a host that is awake and not blocked.
        files: Files that were acknowledged and not removed.
        readable: Those of which every chunk has a copy at a node that answers.
        chunks: Their chunks, manifests included.
        copies_min: Copies of the scarcest chunk at nodes that answer.
        copies_mean: Copies of a chunk at nodes that answer, on average.
        copies_kept: Copies of a chunk at all nodes that run, asleep or not, on average.
        delivered: Datagrams that have arrived so far.
        lost: Datagrams that have not.
        bytes_delivered: Bytes that have arrived so far.
        repairs: Repairs that have been finished so far.
        events: News that have been told so far.
    """

    at_wall: float
    seconds: float
    nodes: int
    up: int
    answering: int
    files: int
    readable: int
    chunks: int
    copies_min: int
    copies_mean: float
    copies_kept: float
    delivered: int
    lost: int
    bytes_delivered: int
    repairs: int
    events: int


@dataclass(slots=True)
class _Owed:
    name: str
    owner: Node
    chunk_ids: tuple[ChunkId, ...] = ()


class Chronicle:
    """Listens to nodes and looks at them.

    Args:
        ground: Where they stand.

    Attributes:
        counts: How many events there were, by kind.
        strikes: How many hosts were struck, by what.
    """

    def __init__(self, ground: Ground) -> None:
        self.counts: Counter[str] = Counter()
        self.strikes: Counter[str] = Counter()
        self._ground = ground
        self._begun = ground.clock.monotonic()
        self._events: deque[tuple[str, Event]] = deque(maxlen=EVENTS_MAX)
        self._standings: deque[Standing] = deque(maxlen=STANDINGS_MAX)
        self._owed: dict[ChunkId, _Owed] = {}

    @property
    def standings(self) -> tuple[Standing, ...]:
        """How everything stood, oldest first; on any thread."""
        return tuple(self._standings)

    def follow(self, node: Node) -> None:
        """Hear all news of a node."""

        def hear(event: Event) -> None:
            self._events.append((node.name, event))
            self.counts[type(event).__name__] += 1
            if isinstance(event, FileStored) and len(self._owed) < FILES_MAX:
                known = _chunk_ids(node, event.manifest_id)
                self._owed[event.manifest_id] = _Owed(name=event.name, owner=node, chunk_ids=known)
            elif isinstance(event, FileRemoved):
                owed = self._owed.get(event.manifest_id)
                if owed is not None and owed.owner.name == node.name:
                    del self._owed[event.manifest_id]

        node.subscribe(Event, hear)

    def struck(self, strike: Strike) -> None:
        """Note that something was done to hosts, or, where it names none, to all at once."""
        event = Struck(at_wall=self._ground.clock.wall(), strike=strike)
        self.strikes[strike.kind.value] += len(strike.hosts)
        for name in strike.hosts or ("",):
            self._events.append((name, event))

    def rows(self) -> list[tuple[str, EventRow]]:
        """The remembered news with the names of those who told them, oldest first; on any thread."""
        return [
            (name, EventRow(at_wall=event.at_wall, topic=event.topic, kind=_kind(event), text=event.text))
            for name, event in tuple(self._events)
        ]

    def look(self, nodes: Sequence[Node]) -> Standing:
        """See how everything stands, and remember it."""
        running = [node for node in nodes if node.running]
        answering = [node for node in running if self._ground.answers(node.name)]
        wanted = self._wanted()
        reached, kept = Counter[ChunkId](), Counter[ChunkId]()
        awake = {node.name for node in answering}
        for node in running:
            for chunk_id in wanted & _held(node):
                kept[chunk_id] += 1
                if node.name in awake:
                    reached[chunk_id] += 1
        traffic = self._ground.traffic()
        standing = Standing(
            at_wall=self._ground.clock.wall(),
            seconds=self._ground.clock.monotonic() - self._begun,
            nodes=len(nodes),
            up=len(running),
            answering=len(answering),
            files=len(self._owed),
            readable=sum(_all_in(owed.chunk_ids, reached) for owed in self._owed.values()),
            chunks=len(wanted),
            copies_min=min((reached[each] for each in wanted), default=0),
            copies_mean=reached.total() / len(wanted) if wanted else 0.0,
            copies_kept=kept.total() / len(wanted) if wanted else 0.0,
            delivered=traffic.delivered,
            lost=traffic.lost,
            bytes_delivered=traffic.bytes_delivered,
            repairs=self.counts["RepairFinished"],
            events=self.counts.total(),
        )
        self._standings.append(standing)
        return standing

    def _wanted(self) -> set[ChunkId]:
        """All chunks of all files; those that were not known when a file was stored are asked for again."""
        for manifest_id, owed in self._owed.items():
            if not owed.chunk_ids and owed.owner.running:
                owed.chunk_ids = _chunk_ids(owed.owner, manifest_id)
        return {chunk_id for owed in self._owed.values() for chunk_id in owed.chunk_ids}


def _chunk_ids(node: Node, manifest_id: ChunkId) -> tuple[ChunkId, ...]:
    for places in node._running.files.places():  # noqa: SLF001 - looks into nodes as no node can
        if places.file.link.manifest_id == manifest_id:
            return tuple(chunk.chunk_id for chunk in places.chunks)
    return ()


def _all_in(chunk_ids: tuple[ChunkId, ...], copies: Counter[ChunkId]) -> bool:
    return bool(chunk_ids) and all(copies[chunk_id] for chunk_id in chunk_ids)


def _held(node: Node) -> set[ChunkId]:
    store = node._running_engine.foundation.store  # noqa: SLF001 - as above
    return {info.chunk_id for info in store.chunks()}


def _kind(event: Event) -> str:
    return event.strike.kind.value if isinstance(event, Struck) else type(event).__name__
