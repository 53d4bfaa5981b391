"""Runs fuzzers in processes of their own and says what came of it.

With a seed and a number of runs, a fuzzer draws the same inputs again as long as the code and the kept inputs are the
same: hashes are fixed, and no clock has a say, but where one input takes more than the law's processor time at first.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Self

from tests.campaigns.ledger import ROOT
from tests.fuzz import after, before, book
from tests.fuzz.law import Target, check

GROUPS: dict[str, ModuleType] = {"before": before, "after": after}
INPUT_BYTES_MAX = 4096
START_SECONDS_MAX = 60
REPLAY_SECONDS_MAX = 10.0
_DONE = re.compile(r"Done (\d+) runs")
_PULSE = re.compile(r"^#(\d+)\s", re.MULTILINE)
# libFuzzer looks at the wall clock, so it blames an input for a machine that stood still.
_BY_WALL_CLOCK = ("slow-unit-", "timeout-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one fuzzer did.

    Attributes:
        executions: How many inputs it tried.
        words: The end of what it said.
        breach: The target and the input that broke the law, None if nothing did.
    """

    executions: int
    words: str
    breach: tuple[str, bytes] | None

    def replay(self, group: str, *, seed: int, only: str = "") -> str:
        """Name the breach and the commands that give it again: the one input, and the whole run.

        A run that began with a folder of its own inputs needs that folder, too.
        A fuzzer that is ended by a breach last told a count of inputs when that was a power of two.
        """
        if self.breach is None:
            return ""
        name, data = self.breach
        limit = f"--only '{only}' " if only else ""
        return (
            f"{name} broke the law with {len(data)} bytes\n"
            f"  replay the input: python -m tests.fuzz {group} --only '{name}' --replay {data.hex()}\n"
            f"  replay the run: python -m tests.fuzz {group} {limit}--seed {seed} --runs {2 * self.executions + 1}"
        )


class Fuzzer:
    """One running fuzzer; as a context it ends with its block.

    Args:
        group: Which parsers.
        folder: Where its inputs are kept while it runs; those that lie there are begun with.
        seed: Of libFuzzer, 1 or more.
        seconds: How long; 0 for as long as it takes.
        runs: How many inputs; -1 for any number.
        only: One target, or empty for all of the group.
    """

    def __init__(
        self, group: str, folder: Path, *, seed: int, seconds: int = 0, runs: int = -1, only: str = ""
    ) -> None:
        self._targets = GROUPS[group].targets()
        self._seconds = seconds
        self._only = only
        self._breaches = folder / "breaches"
        inputs = folder / "inputs"
        for path in (inputs, self._breaches):
            path.mkdir(parents=True, exist_ok=True)
        kept = [*book.read(group), *((target.name, data) for target in self._targets for data in target.seeds)]
        for number, (name, data) in enumerate(kept):
            if only in ("", name):
                (inputs / f"seed-{number}").write_bytes(data if only else book.pack(self._targets, name, data))
        limits = [f"-max_total_time={seconds}", f"-runs={runs}", f"-max_len={INPUT_BYTES_MAX}", "-timeout=20"]
        drawing = [f"-seed={seed}", "-reload=0"]
        command = [sys.executable, "-m", "tests.fuzz.engine", group, only, *limits, *drawing]
        self._log = (folder / "log").open("w+")
        self._process = subprocess.Popen(
            [*command, f"-artifact_prefix={self._breaches}/", str(inputs)],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": "0"},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Self:
        """Let it run."""
        return self

    def __exit__(self, *_error: object) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._log.close()

    def wait(self) -> Outcome:
        """Wait for its end.

        Raises:
            RuntimeError: It ended in another way than by its time or a breach.
        """
        try:
            self._process.wait(self._seconds + START_SECONDS_MAX if self._seconds else None)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.seek(0)
        words = self._log.read()
        done = _DONE.search(words)
        found = sorted(self._breaches.iterdir())
        if done is None and not found:
            raise RuntimeError(f"the fuzzer failed:\n{words[-2000:]}")
        return Outcome(
            executions=int(done[1] if done else max(_PULSE.findall(words), key=int, default=0)),
            words=words[-3000:],
            breach=next((breach for path in found if (breach := self._breach(path)) is not None), None),
        )

    def _breach(self, path: Path) -> tuple[str, bytes] | None:
        name, data = self._named(path.read_bytes())
        target = next(target for target in self._targets if target.name == name)
        return None if path.name.startswith(_BY_WALL_CLOCK) and obeys(target, data) else (name, data)

    def _named(self, breach: bytes) -> tuple[str, bytes]:
        if self._only:
            return self._only, breach
        found = book.unpack(self._targets, breach)
        assert found is not None
        return found[0].name, found[1]


def obeys(target: Target, data: bytes) -> bool:
    """Hold a parser to the law with an input that took long by the wall clock; call it from the main thread.

    Returns:
        Whether it obeys it in processor time; one that does not end is stopped.
    """

    def stop(*_: object) -> None:
        raise AssertionError("it does not end")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, REPLAY_SECONDS_MAX)
    try:
        check(target, data)
    except AssertionError:
        return False
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    return True


def distil(group: str, folder: Path) -> int:
    """Keep in the repository the shortest inputs of a fuzzer's folder; each reached code that none before it had.

    Returns:
        How many are kept.
    """
    targets = GROUPS[group].targets()
    found = [book.unpack(targets, path.read_bytes()) for path in sorted((folder / "inputs").iterdir())]
    return book.write(group, [(one[0].name, one[1]) for one in found if one is not None])
