"""Sending by Microsoft Graph: the real HTTP stack over TLS, against a strict stand-in for Graph on loopback."""

from __future__ import annotations

import email
import email.policy
import hashlib
import logging
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

import franking
from franking import errors
from franking.message.prepare import prepare
from franking.outlook import graph_json as compose
from franking.outlook import upload
from franking.outlook.plan import plan
from franking.testing.contracts import ProviderContract
from servers.graph import failure
from servers.microsoft import OUTLOOK, Microsoft
from servers.web import CUT, Authority, Reply

pytestmark = pytest.mark.timeout(60)


class Tokens:
    """A secret that gives out tokens of the stand-in, a new one when one was refused."""

    def __init__(self, microsoft: Microsoft, *scopes: str, **more: Any) -> None:
        self._issue = lambda: microsoft.issue(*scopes, **more)
        self.token = self._issue()
        self.renewals = 0

    def get(self, *, renew_after: str | None = None) -> str:
        if renew_after == self.token:
            self.token = self._issue()
            self.renewals += 1
        return self.token


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def microsoft(tmp_path: Path, authority: Authority) -> Iterator[Microsoft]:
    with Microsoft(tmp_path, authority=authority) as made:
        yield made


Make = Callable[..., franking.Account]


@pytest.fixture
def account(microsoft: Microsoft) -> Make:
    def make(**settings: Any) -> franking.Account:
        given = {"sender": "Jan Novák <jan@contoso.com>", **microsoft.settings(), **settings}
        return franking.Account(name="office", provider="outlook", **given)

    return make


@pytest.fixture
def tokens(microsoft: Microsoft) -> Tokens:
    return Tokens(microsoft, "Mail.Send", "Mail.ReadWrite")


class TestContract(ProviderContract):
    """Graph keeps the contract of a provider."""

    @pytest.fixture
    def provider(self) -> Any:
        from franking.registry import provider

        return provider("outlook")

    @pytest.fixture
    def account(self, microsoft: Microsoft) -> Any:
        return franking.Account(
            name="office", provider="outlook", sender="Jan <jan@contoso.com>", **microsoft.settings()
        )

    @pytest.fixture
    def secret(self, microsoft: Microsoft) -> Any:
        return Tokens(microsoft, "Mail.Send")

    @pytest.fixture
    def arrived(self, microsoft: Microsoft) -> Callable[[], list[bytes]]:
        return lambda: [sent.delivered for sent in microsoft.graph.sent]


# -- what is stored is what was composed -----------------------------------------------------------------------------------


def rich(tmp_path: Path, size: int, **more: Any) -> franking.Message:
    """Compose a message of about this many octets of MIME with all that is hard in it."""
    files: list[Any] = [franking.Attachment(data=b"\x89PNG" + b"logo" * 50, name="logo.png", cid="logo")]
    if size > 20_000:
        path = tmp_path / "Příloha č. 1 – účty.pdf"
        octets = int(size * 57 / 78) - 3_000
        block = hashlib.sha256(str(size).encode()).digest() * 32_768
        with path.open("wb") as file:
            for start in range(0, octets, len(block)):
                file.write(block[: octets - start])
        files += [str(path), franking.Attachment(data=b"a;b\r\n1;2\r\n", name="tabulka.csv", content_type="text/csv")]
    return franking.Message(
        to=["Jana Nová <jana@example.cz>", "petr@example.cz"],
        cc=["účetní <ucetni@example.cz>"],
        bcc=["boss@example.cz"],
        reply_to=["Odpovědi <odpovedi@contoso.com>"],
        subject="Faktura č. 2026/114 – žluťoučký kůň",
        text="Dobrý den,\n\npříklad …\n",
        html='<p>Dobrý den, <img src="cid:logo"> příklad …</p>',
        attachments=files,
        **{"headers": {"X-Order": "114"}, **more},
    )


def check_stored(
    microsoft: Microsoft, message: franking.Message, receipt: franking.Receipt, *, text: bool = True
) -> Any:
    """Compare what Graph stored with what was composed."""
    (stored,) = microsoft.graph.sent
    assert stored.subject == message.subject
    assert stored.sender == "jan@contoso.com"
    assert stored.to == ["jana@example.cz", "petr@example.cz"]
    assert (stored.cc, stored.bcc, stored.reply_to) == (
        ["ucetni@example.cz"],
        ["boss@example.cz"],
        ["odpovedi@contoso.com"],
    )
    assert stored.message_id == receipt.message_id
    assert ("X-Order", "114") in stored.headers
    assert stored.html is not None
    assert stored.html.strip() == message.html
    assert not text or (stored.text or "").replace("\r\n", "\n").strip() == (message.text or "").strip()
    found = {(file.name, file.size, file.digest, file.inline, file.cid) for file in stored.files}
    wanted = set()
    for attachment in message.attachments:
        data = b"".join(attachment.read(attachment.measure()))
        inline = attachment.cid is not None
        wanted.add((attachment.name, len(data), hashlib.sha256(data).hexdigest(), inline, attachment.cid))
    assert found == wanted
    assert set(receipt.accepted) == set(stored.recipients)
    assert not microsoft.graph.drafts
    return stored


@pytest.mark.parametrize("size", [1_000, 100_000, 2_900_000])
def test_up_to_three_million_octets_go_as_they_are(
    microsoft: Microsoft, account: Make, tokens: Tokens, tmp_path: Path, size: int
) -> None:
    message = rich(
        tmp_path, size, headers={"X-Order": "114", "In-Reply-To": "<a@b>", "List-Unsubscribe": "<https://x.example/u>"}
    )
    receipt = franking.send(account(), message, secret=tokens)
    stored = check_stored(microsoft, message, receipt)
    assert (stored.way, stored.saved) == ("mime", True)
    assert ("In-Reply-To", "<a@b>") in stored.headers
    assert receipt.warnings == ()
    assert receipt.reply == "202 Accepted (accepted, not yet delivered)"
    assert receipt.provider_id
    assert microsoft.graph.requests == ["POST sendMail text/plain"]


def test_a_bit_more_goes_as_json_with_what_changes_told(
    microsoft: Microsoft, account: Make, tokens: Tokens, tmp_path: Path
) -> None:
    message = rich(tmp_path, 3_500_000)
    receipt = franking.send(account(), message, secret=tokens)
    stored = check_stored(microsoft, message, receipt, text=False)
    assert stored.way == "json"
    assert receipt.warnings == ("the plain text is made anew from the HTML by Exchange",)


def test_with_the_permission_a_draft_keeps_both_texts(
    microsoft: Microsoft, account: Make, tokens: Tokens, tmp_path: Path
) -> None:
    message = rich(tmp_path, 3_500_000)
    receipt = franking.send(account(large_attachments=True), message, secret=tokens)
    assert check_stored(microsoft, message, receipt).way == "draft"
    assert receipt.warnings == ()


@pytest.mark.parametrize("size", [4_500_000, 30_000_000, 100_000_000])
def test_large_messages_go_by_draft_and_uploads(
    microsoft: Microsoft, account: Make, tokens: Tokens, tmp_path: Path, size: int
) -> None:
    message = rich(
        tmp_path, size, headers={"X-Order": "114", "References": "<a@b> <c@d>", "Auto-Submitted": "auto-generated"}
    )
    receipt = franking.send(account(large_attachments=True), message, secret=tokens)
    stored = check_stored(microsoft, message, receipt)
    assert ("References", "<a@b> <c@d>") in stored.headers
    assert ("Auto-Submitted", "auto-generated") in stored.headers
    assert receipt.provider_id is not None
    assert receipt.provider_id.startswith("draft-")
    assert len(microsoft.graph.ranges) > 1
    assert len(receipt.warnings) == (1 if size > 40_000_000 else 0)


def test_a_plain_text_goes_as_json_without_loss(microsoft: Microsoft, account: Make, tokens: Tokens) -> None:
    message = franking.Message(
        to=["jana@example.cz"],
        subject="x",
        text="Dobrý den\n",
        attachments=[franking.Attachment(data=b"y" * 2_500_000, name="a.bin")],
    )
    assert franking.send(account(), message, secret=tokens).warnings == ()
    assert microsoft.graph.sent[0].way == "json"
    assert microsoft.graph.sent[0].text == "Dobrý den\n"


def test_a_graph_that_takes_no_mime_drafts_gets_json_and_the_receipt_says_what_it_cost(
    microsoft: Microsoft, account: Make, tokens: Tokens, tmp_path: Path
) -> None:
    microsoft.graph.mime_drafts = False
    message = rich(tmp_path, 5_000_000, headers={"X-Order": "114", "In-Reply-To": "<a@b>"})
    receipt = franking.send(account(large_attachments=True), message, secret=tokens)
    check_stored(microsoft, message, receipt, text=False)
    assert receipt.warnings == (
        "Graph could not carry the header fields In-Reply-To",
        "the plain text is made anew from the HTML by Exchange",
    )


def test_ready_octets_go_as_they_are(microsoft: Microsoft, account: Make, tokens: Tokens) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Bcc"], message["Subject"] = (
        "jan@contoso.com",
        "jana@example.cz",
        "boss@example.cz",
        "č",
    )
    message["Received"] = "from somewhere"
    message.set_content("Dobrý den\n")
    message.add_alternative("<p>Dobrý den</p>", subtype="html")
    message.add_attachment(b"%PDF" * 1_000, maintype="application", subtype="pdf", filename="účet.pdf")
    receipt = franking.send(account(), message, secret=tokens)
    (stored,) = microsoft.graph.sent
    again = email.message_from_bytes(stored.delivered, policy=email.policy.default)
    assert again["Received"] == "from somewhere"
    assert again["Message-ID"] == receipt.message_id
    assert (stored.bcc, again["Bcc"]) == (["boss@example.cz"], None)
    assert stored.files[0].name == "účet.pdf"


# -- which way -------------------------------------------------------------------------------------------------------------


def planned(account: franking.Account, message: Any) -> Any:
    return plan(account, prepare(message, sender=account.sender).content)


def message_of(size: int, **more: Any) -> franking.Message:
    files = [franking.Attachment(data=b"x" * (size * 57 // 78), name="a.bin")]
    return franking.Message(to=["jana@example.cz"], subject="x", text="y", attachments=files, **more)


def test_the_way_is_told_in_words(account: Make) -> None:
    assert str(planned(account(), message_of(1_000))) == "one request, the message as it is (MIME)"
    assert str(planned(account(), message_of(3_200_000))) == "one request, the message taken apart (JSON)"
    told = str(planned(account(large_attachments=True), message_of(40_000_000)))
    assert told.startswith("a draft and 1 uploads, then the send; Exchange refuses more than 36700160 bytes")


@pytest.mark.parametrize(
    ("size", "headers"),
    [(5_000_000, {}), (3_200_000, {"In-Reply-To": "<a@b>"}), (3_200_000, {f"X-{n}": "1" for n in range(6)})],
)
def test_what_needs_a_permission_names_the_command(
    microsoft: Microsoft, account: Make, tokens: Tokens, size: int, headers: dict[str, str]
) -> None:
    with pytest.raises(errors.MessageError, match="franking login office --large-attachments") as caught:
        franking.send(account(), message_of(size, headers=headers), secret=tokens)
    assert caught.value.diagnosis is not None
    assert caught.value.diagnosis.code == "microsoft.upload-needed"
    assert microsoft.graph.requests == []


def test_what_no_mailbox_takes_is_refused_before(
    microsoft: Microsoft, account: Make, tokens: Tokens, tmp_path: Path
) -> None:
    path = tmp_path / "huge.bin"
    with path.open("wb") as file:
        file.truncate(160 * 1024 * 1024)
    message = franking.Message(to=["jana@example.cz"], subject="x", text="y", attachments=[str(path)])
    with pytest.raises(errors.MessageError, match="at most 157286400"):
        franking.send(account(large_attachments=True), message, secret=tokens)
    assert microsoft.graph.requests == []


def test_without_a_copy_in_sent_items(microsoft: Microsoft, account: Make, tokens: Tokens, tmp_path: Path) -> None:
    message = rich(tmp_path, 1_000)
    receipt = franking.send(account(save_to_sent=False), message, secret=tokens)
    stored = check_stored(microsoft, message, receipt, text=False)
    assert (stored.way, stored.saved) == ("json", False)
    for wrong, words, code in (
        (message_of(1_000, headers={"References": "<a@b>"}), "References", "microsoft.not-in-json"),
        (message_of(5_000_000), "about 3 MB", "message.too-large"),
    ):
        with pytest.raises(errors.MessageError, match=words) as caught:
            franking.send(account(save_to_sent=False, large_attachments=True), wrong, secret=tokens)
        assert caught.value.diagnosis is not None
        assert caught.value.diagnosis.code == code
    assert len(microsoft.graph.requests) == 1


def test_a_date_of_another_day_is_a_header_that_json_loses(account: Make) -> None:
    with pytest.raises(errors.MessageError, match="Date"):
        planned(account(save_to_sent=False), message_of(1_000, headers={"Date": formatdate(time.time() - 86_400)}))


def test_a_signed_message_goes_unchanged_or_not_at_all(account: Make) -> None:
    def signed(size: int) -> bytes:
        body = b"x" * 76 + b"\r\n"
        return (
            b"From: jan@contoso.com\r\nTo: jana@example.cz\r\nMIME-Version: 1.0\r\n"
            b'Content-Type: multipart/signed; boundary="b"; protocol="application/pkcs7-signature"\r\n\r\n'
            b"--b\r\nContent-Type: text/plain\r\n\r\n" + body * (size // 78) + b"\r\n"
            b"--b\r\nContent-Type: application/pkcs7-signature\r\n\r\nMIIB\r\n--b--\r\n"
        )

    assert planned(account(), signed(10_000)).way == "mime"
    with pytest.raises(errors.MessageError, match="signed"):
        planned(account(large_attachments=True), signed(4_000_000))


def test_an_envelope_of_its_own_is_refused_and_another_sender_told(
    microsoft: Microsoft, account: Make, tokens: Tokens
) -> None:
    message = franking.Message(to=["jana@example.cz"], subject="x", text="y")
    with franking.connect(account(), secret=tokens) as mailer:
        with pytest.raises(errors.MessageError, match=r"petr@example\.cz"):
            mailer.send(message, envelope=franking.Envelope("jan@contoso.com", ["jana@example.cz", "petr@example.cz"]))
        receipt = mailer.send(message, envelope=franking.Envelope("bounces@contoso.com", ["jana@example.cz"]))
    assert "bounces@contoso.com" in receipt.warnings[0]
    assert len(microsoft.graph.sent) == 1


# -- in whose name ---------------------------------------------------------------------------------------------------------


def test_a_shared_mailbox(microsoft: Microsoft, account: Make) -> None:
    shared = account(sender="info@contoso.com", mailbox="info@contoso.com")
    message = franking.Message(to=["jana@example.cz"], subject="x", text="y")
    franking.send(shared, message, secret=Tokens(microsoft, "Mail.Send", "Mail.Send.Shared"))
    assert (microsoft.graph.sent[0].mailbox, microsoft.graph.sent[0].sender) == ("info@contoso.com", "info@contoso.com")
    with pytest.raises(errors.Refused, match="ErrorAccessDenied"):
        franking.send(shared, message, secret=Tokens(microsoft, "Mail.Send"))


def test_an_application_sends_for_the_mailbox_of_its_from(microsoft: Microsoft, account: Make, tmp_path: Path) -> None:
    daemon = account(app_only=True, sender="info@contoso.com", large_attachments=True)
    tokens = Tokens(microsoft, "roles", user=None)
    franking.send(daemon, franking.Message(to=["jana@example.cz"], subject="x", text="y"), secret=tokens)
    franking.send(daemon, message_of(5_000_000), secret=tokens)
    assert [sent.mailbox for sent in microsoft.graph.sent] == ["info@contoso.com"] * 2


def test_a_from_that_one_may_not_use(microsoft: Microsoft, account: Make, tokens: Tokens) -> None:
    message = franking.Message(sender="ceo@contoso.com", to=["jana@example.cz"], subject="x", text="y")
    error = refusal(account(), message, tokens, microsoft)
    assert isinstance(error, errors.Refused)
    assert (error.evidence.code, error.evidence.reason) == (403, "ErrorSendAsDenied")


# -- refusals --------------------------------------------------------------------------------------------------------------

SMALL = franking.Message(to=["jana@example.cz"], subject="x", text="y")


def refusal(account: franking.Account, message: Any, tokens: Any, microsoft: Microsoft) -> Any:
    """Send what fails; give the error, in which no secret is."""
    with pytest.raises(franking.FrankingError) as caught:
        franking.send(account, message, secret=tokens)
    told = f"{caught.value} {caught.value.evidence} {caught.value.diagnosis} {''.join(traceback.format_exception(caught.value))}"
    assert not [secret for secret in microsoft.secrets if secret[:40] in told]
    return caught.value


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


# -- uploads ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def large(account: Make) -> franking.Account:
    return account(large_attachments=True)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let pauses pass at once, and note them."""
    from franking.outlook import send

    paused: list[float] = []
    monkeypatch.setattr(send.GraphSession, "_pause", lambda self, seconds: paused.append(seconds))
    return paused


def test_ranges_are_as_microsoft_wants_them(microsoft: Microsoft, large: franking.Account, tokens: Tokens) -> None:
    franking.send(large, message_of(10_000_000), secret=tokens)
    spans = [tuple(map(int, text.partition("/")[0].split("-"))) for text in microsoft.graph.ranges]
    assert [first for first, _ in spans] == [0, *(last + 1 for _, last in spans[:-1])]
    assert {last - first + 1 for first, last in spans[:-1]} == {upload.RANGE}
    assert upload.RANGE % (320 * 1024) == 0
    assert upload.RANGE < 4_000_000


@pytest.mark.parametrize("cuts", [[1_000_000], [0, 0, 0], [3_000_000, 400_000, 1]])
def test_a_broken_upload_goes_on_where_it_came_to(
    microsoft: Microsoft, large: franking.Account, tokens: Tokens, patient: list[float], tmp_path: Path, cuts: list[int]
) -> None:
    microsoft.graph.cut_ranges = list(cuts)
    message = rich(tmp_path, 12_000_000)
    receipt = franking.send(large, message, secret=tokens)
    check_stored(microsoft, message, receipt)
    assert patient == [2.0**number - 1 for number in range(len(cuts))]
    assert microsoft.server.requests.count("POST /v1.0/me/messages") == 1


def test_an_upload_that_keeps_breaking_is_given_up_and_the_draft_removed(
    microsoft: Microsoft, large: franking.Account, tokens: Tokens, patient: list[float]
) -> None:
    microsoft.graph.cut_ranges = [0] * 100
    error = refusal(large, message_of(5_000_000), tokens, microsoft)
    assert isinstance(error, errors.ConnectError)
    assert error.temporary
    assert not error.possibly_sent
    assert patient == [0.0, 1.0, 3.0, 7.0, 15.0]
    assert microsoft.graph.drafts == {}
    assert microsoft.graph.sent == []


@pytest.mark.parametrize(
    ("ending", "reply", "kind"),
    [
        ("/messages", failure(403, "ErrorAccessDenied", "No."), errors.Refused),
        ("/messages", failure(500, "ErrorInternalServerError", "Oops."), errors.Refused),
        ("/createUploadSession", failure(429, "TooManyRequests", "Slow.", {"Retry-After": "9"}), errors.Throttled),
        ("/createUploadSession", Reply(201, {"uploadUrl": "http://localhost:1/x"}), errors.ConnectError),
        ("/attachments", failure(507, "ErrorQuotaExceeded", "Full."), errors.Refused),
        ("/send", failure(400, "ErrorMessageSizeExceeded", "Too large."), errors.Refused),
        ("/send", failure(403, "ErrorSendAsDenied", "No."), errors.Refused),
    ],
)
def test_a_draft_that_is_given_up_is_removed(
    microsoft: Microsoft,
    large: franking.Account,
    tokens: Tokens,
    ending: str,
    reply: Reply,
    kind: type[errors.FrankingError],
) -> None:
    microsoft.answers = [(ending, reply)]
    message = message_of(5_000_000)
    files = [*message.attachments, franking.Attachment(data=b"small", name="small.txt")]
    error = refusal(
        large, franking.Message(to=["jana@example.cz"], subject="x", text="y", attachments=files), tokens, microsoft
    )
    assert type(error) is kind
    assert not error.possibly_sent
    assert microsoft.graph.drafts == {}
    assert microsoft.graph.sent == []


@pytest.mark.parametrize("reply", [failure(500, "ErrorInternalServerError", "Oops."), CUT, failure(503, "x", "y")])
def test_the_last_send_is_never_repeated_and_its_draft_left(
    microsoft: Microsoft, large: franking.Account, tokens: Tokens, reply: Reply
) -> None:
    microsoft.answers = [("/send", reply)]
    assert isinstance(refusal(large, message_of(5_000_000), tokens, microsoft), errors.OutcomeUnknown)
    assert sum(request.endswith("/send") for request in microsoft.server.requests) == 1
    assert len(microsoft.graph.drafts) == 1


def test_ctrl_c_during_an_upload_removes_the_draft(
    microsoft: Microsoft, large: franking.Account, tokens: Tokens
) -> None:
    def interrupt(step: Any) -> None:
        if step.name == "message" and step.done and step.done > 1_000_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        franking.send(large, message_of(5_000_000), secret=tokens, observer=interrupt)
    assert microsoft.graph.drafts == {}


def test_an_aborted_upload_ends_and_removes_its_draft(
    microsoft: Microsoft, large: franking.Account, tokens: Tokens
) -> None:
    mailer = franking.connect(large, secret=tokens)
    under_way = threading.Event()

    def watch(step: Any) -> None:
        if step.name == "message" and step.done:
            under_way.set()

    mailer = franking.connect(large, secret=tokens, observer=watch)
    thread = threading.Thread(target=lambda: (under_way.wait(20), mailer.abort()))
    thread.start()
    with mailer, pytest.raises(franking.FrankingError) as caught:
        mailer.send(message_of(60_000_000))
    thread.join()
    assert not caught.value.possibly_sent
    assert microsoft.graph.drafts == {}


def test_a_file_that_changes_while_it_is_sent(
    microsoft: Microsoft, large: franking.Account, tokens: Tokens, tmp_path: Path
) -> None:
    path = tmp_path / "growing.bin"
    path.write_bytes(b"x" * 5_000_000)
    message = franking.Message(to=["jana@example.cz"], subject="x", text="y", attachments=[str(path)])

    def shrink(step: Any) -> None:
        if step.name == "message" and step.status == "running":
            path.write_bytes(b"x" * 1_000)

    with pytest.raises(errors.MessageError):
        franking.send(large, message, secret=tokens, observer=shrink)
    assert microsoft.graph.drafts == {}
    assert microsoft.graph.sent == []


# -- many, steps, memory, secrets --------------------------------------------------------------------------------------------


def test_one_connection_serves_many_messages(microsoft: Microsoft, account: Make, tokens: Tokens) -> None:
    with franking.connect(account(), secret=tokens) as mailer:
        for _ in range(20):
            mailer.send(SMALL)
    assert (microsoft.server.connections, len(microsoft.graph.sent)) == (1, 20)


def test_a_connection_that_the_server_closed_meanwhile_is_replaced(
    microsoft: Microsoft, account: Make, tokens: Tokens
) -> None:
    with franking.connect(account(), secret=tokens) as mailer:
        mailer.send(SMALL)
        microsoft.server.drop()
        time.sleep(0.05)
        mailer.send(SMALL)
    assert len(microsoft.graph.sent) == 2


def test_the_steps_of_a_test_send(microsoft: Microsoft, account: Make, tokens: Tokens) -> None:
    report = franking.send_test(account(), to="me@example.cz", secret=tokens)
    assert report.ok
    assert [(step.name, step.status) for step in report.steps] == [
        ("settings", "ok"),
        ("secret", "ok"),
        ("connect", "ok"),
        ("message", "ok"),
        ("accepted", "ok"),
    ]
    assert "not yet delivered" in report.steps[-1].detail
    assert "TLSv1.3" in report.steps[2].detail


def test_a_large_upload_tells_how_it_gets_on(microsoft: Microsoft, large: franking.Account, tokens: Tokens) -> None:
    steps: list[Any] = []
    franking.send(large, message_of(10_000_000), secret=tokens, observer=steps.append)
    done = [step.done for step in steps if step.name == "message" and step.status == "running"]
    total = next(step.total for step in steps if step.name == "message")
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, total)
    assert 50 < len(done) <= 110


MEMORY = """
import resource, sys
import franking
from franking.message.prepare import prepare
microsoft, ca, token, path, size = sys.argv[1:]
class Token:
    def get(self, *, renew_after=None): return token
account = franking.Account(name="a", provider="outlook", sender="jan@contoso.com", graph_endpoint=microsoft, ca_file=ca, large_attachments=True)
def peak(): return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
with franking.connect(account, secret=Token()) as mailer:
    mailer.send(franking.Message(to=["jana@example.cz"], subject="x", text="y", attachments=[franking.Attachment(data=b"x" * 1000, name="x")]))
    before = peak()
    mailer.send(franking.Message(to=["jana@example.cz"], subject="x", text="y", attachments=[path]))
    print(peak() - before)
"""


@pytest.mark.process
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measured with Linux's /proc")
@pytest.mark.parametrize("size", [2_000_000, 2_900_000, 30_000_000])
def test_memory_stays_bounded(microsoft: Microsoft, tokens: Tokens, tmp_path: Path, size: int) -> None:
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(size)
    command = [sys.executable, "-c", MEMORY, microsoft.url, microsoft.ca.ca_file, tokens.token, str(path), str(size)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert microsoft.graph.sent[-1].files[0].size == size
    assert int(done.stdout) < 8 * 1024  # KiB


def test_no_secret_in_any_log(
    microsoft: Microsoft, large: franking.Account, tokens: Tokens, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    with caplog.at_level(logging.DEBUG):
        franking.send(large, message_of(7_000_000), secret=tokens)
        microsoft.answers = [("/sendMail", failure(403, "ErrorAccessDenied", f"{tokens.token}"))]
        refusal(large, SMALL, tokens, microsoft)
    written = caplog.text + "".join(capfd.readouterr())
    assert "/upload/" in caplog.text
    assert "~C: POST /v1.0/me/sendMail" in caplog.text
    assert not [secret for secret in microsoft.secrets if secret[:40] in written]


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 57, 1_000])
def test_base64_streams(cut: int) -> None:
    import base64

    data = bytes(range(256)) * 5
    chunks = [data[at : at + cut] for at in range(0, len(data), cut)]
    assert b"".join(compose.base64_of(chunks)) == base64.b64encode(data)
    assert compose.base64_length(len(data)) == len(base64.b64encode(data))
