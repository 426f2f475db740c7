"""The least consent: what a sign-in asks for, and what is told when only an administrator can allow it."""

from __future__ import annotations

from typing import Any

import pytest

import franking
from franking import errors
from franking.diagnosis.diagnosis import Diagnosis
from franking.outlook import login
from franking.registry import provider
from franking.sending.explain import explain
from outlook.messages import Make
from outlook.test_login import Person, refused, sign_in
from servers.microsoft import CLIENT, GRAPH, TENANT, Microsoft, Problem, query_of

OUTLOOK = provider("outlook")


def told(microsoft: Microsoft, account: franking.Account, **ways: Any) -> Diagnosis:
    with pytest.raises(errors.FrankingError) as caught:
        login.login(account, Person(microsoft, **ways), sleep=lambda seconds: None)
    return explain(caught.value, account, OUTLOOK)


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, {"Mail.Send", "SMTP.Send"}),
        ({"route": "smtp"}, {"Mail.Send", "SMTP.Send"}),
        ({"route": "smtp", "large_attachments": True}, {"Mail.Send", "SMTP.Send"}),
        ({"large_attachments": True}, {"Mail.Send", "Mail.ReadWrite", "SMTP.Send"}),
        ({"mailbox": "info@contoso.com"}, {"Mail.Send", "Mail.Send.Shared", "SMTP.Send"}),
        (
            {"route": "smtp", "mailbox": "info@contoso.com", "large_attachments": True},
            {"Mail.Send", "Mail.Send.Shared", "SMTP.Send"},
        ),
    ],
)
def test_a_sign_in_asks_for_what_the_account_needs_and_no_more(
    microsoft: Microsoft, account: Make, settings: dict[str, Any], names: set[str]
) -> None:
    """Only what reads a mailbox is for administrators; it is asked where Graph carries large messages."""
    person = Person(microsoft)
    login.login(account(**settings), person)
    person.done()
    (opened,) = person.opened
    asked = query_of(opened)["scope"].split()
    assert {scope.rpartition("/")[2] for scope in asked if "/" in scope} == names


def test_an_administrator_has_to_agree(microsoft: Microsoft, account: Make) -> None:
    microsoft.admin_only = {"Mail.Send"}
    seen = refused(account(), microsoft, errors.LoginRequired)
    assert seen.details["aadsts"] == [90094]
    url = seen.details["admin_consent_url"]
    assert url.startswith(f"{microsoft.url}/{TENANT}/v2.0/adminconsent?")
    assert query_of(url) == {"client_id": CLIENT, "scope": f"{GRAPH}/Mail.Send", "redirect_uri": "http://localhost"}


def test_the_text_for_the_administrator_says_what_why_and_where(microsoft: Microsoft, account: Make) -> None:
    microsoft.admin_only = {"Mail.Send"}
    found = told(microsoft, account())
    assert (found.code, found.who) == ("microsoft.admin-consent", "admin")
    assert found.cause.endswith("what the sign-in asked for: Mail.Send.")
    (ready,) = (remedy for remedy in found.remedies if "ready to be sent" in remedy)
    assert ready == found.remedies[0]
    for part in (CLIENT, "Mail.Send", "reads nothing", f"{microsoft.url}/{TENANT}/v2.0/adminconsent?client_id="):
        assert part in ready
    assert "Mail.ReadWrite" not in "\n".join(found.remedies)


@pytest.mark.parametrize("number", [90094, 90093, 90008])
def test_the_permission_at_fault_is_named_and_the_road_that_needs_no_administrator(
    microsoft: Microsoft, account: Make, number: int
) -> None:
    microsoft.answers = [("/token", Problem("invalid_grant", number, "Admin consent is required.").reply())] * 2
    found = told(microsoft, account(large_attachments=True))
    assert found.code == "microsoft.admin-consent"
    assert "Mail.ReadWrite only an administrator may allow" in found.cause
    assert found.remedies[0].startswith("Without an administrator: Mail.ReadWrite is for messages over 3 MB")
    assert "large_attachments" in found.remedies[0]
    assert 'route = "smtp"' in found.remedies[1] and "SMTP.Send" in found.remedies[1]
    assert "ready to be sent" in found.remedies[2] and "adminconsent?" in found.remedies[2]
    assert "could read that mailbox too" in found.remedies[2], "the administrator is not told half of it"


def test_consent_that_is_lacking_is_named(microsoft: Microsoft, account: Make) -> None:
    microsoft.answers = [("/token", Problem("invalid_grant", 65001, "Not consented.").reply())]
    found = told(microsoft, account(large_attachments=True))
    assert found.code == "microsoft.consent-needed"
    assert "Mail.Send, Mail.ReadWrite" in found.cause
    assert 'route = "smtp"' in found.remedies[1]
    assert "adminconsent?" in found.remedies[2]


def test_who_gives_up_at_the_administrators_wall_is_told_of_it(microsoft: Microsoft, account: Make) -> None:
    """Microsoft's page *Need admin approval* leads back as if somebody had declined."""
    microsoft.declines = True
    found = told(microsoft, account())
    assert found.code == "login.cancelled"
    assert "adminconsent?" in found.remedies[-1]


def test_an_app_without_a_user_is_added_by_an_administrator(microsoft: Microsoft, account: Make) -> None:
    shop = account(app_only=True)
    microsoft.answers = [("/token", Problem("invalid_client", 7000229, "Missing service principal.").reply())]
    with pytest.raises(errors.SettingsError) as caught:
        login.refresh(shop, None, "app~secret")
    found = explain(caught.value, shop, OUTLOOK)
    assert found.code == "microsoft.admin-consent"
    assert "application permissions (Mail.Send)" in found.remedies[0]
    assert ".default" in found.remedies[0]


@pytest.mark.parametrize("app_only", [False, True])
def test_a_large_message_is_told_of_smtp_first_and_of_the_permission(
    microsoft: Microsoft, account: Make, app_only: bool
) -> None:
    shop = account(app_only=app_only)
    microsoft.secret = "app~secret" if app_only else None
    secret = microsoft.secret or sign_in(shop, microsoft).dumps()
    message = franking.Message(
        to=["jana@example.cz"],
        subject="x",
        text="y",
        attachments=[franking.Attachment(data=b"\0" * 6_000_000, name="x")],
    )
    with pytest.raises(errors.MessageError) as caught, franking.connect(shop, secret=secret) as mailer:
        mailer.send(message)
    found = caught.value.diagnosis
    assert found is not None and found.code == "microsoft.upload-needed"
    assert "Mail.ReadWrite" in found.cause and "SMTP.Send" in found.cause
    told = "\n".join(found.remedies)
    if app_only:
        assert found.remedies[0].startswith("An administrator adds the application permission Mail.ReadWrite")
        assert "franking login" not in told
    else:
        assert 'route = "smtp"' in found.remedies[0]
        assert "--large-attachments" in found.remedies[1]
    assert "Mail.ReadWrite" in told and "adminconsent?" in told
