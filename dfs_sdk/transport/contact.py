"""A contact: who a peer is and where it may be reached.

The keys name the peer, the addresses are hints: a lying third party can at worst cause a failed handshake.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Annotated

from dfs_sdk.crypto.identity import PublicIdentity
from dfs_sdk.errors import ProtocolError
from dfs_sdk.ids import Address, NodeId
from dfs_sdk.wire.codec import Bytes32, Size

ADDRESSES_MAX = 8


@dataclass(frozen=True, kw_only=True)
class Contact:
    """Public keys and addresses of a node. Without slots, since `identity` is kept in the instance once computed.

    Attributes:
        ed: Ed25519 public key, 32 bytes.
        x: X25519 public key, 32 bytes.
        addresses: Where it may listen, most promising first, at most 8.

    Raises:
        ProtocolError: A key is unusable, or there are too many addresses.
    """

    ed: Bytes32
    x: Bytes32
    addresses: Annotated[tuple[Address, ...], Size(0, ADDRESSES_MAX)] = ()

    def __post_init__(self) -> None:
        if len(self.addresses) > ADDRESSES_MAX:
            raise ProtocolError(f"a contact has at most {ADDRESSES_MAX} addresses, not {len(self.addresses)}")
        _ = self.identity

    @cached_property
    def identity(self) -> PublicIdentity:
        """Both public keys, checked."""
        return _identity(self.ed, self.x)

    @property
    def node_id(self) -> NodeId:
        """The name of the node."""
        return self.identity.node_id


# Lists of contacts repeat the same nodes over and over: checking and hashing their keys once is enough.
@lru_cache(maxsize=16_384)
def _identity(ed: bytes, x: bytes) -> PublicIdentity:
    return PublicIdentity(ed=ed, x=x)
