"""P-CHAT-1 and P-CHAT-2: who signed what, for which network."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.chat.messages import HEADS_MAX, POSTS_BYTES_MAX, Compare, Deliver, Head, Missing, Post
from dfs_sdk.crypto.hashing import blake3_256
from dfs_sdk.crypto.identity import Identity
from dfs_sdk.errors import ProtocolError
from dfs_sdk.ids import NetworkId
from dfs_sdk.wire import decode, encode
from tests.fakes.club import post_of

ALICE = Identity.from_bytes(bytes(range(64)))
BOB = Identity.from_bytes(bytes(range(64, 128)))
HERE, ELSEWHERE = NetworkId(b"h" * 32), NetworkId(b"e" * 32)

POST = post_of(ALICE, HERE, sender_name="alice", stream=7, stamp=42, sent_at_wall=1000.0)


def test_a_signed_post_verifies_and_names_its_sender():
    POST.verify(HERE)
    assert POST.sender == ALICE.node_id


@pytest.mark.parametrize(
    "change",
    [
        {"text": "hullo"},
        {"sender_name": "bob"},
        {"sequence": 2},
        {"stream": 8},
        {"stamp": 43},
        {"sent_at_wall": 1001.0},
        {"recipient": BOB.node_id},
        {"link": "dfs:x"},
        {"x": BOB.public.x},
        {"ed": BOB.public.ed},
        {"signature": b""},
        {"signature": bytes(64)},
    ],
)
def test_every_field_is_under_the_signature(change):
    with pytest.raises(ProtocolError):
        replace(POST, **change).verify(HERE)


def test_a_post_of_another_network_is_refused():
    with pytest.raises(ProtocolError):
        POST.verify(ELSEWHERE)


def test_a_post_that_says_nothing_is_refused():
    with pytest.raises(ProtocolError):
        replace(POST, text="").signed(ALICE, HERE).verify(HERE)


def test_posts_survive_the_wire_and_keep_their_id():
    message = Deliver(posts=(POST, replace(POST, recipient=BOB.node_id)))
    again = decode(Deliver, encode(message))
    assert again == message
    assert again.posts[0].post_id == POST.post_id


def test_the_layout_of_a_post_never_changes():
    assert POST.post_id.hex() == "a6d4d198f49d4fb2054fa6f26c04f4d184dbf97128a0f9d23cdb36b4d18e4d68"


def test_the_layout_of_a_comparison_never_changes():
    head = Head(sender=ALICE.node_id, stream=7, sequence=9, holes=(2, 3))
    compare = Compare(heads=(head,), after=head.key, until=b"")
    assert blake3_256(encode(compare)).hex()[:16] == "25c5603e79cf012a"
    assert decode(Compare, encode(compare)) == compare
    missing = Missing(posts=(POST,), heads=(head,), until=head.key)
    assert blake3_256(encode(missing)).hex()[:16] == "d21ebebbfd757924"
    assert decode(Missing, encode(missing)) == missing


@pytest.mark.parametrize(("sequence", "expected"), [(1, True), (2, False), (9, True), (10, False)])
def test_a_head_says_what_its_side_has(sequence, expected):
    assert Head(sender=ALICE.node_id, stream=7, sequence=9, holes=(2, 3)).has(sequence) is expected


def test_the_largest_comparison_fits_into_a_message():
    head = Head(sender=ALICE.node_id, stream=2**64 - 1, sequence=2**48, holes=(2**48,) * 8)
    post = replace(POST, text="x" * 4096, link="x" * 512, sender_name="x" * 255).signed(ALICE, HERE)
    assert len(encode(post)) <= post.size_bytes
    posts = (post,) * (POSTS_BYTES_MAX // post.size_bytes)
    encode(Missing(posts=posts, heads=(head,) * HEADS_MAX, until=head.key))
    small = replace(POST, text="x", sender_name="").signed(ALICE, HERE)
    assert len(encode(small)) <= small.size_bytes


@given(st.binary(max_size=400), st.sampled_from([Deliver, Compare, Missing, Post]))
def test_any_bytes_parse_or_raise_a_protocol_error(data, kind):
    try:
        decode(kind, data)
    except ProtocolError:
        return


@given(st.data())
def test_a_damaged_message_parses_or_raises_a_protocol_error(data):
    body = bytearray(encode(Deliver(posts=(POST,))))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        for post in decode(Deliver, bytes(body)).posts:
            post.verify(HERE)
    except ProtocolError:
        return
