"""Traces: what is kept of a transfer, and that idle sessions keep nothing."""

from __future__ import annotations

from dataclasses import astuple, fields, replace

import numpy as np
import pytest

from dfs_sdk.transport.bbr import Phase
from dfs_sdk.transport.config import MIB
from dfs_sdk.transport.outbox import SendState
from dfs_sdk.transport.trace import (
    TRACE_BYTES_MIN,
    TRACE_INTERVAL,
    TRACE_LENGTH_MAX,
    Trace,
    TraceSample,
    in_rows,
    joined,
)
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
    assert trace.samples["at"].tolist() == [float(at) for at in range(5, TRACE_LENGTH_MAX + 5)]


def test_what_was_read_stays_when_further_samples_come():
    trace = Trace()
    trace.add(sample(0.0))
    before = trace.samples
    for at in range(1, TRACE_LENGTH_MAX + 5):
        trace.add(sample(float(at)))
    assert before.tolist() == in_rows(sample(0.0)).tolist()


def test_rows_hold_each_figure_and_are_joined_in_their_order():
    first, second = sample(1.5, sent_bytes=2**52 + 1), sample(2.5)
    joint = joined(in_rows(first), in_rows(), in_rows(second))
    assert joint.dtype.names == tuple(field.name for field in fields(TraceSample))
    assert joint.tolist() == [(*astuple(each)[:-1], b"start") for each in (first, second)]


def test_talk_is_no_transfer():
    trace = Trace()
    trace.add(sample(0.0, sent_bytes=1000))
    assert not trace.is_worth(1000 + TRACE_BYTES_MIN - 1)
    assert trace.is_worth(1000 + TRACE_BYTES_MIN)


@pytest.mark.parametrize("phase", Phase)
def test_the_word_of_each_phase_has_room(phase: Phase):
    (row,) = in_rows(replace(sample(0.0), state=phase.value))
    assert row["state"].decode() == phase.value


def test_a_transfer_is_traced_at_both_ends_ten_times_a_second_and_tells_of_losses():
    pair = Pair(wire=Wire(bytes_per_second=2e6, delay=0.02, loss=0.02))
    pair.connect()
    message = pair.left.send(bytes(4 * MIB))
    took = pair.run_until(lambda: message.state is SendState.ACKED)
    sent, received = pair.left.session.trace, pair.right.session.trace
    for trace in (sent, received):
        steps = np.diff(trace["at"][:-1])
        assert min(steps) >= TRACE_INTERVAL - 1e-9
        assert 0.7 * took / TRACE_INTERVAL <= len(trace) <= took / TRACE_INTERVAL + 2
    assert 0 < sent["lost_packets"][-1] <= pair.left.session.statistics.lost_packets
    assert max(sent["in_flight_bytes"]) > 50_000
    assert received["received_bytes"][-1] > 4 * MIB
    assert min(sent["rtt"]) >= 0.04


def test_an_idle_session_keeps_no_samples():
    pair = Pair()
    pair.connect()
    pair.run_for(600)
    assert len(pair.left.session.trace) == len(pair.right.session.trace) == 0
