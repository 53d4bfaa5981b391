"""What the endpoint tells its driver: one frozen value for each thing that happened."""

from __future__ import annotations

from dataclasses import dataclass

from dfs_sdk.transport.identify import Identified
from dfs_sdk.transport.outbox import OutgoingMessage
from dfs_sdk.transport.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOpened:
    """A peer proved who it is, and messages can pass."""

    session: Session


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClosed:
    """A session ended; `unsettled` are the messages whose arrival is not known."""

    session: Session
    reason: str
    unsettled: tuple[OutgoingMessage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionMute:
    """A peer has acknowledged nothing for a while: it may be blocked, gone, or restarted and know us no more."""

    session: Session


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageArrived:
    """A message is whole; its bytes are the receiver's own."""

    session: Session
    data: memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSettled:
    """The peer has all bytes of a message of ours."""

    message: OutgoingMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class AsideArrived:
    """A peer said something beside its packets."""

    session: Session
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerIdentified:
    """An answer to a question of ours, found by its token."""

    token: bytes
    identified: Identified


Notice = SessionOpened | SessionClosed | SessionMute | MessageArrived | MessageSettled | AsideArrived | PeerIdentified
