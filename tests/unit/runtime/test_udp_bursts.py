"""Gathering datagrams: nothing is lost, reordered or mixed, and each burst has one source and one size."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.runtime.udp_addressing import SocketAddress
from dfs_sdk.runtime.udp_bursts import BATCH_BYTES_ROOM, GATHERED_BYTES_MAX, BurstGatherer

SOURCES: list[SocketAddress] = [("192.0.2.1", 1), ("192.0.2.1", 2)]
BATCHES = st.tuples(st.sampled_from(SOURCES), st.sampled_from([1, 7, 1400, 30_000]), st.integers(1, 3), st.booleans())


@given(st.lists(BATCHES, max_size=40), st.sets(st.integers(0, 40), max_size=6))
def test_what_comes_out_is_what_went_in(batches: list[tuple[SocketAddress, int, int, bool]], flushes: set[int]) -> None:
    went_in: list[tuple[SocketAddress, bytes]] = []
    came_out: list[tuple[SocketAddress, bytes]] = []
    largest = 0

    def hand_over(burst: memoryview, segment_bytes: int, source: SocketAddress) -> None:
        nonlocal largest
        largest = max(largest, len(burst))
        starts = range(0, len(burst), segment_bytes)
        came_out.extend((source, bytes(burst[start : start + segment_bytes])) for start in starts)

    gatherer = BurstGatherer(hand_over)
    for number, (source, segment_bytes, count, has_tail) in enumerate(batches):
        sizes = [segment_bytes] * count
        if has_tail and count > 1:
            sizes[-1] = max(segment_bytes // 2, 1)
        datagrams = [bytes(((number + place) % 256,)) * size for place, size in enumerate(sizes)]
        went_in += [(source, datagram) for datagram in datagrams]
        room = gatherer.room
        assert len(room) >= BATCH_BYTES_ROOM
        batch = b"".join(datagrams)
        room[: len(batch)] = batch
        gatherer.add(len(batch), sizes[0] if count > 1 else len(batch), source)
        if number in flushes:
            gatherer.flush()
            assert came_out == went_in
    gatherer.flush()
    gatherer.flush()
    assert came_out == went_in
    assert largest <= GATHERED_BYTES_MAX


def test_equal_datagrams_of_one_source_come_as_one_burst_with_a_shorter_last_one() -> None:
    bursts: list[tuple[int, int]] = []
    gatherer = BurstGatherer(lambda burst, segment_bytes, _: bursts.append((len(burst), segment_bytes)))
    for size in (100, 100, 100, 40, 100, 200):
        gatherer.add(size, size, SOURCES[0])
    gatherer.flush()
    assert bursts == [(340, 100), (100, 100), (200, 200)]


def test_foreign_datagrams_neither_end_a_burst_nor_begin_one() -> None:
    came_out: list[tuple[bytes, int]] = []
    gatherer = BurstGatherer(
        lambda burst, segment_bytes, _: came_out.append((bytes(burst), segment_bytes)), lambda data: data[0] == 0xFF
    )
    ours, foreign = SOURCES
    arrivals = [(b"\xff" * 9, foreign), (b"aaaa", ours), (b"\xff" * 4, foreign), (b"bbbb", ours)]
    for data, source in [*arrivals, (b"cc", ours), (b"d", foreign)]:
        gatherer.room[: len(data)] = data
        gatherer.add(len(data), len(data), source)
    gatherer.flush()
    assert came_out == [(b"aaaabbbbcc", 4), (b"d", 1)]


def test_a_batch_of_several_is_gathered_whatever_its_first_datagram_is() -> None:
    came_out: list[bytes] = []
    gatherer = BurstGatherer(lambda burst, *_: came_out.append(bytes(burst)), lambda _: True)
    gatherer.room[:4] = b"\xff\xffgo"
    gatherer.add(4, 2, SOURCES[0])
    gatherer.flush()
    assert came_out == [b"\xff\xffgo"]
