"""The transport over a bad network of the kernel's own sockets: two namespaces and a wire in user space."""

from __future__ import annotations

import subprocess

import pytest

from tests.bench.bench_networks import MIB, FlowProcess, link
from tests.bench.wire import Namespaces, why_not
from tests.fakes.wire import Wire

REASON = why_not()
pytestmark = [pytest.mark.system, pytest.mark.skipif(REASON is not None, reason=REASON or "")]


def send(wire: Wire, size: int) -> tuple[dict, dict]:
    with Namespaces(wire) as spaces:
        flow = FlowProcess(spaces, "ours", 5001, "--bytes", str(size))
        try:
            sent, received = flow.finish(60)
        finally:
            flow.close()
    assert sent is not None
    assert received is not None
    return sent, received


BAD = {
    "loss and a full queue": link(50, 0.03, loss=0.03),
    "bursts, duplicates, damage and late packets": {
        "delay": 0.01,
        "burst_every": 0.2,
        "burst_length": 0.005,
        "repeat": 0.02,
        "damage": 0.01,
        "late": 0.02,
        "late_by": 0.005,
    },
}


@pytest.mark.parametrize("name", BAD)
def test_messages_arrive_whole_over_a_bad_network_of_real_sockets(name):
    sent, received = send(Wire(**BAD[name]), 4 * MIB)
    assert received["total"] == 4 * MIB
    assert sent["statistics"]["lost_packets"] > 0
    assert sent["statistics"]["mtu_bytes"] == 1452


def test_namespaces_are_gone_afterwards():
    with Namespaces(Wire()) as spaces:
        names = {spaces.left, spaces.right}
        listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
        assert all(name in listed for name in names)
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert not any(name in listed for name in names)
