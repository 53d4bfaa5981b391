"""The member list with all that rests on it: descriptions, liveness, rumours, ourselves. No I/O; time is given.

Rules: a description counts only if its owner signed it and its incarnation is higher than the one we know; our own
description answers every accusation and every older self of ours with a higher incarnation; a farewell stays in the
list for a while, so that no old description brings the member back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.errors import ConfigError
from dfs_sdk.ids import NodeId
from dfs_sdk.peers.config import PeersConfig
from dfs_sdk.peers.crowd import Crowd, KnownMembers, Picture
from dfs_sdk.peers.gossip import Gossip
from dfs_sdk.peers.liveness import Change, Liveness, PeerState, Track
from dfs_sdk.peers.messages import (
    INCARNATION_MAX,
    NodeDesc,
    NodeStatus,
    Rumour,
    SignedDesc,
    read_desc,
    sign_desc,
    verify_desc,
)
from dfs_sdk.peers.view import Member, View, list_digest
from dfs_sdk.rpc.allowance import Allowances

# Estimates in a view may be this old; what happens to a member is in it at once.
PICTURE_AGE_MAX = 60.0
# Descriptions taken of one member: so many at once, and one in each probe interval. Each is drawn and passed on by
# everybody; what is left out comes by the next comparison of lists.
DESCS_BURST = 32


class Membership:
    """All members known to this node, itself included."""

    def __init__(self, *, identity: Identity, desc: NodeDesc, config: PeersConfig, now: float) -> None:
        self._identity = identity
        self._config = config
        self._desc = desc
        self._signed = sign_desc(desc, identity)
        self._since = now
        self._known = KnownMembers(identity.node_id)
        self._descs: Gossip[SignedDesc] = Gossip(scale=config.gossip_scale)
        self._rumours: Gossip[Rumour] = Gossip(scale=config.gossip_scale)
        self._allowances = Allowances(rate=1 / config.probe_interval, burst=DESCS_BURST, peers_max=config.members_max)
        self._refuted_at = -config.probe_interval
        self._digest: bytes | None = None
        self._version = 1
        self._standing = 1
        # Members as the latest view shows them, and when each was drawn: a change of one costs nothing for the others.
        self._pictures: dict[NodeId, Picture] = {}
        self.liveness = Liveness(config, identity.node_id)

    # Ourselves

    @property
    def me(self) -> NodeId:
        """This node."""
        return self._identity.node_id

    @property
    def desc(self) -> NodeDesc:
        """Our description."""
        return self._desc

    @property
    def signed(self) -> SignedDesc:
        """Our description as others may see it."""
        return self._signed

    def describe(self, wall: float, **changes: Any) -> None:
        """Change our description: sign it with a higher incarnation and begin to pass it on."""
        self._put(*self.alternative(self._desc, wall, **changes))

    def alternative(self, desc: NodeDesc, wall: float, **changes: Any) -> tuple[SignedDesc, NodeDesc]:
        """Sign what would follow a description of ours; changes nothing here, and any thread may ask."""
        incarnation = min(INCARNATION_MAX, max(desc.incarnation + 1, int(wall * 1000)))
        following = dataclasses.replace(desc, **changes, incarnation=incarnation)
        return sign_desc(following, self._identity), following

    def adopt(self, signed: SignedDesc, desc: NodeDesc) -> bool:
        """Take over what was said in our name meanwhile; false where we have said something later ourselves."""
        if desc.incarnation < self._desc.incarnation or self._desc.status is NodeStatus.LEFT:
            return False
        self._put(signed, desc)
        return True

    # Others

    def __contains__(self, node_id: object) -> bool:
        return node_id in self._known

    def __len__(self) -> int:
        return len(self._known) + 1

    def __iter__(self) -> Iterator[NodeDesc]:
        return iter([desc for _, (_, desc) in self._known.items()])

    def get(self, node_id: NodeId) -> NodeDesc | None:
        """Return another member's newest description."""
        known = self._known.get(node_id)
        return known[1] if known else None

    def ids(self) -> list[NodeId]:
        """List the other members in the order of their arrival."""
        return list(self._known)

    def reachable(self) -> list[NodeId]:
        """List the other members worth a call, without making a view: in the order of their arrival."""
        doubtful = self.liveness.doubtful()
        idle = {t.node_id for t in doubtful if not t.state.reachable or t.status is NodeStatus.LEFT}
        return [node_id for node_id in self._known if node_id not in idle] if idle else list(self._known)

    def signed_desc(self, node_id: NodeId) -> SignedDesc | None:
        """Return another member's newest description as it was signed."""
        known = self._known.get(node_id)
        return known[0] if known else None

    def take(
        self, signed: SignedDesc, now: float, wall: float, *, sender: NodeId | None = None
    ) -> tuple[NodeDesc, NodeDesc | None] | None:
        """Learn from a description that anybody passed on.

        Args:
            signed: The description.
            now: Monotonic seconds.
            wall: Wall seconds.
            sender: Who gave it to us; None if it is from our own disk.

        Returns:
            The description and the one before it, if it is news about another node.

        Raises:
            ProtocolError: It is malformed or not signed by its owner.
        """
        desc = read_desc(signed)
        node_id = desc.node_id
        if node_id == self.me:
            self._meet_older_self(signed, desc, wall)
            return None
        before = self.get(node_id)
        if before is not None and before.incarnation >= desc.incarnation:
            return None
        # Only what its owner signed counts against its rate: no forger uses up that of another.
        verify_desc(signed, desc)
        if before is not None and not self._allowances.take(node_id, 1, now=now):
            return None
        if before is None and not self._make_room(first_hand=sender == node_id):
            return None
        self._known[node_id] = (signed, desc)
        self._note(before, desc, now, wall)
        if sender == node_id:
            self.liveness.heard(node_id, now)
        self._descs.add(node_id, signed)
        self._rumours.drop(node_id)
        self._changed()
        return desc, before

    def know(self, crowd: Crowd, now: float) -> None:
        """Know members without having been told: they are believed, and nothing of them is passed on.

        Args:
            crowd: All of them, in their usual state.
            now: Monotonic seconds.

        Raises:
            ConfigError: They are more than may be known.
        """
        if len(crowd.members) > self._config.members_max:
            raise ConfigError(f"{len(crowd.members)} members are more than members_max={self._config.members_max}")
        self._known.adopt(crowd)
        self.liveness.adopt(crowd.members, now)
        self._standing += 1
        self._changed()

    def hear(self, rumour: Rumour, by: NodeId, now: float, wall: float) -> bool:
        """Take note that member `by` suspects somebody.

        Returns:
            Whether to probe the accused; once that has begun, tell `Liveness.looked_into`.
        """
        if by not in self._known:
            return False
        if rumour.node_id == self.me:
            # Once a turn: a peer that accuses us without end costs no storm of descriptions.
            due = now - self._refuted_at >= self._config.probe_interval
            if rumour.incarnation >= self._desc.incarnation and due and self._desc.status is not NodeStatus.LEFT:
                self._refuted_at = now
                self.describe(wall)
            return False
        desc = self.get(rumour.node_id)
        if desc is None or rumour.incarnation < desc.incarnation:
            return False
        return self.liveness.accused(rumour.node_id, by, now, wall)

    def suspect(self, node_id: NodeId, now: float, wall: float, *, helpers_answered: bool) -> None:
        """Suspect a member because of our own probe, and say so to others."""
        self.liveness.suspect(node_id, now, wall, helpers_answered=helpers_answered)
        track, desc = self.liveness.get(node_id), self.get(node_id)
        if track is not None and desc is not None and track.suspected_at is not None:
            self._rumours.add(node_id, Rumour(node_id=node_id, incarnation=desc.incarnation))

    def heard(self, node_id: NodeId, now: float) -> None:
        """Note a word from a member itself."""
        self.liveness.heard(node_id, now)
        self._rumours.drop(node_id)

    def review(self, now: float, wall: float) -> tuple[list[Change], int]:
        """Bring all states up to date, forget members gone long ago; returns what `Liveness.review` returns."""
        changes, silent = self.liveness.review(now, wall)
        for track in self.liveness.gone():
            if now - track.since > self._config.forget_after:
                self._forget(track.node_id)
        for change in changes:
            self._redraw(change.node_id)
        if changes or silent:
            self._changed()
        return changes, silent

    # What we tell

    def news(self, to: NodeId | None = None) -> tuple[tuple[SignedDesc, ...], tuple[Rumour, ...]]:
        """Choose descriptions and rumours for one message; a suspected receiver is told so, that it may answer."""
        count, members = self._config.gossip_items_max, len(self)
        descs = self._descs.take(count, members=members)
        rumours = self._rumours.take(count - 1, members=members)
        told = self._told(to)
        return descs, (*(rumour for rumour in rumours if rumour not in told), *told)

    def answer(self, to: NodeId, now: float) -> tuple[tuple[SignedDesc, ...], tuple[Rumour, ...]]:
        """Choose the news for the answer to a probe: for members, and not for one that probes out of its turn.

        News is told a bounded number of times: whoever could take it all would keep it from the others.
        """
        track = self.liveness.get(to)
        if track is None or now - track.answered_at < self._config.probe_interval / 2:
            return (), self._told(to)
        track.answered_at = now
        return self.news(to)

    def _told(self, to: NodeId | None) -> tuple[Rumour, ...]:
        """What a suspected receiver is told of itself."""
        accused = self.liveness.get(to) if to is not None else None
        if accused is None or accused.suspected_at is None:
            return ()
        return (Rumour(node_id=accused.node_id, incarnation=self._known[accused.node_id][1].incarnation),)

    def suspicions(self, count: int) -> tuple[Rumour, ...]:
        """List members we hold for silent, at most `count`."""
        silent = [
            track.node_id for track in self.liveness.restless() if track.suspected_at is not None and not track.is_gone
        ]
        return tuple(Rumour(node_id=i, incarnation=self._known[i][1].incarnation) for i in silent[:count])

    def summary(self, now: float) -> dict[NodeId, tuple[int, bool]]:
        """List incarnations by id with whether the member is not to be passed on: gone, or its farewell is old."""
        entries = {self.me: (self._desc.incarnation, False)}
        for node_id, (_, desc) in self._known.items():
            entries[node_id] = (desc.incarnation, False)
        for track in self.liveness.gone():
            entries[track.node_id] = (entries[track.node_id][0], self._stale(track, now))
        return entries

    def digest(self, now: float) -> bytes:
        """Digest the members that are passed on: equal on nodes that have nothing to tell each other."""
        if self._digest is None and self._is_as_born():
            self._digest = self._known.crowd.digest
        if self._digest is None:
            self._digest = list_digest(
                {i: incarnation for i, (incarnation, stale) in self.summary(now).items() if not stale}
            )
        return self._digest

    def view(self, now: float) -> View:
        """Make the picture of this instant."""
        for track in self.liveness.restless():
            self._pictures.pop(track.node_id, None)
        for node_id in self._known:
            drawn = self._pictures.get(node_id)
            if drawn is None or now - drawn[1] > PICTURE_AGE_MAX:
                self._draw(node_id, now)
        members = {i: member for i, (member, _) in self._pictures.items() if member.desc.status is not NodeStatus.LEFT}
        members[self.me] = self._myself()
        return View(
            me=self.me,
            members=members,
            version=self._version,
            standing=self._standing,
            partitioned=self.liveness.frozen(now),
        )

    def _draw(self, node_id: NodeId, now: float) -> None:
        shared: dict[NodeId, Picture] = {}
        if self.liveness.is_unheard(node_id) and self._known.is_shared(node_id):
            shared = self._known.crowd.pictures(self.liveness.crowd_since, now)
        picture = shared.get(node_id)
        if picture is None:
            member = self.member(node_id, now)
            if member is None:
                return
            picture = shared[node_id] = (member, now)
        self._pictures[node_id] = picture

    def member(self, node_id: NodeId, now: float) -> Member | None:
        """Make the picture of one other node, also of one that left."""
        desc, track = self.get(node_id), self.liveness.get(node_id)
        if desc is None or track is None:
            return None
        return Member(
            desc=desc,
            state=track.state,
            why=track.why,
            since=track.since,
            p_return=self.liveness.odds(node_id, now),
            availability=self.liveness.availability(node_id, now),
        )

    @property
    def version(self) -> int:
        """Grows with every change a view would show, but for odds and times."""
        return self._version

    def _myself(self) -> Member:
        busy = self._desc.status is NodeStatus.BUSY
        return Member(
            desc=self._desc,
            state=PeerState.BUSY if busy else PeerState.ALIVE,
            why="this node announced that it is busy" if busy else "this node",
            since=self._since,
            p_return=1.0,
            availability=1.0,
        )

    def _put(self, signed: SignedDesc, desc: NodeDesc) -> None:
        self._signed, self._desc = signed, desc
        self._descs.add(self.me, signed)
        self._changed()

    def _note(self, before: NodeDesc | None, desc: NodeDesc, now: float, wall: float) -> None:
        node_id, status, until = desc.node_id, desc.status, desc.busy_until_wall
        self._pictures.pop(node_id, None)
        if before is None or (before.status, before.storage_uuid) != (status, desc.storage_uuid):
            self._standing += 1
        if before is None:
            self.liveness.watch(node_id, status=status, busy_until_wall=until, now=now, wall=wall)
            return
        if before.storage_uuid != desc.storage_uuid:
            self.liveness.lost_storage(node_id)
        self.liveness.describe(node_id, status=status, busy_until_wall=until, now=now, wall=wall)

    def _meet_older_self(self, signed: SignedDesc, desc: NodeDesc, wall: float) -> None:
        if desc.incarnation > self._desc.incarnation and self._desc.status is not NodeStatus.LEFT:
            verify_desc(signed, desc)
            self._desc = dataclasses.replace(self._desc, incarnation=desc.incarnation)
            self.describe(wall)

    def _is_as_born(self) -> bool:
        """Whether this node still knows just what its crowd does."""
        known = self._known
        return known.is_plain and known.crowd.members[self.me][1] == self._desc and not self.liveness.gone()

    def _stale(self, track: Track, now: float) -> bool:
        return track.status is not NodeStatus.LEFT or now - track.since > self._config.forget_after / 2

    def _make_room(self, *, first_hand: bool) -> bool:
        if len(self) < self._config.members_max:
            return True
        gone = self.liveness.gone()
        if gone:
            self._forget(min(gone, key=lambda track: (track.since, track.node_id)).node_id)
        elif first_hand and (unheard := self.liveness.unheard()):
            # Anybody can make members up; who speaks to us is there.
            self._forget(min(unheard, key=lambda track: (track.known_at, track.node_id)).node_id)
        else:
            return False
        return True

    def _forget(self, node_id: NodeId) -> None:
        self.liveness.forget(node_id)
        self._known.drop(node_id)
        self._descs.drop(node_id)
        self._rumours.drop(node_id)
        self._redraw(node_id)
        self._changed()

    def _redraw(self, node_id: NodeId) -> None:
        self._standing += 1
        self._pictures.pop(node_id, None)

    def _changed(self) -> None:
        self._version += 1
        self._digest = None
