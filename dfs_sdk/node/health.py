"""How well a node's files are kept, in one sentence that is true: pure.

What is claimed is the worst case. "Survives any k of n peers leaving" means: whichever k peers are gone, and this node
with them, each chunk of each file still has a copy at a peer that answers now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class Kept(Protocol):
    """What is known of how a file is kept: see `files.catalog.FileStat`."""

    @property
    def copies_min(self) -> int:
        """Reachable copies of its scarcest chunk."""
        ...

    @property
    def copies_elsewhere(self) -> int:
        """Those of them that are not on this node, for the chunk with the fewest."""
        ...

    @property
    def machines_elsewhere(self) -> int:
        """Machines of other nodes with a copy, for the chunk on the fewest."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """What may go without a file being lost, this node apart.

    Attributes:
        peers: Any so many peers; -1 if some chunk is at no peer that answers.
        machines: Any so many machines of peers; -1 likewise.
    """

    peers: int
    machines: int


def margin(files: Sequence[Kept]) -> Margin:
    """Find the worst case of several files; of none, as if each were nowhere."""
    return Margin(
        peers=min((file.copies_elsewhere for file in files), default=0) - 1,
        machines=min((file.machines_elsewhere for file in files), default=0) - 1,
    )


def in_words(files: Sequence[Kept], *, peers: int, machines: int, read_only: str | None) -> str:
    """Say how the files are kept.

    Args:
        files: The catalog.
        peers: Peers that answer.
        machines: Machines they run on.
        read_only: Why the store takes nothing, if it does not.
    """
    if read_only:
        return f"the store only reads: {read_only}"
    lost = sum(file.copies_min == 0 for file in files)
    if not peers:
        return _alone(files, lost)
    company = "1 peer" if peers == 1 else f"{peers} peers"
    if not files:
        return f"{company}; no files yet"
    if lost:
        return f"{company}; {_of(lost, files)} cannot be read just now"
    return f"{company}; {_kept(files, peers=peers, machines=machines)}"


def _alone(files: Sequence[Kept], lost: int) -> str:
    if not files:
        return "alone: join a network or hand on an invite"
    if lost:
        return f"alone; {_of(lost, files)} cannot be read just now"
    return "alone: what is stored is only here"


def _kept(files: Sequence[Kept], *, peers: int, machines: int) -> str:
    spare = margin(files)
    if spare.peers < 0:
        here = sum(file.copies_elsewhere == 0 for file in files)
        return f"{_of(here, files)} would be lost with this node"
    if spare.peers == 0:
        single = sum(file.copies_elsewhere == 1 for file in files)
        return f"every file can do without this node, but {_of(single, files)} would be lost with one peer more"
    if spare.peers == peers - 1:
        survived = "survives all peers but one leaving" if peers > 2 else "survives either peer leaving"
    else:
        survived = f"survives any {spare.peers} of {peers} peers leaving"
    return f"every file {survived}, this node too{_machines(spare.machines, machines)}"


def _machines(spare: int, machines: int) -> str:
    if machines < 2:
        return "; all peers are on one machine"
    return f", or any {spare} of their {machines} machines" if spare > 0 else ""


def _of(count: int, files: Sequence[Kept]) -> str:
    return f"{count} of {len(files)} files" if len(files) > 1 else "the one file"
