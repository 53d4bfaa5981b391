"""A call of each coroutine method of a node in a small network on loopback, made to be cancelled at its awaits."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfs_sdk import Node
from dfs_sdk.files.catalog import File
from dfs_sdk.files.reader import Reader
from dfs_sdk.store.files import TEMPORARY_FOLDER
from tests.fakes.cancelling import UNDISTURBED, Belongings, Strike, points, strike, strike_everywhere
from tests.fakes.members import make

CHUNK_BYTES = 16 * 1024
SIZE = 5 * CHUNK_BYTES + 1
# Far beyond what any join takes: a machine that is busy with other things is no finding.
JOIN_SECONDS = 120.0

Call = Coroutine[Any, Any, Any]


@dataclass(slots=True)
class Subject:
    """The node that is called, and what it has to work with.

    Attributes:
        node: The node, with a store on the disk; in a network with two others.
        other: One of these.
        folder: For files of the user.
        kept: A file that was put before, and its bytes.
        spare: A file that `remove` may take, put anew before each call.
        reader: An open reader of `kept`, opened anew before each call.
        drawn: How many contents were drawn, so that each call has bytes of its own.
    """

    node: Node
    other: Node
    folder: Path
    kept: tuple[File, bytes]
    spare: File
    reader: Reader
    drawn: int = 0

    def content(self) -> bytes:
        self.drawn += 1
        return random.Random(self.drawn).randbytes(SIZE)

    def path(self) -> Path:
        path = self.folder / "source"
        path.write_bytes(self.content())
        return path


CALLS: dict[str, Callable[[Subject], Call]] = {
    "put of bytes": lambda on: on.node.put(on.content(), name="bytes", chunk_size=CHUNK_BYTES),
    "put of a path": lambda on: on.node.put(on.path(), chunk_size=CHUNK_BYTES),
    "get": lambda on: on.node.get(on.kept[0].link),
    "get to a path": lambda on: on.node.get(on.kept[0].link, on.folder / "target", overwrite=True),
    "open": lambda on: on.node.open(on.kept[0].link),
    "ls": lambda on: on.node.ls(),
    "stat": lambda on: on.node.stat(on.kept[0].link),
    "remove": lambda on: on.node.remove(on.spare.link),
    "pin": lambda on: on.node.pin(on.kept[0].link),
    "unpin": lambda on: on.node.unpin(on.kept[0].link),
    "share": lambda on: on.node.share(on.kept[0].link, on.other.node_id),
    "audit": lambda on: on.node.audit(),
    "check": lambda on: on.node.check(read_data=True),
    "busy": lambda on: on.node.busy(5),
    "ready": lambda on: on.node.ready(),
    "rejoined": lambda on: on.node.rejoined(),
    "join": lambda on: on.node.join(str(on.other.address), timeout=JOIN_SECONDS),
    "chat.send": lambda on: on.node.chat.send("hello"),
    "chat.send to one": lambda on: on.node.chat.send("hello", to=on.other.node_id),
    "reader.read": lambda on: on.reader.read(),
    "reader.read_at": lambda on: on.reader.read_at(CHUNK_BYTES - 1, 2),
    "reader.seek": lambda on: on.reader.seek(1),
    "reader.tell": lambda on: on.reader.tell(),
    "reader.close": lambda on: on.reader.close(),
}


@asynccontextmanager
async def subject(folder: Path) -> AsyncIterator[Subject]:
    """Three nodes that have met; the one to call has stored a file."""
    nodes = [make("ada", store=folder / "ada"), make("bob"), make("cyd")]
    (folder / "user").mkdir()
    try:
        for node in nodes:
            await node.start()
        for node in nodes[1:]:
            await node.join(str(nodes[0].address), timeout=JOIN_SECONDS)
        content = random.Random(0).randbytes(SIZE)
        # The others put it, so that this node has to fetch it.
        file = await nodes[1].put(content, chunk_size=CHUNK_BYTES, replicas=2)
        spare = await nodes[0].put(b"spare")
        await nodes[0].pin(file.link)
        yield Subject(
            node=nodes[0],
            other=nodes[1],
            folder=folder / "user",
            kept=(file, content),
            spare=spare,
            reader=await nodes[0].open(file.link),
        )
    finally:
        for node in nodes:
            await node.abort()


async def strike_call(
    name: str, folder: Path, *, points_max: int | None, rng: random.Random, how: Strike = strike
) -> int:
    """Strike one kind of call at its awaits; says how many were struck.

    Raises:
        AssertionError: Something is left behind, or the node does not go on.
    """
    async with subject(folder) as on:
        belongings = Belongings(folder / "ada" / TEMPORARY_FOLDER)

        async def after() -> None:
            await on.reader.close()
            await belongings.assert_none_left()
            assert on.node.running
            assert on.node.running_transfers() == []
            assert not any(row.state in ("running", "waiting") for row in on.node.snapshot().transfers)
            assert await on.node.get(on.kept[0].link) == on.kept[1]
            if name == "get to a path":
                assert await on.node.get(on.kept[0].link, on.folder / "target", overwrite=True)
                assert [path.name for path in on.folder.iterdir()] == ["target"]
            on.spare = await on.node.put(on.content()[:100])
            on.reader = await on.node.open(on.kept[0].link)

        return await strike_everywhere(lambda: CALLS[name](on), after, points_max=points_max, rng=rng, how=how)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Of a node's life.

    Attributes:
        started, met: In what state the node is before the call.
        call: The call, with a node of the network as second argument.
    """

    started: bool
    met: bool
    call: Callable[[Node, Node], Call]


LIFE: dict[str, Stage] = {
    "start": Stage(started=False, met=False, call=lambda node, _hub: node.start()),
    "join": Stage(started=True, met=False, call=lambda node, hub: node.join(str(hub.address), timeout=JOIN_SECONDS)),
    "found": Stage(started=True, met=False, call=lambda node, _hub: node.found()),
    "close": Stage(started=True, met=True, call=lambda node, _hub: node.close()),
    "leave": Stage(started=True, met=True, call=lambda node, _hub: node.leave()),
    "abort": Stage(started=True, met=True, call=lambda node, _hub: node.abort()),
}
ENDS = frozenset(("close", "leave", "abort"))


async def strike_life(
    name: str,
    folder: Path,
    *,
    points_max: int | None,
    rng: random.Random,
    how: Strike = strike,
    memory: bool = False,
) -> int:
    """Strike one stage of a node's life at its awaits, each time with another node; says how many were struck.

    Raises:
        AssertionError: Something of the node is left, or it can neither go on nor end.
    """

    async def one(at: int) -> tuple[bool, int]:
        belongings = Belongings()
        hub, node = make("hub"), make("one", store="memory" if memory else folder / f"one-{at}")
        await hub.start()
        try:
            struck = await _struck(name, node, hub, at, how)
            if name not in ENDS:
                await _goes_on(node, hub)
                await node.close()
        finally:
            await hub.abort()
        assert not node.running
        # Before a second end, which has nothing to do.
        await belongings.assert_none_left()
        await node.close()
        await belongings.assert_none_left()
        return struck

    _, total = await one(UNDISTURBED[how])
    return sum([(await one(at))[0] for at in points(total, points_max, rng)])


async def _struck(name: str, node: Node, hub: Node, at: int, how: Strike) -> tuple[bool, int]:
    stage = LIFE[name]
    if stage.started:
        await node.start()
    if stage.met:
        await node.join(str(hub.address), timeout=JOIN_SECONDS)
        await node.put(b"something", quorum=1)
    struck = await how(lambda: stage.call(node, hub), at)
    return struck.reached, struck.awaits


async def _goes_on(node: Node, hub: Node) -> None:
    """A node whose start, joining or founding was cancelled starts and joins all the same."""
    await node.start()
    assert node.snapshot().state != "closed"
    await node.join(str(hub.address), timeout=JOIN_SECONDS)
    file = await node.put(b"and on", quorum=1)
    assert await hub.get(str(file.link)) == b"and on"
