"""The files of this node: put from the browser or from the kernel's disk, get to either, share, pin, remove.

A link is a secret and is in no trait: it comes in a message when the user pastes it and goes in a message when the
user asks for it.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import traitlets

from dfs_sdk.errors import ConfigError, ContentNotFoundError
from dfs_sdk.ids import NodeId
from dfs_sdk.node.snapshot import FileRow, NodeSnapshot, TransferRow
from dfs_sdk.ui.assets import script
from dfs_sdk.ui.base import Action, Panel
from dfs_sdk.ui.face import NodeFace
from dfs_sdk.ui.message import Message
from dfs_sdk.ui.pump import Pump
from dfs_sdk.ui.transfer import FILE_BYTES_MAX, Download, Upload, download_folder
from dfs_sdk.views import text, words

FILES_SHOWN_MAX = 500
TRANSFERS_SHOWN_MAX = 20
MEMBERS_SHOWN_MAX = 200
BROWSER_TRANSFERS_MAX = 8
NAME_LENGTH_MAX = 1_024
PATH_LENGTH_MAX = 4_096


@dataclass(slots=True, kw_only=True)
class _Running:
    """A transfer between browser and node, and the task that does it."""

    work: Upload | Download
    task: asyncio.Task[Any]


class FilesPanel(Panel):
    """Lists files with their health, and moves them."""

    title: ClassVar[str] = "Files"
    _esm = traitlets.Unicode(script("files.js")).tag(sync=True)
    files: traitlets.List[Any] = traitlets.List().tag(sync=True)
    files_total = traitlets.Int().tag(sync=True)
    transfers: traitlets.List[Any] = traitlets.List().tag(sync=True)
    members: traitlets.List[Any] = traitlets.List().tag(sync=True)
    notice = traitlets.Unicode().tag(sync=True)

    def __init__(self, node: NodeFace, *, pump: Pump | None = None) -> None:
        self._running: dict[str, _Running] = {}
        self._notice = ""
        super().__init__(node, pump=pump)

    @property
    def lively(self) -> bool:
        """A transfer runs."""
        return any(row.state == "running" for row in self._snapshot.transfers)

    def render(self, snapshot: NodeSnapshot) -> dict[str, Any]:
        """Show the files by name, and the transfers, newest first."""
        rows = sorted(snapshot.files, key=lambda row: (row.name.casefold(), row.file_id))
        members = sorted(
            (row for row in snapshot.peers if row.state != "self"), key=lambda row: (row.name, row.node_id)
        )
        return {
            "files": [_file(row) for row in rows[:FILES_SHOWN_MAX]],
            "files_total": len(rows),
            "transfers": [_transfer(row) for row in _newest(snapshot.transfers)],
            "members": [
                {
                    "id": row.node_id,
                    "label": f"{words.visible(row.name, length_max=40)} ({words.short_id(row.node_id)})",
                }
                for row in members[:MEMBERS_SHOWN_MAX]
            ],
            "notice": self._notice,
        }

    def actions(self) -> dict[str, tuple[str, Action]]:
        """Everything that can be done with a file."""
        return {
            "upload": ("upload the file", self._upload),
            "piece": ("take a piece of the upload", self._piece),
            "download": ("download the file", self._download),
            "ack": ("go on with the download", self._ack),
            "stop": ("stop the transfer", self._stop),
            "put-path": ("put the file", self._put_path),
            "get-link": ("get the file", self._get_link),
            "save": ("save the file", self._save),
            "link": ("show the link", self._link),
            "share": ("share the file", self._share),
            "pin": ("pin the file", self._pin),
            "unpin": ("unpin the file", self._unpin),
            "remove": ("remove the file", self._remove),
            "cancel": ("cancel the transfer", self._cancel),
        }

    async def _upload(self, message: Message) -> None:
        size = message.number("size", maximum=FILE_BYTES_MAX)
        name = message.text("name", length_max=NAME_LENGTH_MAX)
        identity = message.text("move", length_max=64)

        def acknowledge(wanted: int) -> None:
            self.tell({"kind": "upload-next", "move": identity, "next": wanted})

        upload = Upload(size, acknowledge=acknowledge)
        with self._transfer(identity, upload):
            acknowledge(0)
            await self._node.put(upload.pieces(), name=name)
        self._say(f"Put {words.visible(name, length_max=100)} into the network.")

    async def _piece(self, message: Message) -> None:
        running = self._running.get(message.text("move", length_max=64))
        if running is not None and isinstance(running.work, Upload):  # else it was stopped: late pieces are no news
            running.work.receive(message.number("index", maximum=FILE_BYTES_MAX), message.buffer())

    async def _download(self, message: Message) -> None:
        row = self._row(message)
        identity = message.text("move", length_max=64)

        def send(index: int, piece: bytes) -> None:
            self.tell({"kind": "download-piece", "move": identity, "index": index}, [piece])

        reader = await self._node.open(row.file_id)
        try:
            download = Download(row.size, send=send)
            with self._transfer(identity, download):
                self.tell(
                    {"kind": "download-begin", "move": identity, "name": row.name, "pieces": download.piece_count}
                )
                await download.run(reader)
        finally:
            await reader.close()

    async def _ack(self, message: Message) -> None:
        running = self._running.get(message.text("move", length_max=64))
        if running is not None and isinstance(running.work, Download):
            running.work.acknowledge(message.number("next", maximum=FILE_BYTES_MAX))

    async def _stop(self, message: Message) -> None:
        running = self._running.get(message.text("move", length_max=64))
        if running is not None:
            running.task.cancel()

    async def _put_path(self, message: Message) -> None:
        path = _path(message.text("path", length_max=PATH_LENGTH_MAX))
        await self._node.put(path)
        self._say(f"Put {words.visible(path.name, length_max=100)} into the network.")

    async def _get_link(self, message: Message) -> None:
        link = message.text("text", length_max=NAME_LENGTH_MAX).strip()
        if not link:
            raise ConfigError("paste the link of a file")
        self._saved(await self._node.get(link, download_folder()))

    async def _save(self, message: Message) -> None:
        self._saved(await self._node.get(self._row(message).file_id, download_folder()))

    async def _link(self, message: Message) -> None:
        row = self._row(message)
        for file in await self._node.ls():
            if str(file.link.manifest_id).startswith(row.file_id):
                self.tell({"kind": "link", "ref": message.reference, "text": str(file.link)})
                return
        raise ContentNotFoundError("the catalog has no link for that file any more")

    async def _share(self, message: Message) -> None:
        row, peer = self._row(message), message.text("peer", length_max=64)
        await self._node.share(row.file_id, NodeId.from_hex(peer))
        self._say(f"Shared {words.visible(row.name, length_max=100)}.")

    async def _pin(self, message: Message) -> None:
        await self._node.pin(self._row(message).file_id)

    async def _unpin(self, message: Message) -> None:
        await self._node.unpin(self._row(message).file_id)

    async def _remove(self, message: Message) -> None:
        row = self._row(message)
        await self._node.remove(row.file_id)
        self._say(f"Removed {words.visible(row.name, length_max=100)}.")

    async def _cancel(self, message: Message) -> None:
        number = message.number("transfer", maximum=2**53)
        for transfer in self._node.running_transfers():
            if transfer.transfer_id == number:
                transfer.cancel()

    def _row(self, message: Message) -> FileRow:
        wanted = message.text("file", length_max=64)
        for row in self._snapshot.files:
            if words.visible(row.file_id) == wanted:
                return row
        raise ContentNotFoundError("that file is no longer in the catalog")

    def _transfer(self, identity: str, work: Upload | Download) -> _Registered:
        if identity in self._running or len(self._running) >= BROWSER_TRANSFERS_MAX:
            raise ConfigError(f"{BROWSER_TRANSFERS_MAX} transfers with the browser at one time are the most")
        return _Registered(self._running, identity, work)

    def _saved(self, path: Path) -> None:
        self._say(f"Saved to {words.visible(str(path))} on the kernel's disk.")

    def _say(self, notice: str) -> None:
        self._notice = notice
        self.wake()


class _Registered:
    """Keeps a transfer in the table while its block runs."""

    __slots__ = ("_identity", "_table", "_work")

    def __init__(self, table: dict[str, _Running], identity: str, work: Upload | Download) -> None:
        self._table, self._identity, self._work = table, identity, work

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine that runs has a task
        self._table[self._identity] = _Running(work=self._work, task=task)

    def __exit__(self, *_exc: object) -> None:
        del self._table[self._identity]


def _path(typed: str) -> Path:
    path = Path(typed.strip()).expanduser()
    if not typed.strip() or not path.is_file():
        raise ConfigError(f"there is no file {words.visible(str(path))} on the kernel's disk")
    return path


def _file(row: FileRow) -> dict[str, Any]:
    return {
        "id": words.visible(row.file_id),
        "name": words.visible(row.name, length_max=200),
        "size": words.size(row.size),
        "bytes": row.size,
        "chunks": row.chunks,
        "copies": text.copies(row),
        "health": words.visible(row.health),
        "pinned": row.pinned,
        "origin": words.visible(row.origin, length_max=80),
    }


def _newest(rows: tuple[TransferRow, ...]) -> list[TransferRow]:
    order = sorted(rows, key=lambda row: (row.state != "running", -row.transfer_id))
    return order[:TRANSFERS_SHOWN_MAX]


def _transfer(row: TransferRow) -> dict[str, Any]:
    running = row.state == "running"
    done = f"{words.size(row.bytes_done)} of {words.size(row.bytes_total)}"
    rate = f"{words.size(int(row.rate))}/s" if running and math.isfinite(row.rate) else ""
    return {
        "id": row.transfer_id,
        "direction": "Upload" if row.direction == "put" else "Download",
        "file": words.visible(row.file, length_max=200),
        "state": words.visible(row.state),
        "part": round(row.bytes_done / row.bytes_total, 3) if row.bytes_total > 0 else float(row.state == "done"),
        "done": done,
        "rate": rate,
        "eta": f"{words.duration(row.eta)} to go" if running and math.isfinite(row.eta) else "",
        "error": words.masked(row.error, length_max=500),
    }
