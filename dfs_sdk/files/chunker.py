"""How a file is cut: pure.

Chunks are of one size, the last one shorter: a range of the file is found by arithmetic, and a file cut again gives the
same chunks. A tiny file has none: it lies in its manifest.
"""

from __future__ import annotations

from dfs_sdk.errors import ConfigError

KIB = 1024
MIB = 1024 * KIB

INLINE_BYTES_MAX = 4 * KIB
CHUNK_BYTES_MIN = 16 * KIB
CHUNK_BYTES_MAX = 4 * MIB
CHUNK_COUNT_MAX = 65_536

_CHOSEN_MIN = 64 * KIB
_TYPICAL = MIB
_COUNT_WANTED_MIN = 8
_COUNT_WANTED_MAX = 512


def choose_chunk_bytes(size: int | None) -> int:
    """Choose a power of two, so that the file has about 8 to 512 chunks.

    A chunk costs each node that handles it about the same whatever its size, so large files get large ones; a file of
    few chunks could not come from several holders at one time.

    Args:
        size: Length of the file in bytes, None while unknown.

    Returns:
        64 KiB to 4 MiB; 1 MiB where that fits or the size is unknown.
    """
    if size is None:
        return _TYPICAL
    chosen = _TYPICAL
    while chosen > _CHOSEN_MIN and size < chosen * _COUNT_WANTED_MIN:
        chosen //= 2
    while chosen < CHUNK_BYTES_MAX and size > chosen * _COUNT_WANTED_MAX:
        chosen *= 2
    return chosen


def validate_chunk_bytes(chunk_bytes: int) -> int:
    """Check a chunk size that the user asked for.

    Raises:
        ConfigError: Out of range.
    """
    if not CHUNK_BYTES_MIN <= chunk_bytes <= CHUNK_BYTES_MAX:
        raise ConfigError(f"chunk_bytes is {chunk_bytes}: give {CHUNK_BYTES_MIN} to {CHUNK_BYTES_MAX}")
    return chunk_bytes


def chunk_count(size: int, chunk_bytes: int) -> int:
    """How many chunks a file of `size` bytes has.

    Raises:
        ConfigError: More than 65,536.
    """
    if size <= INLINE_BYTES_MAX:
        return 0
    count = -(-size // chunk_bytes)
    if count > CHUNK_COUNT_MAX:
        raise ConfigError(
            f"{size} bytes in chunks of {chunk_bytes} are over {CHUNK_COUNT_MAX} chunks: give a larger chunk size"
        )
    return count


def chunk_span(index: int, size: int, chunk_bytes: int) -> tuple[int, int]:
    """Offset and length of one chunk in the file."""
    offset = index * chunk_bytes
    return offset, min(chunk_bytes, size - offset)


def chunks_touched(offset: int, length: int, chunk_bytes: int) -> range:
    """The chunks that a range of at least one byte lies in."""
    return range(offset // chunk_bytes, (offset + length - 1) // chunk_bytes + 1)
