"""Links: what a user gives to another to let them find, check or read a file. Pure.

A link is a capability: whoever has it can do what it says, so its `repr` masks the key and it never reaches a log.
The full text is only given by `str()`. Layout and golden vectors: P-FILE-1 in docs/protocol/files.md.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from enum import Enum
from struct import Struct

from dfs_sdk.crypto.hashing import KEY_BYTES, blake3_256, hkdf_sha256
from dfs_sdk.errors import LinkError
from dfs_sdk.ids import ChunkId, NetworkId
from dfs_sdk.runtime.door import Shown

SCHEME = "dfs:"
VERSION = 1
NETWORK_TAG_BYTES = 4
CHECKSUM_BYTES = 4
TEXT_LENGTH_MAX = 200
_BODY = Struct(f">BB{NETWORK_TAG_BYTES}s32s{KEY_BYTES}s")
_TEXT_BYTES = _BODY.size + CHECKSUM_BYTES
_CHECKSUM_DOMAIN = b"dfs/link/1"
_NETWORK_DOMAIN = b"dfs/network-tag/1"
_VERIFY_INFO = b"dfs/verify/1"


class LinkKind(Enum):
    """What a link allows."""

    VERIFY = 1
    READ = 2


@dataclass(frozen=True, slots=True)
class Link(Shown):
    """Names a file of a network and carries the key for one kind of access.

    Attributes:
        kind: READ shows content and name; VERIFY only finds, audits and repairs.
        network_tag: 4 bytes of a hash of the network's id, to tell a link of another network.
        manifest_id: The chunk that the manifest is.
        key: 32 secret bytes.
    """

    kind: LinkKind
    network_tag: bytes
    manifest_id: ChunkId
    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.network_tag) != NETWORK_TAG_BYTES or len(self.key) != KEY_BYTES:
            raise LinkError("a link carries a network tag of 4 bytes and a key of 32")

    @classmethod
    def parse(cls, text: str) -> Link:
        """Read a link, spaces and line breaks around and inside it forgiven.

        Raises:
            LinkError: Cut short, mistyped, or of a later version.
        """
        if len(text) > 4 * TEXT_LENGTH_MAX:
            raise LinkError("this is too long for a link: copy it again")
        compact = "".join(text.split())
        if not compact.lower().startswith(SCHEME):
            raise LinkError(f"a link starts with {SCHEME!r}: copy it in full")
        data = _decoded(compact[len(SCHEME) :])
        if len(data) >= _TEXT_BYTES and data[0] != VERSION:
            raise LinkError(f"this link is of version {data[0]}, this program reads version {VERSION}: update it")
        if len(data) != _TEXT_BYTES:
            raise LinkError(f"a link has {_TEXT_BYTES} bytes, this one {len(data)}: copy it in full")
        body, checksum = data[: _BODY.size], data[_BODY.size :]
        if _checksum(body) != checksum:
            raise LinkError("the link is mistyped: its checksum does not fit; copy it again")
        _version, kind, tag, manifest_id, key = _BODY.unpack(body)
        try:
            return cls(kind=LinkKind(kind), network_tag=tag, manifest_id=ChunkId(manifest_id), key=key)
        except ValueError:
            raise LinkError(f"this program does not know links of kind {kind}: update it") from None

    def verify(self) -> Link:
        """Return the link that finds and checks the file without reading it."""
        if self.kind is LinkKind.VERIFY:
            return self
        return Link(
            kind=LinkKind.VERIFY,
            network_tag=self.network_tag,
            manifest_id=self.manifest_id,
            key=verify_key_of(self.key),
        )

    @property
    def verify_key(self) -> bytes:
        """The key that opens the public part of the manifest."""
        return self.verify().key

    @property
    def read_key(self) -> bytes:
        """The key that opens content and name.

        Raises:
            LinkError: This is a verify link.
        """
        if self.kind is not LinkKind.READ:
            raise LinkError("this link only verifies: ask for the full link to read the file")
        return self.key

    def __str__(self) -> str:
        body = _BODY.pack(VERSION, self.kind.value, self.network_tag, self.manifest_id, self.key)
        text = base64.urlsafe_b64encode(body + _checksum(body)).rstrip(b"=")
        return SCHEME + text.decode("ascii")

    def __repr__(self) -> str:
        return f"Link({self.kind.name.lower()} {self.manifest_id.short}…)"


def network_tag(network_id: NetworkId) -> bytes:
    """Compute the 4 bytes by which links tell networks apart."""
    return blake3_256(_NETWORK_DOMAIN, network_id)[:NETWORK_TAG_BYTES]


def verify_key_of(read_key: bytes) -> bytes:
    """Derive the weaker key from the stronger one."""
    return hkdf_sha256(read_key, info=_VERIFY_INFO)


def _checksum(body: bytes) -> bytes:
    return blake3_256(_CHECKSUM_DOMAIN, body)[:CHECKSUM_BYTES]


def _decoded(text: str) -> bytes:
    try:
        data = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError, ValueError):
        raise LinkError("the link holds characters that no link has: copy it again") from None
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii") != text:
        raise LinkError("the link is mistyped at its end: copy it again")
    return data
