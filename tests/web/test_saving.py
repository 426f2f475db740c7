"""Saving and removing: whole or not at all, two tabs, twice pressed, the file by which an application is known."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from franking.account import editing
from franking.account.account import Account
from franking.account.config import load
from franking.auth.store import open_store, save_password
from franking.web import SettingsPage
from franking.web.request import Form, Request
from servers.smtp import SmtpServer
from web.browser import Browser, Page
from web.conftest import Served, settings

CLIENT = {
    "installed": {
        "client_id": "1-x.apps.googleusercontent.com",
        "client_secret": "s3cret",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": "https://oauth2.googleapis.com/token",
        "redirect_uris": ["http://localhost"],
    }
}


@pytest.fixture
def tabs(served: Callable[..., Served]) -> tuple[Browser, Browser]:
    account = Account(name="shop", provider="smtp", sender="info@novak.cz", host="127.0.0.1", username="info@novak.cz")
    editing.save(account)
    save_password(open_store(), account, "old-password")
    one = served(account="shop").browser()
    other = Browser(one.port)
    other.cookies = one.cookies
    other.open("/")
    return one, other


def test_the_second_of_two_tabs_overwrites_nothing(tabs: tuple[Browser, Browser]) -> None:
    one, other = tabs
    assert one.press("save", port="2525").status == 200
    page = other.press("save", port="2626", host="localhost", password="new-password")
    assert page.status == 409
    assert load().account("shop").port == 2525
    assert "old-password" in (open_store().load("shop") or "")
    assert "2525" in page.root.one(tag="table").text and "2626" in page.root.one(tag="table").text
    assert page.form["port"] == "2626"
    assert other.press("save", password="new-password").status == 200  # now it is known
    assert load().account("shop").port == 2626


def test_a_new_account_of_a_name_that_another_tab_took(served: Callable[..., Served], mailbox: SmtpServer) -> None:
    one = served().browser()
    other = Browser(one.port)
    other.cookies = one.cookies
    other.open("/?account=")
    one.open("/?account=")
    assert one.press("save", **settings(mailbox, name="shop")).status == 200
    assert other.press("save", **settings(mailbox, name="shop", port="1")).status == 409
    other.open("/?account=")
    page = other.press("save", **settings(mailbox, name="shop", port="1"))
    assert page.status == 422 and page.id("name")["aria-invalid"] == "true"
    assert load().account("shop").port == mailbox.port


def test_a_save_that_is_posted_twice_is_done_once(browser: Browser, mailbox: SmtpServer) -> None:
    assert browser.page is not None
    fields = {**browser.page.form, **settings(mailbox, name="shop"), "action": "save"}
    assert [browser.post("/", fields).status for _ in range(2)] == [200, 200]
    assert load().names == ("shop",)


def test_saving_needs_no_test_and_a_name_is_made_of_the_address(browser: Browser, mailbox: SmtpServer) -> None:
    assert browser.press("save", **settings(mailbox)).status == 200
    assert load().names == ("novak",)
    browser.open("/?account=")
    assert browser.press("save", **settings(mailbox)).status == 200
    assert load().names == ("novak", "novak-2")


def test_a_name_that_cannot_be_one(browser: Browser, mailbox: SmtpServer) -> None:
    page = browser.press("save", **settings(mailbox, name="../shop"))
    assert page.status == 422 and page.id("name")["aria-invalid"] == "true"


def test_removing_asks_once_more(tabs: tuple[Browser, Browser]) -> None:
    browser, _ = tabs
    assert browser.page is not None
    fields = {**browser.page.form, "action": "remove"}
    pages = [browser.post("/?account=shop", fields) for _ in range(2)]  # a double click is one press
    assert load().names == ("shop",)
    browser.page = pages[0]
    assert browser.press("save").status == 200  # a change of mind
    assert browser.press("remove").status == 200
    assert load().names == ("shop",)
    page = browser.press("remove")
    assert page.status == 200 and "removed" in page.id("said").text
    assert load().names == () and open_store().load("shop") is None


def upload(browser: Browser, data: bytes, **typed: str) -> Page:
    assert browser.page is not None
    fields = {**browser.page.form, "action": "save", **typed}
    boundary = "----x"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in {key.rstrip("_"): value for key, value in fields.items()}.items()
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="client_file"; filename="c.json"\r\n'
    parts.append(f"{head}Content-Type: application/json\r\n\r\n".encode() + data + b"\r\n")
    body = b"".join(parts) + f"--{boundary}--\r\n".encode()
    return browser.ask("POST", "/", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})


def test_the_client_file_is_kept_for_nobody_else(browser: Browser) -> None:
    page = upload(browser, json.dumps(CLIENT).encode(), provider="gmail", from_="me@gmail.com", name="g")
    assert page.status == 200, page.text
    account = load().account("g")
    path = Path(account.client_secrets)
    assert path.parent == Path(load().location).parent
    assert json.loads(path.read_bytes()) == CLIENT
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    browser.open("/?account=g")
    assert "s3cret" not in page.text
    assert browser.press("save", from_="Me <me@gmail.com>").status == 200  # and stays
    assert load().account("g").client_secrets == str(path)


@pytest.mark.parametrize("data", [b"nothing", b"{}", b'{"web": {"client_id": "x"}}'])
def test_a_wrong_client_file_is_said_at_its_field(data: bytes, browser: Browser) -> None:
    page = upload(browser, data, provider="gmail", from_="me@gmail.com", name="g")
    assert page.status == 422
    assert page.id("client-file")["aria-invalid"] == "true"
    assert "/tmp" not in page.id("client-file-error").text
    assert load().names == ()


@pytest.mark.parametrize(("token_uri", "status"), [(None, 200), ("https://evil.example/token", 422)])
def test_a_hosted_page_takes_no_endpoint_from_a_file(token_uri: str | None, status: int) -> None:
    page = SettingsPage(authorize=lambda request: True)
    data = json.loads(json.dumps(CLIENT))
    if token_uri:
        data["installed"]["token_uri"] = token_uri
    seen = Request("GET", "", allowed=True, headers={})
    page.handle(seen)
    visitor = page.visitors.new()
    fields = {"action": "save", "provider": "gmail", "from": "me@gmail.com", "name": "g", "once": "x", "enabled": "on"}
    form = Form({**fields, "csrf": visitor.token}, {"client_file": json.dumps(data).encode()})
    cookie = {"cookie": f"franking-settings={visitor.id}"}
    answer = page.handle(Request("POST", "", headers=cookie, form=lambda: form, allowed=True))
    assert answer.status == status
    assert load().names == (("g",) if status == 200 else ())


def test_a_client_file_that_is_too_large(browser: Browser) -> None:
    assert upload(browser, b" " * (16 * 1024 + 1), provider="gmail", from_="me@gmail.com").status == 413


def test_a_store_that_is_open_to_others_is_told_and_nothing_is_saved(
    tabs: tuple[Browser, Browser], monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, _ = tabs
    Path(open_store().directory).chmod(0o755)
    page = browser.open("/")
    assert "chmod 700" in page.text and page.id("save").get("disabled") is not None


def test_what_cannot_be_written_is_said(browser: Browser, mailbox: SmtpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*values: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(editing, "save", full)
    page = browser.press("save", **settings(mailbox, name="shop"))
    assert page.status == 422 and "No space left" in page.text
