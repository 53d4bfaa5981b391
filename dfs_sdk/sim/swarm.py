"""A swarm in a cell: real nodes over loopback UDP in one kernel, looked at as one network.

`async with Swarm(8) as swarm:` is all it takes. The nodes keep everything in memory and watch each other closely, so
that a killed one is missed within seconds instead of hours; everything else is what runs in the wild.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from dfs_sdk.dht.config import DhtConfig
from dfs_sdk.errors import ConfigError, DeadlineError
from dfs_sdk.node.config import NodeConfig
from dfs_sdk.node.membership import Membership, found
from dfs_sdk.node.node import Node
from dfs_sdk.node.snapshot import NodeSnapshot
from dfs_sdk.peers.config import PeersConfig
from dfs_sdk.replication.config import ReplicationConfig
from dfs_sdk.runtime.door import face
from dfs_sdk.runtime.facade import Lifetime, hops
from dfs_sdk.runtime.home import Home
from dfs_sdk.runtime.homes import HomeKind, choose_home
from dfs_sdk.runtime.ports import Runtime
from dfs_sdk.runtime.system import system_runtime
from dfs_sdk.runtime.tasks import run_all

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Condition = Callable[[], Awaitable[bool]]

NODES_MAX = 256
LISTEN = "127.0.0.1:0"
SETTLE_TIMEOUT = 60.0
SETTLE_INTERVAL = 0.1
MEET_PARALLEL = 4
MEET_TIMEOUT = 120.0
ROOM_AT_FULL_SPEED = 8


class Swarm(Lifetime):
    """Several nodes in one kernel.

    Args:
        count: How many to start.
        replicas: Copies of each chunk where `put` does not say otherwise.
        config: Settings of every node; by default those of a network in a hurry.
        seed: Makes placement and schedules repeatable, as far as real sockets allow; never the keys.
        home: Where the nodes live, as for `Node`.

    Raises:
        ConfigError: An argument is out of range.
    """

    def __init__(
        self,
        count: int = 8,
        *,
        replicas: int = 3,
        config: NodeConfig | None = None,
        seed: int | None = None,
        home: HomeKind = "auto",
    ) -> None:
        if not 1 <= count <= NODES_MAX:
            raise ConfigError(f"a swarm has 1 to {NODES_MAX} nodes, not {count}")
        base = config or hurried(count)
        self._config = replace(base, policy=replace(base.policy, replicas=replicas))
        self._count = count
        self._home_kind: HomeKind = home
        self._chosen_home: Home | None = None
        self._runtime: Runtime = system_runtime(seed=seed)
        self._membership: Membership | None = None
        self._nodes: list[Node] = []
        self._closed = False

    # Life

    @hops
    async def start(self) -> Self:
        """Start all nodes and wait until everybody knows everybody."""
        if self._nodes:
            return self
        self._membership = await found(passphrase=None, runtime=self._runtime)
        try:
            await self.add()
            await run_all(*(self.add() for _ in range(self._count - 1)), limit=MEET_PARALLEL)
            await self._until(self._all_met, "the nodes did not all meet", timeout=MEET_TIMEOUT)
        except BaseException:
            await self.close()
            raise
        return self

    @hops
    async def close(self) -> None:
        """Stop all nodes; nothing of the swarm runs afterwards."""
        if not self._closed:
            self._closed = True
            # There is nobody to hand chunks over to: all of them end together.
            await run_all(*(node.abort() for node in self._nodes))
            await self._runtime.offload.close()
        await self._home.close()

    # Changing it

    @hops
    async def add(self) -> Node:
        """Start one more node, which joins through the first one that runs."""
        index = len(self._nodes)
        member = next((node for node in self._nodes if node.running), None)
        node = Node(
            f"n{index}",
            store="memory",
            listen=LISTEN,
            home="loop",
            config=self._config,
            runtime=replace(self._runtime, rng=self._runtime.rng.child(f"n{index}")),
            membership=self._membership,
        )
        self._nodes.append(node)
        await node.start()
        if member is not None:
            await node.join(str(member.address), timeout=MEET_TIMEOUT)
        return node

    @hops
    async def kill(self, index: int) -> Node:
        """Let a node vanish without a goodbye, as if its process were killed."""
        node = self._nodes[index]
        await node.abort()
        return node

    @hops
    async def leave(self, index: int) -> Node:
        """Let a node leave in order: it hands over what it holds and says goodbye."""
        node = self._nodes[index]
        await node.leave()
        return node

    @hops
    async def settled(self, *, timeout: float = SETTLE_TIMEOUT) -> float:
        """Wait until every chunk of every running node's catalog has its copies again.

        Returns:
            The seconds it took.

        Raises:
            DeadlineError: Not in time.
        """
        begun = self._runtime.clock.monotonic()
        await self._until(self._whole, "not every chunk has its copies yet", timeout=timeout)
        return self._runtime.clock.monotonic() - begun

    # Seeing

    @property
    def nodes(self) -> list[Node]:
        """All nodes in the order of their start, dead ones included."""
        return list(self._nodes)

    def __getitem__(self, index: int) -> Node:
        return self._nodes[index]

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(tuple(self._nodes))

    def snapshots(self) -> list[NodeSnapshot]:
        """The snapshots of the nodes that run."""
        return [node.snapshot() for node in self._nodes if node.running]

    def chunks(self) -> pd.DataFrame:
        """Where every chunk is, as the nodes know that stored it; with a column `node`."""
        return self._frame("chunks")

    def peers(self) -> pd.DataFrame:
        """What each node thinks of each other."""
        return self._frame("peers")

    def files(self) -> pd.DataFrame:
        """The catalogs of all nodes."""
        return self._frame("files")

    def transfers(self) -> pd.DataFrame:
        """The transfers of all nodes."""
        return self._frame("transfers")

    def events(self) -> pd.DataFrame:
        """The events of all nodes."""
        return self._frame("events")

    def plot_chunks(self, ax: Axes | None = None) -> Axes:
        """Draw which node holds which chunk."""
        axes: Axes = face("views.plots").plot_chunks(self.chunks(), ax)
        return axes

    def plot_load(self, ax: Axes | None = None) -> Axes:
        """Draw how full each node is."""
        peers = self.peers()
        axes: Axes = face("views.plots").plot_load(peers[peers["state"] == "self"], ax)
        return axes

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:  # noqa: ARG002 - IPython's
        shots = self.snapshots()
        return {"text/plain": face("views.text").swarm_text(shots), "text/html": face("views.html").swarm_card(shots)}

    def __repr__(self) -> str:
        running = sum(node.running for node in self._nodes)
        return f"<Swarm of {len(self._nodes)} nodes, {running} running>"

    # Inside

    @property
    def _home(self) -> Home:
        if self._chosen_home is None:
            self._chosen_home = choose_home(self._home_kind)
        return self._chosen_home

    def _frame(self, table: str) -> pd.DataFrame:
        frame: pd.DataFrame = face("views.frames").of_swarm(table, self.snapshots())
        return frame

    async def _all_met(self) -> bool:
        alive = [node for node in self._nodes if node.running]
        return all(node.peer_count >= len(alive) - 1 for node in alive)

    async def _whole(self) -> bool:
        for node in self._nodes:
            if node.running:
                await node.audit()
                if any(file.copies_min < file.copies_wanted for file in node.snapshot().files):
                    return False
        return True

    async def _until(self, condition: Condition, complaint: str, *, timeout: float = SETTLE_TIMEOUT) -> None:
        try:
            async with asyncio.timeout(timeout):
                # Many nodes change on their own, and none of them rings a bell for all: look again and again.
                while not await condition():  # noqa: ASYNC110 - nothing to wait on
                    await asyncio.sleep(SETTLE_INTERVAL)
        except TimeoutError as error:
            if isinstance(error, DeadlineError):
                raise
            raise DeadlineError(f"{complaint} after {timeout:g} s") from None


def hurried(count: int = 8) -> NodeConfig:
    """Settings of nodes that miss a silent peer within seconds instead of hours: for networks inside one kernel.

    Args:
        count: How many nodes share the kernel. They share its one core, too: beyond 8 their rhythms slow down with
            their number, or answers would come later than they are waited for.
    """
    slower = max(1.0, count / ROOM_AT_FULL_SPEED)
    peers, dht, replication = PeersConfig.quick(), DhtConfig.quick(), ReplicationConfig.quick()
    return NodeConfig(
        peers=replace(
            peers,
            probe_interval=peers.probe_interval * slower,
            probe_timeout=peers.probe_timeout * slower,
            suspicion_min=peers.suspicion_min * slower,
            sync_interval=peers.sync_interval * slower,
        ),
        dht=replace(
            dht,
            query_timeout=dht.query_timeout * slower,
            lookup_timeout=dht.lookup_timeout * slower,
            maintain_interval=dht.maintain_interval * slower,
        ),
        replication=replace(
            replication,
            ask_timeout=replication.ask_timeout * slower,
            repair_interval=replication.repair_interval * slower,
            settle_time=replication.settle_time * slower,
        ),
    )
