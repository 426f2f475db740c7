"""Instructions that a sender's own code takes for each message, counted by valgrind's callgrind: python
tests/benchmarks/instructions.py [ROW…] [--markdown]

A count does not depend on what else the machine does, so that a change shows before a quiet machine is found. Each row
is run twice, with some messages and with twice as many; the difference is what one more message costs, warm. The
kernel's work is not in it: that is what ``processor.py`` adds.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.peers import RECIPIENT, SENDER, SMTP_SOURCE
from benchmarks.work import KIB, MIB
from servers.daemon import HOST
from servers.sink import Sink

VALGRIND = shutil.which("valgrind")
ROWS = {  # name: (work, octets of a message, messages)
    "ready 2 KiB, list": ("list", 2 * KIB, 50),
    "ready 2 KiB, generator": ("generator", 2 * KIB, 50),
    "composed 2 KiB, generator": ("composed", 2 * KIB, 50),
    "ready 2 KiB, send": ("send", 2 * KIB, 50),
    "ready 100 KiB, list": ("list", 100 * KIB, 10),
    "ready 10 MiB, list": ("list", 10 * MIB, 1),
    "smtplib, 2 KiB": ("smtplib", 2 * KIB, 50),
    "smtplib, 100 KiB": ("smtplib", 100 * KIB, 10),
    "smtplib, 10 MiB": ("smtplib", 10 * MIB, 1),
    "smtp-source, 2 KiB": ("smtp-source", 2 * KIB, 50),
    "smtp-source, 100 KiB": ("smtp-source", 100 * KIB, 10),
    "smtp-source, 10 MiB": ("smtp-source", 10 * MIB, 1),
}


def command(work: str, size: int, port: int, count: int) -> list[str]:
    if work == "smtp-source":
        options = ["-d", "-s", "1", "-m", str(count), "-l", str(size), "-f", SENDER, "-t", RECIPIENT]
        return [SMTP_SOURCE, *options, f"{HOST}:{port}"]
    return [sys.executable, str(Path(__file__).with_name("work.py")), work, str(size), str(port), str(count)]


def counted(order: list[str]) -> int:
    """Return the instructions of a whole process."""
    with tempfile.TemporaryDirectory() as directory:
        tool = [str(VALGRIND), "--tool=callgrind", f"--callgrind-out-file={directory}/out.%p", "--"]
        env = {**os.environ, "PYTHONHASHSEED": "0"}  # the order of sets would change the count a little
        done = subprocess.run([*tool, *order], env=env, capture_output=True, text=True, check=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if found is None:
        raise RuntimeError(f"valgrind said nothing of a count: {done.stderr[-500:]}")
    return int(found[1])


def per_message(work: str, size: int, count: int) -> float:
    with Sink() as sink:
        once, twice = (counted(command(work, size, sink.port, times * count)) for times in (1, 2))
    return (twice - once) / count


def measure(names: list[str] | None = None, *, fewer: int = 1) -> dict[str, float]:
    """Return instructions per message, for each row that can be had here."""
    rows = {name: ROWS[name] for name in names or ROWS}
    if not SMTP_SOURCE:
        rows = {name: row for name, row in rows.items() if row[0] != "smtp-source"}
    return {name: per_message(work, size, max(count // fewer, 1)) for name, (work, size, count) in rows.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"one of: {'; '.join(ROWS)}")
    parser.add_argument("--markdown", action="store_true", help="a table for docs/benchmarks.md")
    given = parser.parse_args()
    if VALGRIND is None:
        parser.error("valgrind is not installed")
    if given.markdown:
        print("| thousand instructions per message | |\n|---|---|")
    for each in given.rows or ROWS:
        for name, count in measure([each]).items():
            shown = f"| {name} | {count / 1000:,.1f} |" if given.markdown else f"{name:28}{count / 1000:14,.1f} k"
            print(shown, flush=True)


if __name__ == "__main__":
    main()
