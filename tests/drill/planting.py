"""Bugs that are planted in a process: the source is rewritten while it is imported, never on the disk.

A bug says which text of which file becomes what. The text must occur exactly once: a drill whose bug no longer fits
the code says so, instead of running the sound code and calling it caught.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

ROOT = Path(__file__).parents[2]


class DriftError(Exception):
    """A bug does not fit the code any more: mend the drill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One change of the source.

    Attributes:
        path: The file, from the root of the repository.
        old: A text that occurs in it exactly once.
        new: What stands there instead.
    """

    path: str
    old: str
    new: str

    @property
    def module(self) -> str:
        """The module that the file is."""
        return self.path.removesuffix(".py").replace("/", ".")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bug:
    """A bug to be caught.

    Attributes:
        name: What is wrong, in a few words.
        edits: How it comes about.
        tests: The tests that must catch it: files, or tests of a file.
        seeds: Whether the simulator must catch it, too.
    """

    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]
    seeds: bool = False


def lines(*texts: str) -> str:
    """Join the lines of a text."""
    return "\n".join(texts)


def edited(edits: Sequence[Edit], source: str) -> str:
    """Rewrite the source of one file.

    Raises:
        DriftError: An old text does not occur exactly once.
    """
    for edit in edits:
        found = source.count(edit.old)
        if found != 1:
            raise DriftError(f"{edit.path}: {edit.old!r} occurs {found} times, not once")
        source = source.replace(edit.old, edit.new)
    return source


def as_text(edits: Sequence[Edit]) -> str:
    """Write edits as text, to be handed to another process."""
    return json.dumps([asdict(edit) for edit in edits])


def edits_from(text: str) -> list[Edit]:
    """Read what `as_text` wrote."""
    return [Edit(**fields) for fields in json.loads(text)]


def check(bug: Bug) -> None:
    """Return only if a bug fits the code on the disk, and what comes of it compiles.

    Raises:
        DriftError: It does not.
    """
    for path in dict.fromkeys(edit.path for edit in bug.edits):
        source = edited([edit for edit in bug.edits if edit.path == path], (ROOT / path).read_text(encoding="utf-8"))
        try:
            compile(source, path, "exec", dont_inherit=True)
        except SyntaxError as error:
            raise DriftError(f"{path}: with {bug.name!r} planted it is no Python: {error}") from error


class _EditingLoader(SourceFileLoader):
    """Compiles the rewritten source; what is compiled is not kept, or a later process would find the bug."""

    def __init__(self, module: str, path: str, edits: Sequence[Edit]) -> None:
        super().__init__(module, path)
        self._edits = edits

    def get_code(self, fullname: str) -> CodeType:
        """Compile without a look at the cache."""
        source = Path(self.path).read_text(encoding="utf-8")
        return compile(edited(self._edits, source), self.path, "exec", dont_inherit=True)


class Planter(MetaPathFinder):
    """Finds the modules of a bug and lets them be rewritten.

    Args:
        edits: What to plant.
    """

    def __init__(self, edits: Sequence[Edit]) -> None:
        self._edits: dict[str, list[Edit]] = {}
        for edit in edits:
            self._edits.setdefault(edit.module, []).append(edit)
        self.planted: set[str] = set()

    @property
    def missing(self) -> list[str]:
        """Modules of the bug that nobody has imported: it was not there."""
        return sorted(set(self._edits) - self.planted)

    def install(self) -> None:
        """Plant the bug in this process.

        Raises:
            DriftError: One of its modules is imported already.
        """
        early = [module for module in self._edits if module in sys.modules]
        if early:
            raise DriftError(f"imported before the bug was planted: {', '.join(early)}")
        sys.meta_path.insert(0, self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Take over the modules of the bug; leave the others to those who come next."""
        edits = self._edits.get(fullname)
        if edits is None:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is None or spec.origin is None:
            raise DriftError(f"there is no module {fullname}")
        spec.loader = _EditingLoader(fullname, spec.origin, edits)
        self.planted.add(fullname)
        return spec
