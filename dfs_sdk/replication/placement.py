"""Where: every chunk belongs to a cell, every cell ranks all nodes by hash and weight. Pure.

    u(c, i)  = (H64(network, c, i) + 1/2) / 2^64
    score    = ln(u) / w_i                      exact weighted rendezvous: the larger, the better
    order(c) = members by score, ties by id

A node wins a cell with probability proportional to its weight, all nodes with the same view agree without a word, and
a node more or less changes no order but by itself. Eight bytes of hash for each of four cells come from one keyed
BLAKE3; the logarithms of a node's column are computed once and kept, as 32-bit floats: 16 KiB a node, and one rounding
that hides the last-digit differences between mathematics libraries.

The chosen members of a cell are the first ones in order that have room, passing over those whose machine (or site)
has its share already. A chunk has two candidate cells and takes the one whose fullest member is emptier.

Source: Thaler and Ravishankar, "Using name-based mappings to increase hit rates" (1998) for rendezvous hashing;
Schindelhauer and Schomaker, "Weighted distributed hash tables" (2005) for the logarithmic weights; Mitzenmacher, "The
power of two choices" (2001); Cidon et al., "Copysets" (2013) for why there are few sets of holders.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dfs_sdk.crypto.hashing import blake3_256, keyed_hash
from dfs_sdk.ids import ChunkId, NetworkId, NodeId
from dfs_sdk.peers.liveness import PeerState
from dfs_sdk.peers.view import Member, View
from dfs_sdk.replication.config import ReplicationConfig

CELL_DOMAIN = b"dfs/cell/1"
LANES = 4  # 64-bit numbers in one digest
COLUMNS_KEPT = 12_288  # all members of the largest network we take part in, 192 MiB
ORDERS_KEPT = 4096
# From the ninth order on, one table of all columns pays; above 2,048 members (32 MiB) it is not made.
TABLE_FROM_ORDERS = 8
TABLE_MEMBERS_MAX = 2048
# That of the members as they are and as they just were; nodes of one process that know the same members share it.
TABLES_KEPT = 2
# Members that are compared with at one time.
RIVALS_AT_ONCE = 32

Column = npt.NDArray[np.float32]


def cells_of(chunk_id: ChunkId, cells: int) -> tuple[int, int]:
    """Name the two different candidate cells of a chunk, the first choice first."""
    first = int.from_bytes(chunk_id[0:8], "big") % cells
    step = 1 + int.from_bytes(chunk_id[8:16], "big") % (cells - 1)
    return first, (first + step) % cells


@lru_cache(maxsize=COLUMNS_KEPT)
def log_column(network_id: NetworkId, node_id: NodeId, cells: int) -> Column:
    """Compute ln(u) of one node for every cell; read-only, shared by all placements of this process."""
    key = blake3_256(CELL_DOMAIN, network_id, node_id)
    digests = b"".join(keyed_hash(key, block.to_bytes(4, "big")) for block in range(-(-cells // LANES)))
    numbers = np.frombuffer(digests, dtype=">u8")[:cells]
    column = np.log((numbers.astype(np.float64) + 0.5) / 2.0**64).astype(np.float32)
    column.flags.writeable = False
    return column


def log_columns(network_id: NetworkId, node_ids: Iterable[NodeId], cells: int) -> None:
    """Compute the columns of some nodes ahead of their use: about a millisecond for each."""
    for node_id in node_ids:
        log_column(network_id, node_id, cells)


@lru_cache(maxsize=TABLES_KEPT)
def _log_table(network_id: NetworkId, node_ids: tuple[NodeId, ...], cells: int) -> npt.NDArray[np.float32]:
    table = np.stack([log_column(network_id, node_id, cells) for node_id in node_ids])
    table.flags.writeable = False
    return table


class Placement:
    """The ranking of one view: cheap to make, orders are computed when asked for.

    Args:
        network_id: Salts the hash, so that networks of the same nodes place differently.
        view: Who is a member; those gone take no part.
        config: Cells and bounds.
        before: An earlier placement: its orders are taken over if members and weights are still the same.
    """

    def __init__(
        self, network_id: NetworkId, view: View, config: ReplicationConfig, *, before: Placement | None = None
    ) -> None:
        self._network_id = network_id
        self._view = view
        self._config = config
        self._members = {i: m for i, m in view.members.items() if m.state is not PeerState.GONE}
        self._ids = tuple(self._members)  # in the order of ids: a stable sort breaks ties by it
        self._weights = np.array([member.desc.weight for member in self._members.values()], dtype=np.float64)
        self._shed = {i: frozenset(member.desc.shed) for i, member in self._members.items() if member.desc.shed}
        self._hosts = len({member.desc.host for member in self._members.values()})
        self._sites = len({member.desc.site for member in self._members.values()})
        self._orders: OrderedDict[int, tuple[NodeId, ...]] = OrderedDict()
        self._table: npt.NDArray[np.float32] | None = None
        self._standings: dict[tuple[NodeId, int], dict[int, int]] = {}
        if before is not None and self._ranks_like(before):
            self._orders, self._table = before._orders, before._table  # noqa: SLF001 - another one of this class
            self._standings = before._standings  # noqa: SLF001 - as above
        self._chosen: dict[tuple[int, int], tuple[NodeId, ...]] = {}

    @property
    def view(self) -> View:
        """The view this placement is of."""
        return self._view

    def __len__(self) -> int:
        return len(self._ids)

    def order(self, cell: int) -> tuple[NodeId, ...]:
        """Rank all members for a cell, the best first."""
        order = self._orders.get(cell)
        if order is None:
            order = self._rank(cell)
            self._orders[cell] = order
            if len(self._orders) > ORDERS_KEPT:
                self._orders.popitem(last=False)
        return order

    def rank(self, cell: int, node_id: NodeId) -> int:
        """A node's position in the order of a cell, from 0; the number of members for one that is none."""
        order = self.order(cell)
        return order.index(node_id) if node_id in self._members else len(order)

    def ok(self, node_id: NodeId, cell: int) -> bool:
        """Whether a member may be chosen for a cell: it has room and has not asked to be passed over."""
        member = self._members.get(node_id)
        if member is None or cell in self._shed.get(node_id, ()):
            return False
        return member.desc.used_bytes < self._config.fill_max * member.desc.capacity_bytes

    def members(self, cell: int, count: int) -> tuple[NodeId, ...]:
        """Choose the `count` nodes that should hold a cell's chunks; fewer in a smaller network."""
        chosen = self._chosen.get((cell, count))
        if chosen is None:
            chosen = self._chosen[cell, count] = tuple(self.choose(cell, count))
            if len(self._chosen) > 2 * ORDERS_KEPT:
                self._chosen.pop(next(iter(self._chosen)))
        return chosen

    def choose(
        self,
        cell: int,
        count: int,
        *,
        holding: Collection[NodeId] = (),
        eligible: Callable[[NodeId], bool] = lambda _node_id: True,
    ) -> list[NodeId]:
        """Choose up to `count` further nodes in order, spread over machines and sites as evenly as can be.

        Args:
            cell: The cell.
            count: How many.
            holding: Nodes that hold a copy already: never chosen, and their domains count as used.
            eligible: Says who may be chosen, besides having room.
        """
        wanted = count + len(holding)
        spread = _Domains(wanted, hosts=self._hosts, sites=self._sites)
        for node_id in holding:
            if node_id in self._members:
                spread.add(self._members[node_id])
        chosen: list[NodeId] = []
        passed_over: list[NodeId] = []
        for node_id in self.order(cell):
            if len(chosen) == count:
                return chosen
            if node_id in holding or not self.ok(node_id, cell) or not eligible(node_id):
                continue
            if spread.full(self._members[node_id]):
                passed_over.append(node_id)
                continue
            spread.add(self._members[node_id])
            chosen.append(node_id)
        # The rule holds where it can; a copy on the same machine is better than none.
        return chosen + passed_over[: count - len(chosen)]

    def choose_cell(self, chunk_id: ChunkId, count: int, *, pending: Mapping[NodeId, int] | None = None) -> int:
        """Take the candidate cell whose fullest chosen member is emptier.

        Args:
            chunk_id: The chunk.
            count: Copies wanted.
            pending: Bytes on their way to nodes that do not say so yet.
        """
        first, second = cells_of(chunk_id, self._config.cells)
        extra = pending or {}
        if self._fullness(second, count, extra) < self._fullness(first, count, extra):
            return second
        return first

    def interesting_cells(self, node_id: NodeId, rank_max: int) -> list[int]:
        """List the cells in which a node ranks better than `rank_max`, ascending."""
        if node_id not in self._members:
            return []
        if len(self._ids) <= rank_max:
            return list(range(self._config.cells))
        return [cell for cell, better in self._standing(node_id, rank_max).items() if better < rank_max]

    def rivals(self, node_id: NodeId, count: int) -> list[NodeId]:
        """Name those who rank among the first of a cell where a node is among the first `count`.

        They hold the chunks of its cells, and if it just came, one of them held its copies before.
        """
        cells = self.interesting_cells(node_id, count)
        if not cells:
            return []
        scores = self._log_rows(slice(None), np.array(cells)) / self._weights[:, None]
        depth = min(count + 1, len(self._ids))
        first = np.argpartition(-scores, depth - 1, axis=0)[:depth]
        return [other for position in np.unique(first) if (other := self._ids[position]) != node_id]

    def _standing(self, node_id: NodeId, rank_max: int) -> dict[int, int]:
        """Count for each cell in which a node ranks better than `rank_max`, or somewhat worse, who is before it."""
        wide = max(rank_max, self._config.interest_rank)
        known = self._standings.get((node_id, wide))
        if known is None:
            known = self._standings[node_id, wide] = self._find_standing(node_id, wide)
        return known

    def _find_standing(self, node_id: NodeId, rank_max: int) -> dict[int, int]:
        cells = np.arange(self._config.cells)
        own = self._column(node_id) / np.float64(self._members[node_id].desc.weight)
        better = np.zeros(len(cells), dtype=np.int32)
        for at in range(0, len(self._ids), RIVALS_AT_ONCE):
            some = slice(at, at + RIVALS_AT_ONCE)
            scores = self._log_rows(some, cells) / self._weights[some, None]
            better += (scores > own).sum(axis=0, dtype=np.int32)
            # Most cells are lost to the first few members: nothing more is computed for those.
            stay = better < rank_max
            cells, own, better = cells[stay], own[stay], better[stay]
        return dict(zip(cells.tolist(), better.tolist(), strict=True))

    def why(self, cell: int, node_id: NodeId, count: int) -> str:
        """Say in a sentence why a node does or does not hold the chunks of a cell."""
        if node_id not in self._members:
            return "it is no member any more"
        place = f"rank {self.rank(cell, node_id) + 1} of {len(self._ids)} for cell {cell}"
        if node_id in self.members(cell, count):
            return f"{place}: one of the {count} chosen"
        if not self.ok(node_id, cell):
            return f"{place}, but it is full or passes this cell on"
        return f"{place}: it stands in for one of the {count} chosen, or was one before the network changed"

    def _rank(self, cell: int) -> tuple[NodeId, ...]:
        if not 0 <= cell < self._config.cells:
            raise ValueError(f"cell {cell} is not one of {self._config.cells}")
        best_first = np.argsort(-(self._logs(cell) / self._weights), kind="stable")
        return tuple(self._ids[position] for position in best_first)

    def _logs(self, cell: int) -> npt.NDArray[np.float64]:
        if not self._ids or (self._table is None and len(self._orders) < TABLE_FROM_ORDERS):
            return np.array([self._column(node_id)[cell] for node_id in self._ids], dtype=np.float64)
        return self._log_rows(slice(None), np.array([cell]))[:, 0].astype(np.float64)

    def _log_rows(self, members: slice, cells: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
        """Gather the logarithms of some cells, a row for each of some members."""
        if self._table is None and len(self._ids) <= TABLE_MEMBERS_MAX:
            self._table = _log_table(self._network_id, self._ids, self._config.cells)
        if self._table is not None:
            return self._table[members, cells]
        return np.stack([self._column(node_id)[cells] for node_id in self._ids[members]])

    def _ranks_like(self, other: Placement) -> bool:
        return (
            self._network_id == other._network_id
            and self._config.cells == other._config.cells
            and self._ids == other._ids
            and bool(np.array_equal(self._weights, other._weights))
        )

    def _column(self, node_id: NodeId) -> Column:
        return log_column(self._network_id, node_id, self._config.cells)

    def _fullness(self, cell: int, count: int, pending: Mapping[NodeId, int]) -> float:
        return max((self._fill(node_id, pending) for node_id in self.members(cell, count)), default=1.0)

    def _fill(self, node_id: NodeId, pending: Mapping[NodeId, int]) -> float:
        desc = self._members[node_id].desc
        return (desc.used_bytes + pending.get(node_id, 0)) / max(1, desc.capacity_bytes)


class _Domains:
    """Counts copies by machine and site against an even share of each."""

    def __init__(self, wanted: int, *, hosts: int, sites: int) -> None:
        self._host_max = -(-wanted // max(1, hosts))
        self._site_max = -(-wanted // max(1, sites))
        self._hosts: Counter[bytes] = Counter()
        self._sites: Counter[str] = Counter()

    def add(self, member: Member) -> None:
        self._hosts[member.desc.host] += 1
        self._sites[member.desc.site] += 1

    def full(self, member: Member) -> bool:
        return self._hosts[member.desc.host] >= self._host_max or self._sites[member.desc.site] >= self._site_max


def distinct_hosts(view: View, nodes: Iterable[NodeId]) -> int:
    """Count the machines that nodes run on; a node that is no member counts as a machine of its own."""
    hosts: set[bytes] = set()
    for node_id in nodes:
        member = view.get(node_id)
        hosts.add(bytes(node_id) if member is None else member.desc.host)
    return len(hosts)
