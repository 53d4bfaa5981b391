"""How a swarm is seen: the tables and pictures of all its nodes, and of what happened over time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from dfs_sdk.node.node import Node
from dfs_sdk.node.observing import Table
from dfs_sdk.node.snapshot import NodeSnapshot
from dfs_sdk.runtime.door import face
from dfs_sdk.runtime.home import Home

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from dfs_sdk.sim.chronicle import Chronicle

T = TypeVar("T")

LOOK_TIMEOUT = 60.0


class Seen:
    """The views of a swarm; looking lets no time pass. What happened can be seen after `close`, how it stands cannot.

    All but its `repr` raise `NodeClosedError` on a swarm that was not started; those that ask the nodes also on one
    that is closed.
    """

    _nodes: list[Node]
    _chronicle: Chronicle

    @property
    def _home(self) -> Home:
        raise NotImplementedError

    @property
    def _is_up(self) -> bool:
        raise NotImplementedError

    def _check_begun(self) -> None:
        raise NotImplementedError

    def _check_running(self) -> None:
        raise NotImplementedError

    def snapshots(self) -> list[NodeSnapshot]:
        """The snapshots of the nodes that run."""
        return self._look(Node.snapshot)

    def chunks(self) -> pd.DataFrame:
        """Where every chunk is, as the nodes know that stored it; with a column `node`."""
        return self._frame("chunks")

    def peers(self) -> pd.DataFrame:
        """What each node thinks of each other."""
        return self._frame("peers")

    def files(self) -> pd.DataFrame:
        """The catalogs of all nodes."""
        return self._frame("files")

    def transfers(self) -> pd.DataFrame:
        """The transfers of all nodes."""
        return self._frame("transfers")

    def events(self) -> pd.DataFrame:
        """What happened: the news of all nodes, of earlier lives as well, and what scenarios did to them."""
        self._check_begun()
        frame: pd.DataFrame = face("views.history").events(self._chronicle.rows())
        return frame

    def history(self) -> pd.DataFrame:
        """How the swarm stood over time: a row for each look, with nodes, files, copies and traffic."""
        self._check_begun()
        frame: pd.DataFrame = face("views.history").history(self._chronicle.standings)
        return frame

    def plot_chunks(self, ax: Axes | None = None) -> Axes:
        """Draw which node holds which chunk."""
        axes: Axes = face("views.plots").plot_chunks(self.chunks(), ax)
        return axes

    def plot_load(self, ax: Axes | None = None) -> Axes:
        """Draw how full each node is."""
        peers = self.peers()
        axes: Axes = face("views.plots").plot_load(peers[peers["state"] == "self"], ax)
        return axes

    def plot_availability(self, ax: Axes | None = None) -> Axes:
        """Draw how many nodes answered and how many files could be read, over time."""
        axes: Axes = face("views.history").plot_availability(self.history(), ax)
        return axes

    def plot_copies(self, ax: Axes | None = None) -> Axes:
        """Draw how many copies of a chunk were within reach, over time."""
        axes: Axes = face("views.history").plot_copies(self.history(), ax)
        return axes

    def plot_traffic(self, ax: Axes | None = None) -> Axes:
        """Draw how much went over the network, over time."""
        axes: Axes = face("views.history").plot_traffic(self.history(), ax)
        return axes

    def plot_events(self, ax: Axes | None = None) -> Axes:
        """Draw when which kind of news was told."""
        axes: Axes = face("views.history").plot_events(self.events(), ax)
        return axes

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:  # noqa: ARG002 - IPython's
        if not self._is_up:
            return {"text/plain": repr(self)}
        shots = self.snapshots()
        return {"text/plain": face("views.text").swarm_text(shots), "text/html": face("views.html").swarm_card(shots)}

    def _look(self, look: Callable[[Node], T]) -> list[T]:
        """Look at all nodes that run, at one instant."""
        self._check_running()
        return self._home.look(lambda: [look(node) for node in self._nodes if node.running], LOOK_TIMEOUT)

    def _frame(self, table: Table) -> pd.DataFrame:
        tables = self._look(lambda node: (node.name, node._running_engine.rows(table)))  # noqa: SLF001 - its own
        frame: pd.DataFrame = face("views.frames").of_swarm(table, tables)
        return frame
