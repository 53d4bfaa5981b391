"""The fixed layout around every call: what kind of message, which call, then a checked header and bulk bytes.

    kind u8 ‖ priority u8 ‖ tag u16 ‖ call id u32 ‖ timeout in ms u32 ‖ header length u32 ‖ header ‖ body

Integers are big-endian. The header is one message of `wire.codec`; the body is what remains and is never parsed here.
REQUEST carries a tag, a time-out and a priority for its reply; REPLY repeats the tag; REFUSAL and CANCEL have tag 0.
Fields that a kind does not use are zero, so that every envelope has exactly one encoding.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct

from dfs_sdk.errors import MessageTooLargeError, ProtocolError
from dfs_sdk.runtime.ports import Buffer
from dfs_sdk.transport.priority import Priority

_LAYOUT = Struct(">BBHIII")
ENVELOPE_BYTES = _LAYOUT.size
# A chunk of 4 MiB and what sealing adds to it.
CALL_BODY_BYTES_MAX = 4 * 1024 * 1024 + 1024
# With the layout around it, header and body fill exactly the largest message of the transport: 4 MiB + 64 KiB.
HEADER_BYTES_MAX = 63 * 1024 - ENVELOPE_BYTES
TIMEOUT_MS_MAX = 2**32 - 1


class Kind(IntEnum):
    """What a message is; a value in use is never given another meaning."""

    REQUEST = 1
    REPLY = 2
    REFUSAL = 3
    CANCEL = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One message of a call.

    Attributes:
        kind: What it is.
        call_id: Names the call on its connection; chosen by the caller, 1 … 2³² - 1.
        tag: The kind of request; also in its reply.
        timeout_ms: How long the caller waits, at least 1; of a request only.
        priority: How urgent the reply is; of a request only.
        header: An encoded message.
        body: Bulk bytes.
    """

    kind: Kind
    call_id: int
    tag: int = 0
    timeout_ms: int = 0
    priority: Priority = Priority.CONTROL
    header: Buffer = b""
    body: Buffer = b""


def pack_envelope(envelope: Envelope) -> list[Buffer]:
    """Lay an envelope out as parts to be sent one after the other; the body is not copied.

    Raises:
        MessageTooLargeError: Header or body is over its limit.
    """
    header, body = envelope.header, memoryview(envelope.body).cast("B")
    if len(header) > HEADER_BYTES_MAX:
        raise MessageTooLargeError(f"a call's message of {len(header)} bytes is over the limit of {HEADER_BYTES_MAX}")
    if len(body) > CALL_BODY_BYTES_MAX:
        raise MessageTooLargeError(f"a call's body of {len(body)} bytes is over the limit of {CALL_BODY_BYTES_MAX}")
    layout = _LAYOUT.pack(
        envelope.kind, envelope.priority, envelope.tag, envelope.call_id, envelope.timeout_ms, len(header)
    )
    head = layout + bytes(header)
    return [head, body] if body else [head]


def parse_envelope(message: memoryview) -> Envelope:
    """Take a peer's message apart; header and body are views into it.

    Raises:
        ProtocolError: It is not an envelope.
    """
    if len(message) < ENVELOPE_BYTES:
        raise ProtocolError("an envelope is cut short")
    kind, priority, tag, call_id, timeout_ms, header_length = _LAYOUT.unpack_from(message)
    header_end = ENVELOPE_BYTES + header_length
    if header_length > HEADER_BYTES_MAX or header_end > len(message):
        raise ProtocolError("an envelope's header is longer than its message or its limit")
    if len(message) - header_end > CALL_BODY_BYTES_MAX:
        raise ProtocolError("an envelope's body is over its limit")
    if call_id == 0:
        raise ProtocolError("call 0 does not exist")
    _check_fields(kind, priority=priority, tag=tag, timeout_ms=timeout_ms, rest=len(message) - ENVELOPE_BYTES)
    return Envelope(
        kind=Kind(kind),
        call_id=call_id,
        tag=tag,
        timeout_ms=timeout_ms,
        priority=Priority(priority),
        header=message[ENVELOPE_BYTES:header_end],
        body=message[header_end:],
    )


def _check_fields(kind: int, *, priority: int, tag: int, timeout_ms: int, rest: int) -> None:
    """Hold each kind to the fields it uses."""
    match kind:
        case Kind.REQUEST:
            # CONTROL is the transport's own: a reply cannot claim it.
            fits = Priority.INTERACTIVE <= priority <= Priority.BACKGROUND and tag > 0 and timeout_ms > 0
        case Kind.REPLY:
            fits = priority == 0 and tag > 0 and timeout_ms == 0
        case Kind.REFUSAL:
            fits = priority == 0 and tag == 0 and timeout_ms == 0
        case Kind.CANCEL:
            fits = priority == 0 and tag == 0 and timeout_ms == 0 and rest == 0
        case _:
            raise ProtocolError(f"envelope of unknown kind {kind}")
    if not fits:
        raise ProtocolError("an envelope's field does not fit its kind")
