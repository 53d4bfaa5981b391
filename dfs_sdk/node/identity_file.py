"""Where a node's keys lie: two equal files in its store's folder, readable by its owner only.

A node whose keys are gone is another node: its chunks belong to nobody, and nobody waits for it. So there is a copy,
which takes over when bits of the other file rot; every start makes the two equal again. The bytes of the files are
`crypto.identity`'s business. They are written under a temporary name and renamed, so that a crash leaves either no
identity or a whole one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from dfs_sdk.crypto.identity import Identity, open_identity, seal_identity
from dfs_sdk.errors import IdentityError, StoreError
from dfs_sdk.runtime.ports import Disk, Runtime

logger = logging.getLogger(__name__)

FILE_NAME = "identity"
COPY_NAME = "identity.copy"
_TEMPORARY_NAME = "identity.new"
FILE_BYTES_MAX = 4096


async def load_identity(folder: Path | None, *, passphrase: str | None, runtime: Runtime) -> Identity:
    """Read the identity of a store, or make one where there is none.

    Args:
        folder: The store's folder, locked by us already; None for a node that lives in memory only.
        passphrase: Seals the files; not the passphrase of the network.
        runtime: Disk, threads and entropy.

    Raises:
        IdentityError: Wrong passphrase, or both files are damaged.
        StoreError: The files cannot be read or written.
    """
    if folder is None:
        return Identity.generate(runtime.entropy)
    try:
        return await runtime.offload.run(_load_or_create, folder, passphrase, runtime)
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"the identity in {folder} cannot be read or written: {error.strerror or error}") from error


def _load_or_create(folder: Path, passphrase: str | None, runtime: Runtime) -> Identity:
    disk, paths = runtime.disk, (folder / FILE_NAME, folder / COPY_NAME)
    kept, failures = _read(disk, paths)
    if kept or failures:
        identity, data = _open(kept.values(), passphrase, failures)
    else:
        identity = Identity.generate(runtime.entropy)
        data = seal_identity(identity, passphrase, runtime.entropy)
        _write(disk, paths[0], data)
        kept = {paths[0]: data}
    for path in paths:
        if kept.get(path) != data:
            try:
                _write(disk, path, data)
            except OSError as error:
                logger.warning("only one file of the identity is good, %s cannot be written: %s", path, error)
    return identity


def _read(disk: Disk, paths: Iterable[Path]) -> tuple[dict[Path, bytes], list[IdentityError | OSError]]:
    """Give what the files hold that are there, and why some cannot be read."""
    kept: dict[Path, bytes] = {}
    failures: list[IdentityError | OSError] = []
    for path in paths:
        try:
            if disk.exists(path):
                kept[path] = disk.read(path, FILE_BYTES_MAX)
        except OSError as error:
            failures.append(error)
    return kept, failures


def _open(
    kept: Iterable[bytes], passphrase: str | None, failures: list[IdentityError | OSError]
) -> tuple[Identity, bytes]:
    """Open the first contents that can be; a wrong passphrase is tried once, not at each of two equal files.

    Raises:
        IdentityError, OSError: None can be; this is what went wrong first.
    """
    for data in dict.fromkeys(kept):
        try:
            return open_identity(data, passphrase), data
        except IdentityError as error:
            failures.append(error)
    raise failures[0]


def _write(disk: Disk, path: Path, data: bytes) -> None:
    temporary = path.parent / _TEMPORARY_NAME
    disk.remove(temporary)
    disk.write_new(temporary, data)
    disk.replace(temporary, path)
    disk.sync_folder(path.parent)
