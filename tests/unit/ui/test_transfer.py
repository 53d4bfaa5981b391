import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfs_sdk.errors import DeadlineError, DfsError
from dfs_sdk.ui import transfer
from dfs_sdk.ui.transfer import ACKNOWLEDGED_SECONDS, PIECE_BYTES, WINDOW_PIECES, Download, Progress, Upload
from tests.fakes.node import FakeReader
from tests.fakes.virtual import run_virtual

SIZES = [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 10 * PIECE_BYTES + 5]


def content_of(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def piece(content: bytes, index: int) -> bytes:
    return content[index * PIECE_BYTES : (index + 1) * PIECE_BYTES]


def never(seconds: float) -> None:
    raise AssertionError(f"the network gave nothing for {seconds} s")


class Browser:
    """Sends an upload as the script does: up to a window beyond the acknowledged piece, some of it lost or swapped."""

    def __init__(self, content: bytes, rng: random.Random, loss: float) -> None:
        self.content, self.rng, self.loss = content, rng, loss
        self.next = self.sent = self.in_flight_max = 0
        self.upload = Upload(len(content), acknowledge=self.acknowledged)

    def acknowledged(self, progress: Progress) -> None:
        self.next = max(self.next, progress.taken)

    async def run(self) -> None:
        while self.next < self.upload.piece_count:
            window = list(range(self.next, min(self.next + WINDOW_PIECES, self.upload.piece_count)))
            self.rng.shuffle(window)
            for index in window:
                if self.rng.random() >= self.loss:
                    self.upload.receive(index, piece(self.content, index))
            await asyncio.sleep(1)


async def upload_through(content: bytes, seed: int, loss: float) -> bytes:
    browser = Browser(content, random.Random(seed), loss)
    sender = asyncio.create_task(browser.run())
    received = b"".join([part async for part in browser.upload.pieces()])
    await sender
    return received


@pytest.mark.parametrize("size", SIZES)
def test_upload_arrives_whole(size: int):
    content = content_of(size)
    assert run_virtual(upload_through(content, 1, 0.0)) == content


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1_000), st.sampled_from(SIZES))
def test_upload_survives_lost_and_swapped_pieces(seed: int, size: int):
    content = content_of(size)
    assert run_virtual(upload_through(content, seed, 0.4)) == content


async def first_piece(upload: Upload) -> bytes:
    return await anext(upload.pieces())


@pytest.mark.parametrize(
    ("index", "length", "complaint"),
    [
        (WINDOW_PIECES, PIECE_BYTES, "piece 8 of 20"),
        (0, 0, "the file changed"),
        (0, 1, "the file changed"),
        (0, PIECE_BYTES - 1, "the file changed"),
        (0, PIECE_BYTES + 1, "the file changed"),
    ],
)
def test_piece_that_cannot_be_right_ends_the_upload(index: int, length: int, complaint: str):
    async def scenario() -> None:
        upload = Upload(20 * PIECE_BYTES, acknowledge=lambda _progress: None)
        upload.receive(index, bytes(length))
        with pytest.raises(ValueError, match=complaint):
            await first_piece(upload)

    run_virtual(scenario())


def test_repeated_piece_is_ignored():
    async def scenario() -> list[bytes]:
        upload = Upload(2 * PIECE_BYTES, acknowledge=lambda _progress: None)
        for index, fill in ((0, b"a"), (0, b"b"), (1, b"c")):
            upload.receive(index, fill * PIECE_BYTES)
        return [each[:1] async for each in upload.pieces()]

    assert run_virtual(scenario()) == [b"a", b"c"]


def test_browser_that_asks_learns_what_was_lost():
    async def scenario() -> list[Progress]:
        said: list[Progress] = []
        upload = Upload(5 * PIECE_BYTES, acknowledge=said.append)
        for index in (0, 1, 3):
            upload.receive(index, bytes(PIECE_BYTES))
        upload.say()
        await asyncio.sleep(ACKNOWLEDGED_SECONDS)
        await first_piece(upload)
        return said

    assert run_virtual(scenario()) == [Progress(taken=0, arrived=2), Progress(taken=1, arrived=2)]


def test_fast_upload_is_acknowledged_several_pieces_at_a_time_and_at_its_end():
    async def scenario() -> list[int]:
        said: list[Progress] = []
        upload = Upload(10 * PIECE_BYTES, acknowledge=said.append)
        pieces = upload.pieces()
        for index in range(upload.piece_count):
            upload.receive(index, bytes(PIECE_BYTES))
            await anext(pieces)
        return [each.taken for each in said]

    assert run_virtual(scenario()) == [1, 5, 9, 10]


def test_silent_browser_ends_the_upload_in_words():
    async def scenario() -> None:
        upload = Upload(1, acknowledge=lambda _progress: None)
        with pytest.raises(DeadlineError, match="browser stopped sending"):
            await first_piece(upload)
        assert asyncio.get_running_loop().time() == pytest.approx(transfer.SILENCE_SECONDS_MAX)

    run_virtual(scenario())


def test_loop_that_stood_still_is_no_silence_of_the_browser():
    async def scenario() -> bytes:
        loop = asyncio.get_running_loop()
        upload = Upload(1, acknowledge=lambda _progress: None)
        reading = asyncio.create_task(first_piece(upload))
        await asyncio.sleep(1)
        loop._now += 10 * transfer.SILENCE_SECONDS_MAX  # a cell blocked it all that time
        await asyncio.sleep(0.1)
        upload.receive(0, b"x")  # what waited for the kernel arrives after the timers
        return await reading

    assert run_virtual(scenario()) == b"x"


async def download_through(content: bytes, seed: int, loss: float) -> tuple[bytes, int]:
    rng, got, most = random.Random(seed), [], 0
    arrived: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
    sent: set[int] = set()

    def send(index: int, part: bytes) -> None:
        sent.add(index)
        if rng.random() >= loss:
            arrived.put_nowait((index, part))

    download = Download(len(content), send=send, wait=never)

    async def browser() -> None:
        nonlocal most
        while True:
            try:
                async with asyncio.timeout(5):
                    index, part = await arrived.get()
            except TimeoutError:
                download.acknowledge(len(got))
                continue
            most = max(most, len(sent) - len(got))
            if index == len(got):
                got.append(part)
                download.acknowledge(len(got))

    reading = asyncio.create_task(browser())
    await download.run(FakeReader(content))
    reading.cancel()
    return b"".join(got), most


@pytest.mark.parametrize("size", SIZES)
def test_download_arrives_whole_within_the_window(size: int):
    content = content_of(size)
    received, most = run_virtual(download_through(content, 1, 0.0))
    assert received == content
    assert most <= WINDOW_PIECES


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1_000), st.sampled_from(SIZES))
def test_download_survives_lost_pieces(seed: int, size: int):
    content = content_of(size)
    assert run_virtual(download_through(content, seed, 0.4))[0] == content


def test_repeated_acknowledgements_at_once_send_the_pieces_again_once():
    async def scenario() -> list[int]:
        sent: list[int] = []
        download = Download(2 * PIECE_BYTES, send=lambda index, _piece: sent.append(index), wait=never)
        running = asyncio.create_task(download.run(FakeReader(bytes(2 * PIECE_BYTES))))
        await asyncio.sleep(1)
        for _ in range(5):
            download.acknowledge(0)
        download.acknowledge(2)
        await running
        return sent

    assert run_virtual(scenario()) == [0, 1, 0, 1]


def test_silent_browser_ends_the_download_in_words():
    async def scenario() -> None:
        download = Download(12 * PIECE_BYTES, send=lambda _index, _piece: None, wait=never)
        with pytest.raises(DeadlineError, match="browser stopped answering"):
            await download.run(FakeReader(bytes(12 * PIECE_BYTES)))

    run_virtual(scenario())


def test_file_that_ends_early_is_an_error():
    async def scenario() -> None:
        with pytest.raises(DfsError, match="ended 1 bytes early"):
            await Download(3, send=lambda _index, _piece: None, wait=never).run(FakeReader(b"ab"))

    run_virtual(scenario())


def test_downloads_go_to_a_folder_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert transfer.download_folder() == tmp_path / "dfs_downloads"
    assert transfer.download_folder().is_dir()


def test_a_network_that_gives_nothing_is_told_of_every_three_seconds_and_no_longer():
    class SlowReader(FakeReader):
        async def read(self, size: int = -1, /) -> bytes:
            await asyncio.sleep(10)
            return await super().read(size)

    async def story() -> None:
        told: list[float] = []
        download = Download(3, send=lambda _index, _piece: None, wait=lambda seconds: told.append(round(seconds)))
        running = asyncio.create_task(download.run(SlowReader(b"abc")))
        await asyncio.sleep(11)
        download.acknowledge(1)
        await running
        await asyncio.sleep(60)
        assert told == [3, 6, 9]

    run_virtual(story())


def test_second_attempt_begins_with_the_piece_that_is_missing():
    content = random.Random(9).randbytes(5 * PIECE_BYTES + 7)

    async def scenario(first: int) -> list[tuple[int, bytes]]:
        sent: list[tuple[int, bytes]] = []

        def send(index: int, piece: bytes) -> None:
            sent.append((index, piece))
            asyncio.get_running_loop().call_soon(download.acknowledge, index + 1)

        download = Download(len(content), first=first, send=send, wait=never)
        await download.run(FakeReader(content))
        return sent

    for first in (0, 3, 5):
        pieces = [(index, content[index * PIECE_BYTES : (index + 1) * PIECE_BYTES]) for index in range(first, 6)]
        assert run_virtual(scenario(first)) == pieces
    assert run_virtual(scenario(6)) == run_virtual(scenario(1_000)) == [], "the browser has all of it already"
