"""The life of an Outlook account at the command line: added, signed in, tested, used, widened; servers on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

import commandline
from franking.outlook import login
from servers.graph import failure
from servers.microsoft import CLIENT, TENANT, Microsoft, Problem
from servers.web import Reply


@pytest.fixture
def microsoft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Microsoft]:
    monkeypatch.setitem(login.login.__kwdefaults__, "sleep", lambda _: None)  # between two polls for a device code
    with Microsoft(tmp_path) as made:
        made.approves = True
        yield made


def franking(*arguments: str, code: int = 0, text: bytes = b"", **environment: str) -> tuple[bytes, str]:
    """Run the program; give what it wrote to stdout and to stderr."""
    done = commandline.franking(*arguments, text=text, env=environment)
    assert done.code == code, done.err
    return done.data, done.err


def answer(*arguments: str, code: int = 0, text: bytes = b"", **environment: str) -> Any:
    return json.loads(franking(*arguments, "--json", code=code, text=text, **environment)[0])


def add(microsoft: Microsoft, *more: str) -> None:
    settings = (
        "--client-id",
        CLIENT,
        "--authority",
        microsoft.authority,
        "--graph-endpoint",
        microsoft.url,
        "--ca-file",
        microsoft.ca.ca_file,
    )
    franking("accounts", "add", "office", "--provider", "outlook", "--from", "Jan <jan@contoso.com>", *settings, *more)


def test_more_than_the_organisation_allows_leaves_the_account_as_it_was(microsoft: Microsoft) -> None:
    """A setting that renewals would ask for, and that nobody has allowed, would end the sign-in that works."""
    add(microsoft)
    franking("login", "office", "--device")
    microsoft.answers = [("/token", Problem("invalid_grant", 90094, "Admin consent is required.").reply())]
    refused = answer("login", "office", "--device", "--large-attachments", code=4)
    assert refused["diagnosis"]["code"] == "microsoft.admin-consent"
    assert "Mail.ReadWrite" in refused["diagnosis"]["cause"]
    assert "large_attachments = false" in franking("accounts", "show", "office")[0].decode()
    assert answer("send-test", "office", "--to", "me@example.cz")["outcome"] == "sent"


def test_from_nothing_to_a_large_message(microsoft: Microsoft, tmp_path: Path) -> None:
    add(microsoft)
    assert answer("send-test", "office", "--to", "me@example.cz", code=4)["outcome"] == "login-required"
    shown = franking("login", "office", "--device")[1]
    assert "CANARYCODE" in shown
    assert "jan@contoso.com" in shown
    (status,) = answer("status", "office")
    assert (status["ok"], status["route"]) == (True, "graph")

    assert answer("check", "office")["outcome"] == "checked"
    report = answer("send-test", "office", "--to", "me@example.cz")
    assert (report["outcome"], report["route"]) == ("sent", "graph")
    assert "not yet delivered" in report["receipt"]["reply"]

    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(6_000_000)
    command = ("send", "office", "--to", "jana@example.cz", "--subject", "x", "--text", "y", "--attach", str(large))
    refused = answer(*command, code=2)
    assert refused["diagnosis"]["code"] == "microsoft.upload-needed"
    assert any("franking login office --large-attachments" in remedy for remedy in refused["diagnosis"]["remedies"])
    franking("login", "office", "--device", "--large-attachments")
    eml, how = franking(*command, "--dry-run")
    assert message_from_bytes(eml)["To"] == "jana@example.cz"
    assert "a draft and 1 uploads" in how
    assert answer(*command)["outcome"] == "sent"
    assert [sent.way for sent in microsoft.graph.sent] == ["mime", "draft"]


@pytest.mark.parametrize(
    ("number", "error", "code", "diagnosis"),
    [
        (53003, "access_denied", 4, "microsoft.conditional-access"),
        (90094, "access_denied", 4, "microsoft.admin-consent"),
        (7000218, "invalid_client", 2, "microsoft.public-client-off"),
        (700016, "unauthorized_client", 2, "microsoft.client-unknown"),
    ],
)
def test_a_sign_in_that_fails_is_explained_as_a_send_is(
    microsoft: Microsoft, number: int, error: str, code: int, diagnosis: str
) -> None:
    add(microsoft)
    microsoft.answers = [("/token", Problem(error, number).reply())]
    told = answer("login", "office", "--device", code=code)
    assert told["diagnosis"]["code"] == diagnosis
    assert f"AADSTS{number}" in told["diagnosis"]["raw"]
    microsoft.answers = [("/token", Problem(error, number).reply())]
    shown = franking("login", "office", "--device", code=code)[1]
    assert "franking login office" in shown  # whatever happened, a command to go on with
    assert f"Seen: AADSTS{number}" in shown and "Correlation" in shown  # what an administrator asks for


@pytest.mark.parametrize(
    "document", [{}, {"device_authorization_endpoint": None}, {"device_authorization_endpoint": ""}]
)
def test_a_sign_in_server_without_device_codes_is_named(microsoft: Microsoft, document: dict[str, Any]) -> None:
    """RFC 8414 §2: an issuer says where it gives out device codes, if it does."""
    add(microsoft)
    base = microsoft.authority
    document |= {
        "issuer": base,
        "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
        "token_endpoint": f"{base}/oauth2/v2.0/token",
    }
    microsoft.answers = [("/openid-configuration", Reply(200, document))] * 2
    told = answer("login", "office", "--device", code=2)
    assert told["diagnosis"]["code"] == "login.no-device"
    assert "localhost" in told["diagnosis"]["cause"]
    shown = franking("login", "office", "--device", code=2)[1]
    assert "franking login office --no-browser" in shown
    assert microsoft.token_requests == []


def test_a_sign_in_says_who_where_and_what_for(microsoft: Microsoft) -> None:
    add(microsoft)
    shown = " ".join(franking("login", "office", "--device")[1].split())
    assert (
        f"Signed in as jan@contoso.com of the directory {TENANT}; may: https://graph.microsoft.com/Mail.Send" in shown
    )
    assert "for the route graph only; the route outlook-smtp would need one of its own" in shown
    (status,) = answer("status", "office")
    assert status["tenant"] == TENANT


def test_somebody_else_may_sign_in_and_it_is_said(microsoft: Microsoft) -> None:
    add(microsoft)
    microsoft.user = "eva@contoso.com"
    for words in (("login", "office", "--device"), ("login", "office", "--device", "--json")):
        assert "eva@contoso.com signed in, but the account sends as jan@contoso.com" in franking(*words)[1]


def test_a_dry_run_says_beforehand_what_a_way_cannot_carry(microsoft: Microsoft, tmp_path: Path) -> None:
    add(microsoft)
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(2_500_000)
    command = (
        "send",
        "office",
        "--to",
        "jana@example.cz",
        "--subject",
        "x",
        "--text",
        "y",
        "--attach",
        str(large),
        "--dry-run",
    )
    assert answer(*command)["how"] == "one request, the message taken apart (JSON)"
    lost = answer(*command, "--header", "List-Id: <x.y>", code=2)
    assert lost["diagnosis"]["code"] == "microsoft.upload-needed"


def test_a_full_mailbox_is_a_refusal_whatever_status_it_comes_with(microsoft: Microsoft) -> None:
    add(microsoft)
    franking("login", "office", "--device")
    for status in (400, 403, 507):
        microsoft.answers = [("/sendMail", failure(status, "ErrorQuotaExceeded", "The mailbox is full."))]
        report = answer("send-test", "office", "--to", "me@example.cz", code=1)
        assert (report["outcome"], report["diagnosis"]["code"]) == ("failed", "microsoft.mailbox-full")


def test_a_daemon_needs_nobody(microsoft: Microsoft) -> None:
    microsoft.secret = "canary~secret-value"
    microsoft.expires_in = 0  # each send asks again
    add(microsoft, "--app-only", "--tenant", TENANT)
    franking("login", "office", "--password-stdin", text=b"canary~secret-value\n")
    assert answer("send-test", "office", "--to", "me@example.cz")["outcome"] == "sent"
    given = answer(
        "send-test",
        "office",
        "--to",
        "me@example.cz",
        FRANKING_SECRET_OFFICE="6f0ab5e5-1c1b-4c1a-9f58-0123456789ab",
        code=2,
    )
    assert given["diagnosis"]["code"] == "microsoft.client-secret-id"


@pytest.mark.parametrize(
    ("error", "number", "code", "diagnosis"),
    [
        ("invalid_grant", 700082, 4, "microsoft.invalid-grant"),
        ("access_denied", 90094, 4, "microsoft.admin-consent"),
        ("temporarily_unavailable", 90033, 5, "server.trouble"),
    ],
)
def test_a_sign_in_that_has_ended_says_what_repairs_it(
    microsoft: Microsoft, error: str, number: int, code: int, diagnosis: str
) -> None:
    microsoft.expires_in = 0  # the next send has to renew
    add(microsoft)
    franking("login", "office", "--device")
    microsoft.answers = [("/token", Problem(error, number).reply())]
    report = answer("send-test", "office", "--to", "me@example.cz", code=code)
    assert report["diagnosis"]["code"] == diagnosis
    assert f"AADSTS{number}" in report["diagnosis"]["raw"]
    if number == 90094:
        assert any("/v2.0/adminconsent?" in remedy for remedy in report["diagnosis"]["remedies"])
