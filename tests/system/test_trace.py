"""Traces of real nodes: what a notebook can plot after a transfer."""

from __future__ import annotations

import random

import pandas as pd
import pytest

from dfs_sdk.errors import PeerUnreachableError
from dfs_sdk.views import frames
from tests.fakes.members import network

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("nothing_left")]

MIB = 1024 * 1024


async def test_a_transfer_leaves_a_trace_that_can_be_drawn():
    matplotlib = pytest.importorskip("matplotlib", reason='pip install "dfs-sdk[notebook]"')
    matplotlib.use("agg")
    async with network("ada", "bob") as (ada, bob):
        file = await ada.put(random.Random(1).randbytes(8 * MIB), name="big", replicas=2, quorum=1)
        assert len(await bob.get(file.link)) == 8 * MIB
        trace = ada.trace("bob")
        assert list(trace.columns) == list(frames.TRACE_COLUMNS)
        assert set(trace["peer"]) == {"bob"}
        assert trace["sent_bytes"].iloc[-1] > 4 * MIB
        assert trace["at"].is_monotonic_increasing
        assert abs(trace["at"].iloc[-1] - pd.Timestamp.now(tz="UTC")) < pd.Timedelta(60, "s")
        assert len(ada.trace()) >= len(trace)
        axes = ada.plot_trace("bob")
        assert [each.get_ylabel() for each in axes] == ["MB/s", "KiB", "ms"]
        matplotlib.pyplot.close("all")
        with pytest.raises(PeerUnreachableError, match="nobody is called"):
            ada.trace("eve")


async def test_a_node_that_talked_only_has_an_empty_trace_with_all_columns():
    async with network("ada", "bob") as (ada, _):
        assert list(ada.trace().columns) == list(frames.TRACE_COLUMNS)
