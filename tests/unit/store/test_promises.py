"""What a receipt promises in a small network, and what becomes of rotten bits; `tests.campaigns.store` goes on."""

import pytest

from tests.fakes.disk import FakeDisk
from tests.fakes.quorum_cuts import QuorumCuts
from tests.fakes.store_flips import FLIPS, FlipTally, flip_and_find
from tests.fakes.stores import chunk, disk_store


@pytest.mark.parametrize("seed", range(3))
def test_power_cut_of_all_other_nodes_after_the_receipt_loses_nothing(seed: int):
    cuts = QuorumCuts()
    cuts.run(seed)
    assert cuts.tally.cut_points > 100


def test_receipt_before_the_fsync_would_be_caught(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(FakeDisk, "sync_folder", lambda disk, path: None)
    with pytest.raises(AssertionError):
        QuorumCuts().run(0)


@pytest.mark.parametrize("seed", range(2))
def test_every_flipped_bit_is_found_and_its_chunk_fetched_again(seed: int):
    tally = FlipTally()
    flip_and_find(seed, tally)
    assert tally.found_by_read + tally.found_by_scrub == tally.refetched == FLIPS


async def test_any_flipped_bit_of_a_file_is_found_by_a_scrub():
    disk = FakeDisk()
    store = disk_store(disk)
    await store.open()
    small = chunk(1, size=20)
    path = store._files.path(small.chunk_id)
    await store.put([small])
    content = disk.all_files()[path]
    for position in range(len(content)):
        for bit in range(8):
            disk.overwrite(path, content[:position] + bytes([content[position] ^ 1 << bit]) + content[position + 1 :])
            assert (await store.check(read_data=True)).corrupt == (small.chunk_id,)
            await store.put([small])
    await store.close()
