"""A start in the settled state: nodes that know each other, as after days together, with no word between them.

n nodes that meet exchange some n² descriptions, which is nothing to study in a large network. Here member lists are one
shared `Crowd`, and routing tables get the nearest nodes and a sample of all others, as lookups would have filled them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dfs_sdk.dht.service import Dht
from dfs_sdk.peers.crowd import Crowd
from dfs_sdk.peers.service import Peers
from dfs_sdk.runtime.ports import Clock, Rng
from dfs_sdk.transport.contact import Contact

NEAR_CONTACTS, FAR_CONTACTS = 20, 128
ID_BITS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Newcomer:
    """The slices of one running node that know others.

    Attributes:
        peers: Its member list.
        dht: Its routing table.
        clock: Its clocks.
    """

    peers: Peers
    dht: Dht
    clock: Clock


def acquaint(newcomers: Iterable[Newcomer], *, rng: Rng) -> None:
    """Let running nodes know each other.

    Args:
        newcomers: All nodes of the network, started and idle.
        rng: Draws the far contacts of each.

    Raises:
        ConfigError: They are more than a node may know.
    """
    nodes = list(newcomers)
    crowd = Crowd(node.peers.description for node in nodes)
    ring = Ring(tuple(crowd.contacts.values()))
    for node in nodes:
        node.peers.acquaint(crowd)
        own, now = node.peers.description[1].node_id, node.clock.monotonic()
        for contact in (*ring.near(own, NEAR_CONTACTS), *ring.far(FAR_CONTACTS, rng)):
            if contact.node_id != own:
                node.dht.table.answered(contact, now)


class Ring:
    """Contacts by their places in the id space.

    Args:
        contacts: In the order of their ids.
    """

    def __init__(self, contacts: Sequence[Contact]) -> None:
        self._contacts = contacts
        self._places = [int.from_bytes(contact.node_id, "big") for contact in contacts]

    def near(self, node_id: bytes, count: int) -> list[Contact]:
        """List the `count` contacts nearest to a place by Kademlia's distance, nearest first, its own left out."""
        place = int.from_bytes(node_id, "big")
        low, high = 0, len(self._places)
        # Halve the id space around the place for as long as enough others share it.
        for bit in range(ID_BITS - 1, -1, -1):
            start = place >> bit << bit
            first = bisect_left(self._places, start, low, high)
            last = bisect_left(self._places, start + (1 << bit), low, high)
            if last - first <= count:
                break
            low, high = first, last
        nearest = sorted((self._places[at] ^ place, at) for at in range(low, high))
        return [self._contacts[at] for distance, at in nearest if distance][:count]

    def far(self, count: int, rng: Rng) -> list[Contact]:
        """Draw `count` contacts from everywhere, all of them if there are no more."""
        return rng.sample(self._contacts, min(count, len(self._contacts)))
