"""Seeds: the plan asks for no more than the promise gives, the verdict sees what breaks it, any seed replays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dfs_sdk.errors import ConfigError
from dfs_sdk.ids import ChunkId
from dfs_sdk.sim.__main__ import main
from dfs_sdk.sim.books import Book
from dfs_sdk.sim.campaign import Batch, read_book, run_campaign, total
from dfs_sdk.sim.conditions import Conditions
from dfs_sdk.sim.ledger import Ledger, Owed
from dfs_sdk.sim.plan import DRAWN, LOSING, Fault, FaultKind, Plan, draw_plan, stay_findable
from dfs_sdk.sim.trial import Verdict, run_trial
from dfs_sdk.sim.witness import CANARY, Witness
from dfs_sdk.sim.world import World

CALM = Plan(
    seed=1,
    hosts=("n0", "n1", "n2", "n3"),
    conditions=Conditions(),
    faults=(),
    liars=frozenset(),
    doomed=frozenset(),
    quorum=1,
    replicas=3,
    seconds=20.0,
)


@given(st.integers(0, 10**9))
def test_plan_never_asks_for_more_than_the_promise_gives(seed: int):
    plan = draw_plan(seed)
    struck = {fault.host for fault in plan.faults if fault.kind in LOSING}
    assert plan.liars | struck <= plan.doomed
    assert plan.quorum == len(plan.doomed) + 1
    # Whoever stores finds a quorum among the others, even if none of the doomed answers.
    assert plan.quorum <= len(plan.hosts) - 1 - len(plan.doomed)
    assert plan.quorum <= plan.replicas < len(plan.hosts)
    assert all(0 <= fault.at < fault.at + fault.seconds <= plan.seconds + 1e-9 for fault in plan.faults)
    assert list(plan.faults) == sorted(plan.faults, key=lambda fault: fault.at)
    assert plan == draw_plan(seed)


def lost_from_sight(plan: Plan) -> set[str]:
    """Name the hosts that some day are elsewhere, or somebody else."""
    return {fault.host for fault in plan.faults if fault.kind in (FaultKind.MOVE, FaultKind.WIPE)}


@given(st.integers(0, 10**9))
@example(4978)
def test_one_host_stays_where_and_who_it_is(seed: int):
    plan = draw_plan(seed)
    assert plan.hosts[0] not in {fault.host for fault in plan.faults if fault.kind is FaultKind.MOVE}
    assert lost_from_sight(plan) < set(plan.hosts)


def test_only_the_moves_of_a_second_host_are_left_out_where_else_nobody_would_stay():
    def faults(*struck: tuple[FaultKind, str]) -> tuple[Fault, ...]:
        return tuple(Fault(at=0, kind=kind, host=host, seconds=1, amount=0) for kind, host in struck)

    wiped, moved = (FaultKind.WIPE, "a"), [(FaultKind.MOVE, host) for host in ("b", "c", "b")]
    assert stay_findable(("a", "b", "c"), faults(wiped, *moved)) == faults(wiped, (FaultKind.MOVE, "c"))
    for harmless in (faults(*moved), faults(wiped, *moved[:1])):
        assert stay_findable(("a", "b", "c"), harmless) == harmless


def test_plans_draw_every_kind_of_fault_and_leave_some_out():
    plans = [draw_plan(seed) for seed in range(200)]
    kinds = Counter(kind for plan in plans for kind in {fault.kind for fault in plan.faults})
    assert set(kinds) == set(DRAWN)
    assert all(count < 150 for count in kinds.values())
    assert any(plan.liars for plan in plans)


def test_calm_network_keeps_its_promise():
    verdict = run_trial(CALM)
    assert verdict.passed, verdict
    assert verdict.files
    assert verdict.messages
    assert verdict.reads


def owed(data: bytes = b"right") -> Owed:
    return Owed(name="f", link="dfs:secret-link", data=data, owner="n0", chunk_ids=(ChunkId(bytes(32)),))


def test_ledger_sees_wrong_bytes():
    ledger = Ledger()
    ledger.was_read(owed(), b"right", "n1")
    assert (ledger.reads, ledger.problems) == (1, [])
    ledger.was_read(owed(), b"wrong", "n1")
    assert "wrong bytes" in ledger.problems[0]


def said(*texts: str) -> Ledger:
    """What one sender said."""
    return Ledger(said={"n0": list(texts)}, begun={("n0", text) for text in texts})


@pytest.mark.parametrize(
    ("shown", "complete", "breach"),
    [
        (["a", "b", "c"], True, None),
        (["a", "c"], False, None),
        (["a", "b", "b", "c"], True, "twice"),
        (["b", "a", "c"], True, "out of order"),
        (["a", "b", "never said", "c"], True, "never sent"),
    ],
)
def test_ledger_sees_messages_missing_doubled_and_out_of_order(shown: list[str], complete: bool, breach: str | None):
    ledger = said("a", "b", "c")
    assert ledger.heard("n1", [("n0", "id", text) for text in shown]) is complete
    assert [breach in problem for problem in ledger.problems if breach] == [True] * len(ledger.problems)
    assert bool(ledger.problems) is (breach is not None)


def test_order_is_owed_by_each_life_of_a_sender_and_completeness_by_all_of_them():
    ledger = said("a", "b", "c")
    assert ledger.heard("n1", [("n0", "second", "c"), ("n0", "first", "a"), ("n0", "first", "b")])
    assert ledger.problems == []
    ledger.heard("n1", [("n0", "first", "b"), ("n0", "second", "c"), ("n0", "first", "a")])
    assert "out of order" in ledger.problems[0]


def packet(number: int, content: bytes) -> memoryview:
    return memoryview(b"\x10" + (7).to_bytes(4, "big") + number.to_bytes(8, "big") + content)


def test_witness_sees_reused_numbers_plain_content_secrets_in_logs_and_amplification(caplog: pytest.LogCaptureFixture):
    with World() as world:
        ledger = Ledger(files=[owed()])
        with Witness(world, ledger) as witness:
            (see,), (hear,) = world.network.on_wire, world.network.on_arrival
            see("a", "b", packet(1, b"one"))
            see("a", "b", packet(1, b"one"))  # a farewell is sent again as it is
            see("a", "b", packet(2, b"two"))
            see("b", "a", packet(1, b"other direction"))
            assert ledger.problems == []
            see("a", "b", packet(1, b"two"))
            see("a", "b", packet(3, CANARY))
            hello = memoryview(b"\x01" * 100)
            see("a", "b", hello)  # only what arrives may be answered
            for _ in range(2):  # the network doubled it
                hear("a", "b", hello)
                see("b", "a", memoryview(b"\x02" * 300))
            assert len(ledger.problems) == 2
            see("b", "a", memoryview(b"\x02"))
            witness.search_links(["<file f>", "dfs:secret-link"])
            with caplog.at_level("DEBUG", logger="dfs_sdk"):
                witness._logger.debug("fetching %s", "dfs:secret-link")
        assert len(ledger.problems) == 5, ledger.problems


def verdict(seed: int, **changes: object) -> Verdict:
    base = Verdict(
        seed=seed, problems=(), digest="d", seconds=60.0, hosts=4, faults={FaultKind.POWER: 2, FaultKind.RING: 1},
        files=3, lost=0, reads=4, messages=5, reunited_after=2.0, readable_after=1.0, whole_after=float(seed),
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]


def test_book_adds_up_and_goes_on(tmp_path: Path):
    book = tmp_path / "book.jsonl"
    batch = Batch(commit="abc")
    for each in (verdict(5), verdict(6, problems=("lost",), lost=1)):
        batch.add(each)
    sums = total([batch, batch])
    assert (sums.seeds, sums.kept, sums.broken, sums.files, sums.lost) == (4, 2, [6, 6], 12, 2)
    assert sums.faults == {"power cut": 8, "ring": 4}
    assert sums.whole_after_max == 6.0
    assert "2 of 4 seeds" in str(sums)
    assert "8 crashes, 4 partitions" in str(sums)
    assert "again, within 2 s of healing, everything" in str(sums)
    assert "again, everything" in str(total([batch, Batch()])), "who did not measure claims nothing"
    book.write_text(json.dumps({**{name: getattr(batch, name) for name in Batch.__slots__}, "later": 1}) + "\n")
    assert read_book(book) == [batch]
    book.write_text("{}\nnonsense\n")
    with pytest.raises(ConfigError, match="line 2"):
        read_book(book)


def test_campaign_runs_seeds_in_other_processes_and_notes_them(tmp_path: Path):
    book = tmp_path / "book.jsonl"
    told: list[int] = []
    result = run_campaign(
        2, first=3, processes=2, book=book, commit="abc", seconds=5.0, on_verdict=lambda each: told.append(each.seed)
    )
    assert told == [3, 4]
    assert result.kept == 2
    assert total(read_book(book)) == replace(result, commit="")


def test_book_of_one_kind_takes_no_seeds_of_another_and_one_that_cannot_be_written_is_refused_first(tmp_path: Path):
    book = tmp_path / "book.jsonl"
    book.write_text(json.dumps({"first": 0, "last": 0, "seeds": 1, "seconds": 30.0, "receipts": True}) + "\n")
    assert read_book(book)[0].book is Book.RECEIPTS, "a line from before there was a third book"
    for seconds, of in ((30.0, Book.FAULTS), (60.0, Book.RECEIPTS), (30.0, Book.WILD)):
        with pytest.raises(ConfigError, match="holds seeds with 30 s of faults of the book receipts"):
            run_campaign(1, first=1, processes=1, book=book, seconds=seconds, of=of)
    book.write_text(json.dumps({"first": 0, "book": "genesis"}) + "\n")
    with pytest.raises(ConfigError, match="not a batch"):
        read_book(book)
    for place, words in ((tmp_path, "cannot be read"), (book / "inside a file", "cannot be written")):
        with pytest.raises(ConfigError, match=words):
            run_campaign(1, first=0, processes=1, book=place)


def test_whatever_ends_a_trial_is_a_finding_of_its_seed(monkeypatch: pytest.MonkeyPatch):
    def broken(_self: Ledger) -> None:
        raise KeyError("planted")

    monkeypatch.setattr(Ledger, "standing", broken)
    found = run_trial(replace(CALM, seconds=1.0))
    assert not found.passed
    assert "KeyError: 'planted'" in found.problems[-1]
    assert "test_trial.py" in found.problems[-1]
    assert found.digest


@pytest.mark.parametrize(
    ("given", "told"), [((), ""), (("--receipts",), "--receipts "), (("--wild",), "--wild ")], ids=["1", "2", "3"]
)
def test_broken_seed_names_the_command_that_replays_it(
    given: tuple[str, ...], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def one_broken(_count: int, *, on_verdict: Callable[[Verdict], None], **_given: object) -> Batch:
        batch = Batch()
        batch.add(verdict(1661, problems=("lost",)))
        on_verdict(verdict(1661, problems=("lost",)))
        return batch

    monkeypatch.setattr("dfs_sdk.sim.__main__.run_campaign", one_broken)
    assert main(["--seeds", "1", *given]) == 1
    assert f"replay it: python -m dfs_sdk.sim {told}--seed 1661 --seconds 30\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seeds", "0"], "give 1 or more"),
        (["--seeds", "-5"], "give 1 or more"),
        (["--seeds", "1", "--processes", "0"], "give 1 or more"),
        (["--seed", "1", "--seconds", "nan"], "no time that ends"),
        (["--seed", "1", "--seconds", "inf"], "no time that ends"),
        (["--seed", "1", "--seconds", "0"], "no time that ends"),
        (["--sum", "/no/such/book"], "there is no book"),
    ],
)
def test_command_refuses_what_would_check_nothing(arguments: list[str], words: str, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_seed_replays_anywhere_with_the_same_digest(capsys: pytest.CaptureFixture[str]):
    digests = set()
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-m", "dfs_sdk.sim", "--seed", "7", "--seconds", "10", "--verbose"]
        ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        digests.add(ended.stdout.rsplit("Digest ", 1)[1].strip())
    assert main(["--seed", "7", "--seconds", "10"]) == 0
    digests.add(capsys.readouterr().out.rsplit("Digest ", 1)[1].strip())
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("mark", "name"),
    [("campaign", "simulator.jsonl"), ("receipts", "receipts.jsonl"), ("wild", "wild.jsonl")],
)
def test_document_agrees_with_the_books(mark: str, name: str):
    docs = Path(__file__).parents[3] / "docs"
    page, book = (docs / "reliability.md").read_text(encoding="utf-8"), read_book(docs / "ledger" / name)
    told = page.split(f"<!-- {mark} -->\n", 1)[1].split("<!-- end -->", 1)[0]
    assert told == f"{total(book)}.\n"
