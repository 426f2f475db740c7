"""Processor time that a sender takes for each message, user and kernel, warm, beside the standard library and
smtp-source in the same run: python tests/benchmarks/processor.py [--json]

The sink runs in a process of its own; only the sender's time counts, so that the machine's load changes little, and
where it does it changes all of a row. Senders take turns, and the best of their turns is compared.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.instructions import command
from benchmarks.peers import SMTP_SOURCE
from benchmarks.work import KIB, MIB, WARM, WORK, Run
from servers.sink import Sink

Rows = dict[str, dict[str, float]]
SIZES = {"2 KiB": (2 * KIB, 500), "100 KiB": (100 * KIB, 100), "10 MiB": (10 * MIB, 4)}
SENDERS = {"2 KiB": ("list", "generator", "composed", "send"), "100 KiB": ("list", "composed"), "10 MiB": ("list",)}


@contextlib.contextmanager
def on(processors: int, sink: Sink) -> Iterator[None]:
    """Put this process and the sink on one processor, or each on one of its own, where that can be had."""
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    chosen = sorted(before)[:processors]
    if chosen:
        os.sched_setaffinity(sink.process.pid, {chosen[-1]})
        os.sched_setaffinity(0, {chosen[0]})
    try:
        yield
    finally:
        if chosen:
            os.sched_setaffinity(0, before)


def _of_this_thread(run: Run) -> Callable[[int], tuple[float, float]]:
    def timed(count: int) -> tuple[float, float]:
        began, started = time.perf_counter(), time.thread_time()
        run(count)
        return time.thread_time() - started, time.perf_counter() - began

    return timed


def _of_a_child(size: int, port: int) -> Callable[[int], tuple[float, float]]:
    """Time a program with some messages and with none but one: the difference leaves its start out."""

    def spent(count: int) -> tuple[float, float]:
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command("smtp-source", size, port, count), check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return used, time.perf_counter() - began

    def timed(count: int) -> tuple[float, float]:
        more, one = spent(count + 1), spent(1)
        return max(more[0] - one[0], 0.0), max(more[1] - one[1], 1e-9)

    return timed


def measure(*, rounds: int = 7, processors: int = 2, fewer: int = 1, sizes: tuple[str, ...] = tuple(SIZES)) -> Rows:
    """Return processor time (µs) and messages per second for each sender and size, and ratios to smtplib's."""
    found: Rows = {}
    for label in sizes:
        size, count = SIZES[label]
        count = max(count // fewer, 1)
        with contextlib.ExitStack() as stack:
            sink = stack.enter_context(Sink())
            stack.enter_context(on(processors, sink))
            turns: dict[str, Callable[[int], tuple[float, float]]] = {}
            for name in (*SENDERS[label], "smtplib"):
                run = stack.enter_context(WORK[name](sink.port, size))
                run(WARM if size < MIB else 1)
                turns[name] = _of_this_thread(run)
            if SMTP_SOURCE:
                turns["smtp-source"] = _of_a_child(size, sink.port)
            best: dict[str, list[float]] = {name: [float("inf"), float("inf")] for name in turns}
            for _ in range(rounds):
                for name, turn in turns.items():
                    best[name] = list(map(min, best[name], turn(count)))
        theirs = best["smtplib"]
        for name, (used, wall) in best.items():
            found[f"{label}, {name}"] = {
                "µs": used / count * 1e6,
                "per_s": count / wall,
                "of smtplib": used / theirs[0],
                "faster than smtplib": theirs[1] / wall,
            }
            if SMTP_SOURCE:
                found[f"{label}, {name}"]["of smtp-source"] = used / max(best["smtp-source"][0], 1e-9)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--processors", type=int, choices=(1, 2), default=2)
    parser.add_argument("sizes", nargs="*", help=f"of: {', '.join(SIZES)}")
    given = parser.parse_args()
    found = measure(rounds=given.rounds, processors=given.processors, sizes=tuple(given.sizes) or tuple(SIZES))
    if given.json:
        print(json.dumps(found))
        return
    print(f"{'':28}{'µs':>10}{'messages/s':>12}{'of smtplib':>12}{'of smtp-source':>16}")
    for name, row in found.items():
        source = f"{row['of smtp-source']:16.2f}" if "of smtp-source" in row else ""
        print(f"{name:28}{row['µs']:10.1f}{row['per_s']:12.0f}{row['of smtplib']:12.2f}{source}")


if __name__ == "__main__":
    main()
