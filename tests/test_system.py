"""The commands with what Windows and macOS have (``system.py``): settings, a password, a test, mail, the outbox."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from servers.smtp import SmtpServer

pytestmark = pytest.mark.process


@pytest.mark.parametrize("system", ["windows", "macos"])
def test_commands_need_nothing_that_a_system_lacks(system: str, tmp_path: Path) -> None:
    program = Path(__file__).with_name("system.py")
    with SmtpServer(users={"jan": "geheim"}) as server:
        done = subprocess.run(
            [sys.executable, str(program), system, str(tmp_path), str(server.port)],
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
    if system == "macos":
        folder = tmp_path / "Library" / "Application Support" / "franking"
        assert {"accounts.toml", "outbox"} <= {path.name for path in folder.iterdir()}
        assert not (tmp_path / ".config").exists()
