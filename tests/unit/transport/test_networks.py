"""Bad networks in virtual time: what share of the link arrives, and who else still gets one.

The same cases run over real namespaces in `tests/bench/bench_networks.py`; here every figure is determined by seeds.
"""

from __future__ import annotations

import random

import pytest

from dfs_sdk.transport.bbr import Bbr
from dfs_sdk.transport.config import MIB
from dfs_sdk.transport.outbox import SendState
from dfs_sdk.transport.priority import Priority
from tests.fakes.cubic import Cubic
from tests.fakes.flows import ETHERNET, Bottleneck, Flow
from tests.fakes.pair import Pair, Wire

MEGABIT = 1e6 / 8
CONTENT = random.Random(0).randbytes(MIB)


def link(mbit: float, rtt: float, *, queue: float = 1.0, **impaired) -> Wire:
    """A link with a queue of so many bandwidth-delay products."""
    rate = mbit * MEGABIT
    return Wire(delay=rtt / 2, bytes_per_second=rate, queue_bytes=int(rate * rtt * queue), **impaired)


def transfer(wire: Wire, mib: int, *, limit: float = 60.0) -> float:
    """Seconds that a transfer of `mib` MiB takes on a warm session; every byte is compared."""
    pair = Pair(wire=wire, config=ETHERNET)
    pair.connect()
    messages = [pair.left.send(CONTENT) for _ in range(mib)]
    took = pair.run_until(lambda: all(message.state is SendState.ACKED for message in messages), limit=limit)
    assert pair.right.messages == [CONTENT] * mib
    return took


def share(wire: Wire, mib: int) -> float:
    """Goodput of a whole transfer as a share of the link's rate, start and headers included."""
    return mib * MIB / transfer(wire, mib) / wire.bytes_per_second


@pytest.mark.parametrize("seed", range(3))
def test_eight_mebibytes_over_50_ms_and_1_percent_loss_take_less_than_700_ms(seed):
    assert transfer(Wire(seed=seed, delay=0.025, loss=0.01), 8) <= 0.7


@pytest.mark.parametrize("seed", range(3))
def test_four_mebibytes_over_50_ms_and_5_percent_loss_take_less_than_700_ms(seed):
    assert transfer(Wire(seed=seed, delay=0.025, loss=0.05), 4) <= 0.7


CASES = {
    "50 ms": (link(20, 0.05), 12, 0.9),
    "50 ms, 1 % loss": (link(20, 0.05, loss=0.01), 8, 0.8),
    "50 ms, 5 % loss": (link(20, 0.05, loss=0.05), 8, 0.6),
    "50 ms, bursts of 10 ms twice a second": (link(20, 0.05, burst_every=0.5, burst_length=0.01), 8, 0.8),
    "100 Mbit/s": (link(100, 0.02), 20, 0.9),
    "10 Mbit/s and 300 ms": (link(10, 0.3), 40, 0.9),
    "10 Mbit/s with 2 s of queue": (link(10, 0.05, queue=40), 6, 0.9),
    "a queue of a fifth of the product": (link(20, 0.05, queue=0.2), 8, 0.8),
    "duplicates and damage": (link(20, 0.05, repeat=0.02, damage=0.005), 8, 0.8),
    "2 % arrive 10 ms late": (link(20, 0.05, late=0.02, late_by=0.01), 8, 0.8),
    "10 ms of jitter": (link(20, 0.05, jitter=0.01), 8, 0.8),
    "30 ms of jitter, 1 % loss": (link(20, 0.05, jitter=0.03, loss=0.01), 8, 0.8),
}


@pytest.mark.parametrize("name", CASES)
def test_goodput_keeps_its_share_of_the_link(name):
    wire, mib, bar = CASES[name]
    assert share(wire, mib) >= bar


@pytest.mark.parametrize("pause", [0.01, 1.0])
def test_transfer_after_small_messages_takes_no_longer_than_the_first(pause):
    pair = Pair(wire=link(100, 0.02), config=ETHERNET)
    pair.connect()
    for _ in range(30):
        small = pair.left.send(CONTENT[:200])
        pair.run_until(lambda small=small: small.state is SendState.ACKED)
        pair.run_for(pause)
    messages = [pair.left.send(CONTENT) for _ in range(2)]
    took = pair.run_until(lambda: all(message.state is SendState.ACKED for message in messages))
    assert took <= 1.1 * transfer(link(100, 0.02), 2)


# (round trip in ms, loss in %, rate in Mbit/s, share of it)
LADDER = [
    (16, 0.1, 100, 0.6),
    (30, 0.3, 100, 0.6),
    (50, 0.5, 100, 0.6),
    (80, 1, 50, 0.6),
    (120, 2, 50, 0.6),
    (200, 5, 20, 0.3),
    (320, 10, 20, 0.3),
    (500, 15, 10, 0.3),
    (800, 25, 4, 0.3),
]


@pytest.mark.parametrize("rung", LADDER, ids=str)
def test_ten_mebibytes_climb_the_ladder_of_links_intact(rung):
    """Row 15 of the bar."""
    rtt_ms, loss_percent, mbit, bar = rung
    assert share(link(mbit, rtt_ms / 1000, loss=loss_percent / 100), 10) >= bar


def test_a_bloated_queue_stays_nearly_empty():
    wire = link(10, 0.05, queue=40)
    transfer(wire, 4)
    assert wire.queue_seconds_max < 0.1


@pytest.mark.parametrize("queue", [0.5, 1, 4])
def test_a_newcomer_meets_a_flow_of_ours_at_equal_shares(queue):
    flows = [Flow(), Flow(begins=3)]
    bottleneck = Bottleneck(link(10, 0.05, queue=queue), flows)
    bottleneck.run(16)
    rates = [flow.rate(9, 16) for flow in flows]
    assert sum(rates) ** 2 / (2 * sum(rate**2 for rate in rates)) >= 0.95
    assert sum(rates) > 0.95 * 10 * MEGABIT


NEWCOMERS = [(link(10, 0.05), 1, 0.95), (link(20, 0.05, jitter=0.0014, seed=7), 3, 0.93)]


@pytest.mark.parametrize(("wire", "begins", "bar"), NEWCOMERS, ids=["10 Mbit/s", "20 Mbit/s"])
def test_a_newcomer_has_its_share_in_the_first_twenty_seconds(wire, begins, bar):
    flows = [Flow(), Flow(begins=begins)]
    bottleneck = Bottleneck(wire, flows)
    bottleneck.run(begins + 21)
    rates = [flow.rate(begins, begins + 20) for flow in flows]
    assert sum(rates) ** 2 / (2 * sum(rate**2 for rate in rates)) >= bar


BESIDE_TCP = [(0.25, 0.35, 0.25), (0.5, 0.35, 0.3), (1, 0.3, 0.3), (3, 0.15, 0.5)]


@pytest.mark.parametrize(("queue", "ours", "theirs"), BESIDE_TCP)
def test_beside_tcp_neither_starves(queue, ours, theirs):
    flows = [Flow(), Flow(congestion=Cubic)]
    bottleneck = Bottleneck(link(10, 0.05, queue=queue), flows)
    bottleneck.run(14)
    assert flows[0].rate(4, 14) > ours * 10 * MEGABIT
    assert flows[1].rate(4, 14) > theirs * 10 * MEGABIT


RIVALS = {"tcp": Cubic, "ours": None}


@pytest.mark.parametrize("rival", RIVALS)
@pytest.mark.parametrize("rtt", [0.02, 0.15])
def test_background_traffic_yields_within_two_seconds(rival, rtt):
    background, other = Flow(priority=Priority.BACKGROUND), Flow(congestion=RIVALS[rival], begins=5)
    bottleneck = Bottleneck(link(10, rtt, queue=3), [background, other])
    bottleneck.run(9)
    assert background.rate(7, 9) < 0.15 * 10 * MEGABIT
    assert other.rate(7, 9) > 0.75 * 10 * MEGABIT


@pytest.mark.parametrize("rtt", [0.02, 0.3])
def test_background_traffic_alone_takes_the_link_and_queues_at_most_100_ms(rtt):
    background = Flow(priority=Priority.BACKGROUND)
    bottleneck = Bottleneck(link(10, rtt, queue=10), [background])
    bottleneck.run(16)
    assert max(bottleneck.queue_seconds) <= 0.1
    assert background.rate(10, 16) > 0.7 * 10 * MEGABIT


def test_background_traffic_gives_way_to_the_same_session():
    """P-REC-9."""
    pair = Pair(wire=link(10, 0.05), config=ETHERNET)
    pair.connect()
    waiting = [pair.left.send(CONTENT, Priority.BACKGROUND) for _ in range(4)]
    pair.run_for(1)
    wanted = pair.left.send(CONTENT, Priority.TRANSFER)
    took = pair.run_until(lambda: wanted.state is SendState.ACKED)
    assert took < 1.25 * (MIB / (10 * MEGABIT))
    assert not any(message.state is SendState.ACKED for message in waiting[1:])
    pair.run_until(lambda: all(message.state is SendState.ACKED for message in waiting))


@pytest.mark.parametrize("priority", [Priority.CONTROL, Priority.INTERACTIVE])
def test_a_small_message_beside_a_bulk_transfer_takes_at_most_three_times_its_idle_time(priority):
    pair = Pair(wire=link(20, 0.05, queue=2), config=ETHERNET)
    pair.connect()
    idle = _answer_time(pair, priority)
    bulk = [pair.left.send(CONTENT) for _ in range(24)]
    pair.run_for(2)
    loaded = [_answer_time(pair, priority) for _ in range(20)]
    assert not all(message.state is SendState.ACKED for message in bulk)
    assert max(loaded) <= 3 * idle


def _answer_time(pair: Pair, priority: Priority) -> float:
    """Seconds until a message of the size of a chat line has been acknowledged."""
    message = pair.left.send(b"x" * 300, priority)
    took = pair.run_until(lambda: message.state is SendState.ACKED)
    pair.run_for(0.05)
    return took


def test_a_path_that_reorders_loses_next_to_nothing():
    """P-REC-8."""
    wire = link(20, 0.05, jitter=0.01, queue=4)
    pair = Pair(wire=wire, config=ETHERNET)
    pair.connect()
    messages = [pair.left.send(CONTENT) for _ in range(8)]
    pair.run_until(lambda: all(message.state is SendState.ACKED for message in messages))
    assert pair.left.session.sender.outbox.repeated_bytes < 0.02 * 8 * MIB


def test_the_default_control_is_bbr():
    pair = Pair()
    pair.connect()
    assert isinstance(pair.left.session.sender.recovery.congestion, Bbr)
