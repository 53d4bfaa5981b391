"""Where the peer is and how large packets may be: path validation, path MTU, pacing, timers, rates."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from dfs_sdk.ids import Address
from dfs_sdk.runtime.system import SeededRng
from dfs_sdk.transport.arrivals import REPLAY_WINDOW, Arrivals
from dfs_sdk.transport.bbr import Bbr
from dfs_sdk.transport.congestion import Delivery, DeliveryMeter
from dfs_sdk.transport.cookies import PREFIXES_MAX, LoadMeter, PrefixLimiter
from dfs_sdk.transport.mtu import BLACK_HOLE_PAUSE, PROBE_AFTER_BYTES, RAISE_INTERVAL, MtuSearch
from dfs_sdk.transport.pacing import Pacer
from dfs_sdk.transport.path import CHALLENGES_MAX, PathKeeper
from dfs_sdk.transport.timers import TimerQueue
from tests.fakes.pair import SeededEntropy

HOME, AWAY, FAR = (Address(f"192.0.2.{number}", 1) for number in (1, 2, 3))


def keeper() -> PathKeeper:
    return PathKeeper(HOME, SeededEntropy("path"))


def heard(path: PathKeeper, source: Address, *, size: int = 100, newest: bool = True, now: float = 0.0) -> None:
    path.on_packets(source, size_bytes=size, newest=newest, now=now, rtt=0.1)


def challenged(path: PathKeeper, now: float = 0.0):
    return path.challenge(packet_bytes=38, now=now, rtt=0.1)


def test_token_from_the_challenged_address_moves_the_path():
    """P-PATH-1."""
    path = keeper()
    heard(path, AWAY)
    destination, challenge = challenged(path)
    assert destination == AWAY
    assert path.address == HOME
    assert not path.on_response(challenge.token, FAR, 0)
    assert not path.on_response(b"12345678", AWAY, 0)
    assert path.on_response(challenge.token, AWAY, 0)
    assert path.address == AWAY


def test_late_packet_says_nothing_about_where_the_peer_is():
    path = keeper()
    heard(path, AWAY, newest=False)
    assert challenged(path) is None


def test_candidate_gets_at_most_three_times_what_it_sent():
    """P-PATH-2."""
    path = keeper()
    heard(path, AWAY, size=30)
    assert challenged(path) is not None
    sent, received = 38, 30
    for step in range(1, 50):
        heard(path, AWAY, size=1, now=step)
        received += 1
        if challenged(path, now=step) is not None:
            sent += 38
        assert sent <= 3 * received


def test_challenges_are_bounded():
    """P-PATH-2."""
    path = keeper()
    count = 0
    for step in range(CHALLENGES_MAX + 1):
        heard(path, AWAY, now=step)
        count += challenged(path, now=step) is not None
    assert count == CHALLENGES_MAX


def test_another_candidate_waits_for_a_round_trip():
    """P-PATH-3."""
    path = keeper()
    heard(path, AWAY)
    _, challenge = challenged(path)
    heard(path, FAR, now=0.05)
    assert challenged(path, now=0.05) is None
    assert path.on_response(challenge.token, AWAY, 0.1)
    heard(path, FAR, now=0.15)
    assert challenged(path, now=0.15) is None
    heard(path, FAR, now=0.25)
    assert challenged(path, now=0.25)[0] == FAR


def settle(search: MtuSearch, *, acked: int, lost: int = 0, now: float = 0.0) -> bool:
    return search.on_settled(acked_bytes=PROBE_AFTER_BYTES, acked_size_max=acked, lost_size_max=lost, now=now)


def test_search_climbs_one_acknowledged_probe_at_a_time():
    """P-MTU-1."""
    search = MtuSearch(9000)
    assert search.probe_due(0) is None
    settle(search, acked=1200)
    sizes = []
    while (size := search.probe_due(0)) is not None:
        search.on_probe_sent(size)
        assert search.probe_due(0) is None
        assert search.on_probe_acked(size)
        sizes.append(size)
    assert sizes == [1452, 8952, 9000]
    assert search.size == 9000


def test_third_lost_probe_ends_the_search_for_ten_minutes():
    """P-MTU-2."""
    search = MtuSearch(9000)
    settle(search, acked=1200)
    for _ in range(3):
        search.on_probe_sent(search.probe_due(0))
        search.on_probe_lost(0)
    assert search.probe_due(RAISE_INTERVAL - 1) is None
    assert search.probe_due(RAISE_INTERVAL) == 1452
    assert search.size == 1200


def test_black_hole_is_noticed_and_mixed_loss_is_not():
    """P-MTU-4."""
    search = MtuSearch(1452)
    settle(search, acked=1200)
    search.on_probe_sent(1452)
    search.on_probe_acked(1452)
    for _ in range(20):
        assert not settle(search, acked=1452, lost=1452)
    falls = [settle(search, acked=1200, lost=1452) for _ in range(6)]
    assert falls == [False] * 5 + [True]
    assert search.size == 1200
    assert search.probe_due(BLACK_HOLE_PAUSE - 1) is None
    assert search.probe_due(BLACK_HOLE_PAUSE) == 1452


@given(st.floats(1e4, 1e9), st.integers(1200, 65_000), st.lists(st.floats(0, 0.05), min_size=1, max_size=50))
def test_pacer_never_releases_more_than_rate_and_backlog(rate, packet_bytes, waits):
    """P-REC-5."""
    pacer, now, sent = Pacer(), 0.0, 0
    for wait in waits:
        now += wait
        allowed = pacer.allowance(now=now, rate=rate, packet_bytes=packet_bytes)
        pacer.consume(allowed)
        sent += allowed
    assert sent <= rate * now + max(rate * 0.004, 10 * packet_bytes) + 1


@given(st.floats(1e4, 1e9), st.integers(1200, 65_000), st.integers(0, 100_000_000))
def test_pacer_owes_at_most_a_burst_for_what_did_not_wait(rate, packet_bytes, unpaced):
    pacer, now = Pacer(), 1e5
    pacer.consume(pacer.allowance(now=now, rate=rate, packet_bytes=packet_bytes))
    pacer.consume(unpaced)
    assert pacer.allowance(now=now, rate=rate, packet_bytes=packet_bytes) == 0
    burst = packet_bytes * min(max(rate * 0.001 / packet_bytes, 2), 64)
    assert pacer.ready_at(rate=rate, packet_bytes=packet_bytes) - now <= (2 * burst + 1) / rate + 1e-4
    assert pacer.allowance(now=now + 2.1 * burst / rate + 1e-4, rate=rate, packet_bytes=packet_bytes) > 0


def test_pacer_lets_time_move_on_at_any_rate():
    pacer, now = Pacer(), 1e6
    pacer.consume(pacer.allowance(now=now, rate=1e15, packet_bytes=1200))
    assert pacer.ready_at(rate=1e15, packet_bytes=1200) > now


@given(st.floats(1e4, 1e9), st.integers(1200, 65_000))
def test_pacer_is_ready_when_it_says_so(rate, packet_bytes):
    pacer, now = Pacer(), 1e5
    while (allowed := pacer.allowance(now=now, rate=rate, packet_bytes=packet_bytes)) > 0:
        pacer.consume(allowed)
    at = pacer.ready_at(rate=rate, packet_bytes=packet_bytes)
    assert at > now
    assert pacer.allowance(now=at, rate=rate, packet_bytes=packet_bytes) > 0


def delivery(now: float, *, acked: int, lost: int = 0, delivered: int, prior: int, rate: float, rtt=0.05) -> Delivery:
    return Delivery(
        now=now,
        acked_bytes=acked,
        lost_bytes=lost,
        in_flight_bytes=0,
        delivered_bytes=delivered,
        prior_delivered_bytes=prior,
        rate=rate,
        app_limited=False,
        rtt=rtt,
    )


def drive(bbr: Bbr, *, rounds: int, lost: int, start: float = 0.0, delivered: int = 0) -> int:
    """Tell of rounds in which 100,000 bytes arrive in 0.05 s."""
    for step in range(rounds):
        prior, delivered = delivered, delivered + 100_000
        now = start + 0.05 * step
        bbr.on_delivery(delivery(now, acked=100_000, lost=lost, delivered=delivered, prior=prior, rate=2e6))
    return delivered


def test_model_finds_rate_and_window_of_a_steady_path():
    bbr = Bbr(1200, SeededRng(1))
    drive(bbr, rounds=40, lost=0)
    assert bbr.state != "startup"
    assert 0.7 * 2e6 <= bbr.pacing_rate <= 1.3 * 2e6
    assert bbr.window_bytes >= 2e6 * 0.05


def test_moderate_loss_leaves_the_window_and_heavy_loss_shrinks_it():
    """P-REC-4."""
    calm, heavy = Bbr(1200, SeededRng(1)), Bbr(1200, SeededRng(1))
    seen = [drive(bbr, rounds=20, lost=0) for bbr in (calm, heavy)]
    before = calm.window_bytes
    drive(calm, rounds=20, lost=10_000, start=1, delivered=seen[0])
    drive(heavy, rounds=20, lost=90_000, start=1, delivered=seen[1])
    assert calm.window_bytes >= 0.9 * before
    assert heavy.window_bytes < 0.5 * before
    drive(heavy, rounds=40, lost=0, start=2, delivered=seen[1] + 2_000_000)
    assert heavy.window_bytes >= 0.9 * before


def test_delivery_rate_is_never_above_the_rate_of_sending():
    """A11: an acknowledgement that comes early or in parts shows no more than was sent."""
    meter = DeliveryMeter()
    meter.snapshot(now=0.0, in_flight_bytes=0)
    snapshots = [meter.snapshot(now=0.01 * step, in_flight_bytes=1) for step in range(100)]
    for step in range(100):
        meter.on_acked(now=1.0, size_bytes=1000, sent_at=0.01 * step)
        rate = meter.rate(snapshots[step], now=1.0, sent_at=0.01 * step, rtt_min=0.001)
        assert rate is None or rate <= 1000 / 0.01 * 1.01


def test_acknowledgements_held_back_and_given_at_once_show_no_more_than_was_sent():
    """A11: what left within a second is acknowledged a hundredth after the first of it; the sender saw both."""
    meter = DeliveryMeter()
    meter.snapshot(now=0.0, in_flight_bytes=0)
    meter.on_acked(now=1.0, size_bytes=1000, sent_at=0.0)
    late = meter.snapshot(now=1.0, in_flight_bytes=999_000)
    meter.on_acked(now=1.01, size_bytes=999_000, sent_at=1.0)
    rate = meter.rate(late, now=1.01, sent_at=1.0, rtt_min=0.01)
    assert rate is not None
    assert rate <= 1e6
    # Nor does what was acknowledged sooner than a round trip takes show anything.
    meter.on_acked(now=2.0, size_bytes=1000, sent_at=1.99)
    early = meter.snapshot(now=2.0, in_flight_bytes=1000)
    meter.on_acked(now=2.001, size_bytes=1000, sent_at=1.99)
    assert meter.rate(early, now=2.001, sent_at=1.99, rtt_min=0.01) is None


def test_what_leaves_after_a_pause_is_no_measure_of_the_path():
    meter = DeliveryMeter()
    assert not meter.snapshot(now=0.0, in_flight_bytes=0)[3]
    meter.mark_app_limited(1000)
    assert meter.snapshot(now=0.1, in_flight_bytes=1000)[3]
    meter.on_acked(now=0.2, size_bytes=1000, sent_at=0.1)
    assert meter.snapshot(now=5.0, in_flight_bytes=0)[3], "it waited for nobody but us"
    meter.on_acked(now=5.1, size_bytes=1000, sent_at=5.0)
    assert not meter.snapshot(now=5.1, in_flight_bytes=1000)[3]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 100)), max_size=60))
def test_timers_come_up_in_order_whatever_was_set_before(changes):
    timers: TimerQueue[int] = TimerQueue()
    model: dict[int, int] = {}
    for owner, deadline in changes:
        if deadline % 7 == 0:
            timers.cancel(owner)
            model.pop(owner, None)
        else:
            timers.set(owner, deadline)
            model[owner] = deadline
        assert timers.next_deadline() == min(model.values(), default=None)
        assert len(timers) == len(model)
    due = timers.expired(50)
    assert sorted(due) == sorted(owner for owner, deadline in model.items() if deadline <= 50)
    assert [model[owner] for owner in due] == sorted(model[owner] for owner in due)


def test_setting_timers_again_and_again_does_not_grow_the_queue():
    timers: TimerQueue[str] = TimerQueue()
    for deadline in range(10_000):
        timers.set("one", deadline)
    assert len(timers._heap) < 100


def test_replay_window_never_takes_a_number_twice_nor_refuses_a_fresh_one_inside():
    """P-KEY-4: a hundred thousand packets in bad order, compared with a set."""
    rng = random.Random(5)
    arrivals, taken, highest = Arrivals(), set(), -1
    for step in range(100_000):
        number = max(step - rng.randrange(REPLAY_WINDOW) if rng.random() < 0.3 else step + rng.randrange(3), 0)
        fresh = not arrivals.is_seen(number)
        if number > highest - REPLAY_WINDOW:
            assert fresh == (number not in taken)
        if fresh:
            assert number not in taken
            arrivals.add(number, number + 1, eliciting=True, now=0, ack_delay_max=0.025)
            taken.add(number)
            highest = max(highest, number)


def test_window_reaches_back_over_a_change_of_keys():
    """P-KEY-4."""
    arrivals = Arrivals()
    arrivals.add(0, 100, eliciting=True, now=0, ack_delay_max=0.025)
    arrivals.add(2**32, 2**32 + 10, eliciting=True, now=0, ack_delay_max=0.025)
    assert not arrivals.is_seen(100)
    assert arrivals.is_seen(99)
    arrivals.add(2**32 + 10, 2**32 + 10 + 2 * REPLAY_WINDOW, eliciting=True, now=0, ack_delay_max=0.025)
    assert arrivals.is_seen(100)


def test_acknowledgements_wait_as_long_as_the_rules_say():
    """P-REC-2."""
    lone, two, burst, gap = (Arrivals() for _ in range(4))
    lone.add(0, 1, eliciting=True, now=1.0, ack_delay_max=0.025)
    assert lone.ack_at == 1.025
    for number in range(2):
        two.add(number, number + 1, eliciting=True, now=1.0, ack_delay_max=0.025)
    assert two.ack_at == 1.001
    burst.add(0, 2, eliciting=True, now=1.0, ack_delay_max=0.025)
    assert burst.ack_at == 1.0
    gap.add(5, 6, eliciting=True, now=1.0, ack_delay_max=0.025)
    assert gap.ack_at == 1.0
    silent = Arrivals()
    silent.add(0, 5, eliciting=False, now=1.0, ack_delay_max=0.025)
    assert silent.ack_at is None


def test_rate_of_a_prefix_is_kept_and_the_table_is_bounded():
    """P-HS-7."""
    limiter = PrefixLimiter(rate=20, burst=5)
    allowed = sum(limiter.allows(Address("203.0.113.1", port), now=port / 100) for port in range(200))
    assert 5 + 20 * 2 - 2 <= allowed <= 5 + 20 * 2
    assert all(limiter.allows(Address("127.0.0.1", 1), 0) for _ in range(100))
    for number in range(PREFIXES_MAX + 100):
        limiter.allows(Address(f"10.{number >> 8}.{number & 255}.1", 1), 0)
    assert len(limiter) == PREFIXES_MAX


def test_load_is_felt_above_the_limit_and_forgotten_after():
    load = LoadMeter(10)
    assert [load.count(0.5) for _ in range(11)] == [False] * 10 + [True]
    assert load.count(1.2)
    assert not load.count(5.0)
