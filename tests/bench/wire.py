"""A bad network between two network namespaces, in user space, for kernels without netem.

`Namespaces` makes two namespaces whose names begin with our process id, joined by nothing but a TUN device each; this
module, run as a program, carries packets from one device to the other and does to them what `tests.fakes.wire.Wire`
says. Addresses are those of RFC 5737; nothing leads to the namespace of the machine; all goes when the block ends.
Needs root and `ip` (iproute2): `why_not()` says what is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import dataclasses
import fcntl
import heapq
import json
import os
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.fakes.wire import Wire  # noqa: E402 - run as a program from anywhere

LEFT, RIGHT = "192.0.2.1", "192.0.2.2"
DEVICE = "wire0"
MTU = 1500
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
CLONE_NEWNET = 0x40000000
READ_MAX = 64
PACKET_MAX = 65_535
TCP_BUFFER_MAX = 64 * 1024 * 1024


def why_not() -> str | None:
    """What is missing for namespaces, None when nothing is."""
    if sys.platform != "linux":
        return "network namespaces are a thing of Linux"
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "there is no /dev/net/tun"
    if shutil.which("ip") is None:
        return "the command ip is missing: apt-get install iproute2"
    name = f"dfs{os.getpid()}probe"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
        return "this machine lets nobody make network namespaces"
    subprocess.run(["ip", "netns", "delete", name], check=True)
    return None


class Namespaces:
    """Two namespaces and the wire between them."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.left, self.right = f"dfs{os.getpid()}left", f"dfs{os.getpid()}right"
        self._carrier: subprocess.Popen[str] | None = None

    def command(self, namespace: str, command: Sequence[str]) -> list[str]:
        """What runs a command in one of the two."""
        return ["ip", "netns", "exec", namespace, *command]

    def __enter__(self) -> Namespaces:
        _sweep()
        try:
            for name in (self.left, self.right):
                _ip("netns", "add", name)
                _ip("-n", name, "link", "set", "lo", "up")
            described = json.dumps({f.name: getattr(self._wire, f.name) for f in dataclasses.fields(Wire) if f.init})
            self._carrier = subprocess.Popen(
                [sys.executable, __file__, self.left, self.right, described], stdout=subprocess.PIPE, text=True
            )
            assert self._carrier.stdout is not None
            if self._carrier.stdout.readline() != "up\n":
                raise RuntimeError("the wire did not come up")
            self._configure(self.left, LEFT, RIGHT)
            self._configure(self.right, RIGHT, LEFT)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()

    def _configure(self, name: str, own: str, other: str) -> None:
        _ip("-n", name, "addr", "add", own, "peer", other, "dev", DEVICE)
        _ip("-n", name, "link", "set", DEVICE, "mtu", str(MTU), "txqueuelen", "10000", "up")
        # Long fat paths need more than the usual buffers, or TCP would be measured by its buffers.
        for key in ("tcp_rmem", "tcp_wmem"):
            value = f"4096 131072 {TCP_BUFFER_MAX}"
            subprocess.run(
                self.command(name, ["sysctl", "-qw", f"net.ipv4.{key}={value}"]), check=True, stdout=subprocess.DEVNULL
            )

    def _remove(self) -> None:
        if self._carrier is not None:
            self._carrier.send_signal(signal.SIGTERM)
            self._carrier.wait()
            assert self._carrier.stdout is not None
            self._carrier.stdout.close()
        for name in (self.left, self.right):
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def _sweep() -> None:
    """Remove what a process left that was killed before it could tidy up."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    for name, pid in re.findall(r"^(dfs(\d+)(?:left|right|probe))\b", listed, flags=re.MULTILINE):
        if not Path(f"/proc/{pid}").exists():
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@contextlib.contextmanager
def _inside(namespace: str) -> Iterator[None]:
    """Run the block in a namespace; os.setns exists from Python 3.12 only."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net") as home, open(f"/run/netns/{namespace}") as there:
        if libc.setns(there.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
        try:
            yield
        finally:
            libc.setns(home.fileno(), CLONE_NEWNET)


def _open_device(namespace: str) -> int:
    with _inside(namespace):
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH14x", DEVICE.encode(), IFF_TUN | IFF_NO_PI))
    return descriptor


def carry(left: int, right: int, wire: Wire) -> None:
    """Move packets between two devices until the process is told to stop."""
    other = {left: right, right: left}
    due: list[tuple[float, int, int, bytes]] = []
    count = 0
    clock, read, write, push, pop = time.monotonic, os.read, os.write, heapq.heappush, heapq.heappop
    while True:
        timeout = max(due[0][0] - clock(), 0.0) if due else 1.0
        readable, _, _ = select.select([left, right], [], [], timeout)
        for device in readable:
            destination = other[device]
            for _ in range(READ_MAX):
                try:
                    packet = read(device, PACKET_MAX)
                except BlockingIOError:
                    break
                for at, arrived in wire.arrivals(packet, destination, clock()):
                    count += 1
                    push(due, (at, count, destination, arrived))
        now = clock()
        while due and due[0][0] <= now:
            _, _, device, packet = pop(due)
            # What the device does not take, a damaged header say, is lost like any packet.
            with contextlib.suppress(OSError):
                write(device, packet)


def main() -> None:
    """Be the wire between two namespaces."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("left")
    parser.add_argument("right")
    parser.add_argument("wire", help="the fields of Wire as JSON")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    described = json.loads(arguments.wire)
    described["busy_until"] = {}
    left, right = _open_device(arguments.left), _open_device(arguments.right)
    print("up", flush=True)
    carry(left, right, Wire(**described))


if __name__ == "__main__":
    main()
