"""Parsers of what members send and of what lies on the disk: frames, calls, every message, records, manifests, headers.

Messages are found by looking: every class with a tag, its reply, and the documents of the store. What is decoded is
encoded and decoded again, and must be the same.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable
from enum import Enum
from types import NoneType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import dfs_sdk
from dfs_sdk.chat.messages import Post
from dfs_sdk.chat.records import StoredPost, read_document
from dfs_sdk.crypto.hashing import blake3_256
from dfs_sdk.crypto.sealing import open_sealed
from dfs_sdk.dht.messages import KnownPeers, Record, RecordBody, RecordKind
from dfs_sdk.dht.records import sign_record, verify_record
from dfs_sdk.errors import CorruptContentError, ProtocolError, StoreError
from dfs_sdk.exchange.messages import HaveStates, HolderLoad
from dfs_sdk.exchange.service import read_states
from dfs_sdk.files import catalog, manifest
from dfs_sdk.files.drafts import Draft
from dfs_sdk.files.messages import Share, ShareNote, read_share
from dfs_sdk.files.seal import FileKeys, seal_salted
from dfs_sdk.ids import ID_BYTES, ChunkId, Id, NodeId
from dfs_sdk.node.membership import Membership
from dfs_sdk.peers.messages import NodeDesc, NodeStatus, SavedPeer, SignedDesc, read_desc, sign_desc, verify_desc
from dfs_sdk.peers.view import pack_summary, read_summary
from dfs_sdk.replication.messages import CellSummary, pack_cells, pack_chunks, read_cells, read_chunks
from dfs_sdk.rpc.envelope import Envelope, Kind, pack_envelope, parse_envelope
from dfs_sdk.rpc.messages import RefusalMessage
from dfs_sdk.runtime.buffers import Buffers
from dfs_sdk.runtime.system import SeededRng
from dfs_sdk.store.base import ChunkInfo, Role
from dfs_sdk.store.header import decode_header, decode_store_name, encode_header, encode_store_name
from dfs_sdk.transport import frames
from dfs_sdk.transport.config import TransportConfig
from dfs_sdk.transport.contact import Contact
from dfs_sdk.transport.handshake import Agreement
from dfs_sdk.transport.inbox import Budget
from dfs_sdk.transport.keys import SendKeys
from dfs_sdk.transport.packet import INITIAL_WINDOW_BYTES
from dfs_sdk.transport.priority import Priority
from dfs_sdk.transport.receiving import SCRATCH_BYTES
from dfs_sdk.transport.sending import BURST_BYTES_MAX
from dfs_sdk.transport.session import Session
from dfs_sdk.transport.slots import Slots
from dfs_sdk.wire.codec import Range, Request, Size, decode, encode
from tests.fakes.pair import NETWORK, SeededEntropy
from tests.fuzz.before import HERE, THEM, US
from tests.fuzz.law import Target

WALL = 1.8e9
KEYS = FileKeys(b"k" * 32)
CONTACT = Contact(ed=THEM.public.ed, x=THEM.public.x, addresses=(HERE,))
CHUNK = ChunkInfo(
    chunk_id=ChunkId(b"c" * 32),
    size=1000,
    cell=7,
    role=Role.PRIMARY,
    removal_hash=b"r" * 32,
    stored_at_wall=WALL,
    last_read_at_wall=WALL,
    replicas=3,
)
DOCUMENTS = (
    catalog.Record, Contact, Draft, HolderLoad, KnownPeers, Membership, NodeDesc, Post, Record, RecordBody,
    RefusalMessage, SavedPeer, ShareNote, SignedDesc, StoredPost,
)  # fmt: skip


class Frames:
    """A member that seals any plaintext: the session goes on or is closed, and gives back what it reserved."""

    def __init__(self) -> None:
        self._config = TransportConfig()
        self._scratch, self._out = Slots(SCRATCH_BYTES), Slots(BURST_BYTES_MAX)
        self._arrived = Slots(SCRATCH_BYTES)
        self._sealed = memoryview(bytearray(70_000))
        self._open()

    def _open(self) -> None:
        self._budget = Budget(self._config.window_bytes_total)
        self._session = Session(
            agreement=Agreement(
                peer=THEM.public,
                instance=bytes(8),
                send_secret=b"s" * 32,
                receive_secret=b"r" * 32,
                local_index=1,
                remote_index=2,
                observed=None,
                initiated=True,
                window_bytes=INITIAL_WINDOW_BYTES,
            ),
            address=HERE,
            config=self._config,
            budget=self._budget,
            rng=SeededRng(1),
            entropy=SeededEntropy("session"),
            scratch=self._scratch,
            arrived=self._arrived,
            buffers=Buffers(),
            now=1000.0,
        )
        self._session.begin()
        self._keys = SendKeys(b"r" * 32, remote_index=1, now=1000.0)
        self._now = 1000.0

    def run(self, data: bytes) -> None:
        session = self._session
        self._now += 0.001
        size = self._keys.seal(data[:60_000] or b"\0", self._sealed)
        try:
            session.receive(self._sealed[:size], 0, size, HERE, self._now)
            while session.next_burst(self._now, self._out) is not None:
                session.settled()
        except ProtocolError:
            session.drop("a violation")
            raise
        finally:
            assert self._budget.free_bytes >= self._budget.total - self._config.window_bytes_max
            if not session.is_open:
                assert self._budget.free_bytes == self._budget.total
                self._open()


def message_kinds() -> list[type[Any]]:
    """Every class that is decoded from bytes of a peer, and the documents of the store."""
    for module in pkgutil.walk_packages(dfs_sdk.__path__, "dfs_sdk."):
        if module.name.endswith(".messages"):
            importlib.import_module(module.name)
    # A dataclass with slots is made twice: the later class of a tag is the one in use.
    # Tests define requests of their own: those are nobody's parsers.
    ours = [kind for kind in Request.__subclasses__() if kind.__module__.startswith("dfs_sdk.")]
    requests = {kind.tag: kind for kind in ours}
    kinds = [kind for tag in sorted(requests) for kind in (requests[tag], requests[tag].reply)]
    return list(dict.fromkeys([*kinds, *DOCUMENTS]))


def sample(annotation: Any, constraint: object = None) -> Any:
    """Make a value that an annotation of a message allows: the least of each kind, and no text at all."""
    if get_origin(annotation) is Annotated:
        annotation, constraint = get_args(annotation)[:2]
    if get_origin(annotation) is tuple:
        count = constraint.low if isinstance(constraint, Size) else 0
        return tuple(sample(get_args(annotation)[0]) for _ in range(count))
    if NoneType in get_args(annotation):
        return None
    if dataclasses.is_dataclass(annotation):
        if annotation is Contact:
            return CONTACT
        hints = get_type_hints(annotation, include_extras=True)
        needed = [field.name for field in dataclasses.fields(annotation) if field.default is dataclasses.MISSING]
        return annotation(**{name: sample(hints[name]) for name in needed})  # type: ignore[operator]
    if issubclass(annotation, Enum):
        return next(iter(annotation))
    if issubclass(annotation, Id):
        return annotation(bytes(ID_BYTES))
    if isinstance(constraint, Range):
        return annotation(constraint.low)
    if isinstance(constraint, Size):
        return bytes(constraint.low) if annotation is bytes else "x" * constraint.low
    assert annotation is bool
    return False


def decodes(kind: type[Any]) -> Callable[[bytes], None]:
    """Build the target of one message class."""

    def run(data: bytes) -> None:
        message = decode(kind, data)
        assert decode(kind, encode(message)) == message

    return run


def read_frames(data: bytes) -> None:
    """The frames of one packet."""
    for _ in frames.read_frames(memoryview(data)):
        pass


def envelope(data: bytes) -> None:
    """The layout around a call: it has one encoding."""
    assert b"".join(bytes(part) for part in pack_envelope(parse_envelope(memoryview(data)))) == data


def desc(data: bytes) -> None:
    """A member's description."""
    signed = decode(SignedDesc, data)
    verify_desc(signed, read_desc(signed))


def record(data: bytes) -> None:
    """A record of the DHT."""
    verify_record(decode(Record, data), NETWORK.network_id, now_wall=WALL)


def post(data: bytes) -> None:
    """A chat message."""
    decode(Post, data).verify(NETWORK.network_id)


def post_document(data: bytes) -> None:
    """A chat message from the store: damaged ones are passed over, so nothing is raised."""
    read_document(bytes(80), data)


def summary(data: bytes) -> None:
    """A member list: it has one encoding."""
    assert pack_summary(read_summary(data, entries_max=1000)) == data


def cells(data: bytes) -> None:
    """A survey of cells: it has one encoding."""
    assert pack_cells(read_cells(data, cells=4096).items()) == data


def chunks(data: bytes) -> None:
    """A list of chunks."""
    read_chunks(data, asked=range(64))


def states(data: bytes) -> None:
    """State bytes of chunks, as many as were asked for and not."""
    asked = [ChunkId(bytes((number,)) * 32) for number in range(16)]
    load = HolderLoad(queue=1, service_time=0.1)
    read_states(asked, HaveStates(states=data[:1000], removal_keys=(b"k" * 32,) * 3, load=load))


def sealed_manifest(data: bytes) -> None:
    """A manifest of any bytes."""
    manifest.open_manifest(KEYS, data)


def manifest_public(data: bytes) -> None:
    """A manifest of somebody who has the verify key."""
    manifest.open_public(KEYS.verify_key, seal_salted(KEYS.verify_key, manifest._PUBLIC_INFO, data))


def manifest_private(data: bytes) -> None:
    """A manifest of somebody who has the read key: any private part behind a sound public one."""
    private = seal_salted(KEYS.read_key, manifest._PRIVATE_INFO, data)
    manifest.open_manifest(KEYS, seal_salted(KEYS.verify_key, manifest._PUBLIC_INFO, PUBLIC_PART + private))


def share(data: bytes) -> None:
    """A share of any bytes."""
    read_share(decode(Share, data), sender=THEM.public, recipient=US.node_id, key=US.agreement)


def sealed_note(data: bytes) -> None:
    """Bytes sealed to us."""
    open_sealed(US.agreement, b"dfs/share/1", data, THEM.node_id + US.node_id)


def chunk_header(data: bytes) -> None:
    """A header of a chunk file whose checksum fits."""
    fields = data[:112].ljust(112, b"\0")
    decode_header(fields + blake3_256(b"dfs/store/chunk-header/1", fields)[:16])


def damaged_header(data: bytes) -> None:
    """A header of a chunk file."""
    decode_header(data)


def store_name(data: bytes) -> None:
    """The file that names a store, its checksum right."""
    fields = data[:32].ljust(32, b"\0")
    decode_store_name(fields + blake3_256(b"dfs/store/name/1", fields)[:32])


MANIFEST = manifest.Manifest(
    size_class=10,
    replicas=3,
    chunk_bytes=1000,
    chunk_ids=(ChunkId(b"a" * 32), ChunkId(b"b" * 32)),
    second_cells=(False, True),
    removal_hash=b"h" * 32,
    commitment=KEYS.commitment,
)
CONTENTS = manifest.Contents(
    name="a.bin", size=1016, content_hash=b"c" * 32, media_type="text/csv", salts=(b"s" * 16, b"t" * 16)
)
PUBLIC_PART = manifest._write_public(MANIFEST)
DESC = NodeDesc(
    contact=CONTACT,
    name="ada",
    host=b"h" * 16,
    site="",
    capacity_bytes=1 << 30,
    used_bytes=0,
    weight_exponent=200,
    incarnation=5,
    status=NodeStatus.ALIVE,
    busy_until_wall=0.0,
    up_since_wall=WALL,
    storage_uuid=b"u" * 16,
    shed=(1, 2),
    version="1",
)
RECORD = sign_record(
    THEM,
    NETWORK.network_id,
    RecordBody(
        kind=RecordKind.PROVIDER,
        key=b"k" * 32,
        owner_ed=THEM.public.ed,
        owner_x=THEM.public.x,
        sequence=1,
        expires=int(WALL) + 3600,
        value=b"value",
    ),
)
POST = Post(
    ed=THEM.public.ed,
    x=THEM.public.x,
    sender_name="ada",
    recipient=None,
    stream=1,
    sequence=1,
    stamp=5,
    sent_at_wall=WALL,
    text="hello",
).signed(THEM, NETWORK.network_id)
# What `make_share` gave once for ShareNote(link="dfs:x", name="a", size=1): a sealing draws its key anew each time, and
# a fuzzer with a seed begins with the same inputs.
SHARE = decode(
    Share,
    bytes.fromhex(
        "93c43b018808c2aac724b29be68ba8cbf41dce2dba8197b58b27a4d78f2d5bf3e62ff704194029a281fce96e456137aa2d7cdaf9897c2523"
        "16a31823e6b3cb41dad27480000000c44074ce13809653b4cba4edc8c99f3958929d85bb98283e194f76c6b0f0b2c8cc879662f431a10af3"
        "44ce4fcba6ee3df69f6f5921f09f1bf49900146f57c5b32c01"
    ),
)


def _frame_seeds() -> tuple[bytes, ...]:
    segment = frames.MESSAGE_HEADER.pack(frames.FrameKind.MESSAGE, 0, 8, 0, 4) + b"data"
    return (
        frames.PING,
        frames.Ack(ranges=((5, 9), (1, 3)), delay=0.001).encode(),
        segment,
        frames.Window(limit=1 << 20).encode() + frames.Wanted(limit=1 << 20).encode(),
        segment + frames.Cancel(message_id=0, total_bytes=8).encode(),
        frames.PathChallenge(token=b"12345678").encode() + frames.PathResponse(token=b"12345678").encode(),
        frames.Observed(address=HERE).encode(),
        frames.Close(code=0, reason="bye").encode(),
    )


def _envelope_seeds() -> tuple[bytes, ...]:
    request = Envelope(
        kind=Kind.REQUEST,
        call_id=1,
        tag=0x0101,
        timeout_ms=1000,
        priority=Priority.INTERACTIVE,
        header=b"\x90",
        body=b"b",
    )
    return tuple(
        b"".join(bytes(part) for part in pack_envelope(one))
        for one in (request, Envelope(kind=Kind.CANCEL, call_id=1), Envelope(kind=Kind.REFUSAL, call_id=1, header=b"x"))
    )


def targets() -> list[Target]:
    """All of them."""
    signed = encode(sign_desc(DESC, THEM))
    posted = encode(POST)
    chunk_headers, names = encode_header(CHUNK), encode_store_name(b"u" * 16)
    parts: list[tuple[str, Callable[[bytes], object], tuple[bytes, ...]]] = [
        ("frames", read_frames, _frame_seeds()),
        ("session", Frames().run, _frame_seeds()),
        ("envelope", envelope, _envelope_seeds()),
        ("description", desc, (signed,)),
        ("dht record", record, (encode(RECORD),)),
        ("post", post, (posted,)),
        ("post document", post_document, (posted,)),
        ("member list", summary, (pack_summary({NodeId(b"a" * 32): (1, False), NodeId(b"b" * 32): (2, True)}),)),
        ("survey", cells, (pack_cells([(1, CellSummary(count=1, digest=b"d" * 16))]),)),
        ("chunk list", chunks, (pack_chunks([CHUNK]),)),
        ("chunk states", states, (bytes((0, 1, 2, 3, 16, 17, 18)) + bytes(9),)),
        ("sealed manifest", sealed_manifest, (manifest.seal_manifest(KEYS, MANIFEST, CONTENTS),)),
        ("manifest, public part", manifest_public, (PUBLIC_PART,)),
        ("manifest, private part", manifest_private, (manifest._write_private(CONTENTS),)),
        ("share", share, (encode(SHARE),)),
        ("sealed note", sealed_note, (SHARE.sealed,)),
    ]
    known = {
        NodeDesc: encode(DESC),
        SignedDesc: signed,
        Contact: encode(CONTACT),
        Record: encode(RECORD),
        RecordBody: encode(RECORD.body),
        Post: posted,
        Share: encode(SHARE),
        RefusalMessage: encode(RefusalMessage(code=1, text="no")),
    }
    for kind in message_kinds():
        name = f"{kind.__module__.split('.')[1]}.{kind.__name__}"
        parts.append((name, decodes(kind), (known.get(kind) or encode(sample(kind)),)))
    return [
        *(Target(name=name, run=run, refusal=ProtocolError, seeds=seeds) for name, run, seeds in parts),
        Target(name="chunk header", run=chunk_header, refusal=CorruptContentError, seeds=(chunk_headers[:112],)),
        Target(name="damaged header", run=damaged_header, refusal=CorruptContentError, seeds=(chunk_headers,)),
        Target(name="store name", run=store_name, refusal=StoreError, seeds=(names[:32],)),
    ]
