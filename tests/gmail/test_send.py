"""Sending by the Gmail API: Google's real client library over HTTPS against a strict fake."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
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
    TLSError,
)
from franking.gmail import send
from franking.gmail.provider import GmailProvider
from franking.provider import Session, Step, silent
from franking.sending import bulk
from franking.testing.contracts import ProviderContract
from gmail.messages import large, post, prepared
from servers.google import UPLOAD, Google
from servers.web import CUT, Authority, Reply, Request

GMAIL = GmailProvider()


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


def exactly(octets: int) -> bytes:
    """Compose a message of so many octets."""
    head = (
        b"From: me@gmail.com\r\nTo: jana@example.cz\r\nSubject: x\r\nMessage-ID: <1@gmail.com>\r\n"
        b"Date: Mon, 02 Nov 2026 10:00:00 +0000\r\n\r\n"
    )
    return (
        head + (b"y" * 76 + b"\r\n") * ((octets - len(head)) // 78) + b"z" * ((octets - len(head)) % 78 - 2) + b"\r\n"
    )


def test_the_largest_message_goes_and_one_octet_more_does_not(google: Google, session: Session) -> None:
    assert refused(session, exactly(36_700_161)) == "too-large"
    assert google.requests == []
    assert post(session, exactly(36_700_160)).bytes == 36_700_160


@pytest.mark.parametrize(("octets", "puts"), [(send.SIMPLE_LIMIT, 0), (send.SIMPLE_LIMIT + 1, 1), (9_437_200, 2)])
def test_what_is_larger_than_a_mebibyte_is_resumable(google: Google, session: Session, octets: int, puts: int) -> None:
    assert post(session, exactly(octets)).bytes == octets
    assert google.messages[0].raw == exactly(octets)
    assert google.requests == [f"POST {UPLOAD}", *[f"PUT {UPLOAD}"] * puts]


def test_googles_library_has_nothing_to_say(google: Google, session: Session, caplog: pytest.LogCaptureFixture) -> None:
    for parts in ({}, large()):
        post(session, **parts)
    assert [record.name for record in caplog.records if record.levelno >= logging.INFO] == []


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
    assert int(ran.stdout) < 8 * 1024 * 1024


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
@pytest.mark.process
def test_the_facts_import_no_library_of_google() -> None:
    code = (
        "import sys, franking\n"
        "franking.Account(name='m', provider='gmail', sender='me@gmail.com')\n"
        "late = ('google', 'googleapiclient', 'requests', 'httplib2', 'oauthlib')\n"
        "print([name for name in sys.modules if name.split('.')[0] in late])\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ran.stdout.strip() == "[]", ran.stderr
