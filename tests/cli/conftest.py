"""What tests of several commands share: the command line in this process, an account, a server of Google's kind."""

from __future__ import annotations

import json
import threading
import webbrowser
from collections.abc import Iterator
from pathlib import Path

import pytest

import commandline
from auth.cheap import cheap_keys
from commandline import Ended, Franking
from servers.google import Google
from servers.person import browse
from servers.web import Authority

SHOP = ("shop", "--from", "Jan Novák <info@novak.cz>", "--host", "smtp.novak.cz", "--username", "info@novak.cz")


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    cheap_keys(monkeypatch)


@pytest.fixture
def franking() -> Franking:
    """Run ``franking`` in this process; it never shows a traceback."""

    def act(*arguments: str, stdin: str = "") -> Ended:
        ended = commandline.franking(*arguments, text=stdin.encode())
        assert "Traceback" not in ended.out + ended.err
        return ended

    return act


@pytest.fixture
def shop(franking: Franking) -> None:
    assert franking("accounts", "add", *SHOP).code == 0


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def google(
    authority: Authority, franking: Franking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Google]:
    """A Google on loopback, an account ``g`` there, and a browser whose person agrees to everything."""
    threads: list[threading.Thread] = []

    def open_browser(url: str) -> bool:
        threads.append(threading.Thread(target=browse, args=(url, authority.ca_file)))
        threads[-1].start()
        return True

    monkeypatch.setattr(webbrowser, "open", open_browser)
    with Google(authority) as made:
        file = tmp_path / "client_secret.json"
        file.write_text(json.dumps(made.client_secrets()))
        flags = (
            "--client-secrets",
            str(file),
            "--api-endpoint",
            made.url,
            "--ca-file",
            authority.ca_file,
            "--timeout",
            "10",
        )
        assert franking("accounts", "add", "g", "--provider", "gmail", "--from", "me@gmail.com", *flags).code == 0
        yield made
        for thread in threads:
            thread.join()
