"""Signing in from the page: in this browser, by a pasted address, with a device code; on loopback and hosted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from franking.account import editing
from franking.account.account import Account
from franking.account.config import load
from franking.auth.redirect import _PASTES
from franking.auth.secret import Grant
from franking.auth.store import open_store
from franking.registry import provider
from franking.web import SettingsPage
from franking.web.signin import SignIn
from servers.google import Google
from servers.microsoft import CLIENT, Microsoft
from servers.person import browse
from servers.web import Authority
from web.browser import until
from web.conftest import Served


@pytest.fixture
def google(authority: Authority, tmp_path: Path) -> Iterator[Google]:
    """A Google, and an account ``g`` there that nobody has signed in for."""
    with Google(authority) as made:
        file = tmp_path / "client.json"
        file.write_text(json.dumps(made.client_secrets()))
        options: dict[str, Any] = {"client_secrets": str(file), "api_endpoint": made.url, "ca_file": authority.ca_file}
        editing.save(Account(name="g", provider="gmail", sender="me@gmail.com", timeout=10, **options))
        yield made


@pytest.fixture
def microsoft(tmp_path: Path, authority: Authority) -> Iterator[Microsoft]:
    """A Microsoft, and an account ``office`` there that nobody has signed in for."""
    with Microsoft(tmp_path, authority=authority) as made:
        settings = made.settings()
        editing.save(Account(name="office", provider="outlook", sender="jan@contoso.com", **settings))
        yield made


def test_in_this_browser(google: Google, served: Callable[..., Served]) -> None:
    browser = served(account="g").browser()
    page = browser.press("signin")
    assert page.status == 200
    url = unescape(page.id("signin-url")["href"])
    assert url.startswith(google.url) and page.id("signin-url")["rel"] == "noopener noreferrer"
    browse(url, google.authority.ca_file)
    until(browser, "/?account=g", "Signed in as me@gmail.com")
    assert Grant.loads(open_store().load("g") or "").who == "me@gmail.com"
    page = browser.open("/?account=g")
    page = browser.press("test", to="me@example.cz")
    assert page.result["data-outcome"] == "sent"
    assert len(google.messages) == 1
    for secret in google.secrets:
        assert secret not in page.text


def test_without_a_sign_in_a_test_is_red(google: Google, served: Callable[..., Served]) -> None:
    page = served(account="g").browser().press("test", to="me@example.cz")
    assert (page.result["data-outcome"], page.result["data-colour"]) == ("login-required", "red")


def test_by_a_pasted_address(google: Google, served: Callable[..., Served]) -> None:
    browser = served(account="g").browser()
    page = browser.press("signin", way="pasted")
    ended = browse(unescape(page.id("signin-url")["href"]), google.authority.ca_file, stop_at_loopback=True)
    page = browser.press("signin", pasted=ended)
    assert "Signed in as me@gmail.com" in page.text
    assert ended.partition("code=")[2][:12] not in page.text


def test_what_was_pasted_may_be_wrong(google: Google, served: Callable[..., Served]) -> None:
    """It is told why, and the same sign-in takes the right address."""
    browser = served(account="g").browser()
    page = browser.press("signin", way="pasted")
    url = unescape(page.id("signin-url")["href"])
    assert page.id("pasted").get("aria-invalid") is None
    for pasted, why in (
        ("http://127.0.0.1/?state=other&code=abc", "belongs to another sign-in"),
        ("what?", "neither the address that the browser ended at nor a code"),
    ):
        page = browser.press("signin", pasted=pasted)
        assert why in page.id("signin-said-1").text and page.id("pasted")["aria-invalid"] == "true"
        assert unescape(page.id("signin-url")["href"]) == url
    assert open_store().load("g") is None
    ended = browse(url, google.authority.ca_file, stop_at_loopback=True)
    assert "Signed in as me@gmail.com" in browser.press("signin", pasted=ended).text


def test_why_a_paste_was_wrong_is_told_in_czech(google: Google, served: Callable[..., Served]) -> None:
    browser = served(account="g", language="cs").browser()
    browser.press("signin", way="pasted")
    page = browser.press("signin", pasted="what?")
    assert page.id("signin-said-1").text.startswith("To není adresa, na které prohlížeč skončil")


def test_a_paste_that_is_wrong_again_and_again_ends_it(google: Google, served: Callable[..., Served]) -> None:
    browser = served(account="g").browser()
    page = browser.press("signin", way="pasted")
    for _ in range(_PASTES):
        assert page.has("pasted")
        page = browser.press("signin", pasted="what?")
    assert page.root.one(role="alert", data_colour="red")["data-code"] == "login.paste-not-understood"
    assert open_store().load("g") is None


def test_somebody_else_signs_in_and_the_person_decides(google: Google, served: Callable[..., Served]) -> None:
    google.consent = lambda asked: {"user": "jan@novak.cz"}
    browser = served(account="g").browser()
    for answer, kept in (("no", False), ("yes", True)):
        browser.open("/?account=g")
        page = browser.press("signin")
        browse(unescape(page.id("signin-url")["href"]), google.authority.ca_file)
        page = until(browser, "/?account=g", "jan@novak.cz signed in")
        browser.page = page
        target = page.root.all(formaction=f"./?account=g&answer={answer}")[0]["formaction"]
        page = browser.post(target[1:], {**page.form, "action": "signin"})
        until(browser, "/signin?account=g", "Signed in as" if kept else 'data-colour="red"')
        assert (open_store().load("g") is not None) is kept


def test_with_a_code_on_another_device(microsoft: Microsoft, served: Callable[..., Served]) -> None:
    browser = served(account="office").browser()
    page = browser.press("signin", way="device")
    code = page.id("device-code").text
    assert re.fullmatch(r"[A-Z0-9-]{6,12}", code)
    assert page.id("signin-url")["href"].startswith("https://")
    (image,) = page.root.all(tag="img")
    assert image["src"].startswith("data:image/svg+xml") and image["alt"]
    microsoft.approve()
    until(browser, "/signin?account=office", "Signed in as jan@contoso.com")
    assert browser.press("test", to="me@example.cz").result["data-outcome"] == "sent"


def test_an_unsaved_account_is_saved_first(microsoft: Microsoft, served: Callable[..., Served]) -> None:
    browser = served().browser()
    browser.open("/?account=")
    page = browser.press("signin", way="device", provider="outlook", from_="jan@contoso.com", name="new", client_id="")
    assert page.status == 422 and page.id("client-id")["aria-invalid"] == "true"
    assert "new" not in load().names
    defaults = json.dumps({key: value for key, value in microsoft.settings().items() if key != "client_id"})
    path = Path(load().location)
    lines = [f"{key} = {json.dumps(value)}" for key, value in json.loads(defaults).items()]
    path.write_text(path.read_text() + "\n[providers.outlook]\n" + "\n".join(lines) + "\n")
    page = browser.press("signin", way="device", client_id=CLIENT)
    assert page.status == 200 and load().account("new").client_id == CLIENT
    microsoft.approve()
    until(browser, "/signin?account=new", "Signed in as jan@contoso.com")


def test_a_new_sign_in_ends_the_one_before(google: Google, served: Callable[..., Served]) -> None:
    browser = served(account="g").browser()
    browser.press("signin", way="pasted")
    page = browser.press("signin", way="pasted")
    ended = browse(unescape(page.id("signin-url")["href"]), google.authority.ca_file, stop_at_loopback=True)
    assert "Signed in as" in browser.press("signin", pasted=ended).text


def test_nothing_is_kept_of_a_sign_in_that_was_given_up(google: Google) -> None:
    """Its last page may be opened all the same."""
    store = open_store()
    begun = SignIn(load().account("g"), provider("gmail"), store, "browser")
    begun.settle(60)
    begun.give_up()
    browse(begun.url, google.authority.ca_file)
    with begun._changed:
        assert begun._changed.wait_for(lambda: begun.over, 60)
    assert store.load("g") is None


def test_gmail_has_no_device_code(google: Google, served: Callable[..., Served]) -> None:
    assert served(account="g").browser().press("signin", way="device").status == 400


def test_a_hosted_page_never_waits_for_a_browser_of_its_own(google: Google) -> None:
    page = SettingsPage(authorize=lambda request: True)
    assert page.ways == ("device", "pasted")
