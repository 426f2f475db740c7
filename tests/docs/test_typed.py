"""The README and the quick start, typed line by line by somebody who reads from top to bottom: every command and every
program of theirs, in a clean home, at a shell of its own. Only the Internet is this machine: ``smtp.example.com`` leads
to a server here, whose authority is trusted.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.smtp import SmtpServer
from servers.web import Authority

pytestmark = [pytest.mark.process, pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")]

ROOT = Path(__file__).parents[2]
PASSWORD = "canary-pass"
# what is asked, whatever the command, and what is typed: the values that a mailbox provider tells its users
ANSWERS = {
    "Which one [1]: ": "",
    "Server, a name or an IP address: ": "smtp.example.com",
    "Login name (- if the server wants none) [you@example.com]: ": "",
    "Password of you@example.com: ": PASSWORD,
    "Password of you: ": PASSWORD,
    "Send the test message to [you@example.com]: ": "",
}
# lines that are not typed here: they install what is installed already, or run these very tests
INSTALLING = re.compile(r"(pipx|python3 -m venv) ")
RED = "--username you --to"  # the page shows what a wrong login name looks like

PROGRAM = """\
import sys
sys.path[:0] = {paths!r}
import dns.resolver, pytest
from franking.discovery import lookup
from servers.names import Names

class Nameless:
    def resolve(self, name, kind, **_):
        if name.rstrip(".").endswith("example.com"):
            raise dns.resolver.NoAnswer(response=dns.message.make_response(dns.message.make_query(name, kind)))
        raise dns.resolver.NXDOMAIN

def nothing_published(url, seconds):
    raise OSError("not found")

patch = pytest.MonkeyPatch()
patch.setattr(lookup, "system_resolver", Nameless)
patch.setattr(lookup, "fetch_https", nothing_published)
Names(patch).lead("smtp.example.com", {port})
if sys.argv[1:] == ["program.py"]:
    import runpy

    runpy.run_path("program.py")
else:
    from franking_cli.__main__ import main

    if sys.argv[1:2] == ["setup"] or "--host" in sys.argv:
        sys.argv += ["--ca-file", {ca_file!r}]
    main()
"""


class Shell:
    """bash at a pseudo-terminal: a line is typed and what it asks answered; its code and what it printed come out."""

    def __init__(self, home: Path, programs: Path) -> None:
        pexpect = pytest.importorskip("pexpect")
        env = {"HOME": str(home), "PATH": f"{programs}:/usr/bin:/bin", "TERM": "dumb", "LANG": "C.UTF-8"}
        self._child = pexpect.spawn(
            "/bin/bash", ["--norc", "--noprofile"], env=env, cwd=str(home), encoding="utf-8", timeout=60
        )
        self._child.delaybeforesend = None
        self._child.setwinsize(50, 200)
        self._child.sendline("PS1='@'\"@\"; PS2=")
        self._child.expect_exact("@@")

    def type(self, line: str) -> tuple[int, str]:
        self._child.sendline(f'{line}; echo "code=$?"')
        shown, awaited = "", [re.escape(question) for question in ANSWERS]
        while (found := self._child.expect([r"code=(\d+)\r\n", *awaited])) > 0:
            shown += self._child.before + self._child.after
            self._child.sendline(list(ANSWERS.values())[found - 1])
        code = int(self._child.match[1])
        shown += self._child.before
        self._child.expect_exact("@@")
        return code, shown

    def close(self) -> None:
        self._child.close(force=True)


def blocks(page: str) -> list[tuple[str, str]]:
    """Return the console and Python blocks of a page, in their order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"```(console|python)\n(.*?)```", text, re.DOTALL)


def lines(block: str) -> list[str]:
    """Return what is typed of a console block: all of it, or behind its prompts."""
    prompted = re.findall(r"^\$ (.*)$", block, re.MULTILINE)
    return prompted or block.replace("\\\n", " ").splitlines()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[SmtpServer, str]]:
    authority = Authority(tmp_path)
    users = {"you@example.com": PASSWORD}
    with SmtpServer(users=users, context=authority.context("smtp.example.com")) as running:
        yield running, authority.ca_file


@pytest.fixture
def shell(tmp_path: Path, server: tuple[SmtpServer, str]) -> Iterator[Shell]:
    running, ca_file = server
    programs, home = tmp_path / "programs", tmp_path / "reader"
    programs.mkdir()
    home.mkdir()
    paths = [str(ROOT / name) for name in ("tests", "providers", "cli")]
    text = PROGRAM.format(paths=paths, port=running.port, ca_file=ca_file)
    (programs / "network.py").write_text(text, encoding="utf-8")
    for name in ("franking", "python"):
        command = shlex.join([sys.executable, str(programs / "network.py")])
        (programs / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
        (programs / name).chmod(stat.S_IRWXU)
    opened = Shell(home, programs)
    yield opened
    opened.close()


@pytest.mark.parametrize(("page", "messages"), [("README.md", 5), ("docs/quick-start.md", 5)])
def test_every_line_works_as_it_stands(
    page: str, messages: int, shell: Shell, server: tuple[SmtpServer, str], tmp_path: Path
) -> None:
    typed = 0
    for kind, block in blocks(page):
        if kind == "python":
            (tmp_path / "reader" / "program.py").write_text(block, encoding="utf-8")
            todo = ["python program.py"]
        else:
            todo = [line for line in lines(block) if not INSTALLING.match(line)]
        for line in todo:
            code, shown = shell.type(line)
            assert code == (1 if RED in line else 0), shown
            assert "Traceback" not in shown and PASSWORD not in shown
            typed += 1
    assert typed >= 6
    assert len(server[0].messages) == messages
