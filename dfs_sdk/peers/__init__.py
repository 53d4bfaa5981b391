"""Who belongs to the network and how each member is: signed descriptions, SWIM-style probing and gossip, the view."""

from dfs_sdk.peers.config import PeersConfig
from dfs_sdk.peers.events import PartitionSuspected, PeerEvent, PeerJoined, PeerLeft, PeerStateChanged
from dfs_sdk.peers.liveness import PeerState
from dfs_sdk.peers.messages import NodeDesc, NodeStatus
from dfs_sdk.peers.selfdesc import Profile
from dfs_sdk.peers.service import Peers
from dfs_sdk.peers.view import Member, View

__all__ = [
    "Member",
    "NodeDesc",
    "NodeStatus",
    "PartitionSuspected",
    "PeerEvent",
    "PeerJoined",
    "PeerLeft",
    "PeerState",
    "PeerStateChanged",
    "Peers",
    "PeersConfig",
    "Profile",
    "View",
]
