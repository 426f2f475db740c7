"""Who may ask: the token in the address, the names of loopback, other sites' pages; and what every answer says to
browsers.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable

import pytest

from franking.auth.store import open_store
from franking.web.local import LocalPage
from servers.smtp import SmtpServer
from web.browser import Browser
from web.conftest import Served, settings

CSP = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


def test_the_token_is_exchanged_once_and_leaves_no_trace(served: Callable[..., Served]) -> None:
    shop = served()
    url = shop.page.url
    token = url.partition("token=")[2]
    first = Browser(shop.port)
    answer = first.ask("GET", url)
    assert (answer.status, answer.headers["refresh"], answer.body) == (200, "0; url=./", b"")
    assert answer.headers["referrer-policy"] == "no-referrer"
    (cookie,) = answer.cookies
    assert re.fullmatch(rf"franking-{shop.port}=[\w-]{{32}}; HttpOnly; SameSite=Strict; Path=/", cookie)
    page = first.open("/")
    assert page.status == 200 and token not in page.text
    assert first.open(url).status == 200  # a reload by who has the cookie
    assert Browser(shop.port).open(url).status == 403
    assert Browser(shop.port).open("/").status == 403
    assert Browser(shop.port).open(f"/?token={token[:-1]}").status == 403


def test_a_token_that_nobody_used_ends_after_five_minutes() -> None:
    now = [0.0]
    from franking.web.request import Request

    page = LocalPage(1, clock=lambda: now[0])
    now[0] = 301.0
    asked = Request("GET", "", {"token": page.url.partition("token=")[2]}, {"host": "127.0.0.1:1"}, allowed=True)
    assert page.handle(asked).status == 403


@pytest.mark.parametrize("name", ["evil.example", "127.0.0.1", "127.0.0.1:1", "[::1]", "127.0.0.1.evil.example"])
def test_rebinding_gets_nothing(name: str, served: Callable[..., Served]) -> None:
    shop = served()
    browser = shop.browser()
    for path in ("/", "/status.json", "/page.js", shop.page.url):
        page = browser.ask("GET", path, headers={"Host": name})
        assert page.status == 403 and "<form" not in page.text


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]"])
def test_the_names_of_loopback(name: str, served: Callable[..., Served]) -> None:
    shop = served()
    assert shop.browser(host=f"{name}:{shop.port}").open("/").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ],
    ids=str,
)
def test_another_site_s_post_is_refused(headers: dict[str, str], browser: Browser, mailbox: SmtpServer) -> None:
    assert browser.press("test", headers=headers, **settings(mailbox)).status == 403
    assert mailbox.sessions == []


@pytest.mark.parametrize("token", ["", "x" * 40, "ž"])
def test_a_form_without_its_token_is_refused(token: str, browser: Browser, mailbox: SmtpServer) -> None:
    assert browser.press("test", csrf=token, **settings(mailbox)).status == 403
    assert mailbox.sessions == []


def test_another_browser_s_token_is_refused(served: Callable[..., Served], mailbox: SmtpServer) -> None:
    shop = served()
    one = shop.browser()
    other = Browser(shop.port)
    other.cookies[f"franking-{shop.port}"] = shop.page.visitors.new().id
    other.open("/")
    assert one.page is not None
    assert other.press("test", csrf=one.page.form["csrf"], **settings(mailbox)).status == 403


@pytest.mark.parametrize("path", ["/", "/style.css", "/page.js", "/status.json", "/nothing", "/recommendation"])
@pytest.mark.parametrize("known", [True, False])
def test_what_every_answer_says(path: str, known: bool, served: Callable[..., Served]) -> None:
    shop = served()
    browser = shop.browser() if known else Browser(shop.port)
    page = browser.ask("GET", path)
    assert page.headers["content-security-policy"] == CSP
    assert page.headers["referrer-policy"] == "same-origin"
    assert page.headers["cross-origin-resource-policy"] == "same-origin"
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["x-content-type-options"] == "nosniff"
    if not known:
        assert page.status == 403


def test_nobody_else_is_asked_and_nothing_is_inline(browser: Browser) -> None:
    page = browser.page
    assert page is not None
    assert not re.search(r"<style|style=|\son\w+=|javascript:", page.text)
    for one in page.root.all(tag="script") + page.root.all(tag="link"):
        assert (one.get("src") or one.get("href") or "").startswith("./")
    for name in ("style.css", "page.js"):
        text = browser.ask("GET", f"/{name}").text
        assert "http" not in text.replace("https://www.w3.org", "") and "@import" not in text and "url(" not in text


def test_page_style_and_script_are_small(browser: Browser) -> None:
    sizes = [len(browser.ask("GET", path).body) for path in ("/", "/style.css", "/page.js")]
    assert sum(sizes) <= 60 * 1024, sizes


@pytest.mark.parametrize("size", [64 * 1024, 3_000_000])
def test_too_much_is_refused(size: int, browser: Browser, mailbox: SmtpServer) -> None:
    assert browser.press("test", **settings(mailbox, auth="x" * size)).status == 413


def test_what_is_no_form_is_refused(browser: Browser) -> None:
    assert browser.page is not None
    for kind, body in (
        ("application/json", b"{}"),
        ("application/x-www-form-urlencoded", b"\xff=\xff"),
        ("multipart/form-data; boundary=x", b"nothing"),
        ("multipart/form-data", b"nothing"),
        ("text/plain", b"csrf=x"),
    ):
        assert browser.ask("POST", "/", body, {"Content-Type": kind}).status == 400, kind
    assert browser.ask("PUT", "/").status == 405
    assert browser.post("/", {**browser.page.form, "action": "explode"}).status == 400
    assert browser.post("/", {**browser.page.form, "action": "save", "once": ""}).status == 400


def test_no_secret_comes_back(
    browser: Browser, mailbox: SmtpServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = "Tr0ub4dor&3<b>"
    mailbox.users["info@novak.cz"] = "other"
    pages = [
        browser.press("test", **settings(mailbox, password=secret)),
        browser.press("test", port="nothing", password=secret),
        browser.press("save", name="shop", password=secret, port=str(mailbox.port)),
        browser.press("test", to="me@example.cz"),
        browser.ask("GET", "/status.json"),
        browser.open("/"),
    ]
    assert secret in (open_store().load("shop") or "").encode().decode("unicode_escape")
    for page in pages:
        for text in (page.text, str(page.headers), str(browser.cookies)):
            assert "Tr0ub4dor" not in text
    seen = capfd.readouterr()
    assert "Tr0ub4dor" not in caplog.text + seen.out + seen.err


def test_nothing_from_a_server_is_html(browser: Browser, smtp_server: Callable[..., SmtpServer]) -> None:
    nasty = "<script>alert(1)</script>"
    server = smtp_server(users={"info@novak.cz": "x"}, refused={"me@example.cz": f"550 5.1.1 {nasty}"})
    page = browser.press("test", **settings(server, password="x", username="info@novak.cz"))
    assert page.result["data-outcome"] == "failed"
    assert nasty not in page.text and "&lt;script&gt;" in page.text
    page = browser.press("test", from_=f'"{nasty}" <info@novak.cz>', host=nasty, name=nasty)
    assert nasty not in page.text


def test_a_silent_connection_is_closed(served: Callable[..., Served], monkeypatch: pytest.MonkeyPatch) -> None:
    from franking_cli import settings_server

    assert settings_server.SILENT_SECONDS == 10
    monkeypatch.setattr(settings_server._Conversation, "timeout", 0.2)
    with socket.create_connection(("127.0.0.1", served().port), timeout=5) as sock:
        sock.sendall(b"GET / HT")
        assert sock.recv(10) == b""


def test_many_at_once_are_told_to_wait(served: Callable[..., Served]) -> None:
    shop = served()
    waiting = [socket.create_connection(("127.0.0.1", shop.port), timeout=5) for _ in range(32)]
    try:
        with socket.create_connection(("127.0.0.1", shop.port), timeout=5) as one_more:
            assert one_more.recv(100).startswith(b"HTTP/1.0 429 ")
    finally:
        for sock in waiting:
            sock.close()
