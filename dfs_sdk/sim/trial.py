"""One seed from beginning to end: a network meets, faults strike while people work, all heals and is checked."""

from __future__ import annotations

import asyncio
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from dfs_sdk.dht.config import DhtConfig
from dfs_sdk.errors import DfsError
from dfs_sdk.ids import ChunkId
from dfs_sdk.node.config import NodeConfig
from dfs_sdk.peers.config import PeersConfig
from dfs_sdk.replication.config import ReplicationConfig
from dfs_sdk.replication.policy import Policy
from dfs_sdk.runtime.tasks import run_all
from dfs_sdk.sim.caps import overfull
from dfs_sdk.sim.fidelity import CHEAP, Fidelity
from dfs_sdk.sim.fork import CAN_FORK
from dfs_sdk.sim.host import Hardware
from dfs_sdk.sim.households import settle
from dfs_sdk.sim.inspector import Inspector
from dfs_sdk.sim.ledger import Ledger, Owed
from dfs_sdk.sim.nemesis import Nemesis
from dfs_sdk.sim.plan import FaultKind, Plan
from dfs_sdk.sim.resident import FOLDER, PORT, Resident
from dfs_sdk.sim.witness import Witness
from dfs_sdk.sim.world import World

MEET_SECONDS = 120.0
READABLE_SECONDS = 60.0
COPIES_SECONDS = 600.0
CHAT_SECONDS = 60.0
LOOK_INTERVAL = 2.0
TRY_SECONDS = 20.0
SESSION_SECONDS = 1e6
"""Longer than any seed: one key a session, so that its packet numbers only grow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How one seed went.

    Attributes:
        seed: The seed.
        problems: Every breach of the promise, in words; none when it was kept.
        digest: Of all that happened.
        seconds: Virtual seconds it took.
        hosts: How many there were.
        faults: How many of each kind struck.
        files: Acknowledged files.
        lost: Of those, how many could not be read in the end.
        reads: Reads that gave the right bytes.
        messages: Messages that were said.
        reunited_after: Virtual seconds from healing until all had found each other.
        readable_after: Virtual seconds from that reunion until everything was readable.
        whole_after: The same until every chunk had its copies.
    """

    seed: int
    problems: tuple[str, ...]
    digest: str
    seconds: float
    hosts: int
    faults: Mapping[FaultKind, int]
    files: int
    lost: int
    reads: int
    messages: int
    reunited_after: float
    readable_after: float
    whole_after: float

    @property
    def passed(self) -> bool:
        """Whether the promise was kept."""
        return not self.problems

    def __str__(self) -> str:
        if self.passed:
            return (
                f"seed {self.seed}: kept. {self.files} files, {self.reads} reads, {self.messages} messages, "
                f"{sum(self.faults.values())} faults in {self.seconds:.0f} s; together "
                f"{self.reunited_after:.0f} s after healing, then readable in {self.readable_after:.0f} s and whole in "
                f"{self.whole_after:.0f} s. Digest {self.digest}"
            )
        return f"seed {self.seed}: BROKEN, digest {self.digest}\n  " + "\n  ".join(self.problems)


def run_trial(plan: Plan, *, keep: int = 0, on_end: list[str] | None = None) -> Verdict:
    """Run one seed.

    Args:
        plan: What happens.
        keep: How many of the trace's last records to keep.
        on_end: Takes those records.
    """
    with World(plan.seed, keep=keep, fidelity=Fidelity() if plan.sealed else CHEAP) as world:
        ledger = Ledger()
        trial = Trial(world, plan, ledger)
        with Witness(world, ledger) as witness:
            try:
                world.run(trial.run())
            except Exception as error:  # noqa: BLE001 - whatever ends a trial is a finding of this seed
                ledger.breach(_in_words(error))
            witness.search_disks()
        for host, failure in world.failures:
            ledger.breach(f"{host}: {failure.get('message')} ({failure.get('exception')!r})")
        if on_end is not None:
            on_end.extend(world.trace.last)
        return Verdict(
            seed=plan.seed,
            problems=tuple(ledger.problems),
            digest=world.trace.digest(),
            seconds=world.now,
            hosts=len(plan.hosts),
            faults=Counter(trial.nemesis.struck),
            files=len(ledger.files),
            lost=trial.lost,
            reads=ledger.reads,
            messages=sum(map(len, ledger.said.values())),
            reunited_after=trial.reunited_after,
            readable_after=trial.readable_after,
            whole_after=trial.whole_after,
        )


def _in_words(error: Exception) -> str:
    """Name an error that ended a trial, and where it was raised."""
    words = f"{type(error).__name__}: {error}"
    if isinstance(error, DfsError):
        return words
    *_, last = traceback.extract_tb(error.__traceback__)
    return f"the trial ended with {words} (line {last.lineno} of {last.filename})"


class Trial:
    """The two phases of a seed.

    Args:
        world: Where.
        plan: What happens.
        ledger: What is owed.
    """

    def __init__(self, world: World, plan: Plan, ledger: Ledger) -> None:
        self._world = world
        self._plan = plan
        self._ledger = ledger
        self.lost = 0
        self.reunited_after = self.readable_after = self.whole_after = 0.0
        rng, config = world.rng.child("residents"), trial_config(plan)
        settle(world, plan, hardware=Hardware(offload_queued=plan.disk_queue), port=PORT)
        self.residents = {
            name: Resident(world.hosts[name], plan, config, ledger, rng.child(name), on_receipt=self._on_receipt)
            for name in plan.hosts
        }
        self.nemesis = Nemesis(
            world,
            plan,
            restart=lambda name: self.residents[name].begin(),
            on_cut=self._on_cut,
            fork=lambda name, seconds: CAN_FORK and self.residents[name].fork(seconds),
        )
        self._inspector = Inspector(
            world, ledger, folder=FOLDER, quorum=plan.quorum, excused=lambda: plan.liars | self.nemesis.spoiled
        )

    async def run(self) -> None:
        """Meet, suffer, heal, be checked."""
        for resident in self.residents.values():
            resident.begin()
        if not await self._until(self._all_met, MEET_SECONDS):
            self._ledger.breach("the nodes did not meet on a good network")
            return
        await self.nemesis.run()
        self._check_tables("when the faults end")
        for resident in self.residents.values():
            resident.working = False
        await self.nemesis.heal()
        healed_at = self._world.now
        await self._restart_the_sick()
        if not await self._until(self._all_met, MEET_SECONDS):
            self._ledger.breach(f"the nodes did not find each other again: {self._who_misses_whom()}")
        reunited_at = self._world.now
        self.reunited_after = reunited_at - healed_at
        await self._check_files(healed_at, reunited_at)
        await self._check_copies(reunited_at)
        if not await self._until(self._all_heard, CHAT_SECONDS):
            self._ledger.breach("messages are missing after everybody was back")
        self._check_tables("in the end")

    def _check_tables(self, when: str) -> None:
        for resident in self.residents.values():
            if resident.engine is None:
                continue
            for problem in overfull(resident.engine, members=len(self._plan.hosts)):
                self._ledger.breach(f"{resident.name}: {problem} {when}")

    # Receipts

    def _on_receipt(self, writer: str, chunk_ids: Sequence[ChunkId], *, whole: bool) -> None:
        if not whole:
            self._inspector.check_receipt(writer, chunk_ids, when="at its receipt")
        self.nemesis.receipt(writer, chunk_ids, whole=whole)

    def _on_cut(self, writer: str, chunk_ids: Sequence[ChunkId]) -> None:
        self._inspector.check_receipt(writer, chunk_ids, when="after the power went")
        self._inspector.check_standing(when="after the power went")

    # Phase two

    async def _restart_the_sick(self) -> None:
        """A store that met an error only reads until its node is restarted: what its user would do."""
        for resident in self.residents.values():
            if not resident.is_well:
                self._world.hosts[resident.name].crash(power=False)
                resident.begin()

    async def _check_files(self, healed_at: float, reunited_at: float) -> None:
        left = self._ledger.standing()
        rng = self._world.rng.child("readers")
        # Once in any case: where the nodes took longer than that to meet, no file is lost because nobody tried it.
        while left:
            turns = [self._read(file, rng.choice(self._honest())) for file in left]
            read = await run_all(*turns, limit=self._plan.reads_at_once)
            left = [file for file, done in zip(left, read, strict=True) if not done]
            if not left or self._world.now >= healed_at + READABLE_SECONDS:
                break
            await asyncio.sleep(LOOK_INTERVAL)
        self.readable_after = self._world.now - reunited_at
        self.lost = len(left)
        for file in left:
            self._ledger.breach(
                f"{file.name} was acknowledged and cannot be read {READABLE_SECONDS:.0f} s after healing"
            )

    async def _read(self, file: Owed, reader: Resident) -> bool:
        before = self._ledger.reads
        node = reader.node
        if node is None:
            return False
        try:
            async with asyncio.timeout(TRY_SECONDS):
                await reader.host.run(reader.read(node, file))
        except (DfsError, TimeoutError):
            return False
        return self._ledger.reads > before

    async def _check_copies(self, reunited_at: float) -> None:
        for name in sorted(self._plan.doomed - self._plan.liars):
            node = self.residents[name].node
            if node is not None:
                await self.residents[name].host.run(node.check(read_data=True))
        whole = await self._until(self._all_whole, COPIES_SECONDS)
        self.whole_after = self._world.now - reunited_at
        if not whole:
            self._ledger.breach(f"{COPIES_SECONDS:.0f} s after healing copies are missing: {self._missing()[:3]}")
        for resident in self._honest():
            if resident.store is not None:
                self._inspector.check_store(resident.name, resident.store)

    def _missing(self) -> list[str]:
        """Name the chunks with too few copies on honest hosts; what liars confirmed counts as lost from the start."""
        stores = [resident.store for resident in self._honest()]
        wanted = min(self._plan.replicas, len(self._plan.hosts) - 1) - len(self._plan.liars)
        missing = []
        for file in self._ledger.standing():
            for chunk_id in file.chunk_ids:
                copies = sum(store is not None and chunk_id in store for store in stores)
                if copies < wanted:
                    missing.append(f"{chunk_id.short} of {file.name}: {copies} of {wanted}")
        return missing

    def _honest(self) -> list[Resident]:
        return [resident for resident in self.residents.values() if not resident.lies]

    # What is waited for

    def _all_met(self) -> bool:
        return not self._who_misses_whom()

    def _who_misses_whom(self) -> list[str]:
        missing = []
        for resident in self.residents.values():
            if not resident.is_well or resident.node is None:
                missing.append(f"{resident.name} is down")
                continue
            alive = {row.name for row in resident.node.snapshot().peers if row.state in ("alive", "self")}
            missing += [f"{resident.name} misses {name}" for name in self._plan.hosts if name not in alive]
        return missing

    def _all_whole(self) -> bool:
        return not self._missing()

    def _all_heard(self) -> bool:
        results = []
        for resident in self._honest():
            if resident.node is None or resident.name in self._plan.doomed:
                continue
            history = resident.node.chat.history(limit=10_000)
            shown = [(each.sender_name, each.sender.hex(), each.text) for each in history]
            results.append(self._ledger.heard(resident.name, shown, forgetful=self._plan.doomed))
        return all(results)

    async def _until(self, condition: Callable[[], bool], seconds: float) -> bool:
        deadline = self._world.now + seconds
        while not condition():
            if self._world.now >= deadline or self._ledger.problems:
                return False
            await asyncio.sleep(LOOK_INTERVAL / 2)
        return True


def trial_config(plan: Plan) -> NodeConfig:
    """Settings of nodes that notice and repair within seconds, so that a minute of faults is a long time."""
    base = NodeConfig()
    return replace(
        base,
        policy=Policy(replicas=plan.replicas, quorum=plan.quorum),
        transport=replace(base.transport, rekey_interval=SESSION_SECONDS),
        peers=PeersConfig(
            probe_interval=plan.probe_interval,
            probe_timeout=2.0,
            suspicion_min=5.0,
            suspicion_scale=1.0,
            busy_grace=5.0,
            down_time_mean=5.0,
            partition_silent_share=0.5,
            partition_window=10.0,
            partition_freeze=10.0,
            sync_interval=5.0 * plan.probe_interval,
            describe_interval=2.0,
            persist_interval=5.0,
        ),
        dht=replace(DhtConfig.quick(), query_timeout=2.0, lookup_timeout=10.0, maintain_interval=10.0 * plan.leisure),
        replication=replace(
            ReplicationConfig.quick(),
            repair_interval=5.0 * plan.leisure,
            settle_time=1.0,
            ask_timeout=3.0,
            push_timeout=20.0,
        ),
    )
