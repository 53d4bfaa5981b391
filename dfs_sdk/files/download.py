"""One download: a window of chunks fetched side by side, taken in the order of the file.

Each chunk is verified by the exchange, opened, and handed to the sink in order, which also feeds the hash of the whole
file; only when that hash is right does the download count as done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from dfs_sdk.crypto.hashing import Blake3
from dfs_sdk.exchange.budget import ByteBudget
from dfs_sdk.files.config import FilesConfig
from dfs_sdk.files.manifest import check_content
from dfs_sdk.files.opened import OpenedFile
from dfs_sdk.files.sink import Sink
from dfs_sdk.files.supply import Supply
from dfs_sdk.files.transfers import Transfer
from dfs_sdk.ids import NodeId
from dfs_sdk.runtime.ports import Offload
from dfs_sdk.runtime.tasks import run_all

INLINE_DECRYPT_BYTES_MAX = 64 * 1024

# A chunk's plain bytes, and whether the sink had them already.
_Ready = tuple[bytes, bool]


class Download:
    """The state of one download.

    Args:
        file: What to read.
        sink: Where it goes.
        supply: Where chunks come from.
        extra: Peers that may have them for reasons of their own.
        offload: Worker threads.
        config: Bounds.
        transfer: Where progress is told.
    """

    def __init__(
        self,
        *,
        file: OpenedFile,
        sink: Sink,
        supply: Supply,
        extra: Sequence[NodeId],
        offload: Offload,
        config: FilesConfig,
        transfer: Transfer,
    ) -> None:
        self._file = file
        self._sink = sink
        self._supply = supply
        self._extra = extra
        self._offload = offload
        self._config = config
        self._transfer = transfer
        self._window = ByteBudget(config.download_bytes_max)
        self._indices = iter(range(file.chunk_count))
        self._turn = asyncio.Lock()
        self._ready: dict[int, asyncio.Future[_Ready]] = {}

    async def run(self) -> None:
        """Fetch and verify everything.

        Raises:
            ContentUnavailableError: Some chunk has no holder that answers.
            CorruptContentError: Some chunk, or the whole, is not what the manifest says.
        """
        hasher = Blake3()
        if self._file.chunk_count == 0:
            hasher.update(self._file.contents.inline)
            self._transfer.advance(self._file.size)
        else:
            workers = min(self._config.download_concurrency, self._file.chunk_count)
            await run_all(self._consume(hasher), *(self._work() for _ in range(workers)))
        check_content(self._file.contents, hasher.digest())

    async def _work(self) -> None:
        while True:
            # Room is taken in the order of the file: the chunk that is due next never waits behind later ones.
            async with self._turn:
                index = next(self._indices, None)
                if index is None:
                    return
                await self._window.take(self._file.span(index)[1])
            ready = await self._obtain(index)
            self._slot(index).set_result(ready)

    async def _consume(self, hasher: Blake3) -> None:
        for index in range(self._file.chunk_count):
            data, was_saved = await self._slot(index)
            del self._ready[index]
            await self._offload.run(self._sink.write, index, data, hasher, was_saved=was_saved)
            self._window.give(len(data))
            self._transfer.advance(len(data))

    def _slot(self, index: int) -> asyncio.Future[_Ready]:
        if index not in self._ready:
            self._ready[index] = asyncio.get_running_loop().create_future()
        return self._ready[index]

    async def _obtain(self, index: int) -> _Ready:
        saved = await self._offload.run(self._sink.saved, index)
        if saved is not None:
            return saved, True
        data = await fetch_chunk(
            self._file, index, self._supply, self._offload, extra=self._extra, on_source=self._transfer.sources.add
        )
        return data, False


async def fetch_chunk(
    file: OpenedFile,
    index: int,
    supply: Supply,
    offload: Offload,
    *,
    extra: Sequence[NodeId] = (),
    on_source: Callable[[NodeId], None] | None = None,
) -> bytes:
    """Get the plain bytes of one chunk, verified.

    Raises:
        ContentUnavailableError: No holder answers.
        CorruptContentError: No intact copy was found.
    """
    sealed = await supply.fetch(
        file.manifest.chunk_ids[index],
        file.cells[index],
        size_max=file.sealed_size(index),
        extra=extra,
        on_source=on_source,
    )
    if len(sealed) > INLINE_DECRYPT_BYTES_MAX:
        return await offload.run(file.decrypt, index, sealed)
    return file.decrypt(index, sealed)
