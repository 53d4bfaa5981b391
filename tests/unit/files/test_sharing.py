"""Sharing with a peer: P-FILE-12, P-FILE-13."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.errors import LinkError, PeerUnreachableError, ProtocolError, RemoteError
from dfs_sdk.files.config import FilesConfig
from dfs_sdk.files.link import Link, LinkKind
from dfs_sdk.files.messages import Share, Shared, ShareNote, make_share, read_share
from dfs_sdk.files.news import FileGiven, FileShared
from dfs_sdk.files.shares import LOOK_UPS_MAX
from dfs_sdk.ids import ChunkId, NodeId
from dfs_sdk.wire.codec import decode, encode
from tests.fakes.entropy import SeededEntropy
from tests.fakes.filenodes import CHUNK, FileNode, file_nodes, some
from tests.fakes.network import FakeNetwork

ALICE, BOB, EVE = (Identity.generate(SeededEntropy(seed)) for seed in range(3))
NOTE = ShareNote(link="dfs:CANARY", name="secret.txt", size=7)


@pytest.fixture
async def network() -> AsyncIterator[FakeNetwork]:
    async with FakeNetwork() as network:
        yield network
        assert network.errors == []


async def settle() -> None:
    for _ in range(100):
        await asyncio.sleep(0)


def test_only_the_recipient_opens_a_share():
    share = make_share(NOTE, sender=ALICE, recipient=BOB.public, now_wall=1.0)
    assert read_share(share, sender=ALICE.public, recipient=BOB.node_id, key=BOB.agreement) == NOTE
    assert b"CANARY" not in encode(share)
    with pytest.raises(ProtocolError):
        read_share(share, sender=ALICE.public, recipient=EVE.node_id, key=EVE.agreement)
    with pytest.raises(ProtocolError):
        read_share(share, sender=ALICE.public, recipient=BOB.node_id, key=EVE.agreement)


def test_a_share_cannot_be_passed_off_as_ones_own_or_altered():
    share = make_share(NOTE, sender=ALICE, recipient=BOB.public, now_wall=1.0)
    for sender, changed in (
        (EVE, share),
        (ALICE, replace(share, created_at_wall=2.0)),
        (ALICE, replace(share, sealed=share.sealed[:-1] + bytes([share.sealed[-1] ^ 1]))),
        (ALICE, replace(share, signature=b"")),
    ):
        with pytest.raises(ProtocolError):
            read_share(changed, sender=sender.public, recipient=BOB.node_id, key=BOB.agreement)
    # Signed anew by another, it still does not open: both parties are bound into the seal.
    stolen = replace(share, signature=b"")
    domain = b"dfs/share/1" + EVE.node_id + BOB.node_id
    stolen = replace(stolen, signature=EVE.signing.sign(domain + encode(stolen)))
    with pytest.raises(ProtocolError):
        read_share(stolen, sender=EVE.public, recipient=BOB.node_id, key=BOB.agreement)


def test_golden_bytes_and_round_trip():
    share = Share(sealed=b"\x01\x02", created_at_wall=1.5, signature=b"s" * 64)
    assert encode(share).hex() == "93c4020102cb3ff8000000000000c440" + "73" * 64
    assert decode(Share, encode(share)) == share
    assert encode(NOTE).hex() == "93aa6466733a43414e415259aa7365637265742e74787407"
    assert decode(ShareNote, encode(NOTE)) == NOTE
    assert decode(Shared, encode(Shared())) == Shared()
    assert Share.tag == 0x0501


@given(st.sampled_from([Share, ShareNote, Shared]), st.binary(max_size=200))
def test_any_bytes_parse_or_raise_protocol_error(kind: type, body: bytes):
    with contextlib.suppress(ProtocolError):
        decode(kind, body)


def test_a_note_does_not_show_its_link():
    assert "CANARY" not in repr(NOTE)


async def test_a_shared_file_appears_and_can_be_read(network: FakeNetwork):
    a, b, c, d = await file_nodes(network, 4, readers=1)
    file = await a.files.put(some(3 * CHUNK), name="for\x1b[1m you.bin", chunk_bytes=CHUNK)
    await a.files.share(file, d.node_id)
    (shared,) = await d.files.ls()
    assert (shared.name, shared.size, shared.link) == ("for␛[1m you.bin", 3 * CHUNK, file.link)
    assert shared.origin == f"shared by node-{a.node_id.short}"
    assert not shared.owned
    (news,) = d.happened(FileShared)
    assert (news.sender, news.name) == (a.node_id, "for␛[1m you.bin")
    assert str(file.link) not in repr(news) + news.text
    assert [event.recipient for event in a.happened(FileGiven)] == [d.node_id]
    await settle()
    assert (await d.files.ls())[0].chunk_count == 3  # looked up in the background
    assert await d.files.get(shared.link) == some(3 * CHUNK)
    assert [known.origin for known in await d.files.ls()] == [shared.origin]
    for other in (b, c):
        assert await other.files.ls() == []


async def test_sharing_twice_is_one_entry(network: FakeNetwork):
    a, b, *_ = await file_nodes(network, 4)
    file = await a.files.put(b"x")
    await a.files.share(file, b.node_id)
    await a.files.share(file.link, b.node_id)
    assert len(await b.files.ls()) == 1
    assert len(b.happened(FileShared)) == 1


async def test_a_file_can_be_shared_on(network: FakeNetwork):
    a, b, c, *_ = await file_nodes(network, 4)
    file = await a.files.put(b"x", name="y")
    await a.files.share(file, b.node_id)
    await b.files.share((await b.files.ls())[0], c.node_id)
    assert [known.name for known in await c.files.ls()] == ["y"]


async def test_one_sender_cannot_fill_the_catalog(network: FakeNetwork):
    config = FilesConfig(shares_per_sender_max=3, rounds=1)
    a, b, c, _ = await file_nodes(network, 4, config=config)
    for number in range(3):
        await a.files.share(await a.files.put(bytes([number])), b.node_id)
    with pytest.raises(RemoteError) as refused:
        await a.files.share(await a.files.put(b"more"), b.node_id)
    assert refused.value.code == "BUSY"
    await c.files.share(await c.files.put(b"other"), b.node_id)
    assert len(await b.files.ls()) == 4


async def test_shares_fill_half_of_the_catalog_and_leave_the_rest_to_its_user(network: FakeNetwork):
    config = FilesConfig(catalog_files_max=4, rounds=1)
    a, b, c, _ = await file_nodes(network, 4, config=config)
    await a.files.share(await a.files.put(b"1"), b.node_id)
    await a.files.share(await a.files.put(b"2"), b.node_id)
    with pytest.raises(RemoteError) as refused:
        await c.files.share(await c.files.put(b"3"), b.node_id)
    assert refused.value.code == "STORE_FULL"
    for content in (b"4", b"5"):
        await b.files.put(content)
    assert len(await b.files.ls()) == 4


async def test_links_that_others_made_up_are_looked_up_a_few_at_a_time(network: FakeNetwork):
    a, b, _ = await file_nodes(network, 3)
    looked_up: list[Link] = []
    stuck = asyncio.Event()

    async def look_up(link: Link) -> None:
        looked_up.append(link)
        await stuck.wait()

    b.files._shares._on_received = look_up
    for number in range(2 * LOOK_UPS_MAX):
        await a.files.share(await a.files.put(bytes([number])), b.node_id)
    await settle()
    assert len(looked_up) == LOOK_UPS_MAX
    stuck.set()
    await settle()
    assert len(looked_up) == 2 * LOOK_UPS_MAX


@pytest.mark.parametrize("kind", ["unsigned", "for another", "another network", "verify link", "no link"])
async def test_hostile_shares_are_refused(network: FakeNetwork, kind: str):
    a, b, c, _ = await file_nodes(network, 4)
    me, tag = a.base.rpc.identity, a.files._finder.tag
    link = Link(kind=LinkKind.READ, network_tag=tag, manifest_id=ChunkId(b"m" * 32), key=b"k" * 32)
    recipient = b.base.rpc.identity.public
    text = str(link)
    match kind:
        case "for another":
            recipient = c.base.rpc.identity.public
        case "another network":
            text = str(replace(link, network_tag=b"\0\0\0\0"))
        case "verify link":
            text = str(link.verify())
        case "no link":
            text = "dfs:nonsense"
    share = make_share(ShareNote(link=text, name="x", size=1), sender=me, recipient=recipient, now_wall=1.0)
    if kind == "unsigned":
        share = replace(share, signature=bytes(64))
    with pytest.raises(RemoteError) as refused:
        await a.base.rpc.call(b.node_id, share)
    assert refused.value.code == "DENIED"
    assert await b.files.ls() == []


async def test_sharing_with_the_unknown_or_dead_raises(network: FakeNetwork):
    a, b, *_ = await file_nodes(network, 3)
    file = await a.files.put(b"x")
    with pytest.raises(PeerUnreachableError, match="not known"):
        await a.files.share(file, NodeId(b"?" * 32))
    network.kill(b.node_id)
    with pytest.raises(PeerUnreachableError):
        await a.files.share(file, b.node_id)


async def test_a_verify_link_is_not_shared(network: FakeNetwork):
    a, b, *_ = await file_nodes(network, 3)
    file = await a.files.put(b"x")
    with pytest.raises(LinkError, match="only verifies"):
        await a.files.share(file.link.verify(), b.node_id)


async def test_a_share_nobody_can_open_stays_listed_with_its_senders_word(network: FakeNetwork):
    a, b, *_ = await file_nodes(network, 3)
    link = Link(kind=LinkKind.READ, network_tag=a.files._finder.tag, manifest_id=ChunkId(b"m" * 32), key=b"k" * 32)
    note = ShareNote(link=str(link), name="gone.bin", size=12)
    await a.files._shares.send(note, b.node_id)
    await settle()
    nodes: list[FileNode] = [b]
    assert [(known.name, known.size) for node in nodes for known in await node.files.ls()] == [("gone.bin", 12)]
