"""The layout around every call: P-RPC-1 to P-RPC-5."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.errors import MessageTooLargeError, ProtocolError
from dfs_sdk.rpc.envelope import (
    CALL_BODY_BYTES_MAX,
    ENVELOPE_BYTES,
    HEADER_BYTES_MAX,
    Envelope,
    Kind,
    pack_envelope,
    parse_envelope,
)
from dfs_sdk.transport.config import MESSAGE_BYTES_MAX
from dfs_sdk.transport.priority import Priority

call_ids = st.integers(1, 2**32 - 1)
headers = st.binary(max_size=200)
tags = st.integers(1, 2**16 - 1)
requests = st.builds(
    Envelope,
    kind=st.just(Kind.REQUEST),
    call_id=call_ids,
    tag=tags,
    timeout_ms=st.integers(1, 2**32 - 1),
    priority=st.sampled_from([Priority.INTERACTIVE, Priority.TRANSFER, Priority.BACKGROUND]),
    header=headers,
    body=st.binary(max_size=500),
)
replies = st.builds(
    Envelope, kind=st.just(Kind.REPLY), call_id=call_ids, tag=tags, header=headers, body=st.binary(max_size=500)
)
refusals = st.builds(Envelope, kind=st.just(Kind.REFUSAL), call_id=call_ids, header=headers)
cancels = st.builds(Envelope, kind=st.just(Kind.CANCEL), call_id=call_ids)


def on_wire(envelope: Envelope) -> bytes:
    return b"".join(bytes(part) for part in pack_envelope(envelope))


def parsed(message: bytes) -> Envelope:
    envelope = parse_envelope(memoryview(message))
    return Envelope(
        kind=envelope.kind,
        call_id=envelope.call_id,
        tag=envelope.tag,
        timeout_ms=envelope.timeout_ms,
        priority=envelope.priority,
        header=bytes(envelope.header),
        body=bytes(envelope.body),
    )


@given(requests | replies | refusals | cancels)
def test_an_envelope_survives_the_round_trip(envelope: Envelope) -> None:
    assert parsed(on_wire(envelope)) == envelope


@given(requests | replies | refusals | cancels)
def test_an_envelope_has_one_encoding(envelope: Envelope) -> None:
    """P-RPC-2"""
    message = on_wire(envelope)
    assert on_wire(parsed(message)) == message


def test_envelopes_have_these_bytes() -> None:
    """P-RPC-1"""
    request = Envelope(
        kind=Kind.REQUEST,
        call_id=7,
        tag=0x0203,
        timeout_ms=10_000,
        priority=Priority.TRANSFER,
        header=b"\x90",
        body=b"bulk",
    )
    assert on_wire(request).hex() == "01 02 0203 00000007 00002710 00000001 90 62756c6b".replace(" ", "")
    reply = Envelope(kind=Kind.REPLY, call_id=7, tag=0x0203, header=b"\x91\x01")
    assert on_wire(reply).hex() == "02 00 0203 00000007 00000000 00000002 9101".replace(" ", "")
    refusal = Envelope(kind=Kind.REFUSAL, call_id=7, header=b"\x92\x02\xa0")
    assert on_wire(refusal).hex() == "03 00 0000 00000007 00000000 00000003 9202a0".replace(" ", "")
    assert on_wire(Envelope(kind=Kind.CANCEL, call_id=7)).hex() == "04000000000000070000000000000000"


@given(st.binary(max_size=80))
def test_any_bytes_parse_or_raise_protocol_error(message: bytes) -> None:
    try:
        envelope = parsed(message)
    except ProtocolError:
        return
    assert on_wire(envelope) == message


@given(requests | replies | refusals | cancels, st.data())
def test_every_flipped_byte_and_every_cut_parses_or_raises_protocol_error(
    envelope: Envelope, data: st.DataObject
) -> None:
    """A14"""
    message = bytearray(on_wire(envelope))
    message[data.draw(st.integers(0, len(message) - 1))] ^= data.draw(st.integers(1, 255))
    for end in {data.draw(st.integers(0, len(message))), len(message)}:
        with suppress(ProtocolError):
            parsed(bytes(message[:end]))


@pytest.mark.parametrize(
    "message",
    [
        "00 00 0000 00000001 00000000 00000000",  # unknown kind
        "05 00 0000 00000001 00000000 00000000",
        "01 01 0001 00000000 00000001 00000000",  # call 0
        "01 00 0001 00000001 00000001 00000000",  # a reply that would claim the transport's own priority
        "01 04 0001 00000001 00000001 00000000",  # unknown priority
        "01 01 0000 00000001 00000001 00000000",  # request without a tag
        "01 01 0001 00000001 00000000 00000000",  # request without a time-out
        "02 01 0001 00000001 00000000 00000000",  # reply with a priority
        "02 00 0000 00000001 00000000 00000000",  # reply without a tag
        "03 00 0001 00000001 00000000 00000000",  # refusal with a tag
        "04 00 0000 00000001 00000000 00000000 00",  # cancel with a body
        "04 00 0000 00000001 00000000 00000001 00",  # cancel with a header
        "02 00 0001 00000001 00000000 00000001",  # header past the end
        "02 00 0001 00000001 00000000 ffffffff",
        "02 00 0001 00000001 00000000 000000",  # cut short
    ],
)
def test_a_field_that_does_not_fit_its_kind_is_refused(message: str) -> None:
    """P-RPC-2, P-RPC-3"""
    with pytest.raises(ProtocolError):
        parse_envelope(memoryview(bytes.fromhex(message)))


def test_the_largest_call_is_the_largest_message_of_the_transport() -> None:
    """P-RPC-4"""
    assert ENVELOPE_BYTES + HEADER_BYTES_MAX + CALL_BODY_BYTES_MAX == MESSAGE_BYTES_MAX
    full = Envelope(kind=Kind.REPLY, call_id=1, tag=1, header=bytes(HEADER_BYTES_MAX), body=bytes(CALL_BODY_BYTES_MAX))
    assert len(on_wire(full)) == MESSAGE_BYTES_MAX
    assert parsed(on_wire(full)) == full


@pytest.mark.parametrize(("header", "body"), [(HEADER_BYTES_MAX + 1, 0), (0, CALL_BODY_BYTES_MAX + 1)])
def test_one_byte_over_a_limit_is_refused_by_both_sides(header: int, body: int) -> None:
    """P-RPC-4"""
    with pytest.raises(MessageTooLargeError):
        pack_envelope(Envelope(kind=Kind.REPLY, call_id=1, tag=1, header=bytes(header), body=bytes(body)))
    message = bytes.fromhex("02 00 0001 00000001 00000000") + header.to_bytes(4, "big") + bytes(header + body)
    with pytest.raises(ProtocolError):
        parse_envelope(memoryview(message))
