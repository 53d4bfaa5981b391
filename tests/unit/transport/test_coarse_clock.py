"""Clocks and timers that move in steps of 1/64 s, as those of Windows do: the transport keeps most of its pace."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pytest

from dfs_sdk.ids import Address
from dfs_sdk.transport.contact import Contact
from dfs_sdk.transport.endpoint import Endpoint
from tests.fakes.pair import Pair, Wire

TICK = 1 / 64
MESSAGES = 2
MESSAGE_BYTES = 1 << 20


class CoarseEndpoint:
    """An endpoint that is told the time of a clock with steps, and woken only at one of them."""

    def __init__(self, endpoint: Endpoint, *, clock_has_steps: bool) -> None:
        self._endpoint = endpoint
        self._step = TICK if clock_has_steps else 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._endpoint, name)

    def connect(self, contact: Contact, address: Address, now: float) -> None:
        self._endpoint.connect(contact, address, self._told(now))

    def receive_datagrams(self, burst: memoryview, segment_bytes: int, source: Address, now: float) -> None:
        self._endpoint.receive_datagrams(burst, segment_bytes, source, self._told(now))

    def datagrams_to_send(self, now: float) -> Iterable[Any]:
        return self._endpoint.datagrams_to_send(self._told(now))

    def handle_timer(self, now: float) -> None:
        self._endpoint.handle_timer(self._told(now))

    def next_deadline(self) -> float | None:
        at = self._endpoint.next_deadline()
        return math.floor(at / TICK + 1) * TICK if at is not None else None

    def _told(self, now: float) -> float:
        return math.floor(now / self._step) * self._step if self._step else now


@pytest.mark.parametrize("clock_has_steps", [False, True], ids=["late timers", "coarse clock"])
@pytest.mark.parametrize("delay", [0.0005, 0.02])
def test_steps_of_a_clock_cost_no_more_than_half_the_pace(delay: float, clock_has_steps: bool):
    seconds = {}
    for kind in ("exact", "coarse"):
        pair = Pair(wire=Wire(delay=delay, bytes_per_second=12.5e6))
        if kind == "coarse":
            for peer in pair.peers:
                peer.endpoint = CoarseEndpoint(peer.endpoint, clock_has_steps=clock_has_steps)  # type: ignore[assignment]
        pair.connect()
        for _ in range(MESSAGES):
            pair.left.send(bytes(MESSAGE_BYTES))
        seconds[kind] = pair.run_until(lambda pair=pair: len(pair.right.messages) == MESSAGES)  # type: ignore[misc]
        assert pair.wire.sent_bytes < 1.25 * MESSAGES * MESSAGE_BYTES
    assert seconds["coarse"] < 2 * seconds["exact"]
