"""Join a network, invite others, leave.

What the user types may be secret (an invite of a private network, a passphrase): it comes in a message, is handed to
the node and is kept nowhere. The invite goes to the browser in a message, too, when asked for.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, ClassVar

import traitlets

from dfs_sdk.errors import ConfigError
from dfs_sdk.node.snapshot import NodeSnapshot
from dfs_sdk.ui.assets import script
from dfs_sdk.ui.base import Action, Panel
from dfs_sdk.ui.face import NodeFace
from dfs_sdk.ui.message import Message
from dfs_sdk.ui.pump import Pump
from dfs_sdk.views import words

JOIN_TIMEOUT_MAX = 600
TARGET_LENGTH_MAX = 4_096
PASSPHRASE_LENGTH_MAX = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """A join that is under way; `deadline` on the home loop's clock."""

    target: str
    deadline: float
    task: asyncio.Task[Any]


class JoinPanel(Panel):
    """A form that joins by address or invite, shows the countdown, and hands out an invite."""

    title: ClassVar[str] = "Join"
    _esm = traitlets.Unicode(script("join.js")).tag(sync=True)
    status = traitlets.Dict().tag(sync=True)

    def __init__(self, node: NodeFace, *, pump: Pump | None = None) -> None:
        self._attempt: _Attempt | None = None
        self._outcome = ""
        super().__init__(node, pump=pump)

    @property
    def lively(self) -> bool:
        """A countdown runs."""
        return self._attempt is not None

    def render(self, snapshot: NodeSnapshot) -> dict[str, Any]:
        """Show whether the node is in a network, and how a running attempt goes."""
        attempt = self._attempt
        return {
            "status": {
                "state": words.visible(snapshot.state),
                "members": len(snapshot.peers),
                "address": words.visible(snapshot.address),
                "private": snapshot.private,
                "joining": attempt.target if attempt else "",
                "left": max(0, round(attempt.deadline - asyncio.get_running_loop().time())) if attempt else 0,
                "outcome": self._outcome,
            }
        }

    def actions(self) -> dict[str, tuple[str, Action]]:
        """Join, cancel, invite, leave."""
        return {
            "join": ("join the network", self._join),
            "cancel": ("cancel", self._cancel),
            "invite": ("make an invite", self._invite),
            "leave": ("leave the network", self._leave),
        }

    async def _join(self, message: Message) -> None:
        target = message.text("target", length_max=TARGET_LENGTH_MAX).strip()
        passphrase = message.text("passphrase", length_max=PASSPHRASE_LENGTH_MAX, default="") or None
        timeout = message.number("timeout", maximum=JOIN_TIMEOUT_MAX)
        if not target:
            raise ConfigError("enter the address of a member, such as 192.168.1.20:4444, or an invite")
        if self._attempt is not None:
            raise ConfigError("a join is under way: wait for it or cancel it")
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine that runs has a task
        shown = "your invite" if target.lower().startswith("dfs") else words.masked(target, length_max=60)
        self._attempt = _Attempt(target=shown, deadline=asyncio.get_running_loop().time() + timeout, task=task)
        self._outcome = ""
        self.wake()
        try:
            report = await self._node.join(target, passphrase=passphrase, timeout=float(timeout))
            self._outcome = (
                f"Joined through {words.visible(str(report.through), length_max=60)} in "
                f"{words.duration(report.seconds)}: {words.count(report.peers, 'other member')}."
            )
        except asyncio.CancelledError:
            self._outcome = "Cancelled."
            raise
        finally:
            self._attempt = None

    async def _cancel(self, _message: Message) -> None:
        if self._attempt is not None:
            self._attempt.task.cancel()

    async def _invite(self, message: Message) -> None:
        self.tell({"kind": "invite", "ref": message.reference, "text": self._node.invite()})

    async def _leave(self, _message: Message) -> None:
        await self._node.leave()
        self._outcome = "Left the network; this node is closed."
