"""The drill works, a part of it runs here, and no bug of it has drifted from the code."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dfs_sdk.sim.books import Book
from tests.drill.bugs import BUGS, find_bug
from tests.drill.drilling import DrillError, environment, run_drill
from tests.drill.planting import ROOT, Bug, DriftError, Edit, as_text, check, edited, edits_from
from tests.drill.seeds import hunt

QUICK = (
    "put returns below the quorum",
    "fetched chunk not held against its id",
    "replayed packet accepted",
    "record with a lower sequence accepted",
    "name not escaped in a card",
)
LINK = "dfs_sdk/files/link.py"
MASKS = "tests/unit/files/test_link.py::test_repr_masks_the_key"


def bug(old: str, new: str, *, path: str = LINK) -> Bug:
    return Bug(name="made up", edits=(Edit(path=path, old=old, new=new),), tests=(MASKS,))


def test_there_are_enough_bugs_and_each_has_its_name() -> None:
    assert len(BUGS) >= 25
    assert len({each.name for each in BUGS}) == len(BUGS)
    assert sum(each.seeds for each in BUGS) >= 5


@pytest.mark.parametrize("planted", BUGS, ids=lambda each: each.name)
def test_every_bug_fits_the_code_and_its_tests_exist(planted: Bug) -> None:
    check(planted)
    for test in planted.tests:
        path, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", QUICK)
def test_planted_bug_is_caught(name: str) -> None:
    outcome = run_drill(find_bug(name))
    assert outcome.caught_by is not None


def test_seed_of_the_second_book_finds_a_single_holder_that_does_not_sync() -> None:
    found = hunt(find_bug("no fsync of the chunk's folder"), seeds=3, seconds=60.0, of=Book.RECEIPTS)
    assert found.seed is not None
    assert "disks" in found.problem


def test_change_that_is_no_bug_survives() -> None:
    outcome = run_drill(bug("def __repr__(self) -> str:", "def __repr__(self) -> str:  # the same"))
    assert (outcome.caught_by, outcome.error) == (None, "")


def test_slip_in_the_planted_text_is_no_catch() -> None:
    with pytest.raises(DrillError, match="NameError"):
        run_drill(bug('return f"Link({self.kind', 'return f"Link({slef.kind'))


def test_bug_that_its_tests_never_meet_says_nothing() -> None:
    with pytest.raises(DrillError, match=r"never import dfs_sdk\.cli\.doctor"):
        run_drill(bug("import annotations", "import annotations  # the same", path="dfs_sdk/cli/doctor.py"))


@pytest.mark.parametrize("old", ["no such text", "self"])
def test_bug_that_has_drifted_from_the_code_is_told(old: str) -> None:
    with pytest.raises(DriftError, match="not once"):
        check(bug(old, "else"))
    with pytest.raises(DriftError, match="no Python"):
        check(bug("def __repr__(self) -> str:", "def __repr__(self) -> :"))


def test_edits_follow_each_other_and_survive_the_way_to_another_process() -> None:
    edits = [Edit(path="p", old="one", new="two"), Edit(path="p", old="two", new="'three'\n")]
    assert edits_from(as_text(edits)) == edits
    assert edited(edits, "one") == "'three'\n"


def test_what_is_planted_is_in_child_processes_and_nowhere_else() -> None:
    planted = bug('SCHEME = "dfs:"', 'SCHEME = "sfd:"')
    code = "from dfs_sdk.files.link import SCHEME; print(SCHEME)"
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}], check=True)"
    said = [
        subprocess.run(
            [sys.executable, "-c", text], cwd=ROOT, env=environment(which), capture_output=True, text=True, check=True
        ).stdout.strip()
        for text, which in ((code, planted), (nested, planted), (code, None))
    ]
    assert said == ["sfd:", "sfd:", "dfs:"]


def test_page_names_every_bug() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    assert [each.name for each in BUGS if f"| {each.name} |" not in page] == []
