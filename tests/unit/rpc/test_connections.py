"""Connections below calls: opened on demand, lost, closed, and what peers say our address is."""

from __future__ import annotations

import asyncio
import logging

import pytest

from dfs_sdk.errors import (
    DeadlineError,
    NodeClosedError,
    PeerUnreachableError,
)
from dfs_sdk.ids import Address, NodeId
from dfs_sdk.rpc import Rpc
from dfs_sdk.transport.priority import Priority
from tests.fakes.calls import Gate, add, raw_connection, turns
from tests.fakes.network import FakeConnection, FakeNetwork
from tests.fakes.sums import ADD, Add


async def test_a_peer_killed_in_mid_call_is_unreachable_and_its_calls_here_end(
    network: FakeNetwork, pair: tuple[Rpc, Rpc]
) -> None:
    """P-RPC-10"""
    a, b = pair
    gates = Gate(), Gate()
    a.serve(Add, gates[0])
    b.serve(Add, gates[1])
    lost: list[tuple[NodeId, str]] = []
    a.on_disconnected(lambda peer, reason: lost.append((peer, reason)))
    ours = asyncio.create_task(a.call(b.node_id, ADD))
    await turns()
    theirs = asyncio.create_task(b.call(a.node_id, ADD))
    await turns()
    network.kill(b.node_id)
    with pytest.raises(PeerUnreachableError):
        await ours
    with pytest.raises(PeerUnreachableError):
        await theirs
    await turns()
    assert gates[0].cancelled == 1
    assert [peer for peer, _ in lost] == [b.node_id]
    assert a.connected() == []
    with pytest.raises(PeerUnreachableError):
        await a.call(b.node_id, ADD)


async def test_a_silently_dead_peer_is_a_deadline_error(network: FakeNetwork, pair: tuple[Rpc, Rpc]) -> None:
    a, b = pair
    b.serve(Add, add)
    await a.call(b.node_id, ADD)
    network.kill(b.node_id, silent=True)
    with pytest.raises(DeadlineError):
        await a.call(b.node_id, ADD)
    network.revive(b.node_id)
    assert (await a.call(b.node_id, ADD)).reply.total == 6


async def test_a_partition_separates_and_heals(network: FakeNetwork) -> None:
    nodes = [network.rpc() for _ in range(4)]
    network.introduce(*nodes)
    for node in nodes:
        node.serve(Add, add)
    ids = [node.node_id for node in nodes]
    await nodes[0].call(ids[2], ADD)
    network.partition(ids[:2], ids[2:])
    assert nodes[0].connected() == []
    with pytest.raises(PeerUnreachableError):
        await nodes[0].call(ids[2], ADD)
    assert (await nodes[0].call(ids[1], ADD)).reply.total == 6
    network.heal()
    assert (await nodes[0].call(ids[2], ADD)).reply.total == 6


async def test_a_restarted_node_with_the_same_keys_is_reached_again(network: FakeNetwork) -> None:
    a, b = network.rpc(), network.rpc()
    network.introduce(a, b)
    b.serve(Add, add)
    await a.call(b.node_id, ADD)
    again = network.rpc(b.identity)
    again.serve(Add, add)
    assert a.connected() == []
    a.book.learn(network.contact(b.node_id), None)
    assert (await a.call(b.node_id, ADD)).reply.total == 6


async def test_a_call_to_an_unknown_peer_or_to_oneself_is_unreachable(pair: tuple[Rpc, Rpc]) -> None:
    a, _ = pair
    with pytest.raises(PeerUnreachableError, match="no address"):
        await a.call(NodeId(bytes(32)), ADD)
    with pytest.raises(PeerUnreachableError, match="itself"):
        await a.call(a.node_id, ADD)


async def test_dialling_an_address_learns_who_is_there(network: FakeNetwork) -> None:
    a, b = network.rpc(), network.rpc()
    b.serve(Add, add)
    address = network.contact(b.node_id).addresses[0]
    found = await a.dial(address)
    assert found.contact.node_id == b.node_id
    assert (await a.call(b.node_id, ADD)).reply.total == 6
    with pytest.raises(DeadlineError):
        await a.dial(Address("10.9.9.9", 1))


async def test_disconnecting_ends_the_connection_on_both_sides(pair: tuple[Rpc, Rpc]) -> None:
    a, b = pair
    b.serve(Add, add)
    await a.call(b.node_id, ADD)
    await a.disconnect(b.node_id)
    assert a.connected() == []
    assert b.connected() == []
    await a.disconnect(b.node_id)
    assert (await a.call(b.node_id, ADD)).reply.total == 6


async def test_a_closed_node_calls_nobody(network: FakeNetwork, pair: tuple[Rpc, Rpc]) -> None:
    a, b = pair
    await network.scopes[a.node_id].close()
    with pytest.raises(NodeClosedError):
        await a.call(b.node_id, ADD)


async def test_a_broken_listener_does_not_disturb_the_others(
    pair: tuple[Rpc, Rpc], caplog: pytest.LogCaptureFixture
) -> None:
    a, b = pair
    b.serve(Add, add)
    met: list[NodeId] = []
    a.on_connected(lambda _peer: 1 / 0)
    a.on_connected(met.append)
    with caplog.at_level(logging.CRITICAL, "dfs_sdk.runtime.handlers"):
        await a.call(b.node_id, ADD)
    assert met == [b.node_id]


async def test_our_own_address_is_what_peers_agree_on(network: FakeNetwork) -> None:
    """P-RPC-24"""
    a = network.rpc()
    others = [network.rpc() for _ in range(4)]
    network.introduce(a, *others)
    for other in others:
        await a.connect(network.contact(other.node_id))
    liar = raw_connection(a, others[0])
    lie = Address("10.66.66.66", 4001)

    class Lying(FakeConnection):
        @property
        def observed_address(self) -> Address:
            return lie

    liar.__class__ = Lying
    assert lie not in a.local_contact().addresses
    assert a.local_contact().addresses == network.contact(a.node_id).addresses


async def test_messages_that_arrive_while_a_node_closes_are_dropped_in_peace(
    network: FakeNetwork, pair: tuple[Rpc, Rpc]
) -> None:
    a, b = pair
    gate = Gate()
    b.serve(Add, gate, concurrency_max=1)
    calls = [asyncio.create_task(a.call(b.node_id, ADD)) for _ in range(3)]
    await turns()
    await network.scopes[b.node_id].close()
    assert gate.cancelled == 1
    await raw_connection(a, b).send([b"hello"], priority=Priority.INTERACTIVE)
    late = asyncio.create_task(a.call(b.node_id, ADD))
    await turns()
    assert a.connected() == [b.node_id]
    await a.disconnect(b.node_id)
    outcomes = await asyncio.gather(*calls, late, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {PeerUnreachableError}
    await turns()
    assert b._router.calls_held == 0


async def test_each_connection_that_closes_is_told_once(network: FakeNetwork, pair: tuple[Rpc, Rpc]) -> None:
    a, b = pair
    b.serve(Add, add)
    closed: list[object] = []
    a.on_closed(closed.append)
    await a.call(b.node_id, ADD)
    connection = a.connection(b.node_id)
    await a.disconnect(b.node_id)
    await turns()
    assert closed == [connection]
    assert a.connection(b.node_id) is None
