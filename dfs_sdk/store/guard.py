"""What happens when the disk refuses: callers get a typed error, and after a write of unknown fate nothing is written.

An fsync that failed may have thrown the data away and will report success the next time: whoever goes on writing
acknowledges what is lost. Source: Rebello et al., "Can Applications Recover from fsync Failures?" (USENIX ATC 2020).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from dfs_sdk.errors import DfsError, StoreReadOnlyError
from dfs_sdk.runtime.ports import Offload
from dfs_sdk.store.faults import DiskError, Fault, fault_of, read_error, read_only_reason, write_error

T = TypeVar("T")
ItemT = TypeVar("ItemT")


class DiskGuard:
    """Runs blocking calls in threads and keeps the store's `read_only` reason.

    Args:
        offload: The threads.
        folder: The store's folder, for messages.
        on_read_only: Told the reason, once.
    """

    def __init__(self, offload: Offload, folder: Path, *, on_read_only: Callable[[str], None]) -> None:
        self._offload = offload
        self._folder = folder
        self._on_read_only = on_read_only
        self._read_only: str | None = None

    @property
    def read_only(self) -> str | None:
        """Why nothing more is written, or None."""
        return self._read_only

    def require_writable(self) -> None:
        """Raise `StoreReadOnlyError` when an earlier write failed."""
        if self._read_only is not None:
            raise StoreReadOnlyError(self._read_only)

    async def write(self, call: Callable[[], T]) -> T:
        """Run a call that writes; what breaks is noted also where the caller was cancelled meanwhile.

        Raises:
            StoreError: The disk refused; `QuotaExceededError` when it is full, `StoreReadOnlyError` when it broke.
        """
        self.require_writable()
        errors: list[DiskError] = []
        try:
            return await self._offload.run(_keeping_error, call, errors)
        except DfsError:
            raise
        except (OSError, sqlite3.Error) as error:
            raise write_error(error, self._folder) from error
        finally:
            if errors:
                self._note(errors.pop())

    async def read(self, call: Callable[[], T]) -> T:
        """Run a call that only reads; a missing file stays a `FileNotFoundError`.

        Raises:
            StoreError: The disk cannot be read.
        """
        try:
            return await self._offload.run(call)
        except (DfsError, FileNotFoundError):
            raise
        except (OSError, sqlite3.Error) as error:
            raise read_error(error, self._folder) from error

    async def read_each(self, call: Callable[[ItemT], T], items: Sequence[ItemT]) -> list[T | Exception]:
        """Run a call that only reads on several things, one after the other in one thread; errors are as `read` raises.

        Returns:
            For each of them what came of it, or its error.
        """
        return await self._offload.run(lambda: [self._attempted(call, item) for item in items])

    def _note(self, error: DiskError) -> None:
        """Write nothing more after an error that leaves unknown what is on the disk."""
        if self._read_only is None and fault_of(error) is Fault.BROKEN:
            self._read_only = read_only_reason(error, self._folder)
            self._on_read_only(self._read_only)

    def _attempted(self, call: Callable[[ItemT], T], item: ItemT) -> T | Exception:
        try:
            return call(item)
        except (DfsError, FileNotFoundError) as error:
            return error
        except (OSError, sqlite3.Error) as error:
            refused = read_error(error, self._folder)
            refused.__cause__ = error
            return refused
        except Exception as error:  # noqa: BLE001 - the others are read all the same
            return error


def _keeping_error(call: Callable[[], T], errors: list[DiskError]) -> T:
    """Call, and keep the disk's error for whoever does not get it: a cancelled caller."""
    try:
        return call()
    except (OSError, sqlite3.Error) as error:
        if not isinstance(error, DfsError):
            errors.append(error)
        raise
