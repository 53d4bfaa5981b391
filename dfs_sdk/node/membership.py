"""Which network a node belongs to, kept across restarts.

A node is never without a network: the first start draws one of its own, and joining another replaces it. The networks
it left are remembered by id, since links of files it stored there still name them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from dfs_sdk.crypto.passphrase import stretch
from dfs_sdk.errors import ProtocolError, StoreError
from dfs_sdk.ids import NetworkId
from dfs_sdk.runtime.ports import Runtime
from dfs_sdk.store.base import DocumentStore
from dfs_sdk.wire import Bytes32, Packed, decode, encode

KIND = "node.network"
KEY = b"current"
FORMER_MAX = 64
OPEN_PSK = bytes(32)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Membership:
    """A network as one of its members knows it.

    Attributes:
        network_id: The network.
        psk: Key that all its handshakes mix in, from the passphrase; zeros for an open network.
        former: Networks this node belonged to before, newest last.
        founded: Whether this node made the network.
    """

    network_id: NetworkId
    psk: Bytes32
    former: Annotated[tuple[NetworkId, ...], Packed(FORMER_MAX)] = ()
    founded: bool = True

    @property
    def private(self) -> bool:
        """Whether members need a passphrase."""
        return self.psk != OPEN_PSK

    def __repr__(self) -> str:
        return f"Membership({self.network_id.short}…, {'private' if self.private else 'open'})"


async def load_membership(store: DocumentStore, *, passphrase: str | None, runtime: Runtime) -> Membership:
    """Read the membership of a store; found a network of its own where there is none.

    Args:
        store: Where it is kept.
        passphrase: Of a network that is founded here; a kept one has its key already.
        runtime: Chance and threads.

    Raises:
        StoreError: The record is damaged.
    """
    saved = await store.get_document(KIND, KEY)
    if saved is None:
        membership = await found(passphrase=passphrase, runtime=runtime)
        await save_membership(store, membership)
        return membership
    try:
        return decode(Membership, saved)
    except ProtocolError as error:
        raise StoreError("the record of this node's network is damaged: give the node a fresh `store`") from error


async def save_membership(store: DocumentStore, membership: Membership) -> None:
    """Keep a membership for the next start."""
    await store.put_document(KIND, KEY, encode(membership))


async def found(*, passphrase: str | None, runtime: Runtime) -> Membership:
    """Make a network: random id, private if there is a passphrase."""
    network_id = NetworkId(runtime.entropy.token(32))
    return Membership(network_id=network_id, psk=await derive_psk(network_id, passphrase, runtime))


async def derive_psk(network_id: NetworkId, passphrase: str | None, runtime: Runtime) -> bytes:
    """Stretch a passphrase into the network's key with Argon2id, off the loop; zeros for none.

    The network's id is the salt, so a table made for one network helps against no other.
    """
    if not passphrase:
        return OPEN_PSK
    return await runtime.offload.run(stretch, passphrase, salt=bytes(network_id))
