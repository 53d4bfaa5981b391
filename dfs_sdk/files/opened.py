"""A file whose manifest was found, verified and opened: what downloads and readers work on. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from dfs_sdk.errors import CorruptContentError, LinkError, ProtocolError
from dfs_sdk.files.chunker import chunk_span
from dfs_sdk.files.link import Link
from dfs_sdk.files.manifest import Contents, Manifest, open_manifest
from dfs_sdk.files.seal import SEAL_OVERHEAD_BYTES, FileKeys, open_chunk, open_chunk_into
from dfs_sdk.ids import ChunkId
from dfs_sdk.runtime.ports import Buffer

# Names the two candidate cells of a chunk.
CellsOf = Callable[[ChunkId], tuple[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedFile:
    """Everything needed to read a file but its chunks.

    Attributes:
        link: What it was opened with.
        keys: Of the file.
        manifest: The public part.
        contents: The private part.
        cells: The placement cell of each chunk.
        sealed: The manifest as it is stored.
    """

    link: Link
    keys: FileKeys
    manifest: Manifest
    contents: Contents
    cells: tuple[int, ...]
    sealed: bytes = field(repr=False)

    @property
    def size(self) -> int:
        """Plain bytes."""
        return self.contents.size

    @property
    def chunk_count(self) -> int:
        """Number of chunks; 0 for a tiny file."""
        return self.manifest.chunk_count

    def span(self, index: int) -> tuple[int, int]:
        """Offset and length of a chunk in the file."""
        return chunk_span(index, self.size, self.manifest.chunk_bytes)

    def sealed_size(self, index: int) -> int:
        """Sealed bytes of a chunk."""
        return self.span(index)[1] + SEAL_OVERHEAD_BYTES

    def decrypt(self, index: int, data: Buffer) -> bytes:
        """Open a chunk whose bytes were held against its id.

        Raises:
            CorruptContentError: It is not this chunk of this file.
        """
        plaintext = open_chunk(self.keys, index, self.contents.salts[index], data)
        if len(plaintext) != self.span(index)[1]:
            raise CorruptContentError(f"chunk {index} has another length than the file's manifest says")
        return plaintext

    def decrypt_into(self, index: int, data: Buffer, out: memoryview) -> None:
        """Open a chunk whose bytes were held against its id into memory of exactly its plain length.

        Raises:
            CorruptContentError: It is not this chunk of this file; `out` holds nothing trustworthy.
        """
        if len(data) != self.sealed_size(index):
            raise CorruptContentError(f"chunk {index} has another length than the file's manifest says")
        open_chunk_into(self.keys, index, self.contents.salts[index], data, out)


def open_file(link: Link, sealed: bytes, cells_of: CellsOf) -> OpenedFile:
    """Open a manifest whose bytes were held against the link's manifest id.

    Raises:
        LinkError: The link only verifies, or its key does not open this manifest.
    """
    keys = FileKeys(link.read_key)
    try:
        manifest, contents = open_manifest(keys, sealed)
    except ProtocolError as error:
        raise LinkError(f"the link does not open its file: {error}") from None
    return OpenedFile(
        link=link,
        keys=keys,
        manifest=manifest,
        contents=contents,
        cells=cells_in(manifest, cells_of),
        sealed=sealed,
    )


def cells_in(manifest: Manifest, cells_of: CellsOf) -> tuple[int, ...]:
    """Work out the cell of each chunk from its bit in the manifest."""
    return tuple(
        cells_of(chunk_id)[second] for chunk_id, second in zip(manifest.chunk_ids, manifest.second_cells, strict=True)
    )
