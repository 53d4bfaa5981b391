"""Whether a source that was asked still delivers: P-EXC-7."""

from __future__ import annotations

from dfs_sdk.exchange.delivery import OWED_FACTOR, Delivery


def delivery(*, owed_bytes: int = 10_000) -> Delivery:
    return Delivery(now=100.0, received_bytes=5_000, owed_bytes=owed_bytes, pace=100.0)


def test_a_source_that_brings_the_chunk_in_time_advances():
    watched = delivery()
    assert watched.advances(now=102.0, received_bytes=5_201)
    assert watched.advances(now=104.0, received_bytes=5_402)
    assert not watched.advances(now=106.0, received_bytes=5_602), "since it was last looked at, too few came"


def test_a_trickle_is_no_delivery():
    assert not delivery().advances(now=102.0, received_bytes=5_200)
    assert not delivery().advances(now=102.0, received_bytes=5_000)


def test_a_new_connection_brought_nothing():
    assert not delivery().advances(now=102.0, received_bytes=300)


def test_who_sent_all_it_owed_and_more_has_passed_the_chunk_over():
    """A24: a holder that withholds one chunk and goes on with others is not waited for."""
    watched = delivery()
    assert watched.advances(now=102.0, received_bytes=5_000 + OWED_FACTOR * 10_000)
    assert not watched.advances(now=104.0, received_bytes=6_000 + OWED_FACTOR * 10_000)
