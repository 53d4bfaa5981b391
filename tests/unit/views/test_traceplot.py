"""Traces as frames and pictures: what is drawn, in which units, and the sentences where there is nothing to draw."""

import math
import sys
import warnings
from dataclasses import replace

import pytest

matplotlib = pytest.importorskip("matplotlib", reason='pip install "dfs-sdk[notebook]"')
matplotlib.use("agg")

import matplotlib.pyplot as plt  # noqa: E402 - after the backend is chosen
import numpy as np  # noqa: E402 - after the backend is chosen

from dfs_sdk.ids import NodeId  # noqa: E402 - after the backend is chosen
from dfs_sdk.node.traces import Traces  # noqa: E402 - after the backend is chosen
from dfs_sdk.node.tracing import Gap, trace_connections  # noqa: E402 - after the backend is chosen
from dfs_sdk.views import traceplot, traces  # noqa: E402 - after the backend is chosen
from tests.fakes.hostile import HOSTILE  # noqa: E402 - after the backend is chosen
from tests.fakes.rows import peer_id, transfer_row  # noqa: E402 - after the backend is chosen
from tests.fakes.samples import KIB, FakeConnections, Row, sample, samples, traced_of  # noqa: E402 - after the backend is chosen

MIB = 1024 * KIB
DONE = transfer_row(
    state="done", bytes_done=24 * MIB, direction="get", ended_at_wall=transfer_row().started_at_wall + 3
)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def row(seconds: float, *, number: int = 1, name: str = "bob", way: str = "sent", **figures) -> Row:
    """A peer to which 3 MiB a second go."""
    moved = {"sent_bytes": 0, "received_bytes": 0, "lost_packets": 0} | {f"{way}_bytes": round(3 * MIB * seconds)}
    rates = {"sent_rate": 0.0, "received_rate": 0.0} | {f"{way}_rate": 3.0 * MIB}
    return Row(
        peer=name,
        peer_id=peer_id(number),
        connection=figures.pop("connection", number),
        at_wall=1_700_000_000 + seconds,
        seconds=seconds,
        sample=sample(seconds, **(moved | figures)),
        **rates,
    )


def seconds_of(count: int = 20, **given) -> list[Row]:
    return [row(0.1 * (step + 1), **given) for step in range(count)]


def frame_of(*rows: Row, transfer=DONE, gap: Gap = Gap.NOTHING):
    return traces.trace(traced_of(*rows, transfer=transfer, gap=gap))


def legend(axes) -> list[str]:
    return [entry.get_text() for entry in axes.get_legend().get_texts()]


def sentences(four) -> list[str]:
    return [each.texts[0].get_text() if each.texts else "" for each in four]


def draw(four) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        four[0].figure.canvas.draw()


def test_a_frame_has_the_same_columns_full_and_empty():
    for frame in (frame_of(*seconds_of()), frame_of(gap=Gap.LITTLE)):
        assert {str(name): str(dtype) for name, dtype in frame.dtypes.items()} == traces.TRACE_COLUMNS
    assert list(frame_of(row(1.0), row(2.0)).index) == [0, 1]


def test_a_frame_says_what_it_is_of():
    running = replace(DONE, state="running", ended_at_wall=math.nan)
    titles = [
        frame_of(transfer=transfer).attrs["about"]
        for transfer in (DONE, running, replace(DONE, direction="put", state="failed"))
    ]
    assert titles == [
        "Download of data.bin: 24 MiB in 3 s",
        "Download of data.bin: 24 MiB, running",
        "Upload of data.bin: 24 MiB in 3 s, failed",
    ]
    assert frame_of(row(1.0), transfer=None).attrs["about"] == "Connection with bob"
    assert frame_of(row(1.0), row(1.0, number=2), transfer=None).attrs["about"] == "Connections with 2 peers"


def test_each_quantity_has_a_picture_with_its_unit_and_each_peer_a_line():
    rows = [*seconds_of(lost_packets=3), *seconds_of(number=2, name="eve")]
    four = traceplot.plot_trace(frame_of(*rows))
    labels = [each.get_ylabel() for each in four]
    assert labels == ["sent\nMiB/s", "under way\nKiB", "round trip\nms", "lost\npackets"]
    rates, windows, trips, losses = four
    assert rates.get_title() == "Download of data.bin: 24 MiB in 3 s"
    assert (legend(rates), legend(windows), legend(trips)) == (
        ["bob", "eve"], ["in flight", "window"], ["smoothed", "shortest"],
    )  # fmt: skip
    assert [len(each.lines) for each in four] == [2, 4, 4, 2]
    assert rates.lines[0].get_ydata() == pytest.approx([3.0] * 20)
    assert set(windows.lines[0].get_ydata()) == {100.0}
    assert set(windows.lines[2].get_ydata()) == {200.0}
    assert (set(trips.lines[0].get_ydata()), set(trips.lines[2].get_ydata())) == ({60.0}, {50.0})
    assert set(losses.lines[0].get_ydata()) == {3}
    assert losses.get_xlabel() == "seconds"
    assert len({line.get_color() for line in rates.lines}) == len({line.get_marker() for line in rates.lines}) == 2
    draw(four)


def test_who_only_receives_is_told_whose_windows_and_losses_are():
    four = traceplot.plot_trace(frame_of(*seconds_of(way="received")))
    rates, windows, trips, losses = four
    assert rates.get_ylabel() == "received\nMiB/s"
    assert sentences(four) == ["", traceplot.ONLY_RECEIVED, "", ""]
    assert not windows.axison
    assert not losses.axison
    assert trips.get_xlabel() == "seconds"
    draw(four)


def test_both_ways_are_told_apart():
    there, back = seconds_of(), seconds_of(number=2, name="eve", way="received")
    rates, *_ = traceplot.plot_trace(frame_of(*there, *back))
    assert legend(rates) == ["bob", "eve", "sent", "received"]
    assert rates.get_ylabel() == "rate\nMiB/s"
    assert [line.get_linestyle() for line in rates.lines] == ["-", "-", "--", "--"]


def test_that_nothing_was_lost_is_said():
    four = traceplot.plot_trace(frame_of(*seconds_of()))
    assert sentences(four) == ["", "", "", traceplot.NOTHING_LOST]


@pytest.mark.parametrize("gap", [Gap.ALONE, Gap.ABSENT, Gap.LITTLE, Gap.FORGOTTEN])
def test_an_empty_trace_is_one_sentence(gap: Gap):
    frame = frame_of(gap=gap)
    four = traceplot.plot_trace(frame)
    assert sentences(four) == [frame.attrs["note"], "", "", ""]
    assert frame.attrs["note"].startswith("Nothing to show: ")
    assert not any(each.axison for each in four)
    draw(four)


def test_rows_that_were_filtered_away_are_one_sentence():
    frame = frame_of(*seconds_of())
    assert sentences(traceplot.plot_trace(frame[frame["peer"] == "nobody"]))[0] == "Nothing to show."


def test_what_made_room_is_said_above_what_is_left():
    rates, *_ = traceplot.plot_trace(frame_of(*seconds_of(), gap=Gap.FORGOTTEN))
    assert rates.get_title().splitlines()[1] == "Part of what the connections noted has made room for what came later."


def test_one_row_is_seen():
    four = traceplot.plot_trace(frame_of(row(0.2)))
    assert four[0].lines[0].get_marker() == "o"
    assert four[0].lines[0].get_ydata() == pytest.approx([3.0])
    draw(four)


def test_one_row_of_which_nothing_is_known_but_its_instant_is_drawn():
    unknown = replace(row(0.2, sent_bytes=0), sent_rate=math.nan, received_rate=math.nan)
    four = traceplot.plot_trace(frame_of(unknown, gap=Gap.FORGOTTEN))
    assert [each.axison for each in four] == [True, True, True, False]
    draw(four)


def test_a_line_is_broken_where_its_connection_was_quiet_and_another_connection_is_another_line():
    rows = [*seconds_of(), row(9.0), row(9.1), row(9.2, connection=5), row(9.3, connection=5)]
    rates, *_ = traceplot.plot_trace(frame_of(*rows))
    first, second = rates.lines
    assert list(np.flatnonzero(np.isnan(first.get_xdata()))) == [20]
    assert (first.get_color(), len(second.get_xdata())) == (second.get_color(), 2)
    assert legend(rates) == ["bob"]


def test_a_slow_connection_and_one_that_was_noted_more_coarsely_long_ago_are_one_line():
    slow = [row(3.0 * step) for step in range(1, 9)]
    coarse = [row(seconds, number=2) for seconds in (20, 40, 50, 55, 57, 58, 58.5, *np.arange(59.0, 62.0, 0.1))]
    rates, *_ = traceplot.plot_trace(frame_of(*slow, *coarse))
    assert not any(np.isnan(line.get_xdata()).any() for line in rates.lines)


def test_a_burst_does_not_set_the_scale_unless_it_is_all():
    burst = replace(row(0.004), sent_rate=40.0 * MIB)
    rates, *_ = traceplot.plot_trace(frame_of(burst, *seconds_of()))
    assert math.isnan(rates.lines[0].get_ydata()[0])
    alone, *_ = traceplot.plot_trace(frame_of(burst))
    assert alone.lines[0].get_ydata() == pytest.approx([40.0])


def test_many_rates_are_drawn_as_fewer_that_tell_of_the_same_bytes():
    rows = [replace(row(0.1 * step), sent_rate=MIB * (step % 2) * 6.0) for step in range(1, 601)]
    rates, windows, *_ = traceplot.plot_trace(frame_of(*rows))
    (line,) = rates.lines
    assert len(line.get_xdata()) == traceplot.RATES_SHOWN_MAX
    assert line.get_ydata()[1:] == pytest.approx([3.0] * (traceplot.RATES_SHOWN_MAX - 1), rel=1e-3)
    assert line.get_xdata()[-1] == pytest.approx(60.0)
    assert len(windows.lines[0].get_xdata()) == 600


def test_of_many_peers_the_busiest_are_drawn():
    rows = [row(1.0, number=number, name=f"node-{number}", sent_bytes=number * MIB) for number in range(1, 10)]
    rates, *_ = traceplot.plot_trace(frame_of(*rows, transfer=None))
    assert legend(rates) == [f"node-{number}" for number in (9, 8, 7, 6, 5, 4)]
    assert rates.get_title() == "Connections with 9 peers (the busiest 6 of 9 peers)"


def test_peers_of_one_name_are_told_apart():
    rates, *_ = traceplot.plot_trace(frame_of(row(1.0), row(1.0, number=2)))
    assert legend(rates) == [f"bob ({peer_id(1)[:8]})", f"bob ({peer_id(2)[:8]})"]


@pytest.mark.parametrize("name", [*HOSTILE[:5], "_hidden", "$x^2$"])
def test_hostile_names_are_shown_and_not_typeset(name: str):
    four = traceplot.plot_trace(frame_of(*seconds_of(name=name), transfer=replace(DONE, file=name)))
    assert len(legend(four[0])) == 1
    assert not any(text.get_parse_math() for text in (four[0].title, *four[0].get_legend().get_texts()))
    draw(four)


def test_axes_of_ones_own_are_drawn_on():
    _, axes = plt.subplots(4, 1)
    assert traceplot.plot_trace(frame_of(*seconds_of()), axes) == tuple(axes)
    with pytest.raises(ValueError, match="unpack"):
        traceplot.plot_trace(frame_of(*seconds_of()), axes[:3])


@pytest.mark.parametrize("background", ["#ffffff", "#000000"])
def test_lines_stand_out_on_light_and_on_dark(background: str):
    def luminance(color: str) -> float:
        parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    for color in (*traceplot.COLORS, traceplot.GREY):
        dark, light = sorted((luminance(color), luminance(background)))
        assert (light + 0.05) / (dark + 0.05) >= 3, color


def test_a_frame_of_ten_times_as_many_rows_takes_no_more_calls():
    def calls(rows: int) -> int:
        connections = FakeConnections()
        for number in range(1, 21):
            connections.connect(number).trace = samples(0.1 * number, 0.1 * number + rows - 1)
        counted = 0

        def count(*_: object) -> None:
            nonlocal counted
            counted += 1

        kept = Traces(connections)
        sys.setprofile(count)
        try:
            frame = traces.trace(trace_connections(kept.of(), name=NodeId.hex, epoch_wall=1.7e9))
        finally:
            sys.setprofile(None)
        assert len(frame) == 20 * rows
        return counted

    calls(1)  # what is imported and kept on first use
    assert calls(600) <= 1.1 * calls(60)
