"""The test on the page: told as it goes, sent once however often it is posted, one at a time."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from urllib.parse import urlencode

import pytest

from franking.web import testrun
from servers.smtp import Fault, SmtpServer, hangs_up, silence, wait_until
from web.browser import Browser
from web.conftest import Served, settings


class Held:
    """A server's act that waits until somebody lets it go on."""

    def __init__(self) -> None:
        self.here, self.go = threading.Event(), threading.Event()

    def __call__(self, peer: object, reply: str) -> None:
        self.here.set()
        assert self.go.wait(20)
        peer.reply(reply)  # type: ignore[attr-defined]


@pytest.fixture
def held(smtp_server: Callable[..., SmtpServer]) -> tuple[SmtpServer, Held]:
    act = Held()
    return smtp_server(users={"info@novak.cz": "correct-horse"}, faults=[Fault("body", act, executed=True)]), act


def raw_post(browser: Browser, fields: dict[str, str], **headers: str) -> http.client.HTTPResponse:
    """Post and return the answer while it is still coming."""
    connection = http.client.HTTPConnection("127.0.0.1", browser.port, timeout=20)
    sent = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items()),
        **headers,
    }
    connection.request("POST", "/", urlencode(fields).encode(), sent)
    return connection.getresponse()


def test_the_steps_come_as_they_happen_without_a_script(browser: Browser, held: tuple[SmtpServer, Held]) -> None:
    server, act = held
    assert browser.page is not None
    answer = raw_post(browser, {**browser.page.form, **settings(server), "action": "test"})
    text = b""
    while b'data-step="message"' not in text:
        text += answer.read1(65536)
    assert act.here.wait(10)
    assert b'id="progress"' in text and b'data-step="login" data-status="ok"' in text
    assert b'id="result"' not in text
    status = browser.ask("GET", "/status.json").json
    assert status["outcome"] is None and status["account"] == "novak"
    act.go.set()
    text += answer.read()
    assert text.count(b'id="result"') == 1
    assert text.index(b'id="progress"') < text.index(b'id="result"')
    assert b'data-outcome="sent"' in text
    status = browser.ask("GET", "/status.json").json
    assert (status["outcome"], status["ok"]) == ("sent", True)


def test_the_script_gets_a_line_for_each(browser: Browser, mailbox: SmtpServer) -> None:
    assert browser.page is not None
    fields = {**browser.page.form, **settings(mailbox), "action": "test"}
    page = browser.post("/", fields, headers={"X-Franking": "steps"})
    once, *steps, result = page.text.splitlines()
    assert 'name="once"' in once and fields["once"] not in once
    assert [line.startswith("<li data-step=") for line in steps] == [True] * len(steps)
    assert 'data-status="running"' in steps[0] or 'data-step="settings"' in steps[0]
    assert result.startswith("<section") and 'data-outcome="sent"' in result


def test_before_the_first_there_is_none(browser: Browser) -> None:
    assert browser.ask("GET", "/status.json").json is None
    assert browser.page is not None
    result = browser.page.result
    assert result.get("data-outcome") is None and result["aria-busy"] == "false"


def test_the_report_is_in_english_whatever_the_page_speaks(served: Callable[..., Served], mailbox: SmtpServer) -> None:
    browser = served(language="cs").browser()
    browser.press("test", **settings(mailbox, password="wrong"))
    report = browser.ask("GET", "/status.json").json
    assert report["diagnosis"]["title"] == "The server refused the login" and report["outcome"] == "failed"
    page = browser.press("test", **settings(mailbox))
    told = page.result.one(data_step="message").one(tag="span", class_="detail").text
    assert told.endswith("pro 1 příjemce"), told


@pytest.mark.parametrize("times", [2, 5])
def test_a_form_posted_again_sends_nothing_and_shows_the_first_result(
    times: int, browser: Browser, mailbox: SmtpServer
) -> None:
    assert browser.page is not None
    fields = {**browser.page.form, **settings(mailbox), "action": "test"}
    pages = [browser.post("/", fields) for _ in range(times)]
    assert [page.result["data-outcome"] for page in pages] == ["sent"] * times
    assert len(mailbox.messages) == 1


def test_a_double_click_shows_the_first_one_s_progress(browser: Browser, held: tuple[SmtpServer, Held]) -> None:
    server, act = held
    assert browser.page is not None
    fields = {**browser.page.form, **settings(server), "action": "test"}
    answers = [raw_post(browser, fields) for _ in range(2)]
    assert act.here.wait(10)
    act.go.set()
    for answer in answers:
        assert answer.status == 200 and b'data-outcome="sent"' in answer.read()
    assert len(server.messages) == 1


def test_another_tab_waits_and_a_closed_page_finds_its_result(browser: Browser, held: tuple[SmtpServer, Held]) -> None:
    server, act = held
    browser.press("save", **settings(server, name="shop"))
    assert browser.page is not None
    fields = {**browser.page.form, "action": "test", "to": "me@example.cz"}
    other = Browser(browser.port)
    other.cookies = browser.cookies
    other.open("/")
    answer = raw_post(browser, fields)
    assert act.here.wait(10)
    answer.close()  # the page is closed
    page = other.press("test", to="me@example.cz")
    assert page.status == 429 and int(page.headers["retry-after"]) > 0
    act.go.set()
    wait_until(lambda: browser.ask("GET", "/status.json").json["outcome"])
    page = browser.open("/?account=shop")
    assert page.result["data-outcome"] == "sent"
    assert page.form["to"] == "me@example.cz"
    assert len(server.messages) == 1


def test_ten_tests_a_minute(browser: Browser, mailbox: SmtpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(10):
        assert browser.press("test", **settings(mailbox)).status == 200
    page = browser.press("test", **settings(mailbox))
    assert page.status == 429 and 0 < int(page.headers["retry-after"]) <= 60
    assert len(mailbox.messages) == 10


def test_what_may_have_been_sent_is_grey(browser: Browser, smtp_server: Callable[..., SmtpServer]) -> None:
    server = smtp_server(users={"info@novak.cz": "correct-horse"}, faults=[Fault("body", hangs_up)])
    page = browser.press("test", **settings(server))
    assert (page.result["data-outcome"], page.result["data-colour"]) == ("unknown", "grey")
    assert browser.ask("GET", "/status.json").json["message_id"] in page.result.text
    assert "Test message from Franking" in page.result.text


def test_the_page_waits_a_minute_unless_the_account_says_otherwise(
    browser: Browser, smtp_server: Callable[..., SmtpServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert testrun.FINAL_SECONDS == 60
    monkeypatch.setattr(testrun, "FINAL_SECONDS", 0.3)
    server = smtp_server(users={"info@novak.cz": "correct-horse"}, faults=[Fault("body", silence)])
    assert browser.press("test", **settings(server)).result["data-outcome"] == "unknown"


def test_a_mistake_of_ours_is_told_and_logged(
    browser: Browser, mailbox: SmtpServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*values: object, **options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(testrun, "send_test", broken)
    page = browser.press("test", **settings(mailbox))
    assert (page.result["data-outcome"], page.result["data-code"]) == ("failed", "bug")
    assert "ZeroDivisionError" in caplog.text


def test_what_is_for_support_holds_everything_but_secrets(browser: Browser, mailbox: SmtpServer) -> None:
    page = browser.press("test", **settings(mailbox, password="wrong-secret"))
    text = page.id("support").text
    assert "login.refused" in text and "535" in text and "Franking" in text
    assert "wrong-secret" not in text
    assert page.id("copy").get("hidden") is not None  # only a script can copy
