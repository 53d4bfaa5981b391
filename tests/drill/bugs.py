"""All bugs of the drill."""

from __future__ import annotations

from tests.drill.file_bugs import FILE_BUGS
from tests.drill.network_bugs import NETWORK_BUGS
from tests.drill.planting import Bug
from tests.drill.store_bugs import STORE_BUGS

BUGS: tuple[Bug, ...] = (*STORE_BUGS, *FILE_BUGS, *NETWORK_BUGS)


def find_bug(name: str) -> Bug:
    """Return the bug of that name.

    Raises:
        LookupError: There is none.
    """
    for bug in BUGS:
        if bug.name == name:
            return bug
    raise LookupError(f"no bug is called {name!r}")
