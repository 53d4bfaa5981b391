"""Many sealed packets and no nonce twice: `python -m tests.campaigns.nonces --packets 100000000`.

One life after the other, two endpoints with the same identities shake hands over a bad wire, send messages, change keys
every few hundred packets, and then seal bursts, single packets and asides as fast as they go: numbers are skipped,
calls fail, keys change, and in some lives a forked child tries everything its parent does. Each use of AES-256-GCM in
the process is noted where the cipher is, over all lives. The run is noted in docs/ledger/nonces.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
import warnings
from collections import Counter
from contextlib import suppress

from dfs_sdk.errors import ForkedNodeError
from dfs_sdk.runtime.forks import on_fork_in_child
from dfs_sdk.sim.commit import commit
from dfs_sdk.transport.config import KIB, TransportConfig
from dfs_sdk.transport.keys import SendKeys
from dfs_sdk.transport.outbox import SendState
from dfs_sdk.transport.session import Session
from dfs_sdk.transport.slots import Slots
from tests.campaigns import ledger
from tests.fakes.nonces import Register, Use
from tests.fakes.pair import Pair
from tests.fakes.wire import Wire

LEDGER = ledger.ROOT / "docs" / "ledger" / "nonces.jsonl"
BURST = 64
PLAINTEXT_BYTES = 24
LIFE_PACKETS = 100_000
STEPS_PER_LOOK = 16
REKEY_PACKETS = 300
REKEY_MAX = 8_192
FORK_RATIO = 0.5
KILL_RATIO = 0.5
TRANSFER_SECONDS = 600.0


class Lives:
    """Two endpoints that live again and again.

    Args:
        seed: Decides everything.

    Attributes:
        register: What was sealed.
        counts: What happened, by its name.
        problems: What a forked child did that none may do.
    """

    def __init__(self, seed: int) -> None:
        self.register = Register()
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self._seed = seed
        self._rng = random.Random(f"nonces {seed}")
        self._inside = Slots(BURST * PLAINTEXT_BYTES)
        self._out = Slots(BURST * 2 * KIB)

    def live(self, packets: int) -> None:
        """Live once, and seal at least `packets` packets in bulk."""
        rng = self._rng
        self.counts["lives"] += 1
        with self.register.watching():
            wire = Wire(seed=self.counts["lives"], loss=0.05, jitter=0.005, repeat=0.02, damage=0.01)
            config = TransportConfig(rekey_packets=REKEY_PACKETS)
            pair = Pair(wire=wire, config=config, life=f"{self._seed}/{self.counts['lives']}")
            pair.connect()
            messages = [peer.send(rng.randbytes(rng.randrange(1, 256 * KIB))) for peer in (pair.left, pair.right)]
            pair.run_until(lambda: all(each.state is SendState.ACKED for each in messages), limit=TRANSFER_SECONDS)
            sessions = (pair.left.session, pair.right.session)
            self._seal(sessions, packets // 2)
            if rng.random() < FORK_RATIO:
                self._fork(pair, sessions)
            self._seal(sessions, packets - packets // 2)
            if rng.random() < KILL_RATIO:
                self.counts["killed"] += 1
            else:
                pair.left.endpoint.close()
                pair.run_for(1)
        self.counts["rekeys"] += sum(session.sender.keys.epoch for session in sessions)

    def _seal(self, sessions: tuple[Session, ...], packets: int) -> None:
        until = self.register.sealed + packets
        while self.register.sealed < until:
            session = self._rng.choice(sessions)
            for _ in range(STEPS_PER_LOOK):
                self._step(session)

    def _step(self, session: Session) -> None:
        """Seal a burst, mostly; else whatever else takes a number or a key."""
        keys, chance = session.sender.keys, self._rng.random()
        if chance < 0.85:
            keys.seal_burst(self._inside, BURST * PLAINTEXT_BYTES, PLAINTEXT_BYTES, self._out)
        elif chance < 0.9:
            keys.seal(b"one", self._out.view)
        elif chance < 0.93:
            keys.skip()
            self.counts["skipped"] += 1
        elif chance < 0.95:
            session.asides.seal(b"beside")
        elif chance < 0.98:
            self._fail(keys)
        else:
            keys.on_acked(keys.next_number - 1)
            keys.change_if_due(0.0, interval=1e9, packets=self._rng.randrange(1, REKEY_MAX))

    def _fail(self, keys: SendKeys) -> None:
        """Give a packet a place that is too short: its number is burned."""
        with suppress(ValueError):
            keys.seal(bytes(100), self._out.view[:50])
        self.counts["failed"] += 1

    def _fork(self, pair: Pair, sessions: tuple[Session, ...]) -> None:
        """Fork, as a notebook's cell may; the keys are wiped as the transport's driver has them wiped."""
        forgets = [on_fork_in_child(peer.endpoint.wipe) for peer in pair.peers]
        for sealed in self._uses_of_child(sessions):
            self.register.note(sealed)
            self.problems.append("a forked child sealed")
        for forget in forgets:
            forget()
        self.counts["forks"] += 1

    def _uses_of_child(self, sessions: tuple[Session, ...]) -> list[Use]:
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of other threads: the child uses none
            child = os.fork()
        if child == 0:
            code = 1
            try:
                os.close(reading)
                told = json.dumps(self._be_child(sessions)).encode()
                with os.fdopen(writing, "wb") as pipe:
                    pipe.write(told)
                code = 0
            finally:
                os._exit(code)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            told = pipe.read()
        _, status = os.waitpid(child, 0)
        if status != 0:
            raise RuntimeError("a forked child broke")
        return [(key, nonce) for key, nonce in json.loads(told)]

    def _be_child(self, sessions: tuple[Session, ...]) -> list[Use]:
        """Try all that the parent does; only refusals are expected."""
        log: list[Use] = []
        self.register.log = log
        for session in sessions:
            for _ in range(100):
                with suppress(ForkedNodeError):
                    self._step(session)
        return log


def run(packets: int, seed: int, *, life_packets: int = LIFE_PACKETS) -> Lives:
    """Live until so many packets are sealed."""
    lives = Lives(seed)
    while (left := packets - lives.register.sealed) > 0:
        lives.live(min(life_packets, left))
    return lives


def main() -> int:
    """Run a campaign, note it, and say whether a nonce came twice."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.nonces", description=__doc__)
    parser.add_argument("--packets", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, help="by default the one after the last run's")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else ledger.next_seed(ledger.read(LEDGER), "nonces")
    began, worked = time.monotonic(), time.process_time()
    lives = run(options.packets, seed)
    register = lives.register
    counts = {"sealed": register.sealed, "keys": register.keys, **lives.counts}
    ledger.append(
        LEDGER,
        ledger.Entry(
            command=f"python -m tests.campaigns.nonces --packets {options.packets} --seed {seed}",
            kind="nonces",
            commit=commit("dfs_sdk/crypto", "dfs_sdk/transport"),
            at=ledger.utc_now(),
            seconds=round(time.monotonic() - began, 1),
            first=seed,
            next=seed + 1,
            losses=register.repeated + len(lives.problems),
            counts=counts,
        ),
    )
    print(", ".join(f"{count:,} {name}" for name, count in counts.items()))
    print(f"{register.repeated} nonces came twice, {time.process_time() - worked:.0f} processor seconds")
    for problem in [*lives.problems[:20], *(f"key {key[:8]}: nonce {nonce}" for key, nonce in register.repeats)]:
        print(f"  {problem}")
    return 1 if register.repeated or lives.problems else 0


if __name__ == "__main__":
    sys.exit(main())
