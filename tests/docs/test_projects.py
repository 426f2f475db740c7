"""The example projects under docs/examples start and send mail, as their pages say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode

import pytest

from servers.smtp import SmtpServer

pytestmark = pytest.mark.process

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    """A mail server, and the account "shop" that reaches it."""
    with SmtpServer(
        refused={"gone@example.com": "550 5.1.1 nobody here", "later@example.com": "451 4.2.0 not now"}
    ) as made:
        table = (
            f'provider = "smtp"\nfrom = "Jan Novák <info@novak.cz>"\nhost = "127.0.0.1"\nport = {made.port}\n'
            'security = "none"\n'
        )
        Path(os.environ["FRANKING_CONFIG"]).write_text(f"[accounts.shop]\n{table}", encoding="utf-8")
        yield made


def environment() -> dict[str, str]:
    paths = os.pathsep.join([os.environ["PYTHONPATH"], *sys.path])
    return {**os.environ, "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def manage(*arguments: str) -> str:
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(
        command, cwd=EXAMPLES / "django", env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def running(*command: str, folder: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=EXAMPLES / folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=20)


def address(process: subprocess.Popen[str]) -> str:
    """Return where a server listens, from what it prints when it does."""
    assert process.stdout is not None
    return next(found[0] for line in process.stdout if (found := re.search(r"http://[\d.:]+\d", line)))


def post(url: str, data: bytes, kind: str) -> tuple[int, Any]:
    request = urllib.request.Request(url, data, {"Content-Type": kind})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


def test_django_s_commands(server: SmtpServer) -> None:
    assert "no issues" in manage("check")
    manage("sendtestemail", "jana@example.com")
    message = message_from_bytes(server.messages[0].data, policy=policy.default)
    assert message["From"] == "Jan Novák <info@novak.cz>"
    assert server.messages[0].recipients == ["jana@example.com"]


def test_django_s_page(server: SmtpServer) -> None:
    with running("manage.py", "runserver", "--noreload", "127.0.0.1:0", folder="django") as process:
        url = address(process) + "/orders/"

        def order(to: str) -> tuple[int, Any]:
            return post(url, urlencode({"to": to}).encode(), "application/x-www-form-urlencoded")

        assert order("jana@example.com") == (200, {"sent": True})
        message = message_from_bytes(server.messages[0].data, policy=policy.default)
        assert message["Subject"] == "Your order"
        assert {part.get_content_type() for part in message.walk()} >= {"text/plain", "text/html"}
        assert order("jan@@example.com")[0] == 400
        status, answer = order("gone@example.com")
        assert (status, answer["again"]) == (503, False)
        assert order("later@example.com")[1]["again"] is True


def test_fastapi(server: SmtpServer) -> None:
    with running("-m", "uvicorn", "app:app", "--host", "127.0.0.1", "--port", "0", folder="fastapi") as process:
        url = address(process) + "/orders/"

        def order(to: str) -> tuple[int, Any]:
            return post(url, json.dumps({"to": to}).encode(), "application/json")

        status, answer = order("jana@example.com")
        assert status == 200
        message = message_from_bytes(server.messages[0].data, policy=policy.default)
        assert (message["Subject"], message["Message-ID"]) == ("Your order", answer["sent"])
        assert order("jan@@example.com")[0] == 400
        assert order("gone@example.com") == (
            503,
            {"error": "The server refused the recipient: 550 5.1.1 nobody here", "again": False},
        )
        assert order("later@example.com")[1]["again"] is True
        assert len(server.sessions) == 1
    assert "QUIT" in server.wait(0).lines
