"""Calls: one request message to a peer, one reply message back, over the sealed messages of the transport.

A slice above says `rpc.serve(FindNode, handler)` and `await rpc.call(peer, FindNode(...))`; who is connected, how, and
where a peer may be reached is settled here.
"""

from dfs_sdk.rpc.addressbook import AddressBook
from dfs_sdk.rpc.base import Answer, Caller, Handler, Refusal, RefusalCode, RpcService
from dfs_sdk.rpc.config import RpcConfig
from dfs_sdk.rpc.service import Rpc

__all__ = ["AddressBook", "Answer", "Caller", "Handler", "Refusal", "RefusalCode", "Rpc", "RpcConfig", "RpcService"]
