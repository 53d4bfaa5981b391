"""P-CHAT-3 to P-CHAT-9: everybody sees each message once and in order, and nobody can speak for another."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from dfs_sdk.chat.config import ChatConfig
from dfs_sdk.chat.messages import Compare, Deliver, Missing, Post
from dfs_sdk.chat.news import ChatDelivered, ChatMessage, ChatReceived
from dfs_sdk.chat.records import POSTS_KIND
from dfs_sdk.chat.service import Chat
from dfs_sdk.crypto.identity import Identity
from dfs_sdk.errors import ConfigError, DeadlineError, DfsError, MessageTooLargeError, RemoteError, StoreReadOnlyError
from dfs_sdk.events import EventBus
from dfs_sdk.ids import NetworkId, NodeId
from dfs_sdk.runtime.system import SeededRng
from dfs_sdk.store.memory import MemoryStore
from tests.fakes.hostile import HOSTILE
from tests.fakes.network import FakeNetwork
from tests.fakes.runtime import fake_runtime, run_virtual

QUICK = ChatConfig(sync_interval=2.0, gap_timeout=5.0)


class FakeView:
    """Who can be reached, straight from the network."""

    def __init__(self, network: FakeNetwork, me: NodeId) -> None:
        self._network = network
        self._me = me

    def reachable(self) -> list[NodeId]:
        others = sorted(node_id for node_id in self._network.scopes if node_id != self._me)
        return [node_id for node_id in others if not self._network.is_cut(self._me, node_id)]

    def is_reachable(self, node_id: NodeId) -> bool:
        return node_id in self.reachable()


@dataclass
class FakeMembers:
    view: Any


class FaultyRpc:
    """Calls that get lost on the way there, on the way back, or arrive twice."""

    def __init__(self, rpc: Any, rng: SeededRng, loss: float, twice: float) -> None:
        self._rpc = rpc
        self._rng = rng
        self._loss = loss
        self._twice = twice

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rpc, name)

    async def call(self, peer: NodeId, request: Any, **options: Any) -> Any:
        await asyncio.sleep(self._rng.uniform(0, 0.2))
        if self._rng.random() < self._loss:
            raise DeadlineError("lost on the way there")
        answer = await self._rpc.call(peer, request, **options)
        if self._rng.random() < self._twice:
            answer = await self._rpc.call(peer, request, **options)
        if self._rng.random() < self._loss:
            raise DeadlineError("lost on the way back")
        return answer


@dataclass
class Talker:
    """One node with a chat."""

    rpc: Any
    chat: Chat
    store: MemoryStore
    heard: list[ChatMessage] = field(default_factory=list)
    delivered: list[ChatMessage] = field(default_factory=list)

    @property
    def node_id(self) -> NodeId:
        return self.rpc.node_id

    def texts(self, conversation: NodeId | None = None) -> list[str]:
        return [message.text for message in self.chat.history(conversation, limit=10_000)]


class Club:
    """Nodes that chat over one in-memory network on virtual time."""

    def __init__(self, clock: Any, *, seed: int = 1, loss: float = 0.0, twice: float = 0.0) -> None:
        self.network = FakeNetwork(seed=seed, latency=0.005, clock=clock)
        self._rng = SeededRng(seed)
        self._loss = loss
        self._twice = twice
        self.talkers: list[Talker] = []

    async def add(
        self, name: str = "", *, like: Talker | None = None, config: ChatConfig = QUICK, network: bytes | None = None
    ) -> Talker:
        """Add a node; `like` starts a former one again over its own store, as after a crash."""
        if like is not None:
            await self.network.scopes[like.node_id].close()
        rpc: Any = self.network.rpc(like.rpc.identity if like else None)
        runtime = self.network.runtimes[rpc.node_id]
        store = like.store if like else MemoryStore(runtime)
        await store.open()
        events = EventBus()
        if self._loss or self._twice:
            rpc = FaultyRpc(rpc, self._rng.child(rpc.node_id.short), self._loss, self._twice)
        chat = Chat(
            rpc=rpc,
            peers=FakeMembers(FakeView(self.network, rpc.node_id)),
            store=store,
            events=events,
            scope=self.network.scopes[rpc.node_id],
            runtime=runtime,
            network_id=NetworkId(network) if network else self.network.network_id,
            name=name or f"node {len(self.talkers)}",
            config=config,
        )
        talker = Talker(rpc, chat, store)
        events.subscribe(ChatReceived, lambda event: talker.heard.append(event.message))
        events.subscribe(ChatDelivered, lambda event: talker.delivered.append(event.message))
        self.talkers = [*(each for each in self.talkers if each.node_id != rpc.node_id), talker]
        self.network.introduce(*(each.rpc for each in self.talkers))
        await chat.start()
        return talker


def evening(test: Callable[[Club], Awaitable[None]], **faults: Any) -> Club:
    """Run a test on virtual time; no task may have failed unless the test empties `errors`."""
    clubs = []

    async def main(clock: Any) -> None:
        club = Club(clock, **faults)
        clubs.append(club)
        async with club.network:
            await test(club)
        assert club.network.errors == []

    run_virtual(main)
    return clubs[0]


def post_of(identity: Identity, network: NetworkId, sequence: int = 1, text: str = "hello", **fields: Any) -> Post:
    post = Post(
        ed=identity.public.ed,
        x=identity.public.x,
        sender_name="stranger",
        recipient=None,
        stream=1,
        sequence=sequence,
        stamp=1,
        sent_at_wall=1.7e9,
        text=text,
    )
    return replace(post, **fields).signed(identity, network)


class Chronicle:
    """Who said what, and what each node heard over all its lives."""

    def __init__(self, club: Club, rng: SeededRng) -> None:
        self.club = club
        self.rng = rng
        self.room: list[str] = []
        self.direct: dict[tuple[NodeId, NodeId], list[str]] = {}
        self.heard: dict[NodeId, list[ChatMessage]] = {}

    def up(self) -> list[Talker]:
        return [each for each in self.club.talkers if not self.club.network.is_dead(each.node_id)]

    async def say(self, number: int) -> None:
        talker = self.rng.choice(self.up())
        text = f"{talker.node_id.short} {number}"
        if self.rng.random() < 0.5:
            await talker.chat.send(text)
            self.room.append(text)
        else:
            to = self.rng.choice([each for each in self.club.talkers if each is not talker])
            await talker.chat.send(text, to=to.node_id)
            self.direct.setdefault((talker.node_id, to.node_id), []).append(text)

    async def crash(self) -> None:
        if len(self.up()) > 1:
            victim = self.rng.choice(self.up())
            self.club.network.kill(victim.node_id)
            await self.club.network.scopes[victim.node_id].close()

    async def restart(self) -> None:
        for talker in [each for each in self.club.talkers if self.club.network.is_dead(each.node_id)]:
            self.heard.setdefault(talker.node_id, []).extend(talker.heard)
            await self.club.add(like=talker)

    def split(self) -> None:
        ids = [each.node_id for each in self.club.talkers]
        self.rng.shuffle(ids)
        self.club.network.partition(ids[:2], ids[2:], silent=self.rng.random() < 0.5)


@pytest.mark.parametrize("seed", range(6))
def test_crashes_splits_and_losses_cost_no_message_and_double_none(seed: int) -> None:
    async def test(club: Club) -> None:
        told = Chronicle(club, SeededRng(seed))
        for _ in range(4):
            await club.add()
        for number in range(60):
            await told.say(number)
            draw = told.rng.random()
            if draw < 0.1:
                await told.crash()
            elif draw < 0.2:
                await told.restart()
            elif draw < 0.3:
                told.split()
            elif draw < 0.4:
                club.network.heal()
            await asyncio.sleep(told.rng.uniform(0, 3))
        club.network.heal()
        await told.restart()
        await asyncio.sleep(60)
        assert sorted(club.talkers[0].texts()) == sorted(told.room)
        assert len({tuple(each.texts()) for each in club.talkers}) == 1
        for (sender, recipient), texts in told.direct.items():
            (other,) = [each for each in club.talkers if each.node_id == recipient]
            assert [each.text for each in other.chat.history(sender) if each.sender == sender] == texts
        for talker in club.talkers:
            ids = [each.message_id for each in (*told.heard.get(talker.node_id, []), *talker.heard)]
            assert len(ids) == len(set(ids)), "no message is news twice, in all lives together"

    evening(test, seed=seed, loss=0.3, twice=0.3)


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


@pytest.mark.parametrize("seed", range(4))
def test_lost_and_doubled_calls_cost_neither_a_message_nor_its_place(seed: int) -> None:
    async def test(club: Club) -> None:
        talkers = [await club.add() for _ in range(5)]
        for number in range(12):
            for talker in talkers:
                await talker.chat.send(f"{talker.node_id.short} {number}")
            await asyncio.sleep(0.3)
        await asyncio.sleep(60)
        expected = [f"{each.node_id.short} {number}" for each in talkers for number in range(12)]
        histories = [each.texts() for each in talkers]
        assert sorted(histories[0]) == sorted(expected)
        assert all(history == histories[0] for history in histories)
        for talker in talkers:
            assert sorted(each.text for each in talker.heard) == sorted(expected), "heard exactly once"
            for sender in talkers:
                said = [each.text for each in talker.heard if each.sender == sender.node_id]
                assert said == [f"{sender.node_id.short} {number}" for number in range(12)], "in order"

    evening(test, seed=seed, loss=0.3, twice=0.3)


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


def test_a_split_network_agrees_after_healing() -> None:
    async def test(club: Club) -> None:
        talkers = [await club.add() for _ in range(4)]
        left, right = [each.node_id for each in talkers[:2]], [each.node_id for each in talkers[2:]]
        club.network.partition(left, right)
        await talkers[0].chat.send("left")
        await asyncio.sleep(1)
        await talkers[3].chat.send("right")
        await asyncio.sleep(5)
        assert talkers[1].texts() == ["left"]
        club.network.heal()
        await asyncio.sleep(20)
        assert all(each.texts() == ["left", "right"] for each in talkers)

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
