"""The DHT over the in-memory network on virtual time, among honest nodes."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from dfs_sdk.dht import RecordKind
from dfs_sdk.dht.memory import ANCHORS_KEY, DOCUMENT_KIND, GOOD_KEY
from dfs_sdk.dht.messages import (
    FindNode,
    FindRecord,
    Found,
    KnownPeers,
    StoreReply,
    StoreResult,
)
from dfs_sdk.errors import ProtocolError
from dfs_sdk.ids import Address
from dfs_sdk.wire import decode, encode
from tests.fakes.dhts import KEY, QUICK, Documents, World, on_virtual_time, record_of


def test_a_hundred_nodes_that_join_one_by_one_find_each_others_records() -> None:
    """P-DHT-10, P-DHT-11, P-DHT-18"""

    async def test(world: World) -> None:
        nodes = await world.grow(100)
        for number in range(0, 100, 10):
            key = bytes([number]) * 32
            stored = await nodes[number].publish(RecordKind.PROVIDER, key, f"from {number}".encode())
            assert stored >= 10
            assert sum((RecordKind.PROVIDER, key) in node._shelf._by_key for node in world.closest(key, 10)) >= 9
        for number in range(0, 100, 10):
            seeker = nodes[(number * 7 + 33) % 100]
            (record,) = await seeker.find(bytes([number]) * 32, kind=RecordKind.PROVIDER)
            assert record.value == f"from {number}".encode()
            assert record.owner.node_id == world.id_of(nodes[number])
        assert 30 < nodes[50].network_size() < 300
        nearest = (await nodes[3].find_node(KEY))[0]
        assert nearest.node_id == world.id_of(world.closest(KEY, 1)[0])

    on_virtual_time(test, config=replace(QUICK, bucket_size=10))


def test_a_lone_node_keeps_its_record_and_hands_it_over_when_company_comes() -> None:
    """P-DHT-22"""

    async def test(world: World) -> None:
        first = await world.add()
        assert await first.publish(RecordKind.PROVIDER, KEY, b"value") == 1
        assert [record.value for record in await first.find(KEY, kind=RecordKind.PROVIDER)] == [b"value"]
        second = await world.add()
        await second.join([world.network.contact(world.id_of(first))])
        assert second.records_held == 0
        await asyncio.sleep(35)
        assert second.records_held == 1

    on_virtual_time(test)


def test_records_of_many_owners_under_one_key_are_all_found() -> None:
    async def test(world: World) -> None:
        nodes = await world.acquaint(12)
        for number, node in enumerate(nodes[:8]):
            await node.publish(RecordKind.PROVIDER, KEY, bytes([number + 1]))
        found = await nodes[11].find(KEY, kind=RecordKind.PROVIDER)
        assert sorted(record.value for record in found) == [bytes([number + 1]) for number in range(8)]
        assert await nodes[11].find(KEY, kind=RecordKind.NAME) == []
        assert await nodes[11].find(b"x" * 32, kind=RecordKind.PROVIDER) == []

    on_virtual_time(test)


def test_publishing_again_changes_the_value_and_unpublishing_takes_it_back() -> None:
    """P-DHT-4, P-DHT-5"""

    async def test(world: World) -> None:
        nodes = await world.acquaint(8)
        for value in (b"one", b"two"):
            await nodes[0].publish(RecordKind.NAME, KEY, value)
            assert [record.value for record in await nodes[5].find(KEY, kind=RecordKind.NAME)] == [value]
        await nodes[0].unpublish(RecordKind.NAME, KEY)
        await nodes[0].unpublish(RecordKind.NAME, KEY)
        assert await nodes[5].find(KEY, kind=RecordKind.NAME) == []
        with pytest.raises(ValueError, match="empty"):
            await nodes[0].publish(RecordKind.NAME, KEY, b"")
        with pytest.raises(ProtocolError):
            await nodes[0].publish(RecordKind.CONTACT, KEY, b"value")
        assert nodes[0]._publisher._publications == {}

    on_virtual_time(test)


def test_a_record_outlives_its_first_holders_and_expires_with_its_owner() -> None:
    """P-DHT-2, P-DHT-22: published again at 0.4 of its life, gone half an hour after the owner"""

    async def test(world: World) -> None:
        nodes = await world.acquaint(30)
        owner, seeker = nodes[0], nodes[1]
        await owner.publish(RecordKind.PROVIDER, KEY, b"value")
        for holder in world.closest(KEY, 20):
            if holder not in (owner, seeker):
                world.network.kill(world.id_of(holder))
        await asyncio.sleep(0.4 * 1.2 * 1800 + 60)
        alive = [node for node in nodes if not world.network.is_dead(world.id_of(node))]
        assert sum(node.records_held for node in alive) >= 8
        assert len(await seeker.find(KEY, kind=RecordKind.PROVIDER)) == 1
        await asyncio.sleep(3600)
        assert len(await seeker.find(KEY, kind=RecordKind.PROVIDER)) == 1
        world.network.kill(world.id_of(owner))
        await asyncio.sleep(1800 + 60)
        assert await seeker.find(KEY, kind=RecordKind.PROVIDER) == []
        assert all(node.records_held == 0 for node in alive if node is not owner)

    on_virtual_time(test, config=replace(QUICK, maintain_interval=30.0, refresh_interval=100_000.0))


def test_republishing_is_spread_between_032_and_048_of_the_life() -> None:
    """P-DHT-22"""

    async def test(world: World) -> None:
        nodes = await world.acquaint(4)
        for number in range(30):
            await nodes[0].publish(RecordKind.PROVIDER, bytes([number]) * 32, b"value")
        now = world.network.clock.monotonic()
        pauses = [(publication.due_at - now) / 1800 for publication in nodes[0]._publisher._publications.values()]
        assert 0.31 < min(pauses) < 0.36
        assert 0.44 < max(pauses) < 0.49

    on_virtual_time(test)


def test_nodes_with_full_tables_do_not_ask_each_other_back_for_ever() -> None:
    """P-DHT-11"""

    async def test(world: World) -> None:
        nodes = await world.grow(12)
        await asyncio.sleep(1)
        before = world.network.messages
        await nodes[0].find_node(KEY)
        await asyncio.sleep(100)
        assert world.network.messages - before < 100

    on_virtual_time(test, config=replace(QUICK, bucket_size=2, maintain_interval=1000.0))


def test_a_node_that_does_not_serve_is_answered_and_not_entered() -> None:
    """P-DHT-12"""

    async def test(world: World) -> None:
        old = await world.add(address=Address("93.184.215.14", 4001))
        young = await world.add(address=Address("93.185.215.14", 4001))
        old_id, young_id = world.id_of(old), world.id_of(young)
        await asyncio.sleep(10)
        world.rpc_of(young).book.learn(world.network.contact(old_id), None)
        answer = await world.rpc_of(young).call(old_id, FindNode(target=KEY, serves=young._serves()))
        assert not answer.reply.serves
        await asyncio.sleep(1)
        assert young_id not in old.table
        await asyncio.sleep(60)
        answer = await world.rpc_of(young).call(old_id, FindNode(target=KEY, serves=young._serves()))
        assert answer.reply.serves
        await asyncio.sleep(1)
        assert young_id in old.table

    on_virtual_time(test, config=replace(QUICK, serve_after=60.0))


def test_a_node_remembers_whom_it_knew_and_comes_back_through_them() -> None:
    """P-DHT-16"""

    async def test(world: World) -> None:
        nodes = await world.grow(8)
        node, documents = nodes[3], world.documents[3]
        await node.remember()
        assert len(decode(KnownPeers, documents.items[(DOCUMENT_KIND, ANCHORS_KEY)]).contacts) == 4
        assert len(decode(KnownPeers, documents.items[(DOCUMENT_KIND, GOOD_KEY)]).contacts) == len(node.table)
        world.network.kill(world.id_of(node))
        await world.network.scopes[world.id_of(node)].close()
        again = await world.add(identity=world.rpc_of(node).identity, documents=documents)
        assert len(again.table) == 0
        await asyncio.sleep(5)
        assert len(again.table) >= 6

    on_virtual_time(test)


def test_anchors_stay_while_they_answer_however_many_come_between_restarts() -> None:
    """P-DHT-16"""

    async def test(world: World) -> None:
        nodes = await world.acquaint(6)
        documents, identity = world.documents[0], world.rpc_of(nodes[0]).identity
        await nodes[0].remember()
        anchors = decode(KnownPeers, documents.items[(DOCUMENT_KIND, ANCHORS_KEY)]).contacts
        await world.network.scopes[identity.node_id].close()
        again = await world.add(identity=identity, documents=documents)
        for _ in range(30):
            other = world.network.contact(world.id_of(await world.add()))
            again.table.answered(other, world.network.clock.monotonic())
        await asyncio.sleep(5)
        await again.remember()
        assert decode(KnownPeers, documents.items[(DOCUMENT_KIND, ANCHORS_KEY)]).contacts == anchors
        world.network.kill(anchors[0].node_id)
        for _ in range(2):
            again.table.failed(anchors[0].node_id)
        await again.remember()
        later = decode(KnownPeers, documents.items[(DOCUMENT_KIND, ANCHORS_KEY)]).contacts
        assert later[:3] == anchors[1:]
        assert len(later) == 4

    on_virtual_time(test)


def test_a_damaged_or_broken_memory_does_not_stop_a_node() -> None:
    async def test(world: World) -> None:
        documents = Documents()
        documents.items[(DOCUMENT_KIND, ANCHORS_KEY)] = b"\xc1 damaged"
        documents.broken = True
        node = await world.add(documents=documents)
        other = await world.add()
        await node.join([world.network.contact(world.id_of(other))])
        await node.remember()
        assert len(node.table) == 1

    on_virtual_time(test)


def test_a_silent_member_costs_the_others_time_only_until_it_is_noticed_and_is_known_again_when_back() -> None:
    """P-DHT-13"""

    async def test(world: World) -> None:
        nodes = await world.acquaint(6)
        gone = world.id_of(nodes[5])
        world.network.kill(gone, silent=True)
        for node in nodes[:5]:
            for _ in range(2):
                await node.find(KEY, kind=RecordKind.PROVIDER)
        for node in nodes[:5]:
            assert [contact.node_id for contact in node.table.silent()] == [gone]
            before = world.network.messages
            await node.find(KEY, kind=RecordKind.PROVIDER)
            assert world.network.messages - before == 2 * 4
        world.network.revive(gone)
        await asyncio.sleep(30)
        assert all(node.table.silent() == [] for node in nodes[:5])

    on_virtual_time(test, config=replace(QUICK, maintain_interval=5.0))


def test_an_owner_whose_clock_went_back_catches_up_with_its_own_sequence() -> None:
    """P-DHT-4, A22"""

    async def test(world: World) -> None:
        nodes = await world.acquaint(6)
        identity = world.rpc_of(nodes[0]).identity
        now = world.network.clock.wall()
        ahead = record_of(
            world, identity, sequence=int((now + 86_400) * 1000), expires=int(now + 86_400), value=b"of tomorrow"
        )
        await nodes[0].put(ahead)
        assert await nodes[0].publish(RecordKind.PROVIDER, KEY, b"of today") == 6
        assert [record.value for record in await nodes[3].find(KEY, kind=RecordKind.PROVIDER)] == [b"of today"]

    on_virtual_time(test)


def test_neglected_regions_are_looked_into() -> None:
    """P-DHT-15"""

    async def test(world: World) -> None:
        nodes = await world.grow(10)
        await asyncio.sleep(1)
        for peer in list(nodes[0].table)[2:]:
            nodes[0].table.remove(peer.contact.node_id)
        before = len(nodes[0].table)
        await asyncio.sleep(700)
        assert len(nodes[0].table) > before

    on_virtual_time(test, config=replace(QUICK, maintain_interval=20.0))


def test_requests_and_replies_have_these_bytes() -> None:
    target = b"t" * 32
    assert encode(FindNode(target=target, serves=True)).hex() == "92c420" + "74" * 32 + "c3"
    assert encode(FindRecord(kind=RecordKind.NAME, key=target, serves=False)).hex() == "9303c420" + "74" * 32 + "c2"
    found = Found(contacts=(), token=b"o" * 16, serves=True)
    assert encode(found).hex() == "9490c410" + "6f" * 16 + "c390"
    assert encode(StoreReply(result=StoreResult.STALE, sequence=300)).hex() == "9202cd012c"


def test_the_same_seed_gives_the_same_run() -> None:
    def digest() -> list[tuple[int, ...]]:
        outcome: list[tuple[int, ...]] = []

        async def test(world: World) -> None:
            nodes = await world.grow(12)
            await nodes[3].publish(RecordKind.PROVIDER, KEY, b"value")
            await asyncio.sleep(100)
            outcome.append((world.network.messages, world.network.bytes, *(len(node.table) for node in nodes)))

        on_virtual_time(test)
        return outcome

    assert digest() == digest()
