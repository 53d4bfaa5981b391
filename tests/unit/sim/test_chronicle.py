"""What a swarm remembers of what happened."""

from dataclasses import dataclass
from typing import ClassVar

from dfs_sdk.events import Event
from dfs_sdk.sim.chronicle import Chronicle
from dfs_sdk.sim.presets import LAN
from dfs_sdk.sim.running import Run
from dfs_sdk.sim.scenario import ActKind, Strike
from dfs_sdk.sim.simulated import Simulated
from dfs_sdk.sim.swarm import Swarm


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupting(Event):
    """News during whose telling more happens, as when another thread has its turn just then."""

    topic: ClassVar[str] = "node"
    chronicle: Chronicle

    @property
    def text(self) -> str:
        self.chronicle.struck(Strike(at=0, kind=ActKind.SLEEP, hosts=("n0",), seconds=1))
        return "meanwhile"


def test_events_can_be_read_while_more_are_told():
    chronicle = Chronicle(Simulated(LAN, seed=1, fidelity=None))
    news = Interrupting(at_wall=0.0, chronicle=chronicle)
    chronicle._events.extend([("n0", news), ("n1", news)])
    assert [name for name, _row in chronicle.rows()] == ["n0", "n1"]
    assert [name for name, _row in chronicle.rows()] == ["n0", "n1", "n0", "n0"]


async def test_report_tells_of_its_run_and_of_nothing_after():
    async with Swarm(2, net="lan", seed=1) as swarm:
        chronicle, ground = swarm._chronicle, swarm._ground
        run = Run(swarm, wanted=5.0, home=ground.home, ground=ground, chronicle=chronicle)
        await run.pass_time(None, progress=False)
        chronicle.counts["Later"] += 1
        chronicle.strikes["later"] += 1
        report = run.report(())
        assert "Later" not in report.news
        assert "later" not in report.strikes
