"""How cost grows: 10² to 10⁶ messages through ``send_many`` (time and memory per message stay flat), and 1 to 32
connections.

Messages come from a generator and results are dropped, as in a program that keeps nothing. Each line is a process of
its own, so that memory is its alone.
"""

from __future__ import annotations

import subprocess
import sys

from servers.sink import Sink

SCRIPT = """
import sys, time
sys.path[:0] = {path!r}
from benchmarks.compose import highest
from benchmarks.peers import ready
from benchmarks.smtp import mailer
with mailer({port}, window={window}) as one:
    def run(count):
        for result in one.send_many((ready(number) for number in range(count)), connections={connections}):
            assert result.outcome == "accepted", result.error
    run(50)
    idle, started = highest(), time.perf_counter()
    run({count})
    print((time.perf_counter() - started) / {count} * 1e6, highest() - idle)
"""


def _run(port: int, count: int, *, connections: int = 1, window: int = 16) -> tuple[float, float]:
    script = SCRIPT.format(path=sys.path, port=port, count=count, connections=connections, window=window)
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    microseconds, mebibytes = map(float, done.stdout.split())
    return microseconds, mebibytes


def table(most: int = 1_000_000, connections: tuple[int, ...] = (1, 2, 4, 8, 16, 32), share: int = 20_000) -> str:
    """Measure, and give two Markdown tables; times as ratios to the first line."""
    lines = ["| messages | time per message | memory above idle |", "|---|---|---|"]
    with Sink() as sink:
        first = 0.0
        count = 100
        while count <= most:
            spent, memory = _run(sink.port, count)
            first = first or spent
            lines.append(f"| {count:,} | {spent / first:.2f} × | {memory:.1f} MiB |")
            count *= 10
        lines += ["", "| connections (2 processors, threads) | time per message | memory above idle |", "|---|---|---|"]
        first = 0.0
        for number in connections:
            spent, memory = _run(sink.port, share, connections=number, window=16)
            first = first or spent
            lines.append(f"| {number} | {spent / first:.2f} × | {memory:.1f} MiB |")
    return "\n".join(lines)
