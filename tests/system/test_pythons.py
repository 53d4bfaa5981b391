"""A seed goes the same way under every Python that is there."""

import os
import sys

import pytest

from tests.campaigns.digests import VARIABLE, Told, compare, others

pytestmark = pytest.mark.system


def test_seeds_have_one_digest_under_all_pythons_there_are():
    pythons = others()
    if not pythons:
        pytest.skip(f"no other interpreter: {VARIABLE}=/path/to/python{os.pathsep}… names those with the dependencies")
    told, differ = compare([sys.executable, *pythons], 0, 1)
    assert differ == []
    assert len({each.version for each in told}) > 1
    assert all(len(set(each.digests.values())) == len(each.digests) == 2 for each in told)


def test_interpreters_that_differ_are_told_apart(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tests.campaigns.digests.ask", _ask_another)
    _, differ = compare(["one", "two", "three"], 0, 1)
    assert differ == ["faults 0: aa on one, bb on three"]


def _ask_another(python: str, _first: int, _count: int, *, hash_seed: int) -> Told:
    assert hash_seed > 0
    return Told(version=python, digests={"faults 0": "bb" if python == "three" else "aa"})
