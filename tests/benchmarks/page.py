"""The settings page's first answer beside an empty page of the same template engine, over the same server, in turns, to
the last octet; and how large the page is with its style and its script. Reading what came is not measured:

python tests/benchmarks/page.py
"""

from __future__ import annotations

import http.client
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jinja2

from franking.account import editing
from franking.account.account import Account
from franking.web.local import LocalPage
from franking_cli.settings_server import SettingsServer
from web.browser import Browser

__all__ = ["measure"]

Rows = dict[str, dict[str, float]]

EMPTY = "<!doctype html><html lang={{ language }}><title>{{ title }}</title><form method=post></form></html>"


@contextmanager
def served(application: Any) -> Iterator[int]:
    """Serve a WSGI application as ``franking settings`` is served; give the port."""
    with SettingsServer(0) as server:
        thread = threading.Thread(target=server.serve, args=(application(server.server_port),))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def empty(port: int) -> Callable[..., Any]:
    template = jinja2.Environment(autoescape=True).from_string(EMPTY)

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
        return [template.render(language="en", title="Empty").encode()]

    return application


def asked(port: int, path: str, headers: Mapping[str, str]) -> bytes:
    """Ask once, on a connection of its own; give the body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status}")
    return body


def measure(*, count: int = 50) -> Rows:
    """Measure medians, in milliseconds, of ``count`` pages each, and octets."""
    state = {name: os.environ.get(name) for name in ("FRANKING_CONFIG", "FRANKING_STATE_DIR")}
    with tempfile.TemporaryDirectory() as name:
        os.environ |= {"FRANKING_CONFIG": f"{name}/accounts.toml", "FRANKING_STATE_DIR": f"{name}/state"}
        try:
            editing.save(Account(name="shop", provider="smtp", sender="me@example.cz", host="smtp.example.cz"))
            pages: list[LocalPage] = []

            def page(port: int) -> Any:
                pages.append(LocalPage(port, account="shop"))
                return pages[0].wsgi

            with served(page) as ours, served(empty) as theirs:
                browser = Browser(ours)
                browser.open(pages[0].url)
                cookie = {"Cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items())}
                times: tuple[list[float], ...] = ([], [])
                for number in range(count + 1):
                    for port, taken in zip((ours, theirs), times, strict=True):
                        started = time.perf_counter()
                        asked(port, "/", cookie)
                        if number:  # the first one compiles the templates
                            taken.append((time.perf_counter() - started) * 1000)
                size = sum(len(asked(ours, path, cookie)) for path in ("/", "/style.css", "/page.js"))
        finally:
            for key, value in state.items():
                os.environ.pop(key)
                if value is not None:
                    os.environ[key] = value
    first, other = map(statistics.median, times)
    return {
        "first page, ms more than an empty one": {"ms": first - other, "ratio": first / other},
        "page, style and script": {"KiB": size / 1024},
    }


if __name__ == "__main__":
    for what, row in measure().items():
        print(f"{what}: " + ", ".join(f"{value:.2f} {unit}" for unit, value in row.items()))
