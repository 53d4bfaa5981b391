"""Descriptions and views made by hand, without a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.ids import NodeId
from dfs_sdk.peers.liveness import PeerState
from dfs_sdk.peers.messages import NodeDesc, NodeStatus
from dfs_sdk.peers.selfdesc import weight_exponent
from dfs_sdk.peers.view import Member, View
from dfs_sdk.transport.contact import Contact
from tests.fakes.runtime import FakeEntropy

GIB = 2**30
_identities: dict[int, Identity] = {}


def identity_of(number: int) -> Identity:
    """The identity of node `number`, the same one each time."""
    if number not in _identities:
        _identities[number] = Identity.generate(FakeEntropy(number))
    return _identities[number]


def desc_of(number: int, *, capacity_bytes: int = GIB, **changes: Any) -> NodeDesc:
    """A description of node `number`."""
    public = identity_of(number).public
    fields: dict[str, Any] = {
        "contact": Contact(ed=public.ed, x=public.x),
        "name": f"n{number}",
        "host": number.to_bytes(16, "big"),
        "site": "",
        "capacity_bytes": capacity_bytes,
        "used_bytes": 0,
        "weight_exponent": weight_exponent(capacity_bytes),
        "incarnation": 1,
        "status": NodeStatus.ALIVE,
        "busy_until_wall": 0.0,
        "up_since_wall": 0.0,
        "storage_uuid": number.to_bytes(16, "little"),
    }
    return NodeDesc(**{**fields, **changes})


def member_of(desc: NodeDesc, *, state: PeerState = PeerState.ALIVE, p_return: float | None = None) -> Member:
    """A member in a state; its odds are 1 unless given, 0 when gone."""
    odds = p_return if p_return is not None else float(state is not PeerState.GONE)
    return Member(desc=desc, state=state, why="", since=0.0, p_return=odds, availability=0.9)


def view_of(
    descs: Sequence[NodeDesc],
    *,
    me: NodeId | None = None,
    states: Mapping[NodeId, PeerState] | None = None,
    odds: Mapping[NodeId, float] | None = None,
    partitioned: bool = False,
) -> View:
    """A view of these nodes; the first one is `me` unless said otherwise."""
    states, odds = states or {}, odds or {}
    members = {
        desc.node_id: member_of(desc, state=states.get(desc.node_id, PeerState.ALIVE), p_return=odds.get(desc.node_id))
        for desc in descs
    }
    return View(me=me or descs[0].node_id, members=members, version=1, partitioned=partitioned)
