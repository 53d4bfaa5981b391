"""A campaign of seeds that is ended, in whatever way, leaves no process behind."""

from __future__ import annotations

import signal
import subprocess
import sys

import psutil
import pytest

pytestmark = pytest.mark.system

CAMPAIGN = (sys.executable, "-m", "dfs_sdk.sim", "--seeds", "500", "--processes", "1", "--seconds", "1", "--verbose")
END_SECONDS_MAX = 60.0


def is_over(process: psutil.Process) -> bool:
    """Whether it has ended, though process 1 may not have noticed: those of some containers never do."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize(("how", "code"), [("SIGTERM", 143), ("SIGINT", 130), ("SIGKILL", -9)])
def test_campaign_that_is_ended_leaves_no_process(how: str, code: int) -> None:
    with subprocess.Popen(CAMPAIGN, stdout=subprocess.PIPE, text=True) as campaign:
        assert campaign.stdout is not None
        assert "kept" in campaign.stdout.readline()
        started = psutil.Process(campaign.pid).children(recursive=True)
        assert started
        campaign.send_signal(signal.Signals[how])
        assert campaign.wait(END_SECONDS_MAX) == code
        said = campaign.stdout.read()
    _, left = psutil.wait_procs(started, timeout=END_SECONDS_MAX)
    assert [process for process in left if not is_over(process)] == []
    assert ("stopped" in said) == (how == "SIGINT")
