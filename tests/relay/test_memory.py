"""Large messages cost no memory: a relay in a process of its own, its peak looked up in /proc."""

from __future__ import annotations

import smtplib
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from relay.conftest import HEADER, save

pytestmark = [pytest.mark.slow, pytest.mark.process]
MIB = 1024 * 1024
PROGRAM = """
import sys
from franking.relay import Relay
with Relay("shop", wait=0, run=False) as relay:
    print(relay.addresses[0][1], flush=True)
    sys.stdin.read()
"""


def peak(pid: int) -> int:
    """Return the most that a process has had in memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


@pytest.mark.parametrize(("number", "most"), [(1, 8), (4, 12)])
def test_25_mb(number: int, most: int) -> None:
    save(1)
    child = subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    port = int(child.stdout.readline())
    try:

        def send(size: int) -> None:
            line = b"x" * 76 + b"\r\n"
            with smtplib.SMTP("127.0.0.1", port, timeout=100) as client:
                client.sendmail("shop@example.cz", ["a@b.cz"], HEADER + b"\r\n" + line * (size // len(line)))

        for size in (2000, 600_000, 600_000):  # all that is loaded late
            send(size)
        before = peak(child.pid)
        threads = [threading.Thread(target=send, args=(25 * MIB,)) for _ in range(number)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        grown = peak(child.pid) - before
    finally:
        child.communicate()
    assert grown <= most * MIB
