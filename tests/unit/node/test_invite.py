"""Rules P-JOIN-1 to P-JOIN-3: an invite survives its trip as text, and a damaged one is refused in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.errors import LinkError
from dfs_sdk.ids import Address, NetworkId
from dfs_sdk.node.invite import PREFIX, Invite
from dfs_sdk.transport.contact import Contact

addresses = st.builds(
    Address, st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str), st.integers(1, 2**16 - 1)
)
identities = st.binary(min_size=64, max_size=64).map(Identity.from_bytes)
contacts = st.builds(
    lambda identity, addresses: Contact(ed=identity.public.ed, x=identity.public.x, addresses=addresses),
    identities,
    st.lists(addresses, max_size=8).map(tuple),
)
invites = st.builds(
    Invite, network_id=st.binary(min_size=32, max_size=32).map(NetworkId), private=st.booleans(), contact=contacts
)

GOLDEN = Invite(
    network_id=NetworkId(bytes(range(32))),
    private=True,
    contact=Contact(ed=b"e" * 32, x=b"x" * 32, addresses=(Address("192.0.2.7", 4000), Address("2001:db8::1", 4001))),
)
GOLDEN_TEXT = (
    "dfs-join:AQEAAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eH2VlZWVlZWVlZWVlZWVlZWVlZWVlZWVlZWVlZWVlZWVleHh"
    "4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHgCBMAAAgcPoBAgAQ24AAAAAAAAAAAAAAABD6GWeqEB"
)


@given(invites)
def test_an_invite_survives_its_trip(invite: Invite):
    assert Invite.parse(str(invite)) == invite


def test_layout_of_an_invite_never_changes():
    assert str(GOLDEN) == GOLDEN_TEXT


@given(st.data())
def test_one_wrong_character_is_noticed(data: st.DataObject):
    text = str(GOLDEN)
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="ascii", categories=("L", "N")).filter(lambda letter: letter != text[at]))
    changed = text[:at] + other + text[at + 1 :]
    # The last letter carries bits that no byte uses: another letter may mean the same bytes.
    if at < len(text) - 1:
        with pytest.raises(LinkError):
            Invite.parse(changed)


@given(st.one_of(st.text(), st.binary().map(lambda raw: PREFIX + raw.hex())))
def test_any_text_parses_or_raises_a_link_error(text: str):
    with pytest.raises(LinkError):
        Invite.parse(text)


@pytest.mark.parametrize("cut", [0, 1, 5, 20, 60])
def test_a_cut_invite_is_refused(cut: int):
    with pytest.raises(LinkError, match="copy it again"):
        Invite.parse(str(GOLDEN)[:-1][: cut or -1])
