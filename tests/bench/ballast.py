"""Page cache at hand: what makes turns of file benchmarks alike on a machine that gives free memory back to its host.

Such a virtual machine (free page reporting) hands pages that were free for some two seconds to its host; to touch one
again costs ten times as much as to write to it. A turn that writes 1 GiB would measure when the last file was
deleted. So a ballast of page cache is written before the turn, and given up piece by piece while the turn's own file
grows, always a little ahead: whoever writes finds pages that were in use a moment ago, as on a machine of its own.

    python -m tests.bench.ballast FOLDER PATTERN    (started by `Ballast`)
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MIB = 1024 * 1024
PIECE_BYTES = 16 * MIB
AHEAD_BYTES = 64 * MIB
SPARE_BYTES = 512 * MIB  # for the processes themselves and the kernel's sockets, or the end of the file has none
LOOK_SECONDS = 0.01
BLOCK_BYTES = 512  # the unit of st_blocks, whatever the file system's own


class Ballast:
    """Files in page cache.

    Args:
        folder: Where they lie, and where the turn's own file will grow.
        size: Bytes that the turn will write.
        spare: Bytes beside them.
    """

    def __init__(self, folder: Path, size: int, *, spare: int = SPARE_BYTES) -> None:
        self._folder = folder
        self._size = size + spare

    def write(self) -> None:
        """Write all pieces anew."""
        piece = bytes(MIB)
        for index in range(-(-self._size // PIECE_BYTES)):
            with (self._folder / f"ballast-{index:04}").open("wb", buffering=0) as file:
                for _ in range(PIECE_BYTES // MIB):
                    file.write(piece)

    @contextmanager
    def released_beside(self, pattern: str) -> Iterator[None]:
        """Give it up while what matches the pattern in the folder grows within the block."""
        command = [sys.executable, "-S", "-m", "tests.bench.ballast", str(self._folder), pattern]
        helper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            assert helper.stdout is not None
            helper.stdout.readline()
            yield
        finally:
            helper.terminate()
            helper.communicate()
            for path in self._folder.glob("ballast-*"):
                path.unlink()


def release(folder: Path, pattern: str) -> None:
    """Delete pieces so that always `AHEAD_BYTES` more are gone than were written; never returns before all are."""
    pieces, gone = sorted(folder.glob("ballast-*")), 0
    told = False
    while pieces:
        written = 0
        for path in folder.glob(pattern):
            with suppress(FileNotFoundError):  # a part file gets its name meanwhile
                written += path.stat().st_blocks * BLOCK_BYTES
        while pieces and gone < written + AHEAD_BYTES:
            pieces.pop().unlink()
            gone += PIECE_BYTES
        if not told:
            print("ready", flush=True)
            told = True
        time.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    release(Path(sys.argv[1]), sys.argv[2])
