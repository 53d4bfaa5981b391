import warnings
from dataclasses import replace

import pytest

from dfs_sdk.chat.news import ChatMessage
from dfs_sdk.files.catalog import File, FileStat
from dfs_sdk.files.link import Link, LinkKind
from dfs_sdk.files.transfers import Direction, Transfer
from dfs_sdk.ids import ChunkId, NodeId
from dfs_sdk.node.joining import JoinReport
from dfs_sdk.node.node import Node
from dfs_sdk.runtime.door import Shown
from dfs_sdk.views import cards
from tests.fakes.hostile import HOSTILE, SURROGATES, active_content, html_shape
from tests.fakes.rows import snapshot_saying
from tests.fakes.runtime import FakeClock

LINK = Link(kind=LinkKind.READ, network_tag=bytes(4), manifest_id=ChunkId(b"\xab" * 32), key=b"\xcd" * 32)
SECRET = str(LINK).removeprefix("dfs:")[-30:]


def values(words: str) -> dict[str, Shown]:
    """One of each kind of value that a cell may end with, every text in it the given one."""
    snapshot = snapshot_saying(words)
    message = ChatMessage(
        message_id="0" * 64,
        conversation=None,
        sender=NodeId(b"\x01" * 32),
        sender_name=words,
        text=words,
        link=str(LINK),
        sent_at_wall=1.0,
        received_at_wall=2.0,
        mine=False,
        delivered=0,
    )
    file = File(name=words, link=LINK, size=3 * 2**20, chunk_count=3, replicas=3, origin=words)
    return {
        "node": Node(words, store="memory", home="thread"),
        "snapshot": snapshot,
        "peer row": snapshot.peers[0],
        "file row": snapshot.files[0],
        "transfer row": snapshot.transfers[0],
        "file": file,
        "stat": FileStat(name=words, link=LINK, size=3 * 2**20, chunk_count=3, origin=words, copies_wanted=3),
        "link": LINK,
        "transfer": Transfer(transfer_id=1, direction=Direction.GET, name=words, bytes_total=2**20, clock=FakeClock()),
        "message": message,
        "own message": replace(message, mine=True, delivered=2, conversation=NodeId(b"\x02" * 32)),
        "report": JoinReport(through=words, network=words, peers=3, seconds=0.5),
    }


BENIGN = values("benign")


def displayed(value: object) -> dict[str, str]:
    formatters = pytest.importorskip("IPython.core.formatters", reason='pip install "dfs-sdk[notebook]"')
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a representation that fails is only warned of
        data, _metadata = formatters.DisplayFormatter().format(value)
    return data


@pytest.mark.parametrize("name", BENIGN)
def test_a_notebook_shows_a_card_and_a_terminal_readable_text(name: str):
    shown = displayed(BENIGN[name])
    assert "dfs-card" in shown["text/html"]
    assert shown["text/plain"] == cards.bundle(BENIGN[name])["text/plain"]
    assert "object at 0x" not in shown["text/plain"]


@pytest.mark.parametrize("name", BENIGN)
def test_neither_card_nor_text_nor_repr_gives_a_link_away(name: str):
    assert SECRET in str(LINK)
    for shown in (*cards.bundle(BENIGN[name]).values(), repr(BENIGN[name])):
        assert SECRET not in shown


def test_a_link_in_the_words_of_a_message_is_masked():
    said = replace(BENIGN["message"], text=f"take {LINK}")
    assert not any(SECRET in shown for shown in cards.bundle(said).values())


@pytest.mark.parametrize("hostile", [each for each in (*HOSTILE, *SURROGATES) if each])
def test_hostile_text_is_only_text_in_the_card_of_every_value(hostile: str):
    for name, value in values(hostile).items():
        shown = cards.bundle(value)
        card = shown["text/html"]
        assert active_content(card) == [], name
        assert html_shape(card) == html_shape(cards.bundle(BENIGN[name])["text/html"]), name
        for each in shown.values():
            assert not {"\x1b", "\r", "\x00", "\u202e"} & set(each), name
            each.encode()


def test_cards_say_what_matters():
    def said(name: str) -> str:
        return cards.bundle(BENIGN[name])["text/plain"]

    assert "3 MiB in 3 chunks" in said("file")
    assert "str(file.link)" in said("file")
    assert "0 of 3 copies" in said("stat")
    assert "running" in said("transfer")
    assert "benign to the room" in said("message")
    assert "with it: the link of a file" in said("message")
    assert "you, directly" in said("own message")
    assert "delivered to: 2 nodes" in said("own message")
    assert "others: 3 peers" in said("report")


def test_a_value_without_a_card_is_refused():
    class Stranger(Shown):
        pass

    with pytest.raises(TypeError, match="Stranger"):
        cards.bundle(Stranger())


def test_every_class_that_says_it_is_shown_has_a_card():
    assert {kind.__name__ for kind in Shown.__subclasses__() if kind.__module__.startswith("dfs_sdk.")} == {
        type(value).__name__ for value in BENIGN.values()
    } - {"FileStat"}
