"""Uploads from beginning to end: drafts to go on from, the catalog entry, and cleaning up after those given up."""

from __future__ import annotations

import logging
import mimetypes
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from dfs_sdk.errors import DfsError
from dfs_sdk.files.catalog import Catalog, File, Record
from dfs_sdk.files.drafts import Draft, Drafts, Placed, draft_id_of
from dfs_sdk.files.keeping import Keeping
from dfs_sdk.files.link import Link, LinkKind
from dfs_sdk.files.source import Source
from dfs_sdk.files.transfers import Transfer
from dfs_sdk.files.upload import Upload, Uploaded, UploadPlan, UploadTools
from dfs_sdk.ids import ChunkId
from dfs_sdk.replication.policy import Policy

logger = logging.getLogger(__name__)

# The table built into Python, not the files of this machine: a name gives the same type everywhere.
_MEDIA_TYPES = mimetypes.MimeTypes()


@dataclass(frozen=True, slots=True, kw_only=True)
class PutOptions:
    """How a source is put.

    Attributes:
        name: The file's name.
        chunk_bytes: Plain bytes of each chunk but the last.
        policy: Copies wanted and to wait for.
    """

    name: str
    chunk_bytes: int
    policy: Policy


class Uploads:
    """Runs uploads.

    Args:
        catalog: Where stored files are written down.
        drafts: Where interrupted ones are.
        keeping: Removes what given-up ones left on peers.
        tools: What every upload works with.
        network_tag: What links made here carry.
        spawn: Starts cleaning up in the background.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        drafts: Drafts,
        keeping: Keeping,
        tools: UploadTools,
        network_tag: bytes,
        spawn: Callable[[str, Coroutine[Any, Any, None]], object],
    ) -> None:
        self._catalog = catalog
        self._drafts = drafts
        self._keeping = keeping
        self._tools = tools
        self._network_tag = network_tag
        self._spawn = spawn

    async def put(self, source: Source, options: PutOptions, transfer: Transfer) -> File:
        """Upload a source and write it down in the catalog; the caller closes the source."""
        draft_id, draft, placed = await self._draft(source, options)
        plan = UploadPlan(
            name=options.name,
            media_type=_MEDIA_TYPES.guess_type(options.name)[0] or "",
            chunk_bytes=options.chunk_bytes,
            policy=options.policy,
            draft=draft,
            placed=placed,
            note=None if draft_id is None else lambda chunks: self._drafts.note(draft_id, chunks),
        )
        upload = Upload(source=source, plan=plan, tools=self._tools, transfer=transfer)
        try:
            uploaded = await upload.run()
        except BaseException:
            if draft_id is None and upload.chunk_ids:
                self._spawn("clean up a put", self._retract(upload.chunk_ids, draft.removal_key))
            raise
        file = await self._catalog.add(self._record(uploaded, draft), uploaded.manifest, uploaded.sealed)
        if draft_id is not None:
            await self._drafts.discard(draft_id)
        return file

    async def clean_up(self) -> None:
        """Remove what uploads left on peers that nobody went on with in time."""
        for draft_id, draft, chunk_ids in await self._drafts.expired():
            await self._retract(chunk_ids, draft.removal_key)
            await self._drafts.discard(draft_id)

    async def _draft(self, source: Source, options: PutOptions) -> tuple[bytes | None, Draft, dict[int, Placed]]:
        if source.fingerprint is None:
            return None, self._drafts.fresh(), {}
        # The name is part of the draft's name: two puts of one path under two names share no key.
        fingerprint = source.fingerprint + b"\0" + options.name.encode()
        draft_id = draft_id_of(fingerprint, (options.chunk_bytes, options.policy.replicas))
        return draft_id, *await self._drafts.resume(draft_id)

    async def _retract(self, chunk_ids: Sequence[ChunkId], removal_key: bytes) -> None:
        try:
            await self._keeping.remove(chunk_ids, removal_key)
        except DfsError as error:
            logger.info("%d chunks of a given-up put stay on peers: %s", len(chunk_ids), type(error).__name__)

    def _record(self, uploaded: Uploaded, draft: Draft) -> Record:
        link = Link(
            kind=LinkKind.READ,
            network_tag=self._network_tag,
            manifest_id=uploaded.manifest_id,
            key=draft.read_key,
        )
        return Record(
            name=uploaded.contents.name,
            link=str(link),
            size=uploaded.contents.size,
            chunk_bytes=uploaded.manifest.chunk_bytes,
            chunk_count=uploaded.manifest.chunk_count,
            replicas=uploaded.manifest.replicas,
            pinned=False,
            origin="put",
            created_at_wall=self._tools.clock.wall(),
            removal_key=draft.removal_key,
            manifest_cell=uploaded.manifest_cell,
        )
