"""The methods of `Node` that show it: each opens its view or panel through the door when it is called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dfs_sdk.node.snapshot import NodeSnapshot
from dfs_sdk.runtime.door import face

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from dfs_sdk.ids import NodeId
    from dfs_sdk.node.naming import WhichTransfer
    from dfs_sdk.node.node import Node


def chunks(node: Node, what: str | None = None) -> pd.DataFrame:
    """Where every chunk is and why: one row per copy, as last confirmed; `await node.audit()` asks anew.

    Args:
        node: The node.
        what: Only the file of this name.
    """
    frame: pd.DataFrame = face("views.frames").chunks(node.snapshot(), file=what)
    return frame


def peers(node: Node) -> pd.DataFrame:
    """The members of the network, one row each, this node included."""
    frame: pd.DataFrame = face("views.frames").peers(node.snapshot())
    return frame


def files(node: Node) -> pd.DataFrame:
    """The files this node knows, one row each."""
    frame: pd.DataFrame = face("views.frames").files(node.snapshot())
    return frame


def transfers(node: Node) -> pd.DataFrame:
    """Uploads and downloads, one row each, running and finished."""
    frame: pd.DataFrame = face("views.frames").transfers(node.snapshot())
    return frame


def events(node: Node, limit: int | None = None) -> pd.DataFrame:
    """What happened, one row per event, oldest first."""
    frame: pd.DataFrame = face("views.frames").events(node.snapshot(), limit=limit)
    return frame


def messages(node: Node) -> pd.DataFrame:
    """The chat as a table, one row per message."""
    frame: pd.DataFrame = face("views.frames").messages(node.snapshot())
    return frame


def plot_chunks(node: Node, what: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw which holder has which chunk.

    Args:
        node: The node.
        what: Only the file of this name.
        ax: Axes to draw on.
    """
    axes: Axes = face("views.plots").plot_chunks(chunks(node, what), ax)
    return axes


def plot_load(node: Node, ax: Axes | None = None) -> Axes:
    """Draw how full each member is."""
    axes: Axes = face("views.plots").plot_load(peers(node), ax)
    return axes


def trace(node: Node, peer: NodeId | str | None = None, *, transfer: WhichTransfer | None = None) -> pd.DataFrame:
    """What connections went through while data moved: round trips, windows, rates, losses; up to ten rows a second.

    Closed connections are in it as long as their samples are kept; `frame.attrs["note"]` says what is missing, if
    something is.

    Args:
        node: The node.
        peer: Only connections with this one, by name or id.
        transfer: Only what a transfer went through: the connections with the peers it used, from its begin to its end;
            `seconds`, bytes and losses count from its begin. A row of `transfers()`, its `transfer_id`, the name of
            its file if there is only one of it, or the `Transfer` that `progress` was called with.

    Raises:
        PeerUnreachableError: No peer is called that.
        ConfigError: No transfer is called that, or several are.
        NodeClosedError: The node is not running.
    """
    frame: pd.DataFrame = face("views.traces").trace(node.traced(peer, transfer))
    return frame


def plot_trace(
    node: Node,
    peer: NodeId | str | None = None,
    *,
    transfer: WhichTransfer | None = None,
    axes: Sequence[Axes] | None = None,
) -> tuple[Axes, Axes, Axes, Axes]:
    """Draw what `trace` shows, a line for each peer: rates, windows and bytes in flight, round trips, packets lost.

    Args:
        node: The node.
        peer: As for `trace`.
        transfer: As for `trace`.
        axes: Four axes to draw on; a fresh figure if None.
    """
    drawn: tuple[Axes, Axes, Axes, Axes] = face("views.traceplot").plot_trace(
        trace(node, peer, transfer=transfer), axes
    )
    return drawn


def dashboard(node: Node) -> Any:
    """Everything in one widget: joining, files, chunks, peers, chat. One per node: asking again gives the same one."""
    return _panel(node, "Dashboard")


def join_panel(node: Node) -> Any:
    """The widget to create or join a network."""
    return _panel(node, "JoinPanel")


def files_panel(node: Node) -> Any:
    """The widget for files: upload, list, download, progress."""
    return _panel(node, "FilesPanel")


def chat_panel(node: Node) -> Any:
    """The widget to talk."""
    return _panel(node, "ChatPanel")


def _panel(node: Node, kind: str) -> Any:
    ui = face("ui")
    return ui.panel_of(node, getattr(ui, kind))


class Faces:
    """The methods by which a node is seen; see the functions of this module."""

    __slots__ = ()

    chunks = chunks
    peers = peers
    files = files
    transfers = transfers
    events = events
    messages = messages
    trace = trace
    plot_chunks = plot_chunks
    plot_load = plot_load
    plot_trace = plot_trace
    dashboard = dashboard
    join_panel = join_panel
    files_panel = files_panel
    chat_panel = chat_panel


def text(node: Node) -> str:
    """One line about the node."""
    state = "running" if node.running else "not running"
    return f"<Node {node.name}: {state}>"


def closed(snapshot: NodeSnapshot) -> NodeSnapshot:
    """The last snapshot of a node that stops."""
    return replace(snapshot, state="closed", health="closed: this is what it last knew")


def empty_snapshot(name: str, state: str) -> NodeSnapshot:
    """The snapshot of a node that was never started."""
    return NodeSnapshot(
        name=name,
        node_id="",
        address="",
        network="",
        private=False,
        state="closed" if state == "closed" else "starting",
        health="not started" if state == "new" else state,
        lag=0.0,
        used_bytes=0,
        capacity_bytes=0,
        at_wall=0.0,
        chunks=(),
        peers=(),
        files=(),
        transfers=(),
        events=(),
        messages=(),
    )
