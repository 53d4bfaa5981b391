"""The DHT among liars: what a node takes from others, and what it does not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

import pytest

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.dht import Dht, Record, RecordKind
from dfs_sdk.dht.messages import (
    FindNode,
    FindRecord,
    Found,
    StoreRecord,
    StoreReply,
    StoreResult,
)
from dfs_sdk.dht.records import sign_record
from dfs_sdk.dht.seeker import Findings
from dfs_sdk.errors import ProtocolError, RemoteError
from dfs_sdk.ids import NetworkId
from dfs_sdk.rpc import Caller, Rpc
from tests.fakes.dhts import KEY, QUICK, World, on_virtual_time, record_of


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


def test_records_of_very_many_owners_are_not_compared_with_each_other() -> None:
    """Whoever crowds a key can answer with 32 others each time: 200 answers would make 20 million comparisons."""
    compared = 0

    class Counted(Record):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return self is other

        __hash__ = Record.__hash__

    async def test(world: World) -> None:
        (seeker,) = await world.acquaint(1)
        entropy = world.network.runtimes[world.id_of(seeker)].entropy
        owners = [Identity.generate(entropy) for _ in range(64)]
        records = [record_of(world, owner) for owner in owners]
        counted = [Counted(body=record.body, signature=record.signature) for record in records]
        findings = Findings()
        question = FindRecord(kind=RecordKind.PROVIDER, key=KEY, serves=True)
        for at in (0, 16, 32, 32):  # most answers hold what others held
            seeker._seeker._take_records(question, counted[at : at + 32], world.id_of(seeker), findings)
        assert len(findings.records) == 64
        assert compared == 0

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
