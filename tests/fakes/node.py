"""A node for the faces: the real API, bytes in memory, no network; it runs on the caller's loop or on a thread.

Everything the panels can ask for works truly, with small delays under the test's control: `put` reads its source to
the end, `open` gives back those bytes, `join` waits for `gate`, chat comes back as an echo from a hostile member.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterable, Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from dfs_sdk.chat.news import ChatMessage
from dfs_sdk.errors import ContentNotFoundError, JoinTimeoutError, NodeClosedError
from dfs_sdk.events import Event, EventBus, Subscription
from dfs_sdk.files import transfers
from dfs_sdk.files.sink import DestinationExistsError
from dfs_sdk.ids import ChunkId, NodeId
from dfs_sdk.node.snapshot import MessageRow, NodeSnapshot
from tests.fakes.rows import (
    MIB,
    NOW,
    chunk_row,
    empty_snapshot,
    event_row,
    file_row,
    message_row,
    peer_id,
    peer_row,
    transfer_row,
)

T = TypeVar("T")

SECRET = "CANARYcanaryCANARYcanary0123456789"  # what no trait and no saved notebook may hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed(Event):
    """Something changed."""


@dataclass(frozen=True)
class FakeLink:
    manifest_id: ChunkId

    def __str__(self) -> str:
        return f"dfs:{SECRET}{self.manifest_id.short}"

    def __repr__(self) -> str:
        return f"Link(dfs:…{self.manifest_id.short})"


@dataclass(frozen=True)
class FakeFile:
    name: str
    link: FakeLink
    size: int


@dataclass(frozen=True)
class FakeJoinReport:
    peers: int = 2
    through: str = "node-1"
    network: str = "07"
    seconds: float = 0.4


class FakeReader:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0
        self.closed = False

    async def read(self, size: int = -1, /) -> bytes:
        await asyncio.sleep(0)
        end = len(self._content) if size < 0 else self._at + min(size, 700_000)  # short reads are legal
        part = self._content[self._at : end]
        self._at += len(part)
        return part

    async def seek(self, offset: int, /) -> int:
        self._at = offset
        return offset

    async def close(self) -> None:
        self.closed = True


class FakeTransfer:
    def __init__(self, number: int, task: asyncio.Task[Any] | None, turned: Callable[[], None] = lambda: None) -> None:
        self.transfer_id = number
        self.going = asyncio.Event()
        self.going.set()
        self._task = task
        self._turned = turned

    @property
    def paused(self) -> bool:
        return not self.going.is_set()

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def pause(self) -> None:
        self.going.clear()
        self._turned()

    def resume(self) -> None:
        self.going.set()
        self._turned()


class FakeChat:
    def __init__(self, node: FakeNode) -> None:
        self._node = node
        self.sent: list[tuple[str, NodeId | None]] = []
        self.archive: tuple[MessageRow, ...] = ()  # what is older than the snapshot's messages

    async def send(self, text: str, *, to: NodeId | None = None, link: str | None = None) -> ChatMessage:
        self.sent.append((text, to))
        mine = message_row(text, mine=True, sender=self._node.name, sender_id=str(self._node.node_id), delivered=2)
        room, room_id = "network", ""
        if to is not None:
            room, room_id = next(row.name for row in self._node.rows.peers if row.node_id == str(to)), str(to)
        at = self._node.tick()
        said = replace(mine, room=room, room_id=room_id, sent_at_wall=at, link=link or "", message_id=f"{int(at):064x}")
        self._node.change(messages=(*self._node.rows.messages, said))
        return self._message(said, to)

    def history(
        self, conversation: NodeId | None = None, *, limit: int = 100, before: str | None = None
    ) -> list[ChatMessage]:
        room_id = "" if conversation is None else str(conversation)
        rows = [row for row in (*self.archive, *self._node.rows.messages) if row.room_id == room_id]
        if before is not None:
            rows = rows[: next((place for place, row in enumerate(rows) if row.message_id == before), 0)]
        return [self._message(row, conversation) for row in rows[-limit:]]

    @staticmethod
    def _message(row: MessageRow, conversation: NodeId | None) -> ChatMessage:
        return ChatMessage(
            message_id=row.message_id,
            conversation=conversation,
            sender=NodeId.from_hex(row.sender_id),
            sender_name=row.sender,
            text=row.text,
            link=row.link,
            sent_at_wall=row.sent_at_wall,
            received_at_wall=row.sent_at_wall,
            mine=row.mine,
            delivered=row.delivered,
        )


class FakeNode:
    """Serves `node.Node`'s API to faces.

    Args:
        snapshot: What it looks like at first.
        home: "loop": `start` must be awaited on the loop it shall live on; "thread": it has a loop of its own.
    """

    def __init__(self, snapshot: NodeSnapshot | None = None, *, home: str = "loop") -> None:
        self.rows = snapshot or empty_snapshot(peers=(peer_row(0, state="self"),))
        self.node_id = NodeId.from_hex(peer_id(0))
        self.events = EventBus()
        self.chat = FakeChat(self)
        self.contents: dict[str, bytes] = {}
        self.links: dict[str, FakeLink] = {}
        self.readers: list[FakeReader] = []
        self.calls: list[tuple[str, Any]] = []
        self.gate: asyncio.Event | None = None
        self.snapshots_taken = 0
        self.threads: set[int] = set()
        self._tasks: set[asyncio.Task[Any] | None] = set()
        self._transfers: dict[int, FakeTransfer] = {}
        self._number = 100
        self._home = home
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def name(self) -> str:
        return self.rows.name

    async def start(self) -> FakeNode:
        if self._home == "loop":
            self._loop = asyncio.get_running_loop()
        else:
            ready = threading.Event()
            self._loop = asyncio.new_event_loop()
            self._loop.call_soon(ready.set)
            self._thread = threading.Thread(target=self._loop.run_forever, name="home")
            self._thread.start()
            ready.wait(10)
        return self

    async def close(self) -> None:
        self.rows = replace(self.rows, state="closed")
        loop, self._loop = self._loop, None
        if loop is None:
            return
        if self._thread is None:
            await self._end_tasks()
        else:
            asyncio.run_coroutine_threadsafe(self._end_tasks(), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join(10)
            loop.close()

    async def _end_tasks(self) -> None:
        await asyncio.sleep(0)  # what was submitted last has begun
        tasks = tuple(self._tasks - {asyncio.current_task()})
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _tracked(self, coroutine: Coroutine[Any, Any, T]) -> T:
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            return await coroutine
        finally:
            self._tasks.discard(task)

    async def __aenter__(self) -> FakeNode:
        return await self.start()

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    def snapshot(self) -> NodeSnapshot:
        self.snapshots_taken += 1
        self.threads.add(threading.get_ident())
        return self.rows

    def change(self, **changes: Any) -> None:
        """Change rows and publish it; on the home loop."""
        self.rows = replace(self.rows, **changes)
        self.events.publish(Changed(at_wall=NOW))

    def tick(self) -> float:
        self._number += 1
        return NOW + self._number

    def subscribe(self, kind: type[Event], handler: Callable[[Any], None], /) -> Subscription:
        return self.events.subscribe(kind, handler)

    def submit(self, coroutine: Coroutine[Any, Any, T], /) -> Future[T]:
        if self._loop is None:
            coroutine.close()
            raise NodeClosedError("the node is not running")
        return asyncio.run_coroutine_threadsafe(self._tracked(coroutine), self._loop)

    def invite(self) -> str:
        return f"dfs-join:{SECRET}"

    def running_transfers(self) -> list[FakeTransfer]:
        return list(self._transfers.values())

    async def join(self, target: str, *, passphrase: str | None = None, timeout: float = 20.0) -> FakeJoinReport:
        self.calls.append(("join", (target, passphrase, timeout)))
        if self.gate is not None:
            await self.gate.wait()
        if "nowhere" in target:
            raise JoinTimeoutError(f"nobody answered at {target}: check the address")
        others = tuple(peer_row(number) for number in (1, 2))
        self.change(state="in network", health="2 other members", peers=(peer_row(0, state="self"), *others))
        return FakeJoinReport()

    async def found(self, *, passphrase: str | None = None) -> None:
        self.calls.append(("found", passphrase))
        self.change(private=bool(passphrase), network="abcdef")

    async def leave(self) -> None:
        self.change(state="closed", peers=self.rows.peers[:1])
        await self.close()

    async def put(self, source: str | Path | bytes | AsyncIterable[bytes], *, name: str | None = None) -> FakeFile:
        number = int(self.tick() - NOW)
        label = name or (source.name if isinstance(source, Path) else "data")
        running = transfer_row(transfer_id=number, file=label, bytes_total=-1, bytes_done=0)
        parts: list[bytes] = []
        state = "cancelled"

        def show() -> None:
            turned = "paused" if transfer.paused else "running"
            self._show(replace(running, state=turned, bytes_done=sum(map(len, parts))))

        transfer = self._transfers[number] = FakeTransfer(number, asyncio.current_task(), show)
        token = transfers._current.set(transfer)  # type: ignore[arg-type]
        try:
            async for part in _parts(source):
                parts.append(part)
                show()
                await transfer.going.wait()
            state = "done"
        except Exception:
            state = "failed"
            raise
        finally:
            transfers._current.reset(token)
            del self._transfers[number]
            done = sum(map(len, parts))
            self._show(replace(running, state=state, bytes_done=done, bytes_total=done if state == "done" else -1))
        return self._keep(label, b"".join(parts))

    def _show(self, row: Any) -> None:
        self.change(transfers=(*(each for each in self.rows.transfers if each.transfer_id != row.transfer_id), row))

    def _keep(self, name: str, content: bytes) -> FakeFile:
        manifest = hashlib.sha256(name.encode("utf-8", "replace") + content).hexdigest()
        file_id = manifest[:16]
        self.contents[file_id] = content
        link = self.links[file_id] = FakeLink(ChunkId.from_hex(manifest))
        count = max(1, -(-len(content) // MIB))
        row = file_row(name, file_id=file_id, size=len(content), chunks=count)
        copies = tuple(
            chunk_row(
                index,
                holder,
                file=name,
                chunk_id=f"{manifest[:56]}{index + 1:08x}",
                state=("alive", "alive", "away")[holder],
            )
            for index in range(-1, count)
            for holder in range(3)
        )
        self.change(files=(*self.rows.files, row), chunks=(*self.rows.chunks, *copies),
                    events=(*self.rows.events, event_row(text=f"put {name}")))  # fmt: skip
        return FakeFile(name, link, len(content))

    def _find(self, what: str) -> str:
        for file_id, link in self.links.items():
            if what in (file_id, str(link)):
                return file_id
        raise ContentNotFoundError(f"nobody knows {what}")

    async def get(self, what: str, destination: Path | None = None) -> bytes | Path:
        content = self.contents[self._find(what)]
        self.calls.append(("get", what))
        if destination is None:
            return content
        name = next(row.name for row in self.rows.files if row.file_id == self._find(what))
        return self._saved(content, name, destination)

    @staticmethod
    def _saved(content: bytes, name: str, destination: Path) -> Path:
        named = destination / hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
        path = named if destination.is_dir() else destination
        if path.exists():
            raise DestinationExistsError(path)
        path.write_bytes(content)
        return path

    async def open(self, what: str) -> FakeReader:
        reader = FakeReader(self.contents[self._find(what)])
        self.readers.append(reader)
        return reader

    async def ls(self) -> list[FakeFile]:
        return [FakeFile(row.name, self.links[row.file_id], row.size) for row in self.rows.files]

    async def remove(self, what: str) -> None:
        file_id = self._find(what)
        gone = next(row.name for row in self.rows.files if row.file_id == file_id)
        self.change(
            files=tuple(row for row in self.rows.files if row.file_id != file_id),
            chunks=tuple(row for row in self.rows.chunks if row.file != gone),
        )

    async def pin(self, what: str) -> None:
        self._pinned(what, pinned=True)

    async def unpin(self, what: str) -> None:
        self._pinned(what, pinned=False)

    def _pinned(self, what: str, *, pinned: bool) -> None:
        file_id = self._find(what)
        self.change(
            files=tuple(replace(row, pinned=pinned) if row.file_id == file_id else row for row in self.rows.files)
        )

    async def share(self, what: str, peer: NodeId) -> None:
        self.calls.append(("share", (self._find(what), peer)))


async def _parts(source: str | Path | bytes | AsyncIterable[bytes]) -> Any:
    if isinstance(source, bytes):
        yield source
    elif isinstance(source, str | Path):
        yield Path(source).read_bytes()  # noqa: ASYNC240 - a test's file is small
    else:
        async for part in source:
            yield part
