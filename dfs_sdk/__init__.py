"""dfs_sdk: a decentralized file store whose nodes live in notebooks.

`Node` is a full member: `async with Node() as node`, then `await node.join(...)`, `put`, `get`, `chat`. `Swarm` is a
handful of real nodes in one cell. `errors` has every error. Importing this package is cheap: all other names load on
first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from dfs_sdk import errors
from dfs_sdk._version import __version__

if TYPE_CHECKING:
    from dfs_sdk.files.link import Link
    from dfs_sdk.node.config import NodeConfig
    from dfs_sdk.node.node import Node
    from dfs_sdk.sim.swarm import Swarm

_HOMES = {
    "Link": "dfs_sdk.files.link",
    "Node": "dfs_sdk.node.node",
    "NodeConfig": "dfs_sdk.node.config",
    "Swarm": "dfs_sdk.sim.swarm",
}

__all__ = ["Link", "Node", "NodeConfig", "Swarm", "__version__", "errors"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dfs_sdk' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
