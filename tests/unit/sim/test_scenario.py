"""Scenarios: the vocabulary in Python and in files, and what it draws."""

import itertools
from pathlib import Path

import pytest

from dfs_sdk.errors import ConfigError
from dfs_sdk.runtime.system import SeededRng
from dfs_sdk.sim.scenario import Act, ActKind, Scenario, Strike, merged, parse_duration

HOSTS = [f"n{number}" for number in range(10)]

FILE = """
spared = ["n0"]
repeat = "1 d"

[[act]]
at = "1 h 30 min"
do = "sleep"
who = "30 %"
for = "45 min"

[[act]]
at = 60
do = "partition"
who = ["n1", "n2"]

[[act]]
at = "2 h"
do = "repair"
"""


def strikes(scenario: Scenario, *, seed: int = 1, count: int = 100) -> list[Strike]:
    return list(itertools.islice(scenario.strikes(HOSTS, SeededRng(seed)), count))


@pytest.mark.parametrize(
    ("words", "seconds"),
    [(5, 5.0), (0.5, 0.5), ("90", None), ("90 s", 90.0), ("1.5 h", 5400.0), ("1 h 30 min", 5400.0), ("2d", 172_800.0),
     ("1 hour, 5 minutes", 3900.0), ("", None), ("soon", None), ("-1 s", None), (-1, None), (True, None),
     (float("nan"), None), (float("inf"), None), ("5 mins", None), ("99999 d", None)],
)  # fmt: skip
def test_duration_is_read_or_refused(words: float | str, seconds: float | None):
    if seconds is None:
        with pytest.raises(ConfigError):
            parse_duration(words)
    else:
        assert parse_duration(words) == seconds


def test_file_says_what_the_verbs_say(tmp_path: Path):
    path = tmp_path / "day.toml"
    path.write_text(FILE)
    written = (
        Scenario(spared=("n0",), repeat="1 d")
        .sleep(at="1 h 30 min", who="30 %", seconds="45 min")
        .partition(at=60, who=("n1", "n2"))
        .repair(at="2 h")
    )
    assert Scenario.load(path) == written
    assert strikes(written, count=9) == strikes(Scenario.load(path), count=9)


def test_strikes_come_in_order_and_repeat():
    scenario = Scenario(repeat=100).crash(at=50, who=1, seconds=5).freeze(at=10, who=2, seconds=3)
    drawn = strikes(scenario, count=6)
    assert [strike.at for strike in drawn] == [10, 50, 110, 150, 210, 250]
    assert {len(strike.hosts) for strike in drawn} == {1, 2}
    assert len({strike.hosts for strike in drawn}) > 2  # drawn anew each time


def test_same_seed_draws_the_same_hosts_and_another_seed_others():
    scenario = Scenario(repeat=10).crash(at=1, who=0.5)
    assert strikes(scenario, seed=1) == strikes(scenario, seed=1)
    assert strikes(scenario, seed=1) != strikes(scenario, seed=2)


def test_spared_hosts_are_never_drawn():
    scenario = Scenario(repeat=10, spared=("n0", "n5")).crash(at=1, who=0.5).clog(at=2, who="all", seconds=1)
    assert {"n0", "n5"}.isdisjoint(host for strike in strikes(scenario) for host in strike.hosts)


def test_named_host_must_be_there():
    with pytest.raises(ConfigError, match="n99"):
        strikes(Scenario().crash(at=1, who=("n99",)))
    with pytest.raises(ConfigError, match="sleep names n99"):
        strikes(Scenario().sleep(at=1, who="n99", seconds=1))
    with pytest.raises(ConfigError, match="spared names n77"):
        strikes(Scenario(spared=("n77",)).crash(at=1, who=1))
    with pytest.raises(ConfigError, match="crash strikes 11 hosts: there are 10"):
        strikes(Scenario().crash(at=1, who=11))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[act]]\nat = 1\ndo = 'explode'\n", "act 1: 'explode' is nothing that can happen"),
        ("[[act]]\nat = 1\ndo = 'sleep'\n", "act 1: sleep needs a duration"),
        ("[[act]]\nat = 1\ndo = 'crash'\nwhom = 'all'\n", "act 1: an act has no 'whom'"),
        ("[[act]]\nat = 1\ndo = 'sleep'\n", "in a file `for`"),
        ("[[act]]\ndo = 'crash'\n", "act 1: an act has to have 'at'"),
        ("[[act]]\nat = 1\n", "act 1: an act has to have 'do'"),
        ("[[act]]\nat = 1\ndo = 'crash'\nwho = '300 %'\n", "who is '300 %'"),
        ("[[act]]\nat = 1\ndo = 'crash'\nwho = 'nan %'\n", "who is 'nan %'"),
        ("[[act]]\nat = 1\ndo = 'corrupt'\namount = '0.1'\n", "amount is '0.1'"),
        ("[[act]]\nat = 1\ndo = 'corrupt'\nfor = 0\n", "above 0"),
        ("[[act]]\nat = 1\ndo = 'crash'\namount = 0.5\n", "crash takes no amount"),
        ("[[act]]\nat = 1\ndo = 'crash'\npower = 'no'\n", "power is 'no'"),
        ("[[act]]\nat = 1\ndo = 'clog'\nfor = 5\npower = false\n", "clog takes no power"),
        ("[[act]]\nat = 1\ndo = 'lie'\nfor = 5\n", "lie takes no duration"),
        ("[[act]]\nat = 1\ndo = 'restart'\nfor = 5\n", "restart takes no duration"),
        ("[[act]]\nat = 1\ndo = 'repair'\nfor = 5\n", "repair takes no duration"),
        ("[[act]]\nat = 1\ndo = 5\n", "act 1: 5 is nothing that can happen"),
        ("[[act]]\nat = 1\ndo = ['crash']\n", "act 1: ['crash'] is nothing that can happen"),
        ("[[act]]\nat = 1\ndo = 'partition'\nshape = 'star'\n", "'star' is no shape of a partition"),
        ("[[act]]\nat = 1\ndo = 'crash'\nshape = 'ring'\n", "crash takes no shape"),
        ("spared = [0]\n", "give names of hosts"),
        ("repeat = 60\n[[act]]\nat = 90\ndo = 'crash'\n", "not less than to the last act"),
        ("repeat = 1e-9\n[[act]]\nat = 0\ndo = 'crash'\n", "give 0.1 s or more"),
        ('{"act": []}', "scenarios are written in TOML"),
        ("[[act]]\nat = 1\ndo = 'crash'\nwho = 1.5\n", "who is 1.5"),
        ("[[act]]\nat = 1\ndo = 'crash'\nwho = '3O %'\n", "write a share"),
        ("[[act]]\nat = 1\ndo = 'corrupt'\namount = 2\n", "amount is 2"),
        ("acts = 1\n", "a scenario has no 'acts'"),
        ("repeat = 0\n", "above 0"),
        ("act = 5\n", "act"),
        ("act = [5]\n", "act 1: an act is a table"),
        ("spared = 5\n", "spared"),
        ("[[act]\n", "line 1"),
    ],
)
def test_wrong_file_is_refused_in_words(tmp_path: Path, text: str, complaint: str):
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="is no scenario") as caught:
        Scenario.load(path)
    assert complaint in str(caught.value)


def test_single_name_is_one_host():
    assert strikes(Scenario(acts=(Act(at=0, do="crash", who="n3"),)))[0].hosts == ("n3",)


def test_every_word_of_the_vocabulary_has_its_verb():
    assert all(callable(getattr(Scenario, kind.value)) for kind in ActKind)


def test_merged_timelines_stay_in_order():
    one = Scenario(repeat=7).crash(at=3, who=1)
    other = Scenario(repeat=5).crash(at=1, who=1)
    drawn = list(itertools.islice(merged([one.strikes(HOSTS, SeededRng(1)), other.strikes(HOSTS, SeededRng(2))]), 50))
    assert [strike.at for strike in drawn] == sorted(strike.at for strike in drawn)
