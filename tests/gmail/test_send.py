"""Sending by the Gmail API: Google's real client library over HTTPS against a strict fake, and what each failure means
for the message.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

import franking
from franking.account.account import Account
from franking.auth.secret import Password
from franking.errors import (
    ConnectError,
    FrankingError,
    LoginError,
    MessageError,
    OutcomeUnknown,
    Refused,
    Throttled,
    TLSError,
)
from franking.gmail import send
from franking.gmail.provider import GmailProvider
from franking.net import upload
from franking.provider import Session, Step, silent
from franking.sending import bulk
from franking.testing.contracts import ProviderContract
from servers import google as faults
from servers.google import UPLOAD, Google, api_error
from servers.web import CUT, Authority, Reply, Request

GMAIL = GmailProvider()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def google(authority: Authority) -> Iterator[Google]:
    with Google(authority) as made:
        yield made


@pytest.fixture
def account(google: Google) -> Account:
    return franking.Account(
        name="shop",
        provider="gmail",
        sender="Me <me@gmail.com>",
        api_endpoint=google.url,
        ca_file=google.authority.ca_file,
        timeout=10,
    )


@pytest.fixture
def token(google: Google) -> str:
    return google.give_access()


@pytest.fixture
def session(account: Account, token: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    made = send.open_session(account, Password(token), silent)
    made._pause = lambda seconds: None
    try:
        yield made
    finally:
        made.close()


def prepared(message: Any = None, **parts: Any) -> Any:
    from franking.message.address import Address
    from franking.message.prepare import prepare

    envelope = parts.pop("envelope", None)
    message = message or franking.Message(
        **{"to": ["jana@example.cz"], "subject": "Faktura", "text": "Dobrý den\n", **parts}
    )
    return prepare(message, sender=Address.parse("Me <me@gmail.com>"), envelope=envelope)


def post(session: Session, message: Any = None, **parts: Any) -> franking.Receipt:
    ready = prepared(message, **parts)
    return session.send(ready.envelope, ready.content)


def large(octets: int = 3_000_000) -> dict[str, Any]:
    return {"attachments": [franking.Attachment(data=os.urandom(octets), name="film.bin")]}


# -- what arrives ----------------------------------------------------------------------------------------------------


def test_a_small_message_is_one_request(google: Google, session: Session) -> None:
    receipt = post(session)
    assert google.requests == [f"POST {UPLOAD}"]
    arrived = google.messages[0]
    assert arrived.recipients == ["jana@example.cz"]
    assert message_from_bytes(arrived.raw, policy=policy.default).get_content() == "Dobrý den\r\n"
    assert receipt.route == "gmail-api"
    assert receipt.provider_id
    assert receipt.reply == f"200 OK id={receipt.provider_id}"
    assert receipt.accepted == ("jana@example.cz",)
    assert receipt.bytes == len(arrived.raw)
    assert receipt.message_id.encode() in arrived.raw


def test_bcc_recipients_get_it_and_nobody_sees_them(google: Google, session: Session) -> None:
    receipt = post(session, cc=["Petr Dvořák <petr@example.cz>"], bcc=["boss@example.cz", "Šéf <tajny@háčky.cz>"])
    arrived = google.messages[0]
    tajny = "tajny@" + "háčky.cz".encode("idna").decode()
    assert (
        set(arrived.recipients)
        == set(receipt.accepted)
        == {"jana@example.cz", "petr@example.cz", "boss@example.cz", tajny}
    )
    assert b"boss@example.cz" in arrived.raw
    assert b"boss@example.cz" not in arrived.delivered
    assert b"tajny" not in arrived.delivered


def test_a_large_message_comes_in_chunks_and_whole(
    google: Google, session: Session, account: Account, token: str
) -> None:
    data = os.urandom(15_000_000)
    steps: list[Step] = []
    made = send.open_session(account, Password(token), steps.append)
    try:
        post(made, attachments=[franking.Attachment(data=data, name="film.bin")], bcc=["boss@example.cz"])
    finally:
        made.close()
    arrived = message_from_bytes(google.messages[0].raw, policy=policy.default)
    assert [part.get_content() for part in arrived.iter_attachments()] == [data]
    assert google.requests == [f"POST {UPLOAD}", *[f"PUT {UPLOAD}"] * 3]
    told = [step.done for step in steps if step.name == "message" and step.status == "running"]
    assert told[0] == 0
    assert told[-1] == len(google.messages[0].raw)
    assert told == sorted(told)  # type: ignore[type-var]
    assert 50 < len(told) < 200
    assert [(step.name, step.status) for step in steps if step.status != "running"] == [
        ("connect", "ok"),
        ("message", "ok"),
        ("accepted", "ok"),
    ]


def test_many_messages_share_one_connection(google: Google, session: Session) -> None:
    for number in range(10):
        post(session, subject=str(number), **(large(1_200_000) if number == 5 else {}))
    assert len(google.messages) == 10
    assert google.web.connections == 1


def test_a_connection_that_the_server_closed_meanwhile_is_replaced(google: Google, session: Session) -> None:
    post(session)
    google.web.drop()
    post(session)
    assert len(google.messages) == 2
    assert google.requests == [f"POST {UPLOAD}"] * 2


def test_what_others_composed_is_sent_as_it_is(google: Google, session: Session) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "me@gmail.com", "Jana <jana@Example.CZ>", "x"
    message.set_content("y")
    assert post(session, message).accepted
    assert google.messages[0].recipients == ["jana@Example.CZ"]


def test_the_account_itself_is_the_only_setting_that_a_provider_needs(
    google: Google, account: Account, token: str
) -> None:
    with franking.connect(account, secret=Password(token)) as mailer:
        mailer.check()
        assert google.requests == []
        assert mailer.send(franking.Message(to=["jana@example.cz"], subject="x", text="y")).provider_id


# -- refused before anything leaves ----------------------------------------------------------------------------------


def refused(session: Session, message: Any = None, **parts: Any) -> str | None:
    with pytest.raises(MessageError) as caught:
        post(session, message, **parts)
    assert caught.value.evidence is not None
    return caught.value.evidence.reason


def test_limits_are_known_beforehand(google: Google, session: Session, tmp_path: Path) -> None:
    with (tmp_path / "big").open("wb") as file:
        file.truncate(28_000_000)
    assert refused(session, attachments=[str(tmp_path / "big")]) == "too-large"
    assert (
        refused(session, to=[f"a{n}@example.cz" for n in range(60)], bcc=[f"b{n}@example.cz" for n in range(41)])
        == "too-many-recipients"
    )
    assert post(session, to=[f"a{n}@example.cz" for n in range(60)], bcc=[f"b{n}@example.cz" for n in range(40)])
    assert google.requests == [f"POST {UPLOAD}"]


def test_an_envelope_of_its_own_is_refused(google: Google, session: Session) -> None:
    for recipients in (["eva@example.cz"], ["jana@example.cz", "eva@example.cz"]):
        assert refused(session, envelope=franking.Envelope("me@gmail.com", recipients)) == "envelope-differs"
    assert post(session, envelope=franking.Envelope("me@gmail.com", ["jana@EXAMPLE.cz"])).warnings == ()
    assert len(google.messages) == 1
    for sender in ("bounces@novak.cz", ""):  # an API has no envelope: that is told, not passed over
        assert repr(sender) in post(session, envelope=franking.Envelope(sender, ["jana@example.cz"])).warnings[0]


def test_resent_fields_would_go_to_the_wrong_people(google: Google, session: Session) -> None:
    raw = b"Resent-To: eva@example.cz\r\nFrom: me@gmail.com\r\nTo: jana@example.cz\r\nSubject: x\r\n\r\ny\r\n"
    assert refused(session, raw) == "envelope-differs"
    assert google.requests == []


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


class Renewing:
    """A secret that gives an expired token first, and counts what it is asked."""

    def __init__(self, google: Google) -> None:
        self.google, self.asked = google, list[str | None]()
        self.token = google.give_access(lifetime=-1)

    def get(self, *, renew_after: str | None = None) -> str:
        if renew_after == self.token:
            self.asked.append(renew_after)
            self.token = self.google.give_access()
        return self.token


def test_a_refused_token_is_renewed_once(google: Google, account: Account) -> None:
    secret = Renewing(google)
    with franking.connect(account, secret=secret) as mailer:
        for _ in range(2):
            mailer.send(franking.Message(to=["jana@example.cz"], subject="x", text="y"))
    assert len(secret.asked) == 1
    assert len(google.messages) == 2
    google.access.clear()
    with franking.connect(account, secret=Password("ya29.revoked")) as mailer, pytest.raises(LoginError):
        mailer.send(franking.Message(to=["jana@example.cz"], subject="x", text="y"))
    assert len(google.requests) == 3 + 2, "two attempts with the dead token, never a loop"


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


# -- the message itself ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("octets", [200_000, 3_000_000])
def test_an_attachment_that_changes_meanwhile(google: Google, session: Session, tmp_path: Path, octets: int) -> None:
    file = tmp_path / "report.bin"
    file.write_bytes(b"x" * octets)
    ready = prepared(attachments=[str(file)])
    file.write_bytes(b"x" * (octets // 2))
    with pytest.raises(MessageError):
        session.send(ready.envelope, ready.content)
    assert google.messages == []
    post(session)
    assert len(google.messages) == 1


# -- connections -----------------------------------------------------------------------------------------------------


def opening(account: Account) -> tuple[FrankingError, list[Step]]:
    steps: list[Step] = []
    with pytest.raises(FrankingError) as caught:
        send.open_session(account, Password("x"), steps.append)
    return caught.value, [step for step in steps if step.status != "running"]


def test_an_unknown_authority(account: Account, tmp_path: Path) -> None:
    error, steps = opening(account.replace(ca_file=Authority(tmp_path).ca_file))
    assert isinstance(error, TLSError)
    assert error.evidence is not None
    assert error.evidence.details["verify_code"] in (19, 20)
    assert [(step.name, step.status) for step in steps] == [("connect", "ok"), ("tls", "failed")]


def test_a_port_where_nobody_listens(account: Account) -> None:
    error, steps = opening(account.replace(api_endpoint="https://127.0.0.1:1"))
    assert isinstance(error, ConnectError)
    assert error.evidence is not None
    assert error.evidence.reason == "refused"
    assert [(step.name, step.status) for step in steps] == [("connect", "failed")]


def test_the_environment_changes_nothing(
    google: Google, account: Account, token: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {
        "REQUESTS_CA_BUNDLE": Authority(tmp_path).ca_file,
        "HTTPLIB2_CA_CERTS": "/nowhere",
        "GOOGLE_API_USE_MTLS_ENDPOINT": "always",
        "GOOGLE_API_USE_CLIENT_CERTIFICATE": "false",
        "GOOGLE_CLOUD_UNIVERSE_DOMAIN": "example.com",
        "GOOGLE_APPLICATION_CREDENTIALS": "/nowhere",
    }.items():
        monkeypatch.setenv(name, value)
    with franking.connect(account, secret=Password(token)) as mailer:
        assert mailer.send(franking.Message(to=["jana@example.cz"], subject="x", text="y")).provider_id


def test_abort_before_the_end_was_surely_not_sent(google: Google, account: Account, token: str) -> None:
    arrived, release = threading.Event(), threading.Event()

    def hold(google: Google, request: Request) -> Reply:
        request.read(1000)
        arrived.set()
        release.wait(20)
        return CUT

    google.faults.append(hold)
    made = send.open_session(account, Password(token), silent)
    caught: list[FrankingError] = []

    def run() -> None:
        try:
            post(made, **large(8_000_000))
        except FrankingError as problem:
            caught.append(problem)

    thread = threading.Thread(target=run)
    thread.start()
    assert arrived.wait(10)
    made.abort()
    thread.join(10)
    release.set()
    made.close()
    assert isinstance(caught[0], ConnectError)
    assert not caught[0].possibly_sent
    assert google.messages == []


def test_abort_after_the_end_is_unknown(google: Google, account: Account, token: str) -> None:
    arrived, release = threading.Event(), threading.Event()

    def hold(google: Google, request: Request) -> Reply:
        request.read()
        arrived.set()
        release.wait(20)
        return CUT

    google.faults.append(hold)
    made = send.open_session(account, Password(token), silent)
    caught: list[FrankingError] = []

    def run() -> None:
        try:
            post(made)
        except FrankingError as problem:
            caught.append(problem)

    thread = threading.Thread(target=run)
    thread.start()
    assert arrived.wait(10)
    made.abort()
    thread.join(10)
    release.set()
    made.close()
    assert isinstance(caught[0], OutcomeUnknown)


# -- many messages, memory, a whole process --------------------------------------------------------------------------


def test_many_messages_by_workers(google: Google, account: Account, token: str) -> None:
    messages = (franking.Message(to=["jana@example.cz"], subject=str(number), text="y") for number in range(40))
    with franking.connect(account, secret=Password(token), connections=3) as mailer:
        results = list(mailer.send_many(messages, rate=100_000))
    assert sorted(result.index for result in results) == list(range(40))
    assert {result.outcome for result in results} == {"accepted"}
    assert len(google.messages) == 40
    assert google.web.connections <= 3
    assert isinstance(results[0], bulk.SendResult)


MEMORY = """
import sys
from pathlib import Path
import franking
from franking.auth.secret import Password

def status(key):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024

url, ca_file, token, file = sys.argv[1:]
account = franking.Account(name="m", provider="gmail", sender="me@gmail.com", api_endpoint=url, ca_file=ca_file)
with franking.connect(account, secret=Password(token)) as mailer:
    mailer.send(franking.Message(to=["jana@example.cz"], subject="warm", text="up"))
    Path("/proc/self/clear_refs").write_text("5")
    idle = status("VmRSS")
    mailer.send(franking.Message(to=["jana@example.cz"], subject="x", text="y", attachments=[file]))
    print(status("VmHWM") - idle)
"""


@pytest.mark.process
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="measures with Linux's /proc")
def test_a_message_of_25_mb_is_never_held_whole(google: Google, token: str, tmp_path: Path) -> None:
    file = tmp_path / "film.bin"
    file.write_bytes(os.urandom(25_000_000))
    ran = subprocess.run(
        [sys.executable, "-c", MEMORY, google.url, google.authority.ca_file, token, str(file)],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert len(google.messages[1].raw) > 33_000_000
    assert int(ran.stdout) < 8 * MIB


class TestContract(ProviderContract):
    """The suite that every provider passes."""

    @pytest.fixture
    def provider(self) -> GmailProvider:
        return GMAIL

    @pytest.fixture
    def account(self, google: Google) -> Account:
        return franking.Account(
            name="shop",
            provider="gmail",
            sender="Me <me@gmail.com>",
            api_endpoint=google.url,
            ca_file=google.authority.ca_file,
        )

    @pytest.fixture
    def secret(self, google: Google) -> Password:
        return Password(google.give_access())

    @pytest.fixture
    def arrived(self, google: Google) -> Callable[[], list[bytes]]:
        return lambda: [message.delivered for message in google.messages]


@pytest.mark.process
def test_without_the_extra(account: Account) -> None:
    code = (
        "import sys\n"
        "sys.modules['googleapiclient'] = sys.modules['google_auth_oauthlib'] = None\n"
        "import franking\n"
        "from franking.auth.secret import Password\n"
        "a = franking.Account(name='m', provider='gmail', sender='me@gmail.com')\n"
        "try:\n"
        "    franking.connect(a, secret=Password('x')).check()\n"
        "except franking.SettingsError as problem:\n"
        "    print(problem)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "pip install 'franking[gmail]'" in ran.stdout


@pytest.mark.process
def test_the_facts_import_no_library_of_google() -> None:
    code = (
        "import sys, franking\n"
        "franking.Account(name='m', provider='gmail', sender='me@gmail.com')\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('google', 'googleapiclient', 'requests', 'httplib2', 'oauthlib')])\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ran.stdout.strip() == "[]", ran.stderr
