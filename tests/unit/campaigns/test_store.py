"""The store's campaigns run, note what they saw, go on where they ended, and count what a check objects to."""

from pathlib import Path

import pytest

from tests.campaigns import ledger, store


def test_run_is_noted_and_the_next_goes_on(tmp_path: Path):
    path = tmp_path / "ledger.jsonl"
    assert store.run("flips", seconds=0.01, first=None, path=path) == 0
    assert store.run("flips", seconds=0.01, first=None, path=path) == 0
    first, second = ledger.read(path)
    assert (first.first, first.next, second.first) == (0, 1, 1)
    assert first.counts["flips"] == first.counts["refetched"] > 0
    assert ledger.totals([first, second])["flips"]["flips"] == 2 * first.counts["flips"]
    assert "24 flips" in store.sums(path)


def test_objection_of_a_check_is_a_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def lossy(_seed: int, _until: float) -> dict[str, int]:
        raise AssertionError("lost")

    monkeypatch.setitem(store.CAMPAIGNS, "crashes", lossy)
    path = tmp_path / "ledger.jsonl"
    assert store.run("crashes", seconds=0.001, first=5, path=path) > 0
    (entry,) = ledger.read(path)
    assert entry.losses == entry.next - 5


def test_page_says_what_the_ledger_adds_up_to():
    page = store.PAGE.read_text()
    assert store.with_table(page, store.sums(store.LEDGER)) == page
