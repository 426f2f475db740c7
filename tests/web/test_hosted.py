"""Signing in from a page that an application serves under https: a real server, real TLS, a Google and a Microsoft of
the tests. The person's browser is on another machine than the application: no way leads back but what they carry.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from franking import Account
from franking.auth.secret import Grant
from franking.web import SettingsPage
from servers.google import Google
from servers.microsoft import Microsoft
from servers.person import browse
from servers.web import Authority
from web.browser import Browser, until
from web.test_adapters import Memory, memory_page

WHERE = "/settings/mail/"


@pytest.fixture
def hosted(authority: Authority, tmp_path: Path) -> Iterator[Callable[[SettingsPage], Browser]]:
    """Mount a page in an application, serve that under https, and open a browser on it."""
    uvicorn = pytest.importorskip("uvicorn")
    applications = pytest.importorskip("starlette.applications")
    routing = pytest.importorskip("starlette.routing")
    key, chain = authority.files(tmp_path, "localhost", "127.0.0.1")
    running: list[tuple[Any, threading.Thread]] = []

    def start(page: SettingsPage) -> Browser:
        application = applications.Starlette(routes=[routing.Mount(WHERE.rstrip("/"), page.asgi)])
        server = uvicorn.Server(
            uvicorn.Config(
                application,
                port=0,
                ssl_keyfile=key,
                ssl_certfile=chain,
                ws="none",
                lifespan="off",
                log_config=None,
            )
        )
        begun = threading.Event()
        startup = server.startup

        async def started(sockets: Any = None) -> None:
            await startup(sockets)
            begun.set()

        server.startup = started
        thread = threading.Thread(target=server.run)
        thread.start()
        running.append((server, thread))
        assert begun.wait(60)
        port = server.servers[0].sockets[0].getsockname()[1]
        return Browser(port, tls=ssl.create_default_context(cafile=authority.ca_file))

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(60)


def test_by_a_pasted_address(hosted: Callable[[SettingsPage], Browser], authority: Authority, tmp_path: Path) -> None:
    with Google(authority) as google:
        file = tmp_path / "client.json"
        file.write_text(json.dumps(google.client_secrets()))
        options: dict[str, Any] = {
            "client_secrets": str(file),
            "api_endpoint": google.url,
            "ca_file": authority.ca_file,
        }
        page, kept = memory_page()
        kept.put(Account(name="g", provider="gmail", sender="me@gmail.com", timeout=60, **options))
        browser = hosted(page)
        browser.open(f"{WHERE}?account=g")
        assert [name for name in browser.cookies if name.startswith("__Host-")]
        shown = browser.press("signin", way="pasted")
        url = unescape(shown.id("signin-url")["href"])
        assert url.startswith(google.url)
        ended = browse(url, authority.ca_file, stop_at_loopback=True)
        assert browser.press("signin", pasted="https://elsewhere.example/?code=x&state=y").has("pasted")
        shown = browser.press("signin", pasted=ended)
        assert "Signed in as me@gmail.com" in shown.text
        assert Grant.loads(kept.secrets["g"]).who == "me@gmail.com"
        assert browser.press("test", to="me@example.cz").result["data-outcome"] == "sent"
        assert len(google.messages) == 1
        for secret in google.secrets:
            assert secret not in shown.text


def test_with_a_device_code(hosted: Callable[[SettingsPage], Browser], authority: Authority, tmp_path: Path) -> None:
    with Microsoft(tmp_path, authority=authority) as microsoft:
        page, kept = memory_page()
        kept.put(Account(name="office", provider="outlook", sender="jan@contoso.com", **microsoft.settings()))
        browser = hosted(page)
        browser.open(f"{WHERE}?account=office")
        shown = browser.press("signin")
        assert shown.id("device-code").text and shown.id("signin-url")["href"].startswith("https://")
        microsoft.approve()
        until(browser, f"{WHERE}signin?account=office", "Signed in as jan@contoso.com")
        assert Grant.loads(kept.secrets["office"]).who == "jan@contoso.com"
        assert browser.press("test", to="me@example.cz").result["data-outcome"] == "sent"


def test_another_site_begins_nothing(hosted: Callable[[SettingsPage], Browser], authority: Authority) -> None:
    page, kept = memory_page()
    kept.put(Account(name="g", provider="gmail", sender="me@gmail.com"))
    browser = hosted(page)
    browser.open(f"{WHERE}?account=g")
    for origin in ("https://evil.example", f"http://{browser.host}"):
        answer = browser.press("signin", headers={"Origin": origin, "Sec-Fetch-Site": "cross-site"})
        assert answer.status == 403
    assert isinstance(kept, Memory) and not kept.secrets
