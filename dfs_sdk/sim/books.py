"""The books of seeds, by name: in each of them a number means something else, and always the same."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

from dfs_sdk.sim.plan import FAULTY_SECONDS, Plan, draw_plan
from dfs_sdk.sim.receipts import draw_receipts_plan
from dfs_sdk.sim.wild import draw_wild_plan


class Book(StrEnum):
    """Which stream the plan of a seed is drawn from."""

    FAULTS = "faults"
    RECEIPTS = "receipts"
    WILD = "wild"

    @property
    def option(self) -> str:
        """What chooses it on the command line; nothing for the first book."""
        return "" if self is Book.FAULTS else f"--{self}"

    def draw(self, seed: int, seconds: float = FAULTY_SECONDS) -> Plan:
        """Draw the plan of a seed.

        Args:
            seed: Any integer.
            seconds: How long faults may strike, virtual; the measure of it in the third book.
        """
        return _DRAWERS[self](seed, seconds=seconds)


class _Drawer(Protocol):
    def __call__(self, seed: int, *, seconds: float) -> Plan: ...


_DRAWERS: Mapping[Book, _Drawer] = {
    Book.FAULTS: draw_plan,
    Book.RECEIPTS: draw_receipts_plan,
    Book.WILD: draw_wild_plan,
}
