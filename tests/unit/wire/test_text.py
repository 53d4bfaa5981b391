"""Text of a peer is made visible and bounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.wire.text import is_hidden, safe_text

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=200)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain.txt", "plain.txt"),
        ("Grüße, 数据 🦀", "Grüße, 数据 🦀"),
        ("\x1b[31mred", "␛[31mred"),
        ("a\nb\r", "a␊b␍"),
        ("\x00\x7f\x9b", "␀␡\\x9b"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
        ("a\u200bb\ufeff", "a\\u200bb\\ufeff"),
        ("\u2066x\u2069", "\\u2066x\\u2069"),
        ("lone \udc80", "lone \\udc80"),
        ("tag \U000e0041", "tag \\U000e0041"),
        ("filler \u3164", "filler \\u3164"),
        ("wide\u3000space\u00a0", "wide space "),
        ("line\u2028end", "line\\u2028end"),
        ("", ""),
    ],
)
def test_what_cannot_be_seen_becomes_visible(text: str, shown: str) -> None:
    assert safe_text(text, length_max=100) == shown


def test_newlines_stay_only_when_asked() -> None:
    assert safe_text("a\nb\r\n", length_max=10, keep_newlines=True) == "a\nb␍\n"


def test_long_text_ends_in_an_ellipsis() -> None:
    assert safe_text("x" * 11, length_max=10) == "x" * 9 + "…"
    assert safe_text("x" * 10, length_max=10) == "x" * 10


def test_a_pile_of_marks_is_cut() -> None:
    assert safe_text("a" + "\u0301" * 500 + "b", length_max=100) == "a" + "\u0301" * 4 + "b"


@given(ANY_TEXT, st.integers(1, 60), st.booleans())
def test_nothing_hidden_survives_and_the_length_holds(text: str, length_max: int, keep: bool) -> None:
    shown = safe_text(text, length_max=length_max, keep_newlines=keep)
    assert len(shown) <= length_max
    assert not any(is_hidden(c) and not (keep and c == "\n") for c in shown)
    shown.encode()


@given(ANY_TEXT)
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    once = safe_text(text, length_max=10_000)
    assert safe_text(once, length_max=10_000) == once


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=50))
def test_letters_of_every_script_stay(text: str) -> None:
    kept = "".join(c for c in text if not is_hidden(c))
    assert safe_text(kept, length_max=100) == kept


@given(st.text(st.characters(max_codepoint=0x7F)), st.integers(1, 40), st.booleans())
def test_plain_text_takes_the_short_way_to_the_same_result(text, length_max, keep_newlines):
    # A letter outside ASCII in front takes the long way; it is cut off again.
    long_way = safe_text("é" + text, length_max=length_max + 1, keep_newlines=keep_newlines)[1:]
    assert safe_text(text, length_max=length_max, keep_newlines=keep_newlines) == long_way
