"""The command line: `dfs node`, `put`, `get`, `ls`, `peers`, `chunks`, `chat`, `app`, `lab`, `demo`.

A face like the panels: it speaks to `Node` and its snapshots only.
"""

from dfs_sdk.cli.app import main

__all__ = ["main"]
