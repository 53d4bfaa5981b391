"""A file opened in place: seek, read, close; only the chunks that are read are fetched."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from dfs_sdk.errors import NodeClosedError
from dfs_sdk.files.ahead import Ahead, ChunkCache
from dfs_sdk.files.chunker import chunks_touched
from dfs_sdk.files.config import FilesConfig
from dfs_sdk.files.download import fetch_chunk, parallel_chunks
from dfs_sdk.files.names import display_name
from dfs_sdk.files.opened import OpenedFile
from dfs_sdk.files.supply import Supply
from dfs_sdk.ids import NodeId
from dfs_sdk.runtime.ports import Offload
from dfs_sdk.runtime.tasks import TaskScope, run_all


class Reader:
    """Reads ranges of a file; its latest chunks stay in memory until it is closed.

    Who reads on where the latest read ended finds the next chunks fetched ahead.

    Every chunk is verified: its id comes from the manifest, whose own id is in the link.

    Args:
        file: The opened file.
        supply: Where chunks come from.
        offload: Worker threads.
        config: Bounds.
        scope: The parent of what is fetched ahead.
        extra: Peers that may have chunks for reasons of their own.
    """

    def __init__(
        self,
        file: OpenedFile,
        supply: Supply,
        offload: Offload,
        config: FilesConfig,
        *,
        scope: TaskScope,
        extra: Sequence[NodeId] = (),
    ) -> None:
        self._file = file
        self._offload = offload
        self._position = 0
        self._closed = False
        self._parallel = parallel_chunks(file, config)
        ahead_max = min(config.read_ahead_bytes_max // file.manifest.chunk_bytes, config.reader_chunks_max - 1)
        self._ahead = Ahead(file.chunk_count, ahead_max)
        self._chunks = ChunkCache(
            lambda index: fetch_chunk(file, index, supply, extra=extra), scope, chunks_max=config.reader_chunks_max
        )

    @property
    def name(self) -> str:
        """The file's name, safe to show."""
        return display_name(self._file.contents.name)

    @property
    def size(self) -> int:
        """Plain bytes."""
        return self._file.size

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    async def read(self, size: int = -1) -> bytes:
        """Read from the position on.

        Args:
            size: At most so many bytes; all that is left if negative.

        Returns:
            Fewer bytes only at the end of the file.

        Raises:
            ContentUnavailableError: A chunk has no holder that answers; the position has not moved.
            CorruptContentError: No intact copy of a chunk was found.
        """
        self._require_open()
        data = await self.read_at(self._position, self.size if size < 0 else size)
        self._position += len(data)
        return data

    async def read_at(self, offset: int, size: int) -> bytes:
        """Read a range without moving the position; raises like `read`, or ValueError for a negative range."""
        self._require_open()
        if offset < 0 or size < 0:
            raise ValueError(f"cannot read {size} bytes at {offset}")
        length = min(size, self.size - offset)
        if length <= 0:
            return b""
        if self._file.chunk_count == 0:
            return self._file.contents.inline[offset : offset + length]
        touched = chunks_touched(offset, length, self._file.manifest.chunk_bytes)
        self._chunks.expect(self._ahead.note(offset, offset + length, touched[-1]), touched=touched)
        pieces = await run_all(
            *(self._piece(index, offset, offset + length) for index in touched),
            limit=self._parallel,
        )
        return pieces[0] if len(pieces) == 1 else await self._offload.run(b"".join, pieces)

    async def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position, also beyond the end; returns the new one.

        Raises:
            ValueError: Before the start, or an unknown `whence`.
        """
        self._require_open()
        bases = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}
        if whence not in bases or bases[whence] + offset < 0:
            raise ValueError(f"cannot seek to {offset} from {whence}")
        self._position = bases[whence] + offset
        return self._position

    async def tell(self) -> int:
        """Return the position."""
        self._require_open()
        return self._position

    async def close(self) -> None:
        """Let go of the chunks in memory, and of those on their way; calling it again is harmless."""
        self._closed = True
        await self._chunks.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"at {self._position} of {self.size}"
        return f"Reader({self.name!r}, {state})"

    async def _piece(self, index: int, start: int, end: int) -> bytes:
        begin, length = self._file.span(index)
        data = await self._chunks.get(index)
        if start <= begin and begin + length <= end:
            return data
        return data[max(start - begin, 0) : end - begin]

    def _require_open(self) -> None:
        if self._closed:
            raise NodeClosedError("this reader is closed: open the file again")
