"""Where peers may be reached: a bounded table of what we saw ourselves and what others say.

An address is *confirmed* once a handshake with the node's key succeeded there; everything else is hearsay.
Hearsay never displaces a confirmed address, and a node only known from hearsay never displaces one we have met.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from dfs_sdk.crypto.identity import PublicIdentity
from dfs_sdk.ids import Address, NodeId
from dfs_sdk.rpc.addresses import may_dial
from dfs_sdk.transport.contact import ADDRESSES_MAX, Contact

MET_MAX = 16_384
HEARSAY_MAX = 16_384
CONFIRMED_ADDRESSES_MAX = 4


@dataclass(slots=True)
class _Entry:
    """What is known about one node; both lists newest first."""

    identity: PublicIdentity
    confirmed: list[Address] = field(default_factory=list)
    hearsay: list[Address] = field(default_factory=list)

    def addresses(self) -> tuple[Address, ...]:
        others = (address for address in self.hearsay if address not in self.confirmed)
        return (*self.confirmed, *others)[:ADDRESSES_MAX]


class AddressBook:
    """Contacts by node id.

    Args:
        owner: This node, which is never entered.
        own_addresses: Gives the addresses we ourselves are reached at; no peer can be there.
        own_hosts: Gives the hosts of this machine's interfaces; who is seen there is on this machine.
    """

    def __init__(
        self,
        owner: NodeId,
        *,
        own_addresses: Callable[[], Iterable[Address]] = tuple,
        own_hosts: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._owner = owner
        self._own_addresses = own_addresses
        self._own_hosts = own_hosts
        self._met: OrderedDict[NodeId, _Entry] = OrderedDict()
        self._heard: OrderedDict[NodeId, _Entry] = OrderedDict()
        self._crowd: Mapping[NodeId, Contact] = {}

    def __len__(self) -> int:
        self._settle()
        return len(self._met) + len(self._heard)

    def __contains__(self, node_id: object) -> bool:
        met = node_id in self._met or node_id in self._heard
        return met or (node_id in self._crowd and node_id != self._owner)

    def __iter__(self) -> Iterator[NodeId]:
        """Iterate over the nodes, met ones first, those longest unused first."""
        self._settle()
        return iter((*self._met, *self._heard))

    def learn(self, contact: Contact, source: Address | None, *, first_hand: bool = False) -> bool:
        """Remember what somebody says about a node, as far as it is safe to use.

        Args:
            contact: The node's keys and alleged addresses.
            source: Where the one who says so is reached; None for our own user, configuration or disk.
            first_hand: The node itself says so: what others said before is dropped.

        Returns:
            Whether at least one of the addresses may be used.
        """
        self._recall(contact.node_id)
        return self._enter(contact, source, first_hand=first_hand)

    def acquaint(self, crowd: Mapping[NodeId, Contact]) -> None:
        """Know the contacts of a simulated network, each as if our user had named it when it is first asked for.

        Args:
            crowd: Contacts by id, ours perhaps among them; it may be shared and must not change.
        """
        self._settle()
        self._crowd = crowd

    def confirm(self, identity: PublicIdentity, address: Address) -> None:
        """Remember that a handshake with these keys succeeded at `address`."""
        node_id = identity.node_id
        self._recall(node_id)
        entry = self._heard.pop(node_id, None) or self._met.pop(node_id, None) or _Entry(identity)
        entry.confirmed = [address, *(a for a in entry.confirmed if a != address)][:CONFIRMED_ADDRESSES_MAX]
        self._met[node_id] = entry
        if len(self._met) > MET_MAX:
            self._met.popitem(last=False)

    def contact(self, node_id: NodeId) -> Contact | None:
        """Give the contact of a node, its confirmed addresses first."""
        self._recall(node_id)
        entry = self._met.get(node_id) or self._heard.get(node_id)
        if entry is None:
            return None
        return Contact(ed=entry.identity.ed, x=entry.identity.x, addresses=entry.addresses())

    def has_met(self, node_id: NodeId) -> bool:
        """Whether a handshake with the node ever succeeded."""
        return node_id in self._met

    def forget(self, node_id: NodeId) -> None:
        """Drop all that is known about a node; an unknown one is fine."""
        if node_id in self._crowd:
            self._settle()
        self._met.pop(node_id, None)
        self._heard.pop(node_id, None)

    def _enter(self, contact: Contact, source: Address | None, *, first_hand: bool) -> bool:
        node_id = contact.node_id
        if node_id == self._owner:
            return False
        own = set(self._own_addresses())
        if source is not None and source.host in self._own_hosts():
            source = Address("127.0.0.1", source.port)
        usable = [a for a in contact.addresses if a not in own and may_dial(a, source=source)]
        if not usable:
            return False
        entry = self._entry(node_id, contact.identity)
        kept = [] if first_hand else [address for address in entry.hearsay if address not in usable]
        entry.hearsay = [*dict.fromkeys(usable), *kept][:ADDRESSES_MAX]
        return True

    def _recall(self, node_id: NodeId) -> None:
        """Enter a node of the crowd that is needed for the first time."""
        contact = self._crowd.get(node_id)
        if contact is not None and node_id not in self._met and node_id not in self._heard:
            self._enter(contact, None, first_hand=False)

    def _settle(self) -> None:
        """Enter the whole crowd, and be without one from here on."""
        for node_id in self._crowd:
            self._recall(node_id)
        self._crowd = {}

    def _entry(self, node_id: NodeId, identity: PublicIdentity) -> _Entry:
        table = self._met if node_id in self._met else self._heard
        entry = table.get(node_id)
        if entry is None:
            entry = table[node_id] = _Entry(identity)
            if len(table) > HEARSAY_MAX:
                table.popitem(last=False)
        table.move_to_end(node_id)
        return entry
