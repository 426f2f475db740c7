"""What an observer is told: exactly one failed step for a failure, a warning for what was made up for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import franking
from franking.errors import ConnectError, FrankingError, LoginError, Refused
from franking.message.prepare import Prepared
from franking.provider import Step
from franking.sending.retry import NEVER
from franking.sending.testsend import check
from servers.certificates import Certificates
from servers.dialogue import Raw
from servers.scripted import ScriptedProvider, messages
from servers.smtp import EXTENSIONS, Fault, SmtpServer, hangs_up, says, silence

Start = Callable[..., SmtpServer]


class Tokens:
    """Tokens that are numbered, and renewed where a server refuses one."""

    def __init__(self) -> None:
        self.number = 1

    def get(self, *, renew_after: str | None = None) -> str:
        if renew_after is not None:
            self.number += 1
        return f"token-{self.number}"


class Watch:
    """Steps that have ended."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def __call__(self, step: Step) -> None:
        if step.status != "running":
            self.steps.append(step)

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(step.name, step.status) for step in self.steps]

    @property
    def odd(self) -> list[tuple[str, str]]:
        return [each for each in self.told if each[1] != "ok"]


def account(server: SmtpServer, **settings: Any) -> franking.Account:
    given: dict[str, Any] = {"host": "localhost", "security": "none", "timeout": 0.5, "final_timeout": 5.0, **settings}
    return franking.Account(name="t", provider="smtp", sender="jan@example.com", port=server.port, **given)


def message(**more: Any) -> franking.Message:
    return franking.Message(**{"to": "a@example.com", "subject": "x", "text": "x", **more})


# -- a token that is renewed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("security", ["tls", "starttls"])
@pytest.mark.parametrize("way", ["send", "send_test", "check", "send_many"])
def test_a_token_that_was_refused_and_renewed_is_a_warning(
    smtp_server: Start, certificates: Certificates, security: str, way: str
) -> None:
    server = smtp_server(
        context=certificates.context("good"), implicit_tls=security == "tls", tokens={"jan": "token-2"}
    )
    given = account(server, security=security, ca_file=certificates.ca_file, username="jan", auth="xoauth2")
    watch = Watch()
    if way == "send_test":
        report = franking.send_test(given, secret=Tokens(), observer=watch)
        assert report.ok
        assert report.steps == tuple(watch.steps)
    else:
        with franking.connect(given, secret=Tokens(), observer=watch) as mailer:
            {
                "send": lambda: mailer.send(message()),
                "check": mailer.check,
                "send_many": lambda: list(mailer.send_many(messages(2))),
            }[way]()
    assert watch.odd == [("login", "warning")]
    (warning,) = [step for step in watch.steps if step.status == "warning"]
    assert "refused" in warning.detail and "renewed" in warning.detail
    at = watch.told.index(("login", "warning"))
    assert watch.told[at + 1] == ("secret", "ok"), "the steps begin again"
    assert ("login", "ok") in watch.told[at:]
    assert "token-" not in str(watch.steps)


def test_a_token_that_is_refused_again_is_one_failure(smtp_server: Start, certificates: Certificates) -> None:
    server = smtp_server(context=certificates.context("good"), implicit_tls=True, tokens={"jan": "another"})
    given = account(server, security="tls", ca_file=certificates.ca_file, username="jan", auth="xoauth2")
    report = franking.send_test(given, secret=Tokens())
    assert [(step.name, step.status) for step in report.steps if step.status != "ok"] == [
        ("login", "warning"),
        ("login", "failed"),
    ]


def test_a_token_that_a_session_finds_refused_is_told_whatever_the_session_told(
    account: franking.Account, scripted: ScriptedProvider
) -> None:
    scripted.answers = [LoginError("401", token_refused=True)]
    watch = Watch()
    with franking.connect(account, secret=Tokens(), observer=watch) as mailer:
        mailer.send(message())
    assert watch.odd == [("login", "warning")]


# -- a connection that is replaced -------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", ["452 4.5.3 enough", "421 4.7.0 enough"])
def test_a_session_that_ended_and_was_replaced_is_a_warning(smtp_server: Start, reply: str) -> None:
    server = smtp_server(most_messages=1, enough=reply)
    watch = Watch()
    with franking.connect(account(server), observer=watch) as mailer:
        mailer.send(message())
        mailer.send(message())
    assert watch.odd == [("message", "warning")]
    assert watch.told[-1] == ("accepted", "ok")


# -- failures ----------------------------------------------------------------------------------------------------------

FAILURES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], str]] = {
    # the server's, the account's, the message's; and the step that fails
    "nobody to send to": ({}, {}, {"to": []}, "message"),
    "too large for the server": ({"extensions": ("SIZE 100",)}, {}, {"text": "x" * 1000}, "message"),
    "8-bit text that cannot be carried": (
        {"extensions": ()},
        {},
        {"subject": "x", "to": "jiří@example.com"},
        "message",
    ),
    "a switched-off account": ({}, {"enabled": False}, {}, "settings"),
    "no password": ({}, {"username": "jan"}, {}, "secret"),
    "a CA file that is none": ({}, {"security": "tls", "ca_file": "/nowhere/ca.pem"}, {}, "settings"),
    "a name to greet with that is none": ({}, {"ehlo_name": "a b"}, {}, "settings"),
    "no login offered": ({}, {"username": "jan", "password": "x"}, {}, "login"),
    "no name to be found": ({}, {"host": "nowhere.invalid"}, {}, "resolve"),
    "a silent greeting": ({"faults": [Fault("greet", silence)]}, {}, {}, "greet"),
    "a cut EHLO": ({"faults": [Fault("ehlo", hangs_up)]}, {}, {}, "greet"),
    "a silent EHLO": ({"faults": [Fault("ehlo", silence)]}, {}, {}, "greet"),
    "a refused EHLO": ({"faults": [Fault("ehlo", says("554 no"))]}, {}, {}, "greet"),
    "a refused sender": ({"refused": {"jan@example.com": "553 no"}}, {}, {}, "message"),
    "a refused recipient": ({"refused": {"a@example.com": "550 no"}}, {}, {}, "message"),
    "a refused content": ({"faults": [Fault("body", says("554 spam"))]}, {}, {}, "accepted"),
    "an unknown end": ({"faults": [Fault("body", hangs_up)]}, {}, {}, "accepted"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_has_one_failed_step_and_says_there_what_it_is(smtp_server: Start, name: str) -> None:
    of_server, settings, of_message, step = FAILURES[name]
    settings = dict(settings)
    secret = settings.pop("password", None)
    server = smtp_server(**of_server)
    watch = Watch()
    with (
        pytest.raises(FrankingError) as caught,
        franking.connect(account(server, **settings), secret=secret, observer=watch) as mailer,
    ):
        mailer.send(message(**of_message))
    assert watch.odd == [(step, "failed")]
    assert watch.steps[-1].detail == caught.value.message
    assert watch.steps[-1].name == step


@pytest.mark.parametrize("fault", ["cut", "silent", "refused"])
@pytest.mark.parametrize("way", ["check", "send_test"])
def test_the_second_ehlo_belongs_to_greet(smtp_server: Start, certificates: Certificates, fault: str, way: str) -> None:
    act: Any = {"cut": hangs_up, "silent": silence, "refused": says("554 no")}[fault]
    server = smtp_server(context=certificates.context("good"), faults=[Fault("ehlo", act, nth=2)])
    given = account(server, security="starttls", ca_file=certificates.ca_file)
    report = check(given) if way == "check" else franking.send_test(given)
    assert [(each.name, each.status) for each in report.steps][-3:] == [
        ("greet", "ok"),
        ("tls", "ok"),
        ("greet", "failed"),
    ]


def test_recipients_that_a_further_transaction_lost_are_no_failure(smtp_server: Start) -> None:
    """Some have it: the receipt says who has not."""
    server = smtp_server(most_recipients=1, faults=[Fault("mail", says("550 5.7.1 enough of you"), nth=2)])
    watch = Watch()
    with franking.connect(account(server), observer=watch) as mailer:
        receipt = mailer.send(message(to=["a@example.com", "b@example.com"]))
    assert receipt.accepted == ("a@example.com",)
    assert watch.odd == [("message", "warning")]


@pytest.mark.parametrize("error", [ConnectError("reset"), Refused("no")])
def test_a_borrowed_session_that_cannot_be_opened_is_told_too(
    account: franking.Account, scripted: ScriptedProvider, error: FrankingError
) -> None:
    scripted.openings = [error]
    watch = Watch()
    with (
        franking.connect(account, secret="x", observer=watch) as mailer,
        pytest.raises(type(error)),
        mailer.borrow(),
    ):
        raise AssertionError("nobody comes here")
    assert [status for _, status in watch.odd] == ["failed"]


def test_many_messages_without_a_session_are_told_of_each_opening_that_failed(smtp_server: Start) -> None:
    server = smtp_server(faults=[Fault("greet", hangs_up)], extensions=EXTENSIONS)
    watch = Watch()
    with franking.connect(account(server), observer=watch) as mailer:
        results = list(mailer.send_many(messages(2), policy=NEVER))
    assert {result.outcome for result in results} == {"failed"}
    assert watch.odd == [("greet", "failed")] * 2


@pytest.mark.parametrize("problem", [KeyboardInterrupt(), ZeroDivisionError("a bug")])
def test_what_is_no_error_of_ours_ends_its_step_too(tmp_path: Path, problem: BaseException) -> None:
    """And the next message begins with a clean slate."""

    class Breaking(Raw):
        def chunks(self, *, bcc: bool) -> Iterator[bytes]:
            raise problem

    given = franking.Account(name="out", provider="file", sender="jan@example.com", path=str(tmp_path / "out"))
    watch = Watch()
    with franking.connect(given, observer=watch) as mailer:
        with pytest.raises(type(problem)):
            mailer.send(Prepared(franking.Envelope("jan@example.com", ["a@example.com"]), Breaking()))
        assert watch.odd == [("message", "failed")]
        mailer.send(message())
        assert watch.odd == [("message", "failed")]
        with pytest.raises(franking.MessageError) as caught:
            mailer.send(message(to=[]))
    assert watch.steps[-1].detail == caught.value.message
