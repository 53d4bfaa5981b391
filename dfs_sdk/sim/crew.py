"""Processes that do jobs, one each at a time, and end with the process that hired them, however it ends.

They are spawned, not forked: each is as fresh as one that replays a seed. Nobody but the hirer holds its end of a line,
so a killed hirer is noticed when the job in hand is done; one that leaves the block stops them at once.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Self, TypeVar, cast

from dfs_sdk.sim.errors import CrewError

T = TypeVar("T")

Job = Callable[[], T]

CAN_LIMIT = hasattr(signal, "setitimer")  # not on Windows


class Crew:
    """Some processes, for a `with` block.

    Args:
        count: How many, 1 or more.
        job_seconds_max: Processor seconds that one job may take, whatever else the machine does; None for any number.
            Not kept on Windows.

    Attributes:
        seconds: Processor seconds of all jobs that were done.
    """

    def __init__(self, count: int, *, job_seconds_max: float | None = None) -> None:
        self._count = count
        self._job_seconds_max = job_seconds_max
        self._members: dict[Connection, BaseProcess] = {}
        self.seconds = 0.0

    def __enter__(self) -> Self:
        for _ in range(self._count):
            self._hire()
        return self

    def __exit__(self, *_exc: object) -> None:
        for process in self._members.values():
            process.terminate()
        for line, process in self._members.items():
            process.join()
            line.close()

    def run(self, jobs: Sequence[Job[T]]) -> Iterator[T]:
        """Have jobs done, and give what they return in the order of the jobs.

        Args:
            jobs: What to call; they and their results can be pickled.

        Raises:
            CrewError: A process ended while it did one: an error of the job, its limit, or the system's want of memory.
        """
        left, idle = deque(enumerate(jobs)), list(self._members)
        busy: dict[Connection, int] = {}
        done: dict[int, T] = {}
        for number in range(len(jobs)):
            while number not in done:
                while left and idle:
                    line = idle.pop()
                    busy[line], job = left.popleft()
                    with suppress(OSError):  # of one that has ended: its line tells so below
                        line.send(job)
                told = wait(list(busy))
                for line in [line for line in busy if line in told]:
                    at = busy.pop(line)
                    done[at] = self._result(line, jobs[at])
                    idle.append(line)
            yield done.pop(number)

    def _hire(self) -> None:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, self._job_seconds_max), daemon=True)
        process.start()
        theirs.close()
        self._members[ours] = process

    def _result(self, line: Connection, job: Job[T]) -> T:
        try:
            result, seconds = line.recv()
        except (EOFError, OSError):
            process = self._members[line]
            process.join()
            ending = _ending(process.exitcode, self._job_seconds_max)
            raise CrewError(f"the process of `{job}` {ending}") from None
        self.seconds += seconds
        return cast("T", result)


def _ending(code: int | None, job_seconds_max: float | None) -> str:
    if CAN_LIMIT and job_seconds_max is not None and code == -signal.SIGPROF:
        return f"was ended after {job_seconds_max:g} s of processor time"
    return f"ended with {code}"


def _work(line: Connection, job_seconds_max: float | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the hirer answers it
    while True:
        try:
            job: Job[Any] = line.recv()
        except (EOFError, OSError):
            return
        _limit(job_seconds_max)
        before = _processor_seconds()
        result = job()
        seconds = _processor_seconds() - before
        _limit(None)
        try:
            line.send((result, seconds))
        except OSError:
            return


def _processor_seconds() -> float:
    return sum(os.times()[:2])


def _limit(seconds: float | None) -> None:
    """Have the system end this process when it has used so much processor time from now; None: not any more."""
    if CAN_LIMIT:
        signal.setitimer(signal.ITIMER_PROF, seconds or 0.0)
