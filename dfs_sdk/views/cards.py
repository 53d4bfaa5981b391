"""What a notebook shows for a value that a node's methods return: a card, and its twin in plain text.

Values reach this module through `runtime.door.Shown`. Nothing here starts I/O, and no card or text gives away a link.
"""

from __future__ import annotations

from dfs_sdk.chat.news import ChatMessage
from dfs_sdk.files.catalog import File, FileStat
from dfs_sdk.files.link import Link
from dfs_sdk.files.transfers import Transfer
from dfs_sdk.node.joining import JoinReport
from dfs_sdk.node.node import Node
from dfs_sdk.node.observing import file_row, transfer_row
from dfs_sdk.node.snapshot import FileRow, NodeSnapshot, PeerRow, TransferRow
from dfs_sdk.views import html, text, words

Facts = list[tuple[str, str]]

LINK_NOTE = "str(file.link) gives the link: whoever has it can read the file."
NAME_LENGTH_MAX = text.NAME_LENGTH_MAX


def bundle(thing: object) -> dict[str, str]:
    """Show a value as `text/plain` and `text/html`.

    Raises:
        TypeError: Nothing is known about values of its class.
    """
    match thing:
        case Node():
            return bundle(thing.snapshot())
        case NodeSnapshot():
            return _both(text.node_text(thing), html.node_card(thing))
        case PeerRow():
            return _both(text.peer_text(thing), html.peer_card(thing))
        case FileRow():
            return _both(text.file_text(thing), html.file_card(thing))
        case TransferRow():
            return _both(text.transfer_text(thing), html.transfer_card(thing))
        case FileStat():
            return bundle(file_row(thing))
        case Transfer():
            return bundle(transfer_row(thing))
        case Link():
            return _both(text.link_text(thing), html.link_card(thing))
        case File():
            return _facts(f"File {words.visible(thing.name, length_max=NAME_LENGTH_MAX)}", _of_file(thing), LINK_NOTE)
        case ChatMessage():
            return _facts(_said_by(thing), _of_message(thing))
        case JoinReport():
            return _facts(f"Joined network {thing.network}", _of_report(thing))
    raise TypeError(f"no card is drawn for a {type(thing).__name__}")


def _both(plain: str, card: str) -> dict[str, str]:
    return {"text/plain": plain, "text/html": card}


def _facts(title: str, facts: Facts, note: str = "") -> dict[str, str]:
    return _both(text.facts_text(title, facts, note), html.facts_card(title, facts, note))


def _of_file(file: File) -> Facts:
    return [
        ("size", f"{words.size(file.size)} in {words.count(file.chunk_count, 'chunk')}"),
        ("copies wanted", str(file.replicas) if file.replicas else "not known yet"),
        ("pinned here", "yes" if file.pinned else "no"),
        ("origin", file.origin),
        ("id", words.short_id(file.file_id)),
    ]


def _said_by(message: ChatMessage) -> str:
    sender = "you" if message.mine else words.visible(message.sender_name, length_max=NAME_LENGTH_MAX)
    return f"{sender} to the room" if message.conversation is None else f"{sender}, directly"


def _of_message(message: ChatMessage) -> Facts:
    facts = [("said", message.text)]
    if message.link:
        facts.append(("with it", "the link of a file"))
    if message.mine:
        facts.append(("delivered to", words.count(message.delivered, "node")))
    return facts


def _of_report(report: JoinReport) -> Facts:
    return [
        ("through", report.through),
        ("others", words.count(report.peers, "peer")),
        ("took", words.duration(report.seconds)),
    ]
