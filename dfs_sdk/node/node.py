"""`Node`: what a user holds. Constructs the parts, starts and stops them, forwards; no protocol rule lives here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Literal, Self, TypeVar

import platformdirs

from dfs_sdk.errors import ConfigError, ForkedNodeError, NodeClosedError
from dfs_sdk.events import EventBus, EventT, Subscription
from dfs_sdk.files.catalog import File
from dfs_sdk.files.link import Link
from dfs_sdk.files.reader import Reader
from dfs_sdk.files.transfers import Transfer
from dfs_sdk.ids import Address, NetworkId, NodeId
from dfs_sdk.node import faces, naming
from dfs_sdk.node.chatting import NodeChat
from dfs_sdk.node.config import NodeConfig
from dfs_sdk.node.engine import Engine, Plan, last_turn, open_engine
from dfs_sdk.node.invite import Invite
from dfs_sdk.node.joining import JoinReport
from dfs_sdk.node.membership import Membership
from dfs_sdk.node.snapshot import NodeSnapshot
from dfs_sdk.node.stack import Stack
from dfs_sdk.node.tracing import Traced
from dfs_sdk.replication.policy import Policy
from dfs_sdk.runtime.calls import Call
from dfs_sdk.runtime.door import Shown
from dfs_sdk.runtime.facade import Lifetime, hops
from dfs_sdk.runtime.forks import on_fork_in_child
from dfs_sdk.runtime.home import Home
from dfs_sdk.runtime.homes import HomeKind, choose_home
from dfs_sdk.runtime.ports import Runtime
from dfs_sdk.runtime.system import system_runtime
from dfs_sdk.store.base import ScrubReport
from dfs_sdk.wire.text import safe_text

T = TypeVar("T")
Source = str | Path | bytes | BinaryIO | AsyncIterable[bytes]
What = Link | File | str
ProgressHandler = Callable[[Transfer], None]

JOIN_TIMEOUT = 20.0
NAME_LENGTH_MAX = 40
SNAPSHOT_TIMEOUT = 5.0


class Node(Lifetime, faces.Faces, Shown):
    """A member of a decentralized file store.

    `async with Node("ada") as node:` starts it on the running loop of a notebook; `with Node("ada") as node:` in a
    script starts it on a thread of its own. Every coroutine method may be awaited from any loop or thread, and
    `node.sync` offers them all without `await`.

    Args:
        name: What the others see; by default "node" and the first digits of its id.
        store: A folder for keys, chunks and history; "memory" for a node that keeps nothing; None for a folder of that
            name among the user's data.
        home: "loop" lives on the running loop, "thread" on a thread of its own, "auto" picks; or a home that is there.
        listen: Address to bind, `HOST:PORT`; port 0 picks one.
        passphrase: Makes the network private that this node founds.
        identity_passphrase: Seals the file of this node's keys.
        quota: Bytes to offer, as a number or such as "2 GiB".
        config: Settings of all slices.
        runtime: The outside world; the real one by default.
        membership: The network to belong to from the start; by default the one of last time, or a new one.

    Raises:
        ConfigError: An argument is not usable.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        store: str | Path | Literal["memory"] | None = None,
        home: HomeKind | Home = "auto",
        listen: str = "0.0.0.0:0",
        passphrase: str | None = None,
        identity_passphrase: str | None = None,
        quota: int | str | None = None,
        config: NodeConfig | None = None,
        runtime: Runtime | None = None,
        membership: Membership | None = None,
    ) -> None:
        if not isinstance(home, Home) and home not in ("auto", "loop", "thread"):
            raise ConfigError(f"home is {home!r}: give 'auto', 'loop' or 'thread'")
        safe_name = safe_text(name, length_max=NAME_LENGTH_MAX) if name else ""
        self._plan = Plan(
            name=safe_name,
            folder=store_folder(store, safe_name),
            bind=_bind_address(listen),
            passphrase=passphrase,
            identity_passphrase=identity_passphrase,
            config=(config or NodeConfig()).with_quota(quota),
            membership=membership,
        )
        self._home_kind: HomeKind | Home = home
        self._chosen_home: Home | None = None
        self._given_runtime = runtime
        self._events = EventBus()
        self._engine: Engine | None = None
        self._state: Literal["new", "running", "closed"] = "new"
        self._last_snapshot: NodeSnapshot | None = None
        self._changing = asyncio.Lock()
        self._forget: list[Callable[[], None]] = []
        self._forked = False
        self._chat = NodeChat(self)

    # Life

    @hops
    async def start(self) -> Self:
        """Open the store, bind the socket, take part in the network. Starting twice is harmless.

        Raises:
            StoreLockedError: Another kernel or process uses the store.
            StoreError: The store cannot be used.
            IdentityError: The keys cannot be read.
            ConfigError: The address is not ours, or taken.
        """
        async with self._changing:
            if self._state == "closed":
                raise NodeClosedError("this node was closed: make a new Node, the same `store` continues it")
            if self._state == "new":
                self._engine = await self._open()
                self._forget = [self._home.on_exit(self._depart), on_fork_in_child(self._wipe)]
                self._state = "running"
        return self

    @hops
    async def close(self) -> None:
        """Stop: nothing of this node runs afterwards, no task, socket, thread or timer. Twice is harmless.

        A node in memory hands its chunks over first, since they end with it.
        """
        await self._end(Engine.close)

    @hops
    async def abort(self) -> None:
        """Vanish without a goodbye, as if the process were killed: for experiments with loss."""
        await self._end(Engine.abort)

    # Belonging

    @hops
    async def join(self, target: str, *, passphrase: str | None = None, timeout: float = JOIN_TIMEOUT) -> JoinReport:
        """Join a network through any of its members.

        Args:
            target: `HOST:PORT` of a member, or an invite (`dfs-join:…`).
            passphrase: Of a private network.
            timeout: Seconds for everything.

        Raises:
            JoinTimeoutError: Nobody let us in in time; says what was tried and what to check.
            JoinError: It cannot work: unknown host name, missing passphrase.
            NetworkMismatchError: This node has met others in another network.
            LinkError: The invite is damaged.
            ConfigError: The target is neither an invite nor an address.
        """
        async with self._changing:
            return await self._running_engine.join(target, passphrase=passphrase, timeout=timeout)

    @hops
    async def found(self, *, passphrase: str | None = None) -> None:
        """Found a network of one's own, private if there is a passphrase; only a node that is alone can.

        Raises:
            NetworkMismatchError: This node has met others in its network.
        """
        async with self._changing:
            await self._running_engine.found(passphrase)

    @hops
    async def rejoined(self, *, timeout: float = JOIN_TIMEOUT) -> int:
        """Wait until this node has looked for the peers of last time, which it begins to do when it starts.

        Returns:
            How many answered; 0 also after the time-out.
        """
        try:
            async with asyncio.timeout(timeout):
                return await self._running_engine.rejoined()
        except TimeoutError:
            return 0

    @hops
    async def leave(self, *, timeout: float | None = None) -> None:
        """Leave the network for good: hand over what only this node has, tell everybody, then close."""
        _ = self._running_engine
        seconds = self._plan.config.leave_timeout if timeout is None else timeout
        await self._end(lambda engine: engine.leave(seconds))

    def invite(self) -> str:
        """Text that lets others join through this node: hand it on; it holds no secret."""
        stack = self._running
        return str(
            Invite(
                network_id=stack.membership.network_id,
                private=stack.membership.private,
                contact=stack.rpc.local_contact(),
            )
        )

    @hops
    async def busy(self, seconds: float) -> None:
        """Tell the others that this node will not answer for a while, so that nobody misses it."""
        await self._running.peers.busy(seconds)

    @hops
    async def ready(self) -> None:
        """Take `busy` back."""
        await self._running.peers.ready()

    # Files

    @hops
    async def put(
        self,
        source: Source,
        *,
        name: str | None = None,
        replicas: int | None = None,
        quorum: int | None = None,
        chunk_size: int | None = None,
        progress: ProgressHandler | None = None,
    ) -> File:
        """Seal a file into chunks and store copies on peers.

        Returns when at least `quorum` other nodes confirmed every chunk to be on their disk; the remaining copies
        follow in the background.

        Args:
            source: A path, bytes, a binary file object or an async iterable of bytes.
            name: The name to store it under; that of the path by default.
            replicas: Copies of each chunk.
            quorum: Copies to wait for; 0 keeps it here for now and spreads it as peers join.
            chunk_size: Bytes a chunk; chosen by size by default.
            progress: Called on the node's loop as it goes on.

        Raises:
            TooFewReplicasError: Fewer than `quorum` other nodes could be reached.
            FileNotFoundError: The path does not exist.
            StoreError: The local store refuses.
            ConfigError: An argument is out of range.
        """
        files = self._running.files
        policy = _policy(self._plan.config.policy, replicas=replicas, quorum=quorum)
        return await files.put(source, name=name, policy=policy, chunk_bytes=chunk_size, progress=progress)

    @hops
    async def get(
        self,
        what: What,
        destination: str | Path | None = None,
        *,
        overwrite: bool = False,
        progress: ProgressHandler | None = None,
        timeout: float | None = None,
    ) -> bytes | Path:
        """Fetch a file, from several holders at once, every chunk verified.

        Args:
            what: A link, a file, or a name of the catalog.
            destination: A file or folder to write to; without it the bytes are returned.
            overwrite: Replace an existing file.
            progress: Called on the node's loop as it goes on.
            timeout: Give up when nothing arrived for so many seconds; without it the node waits about a minute for
                holders that are silent, since they may only be blocked. `transfer.waiting` says so meanwhile.

        Returns:
            The bytes, or the path that was written.

        Raises:
            ContentNotFoundError: No node knows it.
            DeadlineError: Nothing arrived for `timeout` seconds.
            ContentUnavailableError: Too few holders answer; an interrupted download continues next time.
            CorruptContentError: No intact copy was found.
            FileExistsError: The destination exists.
            LinkError: The link is damaged or of another network.
        """
        link = await self._link(what)
        path = Path(destination) if destination is not None else None
        return await self._running.files.get(link, path, overwrite=overwrite, progress=progress, timeout=timeout)

    @hops
    async def open(self, what: What) -> Reader:
        """Open a file for reading in place: `read`, `seek`; only the chunks that are read are fetched."""
        return await self._running.files.open(await self._link(what))

    @hops
    async def ls(self) -> list[File]:
        """List the files this node stored, fetched or was given."""
        return await self._running.files.ls()

    @hops
    async def stat(self, what: What) -> File:
        """Describe a file; one that is only known by its link is looked up.

        Raises:
            ContentNotFoundError: No node knows it.
        """
        return await self._running.files.stat(await self._link(what))

    @hops
    async def remove(self, what: What) -> None:
        """Remove a file: its holders delete their copies if this node stored it; else only this node forgets it."""
        await self._running.files.remove(await self._link(what))

    @hops
    async def pin(self, what: What) -> None:
        """Keep a whole copy of a file here, whatever happens."""
        await self._running.files.pin(await self._link(what))

    @hops
    async def unpin(self, what: What) -> None:
        """Let go of a pinned copy when the room is needed."""
        await self._running.files.unpin(await self._link(what))

    @hops
    async def share(self, what: What, peer: NodeId | str) -> None:
        """Give a file to one peer: its link is sealed to that peer's key and appears in its list of files."""
        stack = self._running
        await stack.files.share(await self._link(what), naming.find_peer(peer, stack.peers.view))

    @hops
    async def audit(self, what: What | None = None) -> None:
        """Ask the holders of one file, or of all, what they hold just now."""
        await self._running.files.audit(None if what is None else await self._link(what))

    @hops
    async def check(self, *, read_data: bool = False, subset: tuple[int, int] | None = None) -> ScrubReport:
        """Check the local store; damaged chunks are put aside and fetched again from other holders."""
        return await self._running.replication.check(read_data=read_data, subset=subset)

    # Seeing

    @property
    def name(self) -> str:
        """What the others see."""
        return self._plan.name if self._engine is None else self._engine.foundation.name

    @property
    def node_id(self) -> NodeId:
        """The id that this node's keys make."""
        if self._engine is None:
            raise NodeClosedError("this node has no identity before it is started")
        return self._engine.foundation.identity.node_id

    @property
    def network_id(self) -> NetworkId:
        """The network it belongs to."""
        return self._running.membership.network_id

    @property
    def address(self) -> Address:
        """Where its socket is bound."""
        return self._running.address

    @property
    def running(self) -> bool:
        """Whether it takes part."""
        return self._state == "running"

    @property
    def peer_count(self) -> int:
        """How many other members it knows."""
        return len(self._running.peers.view) - 1

    @property
    def chat(self) -> NodeChat:
        """The room of the network and direct conversations."""
        return self._chat

    def snapshot(self) -> NodeSnapshot:
        """What this node looks like at this instant; the last instant of one that is closed. No I/O."""
        if self._state != "running":
            return self._last_snapshot or faces.empty_snapshot(self.name, self._state)
        return self._look(Engine.observe)

    def traced(self, peer: NodeId | str | None = None, transfer: naming.WhichTransfer | None = None) -> Traced:
        """What `trace` shows, as rows. No I/O."""
        return self._look(lambda engine: engine.trace(peer, transfer))

    def subscribe(self, kind: type[EventT], handler: Callable[[EventT], None]) -> Subscription:
        """Call `handler` on the node's loop with every later event of class `kind` or below."""
        return self._events.subscribe(kind, handler)

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Call[T]:
        """Start a coroutine on the node's loop from any thread, without waiting: what widget callbacks use."""
        return self._home.submit(coroutine)

    def running_transfers(self) -> list[Transfer]:
        """The transfers under way: each can be awaited and cancelled."""
        return [transfer for transfer in self._running.files.transfers if transfer.is_running]

    def __repr__(self) -> str:
        return faces.text(self)

    def __reduce__(self) -> str:
        raise TypeError("a node cannot be pickled: two copies of one identity would use one key twice")

    # Inside

    @property
    def _home(self) -> Home:
        if self._chosen_home is None:
            kind = self._home_kind
            self._chosen_home = kind if isinstance(kind, Home) else choose_home(kind)
        return self._chosen_home

    @property
    def _running_engine(self) -> Engine:
        if self._forked:
            raise ForkedNodeError("this node belongs to the parent process: start a new node in the child")
        if self._state != "running" or self._engine is None:
            verb = "was closed" if self._state == "closed" else "is not started"
            raise NodeClosedError(f"this node {verb}: write `async with Node() as node` or `await node.start()`")
        return self._engine

    @property
    def _running(self) -> Stack:
        return self._running_engine.stack

    async def _open(self) -> Engine:
        runtime = self._given_runtime or system_runtime()
        ours = self._given_runtime is None
        return await open_engine(self._plan, runtime=runtime, events=self._events, owns_threads=ours)

    def _look(self, look: Callable[[Engine], T]) -> T:
        """Ask the engine something that takes no time, from any thread."""
        return self._home.look(lambda: look(self._running_engine), SNAPSHOT_TIMEOUT)

    async def _end(self, how: Callable[[Engine], Coroutine[Any, Any, None]]) -> None:
        try:
            await self._stop(how)
        finally:
            if self._state == "closed":
                await self._home.close()

    async def _stop(self, how: Callable[[Engine], Coroutine[Any, Any, None]]) -> None:
        """Stop; who is cancelled meanwhile has stopped it all the same, unless its turn had not yet come."""
        async with last_turn(self._engine, self._changing):
            engine = self._engine if self._state == "running" else None
            self._be_closed()
            if engine is not None:
                await how(engine)

    async def _depart(self) -> None:
        await self._stop(Engine.depart)

    def lose(self) -> None:
        """Be closed because what it ran on is gone, a simulated host that crashed; called on the home's thread."""
        if self._state == "running":
            self._be_closed()

    def _be_closed(self) -> None:
        """Keep what is shown of a closed node, and let go of what would close it at an exit."""
        if self._state == "running" and self._engine is not None:
            self._last_snapshot = faces.closed(self._engine.observe())
        self._state = "closed"
        for forget in self._forget:
            forget()
        self._forget = []

    def _wipe(self) -> None:
        self._state, self._forked = "closed", True
        if self._engine is not None:
            self._engine.wipe()

    async def _link(self, what: What) -> Link:
        return naming.find_link(what, self._running.files.listed())


def _policy(default: Policy, *, replicas: int | None, quorum: int | None) -> Policy:
    changes = {"replicas": replicas, "quorum": quorum}
    return replace(default, **{name: value for name, value in changes.items() if value is not None})


def store_folder(store: str | Path | None, name: str | None) -> Path | None:
    """Say where `Node(name, store=store)` keeps its things; None for a node in memory."""
    if store == "memory":
        return None
    if store is not None:
        return Path(store).expanduser().absolute()
    return platformdirs.user_data_path("dfs-sdk", appauthor=False) / "nodes" / naming.folder_name(name)


def _bind_address(listen: str) -> Address:
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"listen is {listen!r}: write HOST:PORT, such as 0.0.0.0:4000; port 0 picks one")
    return Address(host, int(port))
