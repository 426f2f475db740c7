"""The documentation as a site in a real browser: no page is longer than somebody reads."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from real.conftest import REQUIRED, start
from servers.chromium import Chromium

ROOT = Path(__file__).parents[2]
WIDTH, HEIGHT = 1280, 900
SCREENS = 10


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serve files and write nothing about it."""

    def log_message(self, format: str, *values: object) -> None:  # noqa: A002
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str]]]:
    """Build the site and serve it: its address, and the pages in it."""
    if importlib.util.find_spec("mkdocs") is None:
        why = "MkDocs is not installed (pip install --group docs)"
        if REQUIRED:
            pytest.fail(why)
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("site")
    words = ["build", "--quiet", "--config-file", str(ROOT / ".mkdocs.yml"), "--site-dir", str(folder)]
    built = subprocess.run([sys.executable, "-m", "mkdocs", *words], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    pages = sorted(str(page.relative_to(folder)) for page in folder.rglob("*.html") if page.name != "404.html")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", pages
        server.shutdown()
        thread.join()


def test_no_page_is_longer_than_ten_screens(site: tuple[str, list[str]], tmp_path: Path) -> None:
    address, pages = site
    lengths = {}
    with start(lambda: Chromium(tmp_path / "chromium")) as browser:
        tab = browser.tab(width=WIDTH)
        for page in pages:
            tab.open(f"{address}/{page}")
            lengths[page] = round(tab.evaluate("document.documentElement.scrollHeight") / HEIGHT, 1)
    assert len(lengths) > 60
    assert {page: screens for page, screens in lengths.items() if screens > SCREENS} == {}
