"""What a network owes its users during one seed: files it acknowledged, messages it took. No I/O.

The promise under test: a `get` gives exactly the bytes of an acknowledged `put`, or an error; once everything is
healed, every acknowledged file can be read, and every message is with everybody exactly once, in its sender's order.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field

from dfs_sdk.ids import ChunkId

PROBLEMS_MAX = 50


@dataclass(slots=True, kw_only=True)
class Owed:
    """One acknowledged file.

    Attributes:
        name: Its name.
        link: What reads it.
        data: Its bytes.
        owner: The host that stored it.
        chunk_ids: Its chunks, the manifest among them.
        removed: Whether its removal has begun: from then on it may be gone.
    """

    name: str
    link: str
    data: bytes
    owner: str
    chunk_ids: tuple[ChunkId, ...]
    removed: bool = False


@dataclass(slots=True)
class Ledger:
    """All that is owed, and every breach that was seen.

    Attributes:
        files: Acknowledged files in the order of their acknowledgement.
        said: Texts of messages by sender, in the order in which `send` returned them.
        begun: Texts of all messages that a `send` began with; those it did not return for may arrive nevertheless.
        problems: Breaches in words, at most `PROBLEMS_MAX`.
        reads: Reads that gave the right bytes.
        refusals: Reads and writes that ended in one of our own errors.
    """

    files: list[Owed] = field(default_factory=list)
    said: dict[str, list[str]] = field(default_factory=dict)
    begun: set[tuple[str, str]] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    reads: int = 0
    refusals: int = 0

    def breach(self, words: str) -> None:
        """Note that the promise was broken."""
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(words)

    def standing(self) -> list[Owed]:
        """List the files that must be readable in the end."""
        return [file for file in self.files if not file.removed]

    def was_read(self, file: Owed, data: bytes, reader: str) -> None:
        """Hold what a `get` returned against what was put."""
        if data == file.data:
            self.reads += 1
        else:
            self.breach(f"{reader} read {len(data)} wrong bytes of {file.name} ({len(file.data)} bytes)")

    def heard(self, host: str, shown: Iterable[tuple[str, str, str]], *, forgetful: Container[str] = ()) -> bool:
        """Hold the room as one host sees it against what was said.

        Args:
            host: Whose history it is.
            shown: (sender, its life, text) of each message, in the order shown. Who loses its store comes back as
                somebody else of the same name: what it says then has no order with what it said before.
            forgetful: Senders that may have lost what they had not told anybody.

        Returns:
            Whether everything that was said is there. What may never be is a breach: a message twice, made up, or out
            of its sender's order.
        """
        by_sender: dict[str, list[str]] = {}
        by_life: dict[tuple[str, str], list[str]] = {}
        for sender, life, text in shown:
            by_sender.setdefault(sender, []).append(text)
            by_life.setdefault((sender, life), []).append(text)
        for sender, texts in sorted(by_sender.items()):
            if len(set(texts)) != len(texts):
                self.breach(f"{host} shows a message of {sender} twice")
            made_up = [text for text in texts if (sender, text) not in self.begun]
            if made_up:
                self.breach(f"{host} shows messages that {sender} never sent: {made_up[:3]}")
        for (sender, _), texts in sorted(by_life.items()):
            self._check_order(host, sender, texts)
        return all(
            set(texts) <= set(by_sender.get(sender, ()))
            for sender, texts in self.said.items()
            if sender not in forgetful
        )

    def _check_order(self, host: str, sender: str, texts: Sequence[str]) -> None:
        known = self.said.get(sender, [])
        places = [known.index(text) for text in texts if text in known]
        if places != sorted(places):
            self.breach(f"{host} shows messages of {sender} out of order: {places}")
