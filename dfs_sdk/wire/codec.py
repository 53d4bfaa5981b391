"""Typed messages as msgpack arrays: every field is checked for type, size and range before anybody uses it.

A message is a frozen dataclass. Its annotations are its schema: plain types, `Annotated[...]` with the constraints
below, tuples, nested messages, enums, ids and addresses. A message travels as an array of its fields in order; a new
field goes at the end and has a default, so that either side may be the older one. Bulk bytes never travel in here.

Decoding bytes of a peer either gives a valid message or raises `ProtocolError`; nothing else. The limits keep a
hostile body from costing more than about a megabyte and a millisecond: msgpack preallocates declared arrays, at every
level of nesting, so no array may be longer than the schema of the message allows.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import math
from collections.abc import Callable
from enum import Enum
from functools import lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

import msgpack

from dfs_sdk.errors import ProtocolError
from dfs_sdk.ids import ID_BYTES, Address, Id
from dfs_sdk.runtime.ports import Buffer

BODY_BYTES_MAX = 64 * 1024
ARRAY_LENGTH_MAX = 256
# Room for the fields of later versions in messages whose own tuples are short.
ARRAY_LENGTH_SPARE = 64
STRING_BYTES_MAX = 16 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Range:
    """Bounds a number, both ends included."""

    low: float
    high: float


@dataclasses.dataclass(frozen=True, slots=True)
class Size:
    """Bounds the length of bytes, of text in UTF-8 bytes, or of a tuple in items; both ends included."""

    low: int
    high: int


@dataclasses.dataclass(frozen=True, slots=True)
class Packed:
    """Sends a tuple of ids as one run of bytes: `Annotated[tuple[ChunkId, ...], Packed(1000)]`."""

    high: int


U8 = Annotated[int, Range(0, 2**8 - 1)]
U16 = Annotated[int, Range(0, 2**16 - 1)]
U32 = Annotated[int, Range(0, 2**32 - 1)]
U64 = Annotated[int, Range(0, 2**64 - 1)]
Bytes32 = Annotated[bytes, Size(32, 32)]
Signature = Annotated[bytes, Size(64, 64)]
ShortText = Annotated[str, Size(0, 255)]
# Seconds since the epoch until the year 2286: finite, so that arithmetic on it stays finite.
WallTime = Annotated[float, Range(0, 1e10)]

ReplyT = TypeVar("ReplyT")
MessageT = TypeVar("MessageT")


class Request(Generic[ReplyT]):
    """Base of request messages: names its tag on the wire and the class of its reply.

    A subclass sets `tag` (unique, never reused) and `reply`:
    `class Ping(Request["Pong"]): tag: ClassVar[int] = 0x0001; reply: ClassVar[type] = Pong`.
    """

    __slots__ = ()
    tag: ClassVar[int]
    reply: ClassVar[type]


_Convert = Callable[[Any], Any]


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    pack: _Convert
    unpack: _Convert
    array_length_max: int = 0


# One entry for each message class of the program, made on its first use.
_codecs: dict[type[Any], _Field] = {}


def encode(message: object) -> bytes:
    """Encode a message dataclass.

    Raises:
        ValueError: A field breaks its own bounds (our mistake, not a peer's) or the body is too large.
    """
    try:
        body: bytes = msgpack.packb(_message_codec(type(message)).pack(message), use_bin_type=True)
    except ProtocolError as error:
        raise ValueError(f"cannot encode {type(message).__name__}: {error}") from error
    if len(body) > BODY_BYTES_MAX:
        raise ValueError(f"{type(message).__name__} takes {len(body)} bytes, over {BODY_BYTES_MAX}")
    return body


def decode(kind: type[MessageT], body: Buffer) -> MessageT:
    """Decode and check a body that a peer sent.

    Raises:
        ProtocolError: It is not a valid `kind`.
    """
    if len(body) > BODY_BYTES_MAX:
        raise ProtocolError(f"a body of {len(body)} bytes is over the limit of {BODY_BYTES_MAX}")
    codec = _message_codec(kind)
    try:
        value = msgpack.unpackb(
            body,
            raw=False,
            strict_map_key=True,
            max_array_len=codec.array_length_max,
            max_map_len=0,
            max_str_len=STRING_BYTES_MAX,
            max_bin_len=BODY_BYTES_MAX,
            max_ext_len=0,
        )
    except (ValueError, OverflowError, TypeError, msgpack.exceptions.UnpackException) as error:
        raise ProtocolError(f"not a {kind.__name__}: malformed msgpack") from error
    message: MessageT = codec.unpack(value)
    return message


def _message_codec(kind: type[Any]) -> _Field:
    codec = _codecs.get(kind)
    if codec is None:
        codec = _codecs[kind] = _build_message_codec(kind)
    return codec


def _build_message_codec(kind: type[Any]) -> _Field:
    if not dataclasses.is_dataclass(kind):
        raise TypeError(f"{kind.__name__} is not a message dataclass")
    hints = get_type_hints(kind, include_extras=True)
    fields = [field for field in dataclasses.fields(kind) if field.init]
    names = [field.name for field in fields]
    codecs = [_codec(hints[name]) for name in names]
    required = sum(
        field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING for field in fields
    )

    def pack(message: Any) -> list[Any]:
        return [codec.pack(getattr(message, name)) for name, codec in zip(names, codecs, strict=True)]

    def unpack(value: Any) -> Any:
        if type(value) is not list or len(value) < required:
            raise ProtocolError(f"{kind.__name__} needs an array of at least {required} fields")
        # Fields past the ones we know come from a later version and are ignored.
        known = zip(names, codecs, value, strict=False)
        try:
            return kind(**{name: codec.unpack(item) for name, codec, item in known})
        except ValueError as error:  # a check in __post_init__
            raise ProtocolError(f"{kind.__name__}: {error}") from error

    longest = max((codec.array_length_max for codec in codecs), default=0)
    return _Field(pack, unpack, max(longest, len(codecs), ARRAY_LENGTH_SPARE))


def _codec(annotation: Any) -> _Field:
    constraint: object = None
    if get_origin(annotation) is Annotated:
        annotation, constraint, *_ = get_args(annotation)
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return _optional(annotation, constraint)
    if origin is tuple:
        return _tuple(annotation, constraint)
    if annotation is Address:
        return _Field(lambda address: [address[0], address[1]], _unpack_address)
    if isinstance(annotation, type):
        if issubclass(annotation, Id):
            return _id(annotation)
        if issubclass(annotation, Enum):
            return _enum(annotation)
        if dataclasses.is_dataclass(annotation):
            return _message_codec(annotation)
        return _scalar(annotation, constraint)
    raise TypeError(f"the codec does not know {annotation!r}")


def _scalar(kind: type[Any], constraint: object) -> _Field:
    if kind is bool:
        return _same(_expect(bool))
    if kind in (int, float):
        bounds = constraint if isinstance(constraint, Range) else None
        if bounds is None:
            raise TypeError("a number in a message needs a Range")
        return _same(_number(kind, bounds))
    if kind in (bytes, str):
        if not isinstance(constraint, Size):
            raise TypeError("bytes and text in a message need a Size")
        return _same(_sized(kind, constraint))
    raise TypeError(f"the codec does not know {kind!r}")


def _same(check: _Convert) -> _Field:
    return _Field(check, check)


def _expect(kind: type[Any]) -> _Convert:
    def check(value: Any) -> Any:
        if type(value) is not kind:
            raise ProtocolError(f"expected {kind.__name__}, got {type(value).__name__}")
        return value

    return check


def _number(kind: type[Any], bounds: Range) -> _Convert:
    def check(value: Any) -> Any:
        # A whole float may arrive as an integer, never the other way; bool is not a number here.
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise ProtocolError(f"expected {kind.__name__}, got {type(value).__name__}")
        if not (math.isfinite(value) and bounds.low <= value <= bounds.high):
            raise ProtocolError(f"a number is outside {bounds.low}…{bounds.high}")
        return kind(value)

    return check


def _sized(kind: type[Any], size: Size) -> _Convert:
    def check(value: Any) -> Any:
        # An id is bytes, too; what arrives is of the very type anyway.
        if not isinstance(value, kind):
            raise ProtocolError(f"expected {kind.__name__}, got {type(value).__name__}")
        try:
            length = len(value.encode()) if kind is str else len(value)
        except UnicodeEncodeError as error:
            raise ProtocolError("text holds a lone surrogate") from error
        if not size.low <= length <= size.high:
            raise ProtocolError(f"a length of {length} is outside {size.low}…{size.high}")
        return value

    return check


def _id(kind: type[Id]) -> _Field:
    def unpack(value: Any) -> Id:
        if type(value) is not bytes or len(value) != ID_BYTES:
            raise ProtocolError(f"expected a {kind.__name__} of {ID_BYTES} bytes")
        return kind(value)

    return _Field(bytes, unpack)


def _enum(kind: type[Enum]) -> _Field:
    def unpack(value: Any) -> Enum:
        try:
            return kind(_expect(int)(value))
        except ValueError as error:
            raise ProtocolError(f"unknown {kind.__name__}") from error

    return _Field(lambda member: member.value, unpack)


def _optional(annotation: Any, constraint: object) -> _Field:
    options = [option for option in get_args(annotation) if option is not NoneType]
    if len(options) != 1 or NoneType not in get_args(annotation):
        raise TypeError(f"the codec knows unions only as `X | None`, not {annotation!r}")
    inner = _codec(Annotated[options[0], constraint] if constraint is not None else options[0])
    return _Field(
        lambda value: None if value is None else inner.pack(value),
        lambda value: None if value is None else inner.unpack(value),
        inner.array_length_max,
    )


def _tuple(annotation: Any, constraint: object) -> _Field:
    item_kind, ellipsis = get_args(annotation)
    if ellipsis is not Ellipsis:
        raise TypeError("the codec knows only tuple[X, ...]")
    if isinstance(constraint, Packed):
        return _packed_ids(item_kind, constraint.high)
    if not isinstance(constraint, Size):
        raise TypeError("a tuple in a message needs a Size or Packed")
    size, item = constraint, _codec(item_kind)
    if size.high > ARRAY_LENGTH_MAX:
        raise TypeError(f"a tuple in a message has at most {ARRAY_LENGTH_MAX} items, not {size.high}")

    def pack(values: Any) -> list[Any]:
        if not size.low <= len(values) <= size.high:
            raise ProtocolError(f"{len(values)} items are outside {size.low}…{size.high}")
        return [item.pack(value) for value in values]

    def unpack(value: Any) -> tuple[Any, ...]:
        if type(value) is not list or not size.low <= len(value) <= size.high:
            raise ProtocolError(f"expected an array of {size.low}…{size.high} items")
        return tuple(item.unpack(entry) for entry in value)

    return _Field(pack, unpack, max(size.high, item.array_length_max))


def _packed_ids(kind: type[Id], high: int) -> _Field:
    def pack(values: Any) -> bytes:
        if len(values) > high:
            raise ProtocolError(f"{len(values)} ids are over {high}")
        return b"".join(values)

    def unpack(value: Any) -> tuple[Id, ...]:
        if type(value) is not bytes or len(value) % ID_BYTES or len(value) > high * ID_BYTES:
            raise ProtocolError(f"expected at most {high} ids in a run of bytes")
        return tuple(kind(value[at : at + ID_BYTES]) for at in range(0, len(value), ID_BYTES))

    return _Field(pack, unpack)


def _unpack_address(value: Any) -> Address:
    if type(value) is not list or len(value) != 2:
        raise ProtocolError("an address is a host and a port")
    host, port = value
    if type(host) is not str or type(port) is not int or not 1 <= port < 2**16:
        raise ProtocolError("an address is an IP in text and a port from 1 to 65535")
    try:
        return Address(_canonical_host(host), port)
    except ValueError as error:
        raise ProtocolError("an address holds no IP address") from error


# Parsing takes 10 µs, and lists of contacts repeat the same hosts.
@lru_cache(maxsize=16_384)
def _canonical_host(host: str) -> str:
    return str(ipaddress.ip_address(host))
