import ast
from pathlib import Path

import pytest

import dfs_sdk
from dfs_sdk.views import html, text
from tests.fakes.hostile import HOSTILE, SURROGATES, active_content, html_shape
from tests.fakes.rows import empty_snapshot, file_row, full_snapshot, message_row, peer_id, peer_row, snapshot_saying


class FakeLink:
    def __init__(self, shown: str) -> None:
        self.shown = shown

    def __repr__(self) -> str:
        return f"Link({self.shown})"


def cards(snapshot) -> dict[str, str]:
    return {
        "node": html.node_card(snapshot),
        "file": html.file_card(snapshot.files[0], snapshot.chunks),
        "link": html.link_card(FakeLink(snapshot.name)),
        "peer": html.peer_card(snapshot.peers[0]),
        "transfer": html.transfer_card(snapshot.transfers[0]),
        "swarm": html.swarm_card([snapshot, snapshot]),
        "facts": html.facts_card(snapshot.name, [("health", snapshot.health)], snapshot.name),
    }


def texts(snapshot) -> dict[str, str]:
    return {
        "node": text.node_text(snapshot),
        "file": text.file_text(snapshot.files[0]),
        "link": text.link_text(FakeLink(snapshot.name)),
        "peer": text.peer_text(snapshot.peers[0]),
        "transfer": text.transfer_text(snapshot.transfers[0]),
        "swarm": text.swarm_text([snapshot, snapshot]),
        "facts": text.facts_text(snapshot.name, [("health", snapshot.health)], snapshot.name),
    }


BENIGN = cards(snapshot_saying("benign"))


@pytest.mark.parametrize("hostile", [each for each in (*HOSTILE, *SURROGATES) if each])
def test_hostile_text_is_only_text_in_every_card(hostile: str):
    for name, card in cards(snapshot_saying(hostile)).items():
        assert active_content(card) == [], name
        assert html_shape(card) == html_shape(BENIGN[name]), name
        assert not {"\x1b", "\r", "\x00", "\u202e"} & set(card)
        card.encode()


@pytest.mark.parametrize("hostile", [*HOSTILE, *SURROGATES])
def test_plain_text_twins_have_no_tricks(hostile: str):
    for shown in texts(snapshot_saying(hostile)).values():
        assert not {"\x1b", "\r", "\x07", "\x00", "\u202e"} & set(shown)
        shown.encode()


def test_check_for_active_content_can_fail():
    assert active_content("<p onclick=x>") == ["<p onclick>"]
    assert active_content("<script></script>") == ["<script>"]
    assert active_content("<!-- x -->")


def test_cards_are_not_typeset():
    for card in BENIGN.values():
        assert "tex2jax_ignore" in card
        assert "mathjax_ignore" in card


def test_cards_say_what_matters():
    card = html.node_card(full_snapshot())
    for part in (
        "in network",
        "every file survives any 2 of them leaving",
        "12 MiB of 100 MiB",
        "data.bin",
        "node-2 left",
    ):
        assert part in card
    assert "under target" in text.file_text(full_snapshot().files[1])
    assert "none yet" in html.node_card(empty_snapshot(address="", network=""))


def test_long_lists_are_cut_and_say_so():
    crowd = empty_snapshot(peers=tuple(peer_row(n % 50) for n in range(250)))
    assert "and 150 more" in html.node_card(crowd)
    assert "and 150 more" in html.swarm_card([crowd] * 250)
    assert "and 230 more" in text.swarm_text([crowd] * 250)


@pytest.mark.parametrize("secret", ["dfs:SECRETSECRETSECRET", "dfs-join:SECRETSECRETSECRET"])
def test_no_card_gives_a_link_away(secret: str):
    snapshot = snapshot_saying("x")
    shown = [
        html.link_card(FakeLink(secret)),
        text.link_text(FakeLink(secret)),
        html.facts_card(secret, [("with", secret)], secret),
        text.facts_text(secret, [("with", secret)], secret),
        html.transfer_card(snapshot.transfers[0].__class__(**{**fields(snapshot.transfers[0]), "error": secret})),
    ]
    assert all("SECRETSECRET" not in each for each in shown)


def fields(row) -> dict[str, object]:
    return {name: getattr(row, name) for name in row.__slots__}


def test_pinned_file_says_so():
    assert text.file_text(file_row(pinned=True)).endswith(", pinned")


def test_no_f_string_of_the_package_makes_a_tag():
    offenders = []
    for path in Path(dfs_sdk.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                constants = [str(part.value) for part in node.values if isinstance(part, ast.Constant)]
                if any("</" in each or "/>" in each or "<div" in each or "<span" in each for each in constants):
                    offenders.append(f"{path.name}:{node.lineno}")
    assert offenders == []


def test_card_keeps_no_direct_conversation():
    said = (message_row("to all of you"), message_row("between us", room="node-1", room_id=peer_id(1)))
    card = html.node_card(full_snapshot(messages=said), unfold="messages")
    assert "to all of you" in card
    assert "between us" not in card
