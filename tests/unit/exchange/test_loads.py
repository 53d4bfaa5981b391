"""What is remembered of peers."""

from __future__ import annotations

import pytest

from dfs_sdk.exchange.loads import LoadBook
from dfs_sdk.exchange.messages import HolderLoad
from dfs_sdk.exchange.scheduler import SERVICE_TIME_UNKNOWN
from dfs_sdk.ids import NodeId

PEER = NodeId(b"p" * 32)


def book(peers_max: int = 100) -> LoadBook:
    return LoadBook(peers_max=peers_max, fault_half_life=600.0)


def test_a_stranger_is_taken_for_average():
    load = book().load(PEER, rtt=None, now=0.0)
    assert (load.rtt, load.service_time, load.inflight, load.faults) == (None, SERVICE_TIME_UNKNOWN, 0, 0.0)


def test_answers_teach_the_load():
    known = book()
    known.learn(PEER, HolderLoad(queue=4, service_time=0.25))
    load = known.load(PEER, rtt=0.01, now=0.0)
    assert (load.queue, load.service_time, load.rtt) == (4, 0.25, 0.01)


def test_calls_count_while_they_last_even_if_they_fail():
    known = book()
    with pytest.raises(RuntimeError), known.calling(PEER), known.calling(PEER):
        assert known.load(PEER, rtt=None, now=0.0).inflight == 2
        raise RuntimeError
    assert known.load(PEER, rtt=None, now=0.0).inflight == 0


def test_a_bad_record_fades():
    known = book()
    known.blame(PEER, now=0.0)
    assert known.load(PEER, rtt=None, now=0.0).faults == 1.0
    assert known.load(PEER, rtt=None, now=600.0).faults == pytest.approx(0.5)
    assert known.load(PEER, rtt=None, now=1e12).faults == 0.0


def test_the_table_is_bounded_and_forgets_the_idle_first():
    known = book(peers_max=3)
    with known.calling(PEER):
        for number in range(50):
            known.blame(NodeId(bytes([number]) * 32), now=0.0)
        assert len(known) <= 3
        assert known.load(PEER, rtt=None, now=0.0).inflight == 1
