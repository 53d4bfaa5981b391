"""The moves of one panel: files that go between this panel's browser and the node, and how each ends.

A move that fails says so to the browser, which shows it at the file that failed; only when the browser itself fell
silent the panel reports it. How a move ended is remembered for a browser that asks later: because the message was lost,
or because its page was loaded again meanwhile.
"""

from __future__ import annotations

import asyncio
import traceback
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from dfs_sdk.errors import ConfigError
from dfs_sdk.files.transfers import current_transfer
from dfs_sdk.node.snapshot import FileRow
from dfs_sdk.runtime.ports import Buffer
from dfs_sdk.ui.base import TRACEBACK_LENGTH_MAX, Action, in_words
from dfs_sdk.ui.face import NodeFace
from dfs_sdk.ui.message import Message
from dfs_sdk.ui.transfer import FILE_BYTES_MAX, BrowserSilentError, Download, Progress, Upload
from dfs_sdk.views import words

MOVES_MAX = 8
ENDS_REMEMBERED_MAX = 256
NAME_LENGTH_MAX = 1_024
MOVE_LENGTH_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Move:
    """A file on its way, and the task that moves it."""

    work: Upload | Download
    task: asyncio.Task[Any]


class Moves:
    """Takes and gives the files of one panel.

    Args:
        node: Where uploads go and downloads come from.
        tell: Sends the browser a message.
        give: Sends the browser a piece of a file.
        find: The row of the file that a message names.
    """

    def __init__(
        self,
        node: NodeFace,
        *,
        tell: Callable[[Mapping[str, Any]], None],
        give: Callable[[Mapping[str, Any], Buffer], None],
        find: Callable[[Message], FileRow],
    ) -> None:
        self._node = node
        self._tell = tell
        self._give = give
        self._find = find
        self._moving: dict[str, _Move] = {}
        self._ends: OrderedDict[str, Mapping[str, Any]] = OrderedDict()
        self._beginning: set[str] = set()

    @property
    def is_beginning(self) -> bool:
        """Whether the browser does not know yet which transfer of the node one of its uploads is."""
        return bool(self._beginning)

    def __len__(self) -> int:
        return len(self._moving)

    def actions(self) -> dict[str, tuple[str, Action]]:
        """What the browser may ask of them."""
        return {
            "upload": ("upload the file", self._upload),
            "piece": ("take a piece of the upload", self._piece),
            "where": ("say how far the upload is", self._where),
            "download": ("download the file", self._download),
            "ack": ("go on with the download", self._ack),
            "stop": ("stop the transfer", self._stop),
        }

    async def _upload(self, message: Message) -> None:
        move = _name_of(message)

        def acknowledge(progress: Progress) -> None:
            self._tell({"kind": "upload-next", "move": move, "next": progress.taken, "got": progress.arrived})

        async with self._ending(move):
            size = message.number("size", maximum=FILE_BYTES_MAX)
            upload = Upload(size, acknowledge=acknowledge)
            name = message.text("name", length_max=NAME_LENGTH_MAX)
            with self._registered(move, upload):
                upload.say()
                self._beginning.add(move)
                try:
                    await self._node.put(self._named(move, upload), name=name)
                finally:
                    self._beginning.discard(move)

    async def _named(self, move: str, upload: Upload) -> AsyncIterator[bytes]:
        """The pieces; before them the browser learns which transfer of the node they go by, so that it shows one."""
        transfer = current_transfer()
        if transfer is not None:
            self._tell({"kind": "upload-transfer", "move": move, "transfer": transfer.transfer_id})
        self._beginning.discard(move)
        async for piece in upload.pieces():
            yield piece

    async def _piece(self, message: Message) -> None:
        move = self._moving.get(_name_of(message))
        if move is not None and isinstance(move.work, Upload):  # else it was stopped: late pieces are no news
            move.work.receive(message.number("index", maximum=FILE_BYTES_MAX), message.buffer())

    async def _where(self, message: Message) -> None:
        name = _name_of(message)
        move = self._moving.get(name)
        if move is None:
            self._tell_end(name)
        elif isinstance(move.work, Upload):
            move.work.say()

    async def _download(self, message: Message) -> None:
        move = _name_of(message)

        def send(index: int, piece: bytes) -> None:
            self._give({"kind": "download-piece", "move": move, "index": index}, piece)

        def wait(seconds: float) -> None:
            text = f"no peer has given the next piece for {seconds:.0f} s: those that hold it may be blocked or gone"
            self._tell({"kind": "download-waits", "move": move, "text": text})

        async with self._ending(move):
            row = self._find(message)
            first = message.number("first", maximum=FILE_BYTES_MAX)
            download = Download(row.size, first=first, send=send, wait=wait)
            with self._registered(move, download):
                reader = await self._node.open(row.file_id)
                try:
                    self._tell({"kind": "download-begin", "move": move, "pieces": download.piece_count})
                    await download.run(reader)
                finally:
                    await reader.close()

    async def _ack(self, message: Message) -> None:
        name = _name_of(message)
        move = self._moving.get(name)
        if move is None:
            self._tell_end(name)
        elif isinstance(move.work, Download):
            move.work.acknowledge(message.number("next", maximum=FILE_BYTES_MAX))

    async def _stop(self, message: Message) -> None:
        move = self._moving.get(_name_of(message))
        if move is not None:
            move.task.cancel()

    def _end(self, name: str, kind: str, **more: str) -> None:
        self._ends[name] = {"kind": kind, "move": name, **more}
        if len(self._ends) > ENDS_REMEMBERED_MAX:
            self._ends.popitem(last=False)
        self._tell(self._ends[name])

    def _tell_end(self, name: str) -> None:
        unknown = {"kind": "move-failed", "move": name, "text": "the node knows nothing of it any more", "trace": ""}
        self._tell(self._ends.get(name, unknown))

    def _registered(self, name: str, work: Upload | Download) -> _Registered:
        if name in self._moving or len(self._moving) >= MOVES_MAX:
            raise ConfigError(f"{MOVES_MAX} transfers with the browser at one time are the most: try again later")
        return _Registered(self._moving, name, work)

    @asynccontextmanager
    async def _ending(self, name: str) -> AsyncIterator[None]:
        try:
            yield
        except asyncio.CancelledError:
            self._end(name, "move-stopped")
            raise
        except Exception as error:
            self._end(name, "move-failed", text=in_words(error), trace=_trace(error))
            if isinstance(error, BrowserSilentError):
                raise
        else:
            self._end(name, "move-done")


class _Registered:
    """Keeps a move in the table while its block runs."""

    __slots__ = ("_name", "_table", "_work")

    def __init__(self, table: dict[str, _Move], name: str, work: Upload | Download) -> None:
        self._table, self._name, self._work = table, name, work

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine that runs has a task
        self._table[self._name] = _Move(work=self._work, task=task)

    def __exit__(self, *_exc: object) -> None:
        del self._table[self._name]


def _name_of(message: Message) -> str:
    return message.text("move", length_max=MOVE_LENGTH_MAX)


def _trace(error: BaseException) -> str:
    lines = "".join(traceback.format_exception(error))[-TRACEBACK_LENGTH_MAX:]
    return words.masked(lines, lines=True, length_max=TRACEBACK_LENGTH_MAX)
