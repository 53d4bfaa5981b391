"""Exit codes: what a script that calls `dfs` can tell apart."""

from __future__ import annotations

from enum import IntEnum
from typing import Self

from dfs_sdk.errors import (
    ConfigError,
    ContentNotFoundError,
    ContentUnavailableError,
    CorruptContentError,
    DeadlineError,
    DfsError,
    IdentityError,
    JoinError,
    LinkError,
    MessageTooLargeError,
    PeerUnreachableError,
    StoreError,
    TooFewReplicasError,
)


class Exit(IntEnum):
    """The exit codes of every command; a value is never given another meaning.

    Attributes:
        meaning: What it tells, in words.
    """

    meaning: str

    def __new__(cls, value: int, meaning: str) -> Self:
        """Make a member that is a number and has words."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    OK = 0, "done"
    FAILED = 1, "something else failed; stderr says what"
    USAGE = 2, "an option, argument or link is not usable"
    NOT_FOUND = 3, "no such file here or in the network"
    UNREACHABLE = 4, "the network, a peer or enough holders could not be reached in time"
    TOO_FEW_REPLICAS = 5, "fewer peers than the quorum confirmed their copies"
    CORRUPT = 6, "no intact copy was found"
    STORE = 7, "the local store or identity cannot be used: locked, full, read-only, unreadable"
    INTERRUPTED = 130, "Ctrl-C; the node was closed in order"
    TERMINATED = 143, "asked to end (SIGTERM); the node was closed in order. `dfs node` ends with 0 then"


_BY_ERROR: tuple[tuple[type[Exception], Exit], ...] = (
    (ContentNotFoundError, Exit.NOT_FOUND),
    (FileNotFoundError, Exit.NOT_FOUND),
    (TooFewReplicasError, Exit.TOO_FEW_REPLICAS),
    (CorruptContentError, Exit.CORRUPT),
    (ContentUnavailableError, Exit.UNREACHABLE),
    (JoinError, Exit.UNREACHABLE),
    (PeerUnreachableError, Exit.UNREACHABLE),
    (DeadlineError, Exit.UNREACHABLE),
    (StoreError, Exit.STORE),
    (IdentityError, Exit.STORE),
    (LinkError, Exit.USAGE),
    (ConfigError, Exit.USAGE),
    (MessageTooLargeError, Exit.USAGE),
    (DfsError, Exit.FAILED),
    (OSError, Exit.FAILED),
)


def exit_for(error: Exception) -> Exit | None:
    """The exit code of an error a user can meet; None for a defect of ours, which keeps its traceback."""
    for kind, code in _BY_ERROR:
        if isinstance(error, kind):
            return code
    return None


def words_for(error: Exception) -> str:
    """What to tell a person about an error: one of the system names its file, one of ours says it all."""
    if isinstance(error, OSError) and not isinstance(error, DfsError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__
