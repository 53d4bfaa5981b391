"""Every error a user can meet, each with the sentence that says what to do.

One root, `DfsError`; each leaf is also the builtin a caller would expect, so `except FileNotFoundError` works
without knowing this module. Bytes that a peer sent raise `ProtocolError` and nothing else.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

_HERE = f"{Path(__file__).parent}{os.sep}"


class DfsError(Exception):
    """Something in dfs_sdk failed; the message says what happened and what to do.

    A notebook shows the message below the lines of the user's own code; after `%xmode Verbose` all frames and causes.
    """

    def _render_traceback_(self) -> list[str]:
        """Render for IPython, which asks for it: without the frames in here, which say less than the message."""
        tracebacks = _tracebacks_of_shell()
        if tracebacks is None:
            return traceback.format_exception(self)
        own = _users_own(self.__traceback__)
        shown: BaseException = self
        if own is not None and tracebacks.mode != "Verbose":
            shown = Exception(str(self)).with_traceback(own)  # the message without its causes
            shown.__notes__ = list(getattr(self, "__notes__", ()))
        lines: list[str] = tracebacks.structured_traceback(type(self), shown, shown.__traceback__)
        return lines


def show_as_line(error: BaseException, text: str) -> None:
    """Let a notebook show one line for what is no failure, such as an interruption; all after `%xmode Verbose`.

    The error itself stays what it is: IPython asks the very object, and one of a class of its own would be none that
    `asyncio.timeout` knows.
    """

    def render() -> list[str]:
        tracebacks = _tracebacks_of_shell()
        if tracebacks is None or tracebacks.mode != "Verbose":
            return [text]
        lines: list[str] = tracebacks.structured_traceback(type(error), error, error.__traceback__)
        return [*lines, text]

    error._render_traceback_ = render  # type: ignore[attr-defined] # IPython's hook


def _tracebacks_of_shell() -> Any:
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return None if shell is None else shell.InteractiveTB


def _users_own(trace: TracebackType | None) -> TracebackType | None:
    """The frames above this package, and those of cells that it called; None if it begins in here."""
    own: list[TracebackType] = []
    was_inside = False
    while trace is not None:
        frame = trace.tb_frame
        is_inside = frame.f_code.co_filename.startswith(_HERE)
        was_inside |= is_inside
        if not is_inside and (not was_inside or frame.f_globals.get("__name__") == "__main__"):
            own.append(trace)
        trace = trace.tb_next
    made: TracebackType | None = None
    for each in reversed(own):
        made = TracebackType(made, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return made


class ProtocolError(DfsError):
    """A peer sent bytes that break the protocol: its connection is closed, the node goes on."""


class ConfigError(DfsError, ValueError):
    """A setting or argument is not usable; the message names it and the values that are."""


class NodeClosedError(DfsError, RuntimeError):
    """The node is not running: start it with `async with Node() as node` or `await node.start()`."""


class SyncCallError(DfsError, RuntimeError):
    """A blocking call was made where it would hang: write `await node.…` there instead of `node.sync.…`."""


class ForkedNodeError(DfsError, RuntimeError):
    """A node was used in a forked child process: start a new node there, keys and sockets are not shared."""


class PeerUnreachableError(DfsError, ConnectionError):
    """No answer from a peer: check its address, that it is running, and that UDP passes between you."""


class JoinError(DfsError, ConnectionError):
    """The network could not be joined; the message lists what was tried and what to check."""


class JoinTimeoutError(JoinError, TimeoutError):
    """Nobody let us in within the time-out; the message lists what was tried and what to check."""


class DeadlineError(DfsError, TimeoutError):
    """An operation did not finish in its time-out: try again, or give it a larger `timeout`."""


class RemoteError(DfsError):
    """A peer refused a call or failed in it; the message carries the peer's own words, made safe to print.

    Attributes:
        code: Why, as the name of an `rpc.RefusalCode`, such as "BUSY".
        text: The peer's own words; possibly empty.
    """

    def __init__(self, message: str, *, code: str = "FAILED", text: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.text = text


class MessageTooLargeError(DfsError, ValueError):
    """The text or data is larger than one message may be; the message names the limit: send it as a file."""


class LinkError(DfsError, ValueError):
    """A link is malformed, mistyped or belongs to another network: copy it again in full."""


class ContentNotFoundError(DfsError, FileNotFoundError):
    """No node of this network knows that content: check the link, or ask its owner whether it was removed."""


class ContentUnavailableError(DfsError, OSError):
    """The content exists but too few of its holders answer: try again when they are back."""


class CorruptContentError(DfsError, OSError):
    """Bytes failed verification and no intact copy was found; nothing wrong was returned."""


class StoreError(DfsError, OSError):
    """The local store cannot do its work; the message names the path and the cause."""


class StoreLockedError(StoreError):
    """Another kernel or process uses this store: close that node, or give this one a `store` of its own."""


class StoreReadOnlyError(StoreError):
    """A write to the local store failed earlier, so it only reads: free space or repair the disk, then restart."""


class QuotaExceededError(StoreError):
    """The store is full: raise its quota, remove files, or unpin some."""


class TooFewReplicasError(DfsError, OSError):
    """Too few peers confirmed the copies: wait for peers, or `put(..., quorum=0)` to keep it here for now."""


class IdentityError(DfsError, ValueError):
    """The identity file cannot be used: wrong passphrase, damaged, or not private to its owner."""


class NetworkMismatchError(JoinError, ValueError):
    """That peer belongs to another network than this node: use a fresh `store`, or an invite of this network."""


class MissingExtraError(DfsError, ImportError):
    """A feature needs a package that is not installed; the message holds the line that installs it."""


def require_above_zero(settings: object, *names: str) -> None:
    """Check settings of which 0 makes no sense.

    Raises:
        ConfigError: One of them is 0 or less.
    """
    for name in names:
        if getattr(settings, name) <= 0:
            raise ConfigError(f"{name} is {getattr(settings, name)}: give a number above 0")


def require_at_least(least: int, settings: object, *names: str) -> None:
    """Check settings that have a lowest value.

    Raises:
        ConfigError: One of them is below it.
    """
    for name in names:
        if getattr(settings, name) < least:
            raise ConfigError(f"{name} is {getattr(settings, name)}: give {least} or more")
