"""Codecs: bytes of a peer in, checked values out, `ProtocolError` for all else."""

from dfs_sdk.wire.codec import (
    BODY_BYTES_MAX,
    U8,
    U16,
    U32,
    U64,
    Bytes32,
    Packed,
    Range,
    Request,
    ShortText,
    Signature,
    Size,
    WallTime,
    decode,
    encode,
)

__all__ = [
    "BODY_BYTES_MAX",
    "U8",
    "U16",
    "U32",
    "U64",
    "Bytes32",
    "Packed",
    "Range",
    "Request",
    "ShortText",
    "Signature",
    "Size",
    "WallTime",
    "decode",
    "encode",
]
