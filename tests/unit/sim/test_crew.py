"""Processes that run seeds: their results come in order, and each job has a limit that counts its own work."""

from __future__ import annotations

import operator
import os
import time
from collections.abc import Callable
from functools import partial

import psutil
import pytest

from dfs_sdk.sim.crew import CAN_LIMIT, Crew
from dfs_sdk.sim.errors import CrewError


def spin() -> int:
    while True:
        pass


def test_results_come_in_the_order_of_the_jobs_and_a_crew_does_several_lots() -> None:
    with Crew(2) as crew:
        assert list(crew.run([partial(divmod, number, 3) for number in range(7)])) == [
            divmod(number, 3) for number in range(7)
        ]
        assert list(crew.run([])) == []
        assert os.getpid() not in list(crew.run([os.getpid]))


def test_process_that_ends_is_told_with_its_job() -> None:
    with Crew(1) as crew, pytest.raises(CrewError, match=r"_exit.*, 9\).* ended with 9"):
        list(crew.run([partial(os._exit, 9)]))
    with Crew(1) as crew, pytest.raises(CrewError, match=r"truediv.* ended with 1"):
        list(crew.run([partial(operator.truediv, 1, 0)]))


@pytest.mark.skipif(not CAN_LIMIT, reason="needs interval timers: not on Windows")
def test_limit_of_a_job_counts_the_work_of_that_job_alone() -> None:
    with Crew(1, job_seconds_max=0.3) as crew:
        assert len(list(crew.run([partial(sum, range(1_000_000))] * 60))) == 60
        worked = crew.seconds
        assert worked > 0.3
        assert list(crew.run([partial(time.sleep, 0.4)])) == [None]
        assert crew.seconds - worked < 0.3
        with pytest.raises(CrewError, match=r"spin.* was ended after 0\.3 s of processor time"):
            list(crew.run([spin]))


def test_leaving_the_block_ends_processes_in_the_middle_of_a_job() -> None:
    with Crew(2) as crew:
        jobs: list[Callable[[], int]] = [os.getpid, spin]
        assert next(crew.run(jobs)) > 0
        hired = [each for each in psutil.Process().children() if "spawn_main" in " ".join(each.cmdline())]
        assert len(hired) == 2
    assert [each for each in hired if each.is_running()] == []
