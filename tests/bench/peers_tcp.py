"""What users would take instead: one file over TCP, plain with SHA-256 or under TLS 1.3, from a file to a file.

The sender is a process of its own; both sides are blocking sockets in plain Python with buffers of 1 MiB. The receiver
writes, asks for an early write-back as a download of ours does, fsyncs and renames. Used by the benchmarks beside this.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import ipaddress
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dfs_sdk.files.stretches import STRETCH_BYTES
from dfs_sdk.runtime.files import open_part, publish

MIB = 1024 * 1024
HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpPeer:
    """A sender that is running.

    Attributes:
        port: Where it listens.
        certificate: The file it is known by under TLS, else None.
        process: Its process, for its processor time.
        size: Bytes of the file it sends to each who connects.
        digest: SHA-256 of the file.
    """

    port: int
    certificate: Path | None
    process: psutil.Process
    size: int
    digest: bytes

    def receive(self, target: Path) -> None:
        """Fetch the file, verified and durable: by TLS, or against its SHA-256."""
        hasher = None if self.certificate else hashlib.sha256()
        part = open_part(target.with_suffix(".part"))
        with socket.create_connection((HOST, self.port)) as plain, _secured(plain, self.certificate) as connection:
            buffer = memoryview(bytearray(MIB))
            offset = stretch = 0
            while (count := connection.recv_into(buffer)) > 0:
                if hasher is not None:
                    hasher.update(buffer[:count])
                part.write_at(offset, buffer[:count])
                offset += count
                if offset - stretch >= STRETCH_BYTES:
                    part.write_back(stretch, offset - stretch)
                    stretch = offset
        if offset != self.size or (hasher is not None and hasher.digest() != self.digest):
            raise RuntimeError(f"{offset} of {self.size} bytes came, or others")
        part.sync()
        part.close()
        publish(part.path, target, overwrite=True)


@contextmanager
def _secured(plain: socket.socket, certificate: Path | None) -> Iterator[socket.socket]:
    if certificate is None:
        yield plain
        return
    context = ssl.create_default_context(cafile=certificate)
    with context.wrap_socket(plain, server_hostname=HOST) as connection:
        yield connection


@contextmanager
def tcp_peer(file: Path, *, tls: bool) -> Iterator[TcpPeer]:
    """Start a sender of `file` and end it after the block."""
    with tempfile.TemporaryDirectory() as folder:
        certificate = make_certificate(Path(folder)) if tls else None
        command = [sys.executable, __file__, str(file), *([str(certificate)] if certificate else [])]
        sender = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            assert sender.stdout is not None
            port = int(sender.stdout.readline())
            with file.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").digest()
            yield TcpPeer(
                port=port,
                certificate=certificate,
                process=psutil.Process(sender.pid),
                size=file.stat().st_size,
                digest=digest,
            )
        finally:
            sender.communicate()


def make_certificate(folder: Path) -> Path:
    """Write a key and a certificate for this machine, valid for an hour, into one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "peer.pem"
    path.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
    return path


def serve(file: Path, certificate: Path | None) -> None:
    """Send the file to one after the other until standard input ends; 1 MiB a call, from the page cache."""
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    listener = socket.create_server((HOST, 0))
    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        plain, _ = listener.accept()
        connection = plain if context is None else context.wrap_socket(plain, server_side=True)
        with connection, file.open("rb", buffering=0) as opened:
            buffer = memoryview(bytearray(MIB))
            while count := opened.readinto(buffer):
                connection.sendall(buffer[:count])


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    """Be the sender."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("certificate", type=Path, nargs="?")
    arguments = parser.parse_args()
    serve(arguments.file, arguments.certificate)


if __name__ == "__main__":
    main()
