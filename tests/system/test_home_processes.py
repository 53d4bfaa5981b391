"""Homes in whole processes: nesting, Ctrl-C, exit, fork."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.system


# --- whole processes: nesting, Ctrl-C, exit, fork


def run_script(code: str, *args: str, development: bool = True) -> str:
    prelude = """
    import asyncio, logging, os, signal, sys, threading, time
    from pathlib import Path
    from dfs_sdk.errors import *
    from dfs_sdk.runtime.homes import LoopHome, ThreadHome, choose_home
    from dfs_sdk.runtime.forks import on_fork_in_child
    # Development mode tells of callbacks that take a tenth of a second, as on a busy machine any may.
    logging.getLogger("asyncio").addFilter(lambda record: record.msg != "Executing %s took %.3f seconds")
    async def number(): await asyncio.sleep(0.01); return 7
    """
    source = textwrap.dedent(prelude) + textwrap.dedent(code)
    flags, quiet = (["-X", "dev"], []) if development else ([], ["-W", "ignore::ResourceWarning"])
    run = subprocess.run(
        [sys.executable, *flags, "-W", "error", *quiet, "-c", source, *args],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=Path(__file__).parents[2],
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == "", run.stderr
    return run.stdout


NESTED = """
async def main():
    home, ticks, said = LoopHome(), [], []
    async def tick():
        while True:
            ticks.append(1)
            await asyncio.sleep(0.001)
    home.submit(tick())
    assert home.block(number()) == 7 and ticks, "the loop goes on below a blocking call"
    for error in (KeyError("k"), RuntimeError("r")):
        async def fail(): raise error
        try: home.block(fail())
        except type(error) as caught: assert caught is error
        else: raise AssertionError
    begin = time.monotonic()
    try: home.block(asyncio.sleep(60), timeout=0.05)
    except DeadlineError: assert time.monotonic() - begin < 5
    else: raise AssertionError
    async def stranger():
        await asyncio.sleep(0)
        try: home.block(number())
        except SyncCallError as error: said.append(str(error))
    task = asyncio.create_task(stranger())
    assert home.block(number()) == 7
    assert "another blocking call" in said[0], said
    async def ours():
        try: home.block(number())
        except SyncCallError as error: said.append(str(error))
    home.block(ours())
    assert "await" in said[1]
    asyncio.get_running_loop().call_later(0.005, lambda: home.submit(home.close()))
    try: home.block(asyncio.sleep(60))
    except NodeClosedError: pass
    else: raise AssertionError
    try: home.block(number())
    except NodeClosedError: pass
    else: raise AssertionError
    await task
    for _ in range(20): await asyncio.sleep(0)
    print("fine", len(asyncio.all_tasks()))
asyncio.run(main())
"""


def test_cells_own_task_nests_the_loop_and_everything_else_is_refused() -> None:
    assert run_script(NESTED) == "fine 1\n"


FIRST_CALL = """
async def main():
    home, loop, ran = LoopHome(), asyncio.get_running_loop(), []
    woken = loop.create_future()
    loop.call_soon(woken.set_result, None)
    for _ in range(50): loop.call_soon(loop.call_soon, ran.append, 1)
    await woken
    assert ran == [], "the fifty are ready behind this task, in the same turn of the loop"
    assert home.block(number()) == 7 and home.block(number()) == 7
    assert ran == [1] * 50
    await asyncio.sleep(0)
    await home.close()
    print("fine")
asyncio.run(main())
"""


def test_first_blocking_call_leaves_the_turn_it_interrupts_intact() -> None:
    """The turn below it is still CPython's own, which counts its ready handles beforehand and pops that many."""
    assert run_script(FIRST_CALL) == "fine\n"


INTERRUPTED = """
async def main():
    home = {home}
    cleaned, tick_errors = [], []
    async def tick():
        try:
            while True: await asyncio.sleep(0)
        except asyncio.CancelledError: raise
        except BaseException as error: tick_errors.append(error)
    ticking = asyncio.create_task(tick())
    async def long():
        timer.start()  # whoever interrupts sees it run
        try: await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            cleaned.append(1)
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    before = signal.getsignal(signal.SIGINT)
    try: home.block(long())
    except KeyboardInterrupt: pass
    else: raise AssertionError
    assert cleaned == [1]
    assert signal.getsignal(signal.SIGINT) is before
    await asyncio.sleep(0)
    assert not ticking.done() and not tick_errors, tick_errors
    assert home.block(number()) == 7
    await home.close()
    ticking.cancel()
    timer.join()
    print("fine", len(asyncio.all_tasks() - {{ticking}}), threading.active_count())
signal.signal(signal.SIGINT, signal.default_int_handler)
loop = asyncio.new_event_loop()
loop.run_until_complete(main())
loop.run_until_complete(asyncio.sleep(0))
loop.close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill(SIGINT) ends the process on Windows")
@pytest.mark.parametrize("kind", ["LoopHome()", "ThreadHome()"])
def test_interrupt_cancels_the_call_and_nothing_else(kind: str) -> None:
    assert run_script(INTERRUPTED.format(home=kind)) == "fine 1 1\n"


def test_goodbye_runs_when_the_loop_is_stopped_but_open_at_exit(tmp_path: Path) -> None:
    evidence = tmp_path / "goodbye"
    code = """
    loop = asyncio.new_event_loop()
    async def main():
        home = LoopHome()
        async def broken(): raise KeyError("first action")
        async def leave():
            await asyncio.sleep(0.01)
            Path(sys.argv[1]).write_text("bye")
        async def forgotten(): Path(sys.argv[1]).write_text("never")
        import logging; logging.disable()
        home.on_exit(broken); home.on_exit(leave); home.on_exit(forgotten)()
    loop.run_until_complete(main())
    """
    run_script(code, str(evidence), development=False)  # the loop stays open, as a kernel's does, and would be told on
    assert evidence.read_text() == "bye"


@pytest.mark.parametrize("nested", [False, True])
def test_goodbye_is_said_on_a_loop_that_has_yet_to_hear_that_it_shall_stop(tmp_path: Path, nested: bool) -> None:
    """As a busy kernel's that is restarted: it tells its loop to stop and goes, and the interpreter exits."""
    evidence = tmp_path / "goodbye"
    code = f"""
    loop = asyncio.new_event_loop()
    async def main():
        for _ in range(2):
            home = LoopHome()
            if {nested}: assert home.block(number()) == 7
            async def leave():
                await asyncio.sleep(0.01)
                with open(sys.argv[1], "a") as said: said.write("bye ")
            home.on_exit(leave)
    loop.run_until_complete(main())
    loop.call_soon(loop.stop)
    loop.call_later(0.005, loop.stop)
    """
    run_script(code, str(evidence), development=False)
    assert evidence.read_text() == "bye bye "


def test_goodbye_is_cut_short_after_a_second() -> None:
    code = """
    import logging; logging.disable()
    loop = asyncio.new_event_loop()
    async def main():
        for _ in range(60): LoopHome().on_exit(lambda: asyncio.sleep(60))
    loop.run_until_complete(main())
    """
    begin = time.monotonic()
    run_script(code, development=False)
    assert time.monotonic() - begin < 20  # a second for all sixty, not one for each


def test_thread_home_says_goodbye_at_exit_and_lets_the_process_end(tmp_path: Path) -> None:
    evidence = tmp_path / "goodbye"
    code = """
    home = ThreadHome()
    async def leave():
        await asyncio.sleep(0.01)
        Path(sys.argv[1]).write_text(threading.current_thread().name)
    home.on_exit(leave)
    assert home.block(number()) == 7
    home.submit(asyncio.sleep(600))
    """
    run_script(code, str(evidence))
    assert evidence.read_text() == "dfs-home"


def test_closed_home_says_no_goodbye(tmp_path: Path) -> None:
    code = """
    home = ThreadHome()
    async def leave(): print("never")
    home.on_exit(leave)
    home.block(home.close())
    print("closed", threading.active_count())
    """
    assert run_script(code) == "closed 1\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_forked_child_is_told_and_cannot_use_the_home() -> None:
    code = """
    import gc, warnings
    warnings.simplefilter("ignore", DeprecationWarning)
    class Owner:
        def __init__(self, name): self.name = name
        def wipe(self): print("wiped", self.name, flush=True)
    kept, gone, taken_back = Owner("kept"), Owner("gone"), Owner("taken back")
    on_fork_in_child(kept.wipe); on_fork_in_child(gone.wipe); on_fork_in_child(taken_back.wipe)()
    del gone; gc.collect()
    def broken(): raise KeyError
    import logging; logging.disable()
    on_fork_in_child(broken)
    home = ThreadHome()
    home.block(number())
    child = os.fork()
    if child == 0:
        for use in (lambda: home.submit(number()), lambda: home.block(number())):
            try: use()
            except ForkedNodeError: print("refused", flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert home.block(number()) == 7
    home.block(home.close())
    """
    assert run_script(code) == "wiped kept\nrefused\nrefused\n"
