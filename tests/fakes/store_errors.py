"""Every operation of the disk fails, once or for ever: what a store makes of it, for any list of operations."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dfs_sdk.errors import ContentNotFoundError, DfsError, StoreError, StoreReadOnlyError
from dfs_sdk.store import DiskStore
from tests.fakes.disk import FakeDisk
from tests.fakes.store_model import Model, Operation, assert_tidy, name_of, verify_state
from tests.fakes.stores import chunk, disk_store

Failure = Callable[[int, str], int | None]
Lasting = Callable[[int, int], Failure]

PROBE = chunk(9_999_999)


def once(at: int, code: int) -> Failure:
    """Fail the step `at` alone."""
    return lambda step, _name: code if step == at else None


def for_ever(at: int, code: int) -> Failure:
    """Fail the step `at` and all that follow."""
    return lambda step, _name: code if step >= at else None


def syncs_once(at: int, code: int) -> Failure:
    """Fail the first fsync from the step `at` on: of a file, a folder or a database."""
    failed: list[int] = []

    def fail(step: int, name: str) -> int | None:
        if step >= at and not failed and name.startswith(("fsync ", "sync ", "commit ")):
            failed.append(step)
            return code
        return None

    return fail


KINDS: dict[str, tuple[int, Lasting]] = {
    "EIO once": (errno.EIO, once),
    "EIO for ever": (errno.EIO, for_ever),
    "ENOSPC once": (errno.ENOSPC, once),
    "ENOSPC for ever": (errno.ENOSPC, for_ever),
    "EMFILE once": (errno.EMFILE, once),
    "EMFILE for ever": (errno.EMFILE, for_ever),
    "failed fsync": (errno.EIO, syncs_once),
}


@dataclass(slots=True)
class ErrorTally:
    """Failures, each at another step, and the errors that callers got."""

    failures: int = 0
    errors: int = 0


async def fail_everywhere(
    base: FakeDisk, model: Model, operations: Sequence[Operation], kind: str, tally: ErrorTally
) -> None:
    """Run the operations once for each step, with a failure at that step.

    Raises:
        AssertionError: An error was of no kind a caller expects, or something acknowledged was lost.
    """
    code, lasting = KINDS[kind]
    at, total = 0, 0
    while at <= total:
        disk = base.copy()
        total = await _run(disk, model, operations, lasting(at, code), code, tally)
        tally.failures += 1
        at += 1


async def _run(
    disk: FakeDisk, model: Model, operations: Sequence[Operation], failure: Failure, code: int, tally: ErrorTally
) -> int:
    errors, store, states = await _operate(disk, failure, model, operations)
    steps = disk.steps
    tally.errors += len(errors)
    assert all(isinstance(error, StoreError | ContentNotFoundError) for error in errors), errors
    disk.fail = lambda _step, _name: None
    if store is not None:
        if code == errno.EIO and store.read_only is None:
            assert not any(isinstance(error, StoreReadOnlyError) for error in errors)
        if code != errno.EIO:
            assert store.read_only is None
        if store.read_only is None:
            await store.put([PROBE])
            await store.delete([PROBE.chunk_id])
        await store.close()
    disk.power_on(lambda: True)
    again = disk_store(disk)
    await again.open()
    await verify_state(again, *states)
    assert again.read_only is None
    assert_tidy(disk)
    await again.close()
    return steps


async def _operate(
    disk: FakeDisk, failure: Failure, model: Model, operations: Sequence[Operation]
) -> tuple[list[DfsError], DiskStore | None, list[Model]]:
    """Run all operations, going on after errors; return the errors, the store if it opened, and the allowed states."""
    disk.fail = failure
    errors: list[DfsError] = []
    store = disk_store(disk)
    try:
        await store.open()
    except StoreError as error:
        return [error], None, [model]
    states = [model]
    for operation in operations:
        try:
            await operation.call(store)
        except DfsError as error:
            errors.append(error)
            states = _distinct([*states, *(_effect(operation, state) for state in states)])
        else:
            # The file of a put that failed may be found by the next start only: until then nobody can pin it.
            unseen = states if errors and operation.name.startswith("set_pinned") else []
            states = _distinct([*unseen, *(_effect(operation, state) for state in states)])
    return errors, store, states


def _effect(operation: Operation, model: Model) -> Model:
    """What an operation makes of a state; one that speaks of a chunk whose put failed changes nothing."""
    try:
        return operation.effect(model)
    except KeyError:
        return model


def _distinct(models: list[Model]) -> list[Model]:
    return list({name_of(model): model for model in models}.values())
