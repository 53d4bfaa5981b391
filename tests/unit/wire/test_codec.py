"""The codec of messages: what it accepts, its exact bytes, and what hostile bodies cost."""

from __future__ import annotations

import math
import tracemalloc
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, ClassVar

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.errors import ProtocolError
from dfs_sdk.ids import Address, ChunkId, NodeId
from dfs_sdk.wire import BODY_BYTES_MAX, U8, U64, Packed, Range, Request, ShortText, Size, WallTime, decode, encode
from dfs_sdk.wire.codec import ARRAY_LENGTH_MAX, ARRAY_LENGTH_SPARE


class Colour(Enum):
    RED = 1
    BLUE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    number: U8
    name: ShortText = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Everything(Request[Inner]):
    tag: ClassVar[int] = 0x7F01
    reply: ClassVar[type] = Inner

    node: NodeId
    data: Annotated[bytes, Size(0, 64)]
    text: ShortText
    count: U64
    ratio: Annotated[float, Range(-1, 1)]
    at_wall: WallTime
    flag: bool
    colour: Colour
    maybe: Annotated[int, Range(0, 9)] | None
    where: Address
    inners: Annotated[tuple[Inner, ...], Size(0, 8)]
    chunks: Annotated[tuple[ChunkId, ...], Packed(1000)]
    later: U8 = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    low: U8
    high: U8

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is above high")


addresses = st.builds(
    Address,
    host=st.one_of(st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str)),
    port=st.integers(1, 65535),
)
inners = st.builds(Inner, number=st.integers(0, 255), name=st.text(max_size=60))
everything = st.builds(
    Everything,
    node=st.binary(min_size=32, max_size=32).map(NodeId),
    data=st.binary(max_size=64),
    text=st.text(max_size=60),
    count=st.integers(0, 2**64 - 1),
    ratio=st.floats(-1, 1),
    at_wall=st.floats(0, 1e10),
    flag=st.booleans(),
    colour=st.sampled_from(Colour),
    maybe=st.none() | st.integers(0, 9),
    where=addresses,
    inners=st.lists(inners, max_size=8).map(tuple),
    chunks=st.lists(st.binary(min_size=32, max_size=32).map(ChunkId), max_size=5).map(tuple),
    later=st.integers(0, 255),
)


def example(**changes: object) -> Everything:
    fields: dict[str, object] = {
        "node": NodeId(bytes(32)),
        "data": b"\x01\x02",
        "text": "hé",
        "count": 300,
        "ratio": 0.5,
        "at_wall": 1.0,
        "flag": True,
        "colour": Colour.BLUE,
        "maybe": None,
        "where": Address("127.0.0.1", 4001),
        "inners": (Inner(number=5),),
        "chunks": (ChunkId(b"\xff" * 32),),
    }
    return Everything(**(fields | changes))  # type: ignore[arg-type]


def body_of(values: list[object]) -> bytes:
    return msgpack.packb(values, use_bin_type=True)


def values_of(message: object) -> list[object]:
    return msgpack.unpackb(encode(message), raw=False)


@given(everything)
def test_a_message_survives_the_round_trip(message: Everything) -> None:
    assert decode(Everything, encode(message)) == message


def test_a_message_has_these_bytes() -> None:
    assert (
        encode(example()).hex()
        == (
            "9d"  # an array of 13 fields
            "c420" + "00" * 32 + "c4020102"
            "a368c3a9"
            "cd012c"
            "cb3fe0000000000000"
            "cb3ff0000000000000"
            "c3"
            "02"
            "c0"
            "92a93132372e302e302e31cd0fa1"
            "919205a0"
            "c420" + "ff" * 32 + "07"
        )
    )


@given(st.binary(max_size=300))
def test_any_bytes_decode_or_raise_protocol_error(body: bytes) -> None:
    for kind in (Inner, Everything, Checked):
        try:
            message = decode(kind, body)
        except ProtocolError:
            continue
        assert decode(kind, encode(message)) == message


@given(everything, st.data())
def test_a_mutated_message_decodes_or_raises_protocol_error(message: Everything, data: st.DataObject) -> None:
    body = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        match data.draw(st.integers(0, 2)):
            case 0:
                body[at] ^= data.draw(st.integers(1, 255))
            case 1:
                del body[at:]
            case _:
                body[at:at] = data.draw(st.binary(max_size=4))
        if not body:
            break
    with suppress(ProtocolError):
        decode(Everything, bytes(body))


json_like = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=40),
    lambda items: st.lists(items, max_size=14),
    max_leaves=30,
)


@given(st.lists(json_like, max_size=14))
def test_any_array_decodes_or_raises_protocol_error(values: list[object]) -> None:
    for kind in (Inner, Everything, Checked):
        with suppress(ProtocolError):
            decode(kind, body_of(values))


@pytest.mark.parametrize(
    ("index", "value"),
    [
        (0, b"\x00" * 31),
        (0, "x" * 32),
        (1, b"\x00" * 65),
        (1, "text"),
        (2, "x" * 256),
        (2, b"bytes"),
        (3, -1),
        (3, True),
        (3, 1.0),
        (4, math.nan),
        (4, math.inf),
        (4, 1.5),
        (5, -1.0),
        (5, 1e300),
        (6, 1),
        (7, 3),
        (7, True),
        (7, "RED"),
        (8, 10),
        (9, ["127.0.0.1"]),
        (9, ["localhost", 80]),
        (9, ["127.0.0.1", 0]),
        (9, ["127.0.0.1", 65536]),
        (9, ["127.0.0.1", True]),
        (9, [2130706433, 80]),
        (10, [[5]] * 9),
        (10, [5]),
        (10, [[256]]),
        (11, b"\x00" * 33),
        (11, b"\x00" * 32 * 1001),
        (12, 256),
    ],
)
def test_a_field_out_of_bounds_is_refused(index: int, value: object) -> None:
    values = values_of(example())
    values[index] = value
    with pytest.raises(ProtocolError):
        decode(Everything, body_of(values))


def test_a_lone_surrogate_is_refused_in_both_directions() -> None:
    with pytest.raises(ValueError, match="surrogate"):
        encode(Inner(number=1, name="\ud800"))
    with pytest.raises(ProtocolError):
        decode(Inner, b"\x92\x01\xa3\xed\xa0\x80")


def test_our_own_mistake_is_a_value_error_not_a_protocol_error() -> None:
    with pytest.raises(ValueError, match="cannot encode"):
        encode(Inner(number=256))


def test_a_later_version_may_add_fields_and_an_earlier_one_may_lack_the_optional_ones() -> None:
    values = values_of(example())
    assert decode(Everything, body_of([*values, "new", [1, 2]])) == example()
    assert decode(Everything, body_of(values[:-1])) == example(later=7)
    with pytest.raises(ProtocolError):
        decode(Everything, body_of(values[:-2]))


def test_a_check_of_the_message_itself_is_a_protocol_error() -> None:
    assert decode(Checked, body_of([1, 2])) == Checked(low=1, high=2)
    with pytest.raises(ProtocolError, match="low is above high"):
        decode(Checked, body_of([2, 1]))


def test_an_address_has_one_spelling() -> None:
    values = values_of(example())
    values[9] = ["2001:DB8:0:0:0:0:0:1", 1]
    assert decode(Everything, body_of(values)).where == Address("2001:db8::1", 1)


def test_trailing_bytes_are_refused() -> None:
    with pytest.raises(ProtocolError):
        decode(Inner, encode(Inner(number=1)) + b"\x00")


def test_maps_and_extensions_are_refused() -> None:
    for hostile in ({"number": 1}, [{}], [msgpack.ExtType(1, b"")], [msgpack.Timestamp(1, 0)]):
        body = msgpack.packb(hostile)
        # An empty map is not over the limit of no entries; it is of the wrong type then.
        with pytest.raises(ProtocolError):
            decode(Inner, body)


BOMBS = {
    "nested arrays of the longest length": b"\xdc\x01\x00" * (BODY_BYTES_MAX // 3),
    "nested arrays within the limit": (b"\xdc" + ARRAY_LENGTH_SPARE.to_bytes(2, "big")) * (BODY_BYTES_MAX // 3),
    "an array of empty arrays, nested": b"\xdc\x00\x40" + (b"\xdc\x00\x40" + b"\x90" * 64) * 900,
    "nested arrays of one": b"\x91" * BODY_BYTES_MAX,
    "an array that promises 2^32 items": b"\xdd\xff\xff\xff\xff",
    "bytes that promise 2^32": b"\xc6\xff\xff\xff\xff",
    "text that promises 2^32": b"\xdb\xff\xff\xff\xff",
    "a map that promises 2^32 entries": b"\xdf\xff\xff\xff\xff",
    "empty maps": b"\xdc\x00\x40" + b"\x80" * 64,
    "a map of all entries that fit": b"\xde\x33\x33"
    + b"".join(b"\xc4\x02%b\xc0" % n.to_bytes(2, "big") for n in range(13_107)),
    "a timestamp past every calendar": b"\x91\xc7\x0c\xff" + b"\xff" * 12,
    "the reserved type": b"\xc1" * 100,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_and_costs_less_than_a_megabyte(name: str) -> None:
    """A15: preallocation multiplies with nesting, so a small body must not buy much memory or time."""
    body = BOMBS[name][:BODY_BYTES_MAX]
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError):
            decode(Inner, body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1024 * 1024


def test_a_body_over_the_limit_is_refused_unread() -> None:
    with pytest.raises(ProtocolError, match="over the limit"):
        decode(Inner, bytes(BODY_BYTES_MAX + 1))


def test_a_schema_without_bounds_is_a_mistake_found_at_first_use() -> None:
    @dataclass(frozen=True)
    class Unbounded:
        text: str

    @dataclass(frozen=True)
    class TooLong:
        items: Annotated[tuple[Inner, ...], Size(0, ARRAY_LENGTH_MAX + 1)]

    @dataclass(frozen=True)
    class Union:
        either: int | str

    for kind in (Unbounded, TooLong, Union, int):
        with pytest.raises(TypeError):
            decode(kind, b"\x90")
