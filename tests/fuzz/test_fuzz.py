"""Any bytes either parse or raise one error, within 50 ms and 16 MB: inputs of long runs, and a short run anew."""

from __future__ import annotations

import importlib.util
import os
import threading
from pathlib import Path

import pytest

from tests.fuzz import book
from tests.fuzz.law import MEMORY_BYTES_MAX, Target, check, check_memory
from tests.fuzz.running import GROUPS, Fuzzer, obeys

# The gate fuzzes both groups for a minute, at the same time; a run by hand just sees that it works.
SECONDS = int(os.environ.get("DFS_FUZZ_SECONDS", "60" if os.environ.get("CI") else "5"))
needs_atheris = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None,
    reason="atheris has no wheel for this Python and machine: pip install atheris, where a clang can build it",
)


@pytest.mark.parametrize("group", GROUPS)
def test_inputs_that_were_kept_obey_the_law(group: str) -> None:
    targets = {target.name: target for target in GROUPS[group].targets()}
    kept = [*book.read(group), *((target.name, seed) for target in targets.values() for seed in target.seeds)]
    assert {name for name, _ in kept} == set(targets), "an input is kept for a target that does not exist"
    for name, data in kept:
        check(targets[name], data)
        check_memory(targets[name], data)


@pytest.mark.parametrize("group", GROUPS)
def test_seeds_of_every_target_reach_its_end(group: str) -> None:
    refused = [
        target.name for target in GROUPS[group].targets() if not any(check(target, seed) for seed in target.seeds)
    ]
    assert refused == []


@needs_atheris
def test_a_fuzzer_finds_no_breach_of_the_law(tmp_path: Path) -> None:
    fuzzers = [Fuzzer(group, tmp_path / group, seconds=SECONDS) for group in GROUPS]
    outcomes = [fuzzer.wait() for fuzzer in fuzzers]
    assert [outcome.breach for outcome in outcomes] == [None, None], outcomes
    assert all(outcome.executions > 1000 for outcome in outcomes)


def test_the_law_bites() -> None:
    def slow(data: bytes) -> None:
        sum(range(20_000_000))

    def greedy(data: bytes) -> None:
        bytearray(MEMORY_BYTES_MAX + 1)

    def broken(data: bytes) -> None:
        data[0]

    def target(run: object) -> Target:
        return Target(name="planted", run=run, refusal=ValueError, seeds=())  # type: ignore[arg-type]

    with pytest.raises(AssertionError, match="ms"):
        check(target(slow), b"x")
    with pytest.raises(AssertionError, match="memory"):
        check_memory(target(greedy), b"x")
    with pytest.raises(IndexError):
        check(target(broken), b"")
    assert check(target(broken), b"x")


def test_slowness_is_judged_by_processor_time_and_a_loop_without_end_is_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.fuzz.running.REPLAY_SECONDS_MAX", 0.2)

    def endless(data: bytes) -> None:
        while True:
            pass

    def waits(data: bytes) -> None:
        threading.Event().wait(0.06)

    assert not obeys(Target(name="planted", run=endless, refusal=ValueError, seeds=()), b"")
    assert obeys(Target(name="planted", run=waits, refusal=ValueError, seeds=()), b"")
