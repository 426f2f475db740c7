"""What a response of Graph means for the message."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest

import franking
from franking import errors
from outlook.messages import SMALL, Make, Tokens, refusal
from servers.graph import failure
from servers.microsoft import OUTLOOK, Microsoft
from servers.web import CUT, Reply

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize(
    ("reply", "kind", "wait"),
    [
        (
            failure(429, "ApplicationThrottled", "Over its MailboxConcurrency limit.", {"Retry-After": "12"}),
            errors.Throttled,
            12.0,
        ),
        (
            lambda: failure(
                429, "TooManyRequests", "Slow.", {"Retry-After": formatdate(time.time() + 3_000, usegmt=True)}
            ),
            errors.Throttled,
            3_000.0,
        ),
        (failure(503, "serviceNotAvailable", "Later.", {"Retry-After": "5"}), errors.Throttled, 5.0),
        (failure(403, "ErrorExceededMessageLimit", "Too many."), errors.Throttled, None),
        (failure(503, "serviceNotAvailable", "Later."), errors.OutcomeUnknown, None),
        (failure(500, "ErrorInternalServerError", "Oops."), errors.OutcomeUnknown, None),
        (failure(504, "ErrorTimeoutExpired", "Slow."), errors.OutcomeUnknown, None),
        (CUT, errors.OutcomeUnknown, None),
        (failure(403, "ErrorMessageSubmissionBlocked", "Verify."), errors.Refused, None),
        (failure(404, "MailboxNotEnabledForRESTAPI", "Inactive."), errors.Refused, None),
        (Reply(200), errors.Refused, None),
        (Reply(302, headers={"Location": "https://localhost:1/"}), errors.Refused, None),
        (Reply(413, b"<html><h1>Request Entity Too Large</h1></html>"), errors.Refused, None),
    ],
)
def test_only_202_is_success(
    microsoft: Microsoft,
    account: Make,
    tokens: Tokens,
    reply: Reply | Callable[[], Reply],
    kind: type[errors.FrankingError],
    wait: float | None,
) -> None:
    microsoft.answers = [("/sendMail", reply if isinstance(reply, Reply) else reply())]
    error = refusal(account(), SMALL, tokens, microsoft)
    assert type(error) is kind
    assert error.possibly_sent is (kind is errors.OutcomeUnknown)
    if wait is not None:
        assert error.retry_after == pytest.approx(wait, abs=60)
    assert microsoft.server.requests.count("POST /v1.0/me/sendMail") == 1


def test_the_innermost_code_counts_and_support_gets_its_ids(
    microsoft: Microsoft, account: Make, tokens: Tokens
) -> None:
    inner = {
        "code": "ErrorSendAsDenied",
        "request-id": "r-1",
        "client-request-id": "c-1",
        "date": "2026-11-21T10:00:00",
    }
    microsoft.answers = [
        ("/sendMail", Reply(403, {"error": {"code": "accessDenied", "message": "No.", "innerError": inner}}))
    ]
    seen = refusal(account(), SMALL, tokens, microsoft).evidence
    assert seen.reason == "ErrorSendAsDenied"
    assert dict(seen.details) == {"request_id": "r-1", "client_request_id": "c-1", "date": "2026-11-21T10:00:00"}


def test_a_refused_token_is_renewed_once(microsoft: Microsoft, account: Make, tokens: Tokens) -> None:
    microsoft.tokens.clear()
    receipt = franking.send(account(), SMALL, secret=tokens)
    assert (tokens.renewals, receipt.accepted) == (1, ("jana@example.cz",))
    microsoft.tokens.clear()
    report = franking.send_test(account(), "jana@example.cz", secret=tokens)
    assert [(step.name, step.status) for step in report.steps if step.status != "ok"] == [("login", "warning")]
    names = [step.name for step in report.steps]
    assert names[names.index("login") + 1] == "secret", "the steps begin again"
    stale = Tokens(microsoft, "Mail.Send", resource=OUTLOOK)  # a token for SMTP: no renewal helps
    error = refusal(account(), SMALL, stale, microsoft)
    assert isinstance(error, errors.LoginError)
    assert (stale.renewals, error.evidence.code, error.evidence.reason) == (1, 401, "InvalidAuthenticationToken")


def test_a_claims_challenge_is_kept(microsoft: Microsoft, account: Make, tokens: Tokens) -> None:
    challenge = 'Bearer realm="", error="insufficient_claims", claims="eyJhY2Nlc3NfdG9rZW4iOnt9fQ=="'
    reply = failure(401, "InvalidAuthenticationToken", "Continuous access evaluation.", {"WWW-Authenticate": challenge})
    microsoft.answers = [("/sendMail", reply), ("/sendMail", reply)]
    assert refusal(account(), SMALL, tokens, microsoft).evidence.details["claims"] == "eyJhY2Nlc3NfdG9rZW4iOnt9fQ=="


def test_a_token_that_the_server_repeats_is_hidden(microsoft: Microsoft, account: Make, tokens: Tokens) -> None:
    microsoft.answers = [("/sendMail", failure(400, "BadRequest", f"What is {tokens.token}?"))]
    assert "What is [hidden]?" in refusal(account(), SMALL, tokens, microsoft).evidence.text


def test_a_dead_graph_is_found_when_the_session_opens(microsoft: Microsoft, account: Make, tokens: Tokens) -> None:
    steps: list[Any] = []
    report = franking.send_test(
        account(graph_endpoint="https://localhost:9"), to="me@example.cz", secret=tokens, observer=steps.append
    )
    assert (report.ok, report.outcome) == (False, "failed")
    assert [(step.name, step.status) for step in report.steps][-1] == ("connect", "failed")
