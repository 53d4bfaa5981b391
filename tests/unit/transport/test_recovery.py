"""Loss recovery: what is lost, when to probe, what round trips say."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.errors import ProtocolError
from dfs_sdk.transport.config import TransportConfig
from dfs_sdk.transport.frames import Ack
from dfs_sdk.transport.outbox import OutgoingMessage
from dfs_sdk.transport.priority import Priority
from dfs_sdk.transport.ranges import RangeSet
from dfs_sdk.transport.recovery import Recovery
from dfs_sdk.transport.rtt import RttEstimator
from dfs_sdk.transport.sent import Piece, SentLog, SentRun


class Fixed:
    """Congestion control that notes what it is told."""

    window_bytes = 10**6
    pacing_rate = 1e6
    state = "fixed"

    def __init__(self):
        self.told = []

    def on_delivery(self, delivery):
        self.told.append(delivery)

    def set_packet_bytes(self, packet_bytes):
        pass


MESSAGE = OutgoingMessage(memoryview(bytes(100_000)), Priority.TRANSFER)


def run(first: int, stop: int, *, at: float = 0.0, probe: bool = False) -> SentRun:
    """Packets of 1,200 bytes that carry 1,000 message bytes each."""
    return SentRun(
        first=first,
        stop=stop,
        packet_bytes=1200,
        tail_bytes=1200,
        sent_at=at,
        snapshot=(0, 0.0, 0.0, False),
        cargo=(Piece(MESSAGE, first * 1000, stop * 1000),),
        step_bytes=1000,
        is_mtu_probe=probe,
    )


@pytest.fixture
def recovery():
    return Recovery(TransportConfig(), Fixed(), Fixed())


def acked(recovery, *ranges, at, next_number=1000):
    return recovery.on_ack(Ack(ranges=ranges, delay=0), next_number=next_number, now=at)


def pieces(cargo):
    return [(piece.start, piece.stop) for piece in cargo]


def bytes_of(cargo):
    ranges = RangeSet()
    for start, stop in pieces(cargo):
        assert ranges.add(start, stop) == stop - start
    return ranges


def test_three_later_packets_make_one_lost(recovery):
    """P-REC-1."""
    recovery.on_sent(run(0, 10))
    outcome = acked(recovery, (5, 6), at=0.1)
    assert pieces(outcome.acked) == [(5000, 6000)]
    assert pieces(outcome.lost) == [(0, 3000)]
    assert recovery.in_flight_bytes == 6 * 1200


def test_nine_eighths_of_a_round_trip_make_one_lost(recovery):
    """P-REC-1."""
    recovery.on_sent(run(0, 3))
    outcome = acked(recovery, (2, 3), at=0.08)
    assert outcome.lost == []
    assert recovery.loss_deadline() == pytest.approx(0.09)
    assert recovery.on_loss_timer(0.089).lost == []
    assert pieces(recovery.on_loss_timer(0.091).lost) == [(0, 2000)]
    assert recovery.in_flight_bytes == 0


def test_ranges_settle_runs_piece_by_piece(recovery):
    recovery.on_sent(run(0, 10))
    recovery.on_sent(run(10, 20, at=0.01))
    outcome = acked(recovery, (15, 20), (8, 12), (0, 2), at=0.05)
    assert list(bytes_of(outcome.acked)) == [(0, 2000), (8000, 12_000), (15_000, 20_000)]
    assert list(bytes_of(outcome.lost)) == [(2000, 8000), (12_000, 15_000)]
    assert acked(recovery, (15, 20), (8, 12), (0, 2), at=0.06).acked == []


def test_acknowledging_the_unsent_or_the_skipped_is_a_violation(recovery):
    """P-REC-3."""
    recovery.on_sent(run(0, 3))
    recovery.on_skipped(3)
    recovery.on_sent(run(4, 6))
    with pytest.raises(ProtocolError, match="never sent"):
        acked(recovery, (0, 7), at=0.1, next_number=6)
    with pytest.raises(ProtocolError, match="skipped"):
        acked(recovery, (0, 6), at=0.1, next_number=6)
    assert acked(recovery, (4, 6), (0, 3), at=0.1, next_number=6).lost == []


def test_probes_back_off_to_five_seconds(recovery):
    """P-REC-6."""
    recovery.is_confirmed = True
    recovery.on_sent(run(0, 5))
    waits = []
    for _ in range(8):
        deadline = recovery.probe_deadline()
        waits.append(deadline - recovery._last_sent_at)
        assert pieces(recovery.on_probe_timer())[0] == (0, 1000)
        assert recovery.probes_due == 2
        recovery.on_sent(run(100 + recovery.timeouts, 101 + recovery.timeouts, at=deadline))
    assert waits == sorted(waits)
    assert waits[0] == pytest.approx(0.333 + 4 * 0.1665 + 0.025)
    assert waits[-1] == 5.0


def test_acknowledgement_ends_the_back_off(recovery):
    recovery.on_sent(run(0, 1))
    recovery.on_probe_timer()
    acked(recovery, (0, 1), at=1.0)
    assert (recovery.timeouts, recovery.probes_due) == (0, 0)
    assert recovery.probe_deadline() is None


def test_lost_mtu_probe_is_no_congestion(recovery):
    """P-MTU-3."""
    recovery.on_sent(run(0, 1, probe=True))
    recovery.on_sent(run(1, 6))
    outcome = acked(recovery, (1, 6), at=0.1)
    assert outcome.probe_lost == 1200
    assert outcome.lost == []
    assert recovery.congestion.told[-1].lost_bytes == 0


def test_one_sample_after_silence_says_nothing_and_the_second_is_believed():
    """P-REC-6."""
    rtt = RttEstimator()
    rtt.update(0.05, ack_delay=0, after_silence=False)
    rtt.update(60.0, ack_delay=0, after_silence=True)
    assert rtt.smoothed == 0.05
    rtt.update(60.0, ack_delay=0, after_silence=True)
    assert rtt.smoothed > 5


def test_ack_delay_never_pushes_the_average_below_the_minimum():
    rtt = RttEstimator()
    rtt.update(0.1, ack_delay=0, after_silence=False)
    rtt.update(0.11, ack_delay=1000, after_silence=False)
    assert rtt.smoothed >= 0.1


def test_a_delay_beyond_what_is_allowed_counts_no_further_for_either_kind_of_traffic(recovery):
    """A11: a receiver that says that it waited makes the queue it causes look empty."""
    most = TransportConfig().ack_delay_max
    recovery.on_sent(run(0, 1))
    acked(recovery, (0, 1), at=0.05)
    recovery.on_sent(replace(run(1, 2, at=1.0), is_background=True))
    before = recovery.rtt.smoothed
    recovery.on_ack(Ack(ranges=((0, 2),), delay=4000.0), next_number=2, now=1.5)
    assert recovery.background.told[-1].rtt == pytest.approx(0.5 - most)
    assert recovery.rtt.smoothed == pytest.approx(0.875 * before + 0.125 * (0.5 - most))
    recovery.on_sent(replace(run(2, 3, at=2.0), is_background=True))
    before = recovery.rtt.smoothed
    recovery.on_ack(Ack(ranges=((0, 3),), delay=0.4), next_number=3, now=2.5)
    assert recovery.rtt.smoothed == pytest.approx(0.875 * before + 0.125 * (0.5 - most)), "above the minimum, too"


def test_log_takes_any_cut_and_keeps_the_rest():
    log = SentLog()
    for start in range(0, 100, 10):
        log.append(run(start, start + 10))
    taken = log.take(5, 35)
    assert [(part.first, part.stop) for part in taken] == [(5, 10), (10, 20), (20, 30), (30, 35)]
    assert [(part.first, part.stop) for part in log][:3] == [(0, 5), (35, 40), (40, 50)]
    assert log.in_flight_bytes == 70 * 1200
    assert log.take(5, 35) == []
    assert sum(part.size_bytes for part in log.take(0, 1000)) == 70 * 1200
    assert log.oldest is None


def test_lost_packets_that_arrive_after_all_are_taken_back_though_nothing_else_is_under_way(recovery):
    recovery.on_sent(run(0, 10))
    lost = acked(recovery, (3, 10), at=0.1)
    assert [(piece.start, piece.stop) for piece in lost.lost] == [(0, 3000)]
    assert recovery.lost_packets == 3
    assert recovery.log.oldest is None
    late = acked(recovery, (0, 10), at=0.11)
    assert late.acked_bytes == 3 * 1200
    assert recovery.lost_packets == 0
    recovery.on_sent(run(10, 20, at=0.2))
    assert not acked(recovery, (13, 20), (0, 10), at=0.3).lost, "where packets come late only time makes them lost"


@given(data=st.data())
def test_a_log_of_runs_is_the_log_of_its_packets(data: st.DataObject):
    """Whatever is taken out of it in whatever order: numbers, bytes and message bytes are those of the packets."""
    log, model, number = SentLog(), {}, 0
    for _ in range(data.draw(st.integers(1, 6))):
        number += data.draw(st.integers(0, 3))
        count, background = data.draw(st.integers(1, 8)), data.draw(st.booleans())
        tail = data.draw(st.integers(1, 1200))
        log.append(replace(run(number, number + count), tail_bytes=tail, is_background=background))
        for each in range(number, number + count):
            model[each] = (1200 if each < number + count - 1 else tail, background)
        number += count
    for _ in range(data.draw(st.integers(1, 8))):
        start = data.draw(st.integers(0, number))
        stop = data.draw(st.integers(start, number + 2))
        taken = log.take(start, stop)
        gone = [each for piece in taken for each in range(piece.first, piece.stop)]
        assert gone == [each for each in sorted(model) if start <= each < stop]
        assert sum(piece.size_bytes for piece in taken) == sum(model[each][0] for each in gone)
        for piece in taken:
            (cargo,) = piece.cargo
            assert (cargo.start, cargo.stop) == (piece.first * 1000, piece.stop * 1000)
        for each in gone:
            del model[each]
        assert log.in_flight_bytes == sum(size for size, _ in model.values())
        assert log.background_bytes == sum(size for size, background in model.values() if background)
        assert [each for left in log for each in range(left.first, left.stop)] == sorted(model)
