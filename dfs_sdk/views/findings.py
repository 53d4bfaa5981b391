"""What a node found out about its own network, in words: a pure function of a snapshot."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from dfs_sdk.node.snapshot import NodeSnapshot, PeerRow
from dfs_sdk.views import words

LAG_SAID_MIN = 0.5
RTT_SAME_ROOM_MAX = 0.005
RTT_NEAR_MAX = 0.05
FULL_SHARE_MIN = 0.9
REACHABLE: Final = frozenset({"alive", "lagging", "busy"})

Level = Literal["good", "plain", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was found.

    Attributes:
        level: Whether it is fine, plain information, or something to look at.
        text: A sentence, safe to show.
    """

    level: Level
    text: str


def findings(snapshot: NodeSnapshot) -> list[Finding]:
    """Say who answers, how far away they are, on how many machines, and who can reach this node.

    Args:
        snapshot: The node at one instant.
    """
    others = [row for row in snapshot.peers if row.state != "self"]
    found = [
        *_company(others, partitioned=snapshot.partitioned),
        *_distance(others),
        *_machines(snapshot.peers),
        *_reach(snapshot),
        *_door(snapshot),
        *_own_loop(snapshot.lag),
        *_room(snapshot.peers),
    ]
    return [Finding(level=level, text=text) for level, text in found]


def _company(others: Sequence[PeerRow], *, partitioned: bool) -> Iterator[tuple[Level, str]]:
    if partitioned:
        yield (
            "warning",
            "So many peers fell silent together that this node is probably the one cut off: check its own network.",
        )
    if not others:
        yield "plain", "Nobody else is in this network yet: join one, or hand on an invite."
        return
    here = sum(row.state in REACHABLE for row in others)
    if here == len(others):
        yield "good", f"All {words.count(here, 'peer')} answer." if here > 1 else "The one peer answers."
    else:
        yield "warning", f"{here} of {words.count(len(others), 'peer')} answer; the others are silent or have left."


def _distance(others: Sequence[PeerRow]) -> Iterator[tuple[Level, str]]:
    times = sorted(row.rtt for row in others if row.state in REACHABLE and math.isfinite(row.rtt))
    if not times:
        return
    middle = times[len(times) // 2]
    if middle <= RTT_SAME_ROOM_MAX:
        yield "plain", "Peers answer within milliseconds: they are on this machine or in this building."
    elif middle <= RTT_NEAR_MAX:
        yield "plain", "Peers answer as from the same region."
    else:
        yield "plain", "Peers answer as from far away: transfers take some seconds to come up to speed."


def _machines(rows: Sequence[PeerRow]) -> Iterator[tuple[Level, str]]:
    hosts = {row.host for row in rows if row.state == "self" or row.state in REACHABLE}
    if len(rows) < 2 or not hosts:
        return
    if len(hosts) == 1:
        yield "warning", "All of them run on this one machine: if it breaks, every copy is gone."
    else:
        yield "good", f"The nodes that answer run on {len(hosts)} machines."


def _reach(snapshot: NodeSnapshot) -> Iterator[tuple[Level, str]]:
    addresses = [parsed for parsed in map(_parsed, snapshot.addresses) if parsed is not None]
    if not addresses:
        return
    shown = words.visible(snapshot.addresses[0])
    bound = _parsed(snapshot.address)
    if all(ip.is_loopback for ip, _ in addresses):
        yield "plain", f"It listens on {shown}: only programs on this machine can reach it."
    elif any(ip.is_global for ip, _ in addresses):
        yield "good", f"It is known by a public address, {shown}: peers elsewhere may reach it."
    else:
        yield (
            "plain",
            f"It is known by private addresses such as {shown}: peers outside this local network cannot reach it.",
        )
    if bound is not None and any(port != bound[1] for _, port in addresses):
        yield "plain", f"A router translates its port: it listens on {bound[1]}, and peers see another one."


def _door(snapshot: NodeSnapshot) -> Iterator[tuple[Level, str]]:
    if not snapshot.network:
        return
    if snapshot.private:
        yield "plain", "The network is private: who joins needs the passphrase."
    else:
        yield "plain", "The network is open: whoever has the address of a member can join."


def _own_loop(lag: float) -> Iterator[tuple[Level, str]]:
    if lag >= LAG_SAID_MIN:
        span = words.duration(max(1, round(lag)))
        yield (
            "warning",
            f"Its loop was blocked for {span} lately: peers had to wait. Put long work into a thread.",
        )


def _room(rows: Sequence[PeerRow]) -> Iterator[tuple[Level, str]]:
    full = sum(row.capacity_bytes > 0 and row.used_bytes >= FULL_SHARE_MIN * row.capacity_bytes for row in rows)
    if full:
        yield "warning", f"{words.count(full, 'member')} of {len(rows)} {'is' if full == 1 else 'are'} nearly full."


def _parsed(address: str) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int] | None:
    host, _, port = address.rpartition(":")
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0]), int(port)
    except ValueError:
        return None
