"""The commands with what Windows has (``windows.py``): settings, a password, a test, mail, the outbox."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from servers.smtp import SmtpServer

pytestmark = pytest.mark.process


def test_commands_need_nothing_that_windows_lacks(tmp_path: Path) -> None:
    program = Path(__file__).with_name("windows.py")
    with SmtpServer(users={"jan": "geheim"}) as server:
        done = subprocess.run(
            [sys.executable, str(program), str(tmp_path), str(server.port)],
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert done.returncode == 0, done.stderr
        ended = [line for line in done.stdout.splitlines() if line.endswith(" 0")]
        commands = ["accounts", "login", "status", "send-test", "send", "send", "outbox", "health"]
        assert [line.split()[0] for line in ended] == commands, done.stdout + done.stderr
        assert len(server.messages) == 3
