"""Traces: what is kept of a transfer, and that idle sessions keep nothing."""

from __future__ import annotations

from itertools import pairwise

from dfs_sdk.transport.config import MIB
from dfs_sdk.transport.outbox import SendState
from dfs_sdk.transport.trace import TRACE_BYTES_MIN, TRACE_INTERVAL, TRACE_LENGTH_MAX, Trace, TraceSample
from tests.fakes.pair import Pair, Wire


def sample(at: float, sent_bytes: int = 0) -> TraceSample:
    return TraceSample(
        at=at,
        rtt=0.05,
        rtt_min=0.05,
        window_bytes=1,
        background_window_bytes=1,
        in_flight_bytes=1,
        pacing_rate=1.0,
        sent_bytes=sent_bytes,
        received_bytes=0,
        lost_packets=0,
        state="start",
    )


def test_the_oldest_samples_make_room():
    trace = Trace()
    for at in range(TRACE_LENGTH_MAX + 5):
        trace.add(sample(float(at)))
    assert [trace.samples[0].at, trace.samples[-1].at] == [5.0, TRACE_LENGTH_MAX + 4.0]
    assert len(trace.samples) == TRACE_LENGTH_MAX


def test_talk_is_no_transfer():
    trace = Trace()
    trace.add(sample(0.0, sent_bytes=1000))
    assert not trace.is_worth(1000 + TRACE_BYTES_MIN - 1)
    assert trace.is_worth(1000 + TRACE_BYTES_MIN)


def test_a_transfer_is_traced_at_both_ends_ten_times_a_second_and_tells_of_losses():
    pair = Pair(wire=Wire(bytes_per_second=2e6, delay=0.02, loss=0.02))
    pair.connect()
    message = pair.left.send(bytes(4 * MIB))
    took = pair.run_until(lambda: message.state is SendState.ACKED)
    sent, received = pair.left.session.trace, pair.right.session.trace
    for trace in (sent, received):
        steps = [later.at - earlier.at for earlier, later in pairwise(trace[:-1])]
        assert min(steps) >= TRACE_INTERVAL - 1e-9
        assert 0.7 * took / TRACE_INTERVAL <= len(trace) <= took / TRACE_INTERVAL + 2
    assert 0 < sent[-1].lost_packets <= pair.left.session.statistics.lost_packets
    assert max(each.in_flight_bytes for each in sent) > 50_000
    assert received[-1].received_bytes > 4 * MIB
    assert all(each.rtt >= 0.04 for each in sent)


def test_an_idle_session_keeps_no_samples():
    pair = Pair()
    pair.connect()
    pair.run_for(600)
    assert pair.left.session.trace == pair.right.session.trace == ()
