"""A swarm over time: frames with fixed columns, plots that draw what the frames say, a bar."""

import io
from collections.abc import Callable
from dataclasses import replace

import matplotlib as mpl
import pytest
from matplotlib.axes import Axes

from dfs_sdk.node.snapshot import EventRow
from dfs_sdk.sim.chronicle import Standing
from dfs_sdk.ui.runbar import RunBar
from dfs_sdk.views import history
from dfs_sdk.views.bar import SilentBar, TerminalBar, make_bar

mpl.use("Agg")

FIRST = Standing(
    at_wall=1_788_771_600.0, seconds=0.0, nodes=5, up=5, answering=5, files=2, readable=2, chunks=8, copies_min=3,
    copies_mean=3.0, copies_kept=3.0, delivered=10, lost=0, bytes_delivered=1000, repairs=0, events=4,
)  # fmt: skip
STANDINGS = (FIRST, replace(FIRST, at_wall=FIRST.at_wall + 3600, seconds=3600.0, answering=2, readable=1, copies_min=0,
    bytes_delivered=3_601_000, repairs=2))  # fmt: skip
ROWS = [
    ("n1", EventRow(at_wall=1_788_771_600.0, topic="peers", kind="PeerJoined", text="n2 joined")),
    ("n2", EventRow(at_wall=1_788_775_200.0, topic="node", kind="sleep", text="sleep n2 for 60 s")),
]


def test_frames_have_their_columns_also_when_empty():
    for standings in ((), STANDINGS):
        frame = history.history(standings)
        assert list(frame.columns) == list(history.HISTORY_COLUMNS)
        assert str(frame["at"].dtype) == "datetime64[ns, UTC]"
    assert list(history.events([]).columns) == ["node", "at", "topic", "kind", "text"]
    assert history.events(ROWS)["node"].tolist() == ["n1", "n2"]


def test_every_field_of_a_standing_is_a_column():
    fields = {name.removesuffix("_wall") for name in Standing.__dataclass_fields__}
    assert fields == set(history.HISTORY_COLUMNS)


@pytest.mark.parametrize("standings", [(), STANDINGS[:1], STANDINGS])
def test_plots_draw_any_history(standings: tuple[Standing, ...]):
    frame = history.history(standings)
    for plot in (history.plot_availability, history.plot_copies, history.plot_traffic):
        axes = plot(frame)
        assert axes.get_title()
        assert axes.get_xlabel() in history.TIME_UNITS
        axes.figure.canvas.draw()
        mpl.pyplot.close(axes.figure)


@pytest.mark.parametrize(("seconds", "unit"), [(3.0, "seconds"), (300.0, "minutes"), (90_000.0, "hours")])
def test_time_is_drawn_in_the_unit_it_lasted_in(seconds: float, unit: str):
    axes = history.plot_copies(history.history((FIRST, replace(FIRST, seconds=seconds))))
    assert axes.get_xlabel() == unit
    assert axes.get_lines()[0].get_xdata()[1] == pytest.approx(seconds / history.TIME_UNITS[unit])
    history.plot_copies(history.history(STANDINGS), axes)
    assert axes.get_lines()[3].get_xdata()[1] == pytest.approx(3600 / history.TIME_UNITS[unit])
    mpl.pyplot.close(axes.figure)


@pytest.mark.parametrize("plot", [history.plot_copies, history.plot_availability])
def test_swarms_drawn_side_by_side_fit_the_axis_that_they_share(plot: Callable[..., Axes]):
    figure, both = mpl.pyplot.subplots(1, 2, sharey=True)
    few, many = replace(FIRST, nodes=2, up=2, answering=2, copies_mean=2.0, copies_kept=2.0, copies_min=1), FIRST
    for axes, standing in zip(both, (few, many), strict=True):
        plot(history.history((standing, replace(standing, seconds=60.0))), axes)
    for axes in both:
        low, high = axes.get_ylim()
        assert low == 0
        assert all(max(line.get_ydata()) <= high for each in both for line in each.get_lines())
    mpl.pyplot.close(figure)


def test_copies_of_no_file_are_a_sentence_and_no_blank():
    axes = history.plot_copies(history.history([replace(FIRST, files=0, chunks=0)]))
    assert "settled" in axes.texts[0].get_text()
    assert axes.get_legend() is None
    mpl.pyplot.close(axes.figure)


def test_no_line_hides_one_of_the_same_values():
    for plot in (history.plot_availability, history.plot_copies):
        axes = plot(history.history(STANDINGS))
        assert [line.get_linestyle() for line in axes.get_lines()].index("-") == 0  # what lies above it has gaps
        assert len({line.get_linestyle() for line in axes.get_lines()}) == 3
        mpl.pyplot.close(axes.figure)


def test_traffic_is_drawn_per_second():
    axes = history.plot_traffic(history.history(STANDINGS))
    assert axes.get_lines()[0].get_ydata().tolist() == pytest.approx([1000 / 1])
    assert axes.get_ylabel() == "B/s"
    mpl.pyplot.close(axes.figure)


def test_events_are_drawn_a_row_for_each_kind():
    axes = history.plot_events(history.events(ROWS))
    assert {label.get_text() for label in axes.get_yticklabels()} == {"PeerJoined", "sleep"}
    axes.figure.canvas.draw()
    mpl.pyplot.close(axes.figure)
    mpl.pyplot.close(history.plot_events(history.events([])).figure)


def test_terminal_bar_draws_over_one_line():
    out = io.StringIO()
    with TerminalBar(out) as bar:
        bar.show(0.5, "a long thing to say")
        bar.show(2.0, "done\x1b[31m")
        assert not bar.is_stopped
    lines = out.getvalue().split("\r")
    assert lines[1].count("█") == lines[1].count("░") == 12
    assert "░" not in lines[2]
    assert "\x1b" not in lines[2]
    assert len(lines[2].rstrip("\n")) >= len(lines[1])
    assert out.getvalue().endswith("\n")


def test_no_bar_where_nobody_looks(capsys: pytest.CaptureFixture[str]):
    assert isinstance(make_bar(False), SilentBar)
    assert type(make_bar(None)) is SilentBar  # captured: no terminal
    assert isinstance(make_bar(True), TerminalBar)


def test_widget_bar_stops_by_its_button_and_keeps_its_last_word():
    bar = RunBar()
    with bar:
        bar.show(0.25, "a quarter")
        assert not bar.is_stopped
        bar._button.click()
        assert bar.is_stopped
    assert bar._bar.value == 250
    assert bar._label.value == "a quarter"
    assert bar._button not in bar.widget.children
