"""Many peers at once, in small: `python tests/bench/bench_scale.py` for the full numbers."""

from __future__ import annotations

import pytest

from tests.bench.bench_scale import active, holders, idle

pytestmark = pytest.mark.system


async def test_idle_sessions_take_little_and_stay() -> None:
    figures = await idle(60, 1.0)
    assert figures["still"] == 60
    # 50 KiB each is the bound for a thousand; what a first use of anything takes is paid once.
    assert figures["mib"] <= 60 * 0.05 + 4


async def test_all_active_peers_are_served_alike() -> None:
    figures = await active(40, 1.0)
    assert figures["least"] >= 1
    assert figures["jain"] >= 0.8


async def test_twenty_holders_serve_one_reader_within_its_memory() -> None:
    figures = await holders(20, 1.0)
    assert figures["mb_per_s"] > 0
    # Two messages of 1 MiB from each, and what was delivered and not yet let go of.
    assert figures["mib"] <= 100
