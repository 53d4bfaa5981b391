"""Chat over the in-memory network: everybody sees each message once and in order."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from dfs_sdk.chat.messages import Compare, Deliver, Missing
from dfs_sdk.errors import ConfigError, MessageTooLargeError
from tests.fakes.club import QUICK, Club, evening, post_of


def test_everybody_hears_a_message_and_the_sender_knows() -> None:
    async def test(club: Club) -> None:
        ada, ben, cyd = [await club.add(name) for name in ("ada", "ben", "cyd")]
        sent = await ada.chat.send("good evening", link="dfs:x")
        assert (sent.text, sent.mine, sent.delivered, sent.sender_name) == ("good evening", True, 0, "ada")
        await asyncio.sleep(1)
        for other in (ben, cyd):
            (heard,) = other.heard
            assert (heard.text, heard.mine, heard.sender, heard.link) == ("good evening", False, ada.node_id, "dfs:x")
            assert heard.message_id == sent.message_id
        assert ada.chat.history()[0].delivered == 2
        assert [each.delivered for each in ada.delivered] == [1, 2]

    evening(test)


def test_what_is_said_at_once_keeps_its_order_and_every_delivery_is_counted() -> None:
    async def test(club: Club) -> None:
        ada, ben = await club.add(), await club.add()
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(ada.chat.send(str(number)))
        await asyncio.sleep(10)
        assert ben.texts() == [str(number) for number in range(20)]
        assert [each.delivered for each in ada.chat.history()] == [1] * 20

    evening(test, loss=0.2, twice=0.2)


def test_a_newcomer_gets_the_history_at_once_and_nothing_twice() -> None:
    async def test(club: Club) -> None:
        ada, ben = await club.add(), await club.add()
        for number in range(300):
            await (ada if number % 2 else ben).chat.send(f"{number} " + "x" * (number % 7 * 500))
            await asyncio.sleep(0.05)
        newcomer = await club.add()
        await newcomer.chat.catch_up()
        assert newcomer.texts() == ada.texts()
        assert len(newcomer.heard) == 300
        await asyncio.sleep(10)
        assert len(newcomer.heard) == 300

    evening(test)


def test_a_network_larger_than_the_fanout_is_reached_by_forwarding_and_comparing() -> None:
    async def test(club: Club) -> None:
        config = replace(QUICK, fanout=3, forward_fanout=2)
        talkers = [await club.add(config=config) for _ in range(16)]
        await talkers[0].chat.send("does everybody hear me?")
        await asyncio.sleep(20)
        assert all(each.texts() == ["does everybody hear me?"] for each in talkers)
        assert all(len(each.heard) == 1 for each in talkers)

    evening(test)


def test_a_direct_message_reaches_its_recipient_alone() -> None:
    async def test(club: Club) -> None:
        ada, ben, cyd = [await club.add() for _ in range(3)]
        await ada.chat.send("between us", to=ben.node_id)
        await asyncio.sleep(10)
        assert ben.texts(ada.node_id) == ada.texts(ben.node_id) == ["between us"]
        assert cyd.heard == []
        assert ben.chat.conversations() == [None, ada.node_id]
        assert [each.texts() for each in (ada, ben, cyd)] == [[], [], []]

    evening(test)


def test_direct_messages_wait_for_a_peer_that_is_away_even_over_a_restart_of_the_sender() -> None:
    async def test(club: Club) -> None:
        ada, ben = await club.add(), await club.add()
        club.network.kill(ben.node_id)
        for number in range(100):
            await ada.chat.send(str(number), to=ben.node_id)
        await asyncio.sleep(30)
        ada = await club.add(like=ada)
        await asyncio.sleep(5)
        assert ada.chat.history(ben.node_id)[0].delivered == 0
        ben = await club.add(like=ben)
        await asyncio.sleep(5)
        assert ben.texts(ada.node_id) == [str(number) for number in range(100)]
        assert [each.delivered for each in ada.chat.history(ben.node_id)] == [1] * 100
        ada = await club.add(like=ada)
        await asyncio.sleep(5)
        assert len(ben.heard) == 100, "nothing is sent again"

    evening(test)


def test_a_direct_message_that_was_overtaken_for_long_is_still_delivered() -> None:
    async def test(club: Club) -> None:
        ada, ben = await club.add(), await club.add()
        first, second = [
            post_of(ada.rpc.identity, club.network.network_id, sequence, str(sequence), recipient=ben.node_id)
            for sequence in (1, 2)
        ]
        answer = await ada.rpc.call(ben.node_id, Deliver(posts=(second,)))
        assert answer.reply.posts == (), "not confirmed while it waits"
        await asyncio.sleep(10)
        assert ben.texts(ada.node_id) == ["2"]
        answer = await ada.rpc.call(ben.node_id, Deliver(posts=(first,)))
        assert answer.reply.posts == (first.post_id,)
        assert ben.texts(ada.node_id) == ["1", "2"]

    evening(test)


def test_messages_that_cannot_be_sent_are_refused_in_words() -> None:
    async def test(club: Club) -> None:
        ada = await club.add()
        for text, to, link, error in (
            ("x" * 10 * 1024 * 1024, None, "", MessageTooLargeError),
            ("é" * 2049, None, "", MessageTooLargeError),
            ("", None, "dfs:" + "x" * 600, MessageTooLargeError),
            ("", None, "", ConfigError),
            ("\ud800", None, "", ConfigError),
            ("hello", ada.node_id, "", ConfigError),
        ):
            with pytest.raises(error):
                await ada.chat.send(text, to=to, link=link)
        assert ada.texts() == []
        await ada.chat.send("é" * 2048)

    evening(test)


def test_two_comparisons_with_one_peer_never_run_at_once() -> None:
    async def test(club: Club) -> None:
        ada = await club.add()
        running, most = 0, 0
        slow = club.network.rpc()
        club.network.introduce(ada.rpc, slow)

        async def count(caller: Any, request: Compare, body: memoryview) -> Missing:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(1)
            running -= 1
            return Missing(posts=(), heads=())

        slow.serve(Compare, count)
        for sequence in range(2, 60):
            await slow.call(ada.node_id, Deliver(posts=(post_of(slow.identity, club.network.network_id, sequence),)))
        await asyncio.sleep(3)
        assert most == 1

    evening(test)
