"""Calls that wait for their turn, by peer: the peers take turns, so a busy one delays itself more than others. Pure."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, Protocol, TypeVar

from dfs_sdk.ids import NodeId


class Waiting(Protocol):
    """What waits."""

    @property
    def peer(self) -> NodeId:
        """Whose it is."""
        ...

    @property
    def may_start(self) -> bool:
        """Whether its peer has taken enough of what it was answered before."""
        ...


CallT = TypeVar("CallT", bound=Waiting)


class PeerQueues(Generic[CallT]):
    """A queue for each peer; those whose peer does not take its answers are passed over."""

    __slots__ = ("_queues",)

    def __init__(self) -> None:
        self._queues: OrderedDict[NodeId, deque[CallT]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._queues)

    def __contains__(self, peer: NodeId) -> bool:
        return peer in self._queues

    def push(self, call: CallT) -> None:
        """Let a call wait behind those of its peer."""
        self._queues.setdefault(call.peer, deque()).append(call)

    def pop(self) -> CallT | None:
        """Take the next call that may start, of the peer that waited longest for a turn."""
        for peer, queue in self._queues.items():
            if queue[0].may_start:
                call = queue.popleft()
                self._queues.move_to_end(peer)
                if not queue:
                    del self._queues[peer]
                return call
        return None

    def discard(self, call: CallT) -> None:
        """Take a call out of its queue.

        Raises:
            KeyError, ValueError: It is not in it.
        """
        queue = self._queues[call.peer]
        queue.remove(call)
        if not queue:
            del self._queues[call.peer]
