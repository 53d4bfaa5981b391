"""The shell around the endpoint: when it tells what has arrived."""

from __future__ import annotations

from dfs_sdk.transport.driver import QUEUED_MESSAGES_MAX
from dfs_sdk.transport.priority import Priority
from tests.fakes.air import Air, two
from tests.fakes.runtime import run_virtual


def test_message_is_told_in_the_turn_of_the_loop_in_which_it_arrives():
    async def main(clock):
        air = Air()
        left, right, _ = await two(clock, air)
        told: list[bytes] = []
        told_after_burst: list[int] = []
        right.on_message = lambda _connection, data: told.append(bytes(data))
        socket = air.sockets[right.local_address]
        take = socket.on_datagrams

        def counting(*burst: object) -> None:
            take(*burst)
            told_after_burst.append(len(told))

        socket.on_datagrams = counting
        sent = await left.connections[0].send([b"quick"], priority=Priority.INTERACTIVE)
        await sent.acked
        assert told == [b"quick"]
        assert told_after_burst[0] == 1
        await left.close()
        await right.close()

    run_virtual(main)


def test_first_of_many_messages_does_not_wait_for_the_last():
    async def main(clock):
        air = Air()
        left, right, _ = await two(clock, air)
        told: list[bytes] = []
        right.on_message = lambda _connection, data: told.append(bytes(data))
        socket, sent = air.sockets[left.local_address], []
        send = socket.send
        socket.send = lambda *burst: sent.append(len(burst[0])) or send(*burst)
        messages = [
            left.connections[0].send_now([bytes([n])], priority=Priority.INTERACTIVE)
            for n in range(QUEUED_MESSAGES_MAX - 1)
        ]
        assert sent == []
        messages.append(left.connections[0].send_now([b"last"], priority=Priority.INTERACTIVE))
        assert sum(sent) > QUEUED_MESSAGES_MAX
        for message in messages:
            await message.acked
        assert told == [*(bytes([n]) for n in range(QUEUED_MESSAGES_MAX - 1)), b"last"]
        await left.close()
        await right.close()

    run_virtual(main)
