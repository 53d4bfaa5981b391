"""A swarm in a simulated world: the notebook's side of it."""

import asyncio
import re
import threading
from pathlib import Path

import pytest

from dfs_sdk.errors import ConfigError, NodeClosedError, SyncCallError
from dfs_sdk.node import observing
from dfs_sdk.node.node import Node
from dfs_sdk.sim.conditions import Conditions
from dfs_sdk.sim.pace import at_leisure
from dfs_sdk.sim.presets import LAN, NETS, Net
from dfs_sdk.sim.scenario import Scenario
from dfs_sdk.sim.simulated import Simulated
from dfs_sdk.sim.swarm import Swarm
from dfs_sdk.views import frames

DATA = bytes(range(256)) * 600
CALM = at_leisure(5)


def digest(swarm: Swarm) -> str:
    ground = swarm._ground
    assert isinstance(ground, Simulated)
    return ground.world.trace.digest()


def failures(swarm: Swarm) -> list[object]:
    ground = swarm._ground
    assert isinstance(ground, Simulated)
    return [*swarm.failures, *ground.world.failures]


def seconds(swarm: Swarm) -> float:
    return swarm._ground.clock.monotonic()


async def test_time_passes_only_while_something_is_awaited():
    async with Swarm(3, net="lan", seed=1) as swarm:
        before = seconds(swarm)
        await asyncio.sleep(0.3)
        swarm.snapshots()
        swarm.peers()
        swarm[1].snapshot()
        assert seconds(swarm) == before
        await swarm[0].put(DATA, name="data", chunk_size=65_536)
        assert before < seconds(swarm) < before + 60
        before = seconds(swarm)
        report = await swarm.run(minutes=5, progress=False)
        assert seconds(swarm) == pytest.approx(before + 300)
        assert report.seconds == pytest.approx(300)
        assert not report.stopped
        assert (report.after.files, report.after.readable) == (1, 1)
        assert failures(swarm) == []


async def test_a_view_describes_its_own_table_in_one_frame(monkeypatch: pytest.MonkeyPatch):
    described, frames_made = [], []
    tabulate, peer_rows = frames.tabulate, observing._peer_rows
    monkeypatch.setattr(frames, "tabulate", lambda *given: frames_made.append(1) or tabulate(*given))
    monkeypatch.setattr(observing, "_peer_rows", lambda *given: described.append(1) or peer_rows(*given))
    async with Swarm(4, net="lan", seed=1) as swarm:
        await swarm[0].put(DATA, name="data", chunk_size=65_536)
        described.clear()  # a run looks at whole nodes
        chunks = swarm.chunks()
        assert (len(frames_made), described) == (1, [])
        assert set(chunks["node"]) == {"n0"}
        assert chunks["holder"].nunique() > 2
        assert len(swarm.peers()) == 4 * 4
        assert (len(frames_made), len(described)) == (2, 4)


async def test_swarm_of_one_seed_lives_the_same_day_twice():
    async def day(seed: int) -> tuple[str, list[object]]:
        scenario = Scenario().crash(at=60, who=1, seconds=30).sleep(at=100, who=1, seconds=60)
        net = Net(name="rough", conditions=Conditions(delay_mean=0.01, loss_ratio=0.02))
        async with Swarm(4, net=net, seed=seed, scenario=scenario) as swarm:
            await swarm[0].put(DATA, name="data", chunk_size=65_536)
            await swarm.run(minutes=3, progress=False)
            kinds = swarm.events()[["node", "at", "kind"]].astype(str).to_numpy().tolist()
            return digest(swarm), kinds

    assert await day(3) == await day(3)
    assert (await day(4))[0] != (await day(3))[0]


async def test_crashed_host_comes_back_on_its_disk_with_what_it_had():
    async with Swarm(4, net="lan", seed=2, replicas=4) as swarm:
        file = await swarm[1].put(DATA, name="data", chunk_size=65_536)
        old = await swarm.kill(1)
        assert not old.running
        with pytest.raises(NodeClosedError):
            await old.ls()
        assert old.snapshot().state == "closed"
        await swarm.run(seconds=30, progress=False)
        back = await swarm.restart(1)
        assert back is swarm[1]
        assert back is not old
        assert [each.name for each in await back.ls()] == ["data"]
        assert await back.get(file.link) == DATA
        assert failures(swarm) == []


async def test_node_goes_by_number_and_by_name():
    async with Swarm(3, net="lan", seed=2) as swarm:
        assert swarm["n2"] is swarm[2] is swarm[-1]
        await swarm.kill("n1")
        await swarm.strike("sleep", "n2", seconds=5)
        assert not swarm[1].running
        assert await swarm.restart("n1") is swarm["n1"]
        for stranger in ("n3", 3, -4):
            with pytest.raises(IndexError, match=r"n0 to n2") as told:
                swarm[stranger]
            assert isinstance(told.value, ConfigError)


async def test_settling_leaves_looks_at_the_copies():
    async with Swarm(4, net="lan", seed=2, replicas=2) as swarm:
        before = len(swarm.history())
        await swarm[0].put(DATA, name="data")
        await swarm.settled()
        looks = swarm.history()[before:]
        assert len(looks) >= 2
        assert looks["copies_min"].iloc[-1] >= 2


async def test_scenario_strikes_at_its_instants_and_is_told():
    scenario = (
        Scenario(spared=("n0",))
        .freeze(at=10, who=("n1",), seconds=20)
        .partition(at=40, who=("n2",), seconds=30)
        .crash(at=80, who=("n3",), seconds=20)
        .corrupt(at=110, who=("n1",), amount=0.0)
        .clog(at=115, who=("n2",), seconds=2)
        .lie(at=120, who=("n3",))
        .repair(at=130)
        .restart(at=140)
    )
    async with Swarm(4, net="lan", seed=2, scenario=scenario) as swarm:
        began = swarm.history()["at"].iloc[-1]
        report = await swarm.run(seconds=150, progress=False)
        events = swarm.events()
        kinds = ["freeze", "partition", "crash", "corrupt", "clog", "lie", "repair", "restart"]
        struck = events[events["kind"].isin(kinds)]
        at = [round((when - began).total_seconds()) for when in struck["at"]]
        assert at[:7] == [10, 40, 80, 110, 115, 120, 130]
        assert struck["kind"].tolist()[:7] == kinds[:7]
        assert {"freeze": 1, "crash": 1, "lie": 1}.items() <= report.strikes.items()
        assert report.after.answering == 4
        history = swarm.history()
        passed = (history["at"] - began).dt.total_seconds()
        assert set(history["answering"][(passed > 11) & (passed < 29)]) == {3}
        assert failures(swarm) == []


async def test_node_of_a_sleeping_host_can_be_looked_at_without_waking_it():
    async with Swarm(3, net="lan", seed=2) as swarm:
        await swarm.strike("sleep", 1, seconds=3600)
        before = seconds(swarm)
        assert swarm[1].snapshot().name == "n1"
        assert len(swarm.snapshots()) == 3
        assert seconds(swarm) == before


async def test_cancelled_run_stops_at_once_and_the_swarm_goes_on():
    async with Swarm(3, net="lan", seed=2) as swarm:
        began = seconds(swarm)
        running = asyncio.ensure_future(swarm.run(hours=1000, progress=False))
        while seconds(swarm) == began:
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        stopped = seconds(swarm)
        assert began < stopped < began + 1000 * 3600
        report = swarm.last_run
        assert report is not None
        assert report.stopped
        assert report.seconds == pytest.approx(stopped - began)
        assert report.after.answering == 3
        await asyncio.sleep(0.1)
        assert seconds(swarm) == stopped
        file = await swarm[0].put(DATA, name="data")
        assert await swarm[2].get(file.link) == DATA


async def test_cell_of_an_interrupted_run_says_in_one_line_where_it_stopped():
    async with Swarm(2, net="lan", seed=2) as swarm:
        with pytest.raises(TimeoutError) as told:
            async with asyncio.timeout(0.3):
                await swarm.run(hours=1000, progress=False)
        cancelled = told.value.__cause__
        assert type(cancelled) is asyncio.CancelledError
        (line,) = cancelled._render_traceback_()
        assert re.match(r"Stopped at \d\d:\d\d:\d\d \(UTC\): .* of 41 d 16 h in .*, 2 of 2 nodes answer\. ", line), line
        assert "swarm.last_run" in line
        report = await swarm.run(minutes=1, progress=False)
        assert not report.stopped


async def test_history_is_fine_at_first_so_that_a_stopped_run_has_one():
    async with Swarm(2, net="lan", seed=2, config=at_leisure(30)) as swarm:
        assert swarm.last_run is None
        report = await swarm.run(hours=2, progress=False)
        steps = swarm.history()["seconds"].diff().dropna()
        assert steps[2:15].max() < 1.1
        assert 29 < steps.max() < 31
        assert len(steps) < 400
        assert swarm.last_run is not None
        assert swarm.last_run.seconds == report.seconds == 7200


async def test_bar_stops_a_run_which_reports_how_far_it_came(monkeypatch: pytest.MonkeyPatch):
    class Bar:
        def __init__(self) -> None:
            self.shown: list[tuple[float, str]] = []

        @property
        def is_stopped(self) -> bool:
            return len(self.shown) > 2

        def show(self, ratio: float, text: str) -> None:
            self.shown.append((ratio, text))

        def __enter__(self) -> "Bar":
            return self

        def __exit__(self, *_exc: object) -> None:
            pass

    bar = Bar()
    monkeypatch.setattr("dfs_sdk.views.bar.make_bar", lambda _wanted: bar)
    async with Swarm(3, net="lan", seed=2) as swarm:
        report = await swarm.run(hours=1000)
        assert report.stopped
        assert 0 < report.seconds < report.wanted
        assert "stopped before" in repr(report)
        assert "<script" not in report._repr_mimebundle_()["text/html"]
        assert bar.shown[-1][0] == pytest.approx(report.seconds / report.wanted, abs=1e-3)


async def test_callers_loop_stays_responsive_while_the_world_runs():
    async with Swarm(8, net="lan", seed=2, config=CALM) as swarm:
        running = asyncio.ensure_future(swarm.run(hours=1000, progress=False))
        turns = 0
        while turns < 50:
            await asyncio.sleep(0)
            turns += 1
        assert not running.done()
        got = await swarm[1].ls()
        assert got == []
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_scenario_of_one_run_ends_with_it():
    async with Swarm(4, net="lan", seed=2) as swarm:
        forever = Scenario(repeat=10).partition(at=5, who=("n1",))
        await swarm.run(minutes=1, scenario=forever, progress=False)
        told = len(swarm.events())
        await swarm.run(minutes=3, progress=False)
        assert "partition" not in swarm.events()["kind"][told:].tolist()
        assert all(row.state in ("self", "alive") for row in swarm[0].snapshot().peers)


async def test_wrong_scenario_of_a_run_is_raised_and_harms_nothing():
    async with Swarm(2, net="lan", seed=2) as swarm:
        with pytest.raises(ConfigError, match="n7"):
            await swarm.run(minutes=1, scenario=Scenario().crash(at=1, who=("n7",)), progress=False)
        await swarm.run(minutes=1, progress=False)


async def test_nothing_is_left_after_close():
    swarm = await Swarm(3, net="lan", seed=2).start()
    thread = next(each for each in threading.enumerate() if each.name == "dfs-world")
    node = swarm[0]
    await swarm.close()
    assert not thread.is_alive()
    assert not node.running
    with pytest.raises(NodeClosedError):
        await swarm.run(hours=1, progress=False)
    with pytest.raises(NodeClosedError):
        await node.ls()
    await swarm.close()


def test_swarm_in_a_script_needs_no_loop():
    with Swarm(3, net="lan", seed=2) as swarm:
        file = swarm.sync.add().sync.put(DATA, name="data")
        report = swarm.sync.run(minutes=2)
        assert report.after.readable == 1
        assert swarm[0].sync.get(file.link) == DATA
        assert len(swarm) == 4


async def test_code_inside_the_world_cannot_block_it():
    refused: list[BaseException] = []
    async with Swarm(2, net="lan", seed=2) as swarm:

        async def inside(node: Node) -> None:
            try:
                node.sync.ls()
            except SyncCallError as error:
                refused.append(error)

        await asyncio.wrap_future(swarm[0].submit(inside(swarm[1])))
    assert len(refused) == 1


def test_loopback_cannot_be_partitioned():
    with Swarm(1) as swarm, pytest.raises(ConfigError, match='net="lan"'):
        swarm.sync.strike("partition", 0)


@pytest.mark.parametrize("arguments", [{"net": "nowhere"}, {"net": "lan", "count": 0}, {"count": 257}])
def test_impossible_swarm_is_refused(arguments: dict[str, object]):
    with pytest.raises(ConfigError):
        Swarm(**arguments)  # type: ignore[arg-type]


async def test_no_time_is_no_run():
    async with Swarm(1, net="lan") as swarm:
        with pytest.raises(ConfigError, match="no time"):
            await swarm.run()


async def test_scenario_is_read_from_a_file(tmp_path: Path):
    path = tmp_path / "night.toml"
    path.write_text("[[act]]\nat = '10 s'\ndo = 'sleep'\nwho = ['n1']\nfor = '1 h'\n")
    async with Swarm(2, net=LAN, seed=1, scenario=path) as swarm:
        await swarm.run(minutes=1, progress=False)
        assert swarm.history()["answering"].iloc[-1] == 1


@pytest.mark.parametrize("name", sorted(NETS))
async def test_preset_keeps_a_file_for_a_while(name: str):
    async with Swarm(5, net=name, seed=7, config=CALM) as swarm:
        await swarm[0].put(DATA, name="data", chunk_size=65_536)
        report = await swarm.run(minutes=15, progress=False)
        assert report.after.files == 1
        assert report.after.copies_kept >= 2
        assert failures(swarm) == []


async def test_large_network_is_born_acquainted_and_works():
    async with Swarm(64, net="lan", seed=3) as swarm:
        assert seconds(swarm) < 10
        assert all(node.peer_count == 63 for node in swarm)
        assert all(len(node._running.dht.table) > 40 for node in swarm)
        file = await swarm[5].put(DATA, name="data", chunk_size=65_536)
        assert await swarm[50].get(file.link) == DATA
        newcomer = await swarm.add()
        assert await newcomer.get(file.link) == DATA
        await swarm.run(minutes=1, progress=False)
        states = {row.state for node in (swarm[0], swarm[40], newcomer) for row in node.snapshot().peers}
        assert states == {"self", "alive"}
        assert failures(swarm) == []


def test_leisure_stretches_pauses_and_nothing_else():
    usual, slow = at_leisure(1), at_leisure(10)
    assert slow.peers.probe_interval == 10 * usual.peers.probe_interval
    assert slow.chat.sync_interval == 10 * usual.chat.sync_interval
    assert slow.peers.probe_timeout == usual.peers.probe_timeout
    assert slow.replication.push_timeout == usual.replication.push_timeout
    with pytest.raises(ConfigError):
        at_leisure(0.5)
