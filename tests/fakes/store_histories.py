"""Histories of a store drawn from a seed: what it holds at first, and turns of changes, some of them side by side."""

from __future__ import annotations

import random
from dataclasses import dataclass

from dfs_sdk.ids import ChunkId
from dfs_sdk.store import NewChunk, Role
from tests.fakes.disk import FakeDisk
from tests.fakes.store_model import (
    Model,
    Operation,
    deleting,
    erasing,
    putting,
    rereading,
    setting_pinned,
    setting_role,
    writing,
)
from tests.fakes.stores import chunk, disk_store

TURNS_MAX = 4
SIDE_BY_SIDE_MAX = 3
BATCH_MAX = 7  # beyond the size from which a batch is written by several threads
SIZE_MAX = 3000


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What a store holds at first, and what is done to it."""

    setup: list[Operation]
    turns: list[list[Operation]]


class _Draw:
    """Draws operations that touch different chunks within a turn, and documents at most once."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._fresh = iter(range(10_000))
        self._free: list[ChunkId] = []
        self._documents_free = True
        self.model = Model()

    def turn(self, count: int) -> list[Operation]:
        self._free = sorted(self.model.chunks)
        self._rng.shuffle(self._free)
        self._documents_free = True
        operations = [self._operation() for _ in range(count)]
        for operation in operations:
            self.model = operation.effect(self.model)
        return operations

    def _operation(self) -> Operation:
        kinds = ["put", "put", "put"]
        kinds += ["delete", "role", "pin", "get", "upgrade"] if self._free else []
        kinds += ["write", "erase"] if self._documents_free else []
        match self._rng.choice(kinds):
            case "put":
                return putting(*(self._new() for _ in range(self._rng.randrange(1, BATCH_MAX + 1))))
            case "upgrade":
                return self._upgrade()
            case "delete":
                return deleting(*(self._free.pop() for _ in range(min(len(self._free), self._rng.randrange(1, 3)))))
            case "role":
                return setting_role(self._free.pop(), self._rng.choice(list(Role)))
            case "pin":
                return setting_pinned(self._free.pop(), pinned=self._rng.random() < 0.7)
            case "get":
                return rereading(self._free.pop())
            case "write":
                self._documents_free = False
                return writing(*((key, self._rng.randbytes(8)) for key in (b"a", b"b", b"c")[: self._rng.randrange(4)]))
            case _:
                self._documents_free = False
                return erasing(b"a")

    def _upgrade(self) -> Operation:
        """Put a chunk that is held once more, in another role, beside a new one."""
        known = self.model.chunks[chunk_id := self._free.pop()]
        role = self._rng.choice(list(Role))
        again = NewChunk(chunk_id=chunk_id, data=known.data, cell=known.cell, role=role, removal_hash=self._hash())
        return putting(again, self._new())

    def _new(self) -> NewChunk:
        size = self._rng.choice([0, 1, self._rng.randrange(SIZE_MAX)])
        number = next(self._fresh)
        return chunk(number, size=max(size, 2), role=self._rng.choice(list(Role)), removal_hash=self._hash())

    def _hash(self) -> bytes:
        return b"" if self._rng.random() < 0.5 else self._rng.randbytes(32)


def history(seed: int) -> History:
    """Draw a history."""
    rng = random.Random(f"history {seed}")
    draw = _Draw(rng)
    setup = [operation for _ in range(rng.randrange(3)) for operation in draw.turn(1)]
    turns = [draw.turn(rng.randrange(1, SIDE_BY_SIDE_MAX + 1)) for _ in range(rng.randrange(1, TURNS_MAX + 1))]
    return History(setup=setup, turns=turns)


async def begun(setup: list[Operation]) -> tuple[FakeDisk, Model]:
    """Make a disk with a closed store on which `setup` was done."""
    disk, model = FakeDisk(), Model()
    store = disk_store(disk)
    await store.open()
    for operation in setup:
        await operation.call(store)
        model = operation.effect(model)
    await store.close()
    disk.power_on(lambda: True)
    return disk.copy(), model
