"""From what a user calls a thing to the thing: files, peers, transfers, and the folder of a node."""

from __future__ import annotations

import operator
import sys
from collections.abc import Sequence
from typing import Any, Protocol, SupportsIndex

from dfs_sdk.errors import ConfigError, ContentNotFoundError, LinkError, PeerUnreachableError
from dfs_sdk.files.catalog import File
from dfs_sdk.files.link import Link
from dfs_sdk.files.names import is_device
from dfs_sdk.files.transfers import Transfer
from dfs_sdk.ids import NodeId
from dfs_sdk.peers.view import View

FILE_ID_DIGITS_MIN = 6


class TransferLike(Protocol):
    """A transfer, or a row of `node.transfers()`."""

    @property
    def transfer_id(self) -> Any:
        """Its number."""
        ...


WhichTransfer = TransferLike | SupportsIndex | str


def folder_name(name: str | None) -> str:
    """Say under which name a node keeps its store."""
    safe = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name or "") or "default"
    # Elsewhere such a store may have its plain name already.
    return f"_{safe}" if sys.platform == "win32" and is_device(safe) else safe


def find_link(what: Link | File | str, catalog: Sequence[File]) -> Link:
    """Find the link of a file.

    Args:
        what: A link, its text, a file, or the name or id of a file in the catalog.
        catalog: The files this node knows.

    Raises:
        LinkError: The text of a link is damaged.
        ContentNotFoundError: No file is called that.
        ConfigError: Several files are called that.
    """
    if isinstance(what, Link):
        return what
    if isinstance(what, File):
        return what.link
    if not isinstance(what, str):
        raise ConfigError(f"give a link, a file or a name, not {type(what).__name__}")
    if what.strip().startswith("dfs:"):
        return Link.parse(what)
    if what.strip().startswith("dfs-join:"):
        raise LinkError("this is an invite to a network: give it to `join`; a file's link starts with 'dfs:'")
    return _one_of(what, catalog).link


def _one_of(name: str, catalog: Sequence[File]) -> File:
    found = [file for file in catalog if file.name == name]
    if not found and len(name) >= FILE_ID_DIGITS_MIN:
        found = [file for file in catalog if file.link.manifest_id.hex().startswith(name.lower())]
    if not found:
        raise ContentNotFoundError(f"no file is called {name!r} here: see `ls` for names, or give its link")
    if len(found) > 1:
        ids = ", ".join(file.link.manifest_id.short for file in found)
        raise ConfigError(f"{len(found)} files are called {name!r}: give one of their ids instead ({ids})")
    return found[0]


def find_peer(who: NodeId | str, view: View) -> NodeId:
    """Find a member by name, by its id or by the beginning of its id.

    Raises:
        PeerUnreachableError: Nobody is called that.
        ConfigError: Several are.
    """
    if isinstance(who, NodeId):
        return who
    found = view.by_name(who)
    if not found:
        raise PeerUnreachableError(f"nobody is called {who!r} in this network: see `peers` for names")
    if len(found) > 1:
        ids = ", ".join(member.node_id.short for member in found)
        raise ConfigError(f"{len(found)} peers are called {who!r}: give the id of one instead ({ids})")
    return found[0].node_id


def find_transfer(which: WhichTransfer, transfers: Sequence[Transfer]) -> Transfer:
    """Find a transfer by its number, by a row or an object that has it, or by the name of its file.

    Raises:
        ConfigError: None is called that, or several are.
    """
    if isinstance(which, str):
        return _one_transfer(which, transfers)
    given: Any = which
    try:
        number = operator.index(getattr(given, "transfer_id", given))
    except TypeError:
        kind = type(which).__name__
        raise ConfigError(f"give one row of `transfers()`, its transfer_id or its file's name, not {kind}") from None
    for transfer in transfers:
        if transfer.transfer_id == number and (transfer is which or not isinstance(which, Transfer)):
            return transfer
    raise ConfigError(f"no transfer has the number {number}: see `transfers` for those remembered")


def _one_transfer(name: str, transfers: Sequence[Transfer]) -> Transfer:
    found = [transfer for transfer in transfers if transfer.name == name]
    if not found:
        raise ConfigError(f"no transfer of {name!r} is remembered: see `transfers` for those that are")
    if len(found) > 1:
        listed = ", ".join(f"{each.transfer_id} ({each.direction.value}, {each.state.value})" for each in found)
        raise ConfigError(f"{len(found)} transfers are of {name!r}: give the number of one instead: {listed}")
    return found[0]
