"""Making a snapshot: the rows of all slices at one instant, on the home loop, without I/O."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, Literal, TypeVar

from dfs_sdk.events import EVENT_LOG_LENGTH_MAX, EventBus
from dfs_sdk.files.catalog import FileStat
from dfs_sdk.files.observe import ChunkPlace, FilePlaces
from dfs_sdk.files.transfers import Transfer
from dfs_sdk.ids import NodeId
from dfs_sdk.node import health
from dfs_sdk.node.snapshot import ChunkRow, EventRow, FileRow, MessageRow, NodeSnapshot, PeerRow, TransferRow
from dfs_sdk.node.stack import Foundation, Stack
from dfs_sdk.peers.liveness import PeerState
from dfs_sdk.peers.view import Member, View

RowT = TypeVar("RowT")
Table = Literal["chunks", "peers", "files", "transfers"]

HOST_DIGITS = 4
MESSAGES_MAX = 1_000
ROOM_NAME = "network"


class Observer:
    """Makes snapshots of one node.

    Rows that did not change are those of the snapshot before: a panel looks ten times a second, and describing 10⁵
    copies takes longer than the loop may be held.

    Args:
        foundation: What the slices stand on.
    """

    def __init__(self, foundation: Foundation) -> None:
        self._foundation = foundation
        self._chunks = _Kept[ChunkRow]()
        self._messages = _Kept[MessageRow]()
        self._news = EventRows()
        self._events = _Kept[EventRow]()

    def observe(self, stack: Stack, *, lag: float) -> NodeSnapshot:
        """Describe a running node.

        Args:
            stack: Its slices.
            lag: Longest recent time its loop was blocked, in seconds.
        """
        given = self._foundation
        view, bus = stack.peers.view, given.events
        usage = given.store.usage()
        stats = stack.files.stats()
        return NodeSnapshot(
            name=given.name,
            node_id=given.identity.node_id.hex(),
            address=str(stack.address),
            network=stack.membership.network_id.short,
            private=stack.membership.private,
            state="alone" if len(view) < 2 else "in network",
            health=health.in_words(
                stats,
                peers=len(view.reachable()),
                machines=len({view.members[peer].desc.host for peer in view.reachable()}),
                read_only=given.store.read_only,
            ),
            lag=lag,
            used_bytes=usage.used_bytes,
            capacity_bytes=usage.capacity_bytes,
            at_wall=given.runtime.clock.wall(),
            chunks=self._chunk_rows(stack, view),
            peers=tuple(_peer_rows(stack, view, given)),
            files=tuple(map(file_row, stats)),
            transfers=tuple(map(transfer_row, stack.files.transfers)),
            events=self._events.rows((bus.count(),), lambda: self._news.follow(bus)),
            messages=self._messages.rows((bus.count("chat"), view.digest), lambda: _message_rows(stack, view)),
            addresses=tuple(map(str, stack.rpc.local_addresses())),
            partitioned=view.partitioned,
        )

    def rows(self, stack: Stack, table: Table) -> Sequence[ChunkRow | PeerRow | FileRow | TransferRow]:
        """Describe a running node by one table of its snapshot: many nodes are looked at one after the other.

        Args:
            stack: Its slices.
            table: Which.
        """
        view = stack.peers.view
        match table:
            case "chunks":
                return self._chunk_rows(stack, view)
            case "peers":
                return tuple(_peer_rows(stack, view, self._foundation))
            case "files":
                return tuple(map(file_row, stack.files.stats()))
            case "transfers":
                return tuple(map(transfer_row, stack.files.transfers))

    def _chunk_rows(self, stack: Stack, view: View) -> tuple[ChunkRow, ...]:
        places = stack.files.places()
        states = tuple(member.state for member in view.members.values())
        return self._chunks.rows((view.digest, states), lambda: _chunk_rows(stack, places, view), source=places)


class EventRows:
    """The rows of a bus's news, oldest first; of those about one subject only the newest."""

    def __init__(self) -> None:
        self._rows: OrderedDict[int | str, EventRow] = OrderedDict()  # by subject, or by number if it stands alone
        self._seen = 0

    def follow(self, bus: EventBus) -> Iterable[EventRow]:
        """Take in what was published since the last call, and return all rows that are kept: 10,000 at the most."""
        seen, self._seen = self._seen, bus.count()
        log = list(bus.log())
        for number, event in enumerate(log[max(0, len(log) - (self._seen - seen)) :], seen):
            row = EventRow(at_wall=event.at_wall, topic=event.topic, kind=type(event).__name__, text=event.text)
            key = event.subject or number
            self._rows[key] = row
            self._rows.move_to_end(key)
            if len(self._rows) > EVENT_LOG_LENGTH_MAX:
                self._rows.popitem(last=False)
        return self._rows.values()


class _Kept(Generic[RowT]):
    """Rows, and the state of the node that they describe."""

    def __init__(self) -> None:
        self._state: tuple[object, ...] | None = None
        self._source: object = None
        self._rows: tuple[RowT, ...] = ()

    def rows(
        self, state: tuple[object, ...], make: Callable[[], Iterable[RowT]], *, source: object = None
    ) -> tuple[RowT, ...]:
        """The rows of a state, made anew only if it is another one.

        Args:
            state: Small values that say whether something changed, compared by value.
            make: Makes the rows.
            source: What the rows are made of, if it is large: compared by identity.
        """
        if state != self._state or source is not self._source:
            self._rows, self._state, self._source = tuple(make()), state, source
        return self._rows


def _chunk_rows(stack: Stack, places: Sequence[FilePlaces], view: View) -> Iterator[ChunkRow]:
    for each in places:
        file = each.file
        for chunk in each.chunks:
            for copy in chunk.copies:
                yield ChunkRow(
                    file=file.name,
                    chunk=chunk.index,
                    chunk_id=chunk.chunk_id.hex(),
                    size=chunk.size,
                    cell=chunk.cell,
                    holder=view.name(copy.holder),
                    holder_id=copy.holder.hex(),
                    role=copy.role.name.lower(),
                    state=_state(view, view.get(copy.holder)),
                    why=_why(stack, chunk, copy.holder, file.replicas),
                    confirmed_at_wall=copy.confirmed_at_wall,
                )


def _why(stack: Stack, chunk: ChunkPlace, holder: NodeId, replicas: int) -> str:
    if chunk.cell < 0:
        return "holds the manifest; its cell is known after an audit"
    return stack.replication.why(chunk.chunk_id, chunk.cell, holder, replicas or None)


def _state(view: View, member: Member | None) -> str:
    if member is None:
        return PeerState.GONE.label
    return "self" if member.node_id == view.me else member.state.label


def _peer_rows(stack: Stack, view: View, foundation: Foundation) -> Iterator[PeerRow]:
    clock = foundation.runtime.clock
    now, wall = clock.monotonic(), clock.wall()
    for member in view.members.values():
        mine = member.node_id == view.me
        heard = stack.peers.last_heard(member.node_id)
        rtt = 0.0 if mine else stack.rpc.rtt(member.node_id)
        address = stack.address if mine else stack.rpc.address(member.node_id)
        usage = foundation.store.usage() if mine else None
        yield PeerRow(
            name=member.name,
            node_id=member.node_id.hex(),
            state=_state(view, member),
            address=str(address) if address is not None else "",
            host=member.desc.host[:HOST_DIGITS].hex(),
            rtt=math.nan if rtt is None else rtt,
            used_bytes=usage.used_bytes if usage else member.desc.used_bytes,
            capacity_bytes=usage.capacity_bytes if usage else member.desc.capacity_bytes,
            load=0 if mine else stack.exchange.load(member.node_id).inflight,
            uptime=max(0.0, wall - member.desc.up_since_wall),
            last_heard_wall=wall if mine or heard is None else wall - (now - heard),
            p_return=member.p_return,
        )


def file_row(file: FileStat) -> FileRow:
    """Describe a file."""
    return FileRow(
        name=file.name,
        file_id=file.file_id,
        size=file.size,
        chunks=file.chunk_count,
        copies_min=file.copies_min,
        copies_wanted=file.copies_wanted,
        health=file.health.value,
        pinned=file.pinned,
        origin=file.origin,
        created_at_wall=file.created_at_wall,
    )


def transfer_row(transfer: Transfer) -> TransferRow:
    """Describe a transfer."""
    return TransferRow(
        transfer_id=transfer.transfer_id,
        direction=transfer.direction.value,
        file=transfer.name,
        state=transfer.state.value,
        bytes_done=transfer.bytes_done,
        bytes_total=-1 if transfer.bytes_total is None else transfer.bytes_total,
        rate=transfer.rate,
        eta=transfer.eta,
        sources=len(transfer.sources),
        started_at_wall=transfer.started_at_wall,
        ended_at_wall=transfer.ended_at_wall,
        error=transfer.error,
    )


def _message_rows(stack: Stack, view: View) -> Iterator[MessageRow]:
    messages = [
        message
        for conversation in stack.chat.conversations()
        for message in stack.chat.history(conversation, limit=MESSAGES_MAX)
    ]
    messages.sort(key=lambda message: (message.received_at_wall, message.message_id))
    for message in messages[-MESSAGES_MAX:]:
        other = message.conversation
        yield MessageRow(
            room=ROOM_NAME if other is None else view.name(other),
            sender=message.sender_name,
            sender_id=message.sender.hex(),
            text=message.text,
            sent_at_wall=message.sent_at_wall,
            delivered=message.delivered,
            mine=message.mine,
            link=message.link,
            room_id="" if other is None else other.hex(),
            message_id=message.message_id,
        )
