"""A failed attempt to join leaves a node as it was, and the next one can succeed."""

from __future__ import annotations

import asyncio

import pytest

from dfs_sdk.errors import ConfigError, JoinTimeoutError, NetworkMismatchError, NodeClosedError
from tests.fakes.members import make

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("nothing_left")]


async def test_a_wrong_passphrase_can_be_corrected():
    async with make("ada", passphrase="right") as ada, make("bob") as bob:
        own, address = bob.network_id, bob.address
        for _ in range(2):
            with pytest.raises(JoinTimeoutError, match="passphrase"):
                await bob.join(ada.invite(), passphrase="wrong", timeout=1)
            assert bob.network_id == own
            assert bob.address == address
        report = await bob.join(ada.invite(), passphrase="right")
        assert (report.peers, bob.network_id) == (1, ada.network_id)


async def test_a_cancelled_attempt_leaves_the_node_in_its_own_network():
    async with make("ada", passphrase="right") as ada, make("bob") as bob:
        own = bob.network_id
        attempt = asyncio.create_task(bob.join(ada.invite(), passphrase="wrong"))
        while bob.network_id == own:
            await asyncio.sleep(0.01)
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        assert bob.network_id == own
        assert bob.snapshot().state == "alone"
        assert (await bob.join(ada.invite(), passphrase="right")).peers == 1


async def test_joining_meets_the_others_though_one_of_them_is_dead():
    async with make("ada") as ada, make("cyd") as cyd:
        dead = await make("dan").start()
        await dead.join(ada.invite())
        await cyd.join(ada.invite())
        await dead.abort()
        async with make("bob") as bob:
            report = await bob.join(ada.invite(), timeout=5)
            assert report.peers >= 2
            assert report.seconds < 4


async def test_a_node_that_holds_nothing_leaves_at_once_though_a_member_is_dead():
    async with make("ada") as ada:
        dead = await make("dan").start()
        await dead.join(ada.invite())
        bob = await make("bob").start()
        await bob.join(ada.invite())
        await dead.abort()
        begun = asyncio.get_running_loop().time()
        await bob.close()
        assert asyncio.get_running_loop().time() - begun < 1.5
        assert not any(row.name == "bob" and row.state == "alive" for row in ada.snapshot().peers)


async def test_closing_ends_a_join_under_way_at_once_and_says_so():
    async with make("ada", passphrase="right") as ada:
        bob = await make("bob").start()
        own = bob.network_id
        attempts = [asyncio.create_task(bob.join(ada.invite(), passphrase="wrong", timeout=20)) for _ in range(2)]
        while bob.network_id == own:
            await asyncio.sleep(0.01)
        async with asyncio.timeout(3):
            await bob.close()
            for attempt in attempts:  # the second one waits for the first
                with pytest.raises(NodeClosedError, match="closed"):
                    await attempt


async def test_an_attempt_cancelled_while_the_old_network_is_left_leaves_a_node_that_works():
    async with make("ada", passphrase="right") as ada, make("bob") as bob:
        own, address, stack = bob.network_id, bob.address, bob._engine.stack
        close, closing = stack.transport.close, asyncio.Event()

        async def close_slowly() -> None:
            closing.set()
            await asyncio.sleep(0.05)
            await close()

        stack.transport.close = close_slowly
        attempt = asyncio.create_task(bob.join(ada.invite(), passphrase="right"))
        await closing.wait()
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        assert (bob.network_id, bob.address) == (own, address)
        file = await bob.put(b"x" * 100_000, name="a.bin", quorum=0)
        assert await bob.get(file.link) == b"x" * 100_000


async def test_an_id_of_a_transfer_names_no_other_one_after_a_change_of_networks():
    async with make("ada") as ada:
        await ada.put(b"x" * 1000, name="before", quorum=0)
        (before,) = ada.snapshot().transfers
        await ada.found()
        await ada.put(b"x" * 1000, name="after", quorum=0)
        (after,) = ada.snapshot().transfers
        assert after.transfer_id > before.transfer_id
        with pytest.raises(ConfigError, match="no transfer has the number"):
            ada.traced(transfer=before)


async def test_a_node_that_is_alone_founds_a_private_network_and_others_join_it():
    async with make("ada") as ada, make("bob") as bob:
        before, address = ada.network_id, ada.address
        await ada.found(passphrase="three random words")
        assert (ada.network_id != before, ada.snapshot().private, ada.address) == (True, True, address)
        with pytest.raises(JoinTimeoutError, match="passphrase"):
            await bob.join(ada.invite(), passphrase="wrong", timeout=1)
        assert (await bob.join(ada.invite(), passphrase="three random words")).peers == 1
        with pytest.raises(NetworkMismatchError, match="has met others"):
            await bob.found()
        assert bob.network_id == ada.network_id
