"""A member list that many simulated nodes share: n nodes that know each other from the start need no n² entries.

What a crowd says is immutable. Each node keeps by itself only what it learned beyond it: `KnownMembers` looks there
first. No node of a real network has a crowd; its list is then an ordinary table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

from dfs_sdk.ids import NodeId
from dfs_sdk.peers.messages import NodeDesc, NodeStatus, SignedDesc
from dfs_sdk.peers.view import Member, list_digest
from dfs_sdk.transport.contact import Contact

Known = tuple[SignedDesc, NodeDesc]
Picture = tuple[Member, float]
"""A member, and when it was drawn, in monotonic seconds."""


class Crowd:
    """Members who know each other without a word between them.

    Args:
        known: Their descriptions, which are believed and not verified: nothing of a peer's may come in here.

    Raises:
        ValueError: One of them is busy or has left.

    Attributes:
        members: Descriptions by id, in the order of ids.
    """

    def __init__(self, known: Iterable[Known] = ()) -> None:
        known = list(known)
        if any(desc.status is not NodeStatus.ALIVE for _, desc in known):
            raise ValueError("a crowd is of members that are up and idle")
        self.members: dict[NodeId, Known] = {
            each[1].node_id: each for each in sorted(known, key=lambda each: each[1].node_id)
        }
        self._pictures: dict[NodeId, Picture] = {}
        self._pictures_of = (0.0, 0.0)

    @cached_property
    def contacts(self) -> dict[NodeId, Contact]:
        """Where they are reached."""
        return {node_id: desc.contact for node_id, (_, desc) in self.members.items()}

    @cached_property
    def digest(self) -> bytes:
        """Digest of the whole list, as `Membership.digest` computes it."""
        return list_digest({node_id: desc.incarnation for node_id, (_, desc) in self.members.items()})

    def pictures(self, since: float, now: float) -> dict[NodeId, Picture]:
        """The pictures of members as all nodes see them that never heard of them; whoever draws one adds it.

        Args:
            since: Monotonic second at which the crowd was adopted.
            now: Monotonic second of the pictures; those of another instant are forgotten.
        """
        if self._pictures_of != (since, now):
            self._pictures, self._pictures_of = {}, (since, now)
        return self._pictures


NOBODY = Crowd()


class KnownMembers:
    """All other members' newest descriptions: a node's own table over a crowd's.

    Args:
        owner: The node whose list it is; never entered.
    """

    __slots__ = ("_crowd", "_more", "_own", "_owner")

    def __init__(self, owner: NodeId) -> None:
        self._owner = owner
        self._crowd = NOBODY
        self._own: dict[NodeId, Known] = {}
        self._more: dict[NodeId, None] = {}  # those that are not in the crowd, in the order of their arrival

    def __contains__(self, node_id: object) -> bool:
        return node_id in self._own or (node_id in self._crowd.members and node_id != self._owner)

    def __len__(self) -> int:
        members = self._crowd.members
        return len(members) - (self._owner in members) + len(self._more)

    def __iter__(self) -> Iterator[NodeId]:
        owner = self._owner
        yield from (node_id for node_id in self._crowd.members if node_id != owner)
        yield from self._more

    def __getitem__(self, node_id: NodeId) -> Known:
        known = self._own.get(node_id)
        return known if known is not None else self._crowd.members[node_id]

    def __setitem__(self, node_id: NodeId, known: Known) -> None:
        self._own[node_id] = known
        if node_id not in self._crowd.members:
            self._more[node_id] = None

    def get(self, node_id: NodeId) -> Known | None:
        """Return a member's description, None for a stranger and for the owner."""
        known = self._own.get(node_id)
        if known is None and node_id != self._owner:
            known = self._crowd.members.get(node_id)
        return known

    def items(self) -> Iterator[tuple[NodeId, Known]]:
        """Iterate over all of them."""
        own = self._own
        for node_id, known in self._crowd.members.items():
            if node_id != self._owner:
                yield node_id, own.get(node_id, known) if own else known
        for node_id in self._more:
            yield node_id, own[node_id]

    def is_shared(self, node_id: NodeId) -> bool:
        """Whether all that is known of a member is what the crowd says."""
        return node_id not in self._own and node_id in self._crowd.members

    @property
    def crowd(self) -> Crowd:
        """What is shared."""
        return self._crowd

    @property
    def is_plain(self) -> bool:
        """Whether it says of others just what the crowd says, and the owner belongs to that."""
        return not self._own and self._owner in self._crowd.members

    def adopt(self, crowd: Crowd) -> None:
        """Rest on a crowd; what is known already stays as it is."""
        self.settle()
        self._crowd = crowd
        self._more = dict.fromkeys(node_id for node_id in self._own if node_id not in crowd.members)

    def settle(self) -> None:
        """Take over all that is shared, and rest on nothing from here on."""
        self._own = dict(self.items())
        self._more = dict.fromkeys(self._own)
        self._crowd = NOBODY

    def drop(self, node_id: NodeId) -> None:
        """Forget a member; who was in the crowd would come back from there, so this node leaves it."""
        if node_id in self._crowd.members:
            self.settle()
        self._own.pop(node_id, None)
        self._more.pop(node_id, None)
