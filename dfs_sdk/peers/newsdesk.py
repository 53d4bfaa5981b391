"""What becomes of news: into the membership, the address book, the event bus; and whom to probe because of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from dfs_sdk.errors import ProtocolError
from dfs_sdk.events import EventBus
from dfs_sdk.ids import NodeId
from dfs_sdk.peers.config import PeersConfig
from dfs_sdk.peers.events import PartitionSuspected, PeerJoined, PeerLeft, PeerStateChanged
from dfs_sdk.peers.liveness import Change, PeerState
from dfs_sdk.peers.membership import Membership
from dfs_sdk.peers.messages import NodeStatus, Rumour, SignedDesc
from dfs_sdk.rpc.base import RpcService
from dfs_sdk.runtime.ports import Clock

logger = logging.getLogger(__name__)


class NewsDesk:
    """Takes in what peers say and what probes showed.

    Args:
        rpc: Knows where a peer is; its address book learns contacts.
        membership: The member list.
        events: Where news goes.
        clock: The node's clocks.
        config: For the words of events.
        probe: Begins to probe a member that was accused, and says whether it could.
        banish: Ends the connection to a peer that made something up.
        changed: Called after each change that a view may show.
    """

    def __init__(
        self,
        *,
        rpc: RpcService,
        membership: Membership,
        events: EventBus,
        clock: Clock,
        config: PeersConfig,
        probe: Callable[[NodeId], bool],
        banish: Callable[[NodeId], None],
        changed: Callable[[], None],
    ) -> None:
        self._rpc = rpc
        self._membership = membership
        self._events = events
        self._clock = clock
        self._config = config
        self._probe = probe
        self._banish = banish
        self._changed = changed

    def take(self, sender: NodeId, descs: Iterable[SignedDesc], rumours: Iterable[Rumour]) -> int:
        """Take in the news of one message.

        Returns:
            How many of its descriptions were news.
        """
        count = 0
        try:
            for signed in descs:
                count += self.learn(signed, sender)
        except ProtocolError as error:
            # An honest node verifies before it passes on: this one made it up.
            logger.warning("%s gave a description that does not hold: %s", sender.short, error)
            self._banish(sender)
            return count
        now, wall = self._clock.monotonic(), self._clock.wall()
        for rumour in rumours:
            if self._membership.hear(rumour, sender, now, wall) and self._probe(rumour.node_id):
                self._membership.liveness.looked_into(rumour.node_id, now)
        self._changed()
        return count

    def learn(self, signed: SignedDesc, sender: NodeId) -> bool:
        """Take in one description.

        Returns:
            Whether it was news.

        Raises:
            ProtocolError: It is malformed or forged.
        """
        now, wall = self._clock.monotonic(), self._clock.wall()
        taken = self._membership.take(signed, now, wall, sender=sender)
        if taken is None:
            return False
        desc, before = taken
        self._rpc.book.learn(desc.contact, self._rpc.address(sender), first_hand=desc.node_id == sender)
        member = self._membership.member(desc.node_id, now)
        is_new = before is None or before.status is NodeStatus.LEFT
        if member is not None and is_new and desc.status is not NodeStatus.LEFT:
            self._events.publish(PeerJoined(at_wall=wall, node_id=desc.node_id, name=member.name))
        self.note_word(desc.node_id)
        return True

    def heard(self, node_id: NodeId) -> None:
        """Note a word from a peer itself."""
        self._membership.heard(node_id, self._clock.monotonic())
        self.note_word(node_id)

    def note_word(self, node_id: NodeId) -> None:
        """Review at once when a member that did not look alive may have come back."""
        track = self._membership.liveness.get(node_id)
        if track is not None and (track.state is not PeerState.ALIVE or track.status is not NodeStatus.ALIVE):
            self.review()

    def review(self) -> None:
        """Bring all states up to date and publish what changed."""
        changes, silent = self._membership.review(self._clock.monotonic(), self._clock.wall())
        for change in changes:
            self._publish(change)
        if silent:
            self._events.publish(
                PartitionSuspected(
                    at_wall=self._clock.wall(),
                    silent=silent,
                    members=len(self._membership),
                    freeze_seconds=self._config.partition_freeze,
                )
            )
        self._changed()

    def _publish(self, change: Change) -> None:
        wall, node_id = self._clock.wall(), change.node_id
        member = self._membership.member(node_id, self._clock.monotonic())
        if member is None:
            return
        if member.desc.status is NodeStatus.LEFT:
            self._events.publish(PeerLeft(at_wall=wall, node_id=node_id, name=member.name))
            return
        self._events.publish(
            PeerStateChanged(
                at_wall=wall,
                node_id=node_id,
                name=member.name,
                before=change.before,
                after=change.after,
                why=change.why,
            )
        )
