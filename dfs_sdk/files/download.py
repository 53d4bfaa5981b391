"""One download: chunks fetched side by side, each verified, opened and put in its place by one call in a worker thread.

A chunk's bytes are held against its id, which the manifest lists and the link vouches for, and are opened under a key
that only the link gives: what lands is what the writer sealed, whoever sent it and in whatever order it came. The whole
needs no hash of its own (docs/decisions/0011-no-second-hash.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from dfs_sdk.exchange.asking import Wanted
from dfs_sdk.files.config import FilesConfig
from dfs_sdk.files.opened import OpenedFile
from dfs_sdk.files.sink import Sink
from dfs_sdk.files.stretches import Stretches
from dfs_sdk.files.supply import Supply
from dfs_sdk.files.transfers import Transfer
from dfs_sdk.ids import NodeId
from dfs_sdk.runtime.ports import Offload
from dfs_sdk.runtime.tasks import run_all

INLINE_DECRYPT_BYTES_MAX = 64 * 1024


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
        self._indices = iter(range(file.chunk_count))
        self._stretches = Stretches(file.size, file.manifest.chunk_bytes)

    async def run(self) -> None:
        """Fetch, verify and place everything; of a tiny file, which lies in its manifest, nothing is left to do.

        Raises:
            ContentUnavailableError: Some chunk has no holder that answers.
            CorruptContentError: Some chunk is not what the manifest says.
        """
        if self._file.chunk_count == 0:
            self._transfer.advance(self._file.size)
            return
        workers = min(parallel_chunks(self._file, self._config), self._file.chunk_count)
        await run_all(*(self._work() for _ in range(workers)))

    async def _work(self) -> None:
        for index in self._indices:
            await self._transfer.turn()
            if not (self._sink.resumes and await self._offload.run(self._sink.saved, index)):
                await self._fetch(index)
            offset, length = self._file.span(index)
            self._transfer.advance(length)
            if (stretch := self._stretches.note(offset, length)) is not None:
                await self._offload.run(self._sink.write_back, *stretch)

    async def _fetch(self, index: int) -> None:
        wanted = Wanted(
            chunk_id=self._file.manifest.chunk_ids[index],
            use=partial(self._sink.land, index),
            size_max=self._file.sealed_size(index),
            on_source=self._note_source,
        )
        cell, patience = self._file.cells[index], self._transfer.patience
        await self._supply.fetch_into(wanted, cell, extra=self._extra, patience=patience)

    def _note_source(self, source: NodeId, _lent: bool) -> None:  # noqa: FBT001 - as it is told
        self._transfer.sources.add(source)


async def fetch_chunk(
    file: OpenedFile,
    index: int,
    supply: Supply,
    *,
    extra: Sequence[NodeId] = (),
) -> bytes:
    """Get the plain bytes of one chunk, verified.

    Raises:
        ContentUnavailableError: No holder answers.
        CorruptContentError: No intact copy was found.
    """
    wanted = Wanted(
        chunk_id=file.manifest.chunk_ids[index],
        use=partial(file.decrypt, index),
        inline_bytes_max=INLINE_DECRYPT_BYTES_MAX,
        size_max=file.sealed_size(index),
    )
    return await supply.fetch_into(wanted, file.cells[index], extra=extra)


def parallel_chunks(file: OpenedFile, config: FilesConfig) -> int:
    """How many chunks of a file may be under way at one time."""
    room = config.download_bytes_max // file.manifest.chunk_bytes
    return max(min(config.download_concurrency, room), 1)
