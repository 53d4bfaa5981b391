"""What a node looked like at one instant: frozen rows that views, panels and the command line read.

A snapshot is made on the node's home loop and is then anybody's: no locks, no references into the live node. The
field names of the rows are the column names of the DataFrames in `views.frames`; they are stable.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dfs_sdk.runtime.door import Shown


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkRow:
    """One copy of one chunk on one holder.

    Attributes:
        file: Name of the file.
        chunk: Index of the chunk in the file; -1 is the manifest.
        chunk_id: Hexadecimal id.
        size: Sealed bytes.
        cell: Placement cell of the chunk.
        holder: Name of the holder.
        holder_id: Hexadecimal id of the holder.
        role: `primary`, `surplus` or `cache`.
        state: State of the holder: `self`, `alive`, `lagging`, `busy`, `suspect`, `away`, `gone` or `left`.
        why: Why this holder, in a sentence.
        confirmed_at_wall: When the holder last confirmed it, in seconds since the epoch.
    """

    file: str
    chunk: int
    chunk_id: str
    size: int
    cell: int
    holder: str
    holder_id: str
    role: str
    state: str
    why: str
    confirmed_at_wall: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerRow(Shown):
    """One member of the network, this node included.

    Attributes:
        name: Its name, made safe to show.
        node_id: Hexadecimal id.
        state: As that of a holder; `self` for this node.
        address: Where it was last reached, `host:port`, or empty.
        host: The first digits of its machine's hash: the same for nodes of one machine.
        rtt: Smoothed round-trip time in seconds; NaN while unknown.
        used_bytes: Bytes it stores for the network; of others, to a hundredth of what they offer.
        capacity_bytes: Bytes it offers.
        load: Requests it is serving for us or has queued.
        uptime: Seconds since it came up.
        last_heard_wall: When it was last heard of, in seconds since the epoch.
        p_return: Probability that it is up or will come back.
    """

    name: str
    node_id: str
    state: str
    address: str
    host: str
    rtt: float
    used_bytes: int
    capacity_bytes: int
    load: int
    uptime: float
    last_heard_wall: float
    p_return: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRow(Shown):
    """One file of this node's catalog.

    Attributes:
        name: Its name, made safe to show.
        file_id: First digits of the manifest's id; what `get` and `stat` also accept.
        size: Plain bytes.
        chunks: Number of chunks, the manifest not counted.
        copies_min: Confirmed reachable copies of its scarcest chunk.
        copies_wanted: Copies its policy asks for.
        health: In words: `healthy`, `repairing`, `under target`, `only here`, `unavailable`.
        pinned: Whether it is pinned here.
        origin: `put`, `got` or `shared by NAME`.
        created_at_wall: When it entered the catalog, in seconds since the epoch.
    """

    name: str
    file_id: str
    size: int
    chunks: int
    copies_min: int
    copies_wanted: int
    health: str
    pinned: bool
    origin: str
    created_at_wall: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferRow(Shown):
    """One upload or download, running or finished.

    Attributes:
        transfer_id: Small number, unique in this node's life; `node.trace(transfer=…)` takes it.
        direction: `put` or `get`.
        file: Name of the file.
        state: `running`, `paused`, `done`, `failed` or `cancelled`.
        bytes_done: Plain bytes finished.
        bytes_total: Plain bytes in all; -1 while unknown.
        rate: Bytes a second over the last seconds.
        eta: Seconds to go; NaN while unknown.
        sources: Peers involved.
        started_at_wall: When it began, in seconds since the epoch.
        ended_at_wall: When it ended, in seconds since the epoch; unknown while it runs.
        error: What went wrong, in words, or empty.
    """

    transfer_id: int
    direction: str
    file: str
    state: str
    bytes_done: int
    bytes_total: int
    rate: float
    eta: float
    sources: int
    started_at_wall: float
    ended_at_wall: float
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """One piece of news.

    Attributes:
        at_wall: When it was told, in seconds since the epoch.
        topic: `node`, `peers`, `files`, `replication`, `chat`, `store`, `transport`.
        kind: Class name of the event.
        text: What happened, in a sentence, safe to show.
    """

    at_wall: float
    topic: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRow:
    """One chat message.

    Attributes:
        room: `network`, or the other side's name in a direct conversation.
        sender: Name of the sender, safe to show.
        sender_id: Hexadecimal id.
        text: The text, safe to show as text (never as HTML).
        sent_at_wall: When it was sent by the sender's clock, in seconds since the epoch.
        delivered: Nodes that confirmed it, for messages of this node.
        mine: Whether this node sent it.
        link: A file link that came with it, or empty.
        room_id: Hexadecimal id of the other side in a direct conversation; empty for the room of the network.
        message_id: Hexadecimal id.
    """

    room: str
    sender: str
    sender_id: str
    text: str
    sent_at_wall: float
    delivered: int
    mine: bool
    link: str = field(repr=False)
    room_id: str = ""
    message_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSnapshot(Shown):
    """Everything the faces show of one node at one instant.

    Attributes:
        state: `starting`, `alone`, `in network` or `closed`.
        health: One sentence, such as `9 peers; every file survives any 2 of 9 peers leaving, this node too`.
        lag: Longest recent time the loop was blocked, in seconds.
        addresses: Where others may reach it, `host:port`, most promising first.
        partitioned: Whether so many fell silent together that this node is probably the one cut off.
    """

    name: str
    node_id: str
    address: str
    network: str
    private: bool
    state: str
    health: str
    lag: float
    used_bytes: int
    capacity_bytes: int
    at_wall: float
    chunks: tuple[ChunkRow, ...]
    peers: tuple[PeerRow, ...]
    files: tuple[FileRow, ...]
    transfers: tuple[TransferRow, ...]
    events: tuple[EventRow, ...]
    messages: tuple[MessageRow, ...]
    addresses: tuple[str, ...] = ()
    partitioned: bool = False
