"""Google and Microsoft on this machine, for the commands that the manual tells to type: the strict fakes of the sign-in
tests, a browser whose person agrees, and the files that Google's console hands out. The commands stay as they are
shown: where the fakes are stands in the environment, as defaults of the two providers.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import webbrowser
from collections.abc import Iterator
from pathlib import Path

import pytest

from franking.outlook.login import login as microsoft_login
from servers.google import Google
from servers.microsoft import CLIENT, Microsoft
from servers.person import browse
from servers.web import Authority

__all__ = ["ANSWERS", "Internet", "internet"]

CLIENT_FILES = ("client_secret.json", "Downloads/client_secret_1234.json")
ANSWERS = {
    "Done, ": "",
    "Path of the downloaded JSON file": f"~/{CLIENT_FILES[1]}",
    "Application (client) ID": CLIENT,
}
"""What the pages of a registration ask."""


class Internet:
    """The two providers, and what arrived at them."""

    def __init__(self, google: Google, microsoft: Microsoft) -> None:
        self.google, self.microsoft = google, microsoft
        self._authority = google.authority.ca_file
        self._browsers: list[threading.Thread] = []

    @property
    def arrived(self) -> int:
        return len(self.google.messages) + len(self.microsoft.graph.sent)

    def sits_down(self, line: str) -> None:
        """Let the person for whom a line makes an account be the one who is signed in at Microsoft in the browser."""
        if found := re.search(r"franking (?:setup|accounts add) .*?([\w.]+@(?:outlook\.cz|contoso\.com))", line):
            self.microsoft.user = found[1]
            self.microsoft.graph.send_as = {found[1]}

    def open_browser(self, url: str) -> bool:
        if url.startswith(self.microsoft.url):
            act = threading.Thread(target=self.microsoft.browser, args=(url,), daemon=True)
        else:
            act = threading.Thread(target=browse, args=(url, self._authority), daemon=True)
        self._browsers.append(act)
        act.start()
        return True

    def close(self) -> None:
        for browser in self._browsers:
            browser.join(30)


@contextlib.contextmanager
def internet(home: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[Internet]:
    """Start both, and lay the client's file of Google where the manual takes it from."""
    monkeypatch.setitem(microsoft_login.__kwdefaults__, "sleep", lambda _: None)  # between looks at a device code
    with Google(authority) as google, Microsoft(home, authority=authority) as microsoft:
        for name in CLIENT_FILES:
            (home / name).parent.mkdir(exist_ok=True)
            (home / name).write_text(json.dumps(google.client_secrets()), encoding="utf-8")
        for provider, setting, value in (
            ("GMAIL", "API_ENDPOINT", google.url),
            ("GMAIL", "CA_FILE", authority.ca_file),
            ("OUTLOOK", "AUTHORITY", microsoft.authority),
            ("OUTLOOK", "GRAPH_ENDPOINT", microsoft.url),
            ("OUTLOOK", "CA_FILE", authority.ca_file),
        ):
            monkeypatch.setenv(f"FRANKING_{provider}_{setting}", value)
        made = Internet(google, microsoft)
        monkeypatch.setattr(webbrowser, "open", made.open_browser)
        yield made
        made.close()
