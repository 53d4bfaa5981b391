"""What a swarm stands on: real sockets in this kernel, or a simulated world. One interface: nobody asks which."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dfs_sdk.errors import ConfigError
from dfs_sdk.node.config import NodeConfig
from dfs_sdk.node.membership import Membership, found
from dfs_sdk.node.node import Node
from dfs_sdk.runtime.home import Home
from dfs_sdk.runtime.homes import HomeKind, choose_home
from dfs_sdk.runtime.ports import Clock, Rng, Runtime
from dfs_sdk.runtime.system import system_runtime
from dfs_sdk.runtime.tasks import run_all
from dfs_sdk.sim.pace import hurried
from dfs_sdk.sim.scenario import ActKind, Scenario, Strike, Timeline

LISTEN = "127.0.0.1:0"
LOOPBACK_NODES_MAX = 256

Undo = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Messages of a whole network so far; zeros where nobody counts them.

    Attributes:
        delivered: Datagrams that arrived.
        lost: Datagrams that did not.
        bytes_delivered: Bytes of those that arrived.
    """

    delivered: int = 0
    lost: int = 0
    bytes_delivered: int = 0


class Ground(ABC):
    """Hosts and what is between them. All methods but the properties are called on the home.

    Attributes:
        nodes_max: The most nodes it bears.
        meet_parallel: Newcomers that may enter at one time.
        look_interval: Pause between two looks at something that many nodes change, in seconds.
    """

    nodes_max: int
    meet_parallel: int
    look_interval: float

    @property
    @abstractmethod
    def home(self) -> Home:
        """Where the swarm's own code runs."""

    @property
    @abstractmethod
    def clock(self) -> Clock:
        """The time that passes here."""

    @property
    @abstractmethod
    def rng(self) -> Rng:
        """Chance for what happens to hosts."""

    @abstractmethod
    def config(self, count: int) -> NodeConfig:
        """Settings of the nodes where nobody chose any."""

    @property
    @abstractmethod
    def timeline(self) -> Timeline:
        """What happens to hosts here by itself."""

    @abstractmethod
    async def found(self) -> Membership:
        """Found the network that all nodes are to belong to."""

    @abstractmethod
    def node(self, name: str, config: NodeConfig, membership: Membership | None) -> Node:
        """Make the node of a host; the host is added when it is the first one of that name."""

    @abstractmethod
    def address(self, node: Node) -> str:
        """Where others join through a node."""

    @abstractmethod
    def are_born_acquainted(self, count: int) -> bool:
        """Whether so many nodes know each other from the start, instead of meeting one by one."""

    @abstractmethod
    def acquaint(self, nodes: Sequence[Node]) -> None:
        """Let running nodes know each other, with no word between them."""

    @abstractmethod
    async def crash(self, node: Node, *, power: bool) -> None:
        """Let a node vanish without a goodbye, with its host's power or only as a process."""

    @abstractmethod
    def restart(self, name: str) -> None:
        """Let a host that is down begin anew; its node has to be made again."""

    @abstractmethod
    def answers(self, name: str) -> bool:
        """Whether a host is up, awake and not blocked."""

    def check(self, kind: ActKind) -> None:  # noqa: B027 - most grounds bear everything
        """See whether something can happen here.

        Raises:
            ConfigError: It cannot.
        """

    @abstractmethod
    def strike(self, strike: Strike) -> Undo:
        """Let something happen to hosts or to what is between them.

        Returns:
            What ends it; harmless when it has ended.

        Raises:
            ConfigError: That cannot happen here.
        """

    @abstractmethod
    def lie(self, node: Node) -> None:
        """Let a node answer wrongly from now on."""

    @abstractmethod
    def traffic(self) -> Traffic:
        """What went over the network."""

    @abstractmethod
    async def close(self, nodes: Sequence[Node]) -> None:
        """End all nodes at once, and everything else."""


class Loopback(Ground):
    """Real nodes over real UDP, all in this kernel; they keep everything in memory.

    Args:
        home: Where the nodes live, as for `Node`.
        seed: Makes placement and schedules repeatable, as far as real sockets allow.
    """

    nodes_max = LOOPBACK_NODES_MAX
    meet_parallel = 4
    look_interval = 0.1

    def __init__(self, *, home: HomeKind, seed: int | None) -> None:
        self._kind: HomeKind = home
        self._home: Home | None = None
        self._runtime: Runtime = system_runtime(seed=seed)
        self._lives: dict[str, int] = {}

    @property
    def home(self) -> Home:
        """See `Ground`; chosen when it is first needed."""
        if self._home is None:
            self._home = choose_home(self._kind)
        return self._home

    @property
    def clock(self) -> Clock:
        """See `Ground`."""
        return self._runtime.clock

    @property
    def rng(self) -> Rng:
        """See `Ground`."""
        return self._runtime.rng.child("swarm")

    def config(self, count: int) -> NodeConfig:
        """See `Ground`; they miss a silent peer within seconds."""
        return hurried(count)

    @property
    def timeline(self) -> Timeline:
        """Nothing happens by itself."""
        return Scenario()

    async def found(self) -> Membership:
        """See `Ground`."""
        return await found(passphrase=None, runtime=self._runtime)

    def node(self, name: str, config: NodeConfig, membership: Membership | None) -> Node:
        """See `Ground`; a host that was down comes back with another identity and nothing stored."""
        life = self._lives[name] = self._lives.get(name, -1) + 1
        stream = f"{name}/{life}" if life else name
        return Node(
            name,
            store="memory",
            listen=LISTEN,
            home="loop",
            config=config,
            runtime=replace(self._runtime, rng=self._runtime.rng.child(stream)),
            membership=membership,
        )

    def address(self, node: Node) -> str:
        """See `Ground`."""
        return str(node.address)

    def are_born_acquainted(self, count: int) -> bool:  # noqa: ARG002 - however many
        """No: they meet over their sockets."""
        return False

    def acquaint(self, nodes: Sequence[Node]) -> None:
        """Nothing, see above."""

    async def crash(self, node: Node, *, power: bool) -> None:  # noqa: ARG002 - nothing is kept either way
        """See `Ground`."""
        await node.abort()

    def restart(self, name: str) -> None:
        """Nothing: there are no hosts but this one."""

    def answers(self, name: str) -> bool:  # noqa: ARG002 - as above
        """See `Ground`."""
        return True

    def check(self, kind: ActKind) -> None:
        """See `Ground`: this kernel and its sockets are real."""
        if kind not in (ActKind.CRASH, ActKind.RESTART, ActKind.REPAIR):
            raise ConfigError(
                f'nothing here can {kind.value}: on real sockets hosts only crash and restart; take Swarm(net="lan")'
            )

    def strike(self, strike: Strike) -> Undo:
        """Refuse, see `check`."""
        self.check(strike.kind)
        raise ValueError(f"{strike.kind} does not happen to the ground")

    def lie(self, node: Node) -> None:
        """Refuse: these nodes are real."""
        raise ConfigError(f'{node.name} is a real node and does not lie: take Swarm(net="lan")')

    def traffic(self) -> Traffic:
        """See `Ground`; nobody counts here."""
        return Traffic()

    async def close(self, nodes: Sequence[Node]) -> None:
        """See `Ground`."""
        # There is nobody to hand chunks over to: all of them end together.
        await run_all(*(node.abort() for node in nodes))
        await self._runtime.offload.close()
