"""The DHT over the in-memory network on virtual time, with honest nodes and with liars."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.dht import Dht, DhtConfig, Record, RecordKind
from dfs_sdk.dht.memory import ANCHORS_KEY, DOCUMENT_KIND, GOOD_KEY
from dfs_sdk.dht.messages import (
    FindNode,
    FindRecord,
    Found,
    KnownPeers,
    RecordBody,
    StoreRecord,
    StoreReply,
    StoreResult,
)
from dfs_sdk.dht.records import sign_record
from dfs_sdk.errors import ProtocolError, RemoteError, StoreReadOnlyError
from dfs_sdk.ids import Address, NetworkId, NodeId
from dfs_sdk.rpc import Caller, Rpc
from dfs_sdk.runtime.system import SeededRng
from dfs_sdk.wire import decode, encode
from tests.fakes.network import FakeNetwork
from tests.fakes.runtime import LoopClock, run_virtual

KEY = b"k" * 32
QUICK = DhtConfig.quick()


class Documents:
    """A document store in a dictionary."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, bytes], bytes] = {}
        self.broken = False

    async def put_documents(self, kind: str, items: Sequence[tuple[bytes, bytes]]) -> None:
        if self.broken:
            raise StoreReadOnlyError("an earlier write failed")
        self.items |= {(kind, key): value for key, value in items}

    async def get_document(self, kind: str, key: bytes) -> bytes | None:
        return self.items.get((kind, key))


class World:
    """Nodes with a DHT each, on one network."""

    def __init__(self, network: FakeNetwork, config: DhtConfig = QUICK) -> None:
        self.network = network
        self.config = config
        self.nodes: list[Dht] = []
        self.rpcs: dict[int, Rpc] = {}
        self.documents: list[Documents] = []

    async def add(
        self, *, identity: Identity | None = None, documents: Documents | None = None, address: Address | None = None
    ) -> Dht:
        """Start a node; it knows nobody."""
        rpc = self.network.rpc(identity, address=address)
        documents = documents or Documents()
        node = Dht(
            rpc=rpc,
            store=documents,  # type: ignore[arg-type]
            scope=self.network.scopes[rpc.node_id],
            runtime=self.network.runtimes[rpc.node_id],
            network_id=self.network.network_id,
            config=self.config,
        )
        self.rpcs[id(node)] = rpc
        self.documents.append(documents)
        await node.start()
        self.nodes.append(node)
        return node

    async def grow(self, count: int) -> list[Dht]:
        """Add nodes that join through one of those before, one after the other."""
        rng = SeededRng(7)
        for _ in range(count):
            known = list(self.nodes)
            node = await self.add()
            if known:
                await node.join([self.network.contact(self.id_of(rng.choice(known)))])
        return self.nodes

    async def acquaint(self, count: int) -> list[Dht]:
        """Add nodes that all know all others already: what joining leads to, without its cost."""
        for _ in range(count):
            await self.add()
        contacts = [self.network.contact(self.id_of(node)) for node in self.nodes]
        for node in self.nodes:
            for contact in contacts:
                if contact.node_id != self.id_of(node):
                    self.rpcs[id(node)].book.learn(contact, None)
                    node.table.answered(contact, self.network.clock.monotonic())
        return self.nodes

    def id_of(self, node: Dht) -> NodeId:
        return self.rpcs[id(node)].node_id

    def rpc_of(self, node: Dht) -> Rpc:
        return self.rpcs[id(node)]

    def closest(self, key: bytes, count: int = 20) -> list[Dht]:
        place = int.from_bytes(key, "big")
        return sorted(self.nodes, key=lambda node: place ^ int.from_bytes(self.id_of(node), "big"))[:count]


def on_virtual_time(
    test: Callable[[World], Awaitable[None]], *, config: DhtConfig = QUICK, latency: float = 0.01
) -> None:
    async def main(clock: LoopClock) -> None:
        async with FakeNetwork(seed=5, clock=clock, latency=latency) as network:
            await test(World(network, config))
            assert network.errors == []

    run_virtual(main)


def record_of(world: World, identity: Identity, **changes: object) -> Record:
    public = identity.public
    fields: dict[str, object] = {
        "kind": RecordKind.PROVIDER,
        "key": KEY,
        "owner_ed": public.ed,
        "owner_x": public.x,
        "sequence": 1,
        "expires": int(world.network.clock.wall()) + 1800,
        "value": b"value",
    }
    body = RecordBody(**(fields | changes))  # type: ignore[arg-type]
    return sign_record(identity, world.network.network_id, body)


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


async def hand(world: World, sender: Dht, receiver: Dht, record: Record, *, token: bytes | None = None) -> StoreReply:
    """Store a record at a node directly, with the token it gives."""
    rpc, peer = world.rpc_of(sender), world.id_of(receiver)
    if token is None:
        answer = await rpc.call(peer, FindNode(target=record.key, serves=True))
        token = answer.reply.token
    return (await rpc.call(peer, StoreRecord(record=record, token=token))).reply


def test_forged_foreign_expired_and_misplaced_records_are_refused_at_store() -> None:
    """P-DHT-2, P-DHT-3, P-DHT-6"""

    async def test(world: World) -> None:
        sender, receiver = await world.acquaint(2)
        identity = world.rpc_of(sender).identity
        good = record_of(world, identity)
        now = int(world.network.clock.wall())
        foreign = sign_record(identity, NetworkId(b"f" * 32), good.body)
        bad = [
            replace(good, signature=bytes(64)),
            replace(good, body=replace(good.body, value=b"changed")),
            foreign,
            record_of(world, identity, expires=now - 1),
            record_of(world, identity, expires=now + 49 * 3600),
            record_of(world, identity, kind=RecordKind.CONTACT),
        ]
        for record in bad:
            with pytest.raises(RemoteError) as caught:
                await hand(world, sender, receiver, record)
            assert caught.value.code == "DENIED"
        assert receiver.records_held == 0
        assert (await hand(world, sender, receiver, good)).result is StoreResult.STORED
        for record in bad:
            with pytest.raises(ProtocolError):
                await sender.put(record)

    on_virtual_time(test)


def test_stale_and_reused_sequences_are_told_so() -> None:
    """P-DHT-4"""

    async def test(world: World) -> None:
        sender, receiver = await world.acquaint(2)
        identity = world.rpc_of(sender).identity
        await hand(world, sender, receiver, record_of(world, identity, sequence=7))
        for sequence, value in ((6, b"value"), (7, b"another")):
            record = record_of(world, identity, sequence=sequence, value=value)
            reply = await hand(world, sender, receiver, record)
            assert reply == StoreReply(result=StoreResult.STALE, sequence=7)

    on_virtual_time(test)


def test_a_store_needs_a_token_of_this_node_for_this_node_and_recent() -> None:
    """P-DHT-7"""

    async def test(world: World) -> None:
        sender, receiver, third = await world.acquaint(3)
        record = record_of(world, world.rpc_of(sender).identity)

        async def token(asker: Dht, giver: Dht) -> bytes:
            answer = await world.rpc_of(asker).call(world.id_of(giver), FindNode(target=KEY, serves=True))
            return answer.reply.token

        own = await token(sender, receiver)
        for wrong in (bytes(16), await token(third, receiver), await token(sender, third)):
            with pytest.raises(RemoteError) as caught:
                await hand(world, sender, receiver, record, token=wrong)
            assert caught.value.code == "DENIED"
        await asyncio.sleep(601)
        with pytest.raises(RemoteError):
            await hand(world, sender, receiver, record, token=own)
        assert receiver.records_held == 0

    on_virtual_time(test)


def test_quotas_hold_over_the_wire() -> None:
    """P-DHT-8"""

    async def test(world: World) -> None:
        sender, receiver = await world.acquaint(2)
        identity = world.rpc_of(sender).identity
        for number in range(64):
            await hand(world, sender, receiver, record_of(world, identity, key=bytes([number]) * 32))
        with pytest.raises(RemoteError) as caught:
            await hand(world, sender, receiver, record_of(world, identity, key=bytes([64]) * 32))
        assert caught.value.code == "STORE_FULL"

    on_virtual_time(test)


class Liar:
    """A member that answers what it likes."""

    def __init__(self, rpc: Rpc, records: Sequence[Record], contacts: Sequence[object]) -> None:
        self._found = Found(contacts=tuple(contacts), token=bytes(16), serves=True, records=tuple(records))  # type: ignore[arg-type]
        self.asked = 0
        rpc.serve(FindNode, self._answer)
        rpc.serve(FindRecord, self._answer)
        rpc.serve(StoreRecord, self._lie)

    async def _answer(self, caller: Caller, request: object, body: memoryview) -> Found:
        self.asked += 1
        return self._found

    async def _lie(self, caller: Caller, request: object, body: memoryview) -> StoreReply:
        return StoreReply(result=StoreResult.STORED, sequence=1)


def all_know_each_other(world: World, liars: Sequence[Rpc]) -> None:
    contacts = [world.network.contact(rpc.node_id) for rpc in liars]
    for node in world.nodes:
        for contact in contacts:
            world.rpc_of(node).book.learn(contact, None)
            node.table.answered(contact, world.network.clock.monotonic())


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_colluders_that_lie_neither_hide_a_record_nor_plant_one(share: float) -> None:
    """P-DHT-6, P-DHT-17, P-DHT-18: forged and foreign records, empty answers, contacts of each other and of nobody"""

    async def test(world: World) -> None:
        honest = await world.acquaint(40)
        liars = [world.network.rpc() for _ in range(int(40 * share / (1 - share)))]
        owner, seekers = honest[0], honest[1:]
        ghosts = [Identity.generate(world.network.runtimes[liars[0].node_id].entropy).public for _ in range(10)]
        each_other = [world.network.contact(rpc.node_id) for rpc in liars[:10]]
        nobody = [replace(each_other[0], ed=ghost.ed, x=ghost.x) for ghost in ghosts]
        evil = liars[0].identity
        truth = record_of(world, world.rpc_of(owner).identity, sequence=9)
        lies = [
            replace(truth, body=replace(truth.body, value=b"planted", sequence=99)),
            sign_record(evil, NetworkId(b"f" * 32), record_of(world, evil).body),
            record_of(world, evil, key=b"z" * 32),
            record_of(world, evil, expires=1),
        ]
        for number, rpc in enumerate(liars):
            contacts = (each_other, nobody, [*each_other, *nobody])[number % 3]
            Liar(rpc, lies[number % 4 :] if number % 5 else [], contacts)
        all_know_each_other(world, liars)
        assert await owner.put(truth) >= 10
        for seeker in seekers[:10]:
            assert await seeker.find(KEY, kind=RecordKind.PROVIDER) == [truth]

    on_virtual_time(test, config=replace(QUICK, query_timeout=0.5))


def test_after_a_bad_record_the_rest_of_an_answer_is_not_looked_at() -> None:
    """P-DHT-6"""

    async def test(world: World) -> None:
        (seeker,) = await world.acquaint(1)
        liar = world.network.rpc()
        good = record_of(world, liar.identity)
        for records, expected in (([good], [good]), ([replace(good, signature=bytes(64)), good], [])):
            other = world.network.rpc(liar.identity)
            Liar(other, records, [])
            all_know_each_other(world, [other])
            assert await seeker.find(KEY, kind=RecordKind.PROVIDER) == expected

    on_virtual_time(test)


def test_sybils_next_to_a_key_are_noticed_and_looked_past(caplog: pytest.LogCaptureFixture) -> None:
    """P-DHT-21: 24 identities closer to the key than any honest node, which know nobody but each other"""

    async def test(world: World) -> None:
        honest = await world.acquaint(40)
        entropy = world.network.runtimes[world.id_of(honest[0])].entropy
        # They share its first 8 bits; of 40 honest nodes hardly one shares 6.
        crowd: list[Rpc] = []
        while len(crowd) < 24:
            identity = Identity.generate(entropy)
            if identity.node_id[0] == KEY[0]:
                crowd.append(world.network.rpc(identity))
        for rpc in crowd:
            Liar(rpc, [], [world.network.contact(other.node_id) for other in crowd[:20]])
        all_know_each_other(world, crowd)
        with caplog.at_level(logging.ERROR):
            stored = await honest[0].publish(RecordKind.PROVIDER, KEY, b"value")
        assert stored > len(crowd), "the record also lies on honest nodes"
        with caplog.at_level(logging.WARNING, "dfs_sdk.dht.seeker"):
            found = await honest[9].find(KEY, kind=RecordKind.PROVIDER)
        assert [record.value for record in found] == [b"value"]
        assert "is crowded" in caplog.text

    on_virtual_time(test)


def test_a_table_takes_in_only_nodes_that_answered() -> None:
    """P-DHT-11"""

    async def test(world: World) -> None:
        a, b = await world.add(), await world.add()
        a_id, b_id = world.id_of(a), world.id_of(b)
        ghost = Identity.generate(world.network.runtimes[a_id].entropy).public
        liar = world.network.rpc()
        Liar(liar, [], [replace(world.network.contact(b_id), ed=ghost.ed, x=ghost.x), world.network.contact(b_id)])
        await a.join([world.network.contact(liar.node_id)])
        assert {entry.contact.node_id for entry in a.table} == {liar.node_id, b_id}
        await asyncio.sleep(1)
        # Whoever asks enters, too.
        assert a_id in b.table

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


def test_a_holder_that_names_an_absurd_sequence_changes_nothing() -> None:
    async def test(world: World) -> None:
        (node,) = await world.acquaint(1)
        liar = world.network.rpc()

        class Stale(Liar):
            async def _lie(self, caller: Caller, request: object, body: memoryview) -> StoreReply:
                return StoreReply(result=StoreResult.STALE, sequence=2**64 - 1)

        Stale(liar, [], [])
        all_know_each_other(world, [liar])
        assert await node.publish(RecordKind.PROVIDER, KEY, b"value") == 1
        assert node._publisher._publications[(RecordKind.PROVIDER, KEY)].sequence < 2**50

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
