"""What can be tuned on a node: one field a slice, each with settings of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Self

from dfs_sdk.chat.config import ChatConfig
from dfs_sdk.dht.config import DhtConfig
from dfs_sdk.errors import ConfigError, require_above_zero
from dfs_sdk.exchange.config import ExchangeConfig
from dfs_sdk.files.config import FilesConfig
from dfs_sdk.peers.config import PeersConfig
from dfs_sdk.replication.config import ReplicationConfig
from dfs_sdk.replication.policy import Policy
from dfs_sdk.rpc.config import RpcConfig
from dfs_sdk.runtime.lag import INTERVAL_SECONDS
from dfs_sdk.store.config import StoreConfig
from dfs_sdk.transport.config import TransportConfig

_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """Settings of one node.

    Attributes:
        transport: Datagrams, sessions, loss recovery.
        rpc: Calls.
        store: Quota and limits of the disk.
        peers: Who is up.
        dht: Records and lookups.
        exchange: Chunks between two peers.
        replication: How many copies, where, when to repair.
        files: Uploads, downloads, the catalog.
        chat: Rooms and messages.
        policy: Copies of a file where `put` does not say otherwise.
        lag_interval: Seconds between two looks at how long the loop was held by something else, above 0.
        leave_timeout: Seconds that handing over may take when a node leaves or a node in memory closes.
    """

    transport: TransportConfig = field(default_factory=TransportConfig)
    rpc: RpcConfig = field(default_factory=RpcConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    peers: PeersConfig = field(default_factory=PeersConfig)
    dht: DhtConfig = field(default_factory=DhtConfig)
    exchange: ExchangeConfig = field(default_factory=ExchangeConfig)
    replication: ReplicationConfig = field(default_factory=ReplicationConfig)
    files: FilesConfig = field(default_factory=FilesConfig)
    chat: ChatConfig = field(default_factory=ChatConfig)
    policy: Policy = field(default_factory=Policy)
    lag_interval: float = INTERVAL_SECONDS
    leave_timeout: float = 10.0

    def __post_init__(self) -> None:
        require_above_zero(self, "lag_interval")

    def with_quota(self, quota: int | str | None) -> Self:
        """Return these settings with another quota; None keeps it.

        Raises:
            ConfigError: The quota is no size.
        """
        if quota is None:
            return self
        return replace(self, store=replace(self.store, capacity_bytes=parse_size(quota)))


def parse_size(size: int | str) -> int:
    """Read a size such as `2_000_000`, `"500 MB"` or `"2 GiB"`; with or without the i, a step is 1,024.

    Raises:
        ConfigError: It is no size.
    """
    if isinstance(size, int) and not isinstance(size, bool) and size >= 0:
        return size
    match = _SIZE.fullmatch(size) if isinstance(size, str) else None
    if match is None:
        raise ConfigError(f"{size!r} is no size: write a number of bytes, or such as '500 MiB' or '2 GiB'")
    return int(float(match[1]) * 1024 ** _POWERS[match[2].lower()])
