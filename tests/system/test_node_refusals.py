"""What a whole node on real sockets does not do, and in which words it says so."""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from dfs_sdk.errors import (
    ConfigError,
    ContentNotFoundError,
    ContentUnavailableError,
    JoinError,
    JoinTimeoutError,
    LinkError,
    MessageTooLargeError,
    NetworkMismatchError,
    PeerUnreachableError,
    QuotaExceededError,
    StoreLockedError,
    TooFewReplicasError,
)
from dfs_sdk.node.news import JoinStep
from tests.fakes.members import make, network

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("nothing_left")]

MIB = 1024 * 1024


async def test_an_address_where_nobody_listens_times_out_in_words():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        steps: list[str] = []
        async with make("ada") as ada:
            ada.subscribe(JoinStep, lambda event: steps.append(event.text))
            with pytest.raises(JoinTimeoutError, match=r"Tried: asked 127.0.0.1.*UDP passes the firewalls"):
                await ada.join(f"127.0.0.1:{silent.getsockname()[1]}", timeout=0.5)
            assert steps
            assert ada.running


async def test_an_unknown_host_name_is_said_at_once():
    async with make("ada") as ada:
        with pytest.raises(JoinError, match="spelling"):
            await ada.join("no-such-host.invalid:4000", timeout=15)


@pytest.mark.parametrize("target", ["", "nonsense", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:70000", "dfs-join:AAAA"])
async def test_a_malformed_target_is_refused(target: str):
    async with make("ada") as ada:
        with pytest.raises((ConfigError, LinkError)):
            await ada.join(target)


async def test_joining_oneself_is_refused():
    async with make("ada") as ada:
        with pytest.raises(ConfigError, match="this node itself"):
            await ada.join(str(ada.address))


async def test_a_wrong_passphrase_is_named_as_the_likely_cause():
    ada, bob = make("ada", passphrase="right"), make("bob")
    async with ada, bob:
        with pytest.raises(JoinTimeoutError, match="passphrase"):
            await bob.join(str(ada.address), passphrase="wrong", timeout=2)
        assert bob.running
        assert len(ada.snapshot().peers) == 1


async def test_a_missing_passphrase_is_asked_for_at_once():
    ada, bob = make("ada", passphrase="right"), make("bob")
    async with ada, bob:
        with pytest.raises(JoinError, match="passphrase="):
            await bob.join(ada.invite())


async def test_a_node_with_peers_does_not_change_networks():
    async with network("ada", "bob") as (ada, _bob), network("eve") as (eve,):
        with pytest.raises(NetworkMismatchError, match="fresh `store`"):
            await ada.join(str(eve.address))


async def test_a_link_of_another_network_is_refused():
    async with network("ada", "bob", "cyd") as (ada, *_rest), network("eve") as (eve,):
        file = await ada.put(b"x" * 100_000, name="a.bin")
        with pytest.raises(LinkError, match="network"):
            await eve.get(file.link)


async def test_a_mistyped_link_is_refused_and_an_unknown_one_not_found():
    async with network("ada", "bob", "cyd") as (ada, bob, _cyd):
        file = await ada.put(b"x" * 100_000, name="a.bin")
        text = str(file.link)
        with pytest.raises(LinkError):
            await bob.get(text[:-3])
        flipped = bytes(byte ^ 1 for byte in file.link.manifest_id)
        with pytest.raises((ContentNotFoundError, ContentUnavailableError)):
            await bob.get(replace(file.link, manifest_id=type(file.link.manifest_id)(flipped)))
        with pytest.raises(ContentNotFoundError, match="see `ls`"):
            await bob.get("no such name")


async def test_a_missing_file_is_a_file_not_found_error():
    async with make("ada") as ada:
        with pytest.raises(FileNotFoundError):
            await ada.put("/no/such/file")


async def test_too_few_peers_for_the_quorum_is_said_with_the_way_out():
    async with make("ada") as ada:
        with pytest.raises(TooFewReplicasError, match="quorum=0"):
            await ada.put(b"x" * 100_000, name="lonely.bin")
        file = await ada.put(b"x" * 100_000, name="lonely.bin", quorum=0)
        assert ada.snapshot().files[0].health == "only here"
        assert await ada.get(file.link) == b"x" * 100_000


async def test_what_was_kept_here_spreads_as_peers_join():
    async with make("ada") as ada:
        await ada.put(b"x" * 300_000, name="lonely.bin", quorum=0)
        async with make("bob") as bob, make("cyd") as cyd:
            await bob.join(str(ada.address))
            await cyd.join(str(ada.address))

            async def spread() -> bool:
                await ada.audit()
                return ada.snapshot().files[0].copies_min >= 3

            async with asyncio.timeout(60):
                while not await spread():
                    await asyncio.sleep(0.1)
            await bob.abort()
            await cyd.abort()


async def test_a_full_store_refuses_in_words_and_keeps_what_it_has():
    async with make("ada", quota="1 MiB") as ada:
        kept = await ada.put(b"k" * 500_000, name="kept.bin", quorum=0)
        with pytest.raises((QuotaExceededError, TooFewReplicasError)):
            await ada.put(os.urandom(3 * MIB), name="huge.bin", quorum=0)
        assert await ada.get(kept.link) == b"k" * 500_000


async def test_a_second_node_on_one_store_is_refused_in_words(tmp_path: Path):
    async with make("ada", store=tmp_path / "store"):
        with pytest.raises(StoreLockedError, match="store"):
            await make("bob", store=tmp_path / "store").start()


async def test_a_chat_message_of_ten_megabytes_is_refused():
    async with make("ada") as ada:
        with pytest.raises(MessageTooLargeError, match="file"):
            await ada.chat.send("x" * (10 * MIB))
        with pytest.raises(PeerUnreachableError, match="nobody"):
            await ada.chat.send("hello", to="nobody")


async def test_a_hostile_file_name_stays_in_the_download_folder(tmp_path: Path):
    async with network("ada", "bob", "cyd") as (ada, bob, _cyd):
        for name in ("../../escape.txt", "/etc/passwd", "C:\\x", "a\u202etxt.exe", "CON", "-rf"):
            file = await ada.put(b"harmless", name=name)
            folder = tmp_path / "downloads"
            folder.mkdir(exist_ok=True)
            path = await bob.get(file.link, folder, overwrite=True)
            assert path.resolve().parent == folder.resolve()


async def test_an_existing_file_is_not_overwritten_unless_asked(tmp_path: Path):
    async with network("ada", "bob", "cyd") as (ada, bob, _cyd):
        file = await ada.put(b"new", name="a.txt")
        target = tmp_path / "a.txt"
        target.write_bytes(b"old")
        with pytest.raises(FileExistsError):
            await bob.get(file.link, target)
        assert target.read_bytes() == b"old"
        await bob.get(file.link, target, overwrite=True)
        assert target.read_bytes() == b"new"


async def test_an_address_in_use_is_said_in_words():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ConfigError, match="cannot listen"):
            await make("ada", listen=f"127.0.0.1:{taken.getsockname()[1]}").start()


async def test_the_link_of_a_file_is_masked_wherever_it_is_shown():
    async with make("ada") as ada:
        file = await ada.put(b"x" * 100_000, name="a.bin", quorum=0)
        secret = str(file.link).removeprefix("dfs:")[-30:]
        shown = [repr(file), str(file), repr(file.link), repr(ada), repr(ada.snapshot()), repr(ada.events())]
        shown += list(ada._repr_mimebundle_().values())
        assert not any(secret in text for text in shown)
