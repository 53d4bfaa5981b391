"""What a failed disk operation means: no room, a passing shortage, or a disk that cannot be trusted. Pure."""

from __future__ import annotations

import errno
import os
import sqlite3
from enum import Enum
from pathlib import Path

from dfs_sdk.errors import QuotaExceededError, StoreError, StoreReadOnlyError
from dfs_sdk.runtime.held_files import is_held

DiskError = OSError | sqlite3.Error


class Fault(Enum):
    """What follows from an error."""

    FULL = "full"  # room must be made, then all is well
    PASSING = "passing"  # the process lacked something, or another one was in the way; the disk is fine
    BROKEN = "broken"  # what reached the disk is unknown: nothing more is written


_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_PASSING = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN))
_SQLITE_PASSING = frozenset((sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED))
_PRIMARY_CODE = 0xFF


def fault_of(error: DiskError) -> Fault:
    """Classify an error of a write."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY_CODE
        if code == sqlite3.SQLITE_FULL:
            return Fault.FULL
        return Fault.PASSING if code in _SQLITE_PASSING else Fault.BROKEN
    if error.errno in _FULL:
        return Fault.FULL
    return Fault.PASSING if error.errno in _PASSING or is_held(error) else Fault.BROKEN


def cause_of(error: DiskError) -> str:
    """Say an error in the system's words, with its symbol."""
    if isinstance(error, sqlite3.Error):
        return f"{getattr(error, 'sqlite_errorname', type(error).__name__)}: {error}"
    if error.errno is None:
        return str(error) or type(error).__name__
    return f"{errno.errorcode.get(error.errno, error.errno)}: {os.strerror(error.errno)}"


def write_error(error: DiskError, folder: Path) -> StoreError:
    """Turn an error of a write into what the caller of the store gets."""
    match fault_of(error):
        case Fault.FULL:
            return QuotaExceededError(
                f"the disk of {folder} is full ({cause_of(error)}): nothing was lost; free some space and try again"
            )
        case Fault.PASSING:
            return StoreError(f"{folder} could not be written just now ({cause_of(error)}): try again")
        case Fault.BROKEN:
            return StoreReadOnlyError(read_only_reason(error, folder))


def read_only_reason(error: DiskError, folder: Path) -> str:
    """Say why a store stops writing."""
    return (
        f"a write to {folder} failed ({cause_of(error)}), so this store only reads: "
        "free space or repair the disk, then restart"
    )


def read_error(error: DiskError, path: Path) -> StoreError:
    """Turn an error of a read into what the caller of the store gets."""
    return StoreError(f"{path} cannot be read ({cause_of(error)}): check the disk")
