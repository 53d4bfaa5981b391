"""One flow between two namespaces, ours or somebody else's: a program that receives and one that sends.

`flows.py receive KIND PORT` counts what arrives; `flows.py send KIND HOST PORT` sends `--bytes`, or for `--seconds`.
Both print one JSON object. KIND is `ours`, `background` (ours, at the lowest priority), `aioquic`, or a congestion
control of the kernel's TCP. The clock starts on an open connection and stops when the receiver has confirmed all.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime as dt
import json
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dfs_sdk.crypto.identity import Identity
from dfs_sdk.ids import Address, NetworkId
from dfs_sdk.runtime.system import system_runtime
from dfs_sdk.transport.config import MIB
from dfs_sdk.transport.driver import Connection, Transport
from dfs_sdk.transport.handshake import Network
from dfs_sdk.transport.priority import Priority

NETWORK = Network(network_id=NetworkId(b"b" * 32))
SAMPLE_INTERVAL = 0.1
LAG_STEP = 0.005
MESSAGE_BYTES = MIB
CHAT_BYTES = 300
CHAT_INTERVAL = 0.1
CALL = b"call"
BLOCK = bytes(MIB // 4)
OURS = {"ours": Priority.TRANSFER, "background": Priority.BACKGROUND}


@dataclass
class Counted:
    """What arrived, over time."""

    total: int = 0
    samples: list[tuple[float, int]] = field(default_factory=list)

    def add(self, size: int) -> None:
        """Count bytes, and note how many there are ten times a second."""
        self.total += size
        now = time.monotonic()
        if not self.samples or now - self.samples[-1][0] >= SAMPLE_INTERVAL:
            self.samples.append((now, self.total))


@dataclass
class Sent:
    """When the clock started and stopped, and what the loop and small messages felt meanwhile, in seconds."""

    started_at: float = 0.0
    finished_at: float = 0.0
    lags: list[float] = field(default_factory=list)
    idle: list[float] = field(default_factory=list)
    loaded: list[float] = field(default_factory=list)
    statistics: dict[str, object] = field(default_factory=dict)


# --- ours ---------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def endpoint(port: int) -> AsyncIterator[Transport]:
    """A transport at all addresses of the namespace."""
    runtime = system_runtime()
    identity = Identity.generate(runtime.entropy)
    transport = Transport(runtime=runtime, identity=identity, network=NETWORK, bind=Address("0.0.0.0", port))
    transport.on_message = lambda *_: None
    yield transport
    await transport.close()


async def receive_ours(port: int) -> Counted:
    """Count messages until the sender leaves; answer each call with one of the same priority."""
    counted, left = Counted(), asyncio.Event()
    async with endpoint(port) as transport:

        def on_message(_connection: Connection, data: memoryview) -> None:
            counted.add(len(data))

        transport.on_message = on_message
        transport.on_closed = lambda *_: left.set()
        await transport.start()
        print("ready", flush=True)
        await left.wait()
    return counted


async def send_ours(arguments: argparse.Namespace) -> Sent:
    """Send messages of 1 MiB; with `--chat`, also small ones, whose arrival is timed before and meanwhile."""
    sent = Sent()
    async with endpoint(0) as transport:
        await transport.start()
        found = await transport.identify(Address(arguments.host, arguments.port), timeout=20)
        connection = await transport.connect(found.contact, timeout=20)
        if arguments.chat:
            sent.idle = await chat(connection, until=time.monotonic() + 2)
        lag = asyncio.create_task(measure_lag(sent.lags))
        sent.started_at = time.monotonic()
        bulk = asyncio.create_task(send_bulk(connection, arguments, sent.started_at))
        if arguments.chat:
            await asyncio.sleep(2)
            sent.loaded = await chat(connection, until=sent.started_at + arguments.seconds)
        await bulk
        sent.finished_at = time.monotonic()
        lag.cancel()
        sent.statistics = asdict(connection.statistics)
    return sent


async def send_bulk(connection: Connection, arguments: argparse.Namespace, started_at: float) -> None:
    """Send until the bytes or the seconds are used up, and wait until all has arrived."""
    data, sent, size = bytes(MESSAGE_BYTES), [], 0
    while size < arguments.bytes if arguments.bytes else time.monotonic() < started_at + arguments.seconds:
        message = await connection.send([data], priority=OURS[arguments.kind])
        size += MESSAGE_BYTES
        sent.append(message)
        if arguments.seconds and len(sent) > 4:
            await sent[-4].acked
    if arguments.bytes:
        for message in sent:
            await message.acked


async def chat(connection: Connection, *, until: float) -> list[float]:
    """Say something now and then; returns the seconds until each was confirmed."""
    took = []
    while time.monotonic() < until:
        began_at = time.monotonic()
        message = await connection.send([bytes(CHAT_BYTES)], priority=Priority.INTERACTIVE)
        await message.acked
        took.append(time.monotonic() - began_at)
        await asyncio.sleep(CHAT_INTERVAL)
    return took


async def measure_lag(lags: list[float]) -> None:
    """Note how much later than asked the loop wakes us."""
    while True:
        before = time.monotonic()
        await asyncio.sleep(LAG_STEP)
        lags.append(time.monotonic() - before - LAG_STEP)


# --- TCP ----------------------------------------------------------------------------------------------------------


def receive_tcp(port: int) -> Counted:
    """Count what one TCP connection brings, then confirm."""
    counted, buffer = Counted(), bytearray(MIB)
    with socket.create_server(("0.0.0.0", port)) as server:
        print("ready", flush=True)
        connection, _ = server.accept()
        with connection:
            while size := connection.recv_into(buffer):
                counted.add(size)
            connection.sendall(b"k")
    return counted


def send_tcp(arguments: argparse.Namespace) -> Sent:
    """Send under one of the kernel's congestion controls."""
    sent = Sent()
    with socket.socket() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, arguments.kind.encode())
        connection.connect((arguments.host, arguments.port))
        sent.started_at = time.monotonic()
        size = 0
        while size < arguments.bytes if arguments.bytes else time.monotonic() < sent.started_at + arguments.seconds:
            connection.sendall(BLOCK)
            size += len(BLOCK)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
    sent.finished_at = time.monotonic()
    return sent


# --- aioquic ------------------------------------------------------------------------------------------------------


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate nobody trusts, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    certificate_path, key_path = folder / "certificate.pem", folder / "key.pem"
    certificate_path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key_path.write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    return certificate_path, key_path


async def receive_quic(port: int) -> Counted:
    """Count what one QUIC stream brings, then confirm."""
    from aioquic.asyncio.server import serve
    from aioquic.quic.configuration import QuicConfiguration

    counted, done = Counted(), asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(MIB):
            counted.add(len(data))
        writer.write(b"k")
        writer.write_eof()
        await asyncio.sleep(2)
        done.set()

    tasks: set[asyncio.Task[None]] = set()

    def on_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(handle(reader, writer)))

    configuration = QuicConfiguration(is_client=False, max_data=64 * MIB, max_stream_data=64 * MIB)
    with tempfile.TemporaryDirectory() as folder:
        configuration.load_cert_chain(*certificate(Path(folder)))
        server = await serve("0.0.0.0", port, configuration=configuration, stream_handler=on_stream)
        print("ready", flush=True)
        await done.wait()
        server.close()
    return counted


async def send_quic(arguments: argparse.Namespace) -> Sent:
    """Send on one stream with aioquic's own defaults."""
    from aioquic.asyncio.client import connect
    from aioquic.quic.configuration import QuicConfiguration

    sent = Sent()
    configuration = QuicConfiguration(is_client=True, verify_mode=ssl.CERT_NONE)
    async with connect(arguments.host, arguments.port, configuration=configuration) as client:
        reader, writer = await client.create_stream()
        sent.started_at = time.monotonic()
        for _ in range(arguments.bytes // len(BLOCK)):
            writer.write(BLOCK)
        writer.write_eof()
        await reader.read(1)
        sent.finished_at = time.monotonic()
    return sent


def main() -> None:
    """Be one end of a flow."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    receive = commands.add_parser("receive")
    receive.add_argument("kind")
    receive.add_argument("port", type=int)
    send = commands.add_parser("send")
    send.add_argument("kind")
    send.add_argument("host")
    send.add_argument("port", type=int)
    send.add_argument("--bytes", type=int, default=0)
    send.add_argument("--seconds", type=float, default=0.0)
    send.add_argument("--chat", action="store_true")
    arguments = parser.parse_args()
    match arguments.command, arguments.kind:
        case "receive", "ours" | "background":
            result: Counted | Sent = asyncio.run(receive_ours(arguments.port))
        case "receive", "aioquic":
            result = asyncio.run(receive_quic(arguments.port))
        case "receive", _:
            result = receive_tcp(arguments.port)
        case _, "ours" | "background":
            result = asyncio.run(send_ours(arguments))
        case _, "aioquic":
            result = asyncio.run(send_quic(arguments))
        case _:
            result = send_tcp(arguments)
    json.dump(asdict(result), sys.stdout)


if __name__ == "__main__":
    main()
