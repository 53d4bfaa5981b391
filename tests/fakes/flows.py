"""Flows of several senders to one receiver over one bottleneck, in virtual time: who gets how much of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from dfs_sdk.ids import Address
from dfs_sdk.transport.config import MIB, TransportConfig
from dfs_sdk.transport.congestion import CongestionFactory
from dfs_sdk.transport.priority import Priority
from tests.fakes.pair import Pair, Peer, Wire

ETHERNET = TransportConfig(datagram_bytes_max=1452)
DATA = bytes(MIB)
QUEUED_BYTES = 4 * MIB
STEP = 0.1


@dataclass
class Flow:
    """A sender that never runs out of things to send between `begins` and `ends` (seconds).

    Attributes:
        congestion: Its congestion control, None for ours.
        priority: That of its messages.
        delivered: Bytes that had arrived, every tenth of a second.
    """

    congestion: CongestionFactory | None = None
    priority: Priority = Priority.TRANSFER
    begins: float = 0.0
    ends: float = 1e9
    delivered: list[int] = field(default_factory=list)

    def rate(self, start: float, stop: float) -> float:
        """Bytes a second between two instants, counted from the beginning of all flows."""
        first, last = round(start / STEP), round(stop / STEP)
        return (self.delivered[last] - self.delivered[first]) / (stop - start)


class Bottleneck:
    """Runs flows side by side."""

    def __init__(self, wire: Wire, flows: list[Flow]) -> None:
        self.pair = Pair(wire=wire, config=ETHERNET)
        self.flows = flows
        self.queue_seconds: list[float] = []
        self._peers: list[Peer] = []
        for index, flow in enumerate(flows):
            peer = self.pair.add(f"flow {index}", Address(f"203.0.113.{index + 1}", 4001), ETHERNET, flow.congestion)
            peer.endpoint.connect(self.pair.right.contact, self.pair.right.address, self.pair.now)
            self._peers.append(peer)
        self.pair.run_until(lambda: len(self.pair.right.opened) == len(flows))
        self._began_at = self.pair.now

    def run(self, seconds: float) -> None:
        """Let the flows go on."""
        end = self.pair.now + seconds
        while self.pair.now < end - STEP / 2:
            now = self.pair.now - self._began_at
            for flow, peer in zip(self.flows, self._peers, strict=True):
                sender = peer.session.sender
                flow.delivered.append(sender.recovery.meter.delivered_bytes)
                while flow.begins <= now < flow.ends and sender.outbox.unsent_bytes < QUEUED_BYTES:
                    peer.send(DATA, flow.priority)
            self.pair.run_for(STEP)
            self.pair.right.notices.clear()
            busy_until = self.pair.wire.busy_until.get(self.pair.right.address, 0.0)
            self.queue_seconds.append(max(busy_until - self.pair.now, 0.0))
        for flow, peer in zip(self.flows, self._peers, strict=True):
            flow.delivered.append(peer.session.sender.recovery.meter.delivered_bytes)
