"""What a response of Gmail means for the message, and the resumable protocol: nothing is lost or doubled by a break."""

from __future__ import annotations

import os
import threading
from email import message_from_bytes, policy
from email.utils import formatdate
from typing import Any

import pytest

import franking
from franking.account.account import Account
from franking.auth.secret import Password
from franking.errors import (
    ConnectError,
    FrankingError,
    LoginError,
    OutcomeUnknown,
    Refused,
    Throttled,
)
from franking.gmail import send
from franking.net import upload
from franking.provider import Session, silent
from gmail.messages import large, post, prepared
from servers import google as faults
from servers.google import UPLOAD, Google, api_error
from servers.web import CUT, Reply, Request

# -- what an answer means --------------------------------------------------------------------------------------------

DOCUMENTED: dict[str, tuple[Reply, type[FrankingError], str | None]] = {
    "401": (api_error(401, "authError", "Invalid Credentials"), LoginError, "authError"),
    "403 scope": (
        api_error(
            403,
            "insufficientPermissions",
            "Request had insufficient authentication scopes.",
            info="ACCESS_TOKEN_SCOPE_INSUFFICIENT",
        ),
        Refused,
        "insufficientPermissions",
    ),
    "403 API off": (
        api_error(
            403,
            "accessNotConfigured",
            "Gmail API has not been used in project 1 before or it is disabled.",
            info="SERVICE_DISABLED",
        ),
        Refused,
        "accessNotConfigured",
    ),
    "403 project rate": (api_error(403, "rateLimitExceeded", "Rate Limit Exceeded"), Throttled, "rateLimitExceeded"),
    "403 user rate": (
        api_error(403, "userRateLimitExceeded", "User Rate Limit Exceeded"),
        Throttled,
        "userRateLimitExceeded",
    ),
    "403 day": (api_error(403, "dailyLimitExceeded", "Daily Limit Exceeded"), Throttled, "dailyLimitExceeded"),
    "403 domain": (
        api_error(403, "domainPolicy", "The domain administrators have disabled Gmail apps."),
        Refused,
        "domainPolicy",
    ),
    "403 delegation": (api_error(403, "forbidden", "Delegation denied for me@gmail.com"), Refused, "forbidden"),
    "429": (
        api_error(429, "rateLimitExceeded", "Too many concurrent requests for user"),
        Throttled,
        "rateLimitExceeded",
    ),
    "400 no Gmail": (api_error(400, "failedPrecondition", "Mail service not enabled"), Refused, "failedPrecondition"),
    "400 header": (api_error(400, "invalidArgument", "Invalid To header"), Refused, "invalidArgument"),
    "413": (Reply(413, b"Request Entity Too Large"), Refused, None),
    "404": (Reply(404, b"<html><title>Error 404</title></html>", {"Content-Type": "text/html"}), Refused, None),
    "302": (Reply(302, b"", {"Location": "https://localhost:1/elsewhere"}), Refused, None),
    "503 with a time": (
        api_error(503, "backendError", "Try later", headers={"Retry-After": "120"}),
        Throttled,
        "backendError",
    ),
    "500": (api_error(500, "backendError", "Backend Error"), OutcomeUnknown, "backendError"),
    "502": (Reply(502, b"<html><h1>502</h1>That's an error.</html>"), OutcomeUnknown, None),
    "503": (api_error(503, "backendError", "Backend Error"), OutcomeUnknown, "backendError"),
    "504": (Reply(504, b""), OutcomeUnknown, None),
    "200 of a stranger": (Reply(200, b"<html>Welcome to the hotel</html>"), OutcomeUnknown, "unreadable-answer"),
    "200 without id": (Reply(200, {}), OutcomeUnknown, "unreadable-answer"),
    "200 empty": (Reply(200, b""), OutcomeUnknown, "unreadable-answer"),
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_documented_answers(google: Google, session: Session, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    reply, kind, reason = DOCUMENTED[name]
    google.faults.append(faults.answer(reply))
    with pytest.raises(FrankingError) as caught:
        post(session)
    error = caught.value
    assert type(error) is kind
    assert error.evidence is not None
    assert (error.evidence.kind, error.evidence.code, error.evidence.reason) == ("http", reply.status, reason)
    assert error.possibly_sent == (kind is OutcomeUnknown)
    assert google.requests == [f"POST {UPLOAD}"], "one attempt"
    assert google.messages == []
    if isinstance(reply.body, dict) and reply.body:
        assert reply.body["error"]["message"] in str(error)
    assert "<" not in str(error)
    assert capfd.readouterr() == ("", "")
    if isinstance(error, LoginError):
        assert error.token_refused
    if "SERVICE_DISABLED" in str(reply.body):
        assert error.evidence.details["info"] == "SERVICE_DISABLED"


@pytest.mark.parametrize(
    ("reply", "low", "high"),
    [
        (api_error(429, "rateLimitExceeded", "x", headers={"Retry-After": "30"}), 30, 30),
        (
            api_error(429, "rateLimitExceeded", "x", headers={"Retry-After": formatdate(4_000_000_000, usegmt=True)}),
            86_400,
            86_400,
        ),
        (
            api_error(403, "userRateLimitExceeded", "User-rate limit exceeded.  Retry after 2096-11-21T10:00:00.123Z"),
            86_400,
            86_400,
        ),
        (
            api_error(
                429, "rateLimitExceeded", "User-rate limit exceeded.  Retry after 2016-11-21T10:00:00Z (Mail sending)"
            ),
            0,
            0,
        ),
        (api_error(429, "rateLimitExceeded", "x"), None, None),
        (api_error(429, "rateLimitExceeded", "Retry after 2096-99-99T10:00:00Z"), None, None),
        (
            api_error(429, "rateLimitExceeded", "Retry after 2096-11-21T10:00:00Z", headers={"retry-after": "7200"}),
            7_200,
            7_200,
        ),
    ],
)
def test_when_to_come_back(
    google: Google, session: Session, reply: Reply, low: float | None, high: float | None
) -> None:
    google.faults.append(faults.answer(reply))
    with pytest.raises(Throttled) as caught:
        post(session)
    wait = caught.value.retry_after
    assert wait == low == high or (wait is not None and low is not None and high is not None and low <= wait <= high)
    assert caught.value.temporary


def test_a_swallowed_post_is_sent_once_and_reported_unknown(google: Google, session: Session) -> None:
    google.faults.append(faults.swallow)
    with pytest.raises(OutcomeUnknown) as caught:
        post(session)
    assert caught.value.possibly_sent
    assert google.requests == [f"POST {UPLOAD}"]
    assert len(google.messages) == 1, "it had been accepted indeed"
    post(session)
    assert len(google.messages) == 2


def test_an_answer_that_does_not_come(google: Google, account: Account, token: str) -> None:
    release = threading.Event()

    def silence(google: Google, request: Request) -> Reply:
        request.read()
        release.wait(20)
        return CUT

    google.faults.append(silence)
    made = send.open_session(account.replace(final_timeout=0.3), Password(token), silent)
    try:
        with pytest.raises(OutcomeUnknown) as caught:
            post(made)
        assert caught.value.evidence is not None
        assert caught.value.evidence.reason == "timeout"
    finally:
        release.set()
        made.close()


def test_a_token_that_is_echoed_is_not_shown(google: Google, session: Session, token: str) -> None:
    google.faults.append(faults.answer(api_error(400, "badRequest", f"what is Bearer {token}?")))
    with pytest.raises(Refused) as caught:
        post(session)
    assert token not in f"{caught.value} {caught.value.evidence!r}"


def test_an_answer_without_end_is_bounded(google: Google, session: Session) -> None:
    google.faults.append(faults.answer(Reply(400, b"x" * 3_000_000)))
    with pytest.raises(Refused) as caught:
        post(session)
    assert len(str(caught.value)) < 3_000


@pytest.mark.parametrize("scopes", [("openid", "email"), ()])
def test_a_token_without_the_right(google: Google, account: Account, scopes: tuple[str, ...]) -> None:
    made = send.open_session(account, Password(google.give_access(scopes=scopes)), silent)
    try:
        with pytest.raises(Refused) as caught:
            post(made)
        assert caught.value.evidence is not None
        assert caught.value.evidence.details["info"] == "ACCESS_TOKEN_SCOPE_INSUFFICIENT"
    finally:
        made.close()


# -- the resumable protocol ------------------------------------------------------------------------------------------

MIB = 1024 * 1024

BREAKS: dict[str, list[faults.Fault]] = {
    "cut in the middle": [faults.cut_after(700_000)],
    "cut before anything was kept": [faults.cut_after(10)],
    "short acceptance": [faults.keep_only(512 * 1024)],
    "nothing kept once": [faults.keep_only(0)],
    "cut before the answer, nothing kept": [faults.cut_before_answer],
    "cut before the answer, all kept": [faults.swallow],
    "503 to a chunk": [faults.answer(Reply(503, b""))],
    "500 to a chunk": [faults.answer(api_error(500, "backendError", "Backend Error"))],
    "several": [faults.cut_after(300_000), faults.keep_only(MIB), faults.answer(Reply(502, b"")), faults.swallow],
    "500 when asked": [
        faults.cut_after(300_000),
        faults.when_asked(Reply(500, b"")),
        faults.when_asked(Reply(503, b"")),
    ],
}


@pytest.mark.parametrize("name", BREAKS)
def test_an_upload_goes_on_after_a_break_and_arrives_once(google: Google, session: Session, name: str) -> None:
    data = os.urandom(3_000_000)
    google.faults.extend(BREAKS[name])
    receipt = post(session, attachments=[franking.Attachment(data=data, name="film.bin")])
    assert len(google.messages) == 1
    assert not google.faults
    parsed = message_from_bytes(google.messages[0].raw, policy=policy.default)
    assert [part.get_content() for part in parsed.iter_attachments()] == [data]
    assert receipt.provider_id
    assert google.requests.count(f"POST {UPLOAD}") == 1


def test_an_upload_broken_between_chunks(google: Google, session: Session) -> None:
    google.faults.extend([lambda google, request: None, faults.cut_after(5 * MIB), lambda google, request: None])
    data = os.urandom(14_000_000)
    post(session, attachments=[franking.Attachment(data=data, name="film.bin")])
    parsed = message_from_bytes(google.messages[0].raw, policy=policy.default)
    assert [part.get_content() for part in parsed.iter_attachments()] == [data]


def failing(session: Session, octets: int = 3_000_000) -> FrankingError:
    with pytest.raises(FrankingError) as caught:
        post(session, **large(octets))
    return caught.value


def test_an_upload_that_cannot_be_finished_was_surely_not_sent(google: Google, session: Session) -> None:
    google.faults.extend([faults.cut_after(300_000)] * 20)
    # more than a chunk: the last one, which socket buffers may swallow whole, is never begun
    error = failing(session, 12_000_000)
    assert isinstance(error, ConnectError)
    assert not error.possibly_sent
    assert len(google.faults) == 20 - 1 - upload.RESUMES


def test_an_upload_that_is_never_confirmed_is_unknown(google: Google, session: Session) -> None:
    google.faults.extend([faults.swallow, *[faults.when_asked(Reply(503, b""))] * 10])
    error = failing(session)
    assert isinstance(error, OutcomeUnknown)
    assert len(google.messages) == 1


def test_an_upload_that_gmail_forgot_after_the_last_octet_is_unknown(google: Google, session: Session) -> None:
    google.faults.extend([faults.cut_before_answer, faults.when_asked(Reply(404, b"Not Found"))])
    assert isinstance(failing(session), OutcomeUnknown)


def test_an_upload_that_gmail_forgot_before_the_last_octet_is_not(google: Google, session: Session) -> None:
    google.faults.extend([faults.cut_after(300_000), faults.when_asked(Reply(404, b"Not Found"))])
    error = failing(session)
    assert isinstance(error, Refused)
    assert not error.possibly_sent


@pytest.mark.parametrize("kept", ["bytes=0-99999999", "bytes=5-10", "nonsense", "bytes=0-"])
def test_a_range_that_cannot_be(google: Google, session: Session, kept: str) -> None:
    google.faults.append(faults.answer(Reply(308, b"", {"Range": kept})))
    post(session, **large())
    assert len(google.messages) == 1, "asked again, Gmail counts well"


def test_a_308_that_has_everything_is_not_taken_for_success(google: Google, session: Session) -> None:
    size = prepared(**large()).content.size_with_bcc()
    everything = Reply(308, b"", {"Range": f"bytes=0-{size - 1}"})
    google.faults.extend([faults.answer(everything), *[faults.when_asked(everything)] * 20])
    assert isinstance(failing(session), OutcomeUnknown)


def test_an_upload_that_gets_nowhere_ends(google: Google, session: Session) -> None:
    google.faults.extend([faults.keep_only(0)] * 50)
    error = failing(session)
    assert isinstance(error, ConnectError)
    assert len(google.faults) == 50 - 1 - upload.RESUMES
    assert "accepts nothing of the upload" in str(error)
    assert not error.possibly_sent


def test_an_upload_whose_start_was_refused_is_not_begun_again(
    google: Google, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(google, "_start", lambda request, token: (request.read(), Reply(503, b""))[1])
    error = failing(session)
    assert isinstance(error, Refused)
    assert error.temporary
    assert google.requests == [f"POST {UPLOAD}"]


def test_the_token_is_asked_for_with_each_request(google: Google, account: Account) -> None:
    """A large upload may take longer than a token lives."""
    tokens = [google.give_access() for _ in range(4)]
    asked: list[str] = []

    class Rotating:
        def get(self, *, renew_after: str | None = None) -> str:
            asked.append(tokens[len(asked)])
            return asked[-1]

    made = send.open_session(account, Rotating(), silent)
    post(made, **large(9_000_000))
    made.close()
    assert asked == tokens[:3]


def test_throttled_in_the_middle(google: Google, session: Session) -> None:
    google.faults.append(faults.answer(api_error(429, "rateLimitExceeded", "x", headers={"Retry-After": "9"})))
    error = failing(session)
    assert isinstance(error, Throttled)
    assert error.retry_after == 9
    assert google.messages == []


@pytest.mark.parametrize("location", ["", "http://localhost:1/x", "ftp://x"])
def test_an_upload_address_that_is_none(
    google: Google, session: Session, location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        google, "_start", lambda request, token: (request.read(), Reply(200, b"", {"Location": location}))[1]
    )
    error = failing(session)
    assert isinstance(error, ConnectError)
    assert "gave no address for the upload" in str(error)
    assert not error.possibly_sent


def test_the_token_goes_to_the_api_and_nowhere_else(
    google: Google, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str | None] = []

    def start(request: Request, token: Any) -> Reply:
        reply = Google._start(google, request, token)
        elsewhere = reply.headers["Location"].replace("localhost", "127.0.0.1")
        return Reply(200, b"", {"Location": elsewhere})

    monkeypatch.setattr(google, "_start", start)
    put = google._put
    monkeypatch.setattr(
        google, "_put", lambda request: (seen.append(request.headers.get("Authorization")), put(request))[1]
    )
    post(session, **large())
    assert seen == [None]
