"""Networks to choose by name: what their paths are like, how hosts are attached, and who comes and goes.

The numbers are our choice, of the size that the sources named at each preset report; none was fitted to a trace.
docs/how-to/simulate.md lists them side by side.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dfs_sdk.errors import ConfigError
from dfs_sdk.sim.churn import MINUTE, Churn, Classroom, Together, Weibull
from dfs_sdk.sim.conditions import Conditions, Link
from dfs_sdk.sim.scenario import ActKind, Scenario, Timeline

MONDAY_MORNING = 1_788_771_600.0
"""2026-09-07 09:00 UTC: when simulated worlds begin, so that a classroom's hours can be read off."""

MBIT = 125_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Net:
    """A simulated network.

    Attributes:
        name: What it is called.
        conditions: Of all paths.
        link: Every host's own connection.
        internet: Whether each host has a public address in a network of its own, instead of one in a shared one.
        timeline: What happens to the hosts.
    """

    name: str
    conditions: Conditions = field(default_factory=Conditions)
    link: Link = field(default_factory=Link)
    internet: bool = False
    timeline: Timeline = field(default_factory=Scenario)


LAN = Net(
    name="lan",
    conditions=Conditions(delay_min=0.0001, delay_mean=0.0002, delay_sigma=0.5),
    link=Link(up_bytes=1000 * MBIT, down_bytes=1000 * MBIT, queue_bytes=1024 * 1024),
)
"""One switch, a gigabit for each: 0.3 ms, no losses, nobody comes or goes."""

CAMPUS_CONDITIONS = Conditions(
    delay_min=0.002, delay_mean=0.004, delay_sigma=1.0, spike_interval=60.0, spike_length=0.2, spike_delay=0.15,
    loss_ratio=0.0005, bad_enter_ratio=0.0005, bad_leave_ratio=0.2, bad_loss_ratio=0.3,
)  # fmt: skip
CAMPUS_LINK = Link(up_bytes=20 * MBIT, down_bytes=50 * MBIT)

CAMPUS_WIFI = Net(
    name="campus-wifi",
    conditions=CAMPUS_CONDITIONS,
    link=CAMPUS_LINK,
    timeline=Churn(
        session=Weibull(median=45 * MINUTE, shape=0.7),
        absence=Weibull(median=20 * MINUTE, shape=0.7),
        leaves_by=ActKind.SLEEP,
    ),
)
"""Laptops on a shared wireless network: some milliseconds with a long tail, short bursts of loss, lids that close.

Source: M. Papadopouli, H. Shen, M. Spanakis, "Characterizing the Duration and Association Patterns of Wireless Access
in a Campus" (European Wireless 2005), for sessions with a heavy tail, which they model as BiPareto. That ours are
Weibull, their medians and shapes, and everything about the paths are our assumptions.
"""

CLASSROOM_DAY = Net(name="classroom-day", conditions=CAMPUS_CONDITIONS, link=CAMPUS_LINK, timeline=Classroom())
"""The same wireless network during lectures: see `churn.Classroom`. The first host is the teacher's, always on."""

INTERNET_CHURN = Net(
    name="internet-churn",
    conditions=Conditions(delay_min=0.01, delay_mean=0.04, delay_sigma=0.6, loss_ratio=0.002),
    link=Link(up_bytes=10 * MBIT, down_bytes=50 * MBIT),
    internet=True,
    timeline=Churn(session=Weibull(median=60 * MINUTE, shape=0.5), absence=Weibull(median=60 * MINUTE, shape=0.5)),
)
"""Households all over the world: sessions of heavy-tailed length, after which a node vanishes and later starts anew.

Source: D. Stutzbach, R. Rejaie, "Understanding Churn in Peer-to-Peer Networks" (IMC 2006), for Weibull sessions of
shape below 1. The medians, the shape of 0.5 and the paths are our assumptions.
"""

FLAKY_MOBILE = Net(
    name="flaky-mobile",
    conditions=Conditions(
        delay_min=0.02, delay_mean=0.04, delay_sigma=1.0, spike_interval=30.0, spike_length=0.5, spike_delay=0.4,
        loss_ratio=0.002, bad_enter_ratio=0.002, bad_leave_ratio=0.05, bad_loss_ratio=0.5,
    ),
    link=Link(up_bytes=5 * MBIT, down_bytes=20 * MBIT, queue_bytes=512 * 1024),
    internet=True,
    timeline=Together(
        (
            Churn(
                session=Weibull(median=10 * MINUTE, shape=0.6),
                absence=Weibull(median=5 * MINUTE, shape=0.6),
                leaves_by=ActKind.SLEEP,
            ),
            Churn(
                session=Weibull(median=3 * MINUTE, shape=1.0),
                absence=Weibull(median=4.0, shape=1.0),
                leaves_by=ActKind.CLOG,
            ),
        )
    ),
)  # fmt: skip
"""Telephones and tethered laptops: deep queues, bursts of loss, holes in the coverage, devices that doze.

Source: H. Jiang et al., "Tackling Bufferbloat in 3G/4G Networks" (IMC 2012), for queues of half a second and more.
The other figures are our assumptions.
"""

NETS = {net.name: net for net in (LAN, CAMPUS_WIFI, CLASSROOM_DAY, INTERNET_CHURN, FLAKY_MOBILE)}


def find_net(net: str | Net) -> Net:
    """Look a network up by its name; one of your own passes through.

    Raises:
        ConfigError: There is none of that name.
    """
    if isinstance(net, Net):
        return net
    if net not in NETS:
        raise ConfigError(f"there is no network {net!r}: choose {', '.join(NETS)}, or make a sim.presets.Net")
    return NETS[net]
