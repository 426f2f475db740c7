"""``franking settings`` as a command: what it prints, when it ends, how the browser is opened."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from commandline import Franking
from web.browser import Browser

START = "from franking_cli.app import main; main()"


def test_a_port_that_is_taken(franking: Franking) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = franking("settings", "--port", str(taken.getsockname()[1]), "--no-browser")
    assert ended.code == 2
    assert "--port" in ended.err and ended.out == ""


@pytest.mark.parametrize("words", [("--idle", "soon"), ("--language", "xx"), ("--port", "x")])
def test_wrong_options(words: tuple[str, str], franking: Franking) -> None:
    ended = franking("settings", "--no-browser", *words)
    assert ended.code == 2 and words[0] in ended.err


def test_it_ends_when_nobody_uses_it(franking: Franking) -> None:
    ended = franking("settings", "--no-browser", "--idle", "1s")
    assert ended.code == 0
    (line,) = ended.out.splitlines()
    assert line.startswith("http://127.0.0.1:") and "?token=" in line
    port = line.rpartition(":")[2].partition("/")[0]
    assert f"ssh -L {port}:127.0.0.1:{port} " in ended.err
    assert line not in ended.err


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has used the page for a minute by the time the command looks."""
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + 60, sleep=time.sleep)
    monkeypatch.setattr("franking_cli.commands.settings.time", clock)


@pytest.mark.usefixtures("late")
def test_json(franking: Franking) -> None:
    answer = franking("settings", "--no-browser", "--idle", "1s", "--json").json
    assert set(answer) == {"url", "port", "pid"} and answer["pid"] == os.getpid()


@pytest.mark.usefixtures("late")
def test_the_browser_is_opened_on_a_file_that_leads_there(franking: Franking, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def opened(url: str) -> bool:
        path = Path(url.removeprefix("file://"))
        seen.append((path, stat.S_IMODE(path.stat().st_mode), path.read_text()))
        return True

    monkeypatch.setattr(webbrowser, "open", opened)
    ended = franking("settings", "--idle", "1s")
    ((path, mode, html),) = seen
    assert mode == 0o600 and ended.out.strip() in html and not path.exists()
    assert ended.err == ""


@pytest.mark.usefixtures("late")
def test_without_a_browser_the_way_is_told(franking: Franking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    assert "ssh -L" in franking("settings", "--idle", "1s").err


@pytest.fixture
def started() -> Iterator[Any]:
    """Start the command as a program of its own."""
    programs = []

    def start(*words: str) -> Any:
        program = subprocess.Popen(
            [sys.executable, "-c", START, "settings", "--no-browser", "--json", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        programs.append(program)
        assert program.stdout is not None
        return program, json.loads(program.stdout.readline())

    yield start
    for program in programs:
        program.kill()
        program.communicate()


@pytest.mark.process
def test_ctrl_c_ends_it(started: Any) -> None:
    program, answer = started()
    assert Browser(answer["port"]).open(answer["url"]).status == 200
    program.send_signal(signal.SIGINT)
    out, err = program.communicate(timeout=20)
    assert (program.returncode, out, err) == (130, "", "")


@pytest.mark.process
def test_an_open_page_with_its_script_counts_as_use(started: Any) -> None:
    program, answer = started("--idle", "3s", "--language", "cs")
    browser = Browser(answer["port"])
    page = browser.open(answer["url"])
    assert page.root.one(tag="html")["lang"] == "cs"
    for _ in range(4):
        time.sleep(1)
        assert browser.ask("GET", "/status.json").status == 200
    assert program.poll() is None
    assert program.wait(20) == 0
