"""Datagrams: their layouts byte by byte, and the fuzz law of the endpoint."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.errors import ProtocolError
from dfs_sdk.ids import Address
from dfs_sdk.transport.cookies import CookieJar, compute_mac1, mac1_key, open_cookie
from dfs_sdk.transport.handshake import WELCOME_BYTES, Initiation, answer_hello, hello_is_for
from dfs_sdk.transport.identify import build_answer, build_question, read_answer, token_of
from dfs_sdk.transport.packet import (
    COOKIE_BYTES,
    COOKIE_LAYOUT,
    DATA_HEADER,
    DATA_OVERHEAD,
    HELLO_BYTES,
    HELLO_HEADER,
    IDENTIFIED_LAYOUT,
    IDENTIFY_BYTES,
    INITIAL_WINDOW_BYTES,
    WELCOME_HEADER,
    Kind,
    data_prefix,
    is_loopback,
    is_private,
    leading_run,
    pack_address,
    source_prefix,
    unpack_address,
)
from tests.fakes.pair import NETWORK, Pair, SeededEntropy

HERE = Address("192.0.2.1", 4001)


def test_headers_have_these_bytes():
    """P-PKT-1."""
    assert HELLO_HEADER.pack(Kind.HELLO, 1, 0xA1B2C3D4).hex() == "01010000a1b2c3d4"
    assert WELCOME_HEADER.pack(Kind.WELCOME, 1, 2).hex() == "020000000000000100000002"
    assert DATA_HEADER.pack(Kind.DATA, 5, 9).hex() == "10000000050000000000000009"
    assert data_prefix(1, 5).hex() == "1100000005"
    cookie = COOKIE_LAYOUT.pack(Kind.COOKIE, 7, b"n" * 24, b"c" * 32)
    assert cookie.hex() == "0300000000000007" + "6e" * 24 + "63" * 32
    assert build_question(b"t" * 16).hex() == "04010000" + "74" * 16 + "00" * 492


def test_sizes_keep_the_promises_of_the_protocol():
    """P-PKT-2."""
    assert HELLO_BYTES == 1200
    assert COOKIE_LAYOUT.size == COOKIE_BYTES == 64
    assert WELCOME_BYTES <= 3 * HELLO_BYTES
    assert IDENTIFIED_LAYOUT.size <= IDENTIFY_BYTES


def initiation(peer, seed="left"):
    entropy = SeededEntropy(seed)
    return Initiation(
        identity=Identity.generate(entropy),
        network=NETWORK,
        peer=peer.public,
        local_index=1,
        instance=b"instance",
        entropy=entropy,
    )


@pytest.mark.parametrize("units", [1, 32, 256])
def test_handshake_gives_both_sides_the_same_keys_crosswise_and_the_same_window(units):
    """P-HS-2, P-HS-13."""
    responder = Identity.generate(SeededEntropy("right"))
    left = initiation(responder)
    hello = left.hello()
    assert len(hello) == HELLO_BYTES
    assert hello_is_for(memoryview(hello), mac1_key(responder.public.x, NETWORK.network_id))
    welcome, theirs = answer_hello(
        memoryview(hello),
        identity=responder,
        network=NETWORK,
        local_index=2,
        instance=b"another1",
        source=HERE,
        window_bytes=units * INITIAL_WINDOW_BYTES,
        entropy=SeededEntropy("e"),
    )
    ours = left.on_welcome(memoryview(welcome))
    assert (ours.send_secret, ours.receive_secret) == (theirs.receive_secret, theirs.send_secret)
    assert (ours.local_index, ours.remote_index) == (theirs.remote_index, theirs.local_index) == (1, 2)
    assert ours.observed == HERE
    assert ours.window_bytes == theirs.window_bytes == units * 65_536
    assert (ours.instance, theirs.instance) == (b"another1", b"instance")


def test_cookie_opens_only_for_the_hello_it_answers():
    """P-HS-6."""
    public_x = Identity.generate(SeededEntropy("right")).public.x
    jar = CookieJar(public_x, SeededEntropy("jar"))
    mac1 = compute_mac1(bytes(32), b"hello")
    datagram = jar.issue(mac1=mac1, index=3, source=HERE, now=0)
    assert len(open_cookie(datagram, public_x=public_x, mac1=mac1)) == 16
    with pytest.raises(ProtocolError):
        open_cookie(datagram, public_x=public_x, mac1=bytes(16))
    with pytest.raises(ProtocolError):
        open_cookie(datagram[:-1], public_x=public_x, mac1=mac1)


def test_identify_reads_back_and_checks_the_certificate():
    identity = Identity.generate(SeededEntropy("right"))
    question = memoryview(build_question(b"t" * 16))
    answer = bytearray(build_answer(question, identity=identity, network=NETWORK, source=HERE))
    found = read_answer(memoryview(answer), Address("198.51.100.2", 1))
    assert found.contact.identity == identity.public
    assert found.observed == HERE
    assert token_of(memoryview(answer)) == b"t" * 16
    for position in (20, 60, 150):
        spoiled = bytearray(answer)
        spoiled[position] ^= 1
        if 20 <= position < 84 or position >= 136:
            with pytest.raises(ProtocolError):
                read_answer(memoryview(spoiled), HERE)
    with pytest.raises(ProtocolError):
        build_answer(question[:100], identity=identity, network=NETWORK, source=HERE)


@pytest.mark.parametrize("host", ["192.0.2.1", "0.0.0.0", "2001:db8::1", "::"])
def test_address_reads_back(host):
    packed = pack_address(Address(host, 65535))
    assert unpack_address(packed) == Address(host, 65535)
    # WELCOME has its window in that byte, which nodes that do not know of it must take for nothing.
    assert packed[1] == 0
    assert unpack_address(packed[:1] + b"\x1f" + packed[2:]) == Address(host, 65535)


def test_mapped_address_is_an_ipv4_address():
    assert unpack_address(pack_address(Address("::ffff:192.0.2.1", 1))) == Address("192.0.2.1", 1)


@given(st.binary(min_size=0, max_size=24))
def test_any_bytes_are_an_address_or_a_protocol_error(data):
    with suppress(ProtocolError):
        assert len(pack_address(unpack_address(data))) == len(data)


def test_prefixes_and_kinds_of_addresses():
    assert source_prefix(Address("192.0.2.1", 1)) == source_prefix(Address("192.0.2.250", 9))
    assert source_prefix(Address("2001:db8:0:1::1", 1)) == source_prefix(Address("2001:db8:0:ff::2", 1))
    assert source_prefix(Address("2001:db8:0:100::1", 1)) != source_prefix(Address("2001:db8:0:1::1", 1))
    assert source_prefix(Address("node-7", 1)) == b"node-7"
    assert is_loopback(Address("127.0.0.1", 1)) and not is_loopback(Address("node-7", 1))
    assert is_private(Address("10.1.2.3", 1)) and not is_private(Address("93.184.216.34", 1))
    assert not is_private(Address("node-7", 1))


FUZZED = Pair()
FUZZED.connect()
INDEX = FUZZED.right.session.local_index


def _judge(data: bytes) -> tuple[bool, Counter[str]]:
    """What the endpoint says of a datagram, and what it counts meanwhile."""
    endpoint = FUZZED.right.endpoint
    before = endpoint.counters.copy()
    is_foreign = len(data) > 0 and endpoint.is_foreign(memoryview(data))
    return is_foreign, endpoint.counters - before


@given(
    st.one_of(
        st.binary(max_size=1400),
        st.builds(lambda kind, rest: bytes((kind,)) + rest, st.integers(0, 0x12), st.binary(max_size=1300)),
        st.builds(
            lambda phase, counter, rest: DATA_HEADER.pack(0x10 | phase, INDEX, counter) + rest,
            st.integers(0, 1),
            st.integers(0, 2**64 - 1),
            st.binary(max_size=200),
        ),
        st.binary(max_size=1192).map(lambda rest: (b"\x01\x01\0\0" + rest).ljust(1200, b"\0")),
    ),
    st.integers(0, 1500),
    st.sampled_from([FUZZED.left.address, Address("203.0.113.4", 9), Address("not an address", 1)]),
)
@example(b"\x10", 1, Address("203.0.113.4", 9))
@settings(max_examples=400, deadline=None)
def test_no_bytes_raise_or_leave_state_in_the_endpoint(data, segment_bytes, source):
    """P-PKT-5: the fuzz law. What is foreign is counted alike before it is gathered and after."""
    endpoint = FUZZED.right.endpoint
    session = FUZZED.right.session
    free = endpoint._budget.free_bytes
    is_foreign, judged = _judge(data)
    before = endpoint.counters.copy()
    endpoint.receive_datagrams(memoryview(data), segment_bytes, source, FUZZED.now)
    if is_foreign and segment_bytes in (0, len(data)):
        assert endpoint.counters - before == judged
    assert judged.total() == is_foreign
    assert endpoint.sessions == (session,)
    assert session.is_open
    assert session.address == FUZZED.left.address
    assert endpoint._handshakes.half_open == 0
    assert endpoint._budget.free_bytes == free
    assert endpoint.next_event() is None


@given(
    st.lists(st.tuples(st.sampled_from([0x10, 0x11]), st.integers(0, 2), st.integers(0, 5)), min_size=1, max_size=12),
    st.integers(0, 40),
    st.sampled_from([0, 2**32 - 3, 2**64 - 6]),
)
def test_a_leading_run_has_one_prefix_and_consecutive_numbers(
    headers: list[tuple[int, int, int]], body_bytes: int, base: int
) -> None:
    size = DATA_OVERHEAD + body_bytes
    rows = [(kind, index, base + number) for kind, index, number in headers]
    datagrams = b"".join(DATA_HEADER.pack(*row).ljust(size, b"\xee") for row in rows)
    prefix, counter, count = leading_run(memoryview(datagrams), size)
    kind, index, first = rows[0]
    assert (prefix, counter) == (data_prefix(kind & 1, index), first)
    expected = next((at for at, row in enumerate(rows) if row != (kind, index, first + at)), len(rows))
    assert count == expected
