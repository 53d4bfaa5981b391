import math
from dataclasses import replace

import pytest

from dfs_sdk.views.findings import findings
from tests.fakes.hostile import HOSTILE
from tests.fakes.rows import MIB, empty_snapshot, full_snapshot, peer_row, snapshot_saying

ME = peer_row(0, state="self", host="aa")


def said(*peers: object, **changes: object) -> dict[str, str]:
    rows = findings(empty_snapshot(peers=(ME, *peers), **changes))
    return {each.text: each.level for each in rows}


def test_node_that_is_alone_is_told_what_to_do():
    assert said() == {
        "Nobody else is in this network yet: join one, or hand on an invite.": "plain",
        "The network is open: whoever has the address of a member can join.": "plain",
    }


def test_company_is_counted_by_who_answers():
    assert said(peer_row(1), peer_row(2))["All 2 peers answer."] == "good"
    assert said(peer_row(1))["The one peer answers."] == "good"
    found = said(peer_row(1), peer_row(2, state="away"), peer_row(3, state="busy"))
    assert found["2 of 3 peers answer; the others are silent or have left."] == "warning"


def test_node_that_is_cut_off_looks_at_itself_first():
    first = findings(empty_snapshot(peers=(ME, peer_row(1, state="away")), partitioned=True))[0]
    assert (first.level, "its own network" in first.text) == ("warning", True)


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ((0.0004, 0.002, 0.9), "within milliseconds"),
        ((0.02, 0.03, 0.04), "same region"),
        ((0.001, 0.2, 0.3), "far away"),
    ],
)
def test_distance_is_that_of_the_middle_peer(times: tuple[float, ...], words: str):
    found = said(*(peer_row(number, rtt=rtt) for number, rtt in enumerate(times, 1)))
    assert any(words in text for text in found)


def test_unknown_times_say_nothing():
    assert not any("answer as" in text or "milliseconds" in text for text in said(peer_row(1, rtt=math.nan)))


def test_one_machine_is_warned_of():
    assert said(peer_row(1, host="aa"))["All of them run on this one machine: if it breaks, every copy is gone."] == (
        "warning"
    )
    assert said(peer_row(1, host="bb"))["The nodes that answer run on 2 machines."] == "good"
    assert "The nodes that answer run on 2 machines." not in said(peer_row(1, host="bb", state="gone"))


@pytest.mark.parametrize(
    ("addresses", "bound", "words"),
    [
        (("127.0.0.1:4000",), "127.0.0.1:4000", ["only programs on this machine"]),
        (("192.168.1.20:4000", "127.0.0.1:4000"), "0.0.0.0:4000", ["private addresses such as 192.168.1.20:4000"]),
        (
            ("8.8.8.8:5123", "192.168.1.20:4000"),
            "0.0.0.0:4000",
            ["public address, 8.8.8.8:5123", "translates its port"],
        ),
        (("[::1]:4000",), "[::]:4000", ["only programs on this machine"]),
        (("[fe80::1%eth0]:4000",), "[::]:4000", ["private addresses"]),
        ((), "", []),
        (("nonsense", "1.2.3.4:port"), "127.0.0.1:1", []),
    ],
)
def test_who_can_reach_it_is_said(addresses: tuple[str, ...], bound: str, words: list[str]):
    found = list(said(addresses=addresses, address=bound))
    reach = [text for text in found if "It " in text or "router" in text]
    assert len(reach) == len(words)
    assert all(part in text for part, text in zip(words, reach, strict=True))


def test_private_network_held_loop_and_full_members_are_said():
    full = peer_row(1, used_bytes=95 * MIB, capacity_bytes=100 * MIB)
    found = said(full, private=True, lag=3.2)
    assert found["The network is private: who joins needs the passphrase."] == "plain"
    assert found["1 member of 2 is nearly full."] == "warning"
    assert any("blocked for 3 s" in text for text in found)


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_peers_say_stays_visible_text(text: str):
    for each in findings(replace(snapshot_saying(text), addresses=(f"127.0.0.1:1{text}", "127.0.0.1:1"))):
        assert not {"\x1b", "\x00", "\x07", "\r", "\u202e", "\u200b"} & set(each.text)


def test_findings_do_not_change_while_nothing_does():
    snapshot = full_snapshot()
    assert findings(snapshot) == findings(replace(snapshot, at_wall=snapshot.at_wall + 60))
