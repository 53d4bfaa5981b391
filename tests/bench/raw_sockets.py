"""Bytes in memory moved by plain Python over sockets without a protocol of ours: what the machine itself allows.

UDP with the kernel's batches both ways and nothing else (no seal, no recovery, a window only so that nothing is lost),
TCP, and TLS 1.3 over TCP. Each receiver is a process of its own with blocking sockets. The one of UDP lands the bytes
in fresh buffers of 1 MiB, as messages are; those of TCP read into one buffer. Used by `bench_transfer.py` beside this.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.peers_tcp import make_certificate

MIB = 1024 * 1024
HOST = "127.0.0.1"
SOL_UDP, UDP_SEGMENT, UDP_GRO = 17, 103, 104
BATCH_BYTES_MAX = 65_507
WINDOW_BYTES = 2 * MIB
BATCHES_BEFORE_ACK = 8
PATIENCE = 5.0
_COUNT = struct.Struct(">Q")


def measure(kind: str, packet_bytes: int, total: int) -> tuple[float, float, float]:
    """Send `total` bytes to a fresh process.

    Args:
        kind: "udp", "tcp" or "tls".
        packet_bytes: Size of datagrams; for UDP only.
        total: How many bytes, at least.

    Returns:
        Seconds until the receiver had everything, processor seconds here and there.
    """
    with tempfile.TemporaryDirectory() as folder:
        certificate = str(make_certificate(Path(folder))) if kind == "tls" else ""
        command = [sys.executable, "-m", "tests.bench.raw_sockets", kind, str(total), certificate]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as receiver:
            assert receiver.stdout is not None
            port = int(receiver.stdout.readline())
            started_at, cpu_at = time.perf_counter(), time.process_time()
            if kind == "udp":
                send_udp(port, packet_bytes, total)
            else:
                send_tcp(port, total, certificate)
            elapsed, cpu = time.perf_counter() - started_at, time.process_time() - cpu_at
            return elapsed, cpu, float(json.loads(receiver.stdout.readline())["cpu"])


def send_udp(port: int, packet_bytes: int, total: int) -> None:
    """Send batches of datagrams, never more than a window ahead of what the receiver has."""
    count = min(64, BATCH_BYTES_MAX // packet_bytes)
    data = memoryview(os.urandom(MIB))
    batch = count * packet_bytes
    ancillary = [(SOL_UDP, UDP_SEGMENT, struct.pack("=H", packet_bytes))] if count > 1 else []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((HOST, port))
        sock.settimeout(PATIENCE)
        sent = arrived = position = 0
        while arrived < total:
            while sent < total and sent - arrived < WINDOW_BYTES:
                position = position + batch if position + 2 * batch <= MIB else 0
                sent += sock.sendmsg([data[position : position + batch]], ancillary)
            (arrived,) = _COUNT.unpack(sock.recv(_COUNT.size))


def receive_udp(sock: socket.socket, total: int) -> float:
    """Receive into one fresh buffer of 1 MiB after the other; returns the processor seconds it took."""
    sock.settimeout(PATIENCE)
    ancillary_bytes = socket.CMSG_SPACE(4)
    arrived = batches = filled = 0
    message, following = memoryview(bytearray(MIB)), memoryview(bytearray(MIB))
    cpu_at: float | None = None
    while arrived < total:
        size, _, _, source = sock.recvmsg_into([message[filled:], following], ancillary_bytes)
        cpu_at = time.process_time() if cpu_at is None else cpu_at
        arrived += size
        filled += size
        batches += 1
        if filled >= MIB:
            message, following, filled = following, memoryview(bytearray(MIB)), filled - MIB
        if batches % BATCHES_BEFORE_ACK == 0 or arrived >= total:
            sock.sendto(_COUNT.pack(arrived), source)
    return time.process_time() - (cpu_at or 0.0)


def send_tcp(port: int, total: int, certificate: str) -> None:
    """Send everything and wait for the receiver's word."""
    data = memoryview(os.urandom(MIB))
    with socket.create_connection((HOST, port)) as plain:
        connection = plain
        if certificate:
            connection = ssl.create_default_context(cafile=certificate).wrap_socket(plain, server_hostname=HOST)
        for _ in range(-(-total // MIB)):
            connection.sendall(data)
        connection.recv(1)
        connection.close()


def receive_tcp(listener: socket.socket, total: int, certificate: str) -> float:
    """Receive and count; returns the processor seconds it took."""
    connection, _ = listener.accept()
    cpu_at = time.process_time()
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        connection = context.wrap_socket(connection, server_side=True)
    buffer = bytearray(MIB)
    arrived = 0
    while arrived < total:
        arrived += connection.recv_into(buffer)
    connection.sendall(b".")
    connection.close()
    return time.process_time() - cpu_at


def main() -> None:
    """Be the receiver."""
    kind, total, certificate = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    if kind == "udp":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((HOST, 0))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2 * WINDOW_BYTES)
            sock.setsockopt(SOL_UDP, UDP_GRO, 1)
            print(sock.getsockname()[1], flush=True)
            cpu = receive_udp(sock, total)
    else:
        with socket.create_server((HOST, 0)) as listener:
            print(listener.getsockname()[1], flush=True)
            cpu = receive_tcp(listener, total, certificate)
    print(json.dumps({"cpu": cpu}), flush=True)


if __name__ == "__main__":
    main()
