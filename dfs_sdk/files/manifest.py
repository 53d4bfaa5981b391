"""Manifests: what chunks a file is made of, sealed, itself stored as a chunk. Pure.

The outer seal opens with the verify key and shows what auditing and repair need: ids, sizes in classes, the wanted
copies. Inside it lies, sealed under the read key, what only readers may know: name, exact size, hash of the content,
the salts of the chunks, and the whole content if it is tiny. To everybody else a manifest looks like any other chunk.

Byte layouts and golden vectors: P-FILE-3 to P-FILE-6 in docs/protocol/files.md.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from struct import Struct

from dfs_sdk.crypto.hashing import HASH_BYTES, blake3_256
from dfs_sdk.errors import ProtocolError
from dfs_sdk.exchange.config import SEALED_BYTES_MAX
from dfs_sdk.files.chunker import CHUNK_BYTES_MAX, CHUNK_COUNT_MAX, INLINE_BYTES_MAX
from dfs_sdk.files.seal import SALT_BYTES, FileKeys, open_salted, seal_salted
from dfs_sdk.ids import ID_BYTES, ChunkId
from dfs_sdk.runtime.ports import Buffer

VERSION = 1
NAME_BYTES_MAX = 1024
MEDIA_TYPE_BYTES_MAX = 127
SIZE_MAX = CHUNK_COUNT_MAX * CHUNK_BYTES_MAX
REPLICAS_MAX = 32
PADDING_BYTES = 64

_PUBLIC_INFO = b"dfs/manifest/1/public"
_PRIVATE_INFO = b"dfs/manifest/1/private"
# version, size class, wanted copies, zero, bytes a chunk, number of chunks, removal hash, key commitment
_PUBLIC = Struct(">BBBxII32s32s")
# version, zero, length of the media type, length of the name, size, length of the inline content, content hash
_PRIVATE = Struct(">BxHHQI32s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The public part: what a verify link shows.

    Attributes:
        size_class: Bit length of the file's size: the size to within a factor of two.
        replicas: Copies its owner wants of each chunk.
        chunk_bytes: Plain bytes of each chunk but the last.
        chunk_ids: The chunks in the order of the file.
        second_cells: For each chunk, whether it lives in the second of its two candidate cells.
        removal_hash: Hash of the key that removes the file.
        commitment: Hash that only the file's read key gives.
    """

    size_class: int
    replicas: int
    chunk_bytes: int
    chunk_ids: tuple[ChunkId, ...]
    second_cells: tuple[bool, ...]
    removal_hash: bytes
    commitment: bytes

    @property
    def chunk_count(self) -> int:
        """Number of chunks; 0 for a tiny file, which lies in the manifest."""
        return len(self.chunk_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The private part: what a read link shows.

    Attributes:
        name: The file's name as its owner gave it; never used as a path or shown as it is.
        size: Plain bytes.
        content_hash: BLAKE3 of the whole plaintext.
        media_type: Such as `text/csv`, or empty.
        salts: What the key of each chunk is derived with.
        inline: The whole content of a tiny file, else empty.
    """

    name: str
    size: int
    content_hash: bytes
    media_type: str = ""
    salts: tuple[bytes, ...] = ()
    inline: bytes = field(default=b"", repr=False)


def seal_manifest(keys: FileKeys, manifest: Manifest, contents: Contents) -> bytes:
    """Write and seal both parts; the same parts always give the same bytes.

    Raises:
        ValueError: The parts do not fit each other or their bounds.
    """
    try:
        _check(manifest, contents)
    except ProtocolError as error:
        raise ValueError(str(error)) from error
    private = seal_salted(keys.read_key, _PRIVATE_INFO, _write_private(contents))
    return seal_salted(keys.verify_key, _PUBLIC_INFO, _write_public(manifest) + private)


def open_public(verify_key: bytes, data: Buffer) -> tuple[Manifest, bytes]:
    """Open a manifest with a verify key.

    Returns:
        The public part, and the private one still sealed.

    Raises:
        ProtocolError: Wrong key, or not a manifest that follows the rules.
    """
    if len(data) > SEALED_BYTES_MAX:
        raise ProtocolError(f"a manifest of {len(data)} bytes is too long")
    return _read_public(open_salted(verify_key, _PUBLIC_INFO, data))


def open_manifest(keys: FileKeys, data: Buffer) -> tuple[Manifest, Contents]:
    """Open both parts with a read key.

    Raises:
        ProtocolError: Wrong key, or not a manifest that follows the rules.
    """
    manifest, private = open_public(keys.verify_key, data)
    if not hmac.compare_digest(manifest.commitment, keys.commitment):
        raise ProtocolError("the manifest was made for another read key")
    contents = _read_private(open_salted(keys.read_key, _PRIVATE_INFO, private), manifest.chunk_count)
    _check(manifest, contents)
    return manifest, contents


def _write_public(manifest: Manifest) -> bytes:
    bits = bytearray(-(-manifest.chunk_count // 8))
    for index, second in enumerate(manifest.second_cells):
        bits[index // 8] |= second << index % 8
    fixed = _PUBLIC.pack(
        VERSION,
        manifest.size_class,
        manifest.replicas,
        manifest.chunk_bytes,
        manifest.chunk_count,
        manifest.removal_hash,
        manifest.commitment,
    )
    return b"".join((fixed, *manifest.chunk_ids, bytes(bits)))


def _read_public(data: bytes) -> tuple[Manifest, bytes]:
    if len(data) < _PUBLIC.size or data[0] != VERSION or data[3] != 0:
        raise ProtocolError("not a manifest of this version")
    _, size_class, replicas, chunk_bytes, count, removal_hash, commitment = _PUBLIC.unpack_from(data)
    ids_end = _PUBLIC.size + count * ID_BYTES
    bits_end = ids_end + -(-count // 8)
    if count > CHUNK_COUNT_MAX or bits_end > len(data):
        raise ProtocolError(f"a manifest of {count} chunks is too long or cut short")
    bits = data[ids_end:bits_end]
    if count % 8 and bits[-1] >> count % 8:
        raise ProtocolError("a manifest's unused bits must be zero")
    manifest = Manifest(
        size_class=size_class,
        replicas=replicas,
        chunk_bytes=chunk_bytes,
        chunk_ids=tuple(ChunkId(data[at : at + ID_BYTES]) for at in range(_PUBLIC.size, ids_end, ID_BYTES)),
        second_cells=tuple(bool(bits[index // 8] >> index % 8 & 1) for index in range(count)),
        removal_hash=removal_hash,
        commitment=commitment,
    )
    _check_public(manifest)
    return manifest, data[bits_end:]


def _write_private(contents: Contents) -> bytes:
    name, media_type = contents.name.encode(), contents.media_type.encode()
    fixed = _PRIVATE.pack(
        VERSION, len(media_type), len(name), contents.size, len(contents.inline), contents.content_hash
    )
    data = b"".join((fixed, media_type, name, *contents.salts, contents.inline))
    return data + bytes(-len(data) % PADDING_BYTES)


def _read_private(data: bytes, count: int) -> Contents:
    if len(data) < _PRIVATE.size or data[0] != VERSION or data[1] != 0:
        raise ProtocolError("not the contents of a manifest of this version")
    _, media_length, name_length, size, inline_length, content_hash = _PRIVATE.unpack_from(data)
    media_end = _PRIVATE.size + media_length
    name_end = media_end + name_length
    salts_end = name_end + count * SALT_BYTES
    end = salts_end + inline_length
    if len(data) != end + -end % PADDING_BYTES or any(data[end:]):
        raise ProtocolError("the contents of a manifest are cut short or badly padded")
    try:
        name, media_type = data[media_end:name_end].decode(), data[_PRIVATE.size : media_end].decode("ascii")
    except UnicodeDecodeError:
        raise ProtocolError("a manifest holds text that is none") from None
    return Contents(
        name=name,
        size=size,
        content_hash=content_hash,
        media_type=media_type,
        salts=tuple(data[at : at + SALT_BYTES] for at in range(name_end, salts_end, SALT_BYTES)),
        inline=data[salts_end:end],
    )


def _check_public(manifest: Manifest) -> None:
    if not 1 <= manifest.chunk_bytes <= CHUNK_BYTES_MAX:
        raise ProtocolError(f"chunks of {manifest.chunk_bytes} bytes are out of range")
    if not 1 <= manifest.replicas <= REPLICAS_MAX or manifest.size_class > SIZE_MAX.bit_length():
        raise ProtocolError("a manifest's wanted copies or size class are out of range")
    if not len(manifest.chunk_ids) == len(manifest.second_cells) <= CHUNK_COUNT_MAX:
        raise ProtocolError("a manifest lists too many chunks")
    if len(manifest.removal_hash) != HASH_BYTES or len(manifest.commitment) != HASH_BYTES:
        raise ProtocolError("a manifest's hashes have 32 bytes")


def _check(manifest: Manifest, contents: Contents) -> None:
    _check_public(manifest)
    if len(contents.name.encode()) > NAME_BYTES_MAX or len(contents.media_type) > MEDIA_TYPE_BYTES_MAX:
        raise ProtocolError("a manifest's name or media type is too long")
    if manifest.size_class != contents.size.bit_length() or len(contents.content_hash) != HASH_BYTES:
        raise ProtocolError("the two parts of a manifest disagree about the size")
    count = manifest.chunk_count
    if len(contents.salts) != count or any(len(salt) != SALT_BYTES for salt in contents.salts):
        raise ProtocolError("a manifest needs one salt a chunk")
    if count == 0:
        if len(contents.inline) != contents.size or contents.size > INLINE_BYTES_MAX:
            raise ProtocolError("the content of a tiny file has another length than its manifest says")
        if blake3_256(contents.inline) != contents.content_hash:
            raise ProtocolError("the content of a tiny file does not hash to what its manifest says")
    elif contents.inline or -(-contents.size // manifest.chunk_bytes) != count:
        raise ProtocolError("a manifest's chunks do not make up its size")
