"""One object in real kernels of four ipykernel versions: what survives, what is refused, what is left behind.

The object is made by `tests.fakes.kernel_subject.make`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.kernels import CannotInstallError, Kernel, running_kernel

pytestmark = pytest.mark.system

VERSIONS = ("6.31.0", "7.0.1", "7.3.0", "7.4.0")
with_subshells = pytest.mark.parametrize("kernel", VERSIONS[1:], indirect=True)  # they came with ipykernel 7


@pytest.fixture(scope="module", params=VERSIONS)
def kernel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    try:
        with running_kernel(request.param) as made:
            evidence = tmp_path_factory.mktemp("goodbye") / "evidence"
            begin(made, evidence)
            yield made
    except CannotInstallError as error:
        pytest.skip(str(error))


# How long a goodbye may take has tests of its own; on a busy machine one that takes its second is none the less said.
PATIENT = """
from dfs_sdk.runtime import home, homes
home.GOODBYE_SECONDS = homes.GOODBYE_SECONDS = 20.0
"""


def begin(kernel: Kernel, evidence: Path, home: str = "auto") -> None:
    kernel.run("import asyncio, threading, time\nfrom tests.fakes.kernel_subject import make")
    kernel.run(f"subject = await make({str(evidence)!r}, {home!r})")


@pytest.fixture
def subshell(kernel: Kernel) -> str:
    return kernel.create_subshell()


def until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def test_version_is_the_one_asked_for_and_the_home_is_its_loop(kernel: Kernel) -> None:
    assert (
        kernel.run("import ipykernel; print(ipykernel.__version__, subject.home_name)") == f"{kernel.version} LoopHome"
    )


def test_ticks_and_datagrams_go_on_between_cells(kernel: Kernel) -> None:
    for pause in (0.3, 3.0, 20.0):  # a busy machine ticks late
        ticks, received = map(int, kernel.run("print(subject.ticks, subject.received)").split())
        time.sleep(pause)  # no cell runs: the subject has only the kernel's idle loop
        later_ticks, later_received = map(int, kernel.run("print(subject.ticks, subject.received)").split())
        if later_ticks - ticks >= 5 and later_received - received >= 5:
            return
    raise AssertionError(f"{later_ticks - ticks} ticks and {later_received - received} datagrams in {pause} s")


def test_ticks_and_datagrams_go_on_while_a_cell_awaits(kernel: Kernel) -> None:
    kernel.run("""
a = subject.ticks, subject.received
async with asyncio.timeout(20):
    while subject.ticks - a[0] < 5 or subject.received - a[1] < 5:
        await asyncio.sleep(0.05)
""")


def test_blocking_cell_stops_everything_and_is_reported_as_lag(kernel: Kernel) -> None:
    kernel.run("await asyncio.sleep(0.15); subject.lags.clear()")
    assert kernel.run("a = subject.ticks\ntime.sleep(0.9)\nprint(subject.ticks - a)") == "0"
    assert 0.7 <= float(kernel.run("await asyncio.sleep(0.3); print(max(subject.lags))")) < 10
    assert "the loop was blocked" in kernel.run("print(subject.news)")


def test_public_methods_are_awaited_in_place(kernel: Kernel) -> None:
    assert kernel.run("print(await subject.echo(3), [n async for n in subject.count(3)])") == "(3, True) [0, 1, 2]"


def test_run_all_of_six_blocking_cells_runs_six(kernel: Kernel) -> None:
    kernel.run("done = []")
    replies = kernel.wait(*(kernel.send(f"done.append(subject.sync.echo({n})); print({n})") for n in range(6)))
    assert [reply.status for reply in replies] == ["ok"] * 6, replies
    assert [reply.printed for reply in replies] == [f"{n}\n" for n in range(6)]
    assert kernel.run("print(done)") == str([(n, True) for n in range(6)])


def test_files_pass_between_two_nodes_by_blocking_cells(kernel: Kernel) -> None:
    kernel.run("from tests.fakes.kernel_subject import CONTENT\nnode, peer, links = subject.node, subject.peer, []")
    put = "links.append(node.sync.put(CONTENT + bytes([{n}]), name='f{n}', quorum=1).link)"
    get = "print(peer.sync.get(links[{n}]) == CONTENT + bytes([{n}]))"
    replies = kernel.wait(*(kernel.send(cell.format(n=n)) for n in range(3) for cell in (put, get)))
    assert [(reply.status, reply.error) for reply in replies] == [("ok", "")] * 6
    assert [reply.printed for reply in replies] == ["", "True\n"] * 3
    assert kernel.run("print(await peer.get(links[0]) == CONTENT + bytes([0]))") == "True"


def test_loop_goes_on_below_a_blocking_call(kernel: Kernel) -> None:
    cell = (
        "a = subject.ticks\nfor n in range(5): subject.sync.echo(n)\nprint(subject.ticks - a, [*subject.sync.count(3)])"
    )
    ticks, counted = kernel.run(cell).split(" ", 1)
    assert int(ticks) >= 5
    assert counted == "[0, 1, 2]"


@pytest.mark.parametrize("call", ["subject.sync.wait_long({})", "await subject.wait_long({})"])
def test_interrupt_ends_the_call_and_leaves_no_task(kernel: Kernel, call: str, tmp_path: Path) -> None:
    began = tmp_path / "began"
    tasks = kernel.run("print(subject.home_tasks)")
    cell = kernel.send(call.format(repr(str(began))))
    until(began.exists, "the call never began")
    kernel.interrupt()
    [reply] = kernel.wait(cell)
    assert reply.status == "error"
    assert reply.error.startswith(("KeyboardInterrupt", "CancelledError")), reply
    kernel.run("await asyncio.sleep(0.05)")
    assert kernel.run("print(subject.waiting, subject.failures, subject.home_tasks)") == f"0 [] {tasks}"
    ticks = int(kernel.run("print(subject.ticks)"))
    until(lambda: int(kernel.run("print(subject.ticks)")) > ticks, "the interrupt ended the ticking task")
    assert kernel.run("print(subject.sync.echo(1))") == "(1, True)"


def test_callbacks_and_tasks_of_the_object_may_not_block(kernel: Kernel) -> None:
    cell = """
from dfs_sdk.errors import SyncCallError
said = []
def attempt():
    try: subject.sync.echo(1)
    except SyncCallError as error: said.append('await' in str(error))
async def task(): attempt()
asyncio.get_running_loop().call_soon(attempt)
subject._home.submit(task())
await asyncio.sleep(0.05)
print(said)
"""
    assert kernel.run(cell) == "[True, True]"


@with_subshells
def test_subshell_reaches_the_object_on_the_main_loop(kernel: Kernel, subshell: str, tmp_path: Path) -> None:
    where = "print(threading.current_thread() is threading.main_thread())"
    assert kernel.run(where) == "True"
    assert kernel.run(where, subshell=subshell) == "False"
    assert kernel.run("print(await subject.echo(1))", subshell=subshell) == "(1, True)"
    assert kernel.run("print([n async for n in subject.count(3)])", subshell=subshell) == "[0, 1, 2]"
    assert kernel.run("print(subject.sync.echo(2))", subshell=subshell) == "(2, True)"
    written = tmp_path / "written"
    kernel.run(f"subject.submit_echo(3, {str(written)!r})", subshell=subshell)
    until(lambda: written.exists() and written.read_text() == "(3, True)", "the submitted call never ran")


@with_subshells
def test_subshell_call_waits_for_a_busy_main_shell(kernel: Kernel, subshell: str) -> None:
    main = kernel.send("time.sleep(0.8)\nprint('slept')")
    side = kernel.send("print(subject.sync.echo(4))", subshell=subshell)
    replies = kernel.wait(main, side)
    assert [reply.printed for reply in replies] == ["slept\n", "(4, True)\n"]


@with_subshells
def test_subshell_call_runs_beside_an_awaiting_and_a_blocking_main_cell(kernel: Kernel, subshell: str) -> None:
    for cell in ("await asyncio.sleep(0.5)", "subject.sync.echo(0); subject.sync.echo(1)"):
        main = kernel.send(cell)
        side = kernel.send("print(subject.sync.echo(5), await subject.echo(6))", subshell=subshell)
        replies = kernel.wait(main, side)
        assert [reply.printed for reply in replies] == ["", "(5, True) (6, True)\n"], replies


@with_subshells
def test_node_made_in_a_subshell_gets_a_thread_of_its_own(kernel: Kernel, subshell: str, tmp_path: Path) -> None:
    kernel.run(f"other = await make({str(tmp_path / 'e')!r})", subshell=subshell)
    assert kernel.run("print(other.home_name, await other.echo(7))") == "ThreadHome (7, True)"


def test_thread_home_lives_through_a_blocking_cell(kernel: Kernel, tmp_path: Path) -> None:
    begin_own = f"threaded = await make({str(tmp_path / 'e')!r}, 'thread')"
    kernel.run(begin_own)
    assert kernel.run("print(threaded.home_name, threaded.sync.echo(1), await threaded.echo(2))") == (
        "ThreadHome (1, True) (2, True)"
    )
    kernel.run("""
a, end = threaded.ticks, time.monotonic() + 20
while threaded.ticks - a < 10:
    assert time.monotonic() < end, threaded.ticks - a
    time.sleep(0.05)
""")


def test_restart_and_shutdown_say_goodbye(kernel: Kernel, tmp_path: Path) -> None:
    """Last of its kernel: both homes, at a restart and at a shutdown, which are two messages to the kernel."""
    evidence = {home: tmp_path / home for home in ("loop", "thread")}
    for end in (kernel.restart, kernel.shut_down):
        for home, path in evidence.items():
            begin(kernel, path, home)
            kernel.run(PATIENT)
            kernel.run(f"await subject.node.put(b'kept', name='at {end.__name__}', quorum=0)")
        if end == kernel.shut_down:
            names = kernel.run("print([file.name for file in await subject.node.ls()])")
            assert names == "['at restart', 'at shut_down']", "the store of before the restart opens at once"
        end()
        for home, path in evidence.items():
            assert path.exists(), f"no goodbye from the {home} home at {end.__name__}"
            assert path.read_text().startswith("<Node first: not running> after "), path.read_text()
            path.unlink()
