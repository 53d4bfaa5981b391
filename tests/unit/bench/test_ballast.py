"""The ballast of the file benchmarks is given up a little ahead of what grows, and all of it in the end."""

from __future__ import annotations

import time

from tests.bench.ballast import AHEAD_BYTES, MIB, PIECE_BYTES, Ballast

PIECES = 6
AHEAD = AHEAD_BYTES // PIECE_BYTES


def left(folder) -> int:
    return len(list(folder.glob("ballast-*")))


def test_ballast_is_given_up_ahead_of_what_grows_and_is_gone_in_the_end(tmp_path):
    ballast, target = Ballast(tmp_path, (PIECES - 2) * PIECE_BYTES, spare=PIECE_BYTES + 1), tmp_path / "out.part"
    ballast.write()
    assert left(tmp_path) == PIECES
    with ballast.released_beside("out*"):
        assert left(tmp_path) == PIECES - AHEAD
        with target.open("wb") as file:
            file.write(bytes(MIB))
        deadline = time.monotonic() + 20
        while left(tmp_path) > PIECES - AHEAD - 1 and time.monotonic() < deadline:
            time.sleep(0.005)
        assert left(tmp_path) == PIECES - AHEAD - 1
    assert left(tmp_path) == 0
    assert target.exists()


def test_a_ballast_smaller_than_what_is_kept_ahead_goes_at_once(tmp_path):
    ballast = Ballast(tmp_path, MIB, spare=0)
    ballast.write()
    with ballast.released_beside("out*"):
        assert left(tmp_path) == 0
