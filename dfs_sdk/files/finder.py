"""From a link to an opened file: finds the manifest, verifies it and opens it."""

from __future__ import annotations

from collections.abc import Sequence

from dfs_sdk.errors import ContentNotFoundError, ContentUnavailableError, LinkError, ProtocolError
from dfs_sdk.exchange.fetching import NotHeldError
from dfs_sdk.files.catalog import Catalog
from dfs_sdk.files.link import Link, network_tag
from dfs_sdk.files.manifest import Manifest, open_public
from dfs_sdk.files.opened import OpenedFile, open_file
from dfs_sdk.files.ports import Replicator
from dfs_sdk.files.providers import Providers
from dfs_sdk.files.supply import Supply
from dfs_sdk.ids import NetworkId, NodeId
from dfs_sdk.runtime.ports import Offload


class Finder:
    """Opens files by their links.

    Args:
        catalog: May have the manifest.
        supply: Gets it otherwise.
        providers: Names peers when placement does not.
        replication: Knows the cells.
        offload: Worker threads.
        networks: This network and those the node belonged to before: links of theirs are accepted.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        supply: Supply,
        providers: Providers,
        replication: Replicator,
        offload: Offload,
        networks: Sequence[NetworkId],
    ) -> None:
        self._catalog = catalog
        self._supply = supply
        self._providers = providers
        self._replication = replication
        self._offload = offload
        self._tags = {network_tag(network_id) for network_id in networks}
        self._own_tag = network_tag(networks[0])

    @property
    def tag(self) -> bytes:
        """What links made here carry."""
        return self._own_tag

    def check_network(self, link: Link) -> None:
        """Check that a link belongs here.

        Raises:
            LinkError: It belongs to another network.
        """
        if link.network_tag not in self._tags:
            raise LinkError("this link belongs to another network: join that network first, then use it")

    async def open(self, link: Link) -> tuple[OpenedFile, list[NodeId]]:
        """Find and open a file.

        Returns:
            The file, and peers that provide it by their own word.

        Raises:
            LinkError: The link is of another network, only verifies, or does not open its manifest.
            ContentNotFoundError: No node knows it.
            ContentUnavailableError: No holder of the manifest answers.
            CorruptContentError: No intact copy of the manifest was found.
        """
        self.check_network(link)
        _ = link.read_key
        sealed, extra = await self._manifest(link)
        return await self._offload.run(open_file, link, sealed, self._replication.cells_of), extra

    async def open_verified(self, link: Link) -> tuple[Manifest, bytes]:
        """Find a file and open its public part, for which a verify link is enough.

        Returns:
            The public part, and the manifest as it is stored.

        Raises: Like `open`.
        """
        self.check_network(link)
        sealed, _extra = await self._manifest(link)
        try:
            manifest, _private = await self._offload.run(open_public, link.verify_key, sealed)
        except ProtocolError as error:
            raise LinkError(f"the link does not open its file: {error}") from None
        return manifest, sealed

    async def _manifest(self, link: Link) -> tuple[bytes, list[NodeId]]:
        kept = await self._catalog.manifest_bytes(link.manifest_id)
        if kept is not None:
            return kept, []
        try:
            return await self._supply.fetch(link.manifest_id, None), []
        except ContentUnavailableError as error:
            extra = await self._providers.find(link.manifest_id)
            if not extra:
                raise _not_found(link) if isinstance(error, NotHeldError) else error from None
        try:
            return await self._supply.fetch(link.manifest_id, None, extra=extra), extra
        except NotHeldError:
            raise _not_found(link) from None


def _not_found(link: Link) -> ContentNotFoundError:
    return ContentNotFoundError(
        f"no node of this network knows file {link.manifest_id.short}: check the link, or ask its owner"
    )
