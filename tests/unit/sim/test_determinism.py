"""Same seed, same digest: in one process, in another, and whatever the hash seed."""

import os
import subprocess
import sys
from pathlib import Path

from dfs_sdk.sim.trace import Trace
from tests.fakes import sim_story

ROOT = Path(__file__).parents[3]


def digest_elsewhere(seed: int, *, hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-m", "tests.fakes.sim_story", str(seed)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200, check=True,
    )  # fmt: skip
    return result.stdout.strip()


def test_same_seed_gives_the_same_digest_in_every_process():
    here = sim_story.digest(5)
    assert sim_story.digest(5) == here
    assert digest_elsewhere(5, hash_seed="4711") == here


def test_another_seed_gives_another_digest():
    assert sim_story.digest(5, content=False) != sim_story.digest(6, content=False)


def test_trace_tells_apart_what_differs():
    def of(*records: tuple[float, int, int, bytes], content: bool = True) -> str:
        trace = Trace(content=content)
        for record in records:
            trace.delivery(*record)
        return trace.digest()

    base = of((1.0, 0, 1, b"ab"))
    assert base == of((1.0, 0, 1, b"ab"))
    others = [(1.5, 0, 1, b"ab"), (1.0, 1, 0, b"ab"), (1.0, 0, 2, b"ab"), (1.0, 0, 1, b"abc"), (1.0, 0, 1, b"aB")]
    assert base not in {of(other) for other in others}
    assert len({of(other) for other in others}) == len(others)
    assert of((1.0, 0, 1, b"ab"), content=False) == of((1.0, 0, 1, b"aB"), content=False)
    assert of((1.0, 0, 1, b"ab"), content=False) != of((1.0, 0, 1, b"bb"), content=False)


def test_marks_tell_where_two_runs_part():
    one, other = Trace(keep=2), Trace(keep=2)
    for second in range(100):
        one.event(float(second), "a", "tick")
        other.event(float(second), "a", "tick" if second != 55 else "tock")
    parted = [mark.at for mark, twin in zip(one.marks, other.marks, strict=True) if mark != twin]
    assert parted[0] == 60.0
    assert one.digest() != other.digest()
    assert list(one.last) == ["98.000000 a: tick", "99.000000 a: tick"]
