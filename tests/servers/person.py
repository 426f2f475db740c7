"""Somebody at a terminal with a browser, for the tests of sign-ins: follows the address, or pastes what the browser
ended at.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from urllib.parse import urlsplit

import requests

__all__ = ["Person", "browse"]


class Person:
    """A ``LoginUI``. ``browser(url)`` runs in a thread, as a browser does; ``pastes(url)`` gives what is pasted;
    ``says`` answers questions.
    """

    interactive = True
    device = False

    def __init__(
        self,
        browser: Callable[[str], object] | None = None,
        *,
        pastes: Callable[[str], str] | None = None,
        says: bool = True,
    ) -> None:
        self.no_browser = pastes is not None
        self._browser, self._pastes, self._says = browser, pastes, says
        self.shown: list[str] = []
        self.asked: list[str] = []
        self.problems: list[BaseException] = []
        self._threads: list[threading.Thread] = []

    def show(self, text: str) -> None:
        self.shown.append(text)

    def open_url(self, url: str) -> bool:
        if self._browser is None:
            return False

        def run() -> None:
            try:
                assert self._browser is not None
                self._browser(url)
            except BaseException as problem:
                self.problems.append(problem)

        self._threads.append(threading.Thread(target=run, daemon=True))
        self._threads[-1].start()
        return True

    def join(self) -> None:
        """Wait until the browser has its last page."""
        for thread in self._threads:
            thread.join(30)

    def ask(self, question: str, *, hidden: bool = False) -> str:
        self.asked.append(question)
        assert self._pastes is not None, "nobody expected a question"
        return self._pastes(next(word for word in self.shown[-1].split() if word.startswith("https://")))

    def confirm(self, question: str) -> bool:
        self.asked.append(question)
        return self._says


def browse(url: str, ca_file: str, *, stop_at_loopback: bool = False) -> str:
    """Follow a sign-in address as a browser does, favicon included; give the address that it ends at."""
    with requests.Session() as browser:
        browser.trust_env = False
        while True:
            secure = urlsplit(url).scheme == "https"
            if not secure and stop_at_loopback:
                return url
            if not secure:
                browser.get(f"{url.partition('?')[0]}favicon.ico", timeout=20)
            answer = browser.get(url, verify=ca_file if secure else True, allow_redirects=False, timeout=20)
            if answer.status_code not in (302, 303):
                return url
            url = answer.headers["Location"]
