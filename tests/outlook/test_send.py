"""Sending by Microsoft Graph: the real HTTP stack over TLS, against a strict stand-in for Graph on loopback."""

from __future__ import annotations

import email
import email.policy
import logging
import subprocess
import sys
import time
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

import franking
from franking import errors
from franking.testing.contracts import ProviderContract
from outlook.messages import SMALL, Make, Tokens, check_stored, message_of, refusal, rich
from servers.graph import failure
from servers.microsoft import Microsoft

pytestmark = pytest.mark.timeout(60)


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


# -- what is stored is what was composed ----------------------------------------------------------------------------


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


# -- in whose name --------------------------------------------------------------------------------------------------


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


# -- many, steps, memory, secrets -----------------------------------------------------------------------------------


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
settings = {"graph_endpoint": microsoft, "ca_file": ca, "large_attachments": True}
account = franking.Account(name="a", provider="outlook", sender="jan@contoso.com", **settings)
def peak(): return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
with franking.connect(account, secret=Token()) as mailer:
    small = franking.Attachment(data=b"x" * 1000, name="x")
    mailer.send(franking.Message(to=["jana@example.cz"], subject="x", text="y", attachments=[small]))
    before = peak()
    mailer.send(franking.Message(to=["jana@example.cz"], subject="x", text="y", attachments=[path]))
    print(peak() - before)
"""


@pytest.mark.process
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
