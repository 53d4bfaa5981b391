"""The other end of a widget's comm, without a browser: records all that is sent, and sends what a view would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import comm
from comm.base_comm import BaseComm

from dfs_sdk.ui.base import Panel


class RecordingComm(BaseComm):
    """A comm that keeps each message as the wire would carry it."""

    traffic: list[dict[str, Any]] = []  # noqa: RUF012 - one list for all comms of a test

    def publish_msg(
        self, msg_type: str, data: Any = None, metadata: Any = None, buffers: Any = None, **keys: Any
    ) -> None:
        json.dumps(data, allow_nan=False)
        sent = {"type": msg_type, "comm": self.comm_id, "data": data, "buffers": buffers or []}
        with suppress(RuntimeError):  # no loop runs
            sent["at"] = asyncio.get_running_loop().time()
        self.traffic.append(sent)


@contextmanager
def recorded() -> Iterator[list[dict[str, Any]]]:
    """Give each widget made inside the block a recording comm."""
    before = comm.create_comm
    RecordingComm.traffic = traffic = []
    comm.create_comm = lambda **keys: RecordingComm(**keys)
    try:
        yield traffic
    finally:
        comm.create_comm = before


def press(panel: Panel, kind: str, *buffers: Any, **fields: Any) -> None:
    """Deliver a message as a view of `panel` would send it."""
    panel._handle_msg({
        "content": {"data": {"method": "custom", "content": {"kind": kind, **fields}}},
        "buffers": [memoryview(each) for each in buffers],
    })  # fmt: skip


def states(traffic: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The trait values that were sent: what a saved notebook would keep."""
    return [each["data"]["state"] for each in traffic if "state" in (each["data"] or {})]


def told(traffic: Sequence[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The custom messages of one kind."""
    found = [each["data"] for each in traffic if (each["data"] or {}).get("method") == "custom"]
    return [each["content"] for each in found if each["content"]["kind"] == kind]
