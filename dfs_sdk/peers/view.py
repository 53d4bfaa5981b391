"""The view: who belongs to the network and how each member is, at one instant; and the member list's short forms.

A view is immutable. Its `digest` covers what placement depends on, so equal digests mean equal placement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from struct import Struct
from types import MappingProxyType

from dfs_sdk.crypto.hashing import blake3_256
from dfs_sdk.errors import ProtocolError
from dfs_sdk.ids import ID_BYTES, NodeId
from dfs_sdk.peers.liveness import PeerState
from dfs_sdk.peers.messages import NodeDesc
from dfs_sdk.runtime.ports import Buffer
from dfs_sdk.wire.text import safe_text

NAME_LENGTH_MAX = 40
_ENTRY = Struct(f">{ID_BYTES}sQ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member, ourselves included.

    Attributes:
        desc: What it says about itself.
        state: What we think of it.
        why: The reason for the state, in words.
        since: Monotonic second since which it has been in this state.
        p_return: Probability that it is up or comes back; 1 unless it is away or gone.
        availability: Estimated share of time it is up.
    """

    desc: NodeDesc
    state: PeerState
    why: str
    since: float
    p_return: float
    availability: float

    @property
    def node_id(self) -> NodeId:
        """Its id."""
        return self.desc.node_id

    @property
    def name(self) -> str:
        """Its name, made safe to show; its id's first digits when it gave none."""
        return safe_text(self.desc.name, length_max=NAME_LENGTH_MAX) or self.node_id.short


@dataclass(frozen=True, kw_only=True)  # without slots, for the digest that is made when asked for
class View:
    """All members at one instant; those who left for good are not in it, those gone are.

    Attributes:
        me: The node whose view this is.
        members: Members by id, in the order of their ids.
        version: Grows with every change of membership, description or state.
        standing: Grows when a member comes, goes, changes its state or loses its storage, not with other descriptions.
        partitioned: Whether so many fell silent together that we are probably the one cut off.
    """

    me: NodeId
    members: Mapping[NodeId, Member]
    version: int
    standing: int = 0
    partitioned: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", MappingProxyType(dict(sorted(self.members.items()))))

    @cached_property
    def digest(self) -> bytes:
        """16 bytes that are equal on nodes with the same members in the same incarnations, gone or not."""
        return view_digest(self.members.values())

    def __len__(self) -> int:
        return len(self.members)

    def __contains__(self, node_id: object) -> bool:
        return node_id in self.members

    def get(self, node_id: NodeId) -> Member | None:
        """Return a member."""
        return self.members.get(node_id)

    def by_name(self, name: str) -> list[Member]:
        """List the members of that name, or with that beginning of their hexadecimal id (8 digits at least)."""
        named = [member for member in self.members.values() if name in (member.name, member.desc.name)]
        if named or len(name) < 8:
            return named
        return [member for member in self.members.values() if member.node_id.hex().startswith(name.lower())]

    def reachable(self, *, busy_too: bool = False) -> list[NodeId]:
        """List the other members worth a call, in the order of their ids.

        Args:
            busy_too: With those that said to be busy. Who stood still together holds each other for busy, and nobody
                probes the busy: each has to hear it from the other.
        """
        members = ((i, member.state) for i, member in self.members.items() if i != self.me)
        return [i for i, state in members if state.reachable or (busy_too and state is PeerState.BUSY)]

    def is_reachable(self, node_id: NodeId) -> bool:
        """Say whether a member is ourselves or worth a call."""
        member = self.members.get(node_id)
        return member is not None and (node_id == self.me or member.state.reachable)

    def odds(self, node_id: NodeId) -> float:
        """Probability that a node is up or comes back; 0 for one that is no member."""
        member = self.members.get(node_id)
        return 0.0 if member is None else member.p_return

    def name(self, node_id: NodeId) -> str:
        """A member's name, or the first digits of an id that is not in the view."""
        member = self.members.get(node_id)
        return node_id.short if member is None else member.name


def view_digest(members: Iterable[Member]) -> bytes:
    """Digest what placement depends on: ids, incarnations, gone or not."""
    parts = [
        _ENTRY.pack(member.node_id, member.desc.incarnation << 1 | (member.state is PeerState.GONE))
        for member in members
    ]
    return blake3_256(b"dfs/peers/view/1", *parts)[:16]


def list_digest(entries: Mapping[NodeId, int]) -> bytes:
    """Digest a member list: incarnations by id."""
    parts = [_ENTRY.pack(node_id, entries[node_id]) for node_id in sorted(entries)]
    return blake3_256(b"dfs/peers/list/1", *parts)[:16]


def pack_summary(entries: Mapping[NodeId, tuple[int, bool]]) -> bytes:
    """Write a member list as 40-byte entries in order of ids: id, then 2 * incarnation + stale as big-endian u64.

    Args:
        entries: By id: the incarnation, and whether the sender does not pass that member on.
    """
    return b"".join(_ENTRY.pack(node_id, entries[node_id][0] << 1 | entries[node_id][1]) for node_id in sorted(entries))


def read_summary(data: Buffer, *, entries_max: int) -> dict[NodeId, tuple[int, bool]]:
    """Read a member list.

    Raises:
        ProtocolError: Not whole entries, too many, or not in strict order of ids.
    """
    if len(data) % _ENTRY.size or len(data) > entries_max * _ENTRY.size:
        raise ProtocolError(f"a member list of {len(data)} bytes is not one of at most {entries_max} entries")
    entries: dict[NodeId, tuple[int, bool]] = {}
    before = b""
    for node_id, number in _ENTRY.iter_unpack(data):
        if node_id <= before:
            raise ProtocolError("a member list is not in strict order of ids")
        before = node_id
        entries[NodeId(node_id)] = (number >> 1, bool(number & 1))
    return entries
