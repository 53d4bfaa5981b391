"""Where a node's keys lie: one file in its store's folder, readable by its owner only.

The bytes of the file are `crypto.identity`'s business. It is written under a temporary name and renamed, so that a
crash leaves either no identity or a whole one.
"""

from __future__ import annotations

from pathlib import Path

from dfs_sdk.crypto.identity import Identity, open_identity, seal_identity
from dfs_sdk.errors import StoreError
from dfs_sdk.runtime.ports import Disk, Runtime

FILE_NAME = "identity"
_TEMPORARY_NAME = "identity.new"
FILE_BYTES_MAX = 4096


async def load_identity(folder: Path | None, *, passphrase: str | None, runtime: Runtime) -> Identity:
    """Read the identity of a store, or make one where there is none.

    Args:
        folder: The store's folder, locked by us already; None for a node that lives in memory only.
        passphrase: Seals the file; not the passphrase of the network.
        runtime: Disk, threads and entropy.

    Raises:
        IdentityError: Wrong passphrase, or the file is damaged.
        StoreError: The file cannot be read or written.
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
    disk, path = runtime.disk, folder / FILE_NAME
    if disk.exists(path):
        return open_identity(disk.read(path, FILE_BYTES_MAX), passphrase)
    identity = Identity.generate(runtime.entropy)
    _write(disk, folder, seal_identity(identity, passphrase, runtime.entropy))
    return identity


def _write(disk: Disk, folder: Path, data: bytes) -> None:
    temporary = folder / _TEMPORARY_NAME
    disk.remove(temporary)
    disk.write_new(temporary, data)
    disk.replace(temporary, folder / FILE_NAME)
    disk.sync_folder(folder)
