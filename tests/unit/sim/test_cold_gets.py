"""What a newcomer far from everybody waits for: the first `get` after its `join`, in round trips."""

from __future__ import annotations

from statistics import mean

from dfs_sdk.sim.conditions import Conditions
from tests.fakes.cold import cold_gets

KIB = 1024
RTT = 0.3


def test_a_newcomer_far_away_gets_its_first_file_within_a_few_round_trips() -> None:
    """It once took up to 8 here: all nodes of one cell were asked for the list of chunks before any of the other.

    Two are needed, and four where whoever has the list, and then whoever has a chunk, must be dialled first.
    """
    far = Conditions(delay_min=RTT / 2)
    taken = [cold_gets(100 * KIB, members=10, newcomers=5, seed=seed, conditions=far) for seed in (0, 1)]
    trips = [seconds / RTT for each in taken for seconds in each]
    assert mean(trips) <= 3.5
    assert max(trips) <= 7
