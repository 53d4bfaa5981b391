"""`dfs demo`: the main job on real input, in one process over real UDP on loopback, checked at the end."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from rich.text import Text

from dfs_sdk.cli import show
from dfs_sdk.cli.exits import Exit
from dfs_sdk.crypto.hashing import blake3_256
from dfs_sdk.sim.swarm import Swarm
from dfs_sdk.views import words

KILLED = 2
SETTLE_TIMEOUT = 60.0
INPUT_BYTES_MIN = 1024 * 1024


async def demonstrate(file: Path | None, *, nodes: int, as_json: bool) -> int:
    """Tell the story and check its end.

    Args:
        file: The file to store; a file of the Python installation by default.
        nodes: Nodes to start, at least 5.
        as_json: Print one JSON document instead of the story.

    Returns:
        The exit code: OK only if the bytes that came back are those that went in.
    """
    source = file or default_input()
    say = _Voice(quiet=as_json)
    begun = time.perf_counter()
    async with Swarm(nodes, replicas=KILLED + 1) as swarm:
        say(f"{nodes} nodes are up on loopback UDP and know each other ({time.perf_counter() - begun:.1f} s)")
        writer, reader = swarm[0], swarm[1]
        stored = await writer.put(source)
        say(f"put {source} ({words.size(stored.size)}), {KILLED + 1} copies of every chunk; its chunk table:")
        await writer.audit()
        before = writer.snapshot().chunks
        if not as_json:
            show.chunks(before[:24])
            if len(before) > 24:
                say(f"… and {len(before) - 24} rows more")
        killed = await _kill_two_holders(swarm, say)
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "copy"
            await reader.get(stored.link, target)
            same = digest(target) == digest(source)
        say(f"read back on {reader.name} with {len(killed)} holders dead: {'identical' if same else 'DIFFERENT'}")
        await swarm.settled(timeout=SETTLE_TIMEOUT)
        await writer.audit()
        copies = Counter(row.chunk_id for row in writer.snapshot().chunks if row.state != "gone")
        healed = min(copies.values()) >= KILLED + 1
        say(f"the survivors made new copies: every chunk has at least {min(copies.values())} again")
    elapsed = time.perf_counter() - begun
    if as_json:
        show.as_json({
            "file": str(source), "size": stored.size, "nodes": nodes, "killed": killed, "identical": same,
            "healed": healed, "seconds": elapsed, "chunks": before,
        })  # fmt: skip
    else:
        say(f"done in {elapsed:.1f} s. Next: dfs lab")
    return Exit.OK if same and healed else Exit.FAILED


async def _kill_two_holders(swarm: Swarm, say: _Voice) -> list[str]:
    writer, reader = swarm[0], swarm[1]
    held = Counter(row.holder_id for row in writer.snapshot().chunks)
    spared = {str(writer.node_id), str(reader.node_id)}
    victims = [holder for holder, _count in held.most_common() if holder not in spared][:KILLED]
    names = []
    for index, node in enumerate(swarm.nodes):
        if str(node.node_id) in victims:
            names.append(node.name)
            await swarm.kill(index)
    say(f"killed two holders without a goodbye: {', '.join(names)}")
    return names


def default_input() -> Path:
    """A real file that every Python has: its own executable, or its documentation where that is a mere launcher."""
    executable = Path(sys.executable).resolve()
    if executable.stat().st_size >= INPUT_BYTES_MIN:
        return executable
    topics = importlib.util.find_spec("pydoc_data.topics")
    return Path(topics.origin) if topics is not None and topics.origin else executable


def digest(path: Path) -> bytes:
    """The BLAKE3 hash of a file."""
    return blake3_256(path.read_bytes())


class _Voice:
    """Tells the story on stdout, or keeps quiet."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def __call__(self, line: str) -> None:
        if not self._quiet:
            show.out.print(Text(line), soft_wrap=True)
