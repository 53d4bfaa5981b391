"""What strangers say to an endpoint, and what it answers."""

from __future__ import annotations

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.ids import Address
from dfs_sdk.transport.handshake import Initiation
from tests.fakes.pair import NETWORK, SeededEntropy

ELSEWHERE = Address("203.0.113.77", 7777)


def initiation_of(victim, *, seed="attacker", network=NETWORK, index=77, identity=None) -> Initiation:
    """A handshake that a real member would begin, under keys of its own if none are given."""
    entropy = SeededEntropy(seed)
    return Initiation(
        identity=identity or Identity.generate(entropy),
        network=network,
        peer=victim.identity.public,
        local_index=index,
        instance=bytes(8),
        entropy=entropy,
    )


def hello_for(victim, *, seed="attacker", network=NETWORK, index=77) -> bytes:
    """A HELLO that a real member would send."""
    return initiation_of(victim, seed=seed, network=network, index=index).hello()


def answers(pair, victim, datagram, source) -> list[bytes]:
    """What a datagram from anywhere draws from the victim."""
    victim.endpoint.receive_datagrams(memoryview(datagram), len(datagram), source, pair.now)
    bursts = [(bytes(burst.buffer), burst.destination) for burst in victim.endpoint.datagrams_to_send(pair.now)]
    return [data for data, destination in bursts if destination == source]
