"""What a browser can ask of panels, asked of real nodes in real kernels of four ipykernel versions.

The browser is this test: it sends the messages that the panels' own front ends send, to the main shell or to a
subshell, whose thread and loop are others, and reads what comes back.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.kernels import CannotInstallError, Kernel, running_kernel

pytestmark = pytest.mark.system

VERSIONS = ("6.31.0", "7.0.1", "7.3.0", "7.4.0")
ANSWER_SECONDS = 30.0
START = """
import asyncio, json, os, time
os.chdir({folder!r})
from dfs_sdk import Node
from dfs_sdk.ui import Dashboard, TransfersPanel
from dfs_sdk.sim.swarm import hurried
async def member(name, *join):
    node = await Node(name, store="memory", listen="127.0.0.1:0", config=hurried(), home={home!r}).start()
    if join: await node.join(*join)
    return node
ben = await member("ben")
cyd = await member("cyd", ben.invite())
ada = await member("ada")
board = Dashboard(ada)
moves = TransfersPanel(ada)
open("notes.csv", "w").write("1,2\\n" * 3_000)
print(json.dumps({{panel: getattr(board, panel).model_id for panel in {panels!r}}} |
    {{"transfers": moves.model_id, "invite": ben.invite()}}))
"""
PANELS = ("join", "files", "chat", "placement")
FACTS = """
shot = ada.snapshot()
print(json.dumps({
    "file": shot.files[0].file_id if shot.files else "", "ben": str(ben.node_id),
    "message": next((row.message_id for row in shot.messages if row.link), ""),
    "transfer": next((each.transfer_id for each in ada.running_transfers()), 0),
}))
"""


class Front:
    """The front end of a dashboard, as far as its kernel can tell.

    Attributes:
        invite: Of the network to join.
    """

    def __init__(self, kernel: Kernel, folder: Path, home: str = "auto") -> None:
        self.kernel = kernel
        made = json.loads(kernel.run(START.format(folder=str(folder), home=home, panels=PANELS)))
        self.invite: str = made.pop("invite")
        self._models: dict[str, str] = made
        self._references = (f"r{number}" for number in itertools.count())

    def facts(self) -> dict[str, Any]:
        """Ids that a front end would know from what it shows."""
        return dict(json.loads(self.kernel.run(FACTS)))

    def ask(self, panel: str, kind: str, *, subshell: str | None = None, **fields: object) -> bool:
        """Ask a panel for something; returns whether it went well."""
        return self.wait(self.send(panel, kind, subshell=subshell, **fields))

    def send(self, panel: str, kind: str, *, subshell: str | None = None, **fields: object) -> str:
        """Ask without waiting; returns the reference of the request."""
        reference = next(self._references)
        custom = {"method": "custom", "content": {"kind": kind, "ref": reference, **fields}}
        client = self.kernel.client
        message = client.session.msg("comm_msg", {"comm_id": self._models[panel], "data": custom})
        if subshell is not None:
            message["header"]["subshell_id"] = subshell
        client.shell_channel.send(message)
        return reference

    def wait(self, reference: str) -> bool:
        """Wait until the panel says that a request is done."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < deadline:
            message = self.kernel._next(self.kernel.client.iopub_channel, 0.2)
            if message is None or message["msg_type"] != "comm_msg":
                continue
            content = message["content"]["data"].get("content", {})
            if content.get("kind") == "done" and content.get("ref") == reference:
                return bool(content["fine"])
        raise AssertionError(f"ipykernel {self.kernel.version}: no answer to {reference}")


@pytest.fixture(scope="module", params=VERSIONS)
def kernel(request: pytest.FixtureRequest) -> Iterator[Kernel]:
    try:
        with running_kernel(request.param) as made:
            yield made
    except CannotInstallError as error:
        pytest.skip(str(error))


@pytest.fixture
def front(kernel: Kernel, tmp_path: Path) -> Iterator[Front]:
    made = Front(kernel, tmp_path)
    yield made
    kernel.run("board.close()\nfor node in (ada, cyd, ben): await node.abort()")


def shells(kernel: Kernel) -> Iterator[str | None]:
    """Where the next message goes: to the main shell, and where there are subshells to one of them, in turn."""
    if kernel.version.startswith("6."):
        return itertools.repeat(None)
    return itertools.cycle([None, kernel.create_subshell()])


def test_every_request_of_every_panel_is_served_on_any_shell(kernel: Kernel, front: Front) -> None:
    shell = shells(kernel)

    def ask(panel: str, kind: str, **fields: object) -> None:
        assert front.ask(panel, kind, subshell=next(shell), **fields), f"{panel}: {kind}, {problems(kernel)}"

    ask("join", "join", target=front.invite, passphrase="", timeout=20)
    ask("join", "invite")
    ask("files", "put-path", path="notes.csv")
    facts = front.facts()
    ask("files", "look", view="v", sort="size", descending=1, search="notes", first=0, count=10)
    ask("files", "members")
    ask("files", "link", file=facts["file"])
    ask("files", "share", file=facts["file"], peer=facts["ben"])
    ask("files", "save", file=facts["file"])
    ask("files", "pin", file=facts["file"])
    ask("files", "unpin", file=facts["file"])
    ask("files", "unlook", view="v")
    ask("placement", "look", view="v", version=0)
    ask("placement", "why", version=1, row=0, column=0)
    ask("placement", "show", file=1)
    ask("placement", "unlook", view="v")
    ask("chat", "send", text="hello", to="", file=facts["file"])
    message = front.facts()["message"]
    ask("chat", "read", room="")
    ask("chat", "older", room="", before=message)
    ask("chat", "files")
    kernel.run("for path in __import__('pathlib').Path('dfs_downloads').iterdir(): path.unlink()")
    ask("chat", "fetch", message=message, room="")
    ask("files", "remove", file=facts["file"])
    ask("transfers", "clear-all")
    ask("join", "leave")


def test_running_transfer_is_paused_resumed_and_cancelled_from_any_shell(kernel: Kernel, front: Front) -> None:
    shell = shells(kernel)
    kernel.run(f"await ada.join({front.invite!r})")
    kernel.run("""
async def trickle():
    while True:
        yield bytes(1000)
        await asyncio.sleep(0.01)
slow = ada.submit(ada.put(trickle(), name="endless"))
while not ada.running_transfers(): await asyncio.sleep(0.01)
""")
    transfer = front.facts()["transfer"]
    for kind in ("pause", "resume", "cancel", "clear"):
        if kind == "clear":
            kernel.run("while ada.running_transfers(): await asyncio.sleep(0.01)")
        assert front.ask("transfers", kind, subshell=next(shell), transfer=transfer), f"{kind}: {problems(kernel)}"


def test_mistake_is_a_problem_in_the_panel_that_made_it(kernel: Kernel, front: Front) -> None:
    for shell in itertools.islice(shells(kernel), 2):
        assert not front.ask("files", "put-path", subshell=shell, path="no such file")
    assert "no such file" in problems(kernel)


def test_panel_of_one_cell_is_filled_while_another_awaits(kernel: Kernel, front: Front) -> None:
    kernel.run(f"""
await ada.join({front.invite!r})
async with asyncio.timeout({ANSWER_SECONDS}):
    while board.join.status["members"] != 3:
        await asyncio.sleep(0.05)
""")


@pytest.mark.parametrize("kernel", VERSIONS[1:], indirect=True)  # subshells came with ipykernel 7
def test_node_on_a_thread_answers_a_subshell_during_a_blocking_cell(kernel: Kernel, tmp_path: Path) -> None:
    front = Front(kernel, tmp_path, home="thread")
    subshell = kernel.create_subshell()
    assert front.ask("join", "invite", subshell=subshell)
    answered = tmp_path / "answered"
    cell = kernel.send(blocking_until(answered))
    assert front.ask("join", "invite", subshell=subshell)
    answered.touch()
    kernel.run_out(cell)
    kernel.run("board.close()\nfor node in (ada, cyd, ben): await node.abort()")


@pytest.mark.parametrize("kernel", VERSIONS[1:], indirect=True)
def test_panel_made_by_the_blocking_cell_itself_answers_a_subshell_during_it(kernel: Kernel, tmp_path: Path) -> None:
    front = Front(kernel, tmp_path, home="thread")
    subshell = kernel.create_subshell()
    made, answered = tmp_path / "model", tmp_path / "answered"
    cell = kernel.send(f"""
late = Dashboard(ada)
open({str(made) + ".new"!r}, "w").write(late.join.model_id)
os.rename({str(made) + ".new"!r}, {str(made)!r})
{blocking_until(answered)}
""")
    deadline = time.monotonic() + ANSWER_SECONDS
    while not made.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    front._models["join"] = made.read_text()
    assert front.ask("join", "invite", subshell=subshell)
    answered.touch()
    kernel.run_out(cell)
    kernel.run("late.close()\nboard.close()\nfor node in (ada, cyd, ben): await node.abort()")


def blocking_until(answered: Path) -> str:
    """Code that holds its cell until the answer was there, and fails where that waits for the cell."""
    return f"""
end = time.monotonic() + {ANSWER_SECONDS / 2}
while not os.path.exists({str(answered)!r}):
    assert time.monotonic() < end, "the answer waited for the cell"
    time.sleep(0.01)
"""


def problems(kernel: Kernel) -> str:
    """The problems that the panels show."""
    return kernel.run("print([each for panel in board.panels for each in panel.problems])")
