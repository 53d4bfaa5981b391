"""Manifests: P-FILE-5."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfs_sdk.crypto.hashing import blake3_256
from dfs_sdk.errors import ProtocolError
from dfs_sdk.files.manifest import (
    _PUBLIC_INFO,
    Contents,
    Manifest,
    _read_private,
    _read_public,
    _write_private,
    _write_public,
    open_manifest,
    open_public,
    seal_manifest,
)
from dfs_sdk.files.seal import FileKeys, seal_salted
from dfs_sdk.ids import ChunkId

KEYS = FileKeys(b"r" * 32)


def parts(
    count: int = 3, *, chunk_bytes: int = 1000, last: int = 500, name: str = "a.txt"
) -> tuple[Manifest, Contents]:
    size = (count - 1) * chunk_bytes + last if count else 4
    manifest = Manifest(
        size_class=size.bit_length(),
        replicas=3,
        chunk_bytes=chunk_bytes,
        chunk_ids=tuple(ChunkId(bytes([n % 256]) * 32) for n in range(count)),
        second_cells=tuple(n % 3 == 1 for n in range(count)),
        removal_hash=b"h" * 32,
        commitment=KEYS.commitment,
    )
    contents = Contents(
        name=name,
        size=size,
        content_hash=b"c" * 32 if count else blake3_256(b"tiny"),
        media_type="text/plain",
        salts=tuple(bytes([n % 256]) * 16 for n in range(count)),
        inline=b"" if count else b"tiny",
    )
    return manifest, contents


def test_golden_public_part():
    manifest, _ = parts(2)
    expected = (
        "01" + "0b" + "03" + "00" + "000003e8" + "00000002" + "68" * 32 + KEYS.commitment.hex() + "00" * 32 + "01" * 32
    )
    assert _write_public(manifest).hex() == expected + "02"


def test_golden_private_part():
    _, contents = parts(2)
    expected = (
        ("01" + "00" + "000a" + "0005" + "00000000000005dc" + "00000000" + "63" * 32)
        + b"text/plaina.txt".hex()
        + "00" * 16
        + "01" * 16
    )
    written = _write_private(contents)
    assert written.hex().startswith(expected)
    assert len(written) % 64 == 0
    assert not any(written[len(expected) // 2 :])


@pytest.mark.parametrize(
    ("count", "manifest_id"),
    [
        (0, "3e66d6984a2a6abdcf6a099281b1ac794d229995fd61e28f5d2788ea6d71eaf2"),
        (2, "5a605148063d7ed87a172660afff6a6dffdbb1b509b138fd90c590011736893c"),
    ],
)
def test_golden_sealed_manifest(count: int, manifest_id: str):
    assert blake3_256(seal_manifest(KEYS, *parts(count))).hex() == manifest_id


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 2000])
def test_round_trip(count: int):
    manifest, contents = parts(count)
    sealed = seal_manifest(KEYS, manifest, contents)
    assert open_manifest(KEYS, sealed) == (manifest, contents)
    assert seal_manifest(KEYS, manifest, contents) == sealed


def test_a_full_manifest_fits_a_chunk():
    manifest, contents = parts(65_536)
    sealed = seal_manifest(KEYS, manifest, contents)
    assert len(sealed) < 4 * 1024 * 1024
    assert open_manifest(KEYS, sealed)[0].chunk_count == 65_536


def test_a_verify_key_opens_the_public_part_only():
    manifest, contents = parts(name="secret-name.txt")
    sealed = seal_manifest(KEYS, manifest, contents)
    public, private = open_public(KEYS.verify_key, sealed)
    assert public == manifest
    assert b"secret-name" not in private
    assert b"secret-name" not in sealed
    with pytest.raises(ProtocolError):
        open_public(KEYS.read_key, sealed)
    with pytest.raises(ProtocolError):
        open_manifest(FileKeys(b"x" * 32), sealed)


def test_names_of_similar_length_look_alike():
    lengths = {len(seal_manifest(KEYS, *parts(name="x" * n))) for n in range(1, 20)}
    assert len(lengths) == 1


@given(st.data())
def test_every_changed_byte_is_noticed(data: st.DataObject):
    sealed = seal_manifest(KEYS, *parts())
    at = data.draw(st.integers(0, len(sealed) - 1))
    changed = sealed[:at] + bytes([sealed[at] ^ data.draw(st.integers(1, 255))]) + sealed[at + 1 :]
    with pytest.raises(ProtocolError):
        open_manifest(KEYS, changed)


@settings(max_examples=300)
@given(st.binary(max_size=400), st.data())
def test_whatever_an_owner_seals_parses_or_raises_protocol_error(data: bytes, draw: st.DataObject):
    """The owner of a link may be hostile, too: what lies under its seal is parsed with the same care."""
    for parse in (_read_public, lambda value: _read_private(value, draw.draw(st.integers(0, 5)))):
        with contextlib.suppress(ProtocolError):
            parse(data)


@settings(max_examples=300)
@given(st.data())
def test_mutated_parts_parse_or_raise_protocol_error(data: st.DataObject):
    manifest, contents = parts(5)
    public, private = bytearray(_write_public(manifest)), bytearray(_write_private(contents))
    for body in (public, private):
        for _ in range(data.draw(st.integers(0, 3))):
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    sealed = seal_salted(
        KEYS.verify_key,
        _PUBLIC_INFO,
        bytes(public) + seal_salted(KEYS.read_key, b"dfs/manifest/1/private", bytes(private)),
    )
    try:
        opened, described = open_manifest(KEYS, sealed)
    except ProtocolError:
        return
    assert -(-described.size // opened.chunk_bytes) == opened.chunk_count == len(described.salts)


@pytest.mark.parametrize(
    "change",
    [
        {"size": 1501},
        {"size": 999_999},
        {"salts": ()},
        {"salts": (b"s" * 15,) * 3},
        {"inline": b"x"},
        {"name": "x" * 1025},
        {"content_hash": b"short"},
    ],
)
def test_parts_that_do_not_fit_are_not_sealed(change: dict[str, object]):
    manifest, contents = parts()
    with pytest.raises(ValueError, match="manifest"):
        seal_manifest(KEYS, manifest, replace(contents, **change))  # type: ignore[arg-type]


def test_a_manifest_made_for_another_read_key_is_refused():
    manifest, contents = parts()
    other = replace(manifest, commitment=FileKeys(b"x" * 32).commitment)
    with pytest.raises(ProtocolError, match="another read key"):
        open_manifest(KEYS, seal_manifest(KEYS, other, contents))


def test_a_tiny_content_must_hash_right():
    manifest, contents = parts(0)
    with pytest.raises(ValueError, match="does not hash"):
        seal_manifest(KEYS, manifest, replace(contents, inline=b"tinY"))


def test_contents_do_not_show_what_a_tiny_file_holds() -> None:
    contents = Contents(name="n", size=6, content_hash=bytes(32), inline=b"CANARY")
    assert "CANARY" not in repr(contents)
