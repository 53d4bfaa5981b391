"""A distributed hash table: small signed records that expire, stored on the nodes closest to their key.

It tells who provides a file and where a node is, in networks too large for everybody to know everybody.
"""

from dfs_sdk.dht.config import DhtConfig
from dfs_sdk.dht.messages import Record, RecordKind
from dfs_sdk.dht.service import Dht

__all__ = ["Dht", "DhtConfig", "Record", "RecordKind"]
