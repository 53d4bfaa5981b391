"""Downloads from beginning to end: into memory, or into a part file that gets its name when all is verified."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dfs_sdk.errors import ConfigError
from dfs_sdk.files.config import FilesConfig
from dfs_sdk.files.download import Download
from dfs_sdk.files.opened import OpenedFile
from dfs_sdk.files.sink import MemorySink, PartSink, Sink, resolve_target
from dfs_sdk.files.supply import Supply
from dfs_sdk.files.transfers import Transfer
from dfs_sdk.ids import NodeId
from dfs_sdk.runtime.ports import Disk, Offload


class Downloads:
    """Runs downloads.

    Args:
        supply: Where chunks come from.
        disk: Where files go.
        offload: Worker threads.
        config: Bounds.
    """

    def __init__(self, *, supply: Supply, disk: Disk, offload: Offload, config: FilesConfig) -> None:
        self._supply = supply
        self._disk = disk
        self._offload = offload
        self._config = config
        self._parts: set[Path] = set()

    async def to_memory(self, file: OpenedFile, extra: Sequence[NodeId], transfer: Transfer) -> bytes:
        """Return the whole content."""
        if file.chunk_count == 0:
            transfer.advance(file.size)
            return file.contents.inline
        sink = MemorySink(file)
        await self._fetch(file, extra, sink, transfer)
        return sink.content()

    async def to_path(
        self, file: OpenedFile, extra: Sequence[NodeId], transfer: Transfer, *, destination: Path, overwrite: bool
    ) -> Path:
        """Write the whole content to a file, or into a folder under a safe name.

        Raises:
            FileExistsError: The destination exists.
            ConfigError: This very download runs already.
            StoreError: There is no room on the disk.
        """
        target = await self._offload.run(resolve_target, self._disk, destination, file.contents.name)
        sink = PartSink(self._disk, target, file, overwrite=overwrite)
        if sink.part in self._parts:
            raise ConfigError(f"{target} is being downloaded already: wait for it or cancel it")
        self._parts.add(sink.part)
        try:
            await self._offload.run(sink.open)
            transfer.remains = f"what arrived is in {sink.part}; getting it again goes on from there."
            await self._fetch(file, extra, sink, transfer)
            return await self._offload.run(sink.finish)
        finally:
            self._parts.discard(sink.part)
            await self._offload.run(sink.leave)

    async def _fetch(self, file: OpenedFile, extra: Sequence[NodeId], sink: Sink, transfer: Transfer) -> None:
        download = Download(
            file=file,
            sink=sink,
            supply=self._supply,
            extra=extra,
            offload=self._offload,
            config=self._config,
            transfer=transfer,
        )
        await download.run()
