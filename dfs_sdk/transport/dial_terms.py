"""What every transport does around a dial: whom it dials at all, and waiting for an answer a while at a time."""

from __future__ import annotations

import asyncio
from typing import Any

from dfs_sdk.errors import ConfigError, PeerUnreachableError
from dfs_sdk.ids import NodeId
from dfs_sdk.transport.contact import Contact


def check_dialable(contact: Contact, own: NodeId) -> None:
    """Refuse to dial ourselves, or nowhere.

    Args:
        contact: The peer.
        own: Who we are.

    Raises:
        ConfigError: The contact is our own.
        PeerUnreachableError: It has no address.
    """
    if contact.node_id == own:
        raise ConfigError("a node does not connect to itself")
    if not contact.addresses:
        raise PeerUnreachableError(f"no address of peer {contact.node_id.short} is known")


async def done_within(future: asyncio.Future[Any], seconds: float) -> bool:
    """Wait for a future without cancelling it.

    Args:
        future: What to wait for; its error, if it ends with one, is raised.
        seconds: For how long at most.

    Returns:
        Whether it is done.
    """
    try:
        async with asyncio.timeout(seconds):
            await asyncio.shield(future)
    except TimeoutError:
        pass
    return future.done()
