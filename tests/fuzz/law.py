"""The law of every parser of foreign bytes: any bytes either parse or raise one error, quickly, in little memory.

A breach is an `AssertionError`, which ends a fuzzer's run and leaves the input behind.
"""

from __future__ import annotations

import resource
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass

SECONDS_MAX = 0.050
MEMORY_BYTES_MAX = 16 * 1024 * 1024
# A peak of the process that rises by less than this came of something else: exact accounts take time.
PEAK_STEP_BYTES = 1024 * 1024
ATTEMPTS = 4
_PEAK_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One parser.

    Attributes:
        name: What it parses.
        run: Takes any bytes. What it returns does not matter.
        refusal: The one error it may raise.
        seeds: Inputs to begin with.
    """

    name: str
    run: Callable[[bytes], object]
    refusal: type[Exception] | tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]


def check(target: Target, data: bytes) -> bool:
    """Hold a parser to the law with one input.

    Returns:
        Whether the input was taken.

    Raises:
        AssertionError: It took too long or too much memory.
    """
    # Not the wall clock: a second try in the middle of a run would teach a fuzzer what chance did.
    peak, began = _peak_bytes(), time.process_time()
    taken = _runs(target, data)
    if time.process_time() - began > SECONDS_MAX:
        fastest = min(_processor_seconds(target, data) for _ in range(ATTEMPTS))
        assert fastest <= SECONDS_MAX, f"{target.name}: {1000 * fastest:.0f} ms for {len(data)} bytes"
    if _peak_bytes() - peak > PEAK_STEP_BYTES:
        check_memory(target, data)
    return taken


def check_memory(target: Target, data: bytes) -> int:
    """Hold a parser to the law's part on memory; returns what one input took at its worst, in bytes.

    Raises:
        AssertionError: Too much.
    """
    tracemalloc.start()
    try:
        _runs(target, data)
        used = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert used <= MEMORY_BYTES_MAX, f"{target.name}: {used} bytes of memory for {len(data)} bytes"
    return used


def _runs(target: Target, data: bytes) -> bool:
    try:
        target.run(data)
    except target.refusal:
        return False
    return True


def _processor_seconds(target: Target, data: bytes) -> float:
    began = time.process_time()
    _runs(target, data)
    return time.process_time() - began


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _PEAK_UNIT
