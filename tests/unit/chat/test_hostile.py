"""What a hostile or broken peer of a chat can do: nothing, and within bounds."""

import asyncio
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from dfs_sdk.chat.messages import Compare, Deliver, Missing
from dfs_sdk.chat.records import POSTS_KIND
from dfs_sdk.crypto.identity import Identity
from dfs_sdk.errors import DfsError, RemoteError
from dfs_sdk.ids import NetworkId
from tests.fakes.club import QUICK, Club, evening, post_of
from tests.fakes.hostile import HOSTILE
from tests.fakes.runtime import fake_runtime


def test_the_outbox_is_bounded() -> None:
    async def test(club: Club) -> None:
        ada, ben = await club.add(config=replace(QUICK, outbox_length_max=3)), await club.add()
        club.network.kill(ben.node_id)
        for number in range(3):
            await ada.chat.send(str(number), to=ben.node_id)
        with pytest.raises(DfsError, match="too many direct messages"):
            await ada.chat.send("3", to=ben.node_id)

    evening(test)


def test_a_peer_that_floods_is_told_to_slow_down() -> None:
    async def test(club: Club) -> None:
        config = replace(QUICK, posts_burst=100, posts_per_second=10)
        ada, ben = await club.add(config=config), await club.add(config=config)
        posts = [post_of(ada.rpc.identity, club.network.network_id, number) for number in range(1, 200)]
        refused = 0
        for number in range(0, 150, 10):
            try:
                await ada.rpc.call(ben.node_id, Deliver(posts=tuple(posts[number : number + 10])))
            except RemoteError as error:
                assert error.code == "BUSY"
                refused += 1
        assert refused == 5
        assert len(ben.heard) == 100
        await asyncio.sleep(5)
        await ada.rpc.call(ben.node_id, Deliver(posts=tuple(posts[100:110])))
        assert len(ben.heard) == 110

    evening(test)


def test_nobody_speaks_for_another() -> None:
    async def test(club: Club) -> None:
        ada, ben, eve = [await club.add() for _ in range(3)]
        here = club.network.network_id
        bens = post_of(ben.rpc.identity, here)
        for forged in (
            replace(bens, text="I owe Eve a coffee"),
            replace(post_of(eve.rpc.identity, here), ed=ben.rpc.identity.public.ed, x=ben.rpc.identity.public.x),
            post_of(eve.rpc.identity, NetworkId(b"e" * 32)),
            post_of(ben.rpc.identity, here, recipient=ada.node_id),  # a direct message passed on by a third
            post_of(eve.rpc.identity, here, recipient=ben.node_id),  # a direct message for somebody else
            replace(bens, text="", signature=bytes(64)),
        ):
            with pytest.raises(RemoteError) as refusal:
                await eve.rpc.call(ada.node_id, Deliver(posts=(forged,)))
            assert refusal.value.code == "DENIED"
        assert ada.heard == []
        await eve.rpc.call(ada.node_id, Deliver(posts=(bens,)))
        assert [each.sender for each in ada.heard] == [ben.node_id], "a room message may be passed on"

    evening(test)


def test_a_peer_that_answers_a_comparison_with_forgeries_is_disconnected() -> None:
    async def test(club: Club) -> None:
        ada = await club.add()
        liar = club.network.rpc()
        club.network.introduce(ada.rpc, liar)

        async def lie(caller: Any, request: Compare, body: memoryview) -> Missing:
            return Missing(posts=(replace(post_of(liar.identity, club.network.network_id), text="changed"),), heads=())

        liar.serve(Compare, lie)
        await ada.chat.catch_up()
        assert ada.heard == []
        assert ada.rpc.connected() == []

    evening(test)


def test_a_stream_named_twice_or_out_of_order_is_refused_on_both_sides() -> None:
    """P-CHAT-8: looking into a long stream costs much more than naming it."""

    async def test(club: Club) -> None:
        ada = await club.add()
        await ada.chat.send("hello")
        heads, _ = ada.chat._history.room.heads(limit=1)
        liar = club.network.rpc()
        club.network.introduce(ada.rpc, liar)
        later = replace(heads[0], stream=heads[0].stream + 1)
        for hostile in ((heads[0], heads[0]), (later, heads[0])):
            with pytest.raises(RemoteError) as refusal:
                await liar.call(ada.node_id, Compare(heads=hostile))
            assert refusal.value.code == "DENIED"

        async def lie(caller: Any, request: Compare, body: memoryview) -> Missing:
            return Missing(posts=(), heads=(heads[0], heads[0]))

        liar.serve(Compare, lie)
        await ada.chat.catch_up()
        assert ada.rpc.connected() == []

    evening(test)


def test_a_history_without_end_is_taken_no_faster_than_messages() -> None:
    """P-CHAT-9: what comes by comparison counts, too; a newcomer gets a whole history at once."""

    async def test(club: Club) -> None:
        ada = await club.add(config=replace(QUICK, history_length_max=100, streams_max=28, posts_per_second=1))
        liar = club.network.rpc()
        club.network.introduce(ada.rpc, liar)
        numbers = count(1)

        async def invent(caller: Any, request: Compare, body: memoryview) -> Missing:
            posts = tuple(post_of(liar.identity, club.network.network_id, next(numbers)) for _ in range(32))
            return Missing(posts=posts, heads=())

        liar.serve(Compare, invent)
        await ada.chat.catch_up()
        assert len(ada.heard) == 128
        await ada.chat.catch_up()
        assert len(ada.heard) == 128

    evening(test)


def test_comparisons_have_a_rate() -> None:
    async def test(club: Club) -> None:
        ada = await club.add(config=replace(QUICK, posts_burst=20, posts_per_second=1))
        asker = club.network.rpc()
        club.network.introduce(ada.rpc, asker)
        asker.serve(Compare, lambda *_: asyncio.sleep(60))
        for _ in range(20):
            await asker.call(ada.node_id, Compare(heads=()))
        with pytest.raises(RemoteError) as refusal:
            await asker.call(ada.node_id, Compare(heads=()))
        assert refusal.value.code == "BUSY"

    evening(test)


def test_a_peer_that_never_takes_what_it_lacks_is_not_asked_for_ever() -> None:
    async def test(club: Club) -> None:
        ada = await club.add()
        for number in range(200):
            await ada.chat.send(str(number))
        asked = []
        miser = club.network.rpc()
        club.network.introduce(ada.rpc, miser)

        async def lack_everything(caller: Any, request: Compare, body: memoryview) -> Missing:
            asked.append(request)
            return Missing(posts=(), heads=(), until=request.after)

        miser.serve(Compare, lack_everything)
        await ada.chat.catch_up()
        assert len(asked) == 1

    evening(test)


def test_hostile_text_is_safe_to_print_and_whole_on_the_way() -> None:
    async def test(club: Club) -> None:
        texts = [text for text in HOSTILE if 0 < len(text.encode(errors="ignore")) <= 2000]
        texts = [text for text in texts if text.encode(errors="ignore").decode() == text]
        assert len(texts) > 50
        ada = await club.add("\x1b]0;owned\x07<b>ada\u202e")
        ben = await club.add(config=replace(QUICK, posts_burst=10_000))
        for text in texts:
            await ada.chat.send(text)
        await asyncio.sleep(30)
        assert len(ben.heard) == len(texts)
        for message in ben.heard:
            shown = message.text.replace("\n", "") + message.sender_name + str(message).replace("\n", "")
            assert shown.isprintable() or all(_harmless(character) for character in shown), shown

    def _harmless(character: str) -> bool:
        return character.isprintable() or character in "\ufe0e\ufe0f\u200d"

    evening(test)


def test_conversations_and_the_bytes_of_all_together_are_bounded() -> None:
    async def test(club: Club) -> None:
        config = replace(QUICK, conversations_max=2, history_bytes_max=40_000)
        ada = await club.add(config=config)
        strangers = [Identity.generate(fake_runtime(seed).entropy).node_id for seed in range(3)]
        for stranger in strangers[:2]:
            await ada.chat.send("hello", to=stranger)
        with pytest.raises(DfsError, match="2 direct conversations"):
            await ada.chat.send("hello", to=strangers[2])
        for number in range(40):
            await ada.chat.send(f"{number}" + "x" * 2000)
        kept = await ada.store.list_documents(POSTS_KIND)
        assert sum(len(value) for _, value in kept) < 40_000
        assert ada.texts()[-1].startswith("39")
        assert ada.texts(strangers[0]) == ["hello"]

    evening(test)


def test_a_full_message_of_posts_and_heads_fits_into_one_call() -> None:
    async def test(club: Club) -> None:
        ada, ben = await club.add(config=replace(QUICK, posts_burst=1e6)), await club.add()
        network = club.network.network_id
        identities = [Identity.generate(fake_runtime(1000 + seed).entropy) for seed in range(150)]
        for identity in identities:
            posts = [post_of(identity, network, sequence, "é" * 2000, sender_name="ü" * 60) for sequence in (1, 2, 4)]
            await ben.rpc.call(ada.node_id, Deliver(posts=tuple(posts)))
        await asyncio.sleep(8)
        newcomer = await club.add()
        for _ in range(10):
            await newcomer.chat.catch_up()
        assert len(newcomer.texts()) == 450

    evening(test)
