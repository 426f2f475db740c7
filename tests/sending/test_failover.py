"""Another account that sends when this one surely did not and cannot now."""

from __future__ import annotations

import email
import json
import os
from collections.abc import Iterator
from email.message import Message as Parsed
from pathlib import Path
from typing import Any

import pytest

import franking
from franking.errors import Evidence, FrankingError
from franking.sending.failover import ROWS, Failover, falls_over
from franking.sending.mailer import Mailer
from servers.smtp import Fault, SmtpServer, hangs_up, says

PASSWORD = "Canary7-hunter2"


class Two:
    """Two servers, and an account at each: ``shop`` falls over to ``spare``."""

    def __init__(self, first: SmtpServer | None, second: SmtpServer, **more: str) -> None:
        self.first, self.second = first, second
        keys = "".join(f"{key} = {value!r}\n" for key, value in more.items())
        Path(os.environ["FRANKING_CONFIG"]).write_text(
            _table("shop", "Jan Novák <info@novak.cz>", first.port if first else 1, f"fallback = ['spare']\n{keys}")
            + _table("spare", "Náhradní <spare@example.cz>", second.port)
        )

    def message(self, number: int = 0) -> Parsed:
        return email.message_from_bytes(self.second.messages[number].data)


def _table(name: str, sender: str, port: int, more: str = "") -> str:
    return (
        f"[accounts.{name}]\nprovider = 'smtp'\nfrom = '{sender}'\nhost = '127.0.0.1'\nsecurity = 'none'\n"
        f"port = {port}\ntimeout = 3\n{more}"
    )


@pytest.fixture
def second() -> Iterator[SmtpServer]:
    with SmtpServer() as server:
        yield server


def message(**more: Any) -> franking.Message:
    return franking.Message(to="jana@example.com", bcc="tajny@example.com", subject="Faktura", text="x", **more)


def send(**more: Any) -> franking.Receipt:
    with franking.connect("shop") as mailer:
        return mailer.send(message(**more))


def test_the_other_sends_what_this_one_cannot(second: SmtpServer) -> None:
    two = Two(None, second)
    receipt = send()
    assert receipt.account == "spare"
    assert any("'spare' sent it" in warning for warning in receipt.warnings)
    received, parsed = second.messages[0], two.message()
    assert (received.sender, received.recipients) == ("spare@example.cz", ["jana@example.com", "tajny@example.com"])
    assert parsed["From"] == "=?utf-8?q?Jan_Nov=C3=A1k?= <spare@example.cz>"
    assert parsed["Reply-To"] == "=?utf-8?q?Jan_Nov=C3=A1k?= <info@novak.cz>"
    assert parsed["Message-ID"] == receipt.message_id
    assert parsed["Bcc"] is None


def test_a_reply_to_that_is_there_stays(second: SmtpServer) -> None:
    two = Two(None, second)
    send(reply_to="obchod@novak.cz")
    assert two.message()["Reply-To"] == "obchod@novak.cz"


def test_who_sends_by_itself_says_so() -> None:
    with SmtpServer() as first, SmtpServer() as second:
        Two(first, second)
        receipt = send()
    assert (receipt.account, receipt.as_dict()["account"], receipt.warnings) == ("shop", "shop", ())
    assert second.messages == []


def test_the_message_keeps_its_id_through_both() -> None:
    with SmtpServer(faults=[Fault("mail", says("451 4.3.0 try later"))]) as first, SmtpServer() as second:
        two = Two(first, second)
        made = message(message_id="<1@novak.cz>")
        with franking.connect("shop") as mailer:
            assert mailer.send(made).message_id == "<1@novak.cz>"
        assert two.message()["Message-ID"] == "<1@novak.cz>"


@pytest.mark.parametrize(
    ("step", "reply"),
    [
        ("greet", "421 4.3.2 closing"), ("greet", "554 5.7.1 go away"), ("ehlo", "421 4.3.2 busy"),
        ("mail", "451 4.7.1 later"), ("mail", "421 4.7.0 too many"),
    ],
)  # fmt: skip
def test_a_refusal_before_any_recipient_falls_over(step: str, reply: str, second: SmtpServer) -> None:
    with SmtpServer(faults=[Fault(step, says(reply), nth=None)]) as first:
        Two(first, second)
        assert send().account == "spare"
        assert first.messages == []


@pytest.mark.parametrize(
    ("step", "reply"),
    [
        ("mail", "550 5.7.1 not your address"), ("rcpt", "550 5.1.1 unknown"), ("rcpt", "450 4.2.1 later"),
        ("rcpt", "421 4.3.2 bye"), ("data", "451 4.3.0 later"), ("body", "451 4.3.0 later"), ("body", "554 5.7.1 spam"),
    ],
)  # fmt: skip
def test_never_after_an_answer_to_a_recipient_or_the_message(step: str, reply: str, second: SmtpServer) -> None:
    without = "['chunking']" if step == "data" else "[]"
    with SmtpServer(faults=[Fault(step, says(reply), nth=None)]) as first:
        Two(first, second)
        path = Path(os.environ["FRANKING_CONFIG"])
        path.write_text(path.read_text().replace("fallback", f"without = {without}\nfallback"))
        with pytest.raises(franking.SendError):
            send()
    assert second.messages == []


def test_never_where_it_may_have_been_accepted(second: SmtpServer) -> None:
    with SmtpServer(faults=[Fault("body", hangs_up, executed=True)]) as first:
        Two(first, second)
        with pytest.raises(franking.OutcomeUnknown):
            send()
    assert second.messages == []


def test_never_for_a_wrong_message_or_wrong_settings(second: SmtpServer) -> None:
    Two(None, second, enabled="false")
    with pytest.raises(franking.SettingsError, match="switched off"):
        send()
    Two(None, second)
    with franking.connect("shop") as mailer, pytest.raises(franking.MessageError):
        mailer.send(b"Subject: x\r\n\r\nx")
    assert second.messages == []


def test_a_refused_login_falls_over(second: SmtpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRANKING_SECRET_SHOP", PASSWORD)
    with SmtpServer(users={"jana": "another"}) as first:
        Two(first, second, username="jana")
        assert send().account == "spare"


def test_a_test_send_never_falls_over(second: SmtpServer) -> None:
    Two(None, second)
    report = franking.send_test("shop", to="me@example.com")
    assert not report.ok
    assert report.diagnosis is not None and report.diagnosis.code == "connect.refused"
    assert second.messages == []


def test_the_first_is_left_alone_for_a_while_and_then_tried_again(
    second: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = [Fault("mail", says("451 4.7.1 later"), connection=number) for number in (1, 2)]
    with SmtpServer(faults=faults) as first:
        Two(first, second)
        now = [1_000_000.0]
        account = franking.connect("shop").account

        def once() -> str:
            mailer = Mailer(account)
            mailer.__dict__["failover"] = Failover(mailer, clock=lambda: now[0])  # another process, another time
            with mailer:
                return mailer.send(message()).account

        seen = []
        for later in (0, 59, 2, 119, 2, 1):
            now[0] += later
            seen.append((once(), len(first.sessions)))
    assert seen == [("spare", 1), ("spare", 1), ("spare", 2), ("spare", 2), ("shop", 3), ("shop", 4)]


def test_sends_that_fail_together_count_once(second: SmtpServer) -> None:
    Two(None, second)
    with franking.connect("shop") as mailer:
        for _ in range(3):
            reason = mailer.failover.note(franking.ConnectError("refused", step="connect"))
            assert reason == mailer.failover.resting()
    (known,) = (Path(os.environ["FRANKING_STATE_DIR"]) / "failover").iterdir()
    assert json.loads(known.read_text())["failures"] == 1


def test_the_last_of_several_has_the_last_word(second: SmtpServer) -> None:
    Path(os.environ["FRANKING_CONFIG"]).write_text(
        _table("shop", "a@example.cz", 1, "fallback = ['off', 'dead', 'spare']\n")
        + _table("off", "b@example.cz", second.port, "enabled = false\n")
        + _table("dead", "c@example.cz", 1, "fallback = ['off']\n")
        + _table("spare", "d@example.cz", second.port)
    )
    assert send().account == "spare"
    path = Path(os.environ["FRANKING_CONFIG"])
    path.write_text(path.read_text().replace(f"port = {second.port}", "port = 1"))
    with pytest.raises(franking.ConnectError):  # its own error
        send()


@pytest.mark.parametrize(("names", "said"), [("shop", "itself"), ("nobody", "nobody"), ("circle", "each other")])
def test_names_that_cannot_stand_in_are_wrong_settings(names: str, said: str, second: SmtpServer) -> None:
    Path(os.environ["FRANKING_CONFIG"]).write_text(
        _table("shop", "a@example.cz", second.port, f"fallback = ['{names}']\n")
        + _table("circle", "b@example.cz", second.port, "fallback = ['shop']\n")
    )
    with pytest.raises(franking.SettingsError, match=said):
        send()
    assert second.messages == []


def test_the_outbox_says_who_sent(second: SmtpServer) -> None:
    Two(None, second)
    entry = franking.connect("shop").queue(message())
    box = franking.Outbox()
    assert box.run(once=True).outcomes == {"accepted": 1}
    receipt = box.get(entry.id).receipt
    assert receipt is not None and receipt.account == "spare"


EVIDENCE = Evidence("smtp", code=451, details={"what": "sender"})
ERRORS: dict[str, tuple[list[FrankingError], list[FrankingError]]] = {
    "somebody has to sign in again": ([franking.LoginRequired("x")], [franking.SettingsError("x")]),
    "the login was refused": ([franking.LoginError("x")], []),
    "encryption failed, or the certificate is not to be trusted": ([franking.TLSError("x", step="tls")], []),
    "no address, no connection": (
        [franking.ConnectError("x", step=step) for step in ("resolve", "connect", "tls", "greet", "login")],
        [franking.ConnectError("x", step="message")],
    ),
    "the server refused at its greeting": ([franking.SendError("x", step="greet")], []),
    "the sender was put off (4xx or 421 to MAIL)": (
        [franking.Refused("x", step="message", temporary=True, evidence=EVIDENCE)],
        [franking.Refused("x", step="message", temporary=False, evidence=EVIDENCE)],
    ),
    "less is wanted for longer than a minute": (
        [franking.Throttled("x", retry_after=61, evidence=Evidence("http", code=429))],
        [
            franking.Throttled("x", retry_after=60, evidence=Evidence("http", code=429)),
            franking.Throttled("x", retry_after=61, evidence=Evidence("smtp", code=451)),
        ],
    ),
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.what)
def test_each_row_of_the_table(row: Any) -> None:
    yes, no = ERRORS[row.what]
    for error in yes:
        assert row.fits(error) and falls_over(error)
        error.possibly_sent = True
        assert not falls_over(error)
    for error in no:
        assert not falls_over(error)


def test_many_messages_that_need_nobody_else(second: SmtpServer) -> None:
    with SmtpServer(refused={"no@example.com": "550 5.1.1 unknown"}) as first:
        Two(first, second)
        letters = [message(), franking.Message(to="no@example.com", text="x")]
        with franking.connect("shop") as mailer:
            outcomes = [result.outcome for result in mailer.send_many(letters)]
    assert outcomes == ["accepted", "refused"]
    assert second.messages == []


def test_what_stops_the_one_that_stands_in_is_told(second: SmtpServer) -> None:
    """Its refusal of the recipient is the last word: somebody answered."""
    second.refused = {"jana@example.com": "550 5.1.1 unknown", "tajny@example.com": "550 5.1.1 unknown"}
    Two(None, second)
    with franking.connect("shop") as mailer:
        with pytest.raises(franking.RecipientsRefused):
            mailer.send(message())
        (result,) = mailer.send_many([message()])
    assert isinstance(result.error, franking.RecipientsRefused)


def test_resting_and_nobody_stands_in_the_account_itself_is_asked(second: SmtpServer) -> None:
    Two(None, second)
    send()  # it rests now
    path = Path(os.environ["FRANKING_CONFIG"])
    path.write_text(path.read_text().replace(f"port = {second.port}", "port = 1"))
    with pytest.raises(franking.ConnectError):
        send()


def test_a_memory_that_cannot_be_kept_costs_nothing_but_time(
    second: SmtpServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Two(None, second)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("franking.sending.failover.write_whole", fail)
        assert send().account == "spare"
    assert "No space left" in caplog.text
    assert send().account == "spare"
    (known,) = (Path(os.environ["FRANKING_STATE_DIR"]) / "failover").iterdir()
    known.write_text("[no json")
    assert send().account == "spare"
    known.write_text("[]")
    with SmtpServer() as first:
        Two(first, second)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", fail)
            assert send().account == "shop"
    assert "cannot be removed" in caplog.text
