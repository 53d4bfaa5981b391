"""A disk store against a naive model: any calls in any order, with crashes and restarts between them.

DFS_MODEL_EXAMPLES=10000 tries that many histories instead of 25.
"""

import asyncio
import os
import random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dfs_sdk.errors import ContentNotFoundError, QuotaExceededError
from dfs_sdk.store import Role
from tests.fakes.disk import FakeDisk, PowerCut
from tests.fakes.store_model import (
    Model,
    Operation,
    assert_tidy,
    deleting,
    erasing,
    putting,
    setting_pinned,
    setting_role,
    verify_state,
    writing,
)
from tests.fakes.stores import SMALL, chunk, disk_store

EXAMPLES = int(os.environ.get("DFS_MODEL_EXAMPLES", "25"))

numbers = st.integers(0, 9)
sizes = {number: (number * 7919) % 3000 if number < 7 else SMALL.capacity_bytes // 4 for number in range(10)}
roles = st.sampled_from(Role)
keys = st.sampled_from([b"a", b"b", b"c"])


class StoreAgainstModel(RuleBasedStateMachine):
    """Puts, deletes, roles, pins and documents; the power may go in the middle of any of them."""

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.rng = random.Random(seed)
        self.disk = FakeDisk()
        self.model = Model()
        self.store = disk_store(self.disk)
        self.loop.run_until_complete(self.store.open())

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.loop.run_until_complete(self.store.close())
            self.loop.close()

    @rule(
        batch=st.lists(st.tuples(numbers, roles), min_size=1, max_size=4),
        hashed=st.booleans(),
        cut=st.none() | st.integers(0, 30),
    )
    def put(self, batch: list[tuple[int, Role]], hashed: bool, cut: int | None) -> None:
        removal_hash = b"h" * 32 if hashed else b""
        strongest: dict[int, Role] = {}
        for number, role in batch:
            if number not in strongest or role.value > strongest[number].value:
                strongest[number] = role
        chunks = [
            chunk(number, size=sizes[number], role=role, removal_hash=removal_hash)
            for number, role in strongest.items()
        ]
        self.run(putting(*chunks), cut)

    @rule(gone=st.lists(numbers, max_size=3), cut=st.none() | st.integers(0, 12))
    def delete(self, gone: list[int], cut: int | None) -> None:
        self.run(deleting(*(chunk(number, size=sizes[number]).chunk_id for number in gone)), cut)

    @rule(number=numbers, role=roles, cut=st.none() | st.integers(0, 10))
    def set_role(self, number: int, role: Role, cut: int | None) -> None:
        chunk_id = chunk(number, size=sizes[number]).chunk_id
        if chunk_id in self.store:
            self.run(setting_role(chunk_id, role), cut)

    @rule(number=numbers, pinned=st.booleans(), cut=st.none() | st.integers(0, 3))
    def set_pinned(self, number: int, pinned: bool, cut: int | None) -> None:
        chunk_id = chunk(number, size=sizes[number]).chunk_id
        if chunk_id in self.store:
            self.run(setting_pinned(chunk_id, pinned=pinned), cut)

    @rule(items=st.lists(st.tuples(keys, st.binary(max_size=20)), max_size=3), cut=st.none() | st.integers(0, 3))
    def write(self, items: list[tuple[bytes, bytes]], cut: int | None) -> None:
        self.run(writing(*items), cut)

    @rule(key=keys, cut=st.none() | st.integers(0, 3))
    def erase(self, key: bytes, cut: int | None) -> None:
        self.run(erasing(key), cut)

    @rule(number=numbers)
    def get(self, number: int) -> None:
        new = chunk(number, size=sizes[number])
        try:
            assert self.loop.run_until_complete(self.store.get(new.chunk_id)) == new.data
        except ContentNotFoundError:
            known = self.model.chunks.get(new.chunk_id)
            assert known is None or known.may_vanish

    @rule()
    def restart(self) -> None:
        self.loop.run_until_complete(self.store.close())
        self.reopen(self.model)

    @rule()
    def crash_at_rest(self) -> None:
        self.disk.power_on(lambda: self.rng.random() < 0.5, torn=self.rng)
        self.reopen(self.model)

    @invariant()
    def never_over_quota(self) -> None:
        if hasattr(self, "store"):
            assert self.store.usage().used_bytes <= SMALL.capacity_bytes

    def run(self, operation: Operation, cut: int | None) -> None:
        before, after = self.model, operation.effect(self.model)
        if cut is not None:
            self.disk.cut_in(cut)
        try:
            self.loop.run_until_complete(operation.call(self.store))
        except PowerCut:
            self.disk.power_on(lambda: self.rng.random() < 0.5, torn=self.rng)
            self.reopen(before, after)
            return
        except QuotaExceededError:
            self.disk.cut_at = None
            return
        self.disk.cut_at = None
        self.model = after
        self.forget_evicted()

    def reopen(self, *allowed: Model) -> None:
        self.store = disk_store(self.disk)
        self.loop.run_until_complete(self.store.open())
        self.model = self.loop.run_until_complete(verify_state(self.store, *allowed))
        assert_tidy(self.disk)

    def forget_evicted(self) -> None:
        held = {key: value for key, value in self.model.chunks.items() if key in self.store or not value.may_vanish}
        self.model = Model(held, self.model.documents)


TestStoreAgainstModel = StoreAgainstModel.TestCase
TestStoreAgainstModel.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
