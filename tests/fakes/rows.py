"""Snapshots to test faces with: small canned networks, and ones where every text is one given text."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace

from dfs_sdk.node.snapshot import ChunkRow, EventRow, FileRow, MessageRow, NodeSnapshot, PeerRow, TransferRow

NOW = 1_750_000_000.0
MIB = 2**20


def hex_id(number: int) -> str:
    return f"{number:064x}"


def peer_id(number: int) -> str:
    return f"{0xA0 + number:02x}" * 32


def chunk_row(chunk: int = 0, holder: int = 0, **changes: object) -> ChunkRow:
    row = ChunkRow(
        file="data.bin",
        chunk=chunk,
        chunk_id=hex_id(1_000 + chunk),
        size=MIB,
        cell=chunk % 4_096,
        holder=f"node-{holder}",
        holder_id=peer_id(holder),
        role="primary",
        state="alive",
        why="rank 1 of cell 17",
        confirmed_at_wall=NOW - 5,
    )
    return replace(row, **changes)  # type: ignore[arg-type]


def peer_row(number: int = 0, **changes: object) -> PeerRow:
    row = PeerRow(
        name=f"node-{number}",
        node_id=peer_id(number),
        state="alive",
        address=f"127.0.0.1:{4_000 + number}",
        host="c0ffee",
        rtt=0.002,
        used_bytes=(number + 1) * MIB,
        capacity_bytes=100 * MIB,
        load=0,
        uptime=60.0,
        last_heard_wall=NOW - 1,
        p_return=0.99,
    )
    return replace(row, **changes)  # type: ignore[arg-type]


def file_row(name: str = "data.bin", **changes: object) -> FileRow:
    row = FileRow(
        name=name,
        file_id="f00dbabe12345678",
        size=12 * MIB,
        chunks=12,
        copies_min=3,
        copies_wanted=3,
        health="healthy",
        pinned=False,
        origin="put",
        created_at_wall=NOW - 100,
    )
    return replace(row, **changes)  # type: ignore[arg-type]


def transfer_row(**changes: object) -> TransferRow:
    row = TransferRow(
        transfer_id=1,
        direction="put",
        file="data.bin",
        state="running",
        bytes_done=3 * MIB,
        bytes_total=12 * MIB,
        rate=1.5 * MIB,
        eta=6.0,
        sources=3,
        started_at_wall=NOW - 2,
        ended_at_wall=math.nan,
        error="",
    )
    return replace(row, **changes)  # type: ignore[arg-type]


def event_row(**changes: object) -> EventRow:
    row = EventRow(at_wall=NOW - 3, topic="peers", kind="PeerJoined", text="node-1 joined")
    return replace(row, **changes)  # type: ignore[arg-type]


def message_row(text: str = "hello", **changes: object) -> MessageRow:
    row = MessageRow(
        room="network",
        sender="node-1",
        sender_id=peer_id(1),
        text=text,
        sent_at_wall=NOW - 2,
        delivered=0,
        mine=False,
        link="",
    )
    row = replace(row, **changes)  # type: ignore[arg-type]
    return row if row.message_id else replace(row, message_id=_message_id(row))


def _message_id(row: MessageRow) -> str:
    said = "\0".join((row.room_id, row.sender_id, repr(row.sent_at_wall), row.text))
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()


def empty_snapshot(**changes: object) -> NodeSnapshot:
    snapshot = NodeSnapshot(
        name="node-0",
        node_id=peer_id(0),
        address="127.0.0.1:4000",
        network=hex_id(7),
        private=False,
        state="alone",
        health="no other member yet",
        lag=0.0,
        used_bytes=0,
        capacity_bytes=100 * MIB,
        at_wall=NOW,
        chunks=(),
        peers=(),
        files=(),
        transfers=(),
        events=(),
        messages=(),
    )
    return replace(snapshot, **changes)  # type: ignore[arg-type]


def full_snapshot(**changes: object) -> NodeSnapshot:
    roles = ("primary", "surplus", "cache")
    states = ("alive", "suspect", "away")
    chunks = tuple(
        chunk_row(chunk, holder, role=roles[(chunk + holder) % 3], state=states[holder % 3])
        for chunk in range(-1, 12)
        for holder in range(3)
    )
    snapshot = empty_snapshot(
        state="in network",
        health="3 members; every file survives any 2 of them leaving",
        used_bytes=12 * MIB,
        chunks=chunks,
        peers=tuple(peer_row(n, state="self" if n == 0 else states[n % 3]) for n in range(3)),
        files=(file_row(), file_row("notes.txt", file_id="beef", health="under target", copies_min=1, size=5)),
        transfers=(transfer_row(), transfer_row(transfer_id=2, state="failed", error="too few peers confirmed")),
        events=(event_row(), event_row(kind="PeerLeft", text="node-2 left")),
        messages=(message_row(), message_row("me too", mine=True, delivered=2, sender="node-0", sender_id=peer_id(0))),
    )
    return replace(snapshot, **changes)  # type: ignore[arg-type]


def snapshot_saying(text: str) -> NodeSnapshot:
    """A snapshot in which every text that may come from elsewhere is `text`."""
    return empty_snapshot(
        name=text,
        address=text,
        network=text,
        state=text,
        health=text,
        chunks=tuple(replace(chunk_row(n, n, file=text, why=text), holder=text) for n in range(2)),
        peers=(peer_row(name=text, address=text, host=text),),
        files=(file_row(text, origin=text, file_id=text),),
        transfers=(
            transfer_row(file=text, error=text),
            transfer_row(transfer_id=2, file=text, state="failed", error=text),
        ),
        events=(event_row(text=text),),
        messages=(
            message_row(text, sender=text),
            message_row(text, room=text, sender=text, mine=True),
            message_row(text, sender=text, link=text),
        ),
    )
