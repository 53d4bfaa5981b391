"""Links: P-FILE-1, P-FILE-2."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.crypto.hashing import hkdf_sha256
from dfs_sdk.errors import LinkError
from dfs_sdk.files.link import Link, LinkKind, network_tag, verify_key_of
from dfs_sdk.ids import ChunkId, NetworkId

LINK = Link(kind=LinkKind.READ, network_tag=b"tttt", manifest_id=ChunkId(bytes(range(32))), key=b"r" * 32)
GOLDEN = "dfs:AQJ0dHR0AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9ycnJycnJycnJycnJycnJycnJycnJycnJycnJycnJyckfDwo8"
LINKS = st.builds(
    Link,
    kind=st.sampled_from(LinkKind),
    network_tag=st.binary(min_size=4, max_size=4),
    manifest_id=st.binary(min_size=32, max_size=32).map(ChunkId),
    key=st.binary(min_size=32, max_size=32),
)


def test_golden_text():
    assert str(LINK) == GOLDEN
    assert Link.parse(GOLDEN) == LINK


@given(LINKS)
def test_round_trip(link: Link):
    assert Link.parse(str(link)) == link


@given(LINKS, st.data())
def test_one_wrong_character_is_noticed(link: Link, data: st.DataObject):
    text = str(link)
    at = data.draw(st.integers(4, len(text) - 1))
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = data.draw(st.sampled_from(letters).filter(lambda letter: letter != text[at]))
    with pytest.raises(LinkError):
        Link.parse(text[:at] + other + text[at + 1 :])


@given(st.one_of(st.text(max_size=300), st.text(max_size=200).map("dfs:".__add__)))
def test_any_text_parses_or_raises_link_error(text: str):
    try:
        link = Link.parse(text)
    except LinkError:
        return
    assert str(link) == "".join(text.split())


@pytest.mark.parametrize("at", [0, 4, 30, len(GOLDEN) - 1])
def test_a_link_cut_short_says_so(at: int):
    with pytest.raises(LinkError):
        Link.parse(GOLDEN[:at])


def test_spaces_and_line_breaks_of_a_mail_are_forgiven():
    assert Link.parse(f"  {GOLDEN[:50]}\n  {GOLDEN[50:]}\n") == LINK


def test_the_message_never_repeats_the_link():
    with pytest.raises(LinkError) as raised:
        Link.parse(GOLDEN[:-1])
    assert GOLDEN[8:20] not in str(raised.value)


def test_a_later_version_asks_for_an_update():
    import base64

    body = bytes([9]) + bytes(73)
    with pytest.raises(LinkError, match="version 9"):
        Link.parse("dfs:" + base64.urlsafe_b64encode(body).decode().rstrip("="))


def test_repr_masks_the_key():
    assert repr(LINK) == "Link(read 00010203…)"
    assert "cnJy" not in repr(LINK)
    assert "cnJy" not in repr([LINK, {"x": LINK}])


def test_a_verify_link_is_weaker_and_cannot_go_back():
    verify = LINK.verify()
    assert verify.kind is LinkKind.VERIFY
    assert verify.key == verify_key_of(LINK.key) == hkdf_sha256(LINK.key, info=b"dfs/verify/1")
    assert verify.verify() == verify
    assert verify.verify_key == LINK.verify_key
    with pytest.raises(LinkError, match="only verifies"):
        _ = verify.read_key
    assert LINK.read_key == b"r" * 32


def test_networks_have_different_tags():
    assert network_tag(NetworkId(b"a" * 32)) != network_tag(NetworkId(b"b" * 32))
    assert len(network_tag(NetworkId(b"a" * 32))) == 4
