"""Saying "busy" while this node's loop stands still, and "ready" when it turns again.

While a synchronous cell holds the loop, the node neither sends nor answers. A thread then says in its stead, aside to
those it is connected with, that it is busy for half a minute, and says so again while that lasts; they pass it on. What
it says is an ordinary description, signed, with an incarnation of its own. Where the process dies, the lease runs out.

What the thread uses was laid out by the loop beforehand and does not change: `rehearse` on the loop, `speak` on the
thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from dfs_sdk.errors import ForkedNodeError, ProtocolError
from dfs_sdk.ids import NodeId
from dfs_sdk.peers.config import PeersConfig
from dfs_sdk.peers.membership import Membership
from dfs_sdk.peers.messages import NodeDesc, NodeStatus, SignedDesc, read_desc
from dfs_sdk.runtime.ports import Clock, Standstills
from dfs_sdk.transport.asides import CONTENT_BYTES_MAX, Whisper
from dfs_sdk.wire.codec import decode, encode

# Those who hear it pass it on.
LISTENERS_MAX = 32


class AsidePort(Protocol):
    """What is needed of the transport: a way past the loop, and an ear for others that take it."""

    on_aside: Callable[[NodeId, bytes], None]

    def whispers(self, count: int) -> tuple[Whisper, ...]:
        """List ways to at most `count` connected peers, usable on a thread; the latest connections first."""
        ...


class Spokesman:
    """Speaks for a node whose loop stands still.

    Args:
        membership: The member list, with our own description.
        asides: The way past the loop.
        clock: The node's clocks; read on the thread, too.
        config: After how long, for how long, how often.
        back: Called on the loop once it turns again after something was said and our description says "ready".
    """

    def __init__(
        self,
        *,
        membership: Membership,
        asides: AsidePort,
        clock: Clock,
        config: PeersConfig,
        back: Callable[[], None],
    ) -> None:
        self._membership = membership
        self._asides = asides
        self._clock = clock
        self._config = config
        self._back = back
        self._loop: asyncio.AbstractEventLoop | None = None
        self._rehearsed: tuple[NodeDesc, tuple[Whisper, ...]] | None = None
        self._said: tuple[SignedDesc, NodeDesc] | None = None

    async def watch(self, standstills: Standstills) -> None:
        """Watch the running loop until this is cancelled."""
        self._loop = asyncio.get_running_loop()
        self.rehearse()
        config = self._config
        end = standstills.watch(self.speak, after=config.standstill_after, every=config.standstill_interval)
        try:
            await asyncio.Event().wait()
        finally:
            end()

    def rehearse(self) -> None:
        """Lay out what the thread would say, and to whom; on the loop, often enough to be true."""
        self._rehearsed = (self._membership.desc, self._asides.whispers(LISTENERS_MAX))

    def speak(self) -> None:
        """Say that this node is busy, on the thread. Who said so already, or goodbye, is not contradicted."""
        if self._rehearsed is None:
            return
        (desc, whispers), wall = self._rehearsed, self._clock.wall()
        has_lease = desc.status is NodeStatus.BUSY and wall < desc.busy_until_wall
        if has_lease or desc.status is NodeStatus.LEFT or not whispers:
            return
        latest = desc if self._said is None else self._said[1]
        signed, said = self._membership.alternative(
            max(desc, latest, key=lambda one: one.incarnation),
            wall,
            status=NodeStatus.BUSY,
            busy_until_wall=wall + self._config.standstill_lease,
        )
        content = encode(signed)
        if len(content) > CONTENT_BYTES_MAX:
            return
        first, self._said = self._said is None, (signed, said)
        if first and self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(self._on_turn)
            except RuntimeError:
                return  # the loop was closed: it will never turn again
        for whisper in whispers:
            try:
                whisper(content)
            except ForkedNodeError:
                return  # the node has just vanished

    def _on_turn(self) -> None:
        said, self._said = self._said, None
        if said is None:
            return
        # What was described since, as a lease that the cell asked for when it was done, stands.
        if self._membership.adopt(*said):
            self._membership.describe(self._clock.wall(), status=NodeStatus.ALIVE, busy_until_wall=0.0)
        self._back()


def read_aside(sender: NodeId, content: bytes) -> SignedDesc:
    """Read what a peer said aside: a description of itself, whose signature is still to be checked.

    Raises:
        ProtocolError: It is something else.
    """
    signed = decode(SignedDesc, content)
    if read_desc(signed).node_id != sender:
        raise ProtocolError("a peer described somebody else aside")
    return signed
