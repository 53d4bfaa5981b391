"""Holds every table and queue of a node against its bound: whatever a node keeps of what others send it must end.

A node is walked from its engine, object by object. Each list, set, dictionary or deque that an object of ours has is
held against the bound that it states, and against `UNNAMED_MAX` where nobody names one. A table that somebody adds and
forgets to bound, or entries that are never taken out again, show as soon as a seed has filled it so far.

Looking takes no virtual time and changes nothing, so that the digest of a seed does not depend on it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any

from dfs_sdk.chat.room import Conversation
from dfs_sdk.events import EVENT_LOG_LENGTH_MAX
from dfs_sdk.files.catalog import Catalog
from dfs_sdk.files.holders import Holders
from dfs_sdk.node.observing import EventRows
from dfs_sdk.replication.placement import ORDERS_KEPT, Placement
from dfs_sdk.rpc.session import EARLY_CANCELS_MAX, Session
from dfs_sdk.sim.shortcut_link import NUMBERS_KEPT, ShortcutConnection
from dfs_sdk.store.files import LEFTOVERS_MAX, ChunkFiles
from dfs_sdk.transport.arrivals import REPLAY_WINDOW
from dfs_sdk.transport.outbox import OPEN_MESSAGES_MAX, Outbox
from dfs_sdk.transport.ranges import RangeSet
from dfs_sdk.transport.sent import SentLog
from dfs_sdk.transport.timers import STALE_RATIO_MAX, TimerQueue

Bound = Callable[[Any], int]

UNNAMED_MAX = 64
"""Entries of a table for which nobody names a bound, in a network of at most eight."""

UNNAMED_PER_MEMBER = 8
"""The same for each member of a larger one."""

CONTENT_MAX = 16_384
"""Chunks, files, records and messages that the people of one seed may make."""

ENTRIES_WALKED_MAX = 1_000

_OF_CONTENT = ("store.", "files.", "replication.", "dht.records", "dht.publisher", "exchange.tombstones", "chat.room")
"""Where tables grow with what people store and say, which quota and history bound."""


def _always(most: int) -> Bound:
    return lambda _owner: most


def _stated(attribute: str) -> Bound:
    return lambda owner: int(getattr(owner, attribute))


BOUNDS: Mapping[tuple[type[Any], str], Bound] = {
    (Catalog, "_entries"): _stated("_files_max"),
    (ChunkFiles, "_leftovers"): _always(LEFTOVERS_MAX),
    (Conversation, "_entries"): _stated("_history_length_max"),
    (EventRows, "_rows"): _always(EVENT_LOG_LENGTH_MAX),
    (Holders, "_copies"): _stated("_chunks_max"),
    (Outbox, "_open"): _always(OPEN_MESSAGES_MAX),
    (Placement, "_orders"): _always(ORDERS_KEPT),
    (Placement, "_chosen"): _always(2 * ORDERS_KEPT),
    (RangeSet, "_starts"): _always(REPLAY_WINDOW),
    (RangeSet, "_stops"): _always(REPLAY_WINDOW),
    (SentLog, "_runs"): _always(REPLAY_WINDOW),
    (SentLog, "_firsts"): _always(REPLAY_WINDOW),
    (Session, "_early_cancels"): _always(EARLY_CANCELS_MAX),
    (ShortcutConnection, "_received"): _always(NUMBERS_KEPT),
    (ShortcutConnection, "_sent"): _always(OPEN_MESSAGES_MAX),
    (TimerQueue, "_heap"): lambda queue: STALE_RATIO_MAX * len(queue) + UNNAMED_MAX,
}
"""What is larger than `UNNAMED_MAX` in sound seeds, or states a bound of its own."""


def overfull(root: object, *, members: int = 0) -> list[str]:
    """List in words the tables below an object that hold more than they may.

    Args:
        root: The engine of a node, or any object of ours.
        members: How many nodes there are.
    """
    problems = []
    for owner, name, table in tables(root):
        most = bound(owner, name, table, members=members)
        if len(table) > most:
            where = type(owner).__module__.removeprefix("dfs_sdk.")
            problems.append(f"{where}.{type(owner).__qualname__}.{name} holds {len(table)} entries of at most {most}")
    return problems


def bound(owner: object, name: str, table: Any, *, members: int = 0) -> int:
    """Say how many entries a table may have.

    Args:
        owner: Whose it is.
        name: Its attribute.
        table: The table.
        members: How many nodes there are.
    """
    if isinstance(table, deque) and table.maxlen is not None:
        return table.maxlen
    stated = BOUNDS.get((type(owner), name))
    if stated is not None:
        return stated(owner)
    grows_with_content = type(owner).__module__.removeprefix("dfs_sdk.").startswith(_OF_CONTENT)
    return CONTENT_MAX if grows_with_content else max(UNNAMED_MAX, UNNAMED_PER_MEMBER * members)


def tables(root: object) -> Iterator[tuple[object, str, Any]]:
    """Walk all objects of ours below one, and give each table that they have: its owner, its name, itself."""
    seen = {id(root)}
    todo = [root]
    while todo:
        owner = todo.pop()
        for name in _attributes(owner):
            value = getattr(owner, name, None)
            if isinstance(value, (dict, list, set, deque)):
                yield owner, name, value
            for each in _inside(value):
                kind: Any = type(each)
                if id(each) not in seen and _is_walked(kind):
                    seen.add(id(each))
                    todo.append(each)


def _inside(value: object) -> Iterator[object]:
    """Give a value, or what a table holds, and what tables within it hold."""
    todo = [value]
    while todo:
        each = todo.pop()
        if isinstance(each, dict):
            todo.extend(islice(each.values(), ENTRIES_WALKED_MAX))
        elif isinstance(each, (list, set, deque, tuple)):
            todo.extend(islice(each, ENTRIES_WALKED_MAX))
        else:
            yield each


def _attributes(owner: object) -> list[str]:
    kind: Any = type(owner)  # mypy takes no class of classes for hashable
    return [*_slots(kind), *getattr(owner, "__dict__", ())]


@lru_cache(maxsize=4_096)
def _slots(kind: type[Any]) -> tuple[str, ...]:
    found: list[str] = []
    for base in kind.__mro__:
        slots = base.__dict__.get("__slots__", ())
        found.extend((slots,) if isinstance(slots, str) else slots)
    return tuple(found)


@lru_cache(maxsize=4_096)
def _is_walked(kind: type[Any]) -> bool:
    """Whether it is a part of a node; the world around it is none, but for the transport that it puts in."""
    module = kind.__module__
    return module.startswith("dfs_sdk.") and (
        not module.startswith("dfs_sdk.sim.") or module.startswith("dfs_sdk.sim.shortcut")
    )
