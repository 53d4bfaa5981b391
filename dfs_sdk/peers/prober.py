"""Probes: is that member there? Directly first, then through others, and news travels on every probe.

Members are probed one a turn, in an order shuffled anew each round, so that the time until a member is looked at is
bounded by the number of members, as in SWIM.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from dfs_sdk.errors import RemoteError
from dfs_sdk.ids import NodeId
from dfs_sdk.peers.config import PeersConfig
from dfs_sdk.peers.membership import Membership
from dfs_sdk.peers.messages import NodeStatus, Ping, ProbeFor, Rumour, SignedDesc
from dfs_sdk.rpc.base import CALL_ERRORS, RpcService
from dfs_sdk.runtime.ports import Clock, Rng
from dfs_sdk.runtime.tasks import run_all

# A helper needs a whole time-out for its probe, and time for the ways to it and back.
HELPER_PATIENCE = 2.0

# Takes who sent what, and says how many of the descriptions were news.
NewsHandler = Callable[[NodeId, Iterable[SignedDesc], Iterable[Rumour]], int]


class ProbeSlots:
    """Probes that may be under way at one time; half of them, rounded up, because of rumours.

    Args:
        count: All of them.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._free_for_rumours = (count + 1) // 2

    @property
    def is_full(self) -> bool:
        """Whether no further probe may begin."""
        return self._free <= 0

    def take(self, *, rumoured: bool) -> bool:
        """Take a slot, because of a rumour or not; says whether one was free."""
        if self.is_full or (rumoured and self._free_for_rumours <= 0):
            return False
        self._free -= 1
        self._free_for_rumours -= rumoured
        return True

    def give_back(self, *, rumoured: bool) -> None:
        """Give back a slot that was taken so."""
        self._free += 1
        self._free_for_rumours += rumoured


class Prober:
    """Probes members and reports what it learned to the membership.

    Args:
        rpc: Calls peers.
        membership: Takes the results.
        clock: The node's clocks.
        rng: Shuffles.
        config: Time-outs and counts.
        on_news: Called with the sender and the news of each answer.
    """

    def __init__(
        self,
        *,
        rpc: RpcService,
        membership: Membership,
        clock: Clock,
        rng: Rng,
        config: PeersConfig,
        on_news: NewsHandler,
    ) -> None:
        self._rpc = rpc
        self._membership = membership
        self._clock = clock
        self._rng = rng
        self._config = config
        self._on_news = on_news
        self._round: list[NodeId] = []

    def next_target(self) -> NodeId | None:
        """Choose whom to probe in this turn: members that are neither gone nor excused by a busy lease."""
        if not self._round:
            self._round = self._membership.ids()
            self._rng.shuffle(self._round)
        while self._round:
            node_id = self._round.pop()
            if self.worth_a_probe(node_id):
                return node_id
        return None

    def lost_member(self) -> NodeId | None:
        """Draw a member that is gone without a farewell: somebody has to try when a partition heals."""
        gone = [t.node_id for t in self._membership.liveness.gone() if t.status is not NodeStatus.LEFT]
        return self._rng.choice(gone) if gone else None

    async def probe(self, node_id: NodeId) -> bool:
        """Probe one member directly, then through others.

        Returns:
            Whether it answered anybody.
        """
        timeout, asked_at = self._config.probe_timeout, self._clock.monotonic()
        if await self.ping(node_id):
            return True
        if self._overslept(asked_at, timeout):
            return False
        self._membership.liveness.missed(node_id, self._clock.monotonic(), self._clock.wall())
        asked_at = self._clock.monotonic()
        helpers = self._helpers(node_id)
        answers = await run_all(*(self._ask(helper, node_id) for helper in helpers))
        if any(answers):
            return True
        if self._overslept(asked_at, HELPER_PATIENCE * timeout):
            return False
        helped = not helpers or any(answer is not None for answer in answers)
        now, wall = self._clock.monotonic(), self._clock.wall()
        self._membership.suspect(node_id, now, wall, helpers_answered=helped)
        return False

    async def ping(self, node_id: NodeId) -> bool:
        """Probe one member directly, without consequences for it if it does not answer."""
        descs, rumours = self._membership.news(node_id)
        try:
            answer = await self._rpc.call(
                node_id, Ping(descs=descs, rumours=rumours), timeout=self._config.probe_timeout
            )
        except RemoteError:
            self._membership.heard(node_id, self._clock.monotonic())  # it refused, so it is there
            return True
        except CALL_ERRORS:
            return False
        self._membership.heard(node_id, self._clock.monotonic())
        self._on_news(node_id, answer.reply.descs, answer.reply.rumours)
        return True

    async def _ask(self, helper: NodeId, node_id: NodeId) -> bool | None:
        """Let a helper probe; None when the helper itself does not answer."""
        try:
            timeout = HELPER_PATIENCE * self._config.probe_timeout
            answer = await self._rpc.call(helper, ProbeFor(node_id=node_id), timeout=timeout)
        except CALL_ERRORS:
            return None
        self._membership.heard(helper, self._clock.monotonic())
        return answer.reply.answered

    def _overslept(self, asked_at: float, timeout: float) -> bool:
        """Whether this node was kept from looking for answers: then that none came proves nothing."""
        return self._clock.monotonic() - asked_at > timeout + self._config.clock_jump_max

    def _helpers(self, node_id: NodeId) -> list[NodeId]:
        able = [each for each in self._membership.reachable() if each != node_id]
        return self._rng.sample(able, min(self._config.indirect_count, len(able)))

    def worth_a_probe(self, node_id: NodeId) -> bool:
        """Say whether a node is a member that should answer: not gone, not in a busy lease."""
        track = self._membership.liveness.get(node_id)
        if track is None or track.is_gone or track.status is NodeStatus.LEFT:
            return False
        return track.status is not NodeStatus.BUSY or self._clock.wall() >= track.busy_until_wall
