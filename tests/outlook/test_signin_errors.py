"""What a refused sign-in at Microsoft says, and that it says no secret."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from franking import errors
from franking.outlook import login
from outlook.messages import Make
from outlook.test_login import evidence, refused, sign_in
from servers.microsoft import Microsoft, Problem
from servers.web import Reply


@pytest.mark.parametrize("ways", [{}, {"no_browser": True}], ids=["browser", "pasted"])
def test_a_person_who_declines(microsoft: Microsoft, account: Make, ways: dict[str, Any]) -> None:
    microsoft.declines = True
    seen = refused(account(), microsoft, errors.LoginRequired, **ways)
    assert (seen.kind, seen.reason, seen.details["aadsts"]) == ("oauth", "access_denied", [65004])


def test_evidence_holds_what_an_administrator_asks_for(microsoft: Microsoft, account: Make) -> None:
    microsoft.answers = [
        (
            "/token",
            Problem(
                "invalid_grant", 53003, "Blocked by Conditional Access.", "basic_action", extra={"claims": "{}"}
            ).reply(),
        )
    ]
    details = refused(account(), microsoft, errors.LoginRequired).details
    assert details["timestamp"] == "2026-11-21 10:00:00Z"
    assert len(details["correlation_id"]) == len(details["trace_id"]) == 36
    assert (details["suberror"], details["claims"], details["aadsts"]) == ("basic_action", "{}", [53003])


def test_secrets_that_the_server_repeats_are_hidden(microsoft: Microsoft, account: Make) -> None:
    grant = sign_in(account(), microsoft)
    repeated = next(iter(microsoft.refresh_tokens))
    microsoft.answers = [
        ("/token", Reply(400, {"error": "invalid_grant", "error_description": f"AADSTS70000: {repeated} is bad"}))
    ]
    with pytest.raises(errors.LoginRequired) as caught:
        login.refresh(account(), grant, None)
    assert "[hidden] is bad" in evidence(microsoft, caught.value).text


def test_an_id_token_for_another_sign_in(microsoft: Microsoft, account: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    real = microsoft._tokens
    monkeypatch.setattr(microsoft, "_tokens", lambda *args, **more: real(*args, **{**more, "nonce": "another"}))
    assert refused(account(), microsoft, errors.LoginRequired).reason == "nonce-mismatch"


def test_a_tenant_that_does_not_exist(microsoft: Microsoft, account: Make) -> None:
    seen = refused(account(authority=f"{microsoft.url}/nowhere"), microsoft, errors.SettingsError)
    assert seen.reason == "invalid-authority"


def test_a_server_that_cannot_be_reached(microsoft: Microsoft, account: Make) -> None:
    seen = refused(account(authority="https://localhost:9/tenant"), microsoft, errors.ConnectError)
    assert (seen.kind, seen.reason) == ("connect", "refused")


def test_a_certificate_that_cannot_be_trusted(microsoft: Microsoft, account: Make) -> None:
    assert refused(account(ca_file=None), microsoft, errors.TLSError).kind == "tls"


@pytest.mark.parametrize(
    "body",
    [
        b"<html>portal</html>",
        b'{"access_token": "canary-half-of-a-tok',
        b'{"access_token": ["canary"]}',
        b'{"access_token": "canary", "expires_in": "-1"}',
        b'{"access_token": "canary", "expires_in": 100000000000}',
        b"{}",
    ],
)
def test_an_unreadable_answer_is_temporary_and_in_no_log(
    microsoft: Microsoft, account: Make, caplog: pytest.LogCaptureFixture, body: bytes
) -> None:
    microsoft.answers = [("/token", Reply(200, body))]
    with caplog.at_level(logging.DEBUG):
        assert refused(account(), microsoft, errors.ConnectError).reason == "unreadable"
    assert "canary" not in caplog.text


def test_a_portal_that_redirects_the_discovery_is_temporary(microsoft: Microsoft, account: Make) -> None:
    """As in a hotel before one has signed in there; MSAL raises a bare RuntimeError with the whole answer in it."""
    microsoft.answers.append(
        ("openid-configuration", Reply(302, b"canary of the portal", {"Location": "https://portal.example/"}))
    )
    with pytest.raises(errors.ConnectError) as caught:
        sign_in(account(), microsoft)
    assert (caught.value.temporary, evidence(microsoft, caught.value).reason) == (True, "unreadable")
    assert "canary" not in str(caught.value)


def test_without_a_client_id_there_is_no_login(microsoft: Microsoft, account: Make) -> None:
    with pytest.raises(errors.SettingsError, match="client_id"):
        sign_in(account(client_id=None), microsoft)
