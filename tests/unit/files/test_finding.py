"""Finding files when placement does not name who has them, and patience with holders that are away for a moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.dht.messages import Record, RecordBody, RecordKind
from dfs_sdk.dht.records import sign_record
from dfs_sdk.errors import ConfigError, ContentNotFoundError, ContentUnavailableError, DeadlineError
from dfs_sdk.exchange import ExchangeConfig
from dfs_sdk.files.config import FilesConfig
from dfs_sdk.files.link import Link
from dfs_sdk.files.providers import PROVIDERS_MAX, Providers, provider_key
from dfs_sdk.ids import Address
from dfs_sdk.runtime.system import SeededRng
from dfs_sdk.transport.contact import Contact
from dfs_sdk.wire.codec import encode
from tests.fakes.filenodes import CHUNK, FileNode, file_nodes, some
from tests.fakes.network import FakeNetwork
from tests.fakes.runtime import LoopClock, run_virtual


class FakeDht:
    """Answers with what the test put in."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.asked: list[bytes] = []
        self.broken = False

    async def publish(self, kind: RecordKind, key: bytes, value: bytes) -> int:
        return 0

    async def unpublish(self, kind: RecordKind, key: bytes) -> None:
        return

    async def find(self, key: bytes, *, kind: RecordKind) -> Sequence[Record]:
        self.asked.append(key)
        if self.broken:
            raise DeadlineError("nobody answers")
        return self.records


@pytest.fixture
async def network() -> AsyncIterator[FakeNetwork]:
    async with FakeNetwork() as network:
        yield network
        assert network.errors == []


def record(network: FakeNetwork, owner: Identity, link: Link, value: bytes) -> Record:
    body = RecordBody(
        kind=RecordKind.PROVIDER,
        key=provider_key(link.manifest_id),
        owner_ed=owner.public.ed,
        owner_x=owner.public.x,
        sequence=1,
        expires=2_000_000_000,
        value=value,
    )
    return sign_record(owner, network.network_id, body)


def contact(identity: Identity, *hosts: str) -> bytes:
    addresses = tuple(Address(host, 4001) for host in hosts)
    return encode(Contact(ed=identity.public.ed, x=identity.public.x, addresses=addresses))


def forget_placement(node: FileNode) -> None:
    node.replication.others = []


async def test_a_provider_of_the_dht_serves_when_placement_names_nobody(network: FakeNetwork):
    dht = FakeDht()
    a, b, _c, reader = await file_nodes(network, 4, readers=1, dht=dht)
    file = await a.files.put(some(3 * CHUNK), chunk_bytes=CHUNK)
    forget_placement(reader)
    dht.records = [record(network, b.base.rpc.identity, file.link, contact(b.base.rpc.identity, "10.0.0.2"))]
    assert await reader.files.get(file.link) == some(3 * CHUNK)
    assert dht.asked == [provider_key(file.link.manifest_id)]


async def test_records_that_speak_for_others_or_nonsense_are_ignored(network: FakeNetwork):
    dht = FakeDht()
    a, b, c, reader = await file_nodes(network, 4, readers=1, dht=dht)
    file = await a.files.put(some(3 * CHUNK), chunk_bytes=CHUNK)
    forget_placement(reader)
    liar = c.base.rpc.identity
    dht.records = [
        record(network, liar, file.link, contact(b.base.rpc.identity, "10.0.0.2")),
        record(network, liar, file.link, b"nonsense"),
    ]
    with pytest.raises(ContentNotFoundError):
        await reader.files.get(file.link)


async def test_addresses_in_records_are_believed_only_if_a_stranger_may_name_them(network: FakeNetwork):
    dht = FakeDht()
    a, _b, _c, reader = await file_nodes(network, 4, readers=1, dht=dht)
    stranger = Identity.generate(network.runtimes[a.node_id].entropy)
    forget_placement(reader)
    for host in ("127.0.0.1", "192.168.1.7", "169.254.0.1", "224.0.0.1"):
        link = (await a.files.put(host.encode())).link
        await a.files.remove(link)
        dht.records = [record(network, stranger, link, contact(stranger, host))]
        with pytest.raises((ContentNotFoundError, ContentUnavailableError)):
            await reader.files.get(link)
        assert reader.base.rpc.book.contact(stranger.node_id) is None


async def test_a_silent_dht_is_a_file_not_found(network: FakeNetwork):
    dht = FakeDht()
    a, *_, reader = await file_nodes(network, 4, readers=1, dht=dht)
    file = await a.files.put(some(3 * CHUNK), chunk_bytes=CHUNK)
    forget_placement(reader)
    dht.broken = True
    with pytest.raises(ContentNotFoundError):
        await reader.files.get(file.link)


def test_a_holder_that_is_away_for_a_moment_is_asked_again():
    async def main(clock: LoopClock) -> None:
        async with FakeNetwork(clock=clock, latency=0.001) as network:
            a, b, c, reader = await file_nodes(network, 4, readers=1, config=FilesConfig())
            file = await a.files.put(some(3 * CHUNK), chunk_bytes=CHUNK)
            for node in (a, b, c):
                network.kill(node.node_id)
            asyncio.get_running_loop().call_later(1.0, network.revive, c.node_id)
            assert await reader.files.get(file.link) == some(3 * CHUNK)

    run_virtual(main)


def test_patience_ends():
    async def main(clock: LoopClock) -> None:
        async with FakeNetwork(clock=clock, latency=0.001) as network:
            config = FilesConfig(rounds=100, round_pause=1.0, patience=10.0)
            a, b, c, reader = await file_nodes(network, 4, readers=1, config=config)
            file = await a.files.put(some(3 * CHUNK), chunk_bytes=CHUNK)
            for node in (a, b, c):
                network.kill(node.node_id)
            begun = clock.monotonic()
            with pytest.raises(ContentUnavailableError):
                await reader.files.get(file.link)
            assert 10 < clock.monotonic() - begun < 25

    run_virtual(main)


def test_holders_that_placement_does_not_name_are_found_by_asking():
    """A chunk whose candidates have it not, but somebody else said to hold it."""

    async def main(clock: LoopClock) -> None:
        async with FakeNetwork(clock=clock, latency=0.001) as network:
            a, _b, _c, reader = await file_nodes(network, 4, readers=1, config=FilesConfig())
            file = await a.files.put(some(3 * CHUNK), chunk_bytes=CHUNK)
            reader.replication.candidates = lambda _chunk_id, _cell: []  # type: ignore[method-assign]
            assert await reader.files.get(file.link) == some(3 * CHUNK)

    run_virtual(main)


@pytest.mark.parametrize(
    "wrong",
    [
        {"upload_bytes_max": 1},
        {"download_bytes_max": 1},
        {"rounds": 0},
        {"audit_delay": 0},
        {"round_pause": -1.0},
        {"shares_per_sender_max": -1},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        FilesConfig(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"push_bytes_max": 1},
        {"hedge_ratio": 2.0},
        {"hedge_delay_min": 0.0},
        {"failover_delay_min": 0.0},
        {"choice_window": 0},
        {"push_timeout": 0.0},
        {"tombstones_max": 0},
    ],
)
def test_settings_of_the_exchange_out_of_range_are_refused(wrong: dict[str, float]):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ExchangeConfig(**wrong)  # type: ignore[arg-type]


async def test_of_too_many_providers_none_is_passed_over_each_time(network: FakeNetwork):
    """Records come in the order of ids, which their owners choose: sixteen low ones would be all that is ever asked."""
    node, *_ = await file_nodes(network, 3)
    link = (await node.files.put(b"known")).link
    entropy = network.runtimes[node.node_id].entropy
    owners = sorted((Identity.generate(entropy) for _ in range(2 * PROVIDERS_MAX)), key=lambda owner: owner.node_id)
    dht = FakeDht()
    dht.records = [record(network, owner, link, contact(owner, "203.0.114.5")) for owner in owners]
    providers = Providers(dht, node.base.rpc, SeededRng(1))
    asked = [await providers.find(link.manifest_id) for _ in range(20)]
    assert {len(found) for found in asked} == {PROVIDERS_MAX}
    assert {node_id for found in asked for node_id in found} == {owner.node_id for owner in owners}
