"""Chunks between two peers: push, fetch, ask who has what, take back; whoever receives bytes verifies them.

`scheduler` decides which source is asked and when a second one is, `fetching` gets a chunk, `holder` answers peers,
`service` asks them.
"""

from __future__ import annotations

from dfs_sdk.exchange.asking import Wanted
from dfs_sdk.exchange.budget import ByteBudget
from dfs_sdk.exchange.config import SEALED_BYTES_MAX, ExchangeConfig
from dfs_sdk.exchange.fetching import NotHeldError
from dfs_sdk.exchange.messages import ASK_CHUNKS_MAX
from dfs_sdk.exchange.scheduler import PeerLoad
from dfs_sdk.exchange.service import Exchange, HaveReport, Receipt
from dfs_sdk.exchange.tombstones import removal_hash

__all__ = [
    "ASK_CHUNKS_MAX",
    "SEALED_BYTES_MAX",
    "ByteBudget",
    "Exchange",
    "ExchangeConfig",
    "HaveReport",
    "NotHeldError",
    "PeerLoad",
    "Receipt",
    "Wanted",
    "removal_hash",
]
