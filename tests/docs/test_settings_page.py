"""The page about the settings page: its examples are the programs of docs/examples/settings-page, and each starts,
shows the page to whom it should, and sends.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from docs.test_projects import environment
from servers.ports import reserved_ports
from servers.smtp import SmtpServer
from web.browser import Browser
from web.conftest import settings

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples" / "settings-page"
STARTS = {
    "with_fastapi": ("-m", "uvicorn", "with_fastapi:app", "--port", "PORT", "--log-level", "warning"),
    "with_flask": ("-m", "flask", "--app", "with_flask", "run", "--port", "PORT"),
    "with_django": ("with_django.py", "runserver", "--noreload", "PORT"),
}
ADMIN = {"X-User": "admin"}


def statements(text: str) -> list[str]:
    """Return the lines that do something, without what a formatter may change."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith(("#", '"""'))]


def test_the_page_shows_the_programs_as_they_stand() -> None:
    page = (ROOT / "docs" / "settings-in-your-application.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    for name in ("with_fastapi", "with_flask"):
        wanted = statements((EXAMPLES / f"{name}.py").read_text("utf-8"))
        assert wanted in [statements(block) for block in blocks]
        assert len(wanted) <= 10


@pytest.mark.process
@pytest.mark.parametrize("name", STARTS)
def test_an_application_shows_the_page_and_sends(name: str, smtp_server: Callable[..., SmtpServer]) -> None:
    server = smtp_server(users={"info@novak.cz": "correct-horse"})
    (port,) = reserved_ports(1)
    words = [word.replace("PORT", str(port)) for word in STARTS[name]]
    program = subprocess.Popen(
        [sys.executable, *words], cwd=EXAMPLES, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        browser = Browser(port)
        end = time.monotonic() + 40
        while True:
            try:
                assert browser.ask("GET", "/settings/mail/").status == 403
                break
            except OSError:
                assert program.poll() is None and time.monotonic() < end, program.stderr
                time.sleep(0.1)
        assert browser.open("/settings/mail/", **ADMIN).status == 200
        shown = browser.press("test", headers=ADMIN, **settings(server))
        assert shown.status == 200 and shown.result["data-outcome"] == "sent", shown.text
        assert (
            browser.ask("GET", "/settings/mail/style.css", headers=ADMIN).headers["content-type"].startswith("text/css")
        )
    finally:
        program.terminate()
        program.communicate(timeout=20)
