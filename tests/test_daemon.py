"""Daemons that tests start end with them, even when the tests are killed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from servers.daemon import Daemon

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are read from /proc")

STARTER = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from servers.daemon import Daemon
daemon = Daemon(["sh", "-c", "sleep 61 & sleep 61"], ports=[], log=Path({log!r}))
print(daemon.process.pid, flush=True)
time.sleep(60)
"""


def running(group: int) -> list[str]:
    """List the living processes of a group by name, zombies left out."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = file.read_text().partition(") ")
        except OSError:  # ended meanwhile
            continue
        state, _, pgrp, *_ = rest.split()
        if int(pgrp) == group and state != "Z":
            found.append(name)
    return found


def test_a_daemon_is_stopped_with_its_children(tmp_path: Path) -> None:
    with Daemon(["sh", "-c", "sleep 61 & sleep 61"], ports=[], log=tmp_path / "log") as daemon:
        assert running(daemon.process.pid)
    assert running(daemon.process.pid) == []
    daemon.stop()  # once more does no harm


def test_a_daemon_does_not_outlive_a_killed_starter(tmp_path: Path) -> None:
    script = STARTER.format(tests=str(Path(__file__).parent), log=str(tmp_path / "log"))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        group = int(starter.stdout.readline())
        assert running(group)
        starter.kill()
    deadline = time.monotonic() + 30
    while running(group) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert running(group) == []


def test_a_daemon_that_does_not_start_shows_its_log(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no such option"):
        Daemon(["sh", "-c", "echo no such option; exit 2"], ports=[1], log=tmp_path / "log")
