"""BBR by itself: when it measures the path anew, and how long the draining step of its cycle takes."""

from __future__ import annotations

import pytest

from dfs_sdk.runtime.system import SeededRng
from dfs_sdk.transport.bbr import RTT_MINIMUM_AGE, Bbr
from dfs_sdk.transport.congestion import Delivery

PACKET = 1200
PRODUCT = 125_000  # bytes of one round trip
RTT = 0.1
PROBING, DRAINING = 1.25, 0.75


class Path:
    """A link that carries `PRODUCT` bytes in each round trip of `rtt` seconds; rounds are fed in tenths."""

    def __init__(self, rtt: float = RTT) -> None:
        self.rtt = rtt
        self.rate = PRODUCT / rtt
        self.bbr = Bbr(PACKET, SeededRng(1))
        self.now = 0.0
        self._delivered = 0

    def feed(self, *, delay: float = 1.0, in_flight: int = PRODUCT) -> None:
        """A tenth of a round trip passes, and what arrived in it is acknowledged, `delay` round trips after it left."""
        self.now += self.rtt / 10
        prior, acked = self._delivered - PRODUCT, PRODUCT // 10
        self._delivered += acked
        self.bbr.on_delivery(
            Delivery(
                now=self.now,
                acked_bytes=acked,
                lost_bytes=0,
                in_flight_bytes=in_flight,
                delivered_bytes=self._delivered,
                prior_delivered_bytes=max(prior, 0),
                rate=self.rate,
                app_limited=False,
                rtt=delay * self.rtt,
            )
        )

    @property
    def gain(self) -> float:
        """The rate of sending as a ratio of the link's."""
        return self.bbr.pacing_rate / self.rate

    def feed_until(self, gain: float, *, in_flight: int = PRODUCT) -> None:
        """Go on to the step of the cycle with that gain."""
        for _ in range(200):
            if self.bbr.state == "probe bandwidth" and self.gain == pytest.approx(gain):
                return
            self.feed(in_flight=in_flight)
        raise AssertionError(f"no step with a gain of {gain}")


def states_with(delay: float) -> set[str]:
    """The phases of twice the shortest round trip's age in which each takes `delay` times as long."""
    path, states = Path(), set()
    path.feed_until(1.0)
    while path.now < 2 * RTT_MINIMUM_AGE:
        path.feed(delay=delay)
        states.add(path.bbr.state)
    return states


@pytest.mark.parametrize("delay", [1.0, 1.03])
def test_path_without_a_queue_is_not_emptied_to_measure_it(delay):
    assert states_with(delay) == {"probe bandwidth"}


def test_path_with_a_standing_queue_is_emptied_to_measure_it():
    assert "probe rtt" in states_with(1.05)


def test_round_trips_near_the_shortest_do_not_replace_it():
    path = Path()
    path.feed_until(1.0)
    before = path.bbr.window_bytes
    while path.now < 2 * RTT_MINIMUM_AGE:
        path.feed(delay=1.03)
    assert path.bbr.window_bytes == before


@pytest.mark.parametrize(
    ("rtt", "rounds", "drains"), [(RTT, 1.5, True), (RTT, 2.5, False), (0.004, 0.5, True), (0.004, 1.5, False)]
)
def test_what_the_probe_left_has_two_rounds_to_drain_and_one_on_a_short_path(rtt, rounds, drains):
    path = Path(rtt)
    path.feed_until(PROBING)
    path.feed_until(DRAINING, in_flight=int(1.25 * PRODUCT))
    for _ in range(round(10 * rounds)):
        path.feed(in_flight=int(1.1 * PRODUCT))
    assert (path.gain == pytest.approx(DRAINING)) is drains


def test_draining_ends_where_no_more_than_the_product_is_under_way():
    path = Path()
    path.feed_until(PROBING)
    path.feed_until(DRAINING, in_flight=int(1.25 * PRODUCT))
    path.feed(in_flight=PRODUCT - PACKET)
    assert path.gain == pytest.approx(1.0)
