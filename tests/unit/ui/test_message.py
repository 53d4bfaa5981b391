import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.ui.message import Message

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, st.lists(st.binary(max_size=8), max_size=3))
def test_any_message_parses_or_raises_value_error(fields: object, buffers: list[bytes]):
    message = Message(fields, buffers)
    assert isinstance(message.kind, str)
    for read in (
        lambda: message.reference,
        lambda: message.text("x"),
        lambda: message.number("x", maximum=9),
        message.buffer,
    ):
        try:
            read()
        except ValueError as error:
            assert str(error)


def test_fields_are_read():
    message = Message({"kind": "join", "ref": "r1", "name": "n", "count": 3}, [memoryview(b"abc")])
    assert (message.kind, message.reference, message.text("name")) == ("join", "r1", "n")
    assert message.number("count", maximum=3) == 3
    assert message.buffer() == b"abc"
    assert message.text("missing", default="d") == "d"


@pytest.mark.parametrize("value", [-1, 4, True, 1.0, "1", None])
def test_numbers_out_of_range_are_refused(value: object):
    with pytest.raises(ValueError, match="whole number from 0 to 3"):
        Message({"count": value}).number("count", maximum=3)


def test_long_texts_are_refused():
    with pytest.raises(ValueError, match="at most 3 characters"):
        Message({"name": "abcd"}).text("name", length_max=3)
