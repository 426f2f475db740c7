"""The documentation as a site in a real browser: no page is longer than somebody reads or wider than a telephone, and
its search finds an error.
"""

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
WIDTH, HEIGHT, NARROW = 1280, 900, 390
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


@pytest.mark.timeout(600)  # two looks at each of some seventy pages
def test_no_page_is_longer_than_ten_screens_or_wider_than_a_telephone(
    site: tuple[str, list[str]], tmp_path: Path
) -> None:
    address, pages = site
    assert len(pages) > 60
    found = {}
    with start(lambda: Chromium(tmp_path / "chromium")) as browser:
        tab = browser.tab(width=WIDTH)
        for page in pages:
            tab.look(WIDTH)
            tab.open(f"{address}/{page}")
            length = round(tab.evaluate("document.documentElement.scrollHeight") / HEIGHT, 1)
            tab.look(NARROW)
            found[page] = length, tab.evaluate("document.documentElement.scrollWidth")
    assert {page: size for page, size in found.items() if size[0] > SCREENS or size[1] > NARROW} == {}


FOUND = {
    "535 5.7.139": "what-servers-say-microsoft",
    "AADSTS65001": "troubleshooting",
    "invalid_grant": "troubleshooting",
    "Sender address rejected: not owned by user": "what-servers-say-sender",
    "certificate verify failed": "troubleshooting-encryption",
}
"""What somebody pastes into the search, and the page that is the first to be found."""


def test_the_search_finds_an_error(site: tuple[str, list[str]], tmp_path: Path) -> None:
    address, _ = site
    with start(lambda: Chromium(tmp_path / "chromium")) as browser:
        for text, page in FOUND.items():
            tab = browser.tab(width=WIDTH)
            tab.open(f"{address}/index.html")
            tab.evaluate("document.querySelector('input.md-search__input').focus()")
            tab.ask("Input.insertText", text=text)
            first = tab.until("(document.querySelector('a.md-search-result__link') || {}).pathname")
            assert first.strip("/") == page, text
