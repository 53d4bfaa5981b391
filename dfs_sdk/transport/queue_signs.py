"""Whether packets stand in a queue, as round trips tell it, and whether what was lost says that it overflows.

Two signs. The average of a round above the shortest round trip shows even a shallow queue that others empty now and
then; but jitter looks like that, too, so it counts only where packets stay in order, and with more lost than chance
takes. The least of several rounds in a row far above it is a queue for certain, since jitter spares some packet; then
any loss counts. A ratio would not do: one lost packet is 5 % of twenty and 1.7 % of sixty, and the smaller flow would
give way to the larger one. Pure.
"""

from __future__ import annotations

from math import inf

# How far above the shortest round trip packets stand in a queue, in ratio and seconds.
QUEUE_RATIO = 0.125
QUEUE_SECONDS = 0.002
LOSS_RATIO_BY_CHANCE = 0.02
# A flow that gave way has few packets a round, and all of a few can be late by chance.
STANDING_ROUNDS = 8
ORDERED_ROUNDS = 16  # without packets that were only late, until the path counts as one that keeps them in order


class QueueSigns:
    """What the round trips of one path tell.

    Attributes:
        is_long: No packet of the latest round came through without a long queue.
    """

    __slots__ = ("_count", "_least", "_ordered_rounds", "_standing_rounds", "_sum", "is_long")

    def __init__(self) -> None:
        """Start on a path that keeps the order and has no queue."""
        self.is_long = False
        self._least = inf
        self._sum = 0.0
        self._count = 0
        self._standing_rounds = 0
        self._ordered_rounds = ORDERED_ROUNDS + 1

    @property
    def is_ordered(self) -> bool:
        """Whether the path kept packets in order of late."""
        return self._ordered_rounds > ORDERED_ROUNDS

    def on_rtt(self, rtt: float) -> None:
        """Take a round-trip sample in seconds."""
        self._least = min(self._least, rtt)
        self._sum += rtt
        self._count += 1

    def on_late(self) -> None:
        """Note that packets that counted as lost had only been overtaken."""
        self._ordered_rounds = -1

    def end_round(self, *, shortest: float, lost_bytes: int, sent_bytes: int) -> bool:
        """Take the end of a round trip.

        Args:
            shortest: The path's shortest round trip in seconds.
            lost_bytes: What was lost in it, less what came late after all.
            sent_bytes: What was lost or arrived in it.

        Returns:
            Whether a queue overflows.
        """
        margin = QUEUE_RATIO * shortest + QUEUE_SECONDS
        # Twice as much: a loop that is late looks like a queue.
        self.is_long = inf > self._least > shortest + 2 * margin
        self._standing_rounds = self._standing_rounds + 1 if self.is_long else 0
        self._ordered_rounds += 1
        likely = self._sum > self._count * (shortest + margin) and self.is_ordered
        overflows = (likely and lost_bytes > LOSS_RATIO_BY_CHANCE * sent_bytes) or (
            self._standing_rounds >= STANDING_ROUNDS and lost_bytes > 0
        )
        self._least, self._sum, self._count = inf, 0.0, 0
        return overflows
