"""Entropy that repeats: the same seed draws the same secrets."""

from __future__ import annotations

import hashlib


class SeededEntropy:
    """An `Entropy` port for tests; counts what was drawn."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self.draws = 0

    def token(self, size: int) -> bytes:
        """Draw `size` bytes that only the seed and the number of earlier draws decide."""
        self.draws += 1
        return hashlib.shake_256(f"{self._seed}/{self.draws}".encode()).digest(size)
