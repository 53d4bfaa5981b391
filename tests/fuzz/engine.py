"""The process that fuzzes one group, with atheris (libFuzzer): `python -m tests.fuzz` starts it.

It never returns: libFuzzer ends the process when the time is over, and with 77 at the first breach of the law.
"""

from __future__ import annotations

import sys
from functools import partial
from types import ModuleType

import atheris

with atheris.instrument_imports(include=["dfs_sdk"]):
    from tests.fuzz import after, before

from tests.fuzz import book
from tests.fuzz.law import check

GROUPS: dict[str, ModuleType] = {"before": before, "after": after}


def main(group: str, only: str, arguments: list[str]) -> None:
    """Fuzz until the time is over.

    Args:
        group: Which parsers.
        only: One target of them, or empty for all.
        arguments: For libFuzzer.
    """
    targets = GROUPS[group].targets()

    def any_of_group(packed: bytes) -> None:
        found = book.unpack(targets, packed)
        if found is not None:
            check(*found)

    chosen = next((target for target in targets if target.name == only), None)
    atheris.Setup([sys.argv[0], *arguments], partial(check, chosen) if chosen is not None else any_of_group)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
