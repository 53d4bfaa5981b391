"""The first copies of a chunk: to the chosen members, to stand-ins where one is missing, until the policy is met.

`spread` returns at the write quorum; the remaining copies go on in the background. Only a peer's receipt counts: the
bytes are on its disk, fsynced and held against their id.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from dfs_sdk.errors import TooFewReplicasError
from dfs_sdk.exchange.service import Receipt
from dfs_sdk.ids import ChunkId, NodeId
from dfs_sdk.replication.placement import Placement, distinct_hosts
from dfs_sdk.replication.policy import Policy
from dfs_sdk.rpc.base import CALL_ERRORS
from dfs_sdk.runtime.tasks import run_all
from dfs_sdk.store.base import Role

PUSH_ERRORS = (*CALL_ERRORS, OSError)

# How often somebody who is slow to take a chunk is looked at again.
WATCH_SECONDS = 1.0

# Pushes one chunk to one node; raises one of `PUSH_ERRORS` if it did not get there.
PushChunk = Callable[[NodeId, Role], Awaitable[Receipt]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A chunk that reached its write quorum.

    Attributes:
        chunk_id: The chunk.
        cell: The cell chosen for it.
        holders: The receipts so far; more are added while `complete` is pending.
        wanted: Copies the policy asks for.
        complete: Done when the remaining copies are placed or given up; gives all receipts.
    """

    chunk_id: ChunkId
    cell: int
    holders: Sequence[Receipt]
    wanted: int
    complete: Awaitable[Sequence[Receipt]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """Who is to get a chunk.

    Attributes:
        cell: The cell.
        chosen: The members that should hold it, whether or not they can be reached.
        first: Nodes to try first, as many as copies are wanted where there are so many.
        then: Stand-ins for those that do not take it.
        members: Members of the network, this node included.
    """

    cell: int
    chosen: tuple[NodeId, ...]
    first: tuple[NodeId, ...]
    then: tuple[NodeId, ...]
    members: int

    def all(self) -> tuple[NodeId, ...]:
        """Everybody who may get it, in the order in which they are tried."""
        return (*self.first, *self.then)

    def role(self, node_id: NodeId) -> Role:
        """What the chunk is to a node."""
        return Role.PRIMARY if node_id in self.chosen else Role.SURPLUS


def choose_targets(
    placement: Placement, cell: int, *, replicas: int, stand_ins_max: int, avoid: Sequence[NodeId] = ()
) -> Targets:
    """Choose who gets a new chunk: reachable nodes with room, the chosen members of the cell before others."""

    def able(node_id: NodeId) -> bool:
        return placement.view.is_reachable(node_id) and node_id not in avoid

    first = placement.choose(cell, replicas, eligible=able)
    then = placement.choose(cell, stand_ins_max, holding=first, eligible=able)
    # A node that refused lately is better than none: it may have been busy.
    then += placement.choose(cell, stand_ins_max, holding=[*first, *then], eligible=placement.view.is_reachable)
    return Targets(
        cell=cell,
        chosen=placement.members(cell, replicas),
        first=tuple(first),
        then=tuple(then),
        members=len(placement),
    )


def too_few(policy: Policy, *, able: int, confirmed: int, members: int) -> TooFewReplicasError:
    """Say in numbers why a put cannot be acknowledged, and what to do."""
    others, enough = max(0, members - 1), confirmed or able
    fewer = f"ask for fewer with quorum={enough}, " if 0 < enough < policy.write_quorum else ""
    return TooFewReplicasError(
        f"{confirmed} of {policy.write_quorum} required peers confirmed a copy: of {others} other members {able} can "
        f"be reached and have room. Wait for peers, {fewer}or use quorum=0 to keep it here for now and spread it as "
        "peers join."
    )


@dataclass(slots=True, kw_only=True)
class SpreadJob:
    """One chunk on its way to its holders.

    Attributes:
        me: The writer, whose own copy is no peer's receipt.
        targets: Who gets it.
        policy: How many copies, and how many receipts before `at_quorum` is done.
        placement: The view it was planned on.
        push: Pushes the chunk.
        on_failed: Told who did not take it.
        is_reachable: Says whether a node still answers others.
        receipts: The receipts so far.
    """

    me: NodeId
    targets: Targets
    policy: Policy
    placement: Placement
    push: PushChunk
    on_failed: Callable[[NodeId], None]
    is_reachable: Callable[[NodeId], bool]
    receipts: list[Receipt] = field(default_factory=list)
    _left: deque[NodeId] = field(default_factory=deque)
    _at_quorum: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> list[Receipt]:
        """Place the copies; ends when as many as wanted are there or nobody is left to ask."""
        held = {receipt.peer for receipt in self.receipts}
        self._left.extend(i for i in self.targets.all() if i not in held)
        wanted = min(self.policy.replicas - len(held & set(self.targets.first)), len(self._left))
        self._check()
        try:
            await run_all(*(self._fill_place() for _ in range(max(0, wanted))))
            # The writer's own copy is no peer's receipt: further nodes stand in for it until the quorum is there.
            while not self._at_quorum.is_set() and self._left:
                await self._fill_place()
        finally:
            self._at_quorum.set()
        return self.receipts

    async def at_quorum(self) -> None:
        """Wait until enough peers confirmed, on different machines where there are several.

        Raises:
            TooFewReplicasError: Nobody is left to ask.
        """
        await self._at_quorum.wait()
        confirmed = self._confirmed()
        if len(confirmed) < self.policy.write_quorum:
            raise too_few(self.policy, able=self.possible(), confirmed=len(confirmed), members=self.targets.members)

    def possible(self) -> int:
        """How many peers may confirm at most."""
        return len(self._peers())

    async def _fill_place(self) -> None:
        """Find one holder: try nodes until one takes the chunk."""
        while self._left:
            node_id = self._left.popleft()
            over = asyncio.Event()
            taken, stood_in = await run_all(self._offer(node_id, over), self._stand_by(node_id, over))
            if taken or stood_in:
                return

    async def _offer(self, node_id: NodeId, over: asyncio.Event) -> bool:
        """Push to one node; says whether it took the chunk."""
        try:
            self.receipts.append(await self.push(node_id, self.targets.role(node_id)))
        except PUSH_ERRORS:
            self.on_failed(node_id)
            return False
        finally:
            over.set()
        self._check()
        return True

    async def _stand_by(self, node_id: NodeId, over: asyncio.Event) -> bool:
        """Fill the place otherwise if its node falls silent during the push and the quorum waits for it.

        A push has long to end, since a slow line needs it; whether the node is there at all is known much sooner.

        Returns:
            Whether somebody else was asked.
        """
        while not over.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(WATCH_SECONDS):
                    await over.wait()
                    return False
            if self._left and not self._at_quorum.is_set() and not self.is_reachable(node_id):
                await self._fill_place()
                return True
        return False

    def _check(self) -> None:
        confirmed = self._confirmed()
        if len(confirmed) < self.policy.write_quorum:
            return
        view = self.placement.view
        hosts_wanted = min(self.policy.write_quorum, distinct_hosts(view, self._peers()))
        if distinct_hosts(view, confirmed) >= hosts_wanted:
            self._at_quorum.set()

    def _peers(self) -> list[NodeId]:
        return [node_id for node_id in self.targets.all() if node_id != self.me]

    def _confirmed(self) -> list[NodeId]:
        return [receipt.peer for receipt in self.receipts if receipt.peer != self.me]
