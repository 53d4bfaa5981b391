"""A club of nodes that chat on an in-memory network and virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from dfs_sdk.chat.config import ChatConfig
from dfs_sdk.chat.messages import Post
from dfs_sdk.chat.news import ChatDelivered, ChatMessage, ChatReceived
from dfs_sdk.chat.service import Chat
from dfs_sdk.crypto.identity import Identity
from dfs_sdk.errors import DeadlineError
from dfs_sdk.events import EventBus
from dfs_sdk.ids import NetworkId, NodeId
from dfs_sdk.runtime.system import SeededRng
from dfs_sdk.store.memory import MemoryStore
from tests.fakes.network import FakeNetwork
from tests.fakes.runtime import run_virtual

QUICK = ChatConfig(sync_interval=2.0, gap_timeout=5.0)


class FakeView:
    """Who can be reached, straight from the network."""

    def __init__(self, network: FakeNetwork, me: NodeId) -> None:
        self._network = network
        self._me = me

    def reachable(self) -> list[NodeId]:
        others = sorted(node_id for node_id in self._network.scopes if node_id != self._me)
        return [node_id for node_id in others if not self._network.is_cut(self._me, node_id)]

    def is_reachable(self, node_id: NodeId) -> bool:
        return node_id in self.reachable()


@dataclass
class FakeMembers:
    view: Any


class FaultyRpc:
    """Calls that get lost on the way there, on the way back, or arrive twice."""

    def __init__(self, rpc: Any, rng: SeededRng, loss: float, twice: float) -> None:
        self._rpc = rpc
        self._rng = rng
        self._loss = loss
        self._twice = twice

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rpc, name)

    async def call(self, peer: NodeId, request: Any, **options: Any) -> Any:
        await asyncio.sleep(self._rng.uniform(0, 0.2))
        if self._rng.random() < self._loss:
            raise DeadlineError("lost on the way there")
        answer = await self._rpc.call(peer, request, **options)
        if self._rng.random() < self._twice:
            answer = await self._rpc.call(peer, request, **options)
        if self._rng.random() < self._loss:
            raise DeadlineError("lost on the way back")
        return answer


@dataclass
class Talker:
    """One node with a chat."""

    rpc: Any
    chat: Chat
    store: MemoryStore
    heard: list[ChatMessage] = field(default_factory=list)
    delivered: list[ChatMessage] = field(default_factory=list)

    @property
    def node_id(self) -> NodeId:
        return self.rpc.node_id

    def texts(self, conversation: NodeId | None = None) -> list[str]:
        return [message.text for message in self.chat.history(conversation, limit=10_000)]


class Club:
    """Nodes that chat over one in-memory network on virtual time."""

    def __init__(self, clock: Any, *, seed: int = 1, loss: float = 0.0, twice: float = 0.0) -> None:
        self.network = FakeNetwork(seed=seed, latency=0.005, clock=clock)
        self._rng = SeededRng(seed)
        self._loss = loss
        self._twice = twice
        self.talkers: list[Talker] = []

    async def add(
        self, name: str = "", *, like: Talker | None = None, config: ChatConfig = QUICK, network: bytes | None = None
    ) -> Talker:
        """Add a node; `like` starts a former one again over its own store, as after a crash."""
        if like is not None:
            await self.network.scopes[like.node_id].close()
        rpc: Any = self.network.rpc(like.rpc.identity if like else None)
        runtime = self.network.runtimes[rpc.node_id]
        store = like.store if like else MemoryStore(runtime)
        await store.open()
        events = EventBus()
        if self._loss or self._twice:
            rpc = FaultyRpc(rpc, self._rng.child(rpc.node_id.short), self._loss, self._twice)
        chat = Chat(
            rpc=rpc,
            peers=FakeMembers(FakeView(self.network, rpc.node_id)),
            store=store,
            events=events,
            scope=self.network.scopes[rpc.node_id],
            runtime=runtime,
            network_id=NetworkId(network) if network else self.network.network_id,
            name=name or f"node {len(self.talkers)}",
            config=config,
        )
        talker = Talker(rpc, chat, store)
        events.subscribe(ChatReceived, lambda event: talker.heard.append(event.message))
        events.subscribe(ChatDelivered, lambda event: talker.delivered.append(event.message))
        self.talkers = [*(each for each in self.talkers if each.node_id != rpc.node_id), talker]
        self.network.introduce(*(each.rpc for each in self.talkers))
        await chat.start()
        return talker


def evening(test: Callable[[Club], Awaitable[None]], **faults: Any) -> Club:
    """Run a test on virtual time; no task may have failed unless the test empties `errors`."""
    clubs = []

    async def main(clock: Any) -> None:
        club = Club(clock, **faults)
        clubs.append(club)
        async with club.network:
            await test(club)
        assert club.network.errors == []

    run_virtual(main)
    return clubs[0]


def post_of(identity: Identity, network: NetworkId, sequence: int = 1, text: str = "hello", **fields: Any) -> Post:
    post = Post(
        ed=identity.public.ed,
        x=identity.public.x,
        sender_name="stranger",
        recipient=None,
        stream=1,
        sequence=sequence,
        stamp=1,
        sent_at_wall=1.7e9,
        text=text,
    )
    return replace(post, **fields).signed(identity, network)
