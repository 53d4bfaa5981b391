"""What the first bytes of a session wait for, in virtual time: `python -m tests.bench.bench_cold messages|gets`.

`messages` sends one message on a new session, from the dialling side and to it, with and without the window that
WELCOME tells. `gets` lets newcomers far from everybody join and get one file each, at once. Seconds, and round trips
from the dial or the call to the last byte; everything follows from seeds.
"""

from __future__ import annotations

import argparse
from functools import partial
from itertools import product
from statistics import mean

from dfs_sdk.sim.conditions import Conditions
from tests.fakes.cold import cold_fetch, cold_gets, cold_push
from tests.fakes.wire import Wire

KIB = 1024
MIB = 1024 * KIB
MEGABIT = 1e6 / 8
PACKET_BYTES = 1452
LINKS = ((10, 0.3), (100, 0.05))
SIZES = {"64 KiB + 1": 64 * KIB + 1, "256 KiB": 256 * KIB, "1 MiB": MIB}


def bench_messages() -> None:
    """Print a line for each link and size."""
    for (megabits, rtt), (name, size) in product(LINKS, SIZES.items()):
        wire = partial(Wire, delay=rtt / 2, bytes_per_second=megabits * MEGABIT, mtu=PACKET_BYTES)
        taken = {
            "push": cold_push(wire(), size),
            "push without the window in WELCOME": cold_push(wire(), size, older_dialler=True),
            "fetch": cold_fetch(wire(), size),
        }
        listed = "; ".join(f"{what} {seconds:.3f} s = {seconds / rtt:.2f}" for what, seconds in taken.items())
        print(f"{megabits} Mbit/s, {rtt * 1000:.0f} ms, {name}: {listed}")


def bench_gets(size: int, *, members: int, newcomers: int, seeds: int, sealed: bool, rtt: float) -> None:
    """Print what the newcomers of some seeds took."""
    far = Conditions(delay_min=rtt / 2)
    taken = [
        seconds / rtt
        for seed in range(seeds)
        for seconds in cold_gets(size, members=members, newcomers=newcomers, seed=seed, conditions=far, sealed=sealed)
    ]
    listed = " ".join(f"{trips:.1f}" for trips in sorted(taken))
    print(f"{size // KIB} KiB, {members} members: {mean(taken):.2f} round trips on average: {listed}")


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("messages", "gets"))
    parser.add_argument("--kib", type=int, default=100)
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--newcomers", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--sealed", action="store_true", help="datagrams, windows and congestion control")
    parser.add_argument("--rtt", type=float, default=0.3)
    given = parser.parse_args()
    if given.what == "messages":
        bench_messages()
    else:
        bench_gets(
            given.kib * KIB, members=given.members, newcomers=given.newcomers, seeds=given.seeds, sealed=given.sealed,
            rtt=given.rtt,
        )  # fmt: skip


if __name__ == "__main__":
    main()
