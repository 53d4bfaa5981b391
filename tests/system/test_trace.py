"""Traces of real nodes: what a notebook can plot after a transfer, at both ends."""

from __future__ import annotations

import asyncio
import random

import pytest

from dfs_sdk.errors import ConfigError, PeerUnreachableError
from dfs_sdk.files.transfers import Transfer
from dfs_sdk.views import traces
from tests.fakes.members import network

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("nothing_left")]

MIB = 1024 * 1024


def content(size: int) -> bytes:
    return random.Random(1).randbytes(size)


async def test_a_transfer_is_traced_at_both_ends_from_the_table_of_transfers():
    async with network("ada", "bob") as (ada, bob):
        handles: list[Transfer] = []
        await ada.put(content(8 * MIB), name="big", replicas=2, quorum=1, progress=handles.append)
        (upload,) = (row for _, row in ada.transfers().iterrows())
        sent, received = ada.trace(transfer=upload), bob.trace("ada")
        assert list(sent.columns) == list(traces.TRACE_COLUMNS)
        assert (set(sent["peer"]), set(received["peer"])) == ({"bob"}, {"ada"})
        assert 8 * MIB < sent["sent_bytes"].iloc[-1] < 10 * MIB
        assert 8 * MIB < received["received_bytes"].iloc[-1] < 10 * MIB
        assert upload["started_at"] <= sent["at"].iloc[0] <= sent["at"].iloc[-1] <= upload["ended_at"]
        assert sent["seconds"].iloc[0] >= 0
        for which in ("big", 1, handles[-1]):
            assert sent.equals(ada.trace("bob", transfer=which))
        assert (sent.attrs["about"].startswith("Upload of big: 8 MiB in "), sent.attrs["note"]) == (True, "")
        with pytest.raises(ConfigError, match="no transfer of 'small' is remembered"):
            ada.trace(transfer="small")
        with pytest.raises(PeerUnreachableError, match="nobody is called"):
            ada.trace("eve")


async def test_a_download_is_drawn_and_one_from_the_own_store_is_a_sentence():
    matplotlib = pytest.importorskip("matplotlib", reason='pip install "dfs-sdk[notebook]"')
    matplotlib.use("agg")
    async with network("ada", "bob", "cyd") as (ada, bob, cyd):
        file = await ada.put(content(8 * MIB), name="big", replicas=1, quorum=1)
        holder = {"bob": bob, "cyd": cyd}.get(ada.chunks("big")["holder"].iloc[0], bob)
        reader = cyd if holder is bob else bob
        assert len(await reader.get(file.link)) == 8 * MIB
        received = reader.trace(transfer="big")
        assert received.groupby("connection")["received_bytes"].max().sum() > MIB
        rates = reader.plot_trace(transfer="big")[0]
        assert rates.lines  # what else it may do meanwhile, such as repair, is in it, too
        assert rates.get_title().startswith("Download of big: 8 MiB in ")
        await reader.pin("big")
        assert len(await reader.get(file.link)) == 8 * MIB
        alone = reader.plot_trace(transfer=reader.transfers().iloc[-1])
        assert alone[0].texts[0].get_text() == "Nothing to show: no other node has taken part."
        matplotlib.pyplot.close("all")


async def test_the_trace_of_a_transfer_outlives_its_connection():
    async with network("ada", "bob") as (ada, bob):
        await ada.put(content(4 * MIB), name="big", replicas=2, quorum=1)
        before = ada.trace(transfer="big")
        await bob.close()
        async with asyncio.timeout(20):
            while "bob" in set(ada.peers()["name"]):
                await asyncio.sleep(0.01)
        after = ada.trace(transfer="big")
        kept = ["peer_id", "connection", "seconds", "rtt", "window_bytes", "sent_bytes", "sent_rate"]
        assert len(before) > 0
        assert after[kept].equals(before[kept])
        assert after.attrs == before.attrs


async def test_a_node_that_talked_only_has_an_empty_trace_with_all_columns():
    async with network("ada", "bob") as (ada, _):
        assert list(ada.trace().columns) == list(traces.TRACE_COLUMNS)
        assert ada.trace().attrs["note"].startswith("Nothing to show: less than 16 KiB")
