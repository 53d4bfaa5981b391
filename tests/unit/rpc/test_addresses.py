"""Which addresses are believed and used: attack A21, P-RPC-20 to P-RPC-25."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.ids import Address
from dfs_sdk.rpc import addressbook
from dfs_sdk.rpc.addressbook import CONFIRMED_ADDRESSES_MAX, AddressBook
from dfs_sdk.rpc.addresses import REFLECTOR_PORTS, Scope, may_dial, prefix_of, scope_of
from dfs_sdk.transport.contact import ADDRESSES_MAX, Contact
from tests.fakes.runtime import FakeEntropy

LOOPBACK = Address("127.0.0.1", 4001)
LAN = Address("192.168.1.20", 4001)
PUBLIC = Address("93.184.215.14", 4001)
NEVER = [
    "0.0.0.0",
    "0.1.2.3",
    "224.0.0.251",
    "239.255.255.250",
    "255.255.255.255",
    "240.0.0.1",
    "::",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "2002:7f00:1::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "64:ff9b::7f00:1",
    "localhost",
    "",
]


@pytest.mark.parametrize("host", NEVER)
@pytest.mark.parametrize("source", [None, LOOPBACK, LAN, PUBLIC])
def test_an_address_no_node_can_have_is_never_used(host: str, source: Address | None) -> None:
    """P-RPC-20"""
    assert not may_dial(Address(host, 4001), source=source)


@pytest.mark.parametrize("port", [*sorted(REFLECTOR_PORTS), -1, 65536])
@pytest.mark.parametrize("source", [None, LOOPBACK, PUBLIC])
def test_the_ports_of_reflectors_are_never_used(port: int, source: Address | None) -> None:
    """P-RPC-21"""
    assert not may_dial(Address("93.184.215.14", port), source=source)


@pytest.mark.parametrize(
    ("host", "scope"),
    [
        ("127.0.0.1", Scope.LOOPBACK),
        ("127.8.9.10", Scope.LOOPBACK),
        ("::1", Scope.LOOPBACK),
        ("169.254.169.254", Scope.LINK),
        ("fe80::1", Scope.LINK),
        ("10.0.0.1", Scope.PRIVATE),
        ("172.17.0.2", Scope.PRIVATE),
        ("192.168.0.1", Scope.PRIVATE),
        ("100.64.0.1", Scope.PRIVATE),
        ("198.51.100.7", Scope.PRIVATE),
        ("fd00::1", Scope.PRIVATE),
        ("93.184.215.14", Scope.GLOBAL),
        ("2606:4700::1111", Scope.GLOBAL),
    ],
)
def test_scopes(host: str, scope: Scope) -> None:
    assert scope_of(Address(host, 4001)) is scope


@pytest.mark.parametrize(
    ("host", "believed_from"),
    [
        ("127.0.0.1", {LOOPBACK}),
        ("192.168.1.9", {LOOPBACK, LAN}),
        ("93.184.215.99", {LOOPBACK, LAN, PUBLIC}),
        ("169.254.169.254", set()),
    ],
)
def test_an_address_is_believed_only_from_a_network_it_belongs_to(host: str, believed_from: set[Address]) -> None:
    """P-RPC-22"""
    for source in (LOOPBACK, LAN, PUBLIC):
        assert may_dial(Address(host, 4001), source=source) is (source in believed_from)


def test_a_link_local_address_is_believed_on_its_own_link_only() -> None:
    assert may_dial(Address("169.254.1.1", 4001), source=Address("169.254.2.2", 4001))


@given(st.ip_addresses(), st.integers(-5, 70_000), st.ip_addresses())
def test_no_pair_of_addresses_raises(ip: object, port: int, source: object) -> None:
    may_dial(Address(str(ip), port), source=Address(str(source), 4001))
    prefix_of(Address(str(ip), port))


def test_prefixes_tell_public_networks_apart_and_leave_households_alone() -> None:
    assert prefix_of(Address("93.184.215.14", 1)) == prefix_of(Address("93.184.215.77", 2))
    assert prefix_of(Address("93.184.215.14", 1)) != prefix_of(Address("93.184.216.14", 1))
    assert prefix_of(Address("2606:4700:1:2::3", 1)) == prefix_of(Address("2606:4700:1:ffff::", 1))
    assert prefix_of(LAN) is None
    assert prefix_of(LOOPBACK) is None


entropy = FakeEntropy(5)
OWNER = Identity.generate(entropy)


def contact(*addresses: Address, identity: Identity | None = None) -> Contact:
    public = (identity or Identity.generate(entropy)).public
    return Contact(ed=public.ed, x=public.x, addresses=addresses)


def make_book(*own: Address) -> AddressBook:
    return AddressBook(OWNER.node_id, own_addresses=lambda: own)


def test_the_book_keeps_only_what_is_safe() -> None:
    book = make_book()
    peer = contact(LOOPBACK, Address("93.184.215.14", 53), PUBLIC, Address("224.0.0.1", 4001))
    assert book.learn(peer, PUBLIC)
    found = book.contact(peer.node_id)
    assert found is not None
    assert found.addresses == (PUBLIC,)
    assert not book.learn(contact(LOOPBACK), PUBLIC)


def test_who_is_seen_at_one_of_our_own_interfaces_is_on_this_machine() -> None:
    """P-RPC-22"""
    neighbour = contact(Address("127.0.0.1", 5001))
    here = Address("192.168.1.5", 4002)
    assert not make_book().learn(neighbour, here)
    book = AddressBook(OWNER.node_id, own_hosts=lambda: ["192.168.1.5"])
    assert book.learn(neighbour, here)
    assert not book.learn(contact(Address("127.0.0.1", 5002)), LAN)


def test_the_book_never_holds_its_owner_or_an_address_of_its_owner() -> None:
    book = make_book(LAN)
    assert not book.learn(contact(PUBLIC, identity=OWNER), None)
    assert not book.learn(contact(LAN), None)
    assert len(book) == 0


def test_hearsay_never_displaces_a_confirmed_address() -> None:
    book = make_book()
    peer = contact(PUBLIC)
    book.confirm(peer.identity, PUBLIC)
    for round_ in range(3):
        lies = tuple(Address("8.8.8.8", 5000 + 100 * round_ + n) for n in range(ADDRESSES_MAX))
        book.learn(Contact(ed=peer.ed, x=peer.x, addresses=lies), PUBLIC)
    found = book.contact(peer.node_id)
    assert found is not None
    assert found.addresses[0] == PUBLIC
    assert len(found.addresses) == ADDRESSES_MAX


def test_what_a_node_says_of_itself_replaces_what_others_said() -> None:
    book = make_book()
    peer = contact(Address("8.8.8.8", 5000))
    book.learn(peer, PUBLIC)
    book.learn(Contact(ed=peer.ed, x=peer.x, addresses=(PUBLIC,)), PUBLIC, first_hand=True)
    found = book.contact(peer.node_id)
    assert found is not None
    assert found.addresses == (PUBLIC,)


def test_only_the_newest_confirmed_addresses_are_kept() -> None:
    book = make_book()
    peer = contact(PUBLIC)
    seen = [Address("93.184.215.14", 6000 + n) for n in range(10)]
    for address in seen:
        book.confirm(peer.identity, address)
    found = book.contact(peer.node_id)
    assert found is not None
    assert found.addresses == tuple(reversed(seen[-CONFIRMED_ADDRESSES_MAX:]))


def test_a_flood_of_hearsay_stays_bounded_and_leaves_those_we_met_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addressbook, "HEARSAY_MAX", 50)
    monkeypatch.setattr(addressbook, "MET_MAX", 20)
    book = make_book()
    met = [contact(PUBLIC) for _ in range(10)]
    for peer in met:
        book.confirm(peer.identity, PUBLIC)
    for _ in range(200):
        book.learn(contact(PUBLIC), PUBLIC)
    assert len(book) == 60
    assert all(book.has_met(peer.node_id) for peer in met)
    for _ in range(50):
        book.confirm(contact(PUBLIC).identity, PUBLIC)
    assert len(book) == 70


def test_ever_new_addresses_of_one_node_leave_no_more_than_a_contact_holds() -> None:
    book = make_book()
    peer = contact(PUBLIC)
    for port in range(20_000, 20_100):
        book.learn(Contact(ed=peer.ed, x=peer.x, addresses=(Address(PUBLIC.host, port),)), PUBLIC)
    assert len(book._heard[peer.node_id].hearsay) == ADDRESSES_MAX


def test_a_forgotten_node_is_gone() -> None:
    book = make_book()
    peer = contact(PUBLIC)
    book.learn(peer, None)
    assert peer.node_id in book
    book.forget(peer.node_id)
    assert peer.node_id not in book
    assert book.contact(peer.node_id) is None
