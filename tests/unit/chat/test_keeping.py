"""History in the store: over restarts, trims, damage, and disks that fail."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from dfs_sdk.chat.records import POSTS_KIND
from dfs_sdk.errors import ConfigError, StoreReadOnlyError
from tests.fakes.club import QUICK, Club, evening


def test_history_names_and_numbers_survive_a_restart() -> None:
    async def test(club: Club) -> None:
        ada, ben = await club.add("ada"), await club.add("ben")
        await ada.chat.send("before")
        await ben.chat.send("answer")
        await asyncio.sleep(1)
        ada = await club.add("ada", like=ada)
        assert ada.texts() == ["before", "answer"]
        assert ada.chat.history()[0].delivered == 1
        await ada.chat.send("after")
        await asyncio.sleep(5)
        assert ben.texts() == ada.texts() == ["before", "answer", "after"]
        assert ada.heard[-1].text == "after"
        assert len(ada.heard) == 1, "old messages are no news"

    evening(test)


def test_a_sender_whose_messages_were_trimmed_still_speaks_after_a_restart() -> None:
    async def test(club: Club) -> None:
        config = replace(QUICK, history_length_max=5)
        ada, ben = await club.add(config=config), await club.add(config=config)
        for number in range(3):
            await ada.chat.send(f"early {number}")
        await asyncio.sleep(1)
        for number in range(20):
            await ben.chat.send(f"later {number}")
        await asyncio.sleep(5)
        assert len(await ada.store.list_documents(POSTS_KIND)) == 5
        ada = await club.add(like=ada, config=config)
        await ada.chat.send("still here")
        await asyncio.sleep(5)
        assert ben.texts()[-1] == "still here"
        assert ada.chat.history()[-1].delivered == 1

    evening(test)


def test_a_damaged_record_costs_one_message_and_no_number_is_used_twice() -> None:
    async def test(club: Club) -> None:
        ada, ben = await club.add(), await club.add()
        for number in range(3):
            await ada.chat.send(str(number))
        await asyncio.sleep(1)
        key, _ = (await ada.store.list_documents(POSTS_KIND))[-1]
        await ada.store.put_document(POSTS_KIND, key, b"\xc1 damaged")
        ada = await club.add(like=ada)
        assert ada.texts() == ["0", "1"]
        await ada.chat.send("3")
        await asyncio.sleep(10)
        assert ben.texts() == ada.texts() == ["0", "1", "2", "3"], "the lost one came back from a peer"

    evening(test)


def test_what_was_said_in_another_network_is_neither_shown_nor_offered_to_peers() -> None:
    async def test(club: Club) -> None:
        alone = await club.add(network=b"f" * 32)
        await alone.chat.send("talking to myself")
        joined, member = await club.add(like=alone), await club.add()
        assert joined.texts() == []
        await joined.chat.send("hello, all")
        await asyncio.sleep(10)
        assert member.texts() == joined.texts() == ["hello, all"]
        assert member.rpc.connected() == [joined.node_id]

    evening(test)


def test_paging_back_through_history_meets_every_message_once() -> None:
    async def test(club: Club) -> None:
        ada = await club.add()
        for number in range(25):
            await ada.chat.send(str(number))
        pages, before = [], None
        while page := ada.chat.history(limit=10, before=before):
            pages.append([message.text for message in page])
            before = page[0].message_id
        assert [len(page) for page in pages] == [10, 10, 5]
        assert [text for page in reversed(pages) for text in page] == [str(number) for number in range(25)]
        assert ada.chat.history(limit=10, before="00" * 32) == []
        with pytest.raises(ConfigError, match="message id"):
            ada.chat.history(before="the last one")

    evening(test)


def test_a_store_that_cannot_write_shows_nothing_and_confirms_nothing() -> None:
    async def test(club: Club) -> None:
        ada, ben = await club.add(), await club.add()
        works = ben.store.put_documents

        async def fails(kind: str, items: Any) -> None:
            raise StoreReadOnlyError("the disk is gone")

        ben.store.put_documents = fails  # type: ignore[method-assign]
        await ada.chat.send("first")
        await asyncio.sleep(1)
        assert ben.heard == []
        assert ada.chat.history()[0].delivered == 0
        with pytest.raises(StoreReadOnlyError):
            await ben.chat.send("mine")
        assert ben.texts() == []
        ben.store.put_documents = works  # type: ignore[method-assign]
        await ben.chat.send("mine")
        await asyncio.sleep(10)
        assert ben.texts() == ada.texts() == ["first", "mine"]
        assert [each.text for each in ben.heard] == ["mine", "first"]
        assert all(each.delivered == 1 for each in (ada.chat.history()[0], ben.chat.history()[1]))

    evening(test)


def test_a_delivery_cancelled_at_the_disk_is_neither_lost_nor_doubled() -> None:
    async def test(club: Club) -> None:
        ada, ben = await club.add(), await club.add()
        works, hang = ben.store.put_documents, asyncio.Event()

        async def hangs(kind: str, items: Any) -> None:
            await hang.wait()
            await works(kind, items)

        ben.store.put_documents = hangs  # type: ignore[method-assign]
        await ada.chat.send("hello")
        await asyncio.sleep(6)  # past the time-out of the call
        ben.store.put_documents = works  # type: ignore[method-assign]
        hang.set()
        await asyncio.sleep(10)
        assert ben.texts() == ["hello"]
        assert len(ben.heard) == 1
        assert len(await ben.store.list_documents(POSTS_KIND)) == 1

    evening(test)


def test_looking_at_a_long_history_again_is_cheap() -> None:
    async def test(club: Club) -> None:
        ada = await club.add()
        for _ in range(200):
            await ada.chat.send("x" * 4000)
        shown = ada.chat.history(limit=200)
        assert all(first is second for first, second in zip(shown, ada.chat.history(limit=200), strict=True))
        ben = await club.add()
        await ben.chat.catch_up()
        again = ada.chat.history(limit=200)
        assert sum(first is not second for first, second in zip(shown, again, strict=True)) >= 64
        assert [each.delivered for each in again[-64:]] == [1] * 64

    evening(test)
