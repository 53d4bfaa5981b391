import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.views import words
from dfs_sdk.views.frames import PEER_STATES
from dfs_sdk.wire.text import COMBINING_RUN_MAX
from tests.fakes.hostile import HOSTILE, SURROGATES
from tests.fakes.rows import peer_row

TRICKS = set("\x00\x07\x08\x1b\r\x7f\x85\x9b\u200b\u200e\u202e\u2028\u2066\ufeff\u00ad\U000e0001")


@pytest.mark.parametrize("text", [*HOSTILE, *SURROGATES])
def test_hostile_text_becomes_visible(text: str):
    shown = words.visible(text)
    assert not TRICKS & set(shown)
    assert "\n" not in shown
    shown.encode()


@given(st.text(alphabet=st.characters(categories=None)), st.integers(1, 50), st.booleans())
def test_visible_is_bounded_and_idempotent(text: str, length_max: int, lines: bool):
    shown = words.visible(text, lines=lines, length_max=length_max)
    assert len(shown) <= length_max
    assert words.visible(shown, lines=lines, length_max=length_max) == shown


def test_ordinary_text_is_left_alone():
    text = "plain é 漢字 עברית عربى \U0001f468"
    assert words.visible(text) == text


def test_lines_are_kept_only_where_asked():
    assert words.visible("a\n\tb\r", lines=True) == "a\n␉b␍"
    assert words.visible("a\n\tb") == "a␊␉b"


def test_piles_of_marks_are_cut_down():
    assert len(words.visible("Z" + "\u0300\u0301" * 40)) == 1 + COMBINING_RUN_MAX


@pytest.mark.parametrize("prefix", ["dfs:", "dfs-join:", "DFS:"])
def test_links_and_invites_are_masked(prefix: str):
    shown = words.masked(f"try {prefix}AbCdEfGhIjKlMnOp_-0123 now")
    assert shown == f"try {prefix}AbCd… now"
    assert words.masked(shown) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (-1, "?"),
        (0, "0 B"),
        (1_023, "1023 B"),
        (1_024, "1 KiB"),
        (1_536, "1.5 KiB"),
        (12 * 2**20, "12 MiB"),
        (2**20 - 1, "1 MiB"),
        (150_000, "146 KiB"),
        (2**64, "16 EiB"),
    ],
)
def test_sizes_read_well(count: int, shown: str):
    assert words.size(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (0.0004, "1 ms"),
        (0.25, "250 ms"),
        (4.2, "4 s"),
        (59.7, "1 min"),
        (125, "2 min 5 s"),
        (3_600, "1 h"),
        (12_000, "3 h 20 min"),
        (187_200, "2 d 4 h"),
        (math.nan, "?"),
        (math.inf, "?"),
        (-1, "?"),
    ],
)
def test_durations_read_well(seconds: float, shown: str):
    assert words.duration(seconds) == shown


@pytest.mark.parametrize(
    ("at", "shown"), [(0, "never"), (math.nan, "never"), (995, "just now"), (940, "1 min ago"), (2_000, "just now")]
)
def test_instants_read_well(at: float, shown: str):
    assert words.ago(at, 1_000) == shown


@pytest.mark.parametrize(("count", "unit"), [(0, "B"), (1, "B"), (1_500, "KiB"), (2**20, "MiB"), (2.0**80, "EiB")])
def test_unit_fits_the_number(count: float, unit: str):
    assert words.unit_of(count)[1] == unit


def test_own_state_is_this_node():
    assert (words.state("self"), words.state("away")) == ("this node", "away")


def test_counts_agree_with_their_nouns():
    assert words.count(1, "copy", "copies") == "1 copy"
    assert words.count(2, "copy", "copies") == "2 copies"
    assert words.count(1_500, "peer") == "1,500 peers"
    assert words.share(1, 0) == "-"
    assert words.share(1, 4) == "25 %"


def test_presence_counts_who_is_here_and_how_the_others_are():
    assert words.presence([peer_row(0, state="self")]) == "No peers yet"
    assert words.presence([peer_row(0, state="self"), peer_row(1)]) == "1 peer: 1 here"
    rows = [peer_row(number, state=state) for number, state in enumerate(("alive", "alive", "busy", "away"))]
    assert words.presence(rows) == "4 peers: 2 here, 1 away, 1 busy"


def test_every_state_of_a_member_has_a_meaning():
    assert all(words.state_meaning(state) for state in PEER_STATES)
    assert words.state_meaning("no such state") == ""
