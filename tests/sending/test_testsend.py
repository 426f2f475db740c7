"""The test-send: the very path that sending uses, told step by step; a failure is a report, never an exception."""

from __future__ import annotations

import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import franking
from franking.errors import (
    ConnectError,
    Evidence,
    FrankingError,
    LoginError,
    LoginRequired,
    OutcomeUnknown,
    RecipientsRefused,
    SettingsError,
)
from franking.message.address import Address, Envelope
from franking.provider import Step
from franking.sending.testsend import TestReport, check, compose, hints_for, interrupted, send_test, send_watched
from servers.scripted import ScriptedProvider, ScriptedSession
from servers.smtp import SmtpServer

pytestmark = pytest.mark.parametrize("scripted", [False], indirect=True, ids=["scripted"])


def test_a_test_that_was_sent_is_told_in_full(account: franking.Account, scripted: ScriptedProvider) -> None:
    seen: list[Step] = []
    report = send_test(account, "Me <me@example.com>", secret="x", observer=seen.append)
    assert report.ok
    told = json.loads(json.dumps(report.as_dict()))
    assert report.receipt is not None
    for step in told["steps"]:
        assert step.pop("ms") >= 0
    assert told == {
        "ok": True,
        "outcome": "sent",
        "account": "s",
        "provider": "scripted",
        "route": "scripted",
        "from": "jan@example.com",
        "to": ["me@example.com"],
        "message_id": report.receipt.message_id,
        "steps": [
            {"name": "settings", "status": "ok", "detail": "A script, scripted"},
            {"name": "secret", "status": "ok", "detail": ""},
            {"name": "connect", "status": "ok", "detail": ""},
        ],
        "possibly_sent": False,
        "receipt": {
            "message_id": report.receipt.message_id,
            "account": "s",
            "route": "scripted",
            "reply": "250 ok",
            "provider_id": None,
            "accepted": ["me@example.com"],
            "refused": {},
            "bytes": report.receipt.bytes,
            "ms": 0.0,
        },
        "diagnosis": None,
        "hints": [],
        "deliverability": told["deliverability"],
    }
    assert told["deliverability"]["verdict"] == "unknown"  # nobody can be asked here
    assert [(step.name, step.status) for step in seen] == [
        ("settings", "ok"),
        ("secret", "running"),
        ("secret", "ok"),
        ("connect", "ok"),
    ]
    assert scripted.closed == 1


def test_without_an_address_it_goes_to_the_account_s_own(account: franking.Account, scripted: ScriptedProvider) -> None:
    assert send_test(account, secret="x").to == ("jan@example.com",)
    assert [recipients for recipients, _ in scripted.sent] == [("jan@example.com",)]


def test_a_check_goes_up_to_the_login_and_sends_nothing(account: franking.Account, scripted: ScriptedProvider) -> None:
    report = check(account, secret="x")
    assert (report.ok, report.outcome, report.to, report.message_id, report.receipt) == (
        True,
        "checked",
        (),
        None,
        None,
    )
    assert (scripted.opened, scripted.closed, scripted.sent) == (1, 1, [])


@pytest.mark.parametrize(
    ("error", "outcome", "possibly"),
    [
        (RecipientsRefused("no", refused={"me@example.com": {"reply": "550 no"}}), "failed", False),
        (OutcomeUnknown("cut"), "unknown", True),
        (ConnectError("cut", possibly_sent=True), "unknown", True),
        (LoginRequired("nobody has signed in"), "login-required", False),
    ],
)
def test_a_failure_is_told_and_not_raised(
    account: franking.Account, scripted: ScriptedProvider, error: FrankingError, outcome: str, possibly: bool
) -> None:
    scripted.answers = [error]
    report = send_test(account, "me@example.com", secret="x")
    assert (report.ok, report.outcome, report.possibly_sent) == (False, outcome, possibly)
    assert report.error is error
    assert report.receipt is None
    assert report.message_id == scripted.sent[0][1]
    assert report.diagnosis is error.diagnosis is not None
    assert report.diagnosis.values["to"] == "me@example.com"
    assert scripted.closed == 1


def test_a_message_that_cannot_be_composed_still_names_its_recipient(
    account: franking.Account, scripted: ScriptedProvider
) -> None:
    report = send_watched(account, franking.Message(subject="nobody", text="x"), secret="x")
    assert (report.outcome, report.to, report.message_id) == ("failed", (), None)
    assert scripted.opened == 0
    assert report.diagnosis is not None


def test_any_message_is_told_in_the_same_form(account: franking.Account, scripted: ScriptedProvider) -> None:
    envelope = Envelope("bounces@example.com", ["b@example.com", "c@example.com"])
    report = send_watched(account, b"To: a@example.com\r\n\r\nx\r\n", envelope=envelope, secret="x")
    assert (report.ok, report.to) == (True, ("b@example.com", "c@example.com"))
    assert scripted.sent[0][0] == ("b@example.com", "c@example.com")


def test_an_account_that_is_switched_off_sends_nothing_but_may_be_checked(
    account: franking.Account, scripted: ScriptedProvider
) -> None:
    off = account.replace(enabled=False)
    report = send_test(off, "me@example.com", secret="x")
    assert (report.outcome, report.steps[0].status, len(report.steps)) == ("failed", "failed", 1)
    assert report.steps[0].detail == str(report.error)
    assert isinstance(report.error, SettingsError)
    assert report.to == ("me@example.com",)
    assert scripted.opened == 0
    assert check(off, secret="x").steps[0].status == "ok"


def test_the_mailer_is_handed_over_before_it_is_used(account: franking.Account, scripted: ScriptedProvider) -> None:
    opened: list[int] = []
    send_test(account, "me@example.com", secret="x", made=lambda mailer: opened.append(scripted.opened))
    assert opened == [0]


def test_an_account_that_does_not_exist_is_raised(scripted: ScriptedProvider) -> None:
    with pytest.raises(SettingsError, match="nobody"):
        send_test("nobody", "me@example.com")


def test_a_failure_without_an_account_has_a_report_too(scripted: ScriptedProvider) -> None:
    report = TestReport.of_error(LoginRequired("sign in"), "shop", route="graph")
    assert (report.ok, report.outcome, report.account, report.route) == (False, "login-required", "shop", "graph")
    assert report.diagnosis is not None
    assert report.as_dict()["diagnosis"]["title"]


# -- interrupted -------------------------------------------------------------------------------------------------------


def test_an_interruption_says_what_it_interrupted(
    account: franking.Account, scripted: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: ScriptedSession, envelope: Any, content: Any) -> Any:
        self.observer(Step("message", "running"))
        raise KeyboardInterrupt

    monkeypatch.setattr(ScriptedSession, "send", broken)
    with pytest.raises(KeyboardInterrupt) as caught:
        send_test(account, "me@example.com", secret="x")
    mark: Any = caught.value
    assert (mark.step, mark.possibly_sent) == ("message", True)
    assert mark.about.pop("message_id").startswith("<")
    assert mark.about == {
        "account": "s",
        "provider": "scripted",
        "route": "scripted",
        "sender": "jan@example.com",
        "to": ("me@example.com",),
    }
    unknown = interrupted(mark)
    assert isinstance(unknown, OutcomeUnknown)
    assert (unknown.step, unknown.evidence and unknown.evidence.reason) == ("message", "interrupted")


def test_an_interruption_while_it_opens_sent_nothing(
    account: franking.Account, scripted: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(ScriptedProvider, "open", broken)
    with pytest.raises(KeyboardInterrupt) as caught:
        send_test(account, "me@example.com", secret="x")
    assert caught.value.possibly_sent is False  # type: ignore[attr-defined]
    error = interrupted(caught.value)
    assert str(error) == "Interrupted; nothing was sent."
    assert not error.possibly_sent


@pytest.mark.parametrize(("step", "possibly"), [("accepted", True), ("login", False)])
def test_an_interruption_while_the_connection_closes_depends_on_the_last_step(
    account: franking.Account, scripted: ScriptedProvider, monkeypatch: pytest.MonkeyPatch, step: str, possibly: bool
) -> None:
    def broken(self: ScriptedSession) -> None:
        self.observer(Step(step, "ok"))
        raise KeyboardInterrupt

    monkeypatch.setattr(ScriptedSession, "close", broken)
    with pytest.raises(KeyboardInterrupt) as caught:
        check(account, secret="x")
    assert caught.value.possibly_sent is possibly  # type: ignore[attr-defined]


def test_an_interruption_from_nowhere_sent_nothing(scripted: ScriptedProvider) -> None:
    error = interrupted(KeyboardInterrupt())
    assert type(error) is FrankingError
    assert error.step is None


# -- the message -------------------------------------------------------------------------------------------------------


def test_the_message_says_what_sent_it_and_asks_for_no_answer(scripted: ScriptedProvider, tmp_path: Path) -> None:
    account = franking.Account(
        name="<shop>", provider="smtp", sender="Jan <jan@novak.cz>", host="smtp.novak.cz", port=587
    )
    message = compose(account, Address.parse("me@x.cz"), now=lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    local = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
    assert message.text is not None and message.html is not None
    lines = message.text.splitlines()
    assert lines[0] == "This is a test message. Since you can read it, sending works."
    assert lines[2:7] == [
        "Account: <shop>",
        "From:    Jan <jan@novak.cz>",
        "Route:   smtp",
        "Server:  smtp.novak.cz:587",
        f"Sent:    {local}",
    ]
    assert lines[7].startswith(f"Program: Franking {franking.__version__}, Python 3.")
    assert lines[-1] == "Nobody needs to answer it."
    assert "&lt;shop&gt;" in message.html and "<shop>" not in message.html
    octets = message.as_bytes("jan@novak.cz")
    assert b"Auto-Submitted: auto-generated\r\n" in octets
    assert b"X-Auto-Response-Suppress: All\r\n" in octets
    file = franking.Account(name="dev", provider="file", sender="jan@novak.cz", path=str(tmp_path))
    assert "Server:  Files (.eml or Maildir)" in (compose(file, file.sender).text or "")


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ({"provider": "smtp", "host": "127.0.0.1", "port": 2525, "security": "none"}, "127.0.0.1:2525 (none)"),
        ({"provider": "gmail"}, "gmail-api"),
        ({"provider": "gmail", "route": "smtp"}, "smtp.gmail.com:465 (tls)"),
        ({"provider": "outlook", "route": "smtp"}, "smtp.office365.com:587 (starttls)"),
        ({"provider": "outlook"}, "graph"),
        ({"provider": "file", "path": "/tmp/mail"}, "/tmp/mail"),
    ],
)
def test_the_settings_step_says_where_messages_go(
    scripted: ScriptedProvider, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], place: str
) -> None:
    account = franking.Account(name="x", sender="jan@novak.cz", **settings)
    monkeypatch.setattr(franking.Mailer, "check", lambda self: None)
    (step,) = check(account).steps
    assert (step.name, step.status) == ("settings", "ok")
    assert step.detail.endswith(f", {place}")


# -- hints -------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="Windows has no modes")
@pytest.mark.parametrize(("mode", "open_to"), [(0o600, None), (0o604, "0604"), (0o640, "0640"), (0o644, "0644")])
def test_a_file_with_secrets_that_others_may_read_is_pointed_at(
    scripted: ScriptedProvider, tmp_path: Path, mode: int, open_to: str | None
) -> None:
    file = tmp_path / "client.json"
    file.write_text("{}")
    file.chmod(mode)
    account = franking.Account(name="x", provider="gmail", sender="jan@gmail.com", client_secrets=str(file))
    hints = [hint for hint in hints_for(account) if hint.code == "file.open-to-others"]
    assert [hint.values["mode"] for hint in hints] == ([open_to] if open_to else [])
    for hint in hints:
        assert (hint.values["key"], hint.values["path"]) == ("client_secrets", str(file))
        assert hint.text
    file.unlink()
    assert not hints_for(account), "that it is missing is told where it is used"


def test_hints_know_the_account_and_the_password(scripted: ScriptedProvider) -> None:
    with SmtpServer(users={"jan": "right"}) as server:
        account = franking.Account(
            name="t",
            provider="smtp",
            sender="jan@novak.cz",
            host="127.0.0.1",
            port=server.port,
            security="none",
            username="jan",
        )
        report = check(account, secret="wrong ")
    assert isinstance(report.error, LoginError)
    codes = [hint.code for hint in report.hints]
    assert "secret.trailing-blank" in codes
    assert report.diagnosis is not None
    assert "blank" in report.diagnosis.remedies[0], "the hint leads"
    assert all("wrong" not in f"{hint.text}{hint.values}" for hint in report.hints)


def test_a_report_keeps_the_steps_of_a_failed_connection(scripted: ScriptedProvider) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # and does not listen
        account = franking.Account(
            name="t", provider="smtp", sender="a@b.cz", host="127.0.0.1", port=held.getsockname()[1], security="none"
        )
        report = send_test(account, "me@b.cz")
    assert [(step.name, step.status) for step in report.steps][-1] == ("connect", "failed")
    assert {step.status for step in report.steps[:-1]} == {"ok"}
    assert report.diagnosis is not None and report.diagnosis.code.startswith("connect.")


def test_evidence_of_the_error_is_kept(account: franking.Account, scripted: ScriptedProvider) -> None:
    scripted.answers = [ConnectError("reset", evidence=Evidence("connect", reason="reset"))]
    report = send_test(account, "me@example.com", secret="x")
    assert report.error is not None and report.error.evidence is not None
    assert report.error.evidence.reason == "reset"
    assert report.outcome == "failed"


# -- what print() shows ------------------------------------------------------------------------------------------------


def test_a_report_that_is_printed_is_the_verdict_and_the_steps(
    account: franking.Account, scripted: ScriptedProvider
) -> None:
    assert str(send_test(account, "me@example.com", secret="x")).splitlines() == [
        "sent: me@example.com (250 ok)",
        "  ok       settings  A script, scripted",
        "  ok       secret",
        "  ok       connect",
    ]
    assert str(check(account, secret="x")).splitlines()[0] == "checked: ready to send with the account s"


def test_a_red_report_that_is_printed_ends_in_the_remedies(
    account: franking.Account, scripted: ScriptedProvider
) -> None:
    scripted.raised = franking.LoginError("refused", evidence=Evidence("smtp", code=535, text="5.7.8 no\x1b[31m"))
    report = send_test(account, "me@example.com", secret="x")
    told = str(report)
    assert report.diagnosis is not None
    assert told.startswith(f"failed: {report.diagnosis.title}\n  ok       settings")
    assert told.endswith(report.diagnosis.remedies[-1]) and told.count(report.diagnosis.cause) == 1
    assert "\x1b" not in told
