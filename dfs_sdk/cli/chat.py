"""Chat in the terminal: one message, or a conversation until Ctrl-D."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from rich.text import Text

from dfs_sdk.chat.news import ChatDelivered, ChatMessage, ChatReceived
from dfs_sdk.cli import show
from dfs_sdk.cli.exits import Exit, words_for
from dfs_sdk.cli.lines import stdin_lines
from dfs_sdk.cli.session import Options, open_node
from dfs_sdk.errors import DfsError
from dfs_sdk.node.node import Node
from dfs_sdk.views import words

DELIVERY_TIMEOUT = 5.0
HISTORY_LENGTH = 20


async def converse(options: Options, text: str | None, to: str | None) -> int:
    """Send one message, or talk line by line; the exit code says whether a message reached anybody."""
    async with open_node(options) as node:
        if text is not None:
            return await _say(node, options, text, to)
        with node.subscribe(ChatReceived, lambda event: _print(event.message, options)):
            for message in node.chat.history(to, limit=HISTORY_LENGTH):
                _print(message, options)
            await _talk(node, to)
    return Exit.OK


async def _say(node: Node, options: Options, text: str, to: str | None) -> int:
    listeners = sum(row.state not in ("self", "gone", "left", "away") for row in node.snapshot().peers)
    awaited = listeners if to is None else 1
    reached: dict[str, int] = {}
    enough = asyncio.Event()
    sent_id = ""

    def count(event: ChatDelivered) -> None:
        reached[event.message.message_id] = event.message.delivered
        if reached.get(sent_id, 0) >= awaited:
            enough.set()

    with node.subscribe(ChatDelivered, count):
        sent_id = (await node.chat.send(text, to=to)).message_id
        with suppress(TimeoutError):
            async with asyncio.timeout(DELIVERY_TIMEOUT if awaited else 0):
                await enough.wait()
    delivered = reached.get(sent_id, 0)
    if options.json:
        show.as_json({"message_id": sent_id, "delivered": delivered})
    elif delivered:
        show.out.print(Text(f"delivered to {words.count(delivered, 'node')}"))
    else:
        show.err.print(Text(_undelivered(options)), soft_wrap=True)
    return Exit.OK if delivered else Exit.UNREACHABLE


def _undelivered(options: Options) -> str:
    if options.store == "memory":
        return "nobody has confirmed it, and this node keeps nothing: it is lost"
    return "kept here: nobody has confirmed it yet, it is delivered when this node meets its peers"


async def _talk(node: Node, to: str | None) -> None:
    async for line in stdin_lines():
        if not line.strip():
            continue
        try:
            await node.chat.send(line, to=to)
        except DfsError as error:
            show.err.print(Text.assemble(("not sent: ", "bold red"), words_for(error)), soft_wrap=True)


def _print(message: ChatMessage, options: Options) -> None:
    if options.json:
        show.as_json(message_as_dict(message))
        return
    mark = "(to you alone) " if message.conversation is not None and not message.mine else ""
    show.out.print(Text.assemble((f"{message.sender_name}: ", "bold"), mark, message.text), soft_wrap=True)


def message_as_dict(message: ChatMessage) -> dict[str, object]:
    """The public fields of a message, ids as hexadecimal text."""
    return {
        "message_id": message.message_id,
        "conversation": message.conversation.hex() if message.conversation else "network",
        "sender": message.sender.hex(),
        "sender_name": message.sender_name,
        "text": message.text,
        "link": message.link,
        "sent_at": message.sent_at_wall,
        "mine": message.mine,
    }
