"""Chat in bad weather: crashes, splits and losses cost no message and double none."""

import asyncio

import pytest

from dfs_sdk.chat.news import ChatMessage
from dfs_sdk.ids import NodeId
from dfs_sdk.runtime.system import SeededRng
from tests.fakes.club import Club, Talker, evening


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
