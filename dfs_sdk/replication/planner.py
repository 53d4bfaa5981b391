"""What to do about copies: one frozen observation in, a list of actions with reasons out. Pure.

Repair answers lost copies, not silence: a silent holder counts while the odds of its return are at least one half, so
that short absences and announced busy times move no byte. Of several holders the first reachable one in the cell's
order acts, the next ones wait their rank times a stagger. A surplus copy goes only after as many other holders as
copies are wanted, the chosen ones, confirmed theirs: make before break.

Source: Chun et al., "Efficient replica maintenance for distributed storage systems" (Carbonite, 2006): copies that
come back are worth keeping track of; Blake and Rodrigues (2003): repair traffic is what decides feasibility.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from dfs_sdk.ids import ChunkId, NodeId
from dfs_sdk.peers.view import View
from dfs_sdk.replication.config import ReplicationConfig
from dfs_sdk.replication.messages import HeldChunk
from dfs_sdk.replication.placement import Placement
from dfs_sdk.replication.policy import HOUR, HolderOdds, endangerment
from dfs_sdk.runtime.ports import Rng
from dfs_sdk.store.base import Role

HORIZON = 48 * HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One of our chunks and who else claims it.

    Attributes:
        chunk: What we hold.
        holders: Other nodes that claim it or are presumed to hold it, those away included.
        confirmed: Those of them whose word is fresh.
        short_since: Monotonic second since which copies are missing; None while none were.
        spare_since: Monotonic second since which ours is superfluous; None while it was not.
        claimed_until: Until when another holder's word that it repairs holds.
        pinned: Whether the user wants it here whatever happens.
    """

    chunk: HeldChunk
    holders: tuple[NodeId, ...]
    confirmed: tuple[NodeId, ...] = ()
    short_since: float | None = None
    spare_since: float | None = None
    claimed_until: float = float("-inf")
    pinned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Everything a plan rests on.

    Attributes:
        now: Monotonic seconds.
        me: This node.
        view: The members as they are now.
        placement: The ranking of that view, or of one that differs from it in odds and times only.
        copies: Our chunks, cache copies left out.
        offered: Chunks of others in cells this node may belong to, with those who claim them.
        fill: Share of our capacity in use.
        avoid: Peers that refused a copy or did not answer lately.
        leaving: Whether this node is about to leave: its own copies do not count.
    """

    now: float
    me: NodeId
    view: View
    placement: Placement
    copies: Sequence[Copy]
    offered: Mapping[ChunkId, tuple[HeldChunk, tuple[NodeId, ...]]] = field(default_factory=dict)
    fill: float = 0.0
    avoid: Collection[NodeId] = frozenset()
    leaving: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """Give a peer a copy.

    Attributes:
        chunk: The chunk, held here.
        target: Who is to get it.
        role: What it is to the target.
        urgency: Larger goes first.
        urgent: Whether one copy is left that answers: it may use twice the rate.
        reason: In words.
    """

    chunk: HeldChunk
    target: NodeId
    role: Role
    urgency: float
    urgent: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """Fetch a chunk that belongs here by now."""

    chunk: HeldChunk
    sources: tuple[NodeId, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trim:
    """Drop our copy after those relied on promised to keep theirs."""

    chunk: HeldChunk
    relying_on: tuple[NodeId, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reclassify:
    """Change why we hold a chunk; nothing moves."""

    chunk: HeldChunk
    role: Role
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Somebody else goes first: look again then."""

    chunk: HeldChunk
    until: float
    reason: str


Action = Push | Pull | Trim | Reclassify | Wait


def plan(observation: Observation, config: ReplicationConfig, rng: Rng) -> list[Action]:
    """Decide what this node does about copies.

    Args:
        observation: What is known.
        config: Bounds.
        rng: Draws the source of pulls, so that newcomers do not all ask the same holder.

    Returns:
        Actions, pushes first with the most endangered chunk in front, then the others.
    """
    pushes: list[Push] = []
    others: list[Action] = []
    for copy in observation.copies:
        missing = missing_copies(copy, observation.view, config, leaving=observation.leaving)
        if missing > 0:
            for action in _repair(copy, missing, observation, config):
                if isinstance(action, Push):
                    pushes.append(action)
                else:
                    others.append(action)
        elif not observation.leaving:
            others.extend(_tidy(copy, observation, config))
    if not observation.leaving:
        others.extend(_pulls(observation, config, rng))
    pushes.sort(key=lambda push: (-push.urgency, push.chunk.chunk_id))
    return [*pushes, *others]


def missing_copies(copy: Copy, view: View, config: ReplicationConfig, *, leaving: bool = False) -> int:
    """Count the copies that a chunk lacks, ours left out if we leave; 0 or less if none, whatever their number."""
    own = 0 if leaving else 1
    counted = sum(1 for holder in copy.holders if view.odds(holder) >= config.odds_min)
    return copy.chunk.replicas - own - counted


def is_spare(copy: Copy, observation: Observation) -> bool:
    """Say whether our copy is more than the chunk's policy asks for: all the chosen members confirmed theirs."""
    return len(_relied_on(copy, observation)) >= copy.chunk.replicas


def _repair(copy: Copy, missing: int, observation: Observation, config: ReplicationConfig) -> list[Action]:
    placement, view, chunk = observation.placement, observation.view, copy.chunk
    answering = [holder for holder in copy.holders if view.is_reachable(holder)]
    urgent = not answering
    if view.partitioned and not urgent and not observation.leaving:
        return []
    turn = _turn_at(copy, answering, observation, config)
    if observation.now < turn and not observation.leaving:
        return [Wait(chunk=chunk, until=turn, reason="a holder ranked before this node repairs first")]
    held = {*copy.holders, observation.me}
    targets = placement.choose(
        chunk.cell,
        missing,
        holding=sorted(held),
        eligible=lambda node_id: view.is_reachable(node_id) and node_id not in observation.avoid,
    )
    chosen = placement.members(chunk.cell, chunk.replicas)
    urgency = endangerment(_odds(copy, observation), horizon=HORIZON)
    reason = _reason(copy, missing, observation)
    return [
        Push(
            chunk=chunk,
            target=target,
            role=Role.PRIMARY if target in chosen or observation.leaving else Role.SURPLUS,
            urgency=urgency,
            urgent=urgent,
            reason=reason,
        )
        for target in targets
    ]


def _turn_at(copy: Copy, answering: list[NodeId], observation: Observation, config: ReplicationConfig) -> float:
    """When it is our turn: at once for the first reachable holder in order, later by rank, not before a claim ends."""
    order = observation.placement.order(copy.chunk.cell)
    able = {*answering, observation.me}
    position = next(
        (at for at, i in enumerate(node for node in order if node in able) if i == observation.me), len(able)
    )
    since = observation.now if copy.short_since is None else copy.short_since
    return max(since + position * config.stagger, copy.claimed_until)


def _reason(copy: Copy, missing: int, observation: Observation) -> str:
    wanted = copy.chunk.replicas
    if observation.leaving:
        return f"this node leaves: {missing} of {wanted} copies would be missing"
    absent = [observation.view.name(i) for i in copy.holders if not observation.view.is_reachable(i)]
    silent = f"; silent: {', '.join(absent[:3])}" if absent else ""
    return f"{wanted - missing} of {wanted} copies are known{silent}"


def _odds(copy: Copy, observation: Observation) -> list[HolderOdds]:
    found: list[HolderOdds] = []
    for holder in (observation.me, *copy.holders):
        member = observation.view.get(holder)
        if member is not None:
            found.append(HolderOdds(availability=member.availability, p_return=member.p_return))
    return found


def _relied_on(copy: Copy, observation: Observation) -> tuple[NodeId, ...]:
    """Name the holders a trim may rely on: the chosen members, other than this node, that answer and confirmed."""
    chosen = observation.placement.members(copy.chunk.cell, copy.chunk.replicas)
    fresh = {*copy.confirmed} - {observation.me}
    return tuple(holder for holder in chosen if holder in fresh and observation.view.is_reachable(holder))


def _tidy(copy: Copy, observation: Observation, config: ReplicationConfig) -> list[Action]:
    chunk, placement = copy.chunk, observation.placement
    chosen = placement.members(chunk.cell, chunk.replicas)
    if observation.me in chosen:
        if chunk.role is not Role.PRIMARY:
            return [Reclassify(chunk=chunk, role=Role.PRIMARY, reason="this node is one of the chosen ones by now")]
        return []
    if chunk.role is Role.PRIMARY:
        rank = placement.rank(chunk.cell, observation.me)
        if rank < chunk.replicas + config.rank_slack:
            return []  # weights drift, data should not
        return [Reclassify(chunk=chunk, role=Role.SURPLUS, reason=f"this node fell to rank {rank + 1} of its cell")]
    relied_on = _relied_on(copy, observation)
    if copy.pinned or observation.view.partitioned or len(relied_on) < chunk.replicas:
        return []
    spare_for = 0.0 if copy.spare_since is None else observation.now - copy.spare_since
    if observation.fill <= config.trim_fill_min and spare_for < config.surplus_keep:
        return []
    return [
        Trim(
            chunk=chunk,
            relying_on=relied_on,
            reason=f"all {len(relied_on)} chosen holders confirmed their copies",
        )
    ]


def _pulls(observation: Observation, config: ReplicationConfig, rng: Rng) -> list[Action]:
    """Fetch what belongs here since the network grew; lost copies are pushed by their holders, not pulled."""
    if observation.fill >= config.fill_max or observation.view.partitioned:
        return []
    view, pulls = observation.view, []
    for chunk, holders in observation.offered.values():
        if observation.me not in observation.placement.members(chunk.cell, chunk.replicas):
            continue
        counted = sum(1 for holder in holders if view.odds(holder) >= config.odds_min)
        sources = [holder for holder in holders if view.is_reachable(holder) and holder not in observation.avoid]
        if counted < chunk.replicas or not sources:
            continue
        rng.shuffle(sources)
        pulls.append(
            Pull(chunk=chunk, sources=tuple(sources), reason="this node is one of the chosen ones of its cell by now")
        )
    # The neediest first: those with the fewest holders that answer.
    pulls.sort(key=lambda pull: (len(pull.sources), pull.chunk.chunk_id))
    return list(pulls)
