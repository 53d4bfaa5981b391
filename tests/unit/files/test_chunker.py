"""How files are cut: P-FILE-3."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.errors import ConfigError
from dfs_sdk.files.chunker import (
    CHUNK_BYTES_MAX,
    CHUNK_COUNT_MAX,
    INLINE_BYTES_MAX,
    KIB,
    MIB,
    choose_chunk_bytes,
    chunk_count,
    chunk_span,
    chunks_touched,
    validate_chunk_bytes,
)


@given(st.integers(0, CHUNK_COUNT_MAX * CHUNK_BYTES_MAX))
def test_the_chosen_size_fits_every_file(size: int):
    chunk_bytes = choose_chunk_bytes(size)
    assert 64 * KIB <= chunk_bytes <= CHUNK_BYTES_MAX
    assert chunk_bytes & (chunk_bytes - 1) == 0
    assert chunk_count(size, chunk_bytes) <= CHUNK_COUNT_MAX


@pytest.mark.parametrize(
    ("size", "chosen"),
    [
        (0, 64 * KIB),
        (500 * KIB, 64 * KIB),
        (8 * MIB, MIB),
        (512 * MIB, MIB),
        (1024 * MIB, 2 * MIB),
        (3000 * MIB, 4 * MIB),
        (None, MIB),
    ],
)
def test_typical_sizes(size: int | None, chosen: int):
    assert choose_chunk_bytes(size) == chosen


@given(st.integers(INLINE_BYTES_MAX + 1, 10 * MIB), st.integers(16 * KIB, MIB))
def test_spans_cover_the_file_without_a_gap(size: int, chunk_bytes: int):
    position = 0
    for index in range(chunk_count(size, chunk_bytes)):
        offset, length = chunk_span(index, size, chunk_bytes)
        assert offset == position
        assert 0 < length <= chunk_bytes
        position += length
    assert position == size


@given(st.integers(0, MIB), st.integers(1, MIB), st.integers(1, 100_000))
def test_touched_chunks_are_those_with_a_byte_of_the_range(offset: int, length: int, chunk_bytes: int):
    touched = chunks_touched(offset, length, chunk_bytes)
    assert touched[0] * chunk_bytes <= offset < (touched[0] + 1) * chunk_bytes
    assert touched[-1] * chunk_bytes < offset + length <= (touched[-1] + 1) * chunk_bytes


@pytest.mark.parametrize("wrong", [0, -1, 16 * KIB - 1, 4 * MIB + 1])
def test_a_chunk_size_out_of_range_names_the_range(wrong: int):
    with pytest.raises(ConfigError, match="16384 to 4194304"):
        validate_chunk_bytes(wrong)


def test_too_many_chunks_ask_for_larger_ones():
    with pytest.raises(ConfigError, match="larger chunk size"):
        chunk_count(10 * 1024 * MIB, 16 * KIB)


def test_a_tiny_file_has_no_chunks():
    assert chunk_count(INLINE_BYTES_MAX, 16 * KIB) == 0
    assert chunk_count(INLINE_BYTES_MAX + 1, 16 * KIB) == 1
