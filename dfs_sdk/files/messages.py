"""Sharing on the wire: a link sealed to one peer and signed by its sender. Rules P-FILE-12 and P-FILE-13."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar

from dfs_sdk.crypto.identity import Identity, PublicIdentity
from dfs_sdk.crypto.keys import AgreementKey, verify_signature
from dfs_sdk.crypto.sealing import open_sealed, seal_to
from dfs_sdk.files.link import TEXT_LENGTH_MAX
from dfs_sdk.files.manifest import NAME_BYTES_MAX, SIZE_MAX
from dfs_sdk.ids import NodeId
from dfs_sdk.wire.codec import Range, Request, Size, WallTime, decode, encode

SEALED_NOTE_BYTES_MAX = 4096
_DOMAIN = b"dfs/share/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareNote:
    """What only the recipient reads; the sender's word until the file is opened.

    Attributes:
        link: The text of the link.
        name: The file's name, as its owner gave it.
        size: Plain bytes.
    """

    link: Annotated[str, Size(1, TEXT_LENGTH_MAX)] = field(repr=False)
    name: Annotated[str, Size(0, NAME_BYTES_MAX)]
    size: Annotated[int, Range(0, SIZE_MAX)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """The recipient has written the share down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share(Request[Shared]):
    """Gives a file to the receiver.

    Attributes:
        sealed: An encoded `ShareNote`, sealed to the receiver's session key.
        created_at_wall: When it was made, on the sender's clock.
        signature: Ed25519 over domain, both node ids and the fields above.
    """

    tag: ClassVar[int] = 0x0501
    reply: ClassVar[type] = Shared

    sealed: Annotated[bytes, Size(1, SEALED_NOTE_BYTES_MAX)]
    created_at_wall: WallTime
    signature: Annotated[bytes, Size(0, 64)] = b""


def make_share(note: ShareNote, *, sender: Identity, recipient: PublicIdentity, now_wall: float) -> Share:
    """Seal and sign a share for one peer.

    Raises:
        ProtocolError: The recipient's key is unusable.
    """
    parties = sender.node_id + recipient.node_id
    unsigned = Share(sealed=seal_to(recipient.x, _DOMAIN, encode(note), parties), created_at_wall=now_wall)
    return replace(unsigned, signature=sender.signing.sign(_DOMAIN + parties + encode(unsigned)))


def read_share(share: Share, *, sender: PublicIdentity, recipient: NodeId, key: AgreementKey) -> ShareNote:
    """Check who signed a share and open it.

    Raises:
        ProtocolError: Not signed by `sender` for `recipient`, not sealed to `key`, or malformed.
    """
    parties = sender.node_id + recipient
    verify_signature(sender.ed, share.signature, _DOMAIN + parties + encode(replace(share, signature=b"")))
    return decode(ShareNote, open_sealed(key, _DOMAIN, share.sealed, parties))
