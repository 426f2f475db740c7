"""The page as a person meets it: type, try, mend, try again, save."""

from __future__ import annotations

from franking.account.config import load
from franking.auth.secret import Password
from franking.auth.store import open_store
from servers.smtp import SmtpServer
from web.browser import Browser
from web.conftest import settings


def test_a_test_that_is_sent(browser: Browser, mailbox: SmtpServer) -> None:
    page = browser.press("test", **settings(mailbox))
    assert page.status == 200
    assert (page.result["data-outcome"], page.result["data-colour"]) == ("sent", "green")
    (message,) = mailbox.messages
    assert message.recipients == ["me@example.cz"]
    assert b"Test message from Franking" in message.data
    assert load().names == ()  # nothing was saved
    assert open_store().load("novak") is None


def test_a_mistake_is_named_mended_and_saved(browser: Browser, mailbox: SmtpServer) -> None:
    page = browser.press("test", **settings(mailbox, username="info"))
    assert (page.result["data-outcome"], page.result["data-colour"]) == ("failed", "red")
    assert page.result["data-code"] == "login.refused"
    (remedy, *_) = page.result.one(class_="remedies").all(tag="li")
    assert "info@novak.cz" in remedy.text
    assert "correct-horse" not in page.text
    page = browser.press("test", username="info@novak.cz")  # the password is kept for this form
    assert page.result["data-colour"] == "green"
    page = browser.press("save", name="shop")
    assert page.status == 200
    account = load().account("shop")
    assert (account.username, account.security, str(account.sender)) == (
        "info@novak.cz", "none", "Jan Novák <info@novak.cz>",
    )  # fmt: skip
    assert Password.loads(open_store().load("shop") or "").value == "correct-horse"
