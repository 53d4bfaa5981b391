"""`dfs` as a user meets it: real processes, exit codes, one line for each mistake, an orderly end."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dfs_sdk.cli import main
from dfs_sdk.cli.exits import Exit

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
SECONDS_MAX = 60.0
on_posix = pytest.mark.skipif(os.name != "posix", reason="signals to other processes: run this on Linux or macOS")


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Shell:
    """Runs `dfs` with a home folder of its own."""

    home: Path
    running: list[subprocess.Popen] = field(default_factory=list)

    def start(self, *arguments: object, **options: Any) -> subprocess.Popen:
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("DFS_", "XDG_"))}
        environment |= options.pop("environment", {})
        environment |= {
            "HOME": str(self.home), "APPDATA": str(self.home), "LOCALAPPDATA": str(self.home),
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]), "PYTHONUTF8": "1",
        }  # fmt: skip
        if os.name == "posix":
            # A shell's background job ignores Ctrl-C, and so would all its children.
            options["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "dfs_sdk.cli", *map(str, arguments)],
            cwd=self.home, env=environment, text=True, encoding="utf-8",
            stdin=options.pop("stdin", subprocess.DEVNULL), stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
        )  # fmt: skip
        self.running.append(process)
        return process

    def end(self, process: subprocess.Popen, text: str | None = None) -> Result:
        out, err = process.communicate(text, timeout=SECONDS_MAX)
        assert "Traceback" not in err, err
        assert "Warning" not in err, err
        return Result(process.returncode, out, err)

    def dfs(self, *arguments: object, **environment: str) -> Result:
        return self.end(self.start(*arguments, environment=environment))

    def node(self, name: str, *arguments: object) -> dict[str, str]:
        """Start a node and wait until it says how to join it."""
        process = self.start("node", "--json", "--name", name, "--store", "memory", *LOOPBACK, *arguments)
        return json.loads(self.line(process))

    def line(self, process: subprocess.Popen) -> str:
        """Wait for the next line that a program prints."""
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, self.end(process)
        return line

    def write(self, process: subprocess.Popen, line: str) -> None:
        """Type a line."""
        assert process.stdin is not None
        process.stdin.write(f"{line}\n")
        process.stdin.flush()

    def close(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.communicate()


LOOPBACK = ("--listen", "127.0.0.1:0")
PASSING = ("--store", "memory", *LOOPBACK, "--json")


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    shell = Shell(tmp_path_factory.mktemp("home"))
    yield shell
    shell.close()


@pytest.fixture(scope="module")
def invite(shell: Shell) -> str:
    """A network of three nodes."""
    ben = shell.node("ben")["invite"]
    shell.node("cyd", "--join", ben)
    shell.node("dot", "--join", ben)
    return ben


@pytest.fixture(scope="module")
def source(shell: Shell) -> Path:
    path = shell.home / "holiday.bin"
    path.write_bytes(random.Random(7).randbytes(1_200_000))
    return path


@pytest.fixture(scope="module")
def stored(shell: Shell, invite: str, source: Path) -> dict[str, Any]:
    """What `dfs put` printed; the store of the putting node is `ada`."""
    result = shell.dfs("put", source, "--store", "ada", "--name", "ada", "--join", invite, *LOOPBACK, "--json")
    assert result.code == Exit.OK, result.err
    return result.json


def test_put_prints_a_link_that_another_node_reads_by(
    shell: Shell, invite: str, source: Path, stored: dict[str, Any]
) -> None:
    assert (stored["name"], stored["size"]) == ("holiday.bin", 1_200_000)
    target = shell.home / "there"
    target.mkdir()
    result = shell.dfs("get", stored["link"], target, "--join", invite, *PASSING)
    assert result.code == Exit.OK, result.err
    assert Path(result.json["path"]) == target / "holiday.bin"
    assert (target / "holiday.bin").read_bytes() == source.read_bytes()


def test_a_store_continues_its_node(shell: Shell, stored: dict[str, Any], source: Path) -> None:
    listed = shell.dfs("ls", "--store", "ada", *LOOPBACK, "--json")
    (file,) = listed.json
    assert (file["name"], file["health"], file["copies_wanted"]) == ("holiday.bin", "healthy", 3)
    assert file["copies_min"] >= 3  # where a holder fell silent meanwhile, somebody stands in for it
    members = shell.dfs("peers", "--store", "ada", *LOOPBACK, "--json").json
    assert {"ben", "cyd", "dot"} <= {row["name"] for row in members if row["state"] == "alive"}
    rows = shell.dfs("chunks", "holiday.bin", "--store", "ada", *LOOPBACK, "--json").json
    copies = {row["chunk"]: 0 for row in rows}
    for row in rows:
        copies[row["chunk"]] += 1
        assert row["why"]
    assert min(copies.values()) >= 3
    assert sorted(copies) == list(range(-1, len(copies) - 1))
    fetched = shell.dfs("get", "holiday.bin", "--store", "ada", *LOOPBACK)
    assert fetched.out.strip() == str(Path("dfs_downloads") / "holiday.bin")
    assert (shell.home / "dfs_downloads" / "holiday.bin").read_bytes() == source.read_bytes()


def test_an_existing_file_is_only_replaced_when_asked_to(shell: Shell, stored: dict[str, Any]) -> None:
    target = shell.home / "mine.bin"
    target.write_bytes(b"mine")
    kept = shell.dfs("get", "holiday.bin", target, "--store", "ada", *LOOPBACK)
    assert (kept.code, target.read_bytes()) == (Exit.FAILED, b"mine")
    assert "mine.bin" in kept.err
    assert shell.dfs("get", "holiday.bin", target, "--overwrite", "--store", "ada", *LOOPBACK).code == Exit.OK
    assert target.stat().st_size == 1_200_000


def test_a_file_is_given_to_a_member_and_removed_again(shell: Shell, invite: str, source: Path) -> None:
    hal = ("--store", "hal", "--name", "hal", *LOOPBACK)
    put = shell.dfs("put", source, "--as", "gift.bin", "--join", invite, *hal, "--json")
    assert put.code == Exit.OK, put.err
    assert shell.dfs("share", "gift.bin", "ben", *hal).code == Exit.OK
    assert shell.dfs("share", "gift.bin", "nobody", *hal).code == Exit.UNREACHABLE
    assert shell.dfs("rm", "gift.bin", *hal).code == Exit.OK
    assert shell.dfs("rm", "gift.bin", *hal).code == Exit.NOT_FOUND


def test_tables_are_for_people(shell: Shell, stored: dict[str, Any]) -> None:
    files = shell.dfs("ls", "--store", "ada", *LOOPBACK).out
    assert "holiday.bin" in files
    assert "3 of 3" in files
    assert stored["link"] not in files, "a list is no place for keys"
    assert "manifest" in shell.dfs("chunks", "--store", "ada", *LOOPBACK).out


def test_chat_says_how_many_heard_and_keeps_the_conversation(shell: Shell, invite: str) -> None:
    said = shell.dfs("chat", "is anybody there?", "--name", "eve", "--join", invite, *PASSING)
    assert said.code == Exit.OK, said.err
    assert said.json["delivered"] >= 3
    talk = shell.start("chat", "--name", "fay", "--join", invite, "--store", "memory", *LOOPBACK, stdin=subprocess.PIPE)
    assert shell.line(talk) == "eve: is anybody there?\n"
    result = shell.end(talk, "I am.\n\n" + "x" * 5000 + "\nstill here\n")
    assert result.code == Exit.OK
    assert [line for line in result.out.splitlines() if line] == ["fay: I am.", "fay: still here"]
    assert "4,096 bytes" in result.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["put", "nothing.txt"], Exit.USAGE, "does not exist"),
        (["put"], Exit.USAGE, "Missing argument"),
        (["get", "dfs:AAAA", *PASSING], Exit.USAGE, "link"),
        (["get", "dfs-join:AAAA", *PASSING], Exit.USAGE, "invite"),
        (["peers", "--join", "nowhere", *PASSING], Exit.USAGE, "HOST:PORT"),
        (["peers", "--join", "dfs-join:AAAA", *PASSING], Exit.USAGE, "invite"),
        (["peers", "--listen", "somewhere", "--store", "memory"], Exit.USAGE, "somewhere"),
        (["peers", "--quota", "much", *PASSING], Exit.USAGE, "much"),
        (["peers", "--timeout", "0", *PASSING], Exit.USAGE, "0"),
        (["chat", "", *PASSING], Exit.USAGE, "nothing to send"),
        (["chat", "x" * 5000, *PASSING], Exit.USAGE, "4,096 bytes"),
        (["chat", "psst", "--to", "nobody", *PASSING], Exit.UNREACHABLE, "nobody"),
        (["chat", "hello?", "--store", "memory", *LOOPBACK], Exit.UNREACHABLE, "it is lost"),
        (["get", "unknown name", *PASSING], Exit.NOT_FOUND, "unknown name"),
        (["chunks", "unknown name", *PASSING], Exit.NOT_FOUND, "unknown name"),
        (["peers", "--join", "127.0.0.1:9", "--timeout", "1", *PASSING], Exit.UNREACHABLE, "Tried"),
    ],
    ids=lambda value: " ".join(map(str, value))[:40] if isinstance(value, list) else None,
)
def test_a_mistake_is_one_sentence_and_a_code(
    arguments: list[str], code: Exit, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, arguments, prog_name="dfs")
    assert result.exit_code == code, result.output
    assert words in result.stderr
    assert result.stderr.startswith("Usage: ") or len(result.stderr.splitlines()) == 1


def test_a_mistake_leaves_no_traceback(shell: Shell) -> None:
    for arguments in (["peers", "--join", "nowhere", *PASSING], ["get", "unknown name", *PASSING]):
        result = shell.dfs(*arguments)
        assert result.code in (Exit.USAGE, Exit.NOT_FOUND)
        assert len(result.err.splitlines()) == 1


def test_a_put_that_finds_no_peers_says_what_to_do(shell: Shell, source: Path) -> None:
    result = shell.dfs("put", source, *PASSING)
    assert result.code == Exit.TOO_FEW_REPLICAS
    assert "quorum=0" in result.err
    assert shell.dfs("put", source, "--quorum", "0", "--store", "alone", *LOOPBACK).code == Exit.OK


def test_a_link_nobody_knows_is_not_found(shell: Shell, invite: str, stored: dict[str, Any], source: Path) -> None:
    gone = shell.dfs("put", source, "--store", "alone", "--quorum", "0", *LOOPBACK, "--json").json["link"]
    assert shell.dfs("get", gone, "--join", invite, *PASSING).code in (Exit.USAGE, Exit.NOT_FOUND), "another network"


def test_a_store_in_use_is_refused_in_words(shell: Shell) -> None:
    owner = shell.start("node", "--json", "--store", "taken", *LOOPBACK)
    shell.line(owner)
    result = shell.dfs("ls", "--store", "taken", *LOOPBACK)
    assert result.code == Exit.STORE
    assert "taken" in result.err or "Another" in result.err
    owner.terminate()
    shell.end(owner)
    assert shell.dfs("ls", "--store", "taken", *LOOPBACK).code == Exit.OK


@on_posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, Exit.INTERRUPTED), (signal.SIGTERM, Exit.OK)])
def test_a_node_ends_in_order_when_asked_to(shell: Shell, number: signal.Signals, code: Exit) -> None:
    process = shell.start("node", "--json", *PASSING[:-1])
    shell.line(process)
    process.send_signal(number)
    begun = time.monotonic()
    assert shell.end(process).code == code
    assert time.monotonic() - begun < 5


@on_posix
def test_ctrl_c_ends_a_conversation_without_waiting_for_a_line(shell: Shell) -> None:
    process = shell.start("chat", *PASSING, stdin=subprocess.PIPE)
    shell.write(process, "is this on?")
    assert json.loads(shell.line(process))["text"] == "is this on?"
    process.send_signal(signal.SIGINT)
    assert process.wait(SECONDS_MAX) == Exit.INTERRUPTED  # nobody has closed its input
    shell.end(process)


@on_posix
def test_sigterm_ends_a_command_with_its_own_code(shell: Shell) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.settimeout(SECONDS_MAX)
        process = shell.start("peers", "--join", f"127.0.0.1:{silent.getsockname()[1]}", *PASSING)
        assert silent.recv(2048), "it joins"
        process.send_signal(signal.SIGTERM)
        assert shell.end(process).code == Exit.TERMINATED


def test_the_demo_shows_that_the_bytes_come_back(shell: Shell, source: Path) -> None:
    result = shell.dfs("demo", source, "--nodes", "5", "--json")
    assert result.code == Exit.OK, result.err
    told = result.json
    assert told["identical"] is True
    assert told["healed"] is True
    assert len(told["killed"]) == 2
    assert {"chunk", "holder", "why"} <= set(told["chunks"][0])


def test_the_doctor_lets_two_nodes_meet(shell: Shell) -> None:
    result = shell.dfs("doctor", "--json")
    assert result.code == Exit.OK, result.err
    assert result.json["two nodes on loopback"].startswith("met in ")
    assert Path(result.json["stores"]).is_relative_to(shell.home)
    assert "two nodes on loopback" in shell.dfs("doctor").out


def test_the_log_is_shown_when_asked_for(shell: Shell) -> None:
    quiet = shell.dfs("peers", *PASSING)
    assert quiet.err == ""
    told = shell.dfs("peers", *PASSING, DFS_LOG="debug")
    assert " DEBUG " in told.err


def test_no_secret_is_logged(shell: Shell, invite: str, source: Path) -> None:
    put = shell.dfs("put", source, "--as", "diary.txt", "--join", invite, *PASSING, DFS_LOG="debug")
    alone = shell.dfs("put", source, "--quorum", "0", *PASSING, DFS_LOG="debug", DFS_PASSPHRASE="correct horse")
    link = put.json["link"]
    got = shell.dfs("get", link, source.with_name("copy.bin"), "--join", invite, *PASSING, DFS_LOG="debug")
    assert (put.code, alone.code, got.code) == (Exit.OK, Exit.OK, Exit.OK)
    for said in (put.err, got.err):
        assert link.removeprefix("dfs:")[-40:] not in said
        assert "diary.txt" not in said
    assert "correct horse" not in alone.err
    assert "DEBUG" in put.err
    assert "DEBUG" in got.err


def test_help_names_every_command(shell: Shell) -> None:
    told = shell.dfs("--help").out
    for command in ("node", "put", "get", "ls", "peers", "chunks", "chat", "share", "rm", "doctor", "demo"):
        assert command in told
    assert shell.dfs("--version").out.startswith("dfs, version ")
