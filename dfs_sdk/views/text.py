"""Plain-text twins of the cards in `views.html`: what a terminal, a log or a diff shows for the same rows."""

from __future__ import annotations

from collections.abc import Sequence

from dfs_sdk.node.snapshot import FileRow, NodeSnapshot, PeerRow, TransferRow
from dfs_sdk.views import words

ROWS_SHOWN_MAX = 20
NAME_LENGTH_MAX = 60


def node_text(snapshot: NodeSnapshot) -> str:
    """Describe a node in three lines."""
    network = f" of network {words.visible(snapshot.network[:8])}" if snapshot.network else ""
    where = f", at {words.visible(snapshot.address)}" if snapshot.address else ""
    counts = f"{words.count(len(snapshot.files), 'file')}, {words.count(len(snapshot.peers), 'member')}"
    stored = f"stores {words.size(snapshot.used_bytes)} of {words.size(snapshot.capacity_bytes)}"
    title = f"Node {_name(snapshot.name)} ({words.short_id(snapshot.node_id)}), {words.visible(snapshot.state)}"
    return f"{title}{network}{where}\n  {words.visible(snapshot.health)}\n  {counts}, {stored}"


def file_text(row: FileRow) -> str:
    """Describe a file in one line."""
    pinned = ", pinned" if row.pinned else ""
    return (
        f"File {_name(row.name)} ({words.short_id(row.file_id)}), {words.size(row.size)} in "
        f"{words.count(row.chunks, 'chunk')}, {words.visible(row.health)}: {copies(row)}{pinned}"
    )


def copies(row: FileRow) -> str:
    """Say how many copies the scarcest chunk has and how many are wanted."""
    return f"{row.copies_min} of {words.count(row.copies_wanted, 'copy', 'copies')}"


def peer_text(row: PeerRow) -> str:
    """Describe a member in one line."""
    where = f", at {words.visible(row.address)}" if row.address else ""
    return (
        f"Peer {_name(row.name)} ({words.short_id(row.node_id)}), {words.state(row.state)}{where}, stores "
        f"{words.size(row.used_bytes)} of {words.size(row.capacity_bytes)}"
    )


def transfer_text(row: TransferRow) -> str:
    """Describe an upload or download in one line."""
    done = f"{words.size(row.bytes_done)} of {words.size(row.bytes_total)}"
    tail = f", {words.size(int(row.rate))}/s, {words.duration(row.eta)} to go" if row.state == "running" else ""
    error = f": {words.masked(row.error)}" if row.error else ""
    return f"{words.visible(row.direction)} {_name(row.file)}, {words.visible(row.state)}, {done}{tail}{error}"


def swarm_text(snapshots: Sequence[NodeSnapshot]) -> str:
    """List the nodes of a swarm, one a line."""
    lines = [
        f"{_name(each.name)} ({words.short_id(each.node_id)}), {words.visible(each.state)}, stores "
        f"{words.size(each.used_bytes)}"
        for each in snapshots[:ROWS_SHOWN_MAX]
    ]
    more = [f"… and {len(snapshots) - len(lines):,} more"] if len(snapshots) > len(lines) else []
    return "\n  ".join([f"Swarm of {words.count(len(snapshots), 'node')}", *lines, *more])


def link_text(link: object) -> str:
    """Describe a link without giving it away: its `repr`, which masks, and masked once more."""
    return words.masked(repr(link), length_max=200)


def facts_text(title: str, facts: Sequence[tuple[str, str]], note: str = "") -> str:
    """Write a title, a line for each pair of a name and a value, and one sentence; links in any of them are masked."""
    lines = [f"{name}: {words.masked(value)}" for name, value in facts]
    return "\n  ".join([words.masked(title), *lines, *([words.masked(note)] if note else [])])


def _name(name: str) -> str:
    return words.visible(name, length_max=NAME_LENGTH_MAX)
