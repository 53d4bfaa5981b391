"""A naive model of a store, and what a crash may make of it.

An operation is either acknowledged, then its effect must be there, or in flight when the power goes, then each chunk is
as before or as after, and the documents are all as before or all as after.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from dfs_sdk.ids import ChunkId
from dfs_sdk.store import DiskStore, NewChunk, Role
from dfs_sdk.store.files import TEMPORARY_FOLDER
from dfs_sdk.store.quota import charged_bytes
from tests.fakes.disk import FakeDisk
from tests.fakes.stores import FOLDER

KIND = "k"


@dataclass(frozen=True, slots=True)
class ModelChunk:
    data: bytes
    role: Role
    cell: int
    removal_hash: bytes
    pinned: bool = False

    @property
    def may_vanish(self) -> bool:
        return self.role is Role.CACHE and not self.pinned


@dataclass(frozen=True, slots=True)
class Model:
    """What a store should hold."""

    chunks: dict[ChunkId, ModelChunk] = field(default_factory=dict)
    documents: dict[bytes, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """A call on a store and its effect on the model."""

    name: str
    call: Callable[[DiskStore], Awaitable[object]]
    effect: Callable[[Model], Model]


def putting(*chunks: NewChunk) -> Operation:
    def effect(model: Model) -> Model:
        after = dict(model.chunks)
        for new in chunks:
            known = after.get(new.chunk_id)
            if known is None:
                after[new.chunk_id] = ModelChunk(bytes(new.data), new.role, new.cell, new.removal_hash)
            elif new.role.value > known.role.value:
                first, second = known.removal_hash, new.removal_hash
                owner = (second or first) if known.role is Role.CACHE else (first or second)
                after[new.chunk_id] = replace(known, role=new.role, cell=new.cell, removal_hash=owner)
            elif new.role is known.role and not known.removal_hash:
                after[new.chunk_id] = replace(known, removal_hash=new.removal_hash)
        return replace(model, chunks=after)

    return Operation(f"put {len(chunks)}", lambda store: store.put(chunks), effect)


def deleting(*ids: ChunkId) -> Operation:
    def effect(model: Model) -> Model:
        return replace(model, chunks={key: value for key, value in model.chunks.items() if key not in ids})

    return Operation("delete", lambda store: store.delete(ids), effect)


def setting_role(chunk_id: ChunkId, role: Role) -> Operation:
    def effect(model: Model) -> Model:
        return replace(model, chunks={**model.chunks, chunk_id: replace(model.chunks[chunk_id], role=role)})

    return Operation(f"set_role {role.name}", lambda store: store.set_role(chunk_id, role), effect)


def setting_pinned(chunk_id: ChunkId, *, pinned: bool) -> Operation:
    def effect(model: Model) -> Model:
        return replace(model, chunks={**model.chunks, chunk_id: replace(model.chunks[chunk_id], pinned=pinned)})

    return Operation(f"set_pinned {pinned}", lambda store: store.set_pinned([chunk_id], pinned), effect)


def writing(*items: tuple[bytes, bytes]) -> Operation:
    def effect(model: Model) -> Model:
        return replace(model, documents={**model.documents, **dict(items)})

    return Operation("put_documents", lambda store: store.put_documents(KIND, items), effect)


def erasing(key: bytes) -> Operation:
    def effect(model: Model) -> Model:
        return replace(model, documents={k: v for k, v in model.documents.items() if k != key})

    return Operation("delete_document", lambda store: store.delete_document(KIND, key), effect)


def rereading(chunk_id: ChunkId) -> Operation:
    return Operation("get", lambda store: store.get(chunk_id), lambda model: model)


async def verify_state(store: DiskStore, *allowed: Model) -> Model:
    """Check an open store against the states it may be in, and return the one it is in.

    Args:
        store: Just opened.
        allowed: The state before and after what was in flight; one state if nothing was.
    """
    report = await store.check(read_data=False)  # the data of each is read below
    # Cut off between a new header and its commit, the file knows better than the index: a check learns it.
    ids = [info.chunk_id for info in store.chunks()]
    in_flight = {key for key in ids if len({model.chunks.get(key) for model in allowed}) > 1}
    assert set(report.corrected) <= in_flight, report
    assert not (report.corrupt or report.missing or report.unreadable), report
    assert report.clean or (await store.check(read_data=False)).clean
    held: dict[ChunkId, ModelChunk] = {}
    for info in store.chunks():
        data = await store.get(info.chunk_id)
        held[info.chunk_id] = ModelChunk(data, info.role, info.cell, info.removal_hash, info.pinned)
        assert info.size == len(data)
    for chunk_id in {chunk_id for model in allowed for chunk_id in model.chunks} | set(held):
        choices = [model.chunks.get(chunk_id) for model in allowed]
        found = held.get(chunk_id)
        vanished = found is None and any(choice is not None and choice.may_vanish for choice in choices)
        assert found in choices or vanished, (chunk_id.short, found, choices)
    documents = dict(await store.list_documents(KIND))
    assert documents in [model.documents for model in allowed]
    assert store.usage().used_bytes == sum(charged_bytes(len(chunk.data)) for chunk in held.values())
    assert store.usage().chunk_count == len(held)
    return Model(held, documents)


def name_of(model: Model) -> int:
    """Name a state: equal ones have equal names."""
    return hash((frozenset(model.chunks.items()), frozenset(model.documents.items())))


def assert_tidy(disk: FakeDisk) -> None:
    """Nothing of an interrupted write is left."""
    assert disk.list_files(FOLDER / TEMPORARY_FOLDER) == []
