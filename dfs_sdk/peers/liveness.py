"""Who is up: the state of every member, from what was heard, missed and rumoured. Pure; time is an argument.

    alive ─ no answer to me ─▶ lagging ─ nor to three others ─▶ suspect ─ suspicion expires ─▶ away ─ odds < 1 % ─▶ gone
      ▲                                                                                                        │
      └───────────────── any word from it, or a newer description of itself ─────────────────────────────┘

A busy lease keeps a peer out of suspicion. Two guards keep this node from blaming others for its own trouble: after a
jump of its own clock it drops fresh suspicions and does not count the time it slept (`forgive`), and when many members
fall silent together nobody is declared gone for a while.

Reads react within seconds (lagging, busy, suspect are avoided); repair reacts to probabilities (`p_return`).

Source: Das, Gupta, Motivala, "SWIM" (2002), sections 3.1-4.2; Dadgar, Phillips, Currey, "Lifeguard" (2018) for the
suspicion that shrinks with confirmations and grows with local ill health.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import islice

from dfs_sdk.ids import NodeId
from dfs_sdk.peers.availability import NO_HISTORY, DownHistory, availability, p_return
from dfs_sdk.peers.config import PeersConfig
from dfs_sdk.peers.messages import NodeStatus

ACCUSERS_MAX = 8
ILL_HEALTH_MAX = 8
# Probe intervals between two probes of one member that rumours call for: whoever accuses everybody without end has us
# probe each member a little more often, and no member more often than that.
ACCUSED_PAUSE = 5.0


class PeerState(Enum):
    """What we think of a member, healthiest first."""

    ALIVE = 1
    LAGGING = 2
    BUSY = 3
    SUSPECT = 4
    AWAY = 5
    GONE = 6

    @property
    def label(self) -> str:
        """The state as people read it."""
        return self.name.lower()

    @property
    def reachable(self) -> bool:
        """Whether it is worth a call."""
        return self in (PeerState.ALIVE, PeerState.LAGGING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A member's state changed."""

    node_id: NodeId
    before: PeerState
    after: PeerState
    why: str


@dataclass(slots=True, kw_only=True)
class Track:
    """What one member's liveness rests on. Instants are monotonic unless their name says wall.

    What others say of it is not what it says: `has_spoken` tells whether it ever did to us, `accused_at` when a rumour
    last had it probed, `answered_at` when the answer to a probe of its own last held news.
    """

    node_id: NodeId
    status: NodeStatus
    busy_until_wall: float
    known_at: float
    since: float
    last_heard: float
    state: PeerState = PeerState.ALIVE
    why: str = "it was introduced"
    missed_at: float | None = None
    suspected_at: float | None = None
    accused_at: float = -math.inf
    answered_at: float = -math.inf
    has_spoken: bool = False
    is_gone: bool = False
    accusers: dict[NodeId, None] = field(default_factory=dict)
    history: DownHistory = NO_HISTORY

    @property
    def is_settled(self) -> bool:
        """Whether its state stays as it is until something is heard of it, or not heard."""
        if self.state is PeerState.GONE:
            return True
        in_doubt = self.missed_at is not None or self.suspected_at is not None
        return self.state is PeerState.ALIVE and self.status is NodeStatus.ALIVE and not in_doubt

    def silent_seconds(self, now: float) -> float:
        """For how long it has been silent; 0 for a member that is not suspected."""
        return max(0.0, now - self.missed_at) if self.suspected_at is not None and self.missed_at is not None else 0.0


class Liveness:
    """The tracks of all members but ourselves.

    Args:
        config: How long what takes.
        owner: This node, of which there is no track.
    """

    def __init__(self, config: PeersConfig, owner: NodeId | None = None) -> None:
        self._owner = owner
        self._config = config
        self._tracks: dict[NodeId, Track] = {}
        # Members that were there from the start: their tracks are made when something is asked or heard of them.
        self._crowd: Mapping[NodeId, object] = {}
        self._crowd_since = 0.0
        self._beyond = 0  # tracks of those who are not in the crowd
        # Those a review has to look at: nearly nobody, in a network that is well.
        self._restless: dict[NodeId, Track] = {}
        self._gone: dict[NodeId, Track] = {}
        self._ill_health = 0
        self._frozen_until = -math.inf

    def __contains__(self, node_id: object) -> bool:
        return node_id in self._tracks or (node_id in self._crowd and node_id != self._owner)

    def __len__(self) -> int:
        return len(self._crowd) - (self._owner in self._crowd) + self._beyond

    def __iter__(self) -> Iterator[Track]:
        """Iterate over all tracks."""
        self._settle()
        return iter(tuple(self._tracks.values()))

    def get(self, node_id: NodeId) -> Track | None:
        """Return a member's track."""
        track = self._tracks.get(node_id)
        if track is None and node_id in self._crowd and node_id != self._owner:
            track = self._tracks[node_id] = self._unheard(node_id)
        return track

    def is_unheard(self, node_id: NodeId) -> bool:
        """Whether nothing was asked or heard of a member that was there from the start."""
        return node_id not in self._tracks and node_id in self._crowd

    @property
    def crowd_since(self) -> float:
        """Monotonic second since which those who were there from the start are known."""
        return self._crowd_since

    def adopt(self, crowd: Mapping[NodeId, object], now: float) -> None:
        """Watch members who know each other from the start, all of them well.

        Args:
            crowd: By their ids, in order, ours perhaps among them; it is shared and must not change.
            now: Monotonic seconds.
        """
        self._settle()
        self._crowd, self._crowd_since = crowd, now
        self._beyond = sum(node_id not in crowd for node_id in self._tracks)

    def last_heard(self, count: int) -> list[Track]:
        """List the `count` members without a farewell heard of last, the latest first, those of one instant by ids.

        Those that never spoke to us come last: whoever makes members up pushes out nobody who is there.
        """
        tracks = [track for track in self._tracks.values() if track.status is not NodeStatus.LEFT]
        # Nobody was heard earlier than those who were never heard at all, and their ids are in order.
        unheard = (i for i in self._crowd if i not in self._tracks and i != self._owner)
        tracks += [self._unheard(node_id) for node_id in islice(unheard, count)]
        return heapq.nsmallest(
            count, tracks, key=lambda track: (not track.has_spoken, -track.last_heard, track.node_id)
        )

    def _track(self, node_id: NodeId) -> Track:
        track = self.get(node_id)
        if track is None:
            raise KeyError(node_id)
        return track

    def _unheard(self, node_id: NodeId) -> Track:
        since = self._crowd_since
        return Track(
            node_id=node_id, status=NodeStatus.ALIVE, busy_until_wall=0.0, known_at=since, since=since, last_heard=since
        )

    def _settle(self) -> None:
        """Make the tracks of the whole crowd, and be without one from here on."""
        crowd, self._crowd = self._crowd, {}
        for node_id in crowd:
            if node_id not in self._tracks and node_id != self._owner:
                self._tracks[node_id] = self._unheard(node_id)
        self._beyond = len(self._tracks)

    def restless(self) -> list[Track]:
        """List the members whose state may have to change: all that are not steadily alive or gone."""
        return list(self._restless.values())

    def gone(self) -> list[Track]:
        """List the members that were found gone, those with a farewell too."""
        return list(self._gone.values())

    def doubtful(self) -> list[Track]:
        """List the members that are not steadily alive, each once."""
        return list({**self._restless, **self._gone}.values())

    def unheard(self) -> list[Track]:
        """List the members that others told us of and that never spoke to us."""
        return [track for track in self._tracks.values() if not track.has_spoken]

    @property
    def ill_health(self) -> int:
        """How much this node mistrusts its own probes: 0 (well) to 8."""
        return self._ill_health

    def frozen(self, now: float) -> bool:
        """Whether a partition is suspected, so that nobody is declared gone."""
        return now < self._frozen_until

    def watch(self, node_id: NodeId, *, status: NodeStatus, busy_until_wall: float, now: float, wall: float) -> Track:
        """Begin to watch a member that was introduced; it counts as alive until it stays silent."""
        track = Track(
            node_id=node_id,
            status=status,
            busy_until_wall=min(busy_until_wall, wall + self._config.busy_max),
            known_at=now,
            since=now,
            last_heard=now,
        )
        self._beyond += node_id not in self
        self._tracks[node_id] = track
        self._stir(track)
        return track

    def forget(self, node_id: NodeId) -> None:
        """Stop watching."""
        if node_id in self:
            self._settle()
            self._beyond -= 1
        for tracks in (self._tracks, self._restless, self._gone):
            tracks.pop(node_id, None)

    def restore(self, node_id: NodeId, history: DownHistory) -> None:
        """Give a member the history an earlier life of this node had saved."""
        self._track(node_id).history = history

    def describe(self, node_id: NodeId, *, status: NodeStatus, busy_until_wall: float, now: float, wall: float) -> None:
        """Take over a newer description: only the member itself can have signed it, so it is a sign of life."""
        track = self._track(node_id)
        track.status = status
        track.busy_until_wall = min(busy_until_wall, wall + self._config.busy_max)
        self._stir(track)
        self._clear(track, now)

    def heard(self, node_id: NodeId, now: float) -> None:
        """Note a word from the member itself."""
        track = self.get(node_id)
        if track is not None:
            track.last_heard = now
            track.has_spoken = True
            if track.state is not PeerState.ALIVE:
                self._stir(track)
            self._clear(track, now)
            self._ill_health = max(0, self._ill_health - 1)

    def missed(self, node_id: NodeId, now: float, wall: float) -> None:
        """Note that the member did not answer this node."""
        track = self.get(node_id)
        if track is not None and not self._excused(track, wall) and track.missed_at is None:
            track.missed_at = now
            self._stir(track)

    def suspect(self, node_id: NodeId, now: float, wall: float, *, helpers_answered: bool = True) -> None:
        """Note that the member answered neither this node nor those who probed it in its stead.

        Args:
            node_id: The member.
            now: Monotonic seconds.
            wall: Wall seconds.
            helpers_answered: Whether any helper answered: if none did, the trouble may be ours.
        """
        track = self.get(node_id)
        if track is None or self._excused(track, wall):
            return
        if not helpers_answered:
            self._ill_health = min(ILL_HEALTH_MAX, self._ill_health + 1)
        self._accuse(track, now)

    def accused(self, node_id: NodeId, by: NodeId, now: float, wall: float) -> bool:
        """Note that another member suspects it: that shortens a suspicion of ours and begins none.

        Were a rumour enough, one liar could have everybody avoided, and look like a partition.

        Returns:
            Whether to probe the accused: nothing is held against it here, and no rumour had it probed lately.
        """
        track = self.get(node_id)
        if track is None or self._excused(track, wall):
            return False
        if len(track.accusers) < ACCUSERS_MAX:
            track.accusers[by] = None
        return track.suspected_at is None and now - track.accused_at >= ACCUSED_PAUSE * self._config.probe_interval

    def looked_into(self, node_id: NodeId, now: float) -> None:
        """Note that a rumour has the member probed."""
        track = self.get(node_id)
        if track is not None:
            track.accused_at = now

    def lost_storage(self, node_id: NodeId) -> None:
        """Note that a member came back with another storage."""
        track = self.get(node_id)
        if track is not None:
            track.history = track.history.lost()

    def forgive(self, slept_seconds: float, now: float) -> None:
        """Drop suspicions that are not verdicts yet and leave out the time we slept ourselves.

        Args:
            slept_seconds: By how much our own tick came late.
            now: Monotonic seconds.
        """
        # Those who are steadily alive have nothing to be forgiven.
        for track in self.doubtful():
            if track.state in (PeerState.AWAY, PeerState.GONE):
                if track.missed_at is not None:
                    track.missed_at = min(now, track.missed_at + slept_seconds)
            elif track.suspected_at is not None or track.missed_at is not None:
                track.missed_at = track.suspected_at = None
                track.accusers.clear()

    def odds(self, node_id: NodeId, now: float) -> float:
        """The probability that the member is up or will come back."""
        track = self._track(node_id)
        if track.is_gone or track.status is NodeStatus.LEFT:
            return 0.0
        if track.state is not PeerState.AWAY:
            return 1.0
        return self._p_return(track, now)

    def availability(self, node_id: NodeId, now: float) -> float:
        """The share of time the member is up, as far as we know it."""
        track = self._track(node_id)
        history = replace(track.history, known_seconds=track.history.known_seconds + now - track.known_at)
        return availability(history, silent_seconds=track.silent_seconds(now))

    def review(self, now: float, wall: float) -> tuple[list[Change], int]:
        """Bring every state up to date.

        Returns:
            What changed, in the order in which it became doubtful; and how many members fell silent together if that
            just made us suspect a partition, else 0.
        """
        silent = self._guard_partition(now)
        changes: list[Change] = []
        for track in self.restless():
            after, why = self._assess(track, now, wall)
            if after is not track.state:
                changes.append(Change(node_id=track.node_id, before=track.state, after=after, why=why))
                track.state, track.why, track.since = after, why, now
            if after is PeerState.GONE:
                self._gone[track.node_id] = track
            else:
                self._gone.pop(track.node_id, None)
            if track.is_settled:
                del self._restless[track.node_id]
        return changes, silent

    def suspicion_seconds(self, confirmations: int) -> float:
        """How long a suspicion lasts before the member is away.

        Args:
            confirmations: Other members that suspect it, too.
        """
        config = self._config
        shortest = config.probe_interval * config.suspicion_scale * math.log10(max(10, len(self) + 1))
        longest = shortest * config.suspicion_slack
        doubt = 1 - math.log(min(confirmations, config.suspicion_confirmations) + 1) / math.log(
            config.suspicion_confirmations + 1
        )
        timeout = (shortest + (longest - shortest) * doubt) * (1 + self._ill_health)
        return max(config.suspicion_min, timeout)

    def _assess(self, track: Track, now: float, wall: float) -> tuple[PeerState, str]:
        if track.status is NodeStatus.LEFT:
            return PeerState.GONE, "it said goodbye"
        if track.is_gone:
            return PeerState.GONE, track.why
        if track.suspected_at is None:
            if self._busy(track, wall):
                return PeerState.BUSY, "it announced that it will be busy"
            if track.missed_at is not None:
                return PeerState.LAGGING, "it did not answer this node in time"
            return PeerState.ALIVE, "it answers"
        if now < track.suspected_at + self.suspicion_seconds(len(track.accusers)):
            return PeerState.SUSPECT, "it answers neither this node nor others"
        odds = self._p_return(track, now)
        if odds < self._config.gone_below and not self.frozen(now):
            track.is_gone = True
            silent = track.silent_seconds(now)
            return PeerState.GONE, f"silent for {silent:.0f} s: the odds that it returns are {odds:.1%}"
        return PeerState.AWAY, "it has been silent for longer than a suspicion lasts"

    def _p_return(self, track: Track, now: float) -> float:
        return p_return(track.silent_seconds(now), track.history, down_time_mean=self._config.down_time_mean)

    def _busy(self, track: Track, wall: float) -> bool:
        return track.status is NodeStatus.BUSY and wall < track.busy_until_wall

    def _excused(self, track: Track, wall: float) -> bool:
        """Whether its silence proves nothing: it announced it, or it is no member any more."""
        if track.status is NodeStatus.LEFT:
            return True
        return track.status is NodeStatus.BUSY and wall < track.busy_until_wall + self._config.busy_grace

    def _stir(self, track: Track) -> None:
        self._restless[track.node_id] = track

    def _accuse(self, track: Track, now: float) -> None:
        self._stir(track)
        if track.missed_at is None:
            track.missed_at = now
        if track.suspected_at is None:
            track.suspected_at = now

    def _clear(self, track: Track, now: float) -> None:
        if track.state is PeerState.AWAY or track.is_gone:
            track.history = track.history.returned(track.silent_seconds(now))
        track.missed_at = track.suspected_at = None
        track.is_gone = False
        track.accusers.clear()

    def _guard_partition(self, now: float) -> int:
        config = self._config
        silent = sum(
            1
            for track in self._restless.values()
            if track.suspected_at is not None
            and track.missed_at is not None
            and not track.is_gone
            and now - track.missed_at <= config.partition_window
        )
        if silent <= config.partition_silent_min:
            return 0
        members = len(self) - sum(1 for track in self.doubtful() if track.is_gone or track.status is NodeStatus.LEFT)
        if silent <= config.partition_silent_share * members:
            return 0
        was_frozen = self.frozen(now)
        # Measured from the last moment at which it looked like a partition.
        self._frozen_until = now + config.partition_freeze
        return 0 if was_frozen else silent
