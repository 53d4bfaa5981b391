"""B1, B3, P-FILE-9: names of others stay inside the download folder on every system."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfs_sdk.files.names import NAME_BYTES_MAX, UNNAMED, display_name, is_active, safe_file_name
from dfs_sdk.wire.text import is_hidden
from tests.fakes.hostile import HOSTILE, SURROGATES

DEVICES = ["CON", "PRN", "AUX", "NUL", "COM1", "COM9", "LPT1", "COM¹", "CONIN$", "CLOCK$"]
_LETTERS = ["..", ".", "/", "\\", "C:", "\\\\srv\\share", "\x00", "\n", "CON", "nul.txt", " ", "x", "~", "-rf", ".py"]
_SHELL = [":ads", "$HOME", "`id`", "%00", "|"]
# Accents apart, a reversal, a zero width, full-width percent, dot and slash, a division slash, half a pair, a crab.
_CODES = [0xE9, 0x301, 0x202E, 0x200B, 0xFF05, 0xFF0E, 0xFF0F, 0x2215, 0xD800, 0x1F980]
PARTS = st.sampled_from([*_LETTERS, *_SHELL, *map(chr, _CODES)])
ANY_NAME = st.one_of(
    st.text(st.characters(exclude_categories=()), max_size=300),
    st.lists(PARTS, max_size=12).map("".join),
    st.sampled_from([*HOSTILE, *SURROGATES]),
)


def assert_safe(name: str, folder: Path) -> None:
    safe = safe_file_name(name)
    path = Path(os.path.realpath(folder / safe))
    assert path.parent == Path(os.path.realpath(folder))
    assert 0 < len(safe.encode()) <= NAME_BYTES_MAX
    assert not set(safe) & set("<>:\"/\\|?*%$`!'")
    assert not any(is_hidden(character) for character in safe)
    assert safe[0] not in ".-~ "
    assert safe[-1] not in ". "
    assert safe.partition(".")[0].rstrip().upper() not in DEVICES
    assert safe_file_name(safe) == safe


@settings(max_examples=500)
@given(ANY_NAME)
def test_every_name_stays_inside_its_folder(name: str):
    assert_safe(name, Path("/tmp/somewhere"))


def test_the_hostile_corpus_stays_inside_its_folder(tmp_path: Path):
    for name in [*HOSTILE, *SURROGATES]:
        assert_safe(name, tmp_path)
        (tmp_path / safe_file_name(name)).write_bytes(b"")


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("report.pdf", "report.pdf"),
        ("Größe 数据.csv", "Größe 数据.csv"),
        ("../../x", "x"),
        ("/etc/passwd", "passwd"),
        ("C:\\Windows\\x.dll", "x.dll"),
        ("\\\\srv\\share\\f", "f"),
        ("a/../../b", "b"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("x.", "x"),
        ("x.\u1680", "x"),  # a space that NFKC leaves alone
        ("x:ads", "x_ads"),
        (".bashrc", "_bashrc"),
        ("-rf", "_rf"),
        ("~", UNNAMED),
        ("", UNNAMED),
        ("..", UNNAMED),
        ("\n", UNNAMED),
        ("a\nb", "a_b"),
        ("gpj.\u202eexe", "gpj._exe"),
        ("e\u0301", "é"),
        ("\uff0e\uff0e\uff0fx", "x"),
    ],
)
def test_known_names(name: str, safe: str):
    assert safe_file_name(name) == safe


def test_a_long_name_keeps_its_suffix():
    safe = safe_file_name("ü" * 300 + ".parquet")
    assert safe.endswith("ü.parquet")
    assert len(safe.encode()) <= NAME_BYTES_MAX


def test_twins_in_another_normal_form_are_one_name():
    assert safe_file_name("th\u00e9") == safe_file_name("the\u0301")


@pytest.mark.parametrize("name", ["numpy.py", "X.PTH", "a.b.so", "n.ipynb", "page.html", "x.svg", "run.sh"])
def test_files_that_act_are_told(name: str):
    assert is_active(name)
    assert not is_active(name + ".txt")


def test_a_shown_name_hides_nothing():
    assert display_name("a\x1b[2J\u202eb") == "a␛[2J\\u202eb"
    assert display_name("") == UNNAMED
    assert len(display_name("x" * 1000)) == 120
