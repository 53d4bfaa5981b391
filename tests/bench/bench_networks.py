"""Bad networks between two real namespaces: `python tests/bench/bench_networks.py`, as root.

Each case is a link as `wire.py` makes it; over each go our transport, the kernel's TCP under CUBIC and under BBR, and
aioquic, one after the other, `--repeat` times; a line says the median goodput as a share of the link. `--fair` runs
flows side by side and says what share each got; `--responsive` times small messages beside a bulk transfer and how
late the loop is. A sender that is not done after `--limit` seconds counts as that long.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench.wire import RIGHT, Namespaces, why_not  # noqa: E402 - run as a program from anywhere
from tests.fakes.wire import Wire  # noqa: E402

MIB = 1024 * 1024
MEGABIT = 1e6 / 8
FLOWS = str(Path(__file__).with_name("flows.py"))
PORT = 5001
SETTLE_SECONDS = 5.0


def link(mbit: float, rtt: float, *, queue: float = 1.0, **impaired: float) -> dict[str, Any]:
    """Fields of a link with a queue of so many bandwidth-delay products."""
    rate = mbit * MEGABIT
    return {"delay": rtt / 2, "bytes_per_second": rate, "queue_bytes": int(rate * rtt * queue), **impaired}


# Name: (the link, MiB to move).
CASES: dict[str, tuple[dict[str, Any], int]] = {
    "8 MiB, 50 ms, 1 % loss": ({"delay": 0.025, "loss": 0.01}, 8),
    "4 MiB, 50 ms, 5 % loss": ({"delay": 0.025, "loss": 0.05}, 4),
    "100 Mbit/s, 50 ms": (link(100, 0.05), 64),
    "100 Mbit/s, 50 ms, 1 % loss": (link(100, 0.05, loss=0.01), 64),
    "100 Mbit/s, 50 ms, 5 % loss": (link(100, 0.05, loss=0.05), 64),
    "100 Mbit/s, 50 ms, bursts": (link(100, 0.05, burst_every=0.5, burst_length=0.01), 64),
    "100 Mbit/s, 50 ms, 2 % late": (link(100, 0.05, late=0.02, late_by=0.01), 64),
    "10 Mbit/s, 300 ms": (link(10, 0.3), 32),
    "10 Mbit/s, 50 ms, 2 s of queue": (link(10, 0.05, queue=40), 12),
}
LADDER = {
    f"rung {index}: {rtt} ms, {loss} %, {mbit} Mbit/s": (link(mbit, rtt / 1000, loss=loss / 100), 10)
    for index, (rtt, loss, mbit) in enumerate(
        [
            (16, 0.1, 100),
            (30, 0.3, 100),
            (50, 0.5, 100),
            (80, 1, 50),
            (120, 2, 50),
            (200, 5, 20),
            (320, 10, 20),
            (500, 15, 10),
            (800, 25, 4),
        ],
        start=1,
    )
}
# Name: (the link, kinds of flows side by side; each begins 3 s after the one before).
FAIR = {
    "two of ours": (link(20, 0.05), ["ours", "ours"]),
    "ours beside CUBIC": (link(20, 0.05), ["ours", "cubic"]),
    "ours beside BBR": (link(20, 0.05), ["ours", "bbr"]),
    "background, then ours": (link(20, 0.05), ["background", "ours"]),
    "background, then CUBIC": (link(20, 0.05), ["background", "cubic"]),
    "background alone": (link(20, 0.05, queue=20), ["background"]),
}


def contenders() -> list[str]:
    """Who can run here; says who cannot."""
    known = Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()
    found = ["ours"]
    for kind in ("cubic", "bbr"):
        if kind in known:
            found.append(kind)
        else:
            print(f"this kernel has no TCP {kind}: left out")
    if importlib.util.find_spec("aioquic"):
        found.append("aioquic")
    else:
        print("aioquic is left out: pip install aioquic")
    return found


class FlowProcess:
    """A receiver and a sender in their namespaces."""

    def __init__(self, spaces: Namespaces, kind: str, port: int, *options: str) -> None:
        receive = [sys.executable, FLOWS, "receive", kind, str(port)]
        self._receiver = _start(spaces.command(spaces.right, receive))
        assert self._receiver.stdout is not None
        self._receiver.stdout.readline()
        send = [sys.executable, FLOWS, "send", kind, RIGHT, str(port), *options]
        self._sender = _start(spaces.command(spaces.left, send))

    def finish(self, limit: float) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """What sender and receiver say, None for one that was not done in time."""
        return _result(self._sender, limit), _result(self._receiver, 10 if limit else 0)

    def close(self) -> None:
        """End what still runs."""
        for process in (self._sender, self._receiver):
            process.kill()
            process.communicate()


def _start(command: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def _result(process: subprocess.Popen[str], limit: float) -> dict[str, Any] | None:
    try:
        text, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        return None
    return json.loads(text) if process.returncode == 0 else None


def measure_case(name: str, wire: dict[str, Any], mib: int, arguments: argparse.Namespace, kind: str) -> dict[str, Any]:
    """The median of a few transfers."""
    seconds = []
    for turn in range(arguments.repeat):
        with Namespaces(Wire(seed=turn, **wire)) as spaces:
            flow = FlowProcess(spaces, kind, PORT, "--bytes", str(mib * MIB))
            try:
                sent, _ = flow.finish(arguments.limit)
            finally:
                flow.close()
        seconds.append(arguments.limit if sent is None else sent["finished_at"] - sent["started_at"])
    median = statistics.median(seconds)
    rate = wire.get("bytes_per_second")
    figures = {"case": name, "kind": kind, "seconds": median, "runs": seconds}
    return figures | ({"share": mib * MIB / median / rate} if rate else {})


def measure_fair(name: str, wire: dict[str, Any], kinds: list[str], seconds: float) -> dict[str, Any]:
    """The rate of each of several flows, from `SETTLE_SECONDS` after the last one began to the end."""
    with Namespaces(Wire(**wire)) as spaces:
        flows = []
        for index, kind in enumerate(kinds):
            left = seconds - 3.0 * index
            flows.append(FlowProcess(spaces, kind, PORT + index, "--seconds", str(left)))
            last_at = time.monotonic()
            time.sleep(3.0 if index + 1 < len(kinds) else 0.0)
        try:
            received = [flow.finish(seconds + 20)[1] for flow in flows]
        finally:
            for flow in flows:
                flow.close()
    rates = [_rate(counted, last_at + SETTLE_SECONDS, last_at + seconds - 3 * len(kinds)) for counted in received]
    jain = sum(rates) ** 2 / (len(rates) * sum(rate**2 for rate in rates)) if any(rates) else 0.0
    shares = [rate / wire["bytes_per_second"] for rate in rates]
    return {"case": name, "kinds": kinds, "shares": shares, "jain": jain}


def _rate(counted: dict[str, Any] | None, start: float, stop: float) -> float:
    samples: list[tuple[float, int]] = counted["samples"] if counted else []
    within = [(at, total) for at, total in samples if start <= at <= stop]
    if len(within) < 2:
        return 0.0
    (first_at, first), (last_at, last) = within[0], within[-1]
    return (last - first) / (last_at - first_at)


def measure_responsive(wire: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Small messages before and beside a bulk transfer, and the lateness of the sender's loop."""
    with Namespaces(Wire(**wire)) as spaces:
        flow = FlowProcess(spaces, "ours", PORT, "--seconds", str(seconds), "--chat")
        try:
            sent, _ = flow.finish(seconds + 30)
        finally:
            flow.close()
    if sent is None:
        raise SystemExit("the flow did not end")
    lags = sorted(sent["lags"])
    return {
        "idle_ms": 1000 * statistics.median(sent["idle"]),
        "loaded_ms": 1000 * statistics.median(sent["loaded"]),
        "loaded_max_ms": 1000 * max(sent["loaded"]),
        "lag_p99_ms": 1000 * lags[int(0.99 * len(lags))],
        "lag_max_ms": 1000 * lags[-1],
    }


def main() -> None:
    """Print a line for each case and contender."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", action="append", help="only cases whose name contains this")
    parser.add_argument("--kind", action="append", help="only this contender")
    parser.add_argument("--ladder", action="store_true", help="the nine rungs instead of the cases")
    parser.add_argument("--fair", action="store_true")
    parser.add_argument("--responsive", action="store_true")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--limit", type=float, default=40.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    reason = why_not()
    if reason is not None:
        print(f"skipped: {reason}")
        return

    def wanted(name: str) -> bool:
        return not arguments.case or any(part in name for part in arguments.case)

    def tell(figures: dict[str, Any], words: str) -> None:
        print(json.dumps(figures) if arguments.json else words, flush=True)

    if arguments.responsive:
        figures = measure_responsive(link(100, 0.05), arguments.seconds)
        tell(figures, ", ".join(f"{key} {value:.1f}" for key, value in figures.items()))
        return
    if arguments.fair:
        for name, (wire, kinds) in FAIR.items():
            if wanted(name):
                figures = measure_fair(name, wire, kinds, arguments.seconds)
                words = ", ".join(f"{k} {100 * s:.0f} %" for k, s in zip(kinds, figures["shares"], strict=True))
                tell(figures, f"{name:24} {words}; Jain {figures['jain']:.3f}")
        return
    kinds = arguments.kind or contenders()
    for name, (wire, mib) in (LADDER if arguments.ladder else CASES).items():
        for kind in kinds if wanted(name) else ():
            figures = measure_case(name, wire, mib, arguments, kind)
            percent = f"{100 * figures['share']:5.1f} %" if "share" in figures else ""
            late = " (not done)" if figures["seconds"] >= arguments.limit else ""
            tell(figures, f"{name:34} {kind:8} {figures['seconds']:6.2f} s {percent}{late}")


if __name__ == "__main__":
    main()
