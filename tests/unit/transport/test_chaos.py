"""Whatever the wire and the users do: each message arrives once and intact or was cancelled; no budget is lost."""

from __future__ import annotations

import random

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dfs_sdk.transport.config import TransportConfig
from dfs_sdk.transport.outbox import MESSAGE_CHARGE, OutgoingMessage, SendState
from dfs_sdk.transport.priority import Priority
from tests.fakes.pair import Pair, Peer, Wire

WIRES = st.builds(
    Wire,
    seed=st.integers(0, 2**16),
    delay=st.sampled_from([0.0, 0.0001, 0.01, 0.2]),
    jitter=st.sampled_from([0.0, 0.005, 0.3]),
    loss=st.sampled_from([0.0, 0.02, 0.1, 0.3]),
    repeat=st.sampled_from([0.0, 0.1, 0.5]),
    damage=st.sampled_from([0.0, 0.05]),
    bytes_per_second=st.sampled_from([None, 1e5, 1e7]),
    queue_bytes=st.sampled_from([10_000, 1_000_000]),
    mtu=st.sampled_from([1200, 1400, 9000, 65_507]),
)
CONFIGS = st.builds(
    TransportConfig,
    rekey_packets=st.sampled_from([50, 2**22]),
    datagram_bytes_max=st.sampled_from([1200, 1452, 9000, 65_000]),
)
# (sender, size, priority, seconds until the next step, whether it is cancelled later, whether the receiver sleeps)
STEPS = st.lists(
    st.tuples(
        st.booleans(),
        st.sampled_from([1, 500, 1171, 5000, 60_000, 150_000]),
        st.sampled_from(list(Priority)),
        st.sampled_from([0.0, 0.01, 0.5, 3.0]),
        st.booleans(),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


def play(pair: Pair, steps: list[tuple[bool, int, Priority, float, bool, bool]]) -> list[tuple[Peer, OutgoingMessage]]:
    sent = []
    for number, (from_left, size, priority, wait, cancelled, sleeps) in enumerate(steps):
        sender, receiver = (pair.left, pair.right) if from_left else (pair.right, pair.left)
        data = number.to_bytes(1, "big") + random.Random(number).randbytes(size - 1)
        message = sender.send(data, priority)
        sent.append((receiver, message))
        receiver.asleep = sleeps
        pair.run_for(wait)
        receiver.asleep = False
        if cancelled:
            sender.endpoint.cancel(sender.session, message)
    return sent


# The initiator sleeps for 12 s right after the handshake: what it was sent meanwhile waits in its socket.
SLEEPY_WIRE = {"seed": 0, "delay": 0.0, "jitter": 0.0, "loss": 0.0, "repeat": 0.0, "damage": 0.0, "mtu": 1200}
SLEEPY_STEPS = [(False, 1, Priority.CONTROL, 0.0, False, False), *[(False, 1, Priority.CONTROL, 3.0, False, True)] * 4]


@example(
    Wire(**SLEEPY_WIRE, bytes_per_second=1e5, queue_bytes=10_000),
    TransportConfig(rekey_packets=50, datagram_bytes_max=1200),
    SLEEPY_STEPS,
)
@given(WIRES, CONFIGS, STEPS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_message_arrives_once_or_was_cancelled(wire, config, steps):
    """P-MSG-2, P-MSG-3, P-MSG-8."""
    wire.__post_init__()
    wire.busy_until.clear()
    pair = Pair(wire=wire, config=config)
    pair.left.endpoint.connect(pair.right.contact, pair.right.address, pair.now)
    pair.run_until(lambda: bool(pair.left.opened and pair.right.opened), limit=300)
    sent = play(pair, steps)
    pair.run_until(lambda: all(message.is_over for _, message in sent), limit=1000)
    pair.run_for(30)
    assert pair.left.closed == pair.right.closed == []
    for peer in pair.peers:
        due = [message for receiver, message in sent if receiver is peer]
        must = sorted(bytes(message.cut(0, message.total)) for message in due if message.state is SendState.ACKED)
        may = sorted(bytes(message.cut(0, message.total)) for message in due if message.state is SendState.CANCELLED)
        arrived = sorted(peer.messages)
        assert [data for data in arrived if data in must] == must
        assert len(arrived) == len(set(arrived))
        assert set(arrived) <= {*must, *may}
        check_accounts(peer, pair)


def check_accounts(peer: Peer, pair: Pair) -> None:
    """Nothing is under way any more: both sides' books agree and all memory is given back."""
    inbox, budget = peer.session._inbox, peer.endpoint._budget
    other = pair.right if peer is pair.left else pair.left
    outbox = other.session.sender.outbox
    assert inbox.incomplete == 0
    assert outbox.is_empty
    assert outbox.unsent_bytes == 0
    assert inbox._consumed == inbox._begun == outbox._used
    assert outbox._used >= MESSAGE_CHARGE * outbox._next_id
    assert budget.total - budget.free_bytes == inbox.limit - inbox._consumed
    assert other.session.sender.recovery.in_flight_bytes == sum(
        run.size_bytes for run in other.session.sender.recovery.log
    )
