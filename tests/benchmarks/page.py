"""The settings page's first answer beside an empty page of the same template engine, over the same server, in turns:

python tests/benchmarks/page.py
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
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


def measure(*, count: int = 50) -> Rows:
    """Measure medians, in milliseconds, of ``count`` pages each."""
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
                browsers = (Browser(ours), Browser(theirs))
                browsers[0].open(pages[0].url)
                times: tuple[list[float], ...] = ([], [])
                for number in range(count + 1):
                    for browser, taken in zip(browsers, times, strict=True):
                        started = time.perf_counter()
                        status = browser.ask("GET", "/").status
                        if number:  # the first one compiles the templates
                            taken.append((time.perf_counter() - started) * 1000)
                        assert status == 200
        finally:
            for key, value in state.items():
                os.environ.pop(key)
                if value is not None:
                    os.environ[key] = value
    first, other = map(statistics.median, times)
    return {"first page, ms more than an empty one": {"ms": first - other, "ratio": first / other}}


if __name__ == "__main__":
    for what, row in measure().items():
        print(f"{what}: {row['ms']:.2f} ({row['ratio']:.2f} ×)")
