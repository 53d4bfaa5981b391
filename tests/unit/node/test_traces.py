"""What is kept of connections beyond their rings, and how transfers are cut out of it."""

from __future__ import annotations

import math
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from dfs_sdk.errors import ConfigError
from dfs_sdk.files.transfers import Direction, Transfer
from dfs_sdk.ids import NodeId
from dfs_sdk.node.naming import find_transfer
from dfs_sdk.node.traces import ConnectionTrace, Traces
from dfs_sdk.node.tracing import Gap, Traced, trace_connections, trace_transfer
from dfs_sdk.transport.trace import TRACE_LENGTH_MAX, Samples, in_rows, joined
from tests.fakes.runtime import FakeClock
from tests.fakes.samples import FakeConnections, instants, peer, rows_of, sample, samples

EPOCH_WALL = 1_700_000_000.0
NOTHING_LOST = (math.inf, -math.inf)


def transfer(begin: float = 0.0, end: float = math.inf, *, sources: tuple[int, ...] = (1,), **given: Any) -> Transfer:
    numbered: dict[str, Any] = {"transfer_id": 1, "direction": Direction.GET, "name": "x"} | given
    made = Transfer(bytes_total=None, clock=FakeClock(monotonic=begin, wall=EPOCH_WALL + begin), **numbered)
    made.ended_at = end
    made.sources = {peer(number) for number in sources}
    return made


def cut(
    made: Transfer, *traces: ConnectionTrace, peers: set[NodeId] | None = None, forgotten_until: float = -math.inf
) -> Traced:
    return trace_transfer(
        made,
        traces,
        peers=made.sources if peers is None else peers,
        forgotten_until=forgotten_until,
        name=lambda node_id: f"peer {node_id[0]}",
    )


def line(
    number: int, *taken: Samples, lost: tuple[float, float] = NOTHING_LOST, connection: int = 1
) -> ConnectionTrace:
    return ConnectionTrace(
        peer=peer(number), connection=connection, samples=joined(*taken), lost=lost, coarse_until=-math.inf
    )


def test_open_connections_are_read_from_their_rings_and_idle_ones_left_out():
    connections = FakeConnections()
    traces = Traces(connections)
    connections.connect(1).trace = samples(0, 2)
    connections.connect(2)
    connections.connect(3).trace = samples(5, 6)
    assert instants(traces) == [[0, 1, 2], [5, 6]]
    assert instants(traces, 3) == [[5, 6]]
    assert instants(traces, 2) == []


def test_the_trace_of_a_closed_connection_stays_and_its_successor_has_a_number_of_its_own():
    connections = FakeConnections()
    traces = Traces(connections)
    first = connections.connect(1)
    first.trace = samples(0, 2)
    connections.close(first)
    connections.connect(1).trace = samples(7, 8)
    assert instants(traces, 1) == [[0, 1, 2], [7, 8]]
    assert [trace.connection for trace in traces.of()] == [1, 2]
    assert traces.of()[0].lost == NOTHING_LOST


def test_a_closed_connection_without_samples_leaves_nothing():
    connections = FakeConnections()
    traces = Traces(connections)
    connections.close(connections.connect(1))
    assert traces.of() == []


def test_the_last_sample_of_a_transfer_is_kept_though_the_ring_never_takes_it():
    connections = FakeConnections()
    traces = Traces(connections)
    connection = connections.connect(1)
    connection.trace = joined(samples(0, 2), in_rows(sample(2.4)))  # the last one is of this moment
    traces.keep([peer(1), peer(9)])
    connection.trace = joined(samples(0, 2), in_rows(sample(30.0)))
    assert instants(traces) == [[0, 1, 2, 2.4, 30]]


def test_what_was_kept_outlives_the_ring_and_the_hole_between_them_is_told():
    connections = FakeConnections()
    traces = Traces(connections)
    connection = connections.connect(1)
    connection.trace = samples(0, 2)
    traces.keep([peer(1)])
    connection.trace = samples(100, 100 + TRACE_LENGTH_MAX - 1)
    (trace,) = traces.of()
    assert (*trace.samples["at"][2:4], trace.lost) == (2, 100, (2, 100))


def test_a_full_ring_tells_that_it_may_have_dropped_what_came_before():
    connections = FakeConnections()
    traces = Traces(connections)
    connections.connect(1).trace = samples(100, 100 + TRACE_LENGTH_MAX - 1)
    assert traces.of()[0].lost == (-math.inf, 100)


def test_short_traces_of_closed_connections_make_room_the_oldest_first_and_whole():
    connections = FakeConnections()
    traces = Traces(connections, samples_max=9)
    for number in range(1, 6):
        connection = connections.connect(number)
        connection.trace = samples(10 * number, 10 * number + 2)
        connections.close(connection)
        assert sum(map(len, instants(traces))) <= 9
    assert instants(traces) == [[30, 31, 32], [40, 41, 42], [50, 51, 52]]
    assert traces.forgotten_until == 22


def test_open_connections_make_room_as_well_and_keep_their_rings():
    connections = FakeConnections()
    traces = Traces(connections, samples_max=5)
    one, two = connections.connect(1), connections.connect(2)
    one.trace, two.trace = samples(0, 2), samples(0, 2)
    traces.keep([peer(1), peer(2)])
    one.trace = samples(1, 3)
    kept, other = traces.of()
    assert kept.samples["at"].tolist() == [1, 2, 3]
    assert (kept.lost, other.lost) == ((-math.inf, 2), NOTHING_LOST)
    assert traces.forgotten_until == -math.inf


def test_a_long_trace_becomes_coarser_and_tells_of_its_beginning_and_of_all_bytes():
    connections = FakeConnections()
    traces = Traces(connections, samples_max=1000)
    connection = connections.connect(1)
    short = connections.connect(2)
    short.trace = samples(0, 5)
    connections.close(short)
    for begin in range(0, 20_000, 500):
        connection.trace = samples(begin, begin + TRACE_LENGTH_MAX - 1)
        traces.keep([peer(1)])
        assert sum(len(trace.samples) for trace in traces.of()) <= 1000
    long, other = sorted(traces.of(), key=lambda trace: -len(trace.samples))
    taken = long.samples["at"].tolist()
    assert len(other.samples) == 6
    assert (taken[0], taken[-1], long.lost) == (0, 20_099, (-math.inf, 0))  # as the first ring was full
    assert taken == sorted(set(taken))
    assert taken[-50:] == [*range(20_050, 20_100)]
    for earlier, later in pairwise(taken):
        assert later - earlier <= 1 + (20_099 - earlier) / 10
    made = transfer(0.0, 30_000.0)
    assert rows_of(cut(made, long))[-1].sample.sent_bytes == 1000 * 20_099


@pytest.mark.parametrize("begin", range(500, 4000, 250))
def test_a_transfer_in_a_coarse_trace_counts_no_bytes_of_before_and_says_what_is_missing(begin: int):
    connections = FakeConnections()
    traces = Traces(connections, samples_max=500)
    connection = connections.connect(1)
    for start in range(0, 20_000, 500):
        connection.trace = samples(start, start + TRACE_LENGTH_MAX - 1)
        traces.keep([peer(1)])
    traced = cut(transfer(begin + 0.5, begin + 60.0), *traces.of())
    assert traced.gap is Gap.FORGOTTEN
    assert all(row.sample.sent_bytes <= 1000 * 60 for row in rows_of(traced))
    assert all(row.sent_rate <= 1001 for row in rows_of(traced) if row.sent_rate == row.sent_rate)


def test_a_transfer_is_cut_to_its_span_and_counts_from_its_begin():
    traced = cut(transfer(2.5, 6.0), line(1, samples(0, 9)))
    assert [row.seconds for row in rows_of(traced)] == [0.5, 1.5, 2.5, 3.5]
    assert [row.sample.sent_bytes for row in rows_of(traced)] == [1000, 2000, 3000, 4000]
    assert [row.sample.lost_packets for row in rows_of(traced)] == [1, 2, 3, 4]
    assert [row.at_wall - EPOCH_WALL for row in rows_of(traced)] == [3, 4, 5, 6]
    assert [row.sent_rate for row in rows_of(traced)] == [2000, 1000, 1000, 1000]
    assert (traced.gap, traced.transfer.file if traced.transfer else "") == (Gap.NOTHING, "x")


def test_what_a_quiet_connection_moved_long_before_does_not_lower_the_first_rate():
    quiet = sample(0.0, sent_bytes=5_000)
    traced = cut(transfer(100.0), line(1, in_rows(quiet, sample(101.0, sent_bytes=25_000))))
    (row,) = rows_of(traced)
    assert (row.sample.sent_bytes, row.sent_rate) == (20_000, 20_000)


def test_a_connection_that_opened_during_the_transfer_counts_from_its_own_beginning():
    traced = cut(transfer(2.0, sources=(1, 2)), line(1, samples(0, 4)), line(2, in_rows(sample(3.0)), connection=2))
    assert [(row.peer, row.seconds, row.sample.sent_bytes) for row in rows_of(traced)] == [
        ("peer 1", 0, 1000), ("peer 1", 1, 2000), ("peer 2", 1, 3000), ("peer 1", 2, 3000),
    ]  # fmt: skip
    assert math.isnan(rows_of(traced)[0].sent_rate)


def test_where_the_beginning_made_room_counting_begins_with_what_is_left():
    traced = cut(transfer(2.0), line(1, samples(100, 102), lost=(-math.inf, 100)))
    assert [row.sample.sent_bytes for row in rows_of(traced)] == [0, 1000, 2000]
    assert math.isnan(rows_of(traced)[0].sent_rate)
    assert traced.gap is Gap.FORGOTTEN


def test_a_hole_after_the_transfer_is_none_of_its_own():
    traced = cut(transfer(0.5, 2.0), line(1, samples(0, 2), samples(100, 101), lost=(2, 100)))
    assert ([row.seconds for row in rows_of(traced)], traced.gap) == ([0.5, 1.5], Gap.NOTHING)
    after = cut(transfer(50.0), line(1, samples(0, 2), samples(100, 101), lost=(2, 100)))
    assert [row.sample.sent_bytes for row in rows_of(after)] == [0, 1000]
    assert after.gap is Gap.FORGOTTEN


@pytest.mark.parametrize(
    ("made", "traces", "peers", "forgotten_until", "gap"),
    [
        (transfer(sources=()), (), None, -math.inf, Gap.ALONE),
        (transfer(), (), set(), -math.inf, Gap.ABSENT),
        (transfer(5.0), (), None, -math.inf, Gap.LITTLE),
        (transfer(5.0), (line(1, samples(0, 4)),), None, 4.0, Gap.LITTLE),
        (transfer(5.0), (), None, 6.0, Gap.FORGOTTEN),
        (transfer(sources=(1, 2)), (line(1, samples(0, 4)),), None, 6.0, Gap.FORGOTTEN),
        (transfer(), (line(1, samples(0, 4)),), None, 6.0, Gap.NOTHING),
    ],
)
def test_what_is_missing_is_known(
    made: Transfer, traces: tuple[ConnectionTrace, ...], peers: set[NodeId] | None, forgotten_until: float, gap: Gap
):
    assert cut(made, *traces, peers=peers, forgotten_until=forgotten_until).gap is gap


def test_without_a_transfer_bytes_count_from_the_beginning_of_the_connection():
    traces = [line(1, samples(3, 4), connection=3), line(2, samples(4, 5), connection=7)]
    traced = trace_connections(traces, name=lambda node_id: str(node_id[0]), epoch_wall=EPOCH_WALL)
    assert [(row.connection, row.seconds, row.sample.sent_bytes) for row in rows_of(traced)] == [
        (3, 0, 3000), (3, 1, 4000), (7, 1, 4000), (7, 2, 5000),
    ]  # fmt: skip
    assert [row.sent_rate for row in rows_of(traced)] == [
        pytest.approx(each, nan_ok=True) for each in (math.nan, 1000, math.nan, 1000)
    ]
    assert trace_connections([], name=str, epoch_wall=0.0).gap is Gap.LITTLE


def test_each_row_tells_of_the_state_of_its_own_connection():
    words = ["startup", "startup", "drain", "probe bandwidth", "startup"]
    whole = in_rows(*(sample(at, state=word) for at, word in enumerate(words)))
    traced = cut(transfer(0.0, sources=(1, 2)), line(1, whole), line(2, samples(0, 4), connection=2))
    assert [row.sample.state for row in rows_of(traced) if row.connection == 1] == words
    assert {row.sample.state for row in rows_of(traced) if row.connection == 2} == {"startup"}


def test_a_transfer_is_found_by_number_row_object_and_name():
    first, second = transfer(transfer_id=3, name="a"), transfer(transfer_id=4, name="b")
    listed = [first, second]
    for which in (second, 4, SimpleNamespace(transfer_id=4), "b"):
        assert find_transfer(which, listed) is second


@pytest.mark.parametrize(
    ("which", "words"),
    [
        ("nothing", "no transfer of 'nothing' is remembered"),
        ("a", r"2 transfers are of 'a': give the number of one instead: 3 \(get, running\), 4 \(put, running\)"),
        (9, "no transfer has the number 9"),
        (transfer(transfer_id=3), "no transfer has the number 3"),  # of another node
        (2.5, "give one row of `transfers\\(\\)`, its transfer_id or its file's name, not float"),
    ],
)
def test_a_transfer_that_is_not_meant_clearly_is_refused(which: Any, words: str):
    listed = [transfer(transfer_id=3, name="a"), transfer(transfer_id=4, name="a", direction=Direction.PUT)]
    with pytest.raises(ConfigError, match=words):
        find_transfer(which, listed)
