"""Files of one node: put, get, open, share, pin, remove, and the catalog of all it knows."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.errors import ConfigError, DfsError
from dfs_sdk.events import EventBus
from dfs_sdk.exchange.service import Exchange
from dfs_sdk.files.auditor import Auditor
from dfs_sdk.files.catalog import Catalog, File, FileStat, described, described_publicly
from dfs_sdk.files.chunker import choose_chunk_bytes, chunk_count, validate_chunk_bytes
from dfs_sdk.files.config import FilesConfig
from dfs_sdk.files.downloads import Downloads
from dfs_sdk.files.drafts import Drafts
from dfs_sdk.files.finder import Finder
from dfs_sdk.files.holders import Holders
from dfs_sdk.files.keeping import Keeping
from dfs_sdk.files.link import Link, LinkKind
from dfs_sdk.files.manifest import NAME_BYTES_MAX
from dfs_sdk.files.messages import ShareNote
from dfs_sdk.files.names import display_name, is_active
from dfs_sdk.files.news import FileFetched, FileRemoved, FileStored
from dfs_sdk.files.observe import FilePlaces, Observer
from dfs_sdk.files.opened import OpenedFile
from dfs_sdk.files.patience import found_within, patiently, validate_timeout
from dfs_sdk.files.ports import Membership, Replicator
from dfs_sdk.files.providers import Directory, Providers
from dfs_sdk.files.reader import Reader
from dfs_sdk.files.shares import Shares
from dfs_sdk.files.source import UNTITLED, Putable, open_source
from dfs_sdk.files.supply import Supply
from dfs_sdk.files.transfers import Direction, Transfer, Transfers
from dfs_sdk.files.upload import UploadTools
from dfs_sdk.files.uploads import PutOptions, Uploads
from dfs_sdk.ids import NetworkId, NodeId
from dfs_sdk.replication.policy import Policy
from dfs_sdk.rpc.base import RpcService
from dfs_sdk.runtime.ports import Runtime
from dfs_sdk.runtime.tasks import TaskScope
from dfs_sdk.store.base import ChunkStore

logger = logging.getLogger(__name__)

CLEAN_UP_INTERVAL = 3600.0

Progress = Callable[[Transfer], None]


class Files:
    """Everything a node does with files.

    Args:
        rpc: Calls.
        store: The local store, open.
        exchange: Chunks between two peers.
        replication: Where chunks live.
        dht: Provider records; None in a network without a DHT.
        peers: Who is in the network.
        events: Where news goes.
        scope: The parent of background tasks.
        runtime: Ports.
        identity: Our keys.
        network_id: The network.
        former_networks: Networks this node belonged to before: links of theirs are accepted.
        transfer_ids: Those of its transfers; shared with its earlier networks, so that each names one only.
        config: What can be tuned.
    """

    def __init__(
        self,
        *,
        rpc: RpcService,
        store: ChunkStore,
        exchange: Exchange,
        replication: Replicator,
        dht: Directory | None,
        peers: Membership,
        events: EventBus,
        scope: TaskScope,
        runtime: Runtime,
        identity: Identity,
        network_id: NetworkId,
        former_networks: Sequence[NetworkId] = (),
        transfer_ids: Iterator[int] | None = None,
        config: FilesConfig | None = None,
    ) -> None:
        self._config = config = config or FilesConfig()
        self._runtime = runtime
        self._events = events
        self._scope = scope
        self._peers = peers
        self._replication = replication
        self._holders = Holders()
        self._catalog = Catalog(store, runtime.offload, replication.cells_of, files_max=config.catalog_files_max)
        self._transfers = Transfers(
            scope=scope,
            clock=runtime.clock,
            events=events,
            finished_max=config.transfers_max,
            numbers=transfer_ids or itertools.count(1),
        )
        self._supply = Supply(
            exchange=exchange,
            replication=replication,
            peers=peers,
            holders=self._holders,
            clock=runtime.clock,
            config=config,
        )
        self._providers = Providers(dht, rpc, runtime.rng.child("providers"))
        self._finder = Finder(
            catalog=self._catalog,
            supply=self._supply,
            providers=self._providers,
            replication=replication,
            offload=runtime.offload,
            networks=(network_id, *former_networks),
        )
        self._keeping = Keeping(
            me=rpc.node_id,
            store=store,
            exchange=exchange,
            replication=replication,
            supply=self._supply,
            holders=self._holders,
        )
        self._auditor = Auditor(catalog=self._catalog, supply=self._supply, config=config)
        self._observer = Observer(
            me=rpc.node_id,
            catalog=self._catalog,
            holders=self._holders,
            store=store,
            peers=peers,
            clock=runtime.clock,
        )
        self._shares = Shares(
            rpc=rpc,
            identity=identity,
            peers=peers,
            catalog=self._catalog,
            finder=self._finder,
            events=events,
            clock=runtime.clock,
            config=config,
            on_received=self._look_up,
            spawn=self._in_background,
        )
        self._downloads = Downloads(supply=self._supply, disk=runtime.disk, offload=runtime.offload, config=config)
        self._uploads = Uploads(
            catalog=self._catalog,
            drafts=Drafts(
                store,
                runtime.clock,
                runtime.entropy,
                drafts_max=config.drafts_max,
                draft_seconds=config.draft_seconds,
            ),
            keeping=self._keeping,
            tools=UploadTools(
                me=rpc.node_id,
                replication=replication,
                supply=self._supply,
                holders=self._holders,
                scope=scope,
                offload=runtime.offload,
                clock=runtime.clock,
                config=config,
            ),
            network_tag=self._finder.tag,
            spawn=self._in_background,
        )

    async def start(self) -> None:
        """Read the catalog, begin to take shares, audit and announce what this node provides."""
        await self._catalog.load()
        self._shares.serve()
        self._peers.on_change(lambda _view: self._auditor.request())
        self._scope.spawn("audit files", self._auditor.run())
        self._in_background("announce files", self._announce_all())
        self._in_background("clean up drafts", self._uploads.clean_up())
        self._scope.every(
            "clean up drafts", CLEAN_UP_INTERVAL, self._uploads.clean_up, rng=self._runtime.rng.child("files")
        )

    async def close(self) -> None:
        """Cancel the transfers that run and wait for their end."""
        for transfer in self._transfers.listed():
            await transfer.stop()

    @property
    def transfers(self) -> list[Transfer]:
        """Running transfers and the latest finished ones, oldest first."""
        return self._transfers.listed()

    def on_transfer_lap(self, handler: Callable[[Transfer], None]) -> None:
        """Call `handler` with each transfer every half minute and at the instant of its end: see `Transfers.on_lap`."""
        self._transfers.on_lap(handler)

    def listed(self) -> list[File]:
        """The files of the catalog, oldest first; memory only."""
        return [entry.file for entry in self._catalog]

    def stats(self) -> list[FileStat]:
        """The files of the catalog and how well they are kept; memory only."""
        return self._observer.stats()

    def places(self) -> list[FilePlaces]:
        """Where every chunk of the catalog is, as far as known; memory only."""
        return self._observer.places()

    async def put(
        self,
        source: Putable,
        *,
        name: str | None = None,
        policy: Policy | None = None,
        chunk_bytes: int | None = None,
        progress: Progress | None = None,
    ) -> File:
        """Seal a file, spread it, and return when every chunk has its write quorum.

        Args:
            source: A path, bytes, a binary file object or an async iterable of bytes.
            name: What to call it; the path's name if not given.
            policy: Copies wanted and to wait for.
            chunk_bytes: Plain bytes a chunk, 16 KiB to 4 MiB; chosen by size if not given.
            progress: Called on the loop as it goes on.

        Raises:
            TooFewReplicasError: Too few peers confirmed.
            FileNotFoundError: The path does not exist.
            ConfigError: An argument is out of range.
        """
        opened = await open_source(source, self._runtime.disk, self._runtime.offload)
        try:
            called = _checked_name(name if name is not None else opened.name)
            size = choose_chunk_bytes(opened.size) if chunk_bytes is None else validate_chunk_bytes(chunk_bytes)
            chunk_count(opened.size or 0, size)
            options = PutOptions(name=called, chunk_bytes=size, policy=policy or Policy())
            file = await self._transfers.run(
                Direction.PUT,
                called,
                lambda transfer: self._uploads.put(opened, options, transfer),
                bytes_total=opened.size,
                progress=progress,
            )
        finally:
            await opened.close()
        manifest_id = file.link.manifest_id
        self._in_background("announce a file", self._providers.publish(manifest_id))
        self._events.publish(
            FileStored(at_wall=self._runtime.clock.wall(), manifest_id=manifest_id, name=file.name, size=file.size)
        )
        return file

    async def get(
        self,
        link: Link,
        destination: Path | None = None,
        *,
        overwrite: bool = False,
        progress: Progress | None = None,
        timeout: float | None = None,
    ) -> bytes | Path:
        """Fetch a whole file, verified.

        Args:
            link: What reads it.
            destination: A file, or a folder to save it in under a safe name; None returns the bytes.
            overwrite: Replace an existing file.
            progress: Called on the loop as it goes on.
            timeout: Give up when nothing arrived for so many seconds; None: when no holder can be blocked any more,
                which takes about a minute.

        Raises:
            LinkError: The link is of another network or only verifies.
            DeadlineError: Nothing arrived for `timeout`; what was saved is used next time.
            ContentNotFoundError: No node knows the file.
            ContentUnavailableError: Too few holders answer; what was saved is used next time.
            CorruptContentError: No intact copy was found.
            FileExistsError: The destination exists.
        """
        validate_timeout(timeout)
        file, extra = await found_within(self._finder.open(link), timeout)
        if destination is None and file.size > self._config.bytes_result_max:
            raise ConfigError(f"the file has {file.size} bytes: give a destination, or open it and read ranges")
        result = await self._transfers.run(
            Direction.GET,
            display_name(file.contents.name),
            lambda transfer: patiently(
                self._fetch(file, extra, destination, transfer, overwrite=overwrite),
                transfer,
                self._runtime.clock,
                timeout=timeout,
            ),
            bytes_total=file.size,
            progress=progress,
        )
        entry = await self._catalog.remember(file, now_wall=self._runtime.clock.wall())
        # Who gave it is known; how many others have it, only they can say.
        self._in_background("audit a file", self._auditor.audit(entry, keep_known=True))
        self._events.publish(
            FileFetched(
                at_wall=self._runtime.clock.wall(),
                manifest_id=link.manifest_id,
                name=entry.file.name,
                size=file.size,
                active=destination is not None and is_active(file.contents.name),
            )
        )
        return result

    async def download(self, link: Link, *, overwrite: bool = False, progress: Progress | None = None) -> Path:
        """Fetch a file into the download folder of the config; raises like `get`."""
        folder = self._config.download_folder
        await self._runtime.offload.run(self._runtime.disk.make_folders, folder.expanduser().absolute())
        path = await self.get(link, folder, overwrite=overwrite, progress=progress)
        return path if isinstance(path, Path) else folder

    async def open(self, link: Link) -> Reader:
        """Open a file to read ranges of it; raises like `get`."""
        file, extra = await self._finder.open(link)
        return Reader(file, self._supply, self._runtime.offload, self._config, scope=self._scope, extra=extra)

    async def ls(self) -> list[File]:
        """List the files this node stored, fetched or was given, oldest first."""
        return self.listed()

    async def stat(self, link: Link | File) -> FileStat:
        """Ask who holds a file at this moment; one that is not in the catalog is looked up.

        With a verify link the name stays unknown and the size is only an upper bound. Raises like `get`.
        """
        link = _link(link)
        entry = self._catalog.get(link.manifest_id)
        media_type = ""
        if link.kind is LinkKind.READ:
            file, _extra = await self._finder.open(link)
            media_type = file.contents.media_type
            if entry is None or entry.manifest is None:
                entry = described(file, entry, now_wall=self._runtime.clock.wall())
        elif entry is None or entry.manifest is None:
            manifest, _sealed = await self._finder.open_verified(link)
            entry = described_publicly(link, manifest, self._replication.cells_of, now_wall=self._runtime.clock.wall())
        await self._auditor.audit(entry)
        return self._observer.stat(entry, media_type=media_type)

    async def remove(self, link: Link | File) -> None:
        """Remove a file: its holders delete it if it was stored from here; else only this node forgets it.

        Raises:
            ContentNotFoundError: It is not in the catalog.
        """
        entry = self._catalog.entry(_link(link).manifest_id)
        manifest_id = entry.file.link.manifest_id
        ids = list(dict.fromkeys(entry.chunk_ids))
        copies, silent = 0, 0
        if entry.record.removal_key:
            removal = await self._keeping.remove(ids, entry.record.removal_key)
            copies, silent = removal.copies, len(removal.silent)
        elif entry.file.pinned:
            await self._keeping.unpin(ids)
        await self._catalog.remove(manifest_id)
        self._in_background("take back a record", self._providers.unpublish(manifest_id))
        self._events.publish(
            FileRemoved(
                at_wall=self._runtime.clock.wall(),
                manifest_id=manifest_id,
                name=entry.file.name,
                copies=copies,
                silent=silent,
            )
        )

    async def pin(self, link: Link | File, *, progress: Progress | None = None) -> None:
        """Keep a whole copy of a file here; raises like `get`, and QuotaExceededError."""
        file, extra = await self._finder.open(_link(link))
        await self._catalog.remember(file, now_wall=self._runtime.clock.wall())
        await self._transfers.run(
            Direction.GET,
            display_name(file.contents.name),
            lambda transfer: self._keeping.pin(file, extra, transfer),
            bytes_total=file.size,
            progress=progress,
        )
        await self._catalog.set_pinned(file.link.manifest_id, pinned=True)
        self._in_background("announce a file", self._providers.publish(file.link.manifest_id))

    async def unpin(self, link: Link | File) -> None:
        """Let the store decide again whether it keeps its copy.

        Raises:
            ContentNotFoundError: It is not in the catalog.
        """
        entry = self._catalog.entry(_link(link).manifest_id)
        await self._keeping.unpin(entry.chunk_ids)
        await self._catalog.set_pinned(entry.file.link.manifest_id, pinned=False)
        if not entry.file.owned:
            self._in_background("take back a record", self._providers.unpublish(entry.file.link.manifest_id))

    async def share(self, link: Link | File, peer: NodeId) -> None:
        """Give a file to one peer: the link travels sealed to its key.

        Raises:
            PeerUnreachableError: The peer is unknown or does not answer.
            DeadlineError: No answer in time.
            RemoteError: It refused.
            LinkError: The link only verifies, or is of another network.
        """
        link = _link(link)
        entry = self._catalog.get(link.manifest_id)
        if entry is None:
            file, _extra = await self._finder.open(link)
            name, size = file.contents.name, file.size
        else:
            self._finder.check_network(link)
            _ = link.read_key
            name, size = entry.record.name, entry.record.size
        await self._shares.send(ShareNote(link=str(link), name=name, size=size), peer)

    async def audit(self, link: Link | File | None = None) -> None:
        """Ask the holders of one file's chunks, or of all, what they hold.

        Raises:
            ContentNotFoundError: It is not in the catalog.
        """
        if link is None:
            await self._auditor.round()
        else:
            await self._auditor.audit(self._catalog.entry(_link(link).manifest_id))

    async def _fetch(
        self,
        file: OpenedFile,
        extra: Sequence[NodeId],
        destination: Path | None,
        transfer: Transfer,
        *,
        overwrite: bool,
    ) -> bytes | Path:
        if destination is None:
            return await self._downloads.to_memory(file, extra, transfer)
        return await self._downloads.to_path(file, extra, transfer, destination=destination, overwrite=overwrite)

    async def _look_up(self, link: Link) -> None:
        """Open the manifest of a share, so that the list shows the file as it is."""
        file, _extra = await self._finder.open(link)
        await self._catalog.remember(file, now_wall=self._runtime.clock.wall())

    async def _announce_all(self) -> None:
        for entry in self._catalog:
            if entry.file.owned or entry.file.pinned:
                await _quietly("announce a file", self._providers.publish(entry.file.link.manifest_id))

    def _in_background(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Start something whose failure the user need not hear of."""
        task = self._scope.spawn(name, _quietly(name, work))
        # A task that is cancelled before its first step never awaits what it was given.
        task.add_done_callback(lambda _task: work.close())


async def _quietly(name: str, work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except (DfsError, OSError) as error:
        logger.info("could not %s: %s", name, type(error).__name__)


def _link(what: Link | File) -> Link:
    return what.link if isinstance(what, File) else what


def _checked_name(name: str) -> str:
    # A path may hold bytes that are no text: they travel as question marks.
    clean = name.encode("utf-8", "replace").decode() or UNTITLED
    if len(clean.encode()) > NAME_BYTES_MAX:
        raise ConfigError(f"a name may take {NAME_BYTES_MAX} bytes: give a shorter one")
    return clean
