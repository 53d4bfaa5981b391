import importlib
import warnings

import pytest

matplotlib = pytest.importorskip("matplotlib", reason='pip install "dfs-sdk[notebook]"')
matplotlib.use("agg")

import matplotlib.pyplot as plt  # noqa: E402 - after the backend is chosen

from dfs_sdk.errors import MissingExtraError  # noqa: E402 - after the backend is chosen
from dfs_sdk.views import frames, plots  # noqa: E402 - after the backend is chosen
from tests.fakes.hostile import HOSTILE  # noqa: E402 - after the backend is chosen
from tests.fakes.rows import chunk_row, empty_snapshot, full_snapshot, hex_id, peer_row  # noqa: E402 - after the backend is chosen


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def legend(axes) -> list[str]:
    return [entry.get_text() for entry in axes.get_legend().get_texts()]


def draw(axes) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        axes.figure.canvas.draw()


def test_chunk_map_has_a_row_per_chunk_and_a_column_per_holder():
    axes = plots.plot_chunks(frames.chunks(full_snapshot()))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["node-0", "node-1", "node-2"]
    assert len(axes.get_yticklabels()) == 13
    assert axes.get_yticklabels()[0].get_text() == "data.bin manifest"
    assert sum(len(points.get_offsets()) for points in axes.collections) == 39
    draw(axes)


def test_roles_and_states_differ_by_more_than_colour():
    axes = plots.plot_chunks(frames.chunks(full_snapshot()))
    assert "primary" in legend(axes)
    assert "primary, holder does not answer" in legend(axes)
    signs = {shown.get_text() for shown in axes.texts}
    assert signs == {"?", "x"}
    assert len({plots.ROLE_SIGNS[role] for role in frames.ROLES}) == len(frames.ROLES)


def test_load_has_a_bar_per_node_with_its_figure():
    axes = plots.plot_load(frames.peers(full_snapshot()))
    assert axes.get_yticklabels()[0].get_text() == "node-0 (this node)"
    assert "1 MiB of 100 MiB" in axes.texts[0].get_text()
    draw(axes)


def test_load_of_a_swarm_names_each_node_as_itself():
    rows = [(f"n{n}", [peer_row(n, state="self")]) for n in range(3)]
    axes = plots.plot_load(frames.of_swarm("peers", rows))
    assert [label.get_text() for label in axes.get_yticklabels()] == ["node-0", "node-1", "node-2"]
    draw(axes)


def test_little_load_of_a_large_offer_is_still_seen():
    rows = tuple(peer_row(n, capacity_bytes=10 * 2**40) for n in range(3))
    axes = plots.plot_load(frames.peers(empty_snapshot(peers=rows)))
    assert axes.get_xlabel() == "MiB"
    assert max(bar.get_width() for bar in axes.patches) > 0.5 * axes.get_xlim()[1]


@pytest.mark.parametrize("plot", [plots.plot_chunks, plots.plot_load])
def test_plot_goes_where_it_is_told(plot):
    axes = plt.subplots()[1]
    frame = frames.chunks(full_snapshot()) if plot is plots.plot_chunks else frames.peers(full_snapshot())
    assert plot(frame, axes) is axes


def test_empty_frames_plot():
    draw(plots.plot_chunks(frames.chunks(empty_snapshot())))
    draw(plots.plot_load(frames.peers(empty_snapshot())))


def test_many_chunks_are_dots_of_the_same_colours():
    states = ("alive", "away")
    rows = tuple(chunk_row(n, n % 7, chunk_id=hex_id(n), state=states[n % 7 == 0]) for n in range(1_000))
    axes = plots.plot_chunks(frames.chunks(empty_snapshot(chunks=rows)))
    (image,) = axes.get_images()
    cells = image.get_array()
    assert cells.shape == (1_000, 7, 4)
    assert [tuple(cells[n, n % 7]) for n in (0, 1)] == [(0, 0x72, 0xB2, plots.PALE), (0, 0x72, 0xB2, 255)]
    assert (cells[:, :, 3] > 0).sum() == 1_000
    draw(axes)


def test_very_many_chunks_are_cut_and_say_so(monkeypatch):
    monkeypatch.setattr(plots, "CHUNKS_SHOWN_MAX", 400)
    snapshot = empty_snapshot(chunks=tuple(chunk_row(n, n % 7) for n in range(1_000)))
    axes = plots.plot_chunks(frames.chunks(snapshot))
    assert "first 400 of 1,000" in axes.get_title()
    assert len(axes.get_yticklabels()) <= plots.LABELS_SHOWN_MAX
    draw(axes)


def test_foreign_names_are_never_typeset():
    texts = [text for text in HOSTILE if len(text) < 200]
    rows = tuple(peer_row(0, name=text, node_id=f"{n:064x}") for n, text in enumerate(texts))
    for start in range(0, len(rows), plots.LABELS_SHOWN_MAX):
        axes = plots.plot_load(frames.peers(empty_snapshot(peers=rows[start : start + plots.LABELS_SHOWN_MAX])))
        labels = axes.get_yticklabels()
        assert not any(label.get_parse_math() for label in labels)
        draw(axes)
        plots._label(axes, "x", [label.get_text() for label in labels])
        assert not any(label.get_parse_math() for label in axes.get_xticklabels())


def test_missing_matplotlib_is_said_in_words(monkeypatch):
    def refuse(name, *args, **kwargs):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(MissingExtraError, match=r"pip install") as caught:
        plots.plot_load(frames.peers(empty_snapshot(peers=(peer_row(),))))
    assert isinstance(caught.value, ImportError)
