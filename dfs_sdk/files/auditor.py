"""Audits: asks the holders of the catalog's chunks what they hold, when the network changes and now and then."""

from __future__ import annotations

import asyncio
import logging

from dfs_sdk.errors import DfsError
from dfs_sdk.files.catalog import Catalog, Entry
from dfs_sdk.files.config import FilesConfig
from dfs_sdk.files.supply import Supply

logger = logging.getLogger(__name__)

# One round of audits asks about so many chunks; the next one goes on behind them.
ROUND_CHUNKS_MAX = 20_000


class Auditor:
    """Keeps the known holders of the catalog's chunks fresh.

    Args:
        catalog: Whose chunks.
        supply: Asks and remembers.
        config: Rhythm.
    """

    def __init__(self, *, catalog: Catalog, supply: Supply, config: FilesConfig) -> None:
        self._catalog = catalog
        self._supply = supply
        self._config = config
        self._wanted = asyncio.Event()
        self._cursor = 0

    def request(self) -> None:
        """Audit soon; many requests in a short time cause one audit."""
        self._wanted.set()

    async def run(self) -> None:
        """Audit on request and at intervals, for ever."""
        while True:
            try:
                async with asyncio.timeout(self._config.audit_interval):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            await asyncio.sleep(self._config.audit_delay)
            self._wanted.clear()
            try:
                await self.round()
            except DfsError as error:
                logger.info("an audit could not finish: %s", type(error).__name__)

    async def round(self) -> None:
        """Audit the next files of the catalog, up to a bound of chunks."""
        entries = list(self._catalog)
        if not entries:
            return
        start, asked = self._cursor % len(entries), 0
        for entry in (*entries[start:], *entries[:start]):
            await self.audit(entry)
            self._cursor += 1
            asked += len(entry.chunk_ids)
            if asked >= ROUND_CHUNKS_MAX:
                return

    async def audit(self, entry: Entry, *, keep_known: bool = False) -> None:
        """Ask who holds the chunks of one file; `keep_known` believes copies known already beside the answers."""
        await self._supply.locate(list(dict.fromkeys(entry.chunk_ids)), entry.known_cells, keep_known=keep_known)
