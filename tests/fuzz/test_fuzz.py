"""Any bytes either parse or raise one error, within 50 ms and 16 MB: inputs of long runs, and a short run of one seed.

The inputs of the short run are drawn from the code and the kept inputs alone, so that it says one thing of one commit.
Those who look for others run `python -m tests.fuzz`.
"""

from __future__ import annotations

import importlib.util
import os
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.fuzz import book
from tests.fuzz.__main__ import main
from tests.fuzz.law import MEMORY_BYTES_MAX, Target, check, check_memory
from tests.fuzz.running import GROUPS, Fuzzer, Outcome, obeys

# The gate goes on where a run by hand has ended.
RUNS = 40_000 if os.environ.get("CI") else 10_000
SEED = 1
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
@pytest.mark.timeout(900)  # so many inputs take as long as the machine lets them
def test_a_fuzzer_finds_no_breach_of_the_law(tmp_path: Path) -> None:
    with ExitStack() as stack:
        fuzzers = {
            group: stack.enter_context(Fuzzer(group, tmp_path / group, seed=SEED, runs=RUNS)) for group in GROUPS
        }
        outcomes = {group: fuzzer.wait() for group, fuzzer in fuzzers.items()}
    for group, outcome in outcomes.items():
        assert outcome.breach is None, outcome.replay(group, seed=SEED)
        assert outcome.executions > RUNS // 10, outcome.words


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


def test_breach_is_told_with_the_commands_that_give_it_again() -> None:
    found = Outcome(executions=512, words="", breach=("link body", b"\x00\xff"))
    told = found.replay("before", seed=7)
    assert "python -m tests.fuzz before --only 'link body' --replay 00ff\n" in told
    assert told.endswith("python -m tests.fuzz before --seed 7 --runs 1025"), (
        "the last count it told was a power of two"
    )
    assert "--only 'link body' --seed 7" in found.replay("before", seed=7, only="link body")


def test_replay_holds_one_target_to_the_law(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["fuzz", *arguments])
        return main()

    assert run("before", "--only", "link", "--replay", "00ff") == 0
    assert "refused" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        run("before", "--replay", "00ff")
