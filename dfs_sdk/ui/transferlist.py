"""The uploads and downloads of a node as a panel lists them, and what can be done with each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from dfs_sdk.errors import ContentNotFoundError
from dfs_sdk.node.snapshot import TransferRow
from dfs_sdk.ui.base import Action
from dfs_sdk.ui.face import NodeFace, TransferFace
from dfs_sdk.ui.message import Message
from dfs_sdk.views import words

TRANSFERS_SHOWN_MAX = 100
TRANSFER_ID_MAX = 2**53
UNDER_WAY: Final = frozenset({"running", "paused"})


class TransferList:
    """Transfers of one panel; one that has ended stays until it is cleared.

    Args:
        node: Whose transfers they are.
    """

    def __init__(self, node: NodeFace) -> None:
        self._node = node
        self._rows: Sequence[TransferRow] = ()
        self._cleared: set[int] = set()
        self._listed: set[int] = set()

    @property
    def lively(self) -> bool:
        """A transfer moves."""
        return any(row.state == "running" for row in self._rows)

    def show(self, rows: Sequence[TransferRow], *, is_held: bool = False) -> list[dict[str, Any]]:
        """Take in the rows of a snapshot and show those not cleared: under way first, then the newest; at most 100.

        Args:
            rows: What the node moves and has moved.
            is_held: An upload of a browser begins. Which transfer of the node it becomes is not known yet, and its page
                must hear that first, or it would show it twice for a moment: no upload is added to the list meanwhile.
        """
        self._rows = rows
        self._cleared &= {row.transfer_id for row in rows}
        left = [row for row in rows if row.transfer_id not in self._cleared]
        if is_held:
            left = [row for row in left if row.transfer_id in self._listed or row.direction != "put"]
        self._listed = {row.transfer_id for row in left}
        left.sort(key=lambda row: (row.state not in UNDER_WAY, -row.transfer_id))
        return [_shown(row) for row in left[:TRANSFERS_SHOWN_MAX]]

    def actions(self) -> dict[str, tuple[str, Action]]:
        """Hold, continue, stop, clear."""
        return {
            "pause": ("pause the transfer", self._pause),
            "resume": ("resume the transfer", self._resume),
            "cancel": ("cancel the transfer", self._cancel),
            "clear": ("clear the transfer", self._clear),
            "clear-all": ("clear the transfers that have ended", self._clear_all),
        }

    async def _pause(self, message: Message) -> None:
        self._running(message).pause()

    async def _resume(self, message: Message) -> None:
        self._running(message).resume()

    async def _cancel(self, message: Message) -> None:
        self._running(message).cancel()

    async def _clear(self, message: Message) -> None:
        number = message.number("transfer", maximum=TRANSFER_ID_MAX)
        self._cleared |= {number} & self._ended()

    async def _clear_all(self, _message: Message) -> None:
        self._cleared |= self._ended()

    def _ended(self) -> set[int]:
        return {row.transfer_id for row in self._rows if row.state not in UNDER_WAY}

    def _running(self, message: Message) -> TransferFace:
        number = message.number("transfer", maximum=TRANSFER_ID_MAX)
        for transfer in self._node.running_transfers():
            if transfer.transfer_id == number:
                return transfer
        raise ContentNotFoundError("that transfer has ended already")


def _shown(row: TransferRow) -> dict[str, Any]:
    running = row.state == "running"
    known = row.bytes_total >= 0
    return {
        "id": row.transfer_id,
        "direction": "Upload" if row.direction == "put" else "Download",
        "file": words.visible(row.file, length_max=200),
        "state": words.visible(row.state),
        "under_way": row.state in UNDER_WAY,
        "part": _part(row),
        "done": f"{words.size(row.bytes_done)} of {words.size(row.bytes_total)}"
        if known
        else words.size(row.bytes_done),
        "rate": f"{words.size(int(row.rate))}/s" if running and math.isfinite(row.rate) else "",
        "eta": f"{words.duration(row.eta)} to go" if running and math.isfinite(row.eta) else "",
        "sources": f"{'to' if row.direction == 'put' else 'from'} {words.count(row.sources, 'peer')}"
        if row.sources
        else "",
        "error": words.masked(row.error, length_max=500),
    }


def _part(row: TransferRow) -> float:
    """How far it is, from 0 to 1; -1 while that is unknown."""
    if row.bytes_total > 0:
        return round(min(1.0, row.bytes_done / row.bytes_total), 3)
    return 1.0 if row.state == "done" or row.bytes_total == 0 else -1.0
