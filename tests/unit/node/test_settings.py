"""Settings out of range: refused where they are given, by their name, with the values that would do."""

from __future__ import annotations

import pytest

from dfs_sdk.chat.config import ChatConfig
from dfs_sdk.dht.config import DhtConfig
from dfs_sdk.errors import ConfigError
from dfs_sdk.exchange.config import ExchangeConfig
from dfs_sdk.files.config import FilesConfig
from dfs_sdk.node.config import NodeConfig
from dfs_sdk.peers.config import PeersConfig
from dfs_sdk.replication.config import ReplicationConfig
from dfs_sdk.rpc.config import RpcConfig
from dfs_sdk.store.config import StoreConfig
from dfs_sdk.transport.config import TransportConfig


@pytest.mark.parametrize(
    ("config", "name", "value", "way_out"),
    [
        (ChatConfig, "gap_timeout", 0.0, "above 0"),
        (ChatConfig, "fanout", 0, "1 or more"),
        (DhtConfig, "parallel", 0, "1 or more"),
        (ExchangeConfig, "lend_bytes_max", -1, "0 or more"),
        (ExchangeConfig, "fetch_timeout", 0.0, "above 0"),
        (FilesConfig, "audit_interval", -1.0, "above 0"),
        (FilesConfig, "upload_bytes_max", 1000, "4194304 or more"),
        (FilesConfig, "rounds", 0, "1 or more"),
        (FilesConfig, "round_pause", -0.1, "0 or more"),
        (NodeConfig, "lag_interval", 0.0, "above 0"),
        (PeersConfig, "probe_interval", 0.0, "above 0"),
        (PeersConfig, "suspicion_slack", 0.5, "1 or more"),
        (PeersConfig, "gossip_items_max", 17, "1 to 16"),
        (ReplicationConfig, "repair_parallel", 0, "above 0"),
        (ReplicationConfig, "stagger", -1.0, "0 or more"),
        (ReplicationConfig, "replicas", 33, "1 to 32"),
        (RpcConfig, "peer_calls_max", 0, "above 0"),
        (StoreConfig, "quarantine_files_max", -1, "0 or more"),
        (TransportConfig, "half_open_max", 0, "1 or more"),
    ],
)
def test_setting_out_of_range_is_named_with_its_value_and_those_that_would_do(config, name, value, way_out):
    with pytest.raises(ConfigError, match=rf"{name} is {value}: give .*{way_out}"):
        config(**{name: value})
