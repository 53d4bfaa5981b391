"""How the hosts of a seed are attached: behind which router, over what line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dfs_sdk.ids import Address
from dfs_sdk.sim.nat import Nat, NatKind

if TYPE_CHECKING:
    from dfs_sdk.sim.host import Hardware
    from dfs_sdk.sim.plan import Plan
    from dfs_sdk.sim.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Household:
    """Hosts behind one router.

    Attributes:
        hosts: Their names.
        kind: Whom the router lets in.
        forwards: Whether it was set to forward the node's port to its first host.
        mapping_seconds: How long after the last datagram that went out a mapping ends.
    """

    hosts: tuple[str, ...]
    kind: NatKind
    forwards: bool
    mapping_seconds: float

    def __str__(self) -> str:
        port = ", port forwarded" if self.forwards else f", mappings of {self.mapping_seconds:.0f} s"
        return f"{self.kind.value} before {' and '.join(self.hosts)}{port}"


def router_address(number: int) -> str:
    """Give the public address of a router, in a /24 of its own."""
    return f"70.{number >> 8 & 255}.{number & 255}.1"


def moved_address(number: int) -> str:
    """Give a public address that nobody had before, in a /24 of its own."""
    return f"71.{number >> 8 & 255}.{number & 255}.1"


def settle(world: World, plan: Plan, *, hardware: Hardware, port: int) -> None:
    """Attach the hosts of a plan.

    Args:
        world: Where.
        plan: Which hosts there are, behind which routers, over what lines.
        hardware: What all are made of.
        port: What routers forward.
    """
    behind: dict[str, tuple[str, Nat]] = {}
    for number, household in enumerate(plan.households):
        nat = Nat(router_address(number), household.kind, timeout=household.mapping_seconds, hairpin=True)
        for place, name in enumerate(household.hosts):
            behind[name] = (f"192.168.{number}.{place + 2}", nat)
        if household.forwards:
            nat.forward(Address(behind[household.hosts[0]][0], port))
    for name in plan.hosts:
        address, router = behind.get(name, (None, None))
        link = plan.lines.get(name)
        world.host(name, address=address, internet=plan.internet, nat=router, link=link, hardware=hardware)
