"""Where the official vectors are found, and what several tests here need."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.entropy import SeededEntropy

VectorReader = Callable[[str], Any]


@pytest.fixture(scope="session")
def read_vectors() -> VectorReader:
    """Reads one file of the folder that DFS_TEST_VECTORS names."""
    folder = os.environ.get("DFS_TEST_VECTORS")
    if not folder:
        pytest.skip(
            "set DFS_TEST_VECTORS to a folder with noise-cacophony.txt (haskell-cryptography/cacophony), "
            "blake3.json (BLAKE3-team/BLAKE3) and wycheproof-*_test.json (C2SP/wycheproof, testvectors_v1)"
        )

    def read(name: str) -> Any:
        return json.loads((Path(folder) / name).read_text(encoding="utf-8"))

    return read


@pytest.fixture
def entropy() -> SeededEntropy:
    return SeededEntropy(1)
