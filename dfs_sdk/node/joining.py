"""Joining: from what a user typed to a live session with a member, and words for each way it can fail.

Steps (rules P-JOIN-4 to P-JOIN-8): resolve the name, ask who is there, compare the networks, open a session, meet the
others. Every step is noted as it happens, so that the error at the time-out says how far it came and what to check.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from dfs_sdk.errors import (
    ConfigError,
    DeadlineError,
    JoinError,
    JoinTimeoutError,
    LinkError,
    NetworkMismatchError,
    PeerUnreachableError,
)
from dfs_sdk.ids import Address, NetworkId
from dfs_sdk.node.invite import PREFIX, Invite
from dfs_sdk.rpc.ports import IdentifiedPort
from dfs_sdk.runtime.door import Shown
from dfs_sdk.transport.contact import Contact

CHECK_REACH = (
    "check that the address is right, that the node there is running (a notebook in a long cell cannot answer), "
    "and that UDP passes the firewalls on both sides"
)
CHECK_THE_KEY = "check the passphrase: a private network answers a wrong one with silence"
IDENTIFY_TRY = 3.0
KNOCK_PAUSE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinReport(Shown):
    """How joining went.

    Attributes:
        through: Address of the member that let us in.
        network: First digits of the network's id.
        peers: Other members known when it was done.
        seconds: How long it took.
    """

    through: str
    network: str
    peers: int
    seconds: float

    def __str__(self) -> str:
        peers = "1 peer" if self.peers == 1 else f"{self.peers} peers"
        return f"joined network {self.network} through {self.through} in {self.seconds:.1f} s: {peers}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """Where to get in: a member whose keys are known, and its network."""

    contact: Contact
    network_id: NetworkId
    private: bool


@dataclass(slots=True)
class Attempt:
    """The log of one attempt to join.

    Attributes:
        tried: What was done so far, a sentence each; the join panel shows the last one.
        check: What to look at if the time runs out now.
        on_step: Told each sentence as it is added.
    """

    tried: list[str] = field(default_factory=list)
    check: str = CHECK_REACH
    on_step: Callable[[str], None] | None = None

    def note(self, sentence: str) -> None:
        """Add a step."""
        self.tried.append(sentence)
        if self.on_step is not None:
            self.on_step(sentence)

    def timed_out(self, timeout: float) -> JoinTimeoutError:
        """Say at the time-out what was tried and what to check."""
        return JoinTimeoutError(f"nobody let us in within {timeout:g} s. Tried: {self._steps()}. Now {self.check}.")

    def failed(self, reason: str) -> JoinError:
        """Say why it cannot work, what was tried and what to check."""
        return JoinError(f"{reason}. Tried: {self._steps()}. Now {self.check}.")

    def _steps(self) -> str:
        return "; ".join(self.tried) or "nothing yet"


def parse_target(target: str) -> Invite | tuple[str, int]:
    """Tell an invite from an address.

    Returns:
        The invite, or host and port.

    Raises:
        LinkError: It looks like an invite but is damaged.
        ConfigError: It is neither.
    """
    text = target.strip()
    if text.startswith(PREFIX):
        return Invite.parse(text)
    if text.startswith("dfs:"):
        raise LinkError("this is the link of a file: give it to `get`; to join, give an invite (dfs-join:…)")
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise ConfigError(f"{target!r} is no address: write HOST:PORT, such as 192.0.2.7:4000, or paste an invite")
    return host, int(port)


class Doorway(Protocol):
    """What finding an entrance needs of the node."""

    async def lookup(self, host: str, port: int) -> list[Address]:
        """Resolve a name the user gave."""
        ...

    async def dial(self, address: Address, *, timeout: float) -> IdentifiedPort:
        """Ask who listens at an address."""
        ...


async def find_entrance(target: str, doorway: Doorway, attempt: Attempt) -> Entrance:
    """Find the keys and the network behind what the user typed.

    Asks again and again until somebody answers: the caller sets the time-out.

    Raises:
        JoinError: A name does not resolve.
        LinkError: The invite is damaged.
        ConfigError: The target is neither invite nor address.
    """
    parsed = parse_target(target)
    if isinstance(parsed, Invite):
        attempt.note(f"read an invite to network {parsed.network_id.short}")
        return Entrance(contact=parsed.contact, network_id=parsed.network_id, private=parsed.private)
    host, port = parsed
    try:
        addresses = await doorway.lookup(host, port)
    except OSError as error:
        attempt.check = "check the spelling of the host name"
        raise attempt.failed(f"the name {host!r} is unknown ({error.strerror or error})") from error
    return await _ask_until_answered(addresses, doorway, attempt)


async def _ask_until_answered(addresses: list[Address], doorway: Doorway, attempt: Attempt) -> Entrance:
    pause = IDENTIFY_TRY
    while True:
        for address in addresses:
            attempt.note(f"asked {address} who is there")
            try:
                found = await doorway.dial(address, timeout=pause)
            except DeadlineError:
                attempt.note(f"no answer from {address} in {pause:g} s")
            except PeerUnreachableError as error:
                attempt.note(f"{address} cannot be reached ({error})")
                await asyncio.sleep(pause)
            else:
                attempt.note(f"{address} answered: it belongs to network {found.network_id.short}")
                return Entrance(contact=found.contact, network_id=found.network_id, private=found.private)


def check_networks(
    entrance: Entrance, *, current: NetworkId, has_passphrase: bool, has_members: bool, attempt: Attempt
) -> None:
    """Refuse what cannot work before any time is spent on it.

    Args:
        entrance: Where to get in.
        current: The network this node belongs to.
        has_passphrase: Whether one was given, or that of the same network is known.
        has_members: Whether this node has met others in its network: it cannot take them along.
        attempt: Where the refusal's words come from.

    Raises:
        NetworkMismatchError: This node already shares another network with others.
        JoinError: The network is private and there is no passphrase.
    """
    if entrance.network_id != current and has_members:
        raise NetworkMismatchError(
            f"this node belongs to network {current.short} and has met others there, that peer belongs to "
            f"{entrance.network_id.short}: join with a node that has a fresh `store`"
        )
    if entrance.private and not has_passphrase:
        attempt.check = "give its passphrase: join(…, passphrase=…)"
        raise attempt.failed("that network is private and no passphrase was given")
    if entrance.private:
        attempt.check = f"{CHECK_THE_KEY}; or {CHECK_REACH}"
