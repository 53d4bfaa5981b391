"""A user on each host: starts a node, keeps it in the network, works with it, and comes back after every crash."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol

from dfs_sdk.errors import CorruptContentError, DfsError, NodeClosedError
from dfs_sdk.exchange.fetching import NoIntactCopyError
from dfs_sdk.ids import ChunkId
from dfs_sdk.node.config import NodeConfig
from dfs_sdk.node.engine import Engine
from dfs_sdk.node.node import Node
from dfs_sdk.replication.policy import Policy
from dfs_sdk.replication.spreader import Spread
from dfs_sdk.runtime.ports import Rng
from dfs_sdk.sim.fork import Call
from dfs_sdk.sim.host import Host
from dfs_sdk.sim.ledger import Ledger, Owed
from dfs_sdk.sim.liars import Liar
from dfs_sdk.sim.plan import Plan
from dfs_sdk.sim.witness import CANARY
from dfs_sdk.store.base import ChunkStore, NewChunk

PORT = 4001
FOLDER = Path("/home/user/store")
JOIN_SECONDS = 10.0
CALL_SECONDS = 60.0
START_PAUSE = 2.0
STARTS_MAX = 30
CHUNK_BYTES = 64 * 1024
CHECK_RATIO = 0.3


class ReceiptHandler(Protocol):
    """Hears of receipts."""

    def __call__(self, writer: str, chunk_ids: Sequence[ChunkId], *, whole: bool) -> None:
        """Hear that a chunk, or a whole file, of a host has its quorum."""
        ...


class Resident:
    """One host's user.

    Args:
        host: The host.
        plan: The seed's plan.
        config: Settings of every node.
        ledger: Where what is owed is noted.
        rng: What it does when.
        on_receipt: Called the instant a chunk or a whole file is acknowledged.
    """

    def __init__(
        self, host: Host, plan: Plan, config: NodeConfig, ledger: Ledger, rng: Rng, *, on_receipt: ReceiptHandler
    ) -> None:
        self.host = host
        self.node: Node | None = None
        self.working = True
        self._plan = plan
        self._config = config
        self._ledger = ledger
        self._rng = rng
        self._on_receipt = on_receipt
        self._counter = 0
        self._life = 0

    @property
    def name(self) -> str:
        """The host's name."""
        return self.host.name

    @property
    def lies(self) -> bool:
        """Whether its node is a liar."""
        return self.name in self._plan.liars

    def begin(self) -> None:
        """Turn the host on, if it is down, and sit down at it; harmless while somebody sits there."""
        if not self.host.is_up:
            self.host.restart()
        elif self._life == self.host.lives:
            return
        self._life = self.host.lives
        self.node = None
        self.host.start(self._live(), name="resident")

    @property
    def engine(self) -> Engine | None:
        """What its node consists of, while that runs."""
        node = self.node if self.host.is_up else None
        return node._engine if node is not None and node.running else None  # noqa: SLF001 - inspects

    @property
    def store(self) -> ChunkStore | None:
        """What its node stores in, while that runs."""
        engine = self.engine
        return engine.foundation.store if engine is not None else None

    @property
    def is_well(self) -> bool:
        """Whether its node runs and may write to its disk."""
        return self.store is not None and self.store.read_only is None

    def fork(self, seconds: float) -> bool:
        """Fork the process of its node, if one runs, and note what the child did that no forked child may do.

        Args:
            seconds: How long the child lives, virtual.

        Returns:
            Whether there was something to fork.
        """
        node, host = self.node, self.host
        if node is None or not node.running or not host.is_up or host.is_blocked:
            return False
        calls: dict[str, Call] = {"put": lambda: node.put(CANARY), "send": lambda: node.chat.send("from the child")}
        standing = self._ledger.standing()
        if standing:
            calls["get"] = lambda: node.get(standing[-1].link)
        for problem in host.fork(calls, seconds=seconds).problems():
            self._ledger.breach(f"{self.name}: {problem}")
        return True

    # Life

    async def _live(self) -> None:
        node = await self._start()
        if node is None:
            return
        self.node = node
        if self.lies:
            Liar(node, rng=self._rng.child("liar"), entropy=self.host.runtime.entropy)
        await self._enter(node)
        while self.working:
            await asyncio.sleep(self._rng.uniform(0, 2 * self._plan.work_interval))
            if self.working:
                await self._work(node)

    async def _start(self) -> Node | None:
        """Start a node on what the disk has; a disk with errors may need several attempts, a good one must not."""
        for _ in range(STARTS_MAX):
            node = Node(
                self.name, store=FOLDER, home="loop", listen=f"0.0.0.0:{PORT}", config=self._config,
                runtime=self.host.runtime,
            )  # fmt: skip
            was_good = self.host.disk.health.draws_nothing
            try:
                await node.start()
            except DfsError as error:
                # A slow disk tells of an error when it may be mended already.
                if was_good and self.host.disk.health.draws_nothing and self.name not in self._plan.doomed:
                    self._ledger.breach(f"{self.name} does not start on a good disk: {error}")
                    return None
                await asyncio.sleep(START_PAUSE)
            else:
                return node
        return None

    async def _enter(self, node: Node) -> None:
        """Be where the others are. At first all go to the first host, or there would be several networks."""
        first = self._plan.hosts[0]
        if self.host.lives == 1 and self.name == first:
            return
        known = [first] if self.host.lives == 1 else [name for name in self._plan.listed if name != self.name]
        while node.peer_count == 0:
            try:
                if self.host.lives > 1 and await node.rejoined(timeout=JOIN_SECONDS):
                    return
                await node.join(f"{self._rng.choice(known)}:{PORT}", timeout=JOIN_SECONDS)
            except (DfsError, OSError):
                await asyncio.sleep(START_PAUSE)

    # Work

    async def _work(self, node: Node) -> None:
        acts: Sequence[Callable[[Node], Awaitable[None]]] = (
            self._put, self._put, self._put, self._get, self._get, self._say, self._say, self._remove, self._look,
        )  # fmt: skip
        act = self._rng.choice(acts)
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await act(node)
        except NodeClosedError:
            pass
        except (DfsError, TimeoutError, FileNotFoundError):
            self._ledger.refusals += 1
        except Exception as error:  # noqa: BLE001 - whatever else comes out of a node is a finding
            self._ledger.breach(f"{act.__name__} on {self.name} raised {type(error).__name__}: {error}")

    async def _put(self, node: Node) -> None:
        self._counter += 1
        name = f"{self.name}-{self.host.lives}-{self._counter}.bin"
        size = int(self._plan.file_bytes_max * self._rng.random() ** 3)
        head = f"{name}:".encode() + CANARY
        data = (head * (size // len(head) + 1))[: max(size, 1)]
        self._overhear(node)
        file = await node.put(data, name=name, chunk_size=CHUNK_BYTES, quorum=self._plan.quorum)
        chunk_ids = [
            chunk.chunk_id
            for places in node._running.files.places()  # noqa: SLF001 - inspects
            if places.file.link.manifest_id == file.link.manifest_id
            for chunk in places.chunks
        ]
        owed = Owed(name=name, link=str(file.link), data=data, owner=self.name, chunk_ids=tuple(chunk_ids))
        self._ledger.files.append(owed)
        self._on_receipt(self.name, owed.chunk_ids, whole=True)

    def _overhear(self, node: Node) -> None:
        """Hear of each chunk of this node that reaches its quorum; harmless to call again."""
        replication = node._running.replication  # noqa: SLF001 - inspects
        if "spread" in vars(replication):
            return
        spread = replication.spread

        async def heard(chunk: NewChunk, *, policy: Policy) -> Spread:
            done = await spread(chunk, policy=policy)
            self._on_receipt(self.name, (chunk.chunk_id,), whole=False)
            return done

        replication.spread = heard  # type: ignore[method-assign]  # what it reports is heard, too

    async def _get(self, node: Node) -> None:
        standing = self._ledger.standing()
        if standing:
            await self.read(node, self._rng.choice(standing))

    async def read(self, node: Node, file: Owed) -> None:
        """Read one file and note whether the bytes are right."""
        try:
            data = await node.get(file.link)
        except NoIntactCopyError:
            raise
        except CorruptContentError as error:
            # Who sends damaged bytes is passed over: they never get as far as being opened.
            self._ledger.breach(f"{self.name} opened bytes of {file.name} that are not a chunk of it: {error}")
            raise
        if isinstance(data, bytes):
            self._ledger.was_read(file, data, self.name)

    async def _say(self, node: Node) -> None:
        self._counter += 1
        text = f"{self.name}-{self.host.lives}-{self._counter}"
        self._ledger.begun.add((self.name, text))
        sent = await node.chat.send(text)
        self._ledger.said.setdefault(self.name, []).append(sent.text)

    async def _remove(self, node: Node) -> None:
        mine = [file for file in self._ledger.standing() if file.owner == self.name]
        if mine and self._rng.random() < CHECK_RATIO:
            file = self._rng.choice(mine)
            file.removed = True
            await node.remove(file.name)

    async def _look(self, node: Node) -> None:
        if self._rng.random() < CHECK_RATIO:
            await node.check(read_data=True)
        else:
            await node.audit()
            node.snapshot()
