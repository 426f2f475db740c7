"""The form: what other programs rely on, what is wrong is said at the field, and what it never carries."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from franking.account import editing
from franking.account.account import Account
from franking.account.config import load
from franking.auth.store import open_store, save_password
from franking.discovery.recommend import Recommendation, recommend
from servers.smtp import SmtpServer
from web.browser import Browser
from web.conftest import Served, settings


def shop(host: str = "127.0.0.1", **more: object) -> Account:
    account = Account(
        name="shop",
        provider="smtp",
        sender="Jan Novák <info@novak.cz>",
        **{"host": host, "port": 2525, "security": "none", "username": "info@novak.cz", **more},
    )
    editing.save(account, replace=True)
    return load().account("shop")


def test_the_elements_that_other_programs_rely_on(browser: Browser) -> None:
    page = browser.page
    assert page is not None
    names = """account enabled name method recommendation from host port security authentication username password
        client-file signin to test save result"""
    assert [name for name in names.split() if not page.has(name)] == []
    assert page.id("enabled")["role"] == "switch"
    assert page.id("method").tag == "fieldset"
    assert [one["value"] for one in page.id("method").all(name="provider")] == ["smtp", "gmail", "outlook"]
    assert page.id("security").tag == "select"
    assert [one["value"] for one in page.id("security").all(tag="option")] == ["tls", "starttls", "none"]
    assert page.id("password")["autocomplete"] == "new-password"
    assert page.id("username")["autocomplete"] == "off"
    form = next(one for one in page.root.all(tag="form"))
    assert form.get("novalidate") is not None
    assert form["method"] == "post" and form["action"].startswith("./")
    fields = """provider from host port security username auth timeout route client_id tenant mailbox large_attachments
        save_to_sent rewrite_from password name authentication enabled client_file to csrf once"""
    there = {one.get("name") for one in form.all()} - {None}
    assert set(fields.split()) == there - {"action"}
    assert {one["hreflang"] for one in page.root.all(tag="a") if one.get("hreflang")} == {"en", "cs"}
    for one in form.all(tag="input"):  # each has a label or is hidden
        assert one.get("type") == "hidden" or form.all(tag="label", for_=one["id"])
        if one.get("type") is None:
            assert one.get("inputmode"), one["id"]


def test_a_saved_account_is_shown(served: Callable[..., Served]) -> None:
    shop(timeout=12, password_command="pass show shop")
    page = served(account="shop").browser().page
    assert page is not None
    shown = page.form
    assert shown["from"] == "Jan Novák <info@novak.cz>"
    assert (shown["host"], shown["port"], shown["security"], shown["timeout"]) == ("127.0.0.1", "2525", "none", "12")
    assert not page.has("name") and page.has("remove")
    assert "pass …" in page.text and "show shop" not in page.text  # who knows what stands in arguments
    assert page.id("password").get("disabled") is not None


def test_an_unknown_account_is_a_new_one_of_that_name(served: Callable[..., Served]) -> None:
    page = served(account="office").browser().page
    assert page is not None
    assert page.id("name")["value"] == "office"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("from", ""),
        ("from", "nobody"),
        ("host", ""),
        ("port", "smtp"),
        ("port", "70000"),
        ("username", ""),
        ("timeout", "soon"),
        ("to", ""),
        ("to", "me@"),
        ("password", ""),
    ],
)
@pytest.mark.parametrize("language", ["en", "cs"])
def test_what_is_wrong_is_said_at_the_field(
    field: str, value: str, language: str, served: Callable[..., Served], mailbox: SmtpServer
) -> None:
    browser = served(language=language).browser()
    page = browser.press("test", **settings(mailbox, **{field: value}))
    assert page.status == 422
    assert page.id(field)["aria-invalid"] == "true"
    error = page.id(f"{field}-error")
    assert error["id"] in page.id(field)["aria-describedby"].split()
    assert page.id(field).get("autofocus") is not None
    assert error.text and "!r" not in error.text
    assert page.form[field] == (value if field != "password" else "")
    assert mailbox.sessions == []
    assert page.root.one(tag="html")["lang"] == language


def test_blanks_around_a_value_are_taken_off_and_said(browser: Browser, mailbox: SmtpServer) -> None:
    typed = settings(
        mailbox, host=" 127.0.0.1\u200b", port=f"{mailbox.port} ", username="\u00a0info@novak.cz ", to=" me@example.cz"
    )
    page = browser.press("test", **typed)
    assert page.result["data-outcome"] == "sent"
    assert page.form["host"] == "127.0.0.1" and page.form["username"] == "info@novak.cz"
    for field in ("host", "port", "username", "to"):
        assert "blank" in page.id(f"{field}-note").text


def test_blanks_in_a_password_are_kept_and_warned_about(browser: Browser, mailbox: SmtpServer) -> None:
    page = browser.press("test", **settings(mailbox, password="correct-horse "))
    assert page.result["data-code"] == "login.refused"
    first, *_ = page.result.one(class_="remedies").all(tag="li")
    assert "blank" in first.text
    assert "password" in [one["href"].removeprefix("#") for one in page.result.all(tag="a")]


def test_a_contradiction_is_a_warning_with_the_likely_value(browser: Browser, mailbox: SmtpServer) -> None:
    page = browser.press("save", **settings(mailbox, name="shop", security="tls", port="587"))
    assert page.status == 200
    assert page.id("port-note").text.endswith("port 587 usually goes with TLS (STARTTLS).")
    assert load().account("shop").port == 587  # nobody changed it


def test_an_empty_port_goes_with_the_security(browser: Browser, mailbox: SmtpServer) -> None:
    assert browser.press("save", **settings(mailbox, name="shop", security="tls", port="")).status == 200
    assert load().account("shop").port == 465


def test_without_authentication_no_name_is_kept(browser: Browser, smtp_server: Callable[..., SmtpServer]) -> None:
    server = smtp_server()
    page = browser.press("test", **{**settings(server), "authentication": None})  # type: ignore[arg-type]
    assert page.result["data-outcome"] == "sent"
    page = browser.press("save", name="shop")
    assert load().account("shop").username is None
    assert open_store().load("shop") is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("password_command", "touch /tmp/owned"),
        ("password_file", "/etc/passwd"),
        ("api_endpoint", "https://evil.example"),
        ("client_secrets", "/etc/passwd"),
        ("fallback", "other"),
        ("path", "/tmp"),
        ("authority", "https://evil.example/x"),
    ],
)
def test_a_key_that_no_form_may_carry_is_refused(key: str, value: str, browser: Browser, mailbox: SmtpServer) -> None:
    page = browser.press("save", **settings(mailbox, name="shop", **{key: value}))
    assert page.status == 400
    assert load().names == ()


def test_the_provider_file_is_refused(browser: Browser, mailbox: SmtpServer) -> None:
    assert browser.press("test", **settings(mailbox, provider="file")).status == 400


def test_what_the_form_does_not_show_is_kept(served: Callable[..., Served]) -> None:
    shop(ehlo_name="mail.novak.cz", without=["chunking"], queue=True, final_timeout=90)
    browser = served(account="shop").browser()
    assert browser.press("save", port="2526").status == 200
    account = load().account("shop")
    assert (account.port, account.ehlo_name, account.without, account.queue) == (
        2526,
        "mail.novak.cz",
        ("chunking",),
        True,
    )


def test_switching_the_provider_keeps_what_all_have(served: Callable[..., Served]) -> None:
    shop(ehlo_name="mail.novak.cz", queue=True)
    browser = served(account="shop").browser()
    assert browser.press("save", provider="outlook", client_id="11111111-2222-3333-4444-555555555555").status == 200
    account = load().account("shop")
    assert account.provider == "outlook" and account.queue is True
    assert account.client_id == "11111111-2222-3333-4444-555555555555"


def test_what_the_environment_fixes_is_disabled(
    served: Callable[..., Served], monkeypatch: pytest.MonkeyPatch, mailbox: SmtpServer
) -> None:
    monkeypatch.setenv("FRANKING_SMTP_HOST", "127.0.0.1")
    monkeypatch.setenv("FRANKING_SECRET_SHOP", "correct-horse")
    browser = served(account="shop").browser()
    assert browser.page is not None
    host = browser.page.id("host")
    assert host.get("disabled") is not None and host["data-source"] == "FRANKING_SMTP_HOST"
    assert host["value"] == "127.0.0.1"
    typed = {key: value for key, value in settings(mailbox).items() if key != "host"}
    assert browser.press("save", **{**typed, "password": ""}).status == 200
    assert "host" not in load().tables["shop"]
    assert browser.page.id("password")["data-source"] == "FRANKING_SECRET_SHOP"
    assert browser.press("test", to="me@example.cz").result["data-outcome"] == "sent"


def test_a_kept_password_goes_only_where_it_was_stored_for(served: Callable[..., Served], mailbox: SmtpServer) -> None:
    save_password(open_store(), shop(port=mailbox.port), "correct-horse")
    browser = served(account="shop").browser()
    assert browser.page is not None
    assert browser.page.id("password")["value"] == ""
    assert "data-kept" in browser.page.text
    assert browser.press("test", to="me@example.cz").result["data-outcome"] == "sent"
    for action in ("test", "save"):
        page = browser.press(action, host="localhost", to="me@example.cz")
        assert page.status == 422
        assert "another server" in page.id("password-error").text
    assert len(mailbox.messages) == 1
    assert browser.press("save", host="localhost", password="correct-horse").status == 200
    assert browser.press("test", to="me@example.cz").result["data-outcome"] == "sent"


def test_a_typed_password_too_goes_only_where_it_was_typed_for(browser: Browser, mailbox: SmtpServer) -> None:
    assert browser.press("test", **settings(mailbox, username="info")).result["data-colour"] == "red"
    page = browser.press("test", host="localhost")
    assert page.status == 422 and page.id("password")["aria-invalid"] == "true"
    assert browser.press("test", host="localhost", password="correct-horse", username="info@novak.cz").status == 200
    assert len(mailbox.messages) == 1


def test_a_switched_off_account_is_red_and_says_so(browser: Browser, mailbox: SmtpServer) -> None:
    page = browser.press("test", **{**settings(mailbox), "enabled": None})  # type: ignore[arg-type]
    assert (page.result["data-colour"], page.result["data-code"]) == ("red", "account.disabled")
    first, *_ = page.result.one(class_="remedies").all(tag="li")
    assert "Switch it on" in first.text
    assert mailbox.sessions == []


def test_a_recommendation_is_shown_and_taken_over_only_when_asked(browser: Browser) -> None:
    page = browser.press("save", from_="me@gmail.com", host="smtp.gmail.com", username="me@gmail.com", name="g")
    assert "Gmail" in page.id("recommendation").text
    assert load().account("g").provider == "smtp"
    page = browser.press("use-recommendation")
    assert page.form["provider"] == "gmail"
    assert load().account("g").provider == "smtp"  # nothing was saved


def test_a_recommendation_for_an_address_fills_the_server_in(browser: Browser) -> None:
    page = browser.press("use-recommendation", from_="Jan <jan@seznam.cz>")
    assert (page.form["host"], page.form["port"], page.form["security"]) == ("smtp.seznam.cz", "465", "tls")
    assert page.form["username"] == "jan@seznam.cz"
    assert load().names == ()
    page = browser.ask("GET", "/recommendation?from=jan%40seznam.cz&provider=smtp&host=&account=")
    assert page.status == 200 and "Seznam" in page.text


def test_names_are_looked_up_for_two_seconds_and_never_for_the_first_page(
    served: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    waited: list[tuple[str, float]] = []

    def slow(text: str, *, offline: bool, timeout: float, language: str) -> Recommendation:
        if not offline:
            waited.append((text, timeout))
            now[0] += 1.5
        return recommend(text, offline=True, language=language)

    monkeypatch.setattr("franking.web.recommending.recommend", slow)
    monkeypatch.setattr("franking.web.recommending.monotonic", lambda: now[0])
    shop("mail.unknown.example")
    browser = served(account="shop").browser()
    assert waited == []
    assert "Nothing is known" in browser.press("use-recommendation").text
    assert waited == [("mail.unknown.example", 2.0), ("info@novak.cz", 0.5)]


def test_a_recommendation_in_czech(served: Callable[..., Served]) -> None:
    page = served(language="cs").browser().press("use-recommendation", from_="jan@seznam.cz")
    assert "k odesílání slouží server smtp.seznam.cz" in page.id("said").text


def test_a_file_that_others_may_write_to_is_told_and_only_the_test_works(
    served: Callable[..., Served], mailbox: SmtpServer
) -> None:
    shop(port=mailbox.port)
    path = Path(load().location)
    path.chmod(0o666)
    browser = served(account="shop").browser()
    assert browser.page is not None
    assert "chmod go-w" in browser.page.text
    assert browser.page.id("save").get("disabled") is not None
    page = browser.press("test", **settings(mailbox))
    assert page.result["data-outcome"] == "sent"
    before = path.read_text()
    assert browser.press("save", port="1", password="x").status == 422
    assert path.read_text() == before


def test_a_broken_file_is_told(served: Callable[..., Served], mailbox: SmtpServer) -> None:
    path = Path(load().location)
    path.parent.mkdir(exist_ok=True)
    path.write_text("[accounts.shop\n")
    browser = served().browser()
    assert browser.page is not None
    assert "line 1" in browser.page.text and browser.page.id("save").get("disabled") is not None
    assert browser.press("test", **settings(mailbox)).result["data-outcome"] == "sent"
