"""Twenty programs fail at once, and each looks: the change is told exactly once; then all can send again: once more."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from health.hook import Hook
from health.looking import settings
from outbox.test_outbox import save
from servers.smtp import SmtpServer

pytestmark = pytest.mark.process

PASSWORD = "Canary2-hunter2"
PROGRAMS = 20
PROGRAM = """
import franking
from franking.health.look import look

try:
    franking.send("shop", franking.Message(to="a@b.cz", subject="x", text="y"))
except franking.LoginError:
    print("refused")
health = look(tell=True)
print(health.level, health.untold)
"""


def all_at_once(password: str) -> list[str]:
    environ = {**os.environ, "FRANKING_SECRET_SHOP": password}
    programs = [
        subprocess.Popen([sys.executable, "-c", PROGRAM], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(PROGRAMS)
    ]
    ended = [one.communicate(timeout=100) for one in programs]
    assert all(one.returncode == 0 for one in programs), ended
    return [out.decode() for out, _ in ended]


def test_a_change_is_told_once_while_twenty_programs_fail(hook: Hook) -> None:
    with SmtpServer(users={"info": PASSWORD}, mechanisms=("PLAIN",), backlog=50) as server:
        save(server.port, username="info", allow_plain_login=True)
        settings(hook.settings())
        assert all_at_once("wrong") == ["refused\ncritical False\n"] * PROGRAMS
        assert hook.changes() == [
            ("shop", "password.refused", "ok", "critical"),
            ("shop", "send.failing", "ok", "critical"),
        ]
        assert len(hook.told) == 1
        assert len(server.sessions) == PROGRAMS + 1, "each sent, and one looked for all"
        assert all_at_once(PASSWORD) == ["ok False\n"] * PROGRAMS
        assert len(server.messages) == PROGRAMS
    assert sorted(hook.changes()[2:]) == [
        ("shop", "password.refused", "critical", "ok"),
        ("shop", "send.failing", "critical", "ok"),
    ]
    assert len(hook.told) == 2
