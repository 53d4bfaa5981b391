"""Parsers of what anybody may send or hand over: datagrams, handshakes, invites, links, addresses.

Where a checksum or a key that everybody can have stands before a parser, the target forms the outside itself, so that
the fuzzed bytes reach the inside.
"""

from __future__ import annotations

import base64

from dfs_sdk.crypto.hashing import blake3_256
from dfs_sdk.crypto.identity import Identity
from dfs_sdk.crypto.keys import AgreementKey
from dfs_sdk.crypto.noise import HandshakeState
from dfs_sdk.errors import ConfigError, LinkError, ProtocolError
from dfs_sdk.files.link import SCHEME, Link, LinkKind
from dfs_sdk.ids import Address, ChunkId
from dfs_sdk.node.invite import PREFIX, Invite
from dfs_sdk.node.joining import parse_target
from dfs_sdk.transport.contact import Contact
from dfs_sdk.transport.cookies import CookieJar, compute_mac1, mac1_key, open_cookie
from dfs_sdk.transport.handshake import PATTERN, Initiation, _membership_proof, answer_hello
from dfs_sdk.transport.identify import build_answer, build_question, read_answer
from dfs_sdk.transport.notices import Notice, PeerIdentified
from dfs_sdk.transport.packet import (
    HELLO_BYTES,
    HELLO_HEADER,
    INITIAL_WINDOW_BYTES,
    MAC_BYTES,
    NOISE_HELLO_BYTES,
    PROTOCOL_VERSION,
    WELCOME_HEADER,
    Kind,
    pack_address,
    unpack_address,
)
from tests.fakes.pair import NETWORK, Pair, SeededEntropy
from tests.fuzz.law import Target

HERE = Address("192.0.2.1", 4001)
STRANGER = Address("203.0.113.9", 9)
TOKEN = b"t" * 16
US = Identity.generate(SeededEntropy("us"))
THEM = Identity.generate(SeededEntropy("them"))
EPHEMERAL = AgreementKey.generate(SeededEntropy("ephemeral"))
INSTANCE = b"instance"
HELLO_PAYLOAD_BYTES = NOISE_HELLO_BYTES - 96


def recorded() -> tuple[Pair, tuple[bytes, ...]]:
    """A pair with an open session, whose left side also dials a third node; and all datagrams of it."""
    pair = Pair()
    pair.record = True
    pair.connect()
    pair.left.endpoint.identify(STRANGER, TOKEN)
    pair.left.send(b"payload" * 100)
    pair.run_for(2)
    pair.left.endpoint.connect(Contact(ed=US.public.ed, x=US.public.x), STRANGER, pair.now)
    list(pair.left.endpoint.datagrams_to_send(pair.now))
    return pair, tuple({data[:1] + data[-1:]: data for _, _, data in pair.sent}.values())


class Datagrams:
    """A burst from anywhere at an endpoint that has a session, a dial and a question under way: it leaves no state."""

    def __init__(self) -> None:
        self.pair, self.seeds = recorded()
        self._session = self.pair.left.session
        self._free = self.pair.left.endpoint._budget.free_bytes

    def run(self, data: bytes) -> None:
        if len(data) < 4:
            raise ProtocolError("no burst")
        endpoint, now = self.pair.left.endpoint, self.pair.now
        source = (STRANGER, self.pair.right.address, Address("no address", 1))[data[0] % 3]
        # Up to eight datagrams in a burst: more of them is more of the same.
        segment = max(int.from_bytes(data[1:3], "big"), len(data) // 8 + 1)
        counted = endpoint.counters.total()
        is_foreign = endpoint.is_foreign(memoryview(data)[3:])
        assert endpoint.counters.total() - counted == is_foreign
        endpoint.receive_datagrams(memoryview(data)[3:], segment, source, now)
        assert endpoint.session(self._session.node_id) is self._session
        assert len(endpoint._registry._by_index) == 1
        assert self._session.is_open
        assert endpoint._handshakes.half_open == 0
        assert endpoint._budget.free_bytes == self._free
        news = endpoint.next_event()
        assert endpoint.next_event() is None
        if endpoint._handshakes._replies:
            out = sum(len(answer) for answer, _ in endpoint._handshakes._replies)
            endpoint._handshakes._replies.clear()
            assert out <= 3 * len(data)
        if news is not None:
            self._ask_again(news, source)

    def _ask_again(self, news: Notice, source: Address) -> None:
        """Nothing proves an answer to our question but its token, from where we asked; it counts once."""
        assert isinstance(news, PeerIdentified)
        assert (news.token, source) == (TOKEN, STRANGER)
        assert not self.pair.left.endpoint._handshakes._questions
        self.pair.left.endpoint.identify(STRANGER, TOKEN)
        self.pair.left.endpoint._handshakes._replies.clear()


def initiation(seed: str = "fixed") -> Initiation:
    """A handshake of THEM with US."""
    return Initiation(
        identity=THEM, network=NETWORK, peer=US.public, local_index=1, instance=INSTANCE, entropy=SeededEntropy(seed)
    )


def responder() -> HandshakeState:
    """Our side of a handshake that somebody began."""
    return HandshakeState(
        PATTERN,
        initiator=False,
        prologue=NETWORK.prologue,
        s=US.agreement,
        psks=(NETWORK.psk,),
        entropy=SeededEntropy("responder"),
    )


FIRST = initiation().hello()
WELCOME, _ = answer_hello(
    memoryview(FIRST),
    identity=US,
    network=NETWORK,
    local_index=2,
    instance=INSTANCE,
    source=HERE,
    window_bytes=4 * INITIAL_WINDOW_BYTES,
    entropy=SeededEntropy("responder"),
)


def answer(hello: bytes) -> None:
    """Answer a HELLO whose mac1 was checked."""
    answer_hello(
        memoryview(hello),
        identity=US,
        network=NETWORK,
        local_index=2,
        instance=INSTANCE,
        source=HERE,
        window_bytes=4 * INITIAL_WINDOW_BYTES,
        entropy=SeededEntropy("responder"),
    )


def hello(data: bytes) -> None:
    """A HELLO of any bytes, as if mac1 fitted."""
    answer((data + FIRST[len(data) :])[:HELLO_BYTES] if len(data) < HELLO_BYTES else data)


def hello_payload(data: bytes) -> None:
    """A HELLO of somebody who knows our keys and network, with any payload."""
    noise = HandshakeState(
        PATTERN,
        initiator=True,
        prologue=NETWORK.prologue,
        s=THEM.agreement,
        e=EPHEMERAL,
        rs=US.public.x,
        psks=(NETWORK.psk,),
    )
    message = noise.write_message(data[:HELLO_PAYLOAD_BYTES].ljust(HELLO_PAYLOAD_BYTES, b"\0"))
    answer(HELLO_HEADER.pack(Kind.HELLO, PROTOCOL_VERSION, 1) + message + bytes(2 * MAC_BYTES))


def welcome(data: bytes) -> None:
    """A WELCOME of any bytes behind the right mac1."""
    covered = (data + WELCOME[len(data) :])[: len(WELCOME) - MAC_BYTES]
    mac1 = compute_mac1(mac1_key(THEM.public.x, NETWORK.network_id), covered)
    initiation().on_welcome(memoryview(covered + mac1))


def welcome_payload(data: bytes) -> None:
    """A WELCOME of whoever we dialled, with any payload."""
    noise = responder()
    noise.read_message(FIRST[HELLO_HEADER.size : HELLO_HEADER.size + NOISE_HELLO_BYTES])
    covered = WELCOME_HEADER.pack(Kind.WELCOME, 2, 1) + noise.write_message(data[:124].ljust(124, b"\0"))
    mac1 = compute_mac1(mac1_key(THEM.public.x, NETWORK.network_id), covered)
    initiation().on_welcome(memoryview(covered + mac1))


def cookie(data: bytes) -> None:
    """A COOKIE of any bytes."""
    open_cookie(memoryview(data), public_x=US.public.x, mac1=bytes(16))


def identify(data: bytes) -> None:
    """A question who we are: the answer is never larger."""
    assert len(build_answer(memoryview(data), identity=US, network=NETWORK, source=HERE)) <= len(data)


def identified(data: bytes) -> None:
    """An answer to our question."""
    read_answer(memoryview(data), HERE)


def address(data: bytes) -> None:
    """An address in a datagram: one that is read has one spelling at most."""
    read = unpack_address(data)
    assert unpack_address(pack_address(read)).port == read.port


def invite(data: bytes) -> None:
    """An invite as text."""
    Invite.parse(data.decode("utf-8", "surrogateescape"))


def invite_body(data: bytes) -> None:
    """An invite whose checksum fits: what is read is written as an invite that reads the same."""
    text = base64.urlsafe_b64encode(data + blake3_256(b"dfs/invite/1", data)[:4]).decode().rstrip("=")
    read = Invite.parse(PREFIX + text)
    assert Invite.parse(str(read)) == read


def link(data: bytes) -> None:
    """A link as text."""
    Link.parse(data.decode("utf-8", "surrogateescape"))


def link_body(data: bytes) -> None:
    """A link whose checksum fits: it has one spelling."""
    text = SCHEME + base64.urlsafe_b64encode(data + blake3_256(b"dfs/link/1", data)[:4]).decode().rstrip("=")
    assert str(Link.parse(text)) == text


def target(data: bytes) -> None:
    """What somebody types to join."""
    parse_target(data.decode("utf-8", "surrogateescape"))


def _seeds() -> dict[str, tuple[bytes, ...]]:
    contact = Contact(ed=US.public.ed, x=US.public.x, addresses=(HERE, Address("2001:db8::1", 4001)))
    invitation = str(Invite(network_id=NETWORK.network_id, private=True, contact=contact))
    coded = invitation.removeprefix(PREFIX)
    a_link = str(Link(kind=LinkKind.READ, network_tag=b"tag!", manifest_id=ChunkId(b"m" * 32), key=b"k" * 32))
    link_code = a_link.removeprefix(SCHEME)
    question = build_question(TOKEN)
    jar = CookieJar(US.public.x, SeededEntropy("jar"))
    proof = _membership_proof(NETWORK, EPHEMERAL.public, US.public.x)
    return {
        "hello": (FIRST, FIRST[:100]),
        "hello payload": (THEM.public.ed + THEM.certificate + proof + INSTANCE,),
        "welcome": (WELCOME, WELCOME[:40]),
        "welcome payload": (US.public.ed + US.certificate + INSTANCE + pack_address(HERE),),
        "cookie": (jar.issue(mac1=bytes(16), index=1, source=HERE, now=0),),
        "identify": (question,),
        "identified": (build_answer(memoryview(question), identity=US, network=NETWORK, source=HERE),),
        "address": (pack_address(HERE), pack_address(Address("2001:db8::1", 1))),
        "invite": (invitation.encode(),),
        "invite body": (base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4))[:-4],),
        "link": (a_link.encode(),),
        "link body": (base64.urlsafe_b64decode(link_code + "=" * (-len(link_code) % 4))[:-4],),
        "join target": (b"192.0.2.1:4000", b"[2001:db8::1]:4000", invitation.encode(), a_link.encode()),
    }


def targets() -> list[Target]:
    """All of them."""
    datagrams, seeds = Datagrams(), _seeds()
    runs = {
        "hello": hello,
        "hello payload": hello_payload,
        "welcome": welcome,
        "welcome payload": welcome_payload,
        "cookie": cookie,
        "identify": identify,
        "identified": identified,
        "address": address,
        "invite": invite,
        "invite body": invite_body,
        "link": link,
        "link body": link_body,
        "join target": target,
    }
    errors: dict[str, tuple[type[Exception], ...]] = {
        **dict.fromkeys(("invite", "invite body", "link", "link body"), (LinkError,)),
        "join target": (LinkError, ConfigError),
    }
    burst = tuple(b"\1" + len(data).to_bytes(2, "big") + data for data in datagrams.seeds)
    return [
        Target(name="datagram", run=datagrams.run, refusal=ProtocolError, seeds=burst),
        *(
            Target(name=name, run=run, refusal=errors.get(name, ProtocolError), seeds=seeds[name])
            for name, run in runs.items()
        ),
    ]
