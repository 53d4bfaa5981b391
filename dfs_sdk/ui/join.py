"""Create a network or join one, invite others, leave.

What the user types may be secret (an invite of a private network, a passphrase): it comes in a message, is handed to
the node and is kept nowhere. The invite goes to the browser in a message, too, when asked for.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any, ClassVar

import traitlets

from dfs_sdk.errors import ConfigError, DfsError
from dfs_sdk.node.news import JoinStep
from dfs_sdk.node.snapshot import NodeSnapshot
from dfs_sdk.ui.assets import script, style
from dfs_sdk.ui.base import Action, Panel
from dfs_sdk.ui.face import NodeFace
from dfs_sdk.ui.message import Message
from dfs_sdk.ui.pump import Pump
from dfs_sdk.ui.qr import modules
from dfs_sdk.views import words

JOIN_TIMEOUT_MAX = 600
TARGET_LENGTH_MAX = 4_096
PASSPHRASE_LENGTH_MAX = 1_024
STEPS_SHOWN_MAX = 12
STEP_LENGTH_MAX = 200
MEMBERS_SHOWN_MAX = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """A join that is under way; `deadline` on the home loop's clock."""

    target: str
    timeout: int
    deadline: float
    task: asyncio.Task[Any]
    steps: deque[str] = field(default_factory=lambda: deque(maxlen=STEPS_SHOWN_MAX))


class JoinPanel(Panel):
    """Forms that found or join a network, the steps of an attempt, the invite to hand on, and who is there."""

    title: ClassVar[str] = "Join"
    unfold: ClassVar[str] = "members"
    _esm = traitlets.Unicode(script("qr.js", "join.js")).tag(sync=True)
    _css = traitlets.Unicode(style("join.css")).tag(sync=True)
    status = traitlets.Dict().tag(sync=True)
    members: traitlets.List[Any] = traitlets.List().tag(sync=True)

    def __init__(self, node: NodeFace, *, pump: Pump | None = None) -> None:
        self._attempt: _Attempt | None = None
        self._outcome = ""
        super().__init__(node, pump=pump)

    @property
    def lively(self) -> bool:
        """A countdown runs."""
        return self._attempt is not None

    def render(self, snapshot: NodeSnapshot) -> dict[str, Any]:
        """Show whether the node is in a network, who is there, and how a running attempt goes."""
        attempt = self._attempt
        others = sorted((row for row in snapshot.peers if row.state != "self"), key=lambda row: (row.name, row.node_id))
        return {
            "status": {
                "state": words.visible(snapshot.state),
                "members": len(snapshot.peers),
                "address": words.visible(snapshot.address),
                "network": words.visible(snapshot.network[:8]),
                "private": snapshot.private,
                "joining": attempt.target if attempt else "",
                "left": max(0, round(attempt.deadline - asyncio.get_running_loop().time())) if attempt else 0,
                "timeout": attempt.timeout if attempt else 0,
                "steps": list(attempt.steps) if attempt else [],
                "outcome": self._outcome,
            },
            "members": [
                {"id": row.node_id, "name": words.visible(row.name, length_max=40), "state": words.visible(row.state)}
                for row in others[:MEMBERS_SHOWN_MAX]
            ],
        }

    def actions(self) -> dict[str, tuple[str, Action]]:
        """Join, cancel, found, invite, leave."""
        return {
            "join": ("join the network", self._join),
            "cancel": ("cancel", self._cancel),
            "found": ("create the network", self._found),
            "invite": ("make an invite", self._invite),
            "leave": ("leave the network", self._leave),
        }

    async def _join(self, message: Message) -> None:
        target = message.text("target", length_max=TARGET_LENGTH_MAX).strip()
        passphrase = message.text("passphrase", length_max=PASSPHRASE_LENGTH_MAX, default="") or None
        timeout = message.number("timeout", maximum=JOIN_TIMEOUT_MAX)
        if not target:
            raise ConfigError("enter the address of a member, such as 192.168.1.20:4444, or an invite")
        attempt = self._begin(target, timeout)
        news = self._node.subscribe(JoinStep, lambda step: self._note_step(attempt, step.text))
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
            news.cancel()
            self._attempt = None

    def _begin(self, target: str, timeout: int) -> _Attempt:
        if self._attempt is not None:
            raise ConfigError("a join is under way: wait for it or cancel it")
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine that runs has a task
        shown = "by your invite" if target.lower().startswith("dfs") else words.masked(target, length_max=60)
        deadline = asyncio.get_running_loop().time() + timeout
        self._attempt = _Attempt(target=shown, timeout=timeout, deadline=deadline, task=task)
        self._outcome = ""
        return self._attempt

    def _note_step(self, attempt: _Attempt, step: str) -> None:
        attempt.steps.append(words.masked(step, length_max=STEP_LENGTH_MAX))

    async def _cancel(self, _message: Message) -> None:
        if self._attempt is not None:
            self._attempt.task.cancel()

    async def _found(self, message: Message) -> None:
        passphrase = message.text("passphrase", length_max=PASSPHRASE_LENGTH_MAX, default="") or None
        if self._attempt is not None:
            raise ConfigError("a join is under way: wait for it or cancel it")
        await self._node.found(passphrase=passphrase)
        kind = "private: whoever joins needs the passphrase" if passphrase else "open"
        self._outcome = f"Created a network. It is {kind}."
        await self._invite(message)

    async def _invite(self, message: Message) -> None:
        invite = self._node.invite()
        code, remark = [], ""
        try:
            code = modules(invite)
        except DfsError as error:
            remark = str(error)
        self.tell({"kind": "invite", "ref": message.reference, "text": invite, "code": code, "remark": remark})

    async def _leave(self, _message: Message) -> None:
        await self._node.leave()
        self._outcome = "Left the network; this node is closed."
