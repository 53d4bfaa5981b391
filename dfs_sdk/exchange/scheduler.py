"""Which source next, and when a second one: pure rules on what answers have taught us.

Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (2001), for drawing two and taking the
better; Dean and Barroso, "The Tail at Scale" (2013), for hedging after the 95th percentile within a small budget;
Suresh et al., "C3" (NSDI 2015), for scoring a source by its round trip and its queue times its service time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dfs_sdk.ids import NodeId
from dfs_sdk.runtime.ports import Rng

RTT_UNKNOWN = 0.05
HANDSHAKE_FACTOR = 2.0
SERVICE_TIME_UNKNOWN = 0.005
LATENCY_SAMPLES = 128
FAULT_PENALTY_SECONDS = 60.0
HEDGE_BURST = 4.0
FAILOVER_FACTOR = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerLoad:
    """What is known of a peer's willingness to serve.

    Attributes:
        inflight: Our own calls it has not answered.
        queue: Calls it worked on when it last answered.
        service_time: Seconds one call takes it, by its own account.
        rtt: Smoothed round-trip time in seconds; None for a peer without a connection.
        faults: Damaged answers it gave, old ones counting less.
    """

    inflight: int = 0
    queue: int = 0
    service_time: float = SERVICE_TIME_UNKNOWN
    rtt: float | None = None
    faults: float = 0.0


def score(load: PeerLoad, *, rtt_unknown: float = RTT_UNKNOWN) -> float:
    """Estimate the seconds until an answer, liars put far behind; smaller is better.

    Args:
        load: What is known of the peer.
        rtt_unknown: What counts as its round trip where there is no connection.
    """
    rtt = rtt_unknown if load.rtt is None else load.rtt
    waiting = 1 + load.inflight + load.queue
    return rtt + waiting * load.service_time + load.faults * FAULT_PENALTY_SECONDS


def choose_source(sources: Sequence[NodeId], load_of: Callable[[NodeId], PeerLoad], rng: Rng, *, window: int) -> NodeId:
    """Draw two of the first `window` sources and take the better one.

    One without a connection is taken to be as far as the other, and no nearer than `RTT_UNKNOWN`; its handshake takes a
    round trip more.

    Peers with a bad record count as the end of the list, so that a liar at its front does not fill the window.

    Args:
        sources: Not empty, most promising first.
        load_of: What is known of each.
        rng: Draws the two.
        window: How many of the front are drawn from, at least 1.
    """
    honest = [source for source in sources if load_of(source).faults < 0.5]
    front = (honest or list(sources))[:window]
    drawn = rng.sample(front, 2) if len(front) > 2 else front
    loads = {source: load_of(source) for source in drawn}
    farthest = max((load.rtt for load in loads.values() if load.rtt is not None), default=0.0)
    rtt_unknown = max(RTT_UNKNOWN, HANDSHAKE_FACTOR * farthest)
    return min(drawn, key=lambda source: score(loads[source], rtt_unknown=rtt_unknown))


class Latencies:
    """The times the latest fetches took."""

    __slots__ = ("_samples",)

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=LATENCY_SAMPLES)

    def note(self, seconds: float) -> None:
        """Remember how long one fetch took."""
        self._samples.append(seconds)

    def p95(self) -> float | None:
        """The 95th percentile, or None before anything was fetched."""
        if not self._samples:
            return None
        ordered = sorted(self._samples)
        return ordered[(len(ordered) * 95 - 1) // 100]


def clip(value: float, low: float, high: float) -> float:
    """Bound `value` to [low, high]."""
    return min(max(value, low), high)


class HedgeBudget:
    """Keeps second requests within a share of all requests, with a small burst to start from."""

    __slots__ = ("_credit", "_ratio")

    def __init__(self, ratio: float) -> None:
        self._ratio = ratio
        self._credit = 1.0 if ratio else 0.0

    def note_request(self) -> None:
        """Count one ordinary request."""
        self._credit = min(self._credit + self._ratio, HEDGE_BURST)

    def take(self) -> bool:
        """Spend one hedge, if there is any left."""
        if self._credit < 1.0:
            return False
        self._credit -= 1.0
        return True
