"""Inputs worth keeping: for each target a few that reach different code, as text, a line each: name, tab, hex."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.fuzz.law import Target

FOLDER = Path(__file__).parent / "corpus"
KEPT_PER_TARGET = 12
KEPT_BYTES_MAX = 1300


def read(group: str) -> list[tuple[str, bytes]]:
    """Read the inputs kept for a group: target and bytes."""
    path = FOLDER / f"{group}.txt"
    if not path.exists():
        return []
    rows = [line.split("\t") for line in path.read_text(encoding="ascii").splitlines()]
    return [(name, bytes.fromhex(digits)) for name, digits in rows]


def write(group: str, inputs: Iterable[tuple[str, bytes]]) -> int:
    """Keep the shortest inputs of each target; returns how many."""
    kept: dict[str, list[bytes]] = {}
    for name, data in sorted(inputs, key=lambda item: (item[0], len(item[1]), item[1])):
        mine = kept.setdefault(name, [])
        if len(mine) < KEPT_PER_TARGET and len(data) <= KEPT_BYTES_MAX:
            mine.append(data)
    lines = [f"{name}\t{data.hex()}\n" for name, mine in kept.items() for data in mine]
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{group}.txt").write_text("".join(lines), encoding="ascii")
    return len(lines)


def pack(targets: list[Target], name: str, data: bytes) -> bytes:
    """Form what a fuzzer of a whole group works on: one byte that names the target, then its input."""
    return bytes((next(index for index, target in enumerate(targets) if target.name == name),)) + data


def unpack(targets: list[Target], packed: bytes) -> tuple[Target, bytes] | None:
    """Take that apart; None where no target has that number."""
    if not packed or packed[0] >= len(targets):
        return None
    return targets[packed[0]], packed[1:]
