"""The mailer: lazy, shared by threads, the only home of recovery."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest

import franking
from franking.errors import ConnectError, LoginError, OutcomeUnknown, RecipientsRefused, Refused
from franking.provider import Facts, RouteFacts
from servers.scripted import ScriptedProvider, ScriptedSession


class Tokens:
    """A secret that counts."""

    def __init__(self) -> None:
        self.given = 0
        self.renewed: list[str | None] = []

    def get(self, *, renew_after: str | None = None) -> str:
        if renew_after is not None:
            self.renewed.append(renew_after)
            self.given += 1
        return f"token-{self.given}"


def message(to: Any = "a@example.com") -> franking.Message:
    return franking.Message(to=to, subject="x", text="x")


def test_nothing_is_opened_until_first_used(account: franking.Account, scripted: ScriptedProvider) -> None:
    with franking.connect(account, secret=Tokens()) as mailer:
        assert scripted.opened == 0
        mailer.send(message())
        mailer.send(message())
    assert (scripted.opened, scripted.closed) == (1, 1)


def test_a_refused_token_is_renewed_once(account: franking.Account, scripted: ScriptedProvider) -> None:
    tokens = Tokens()
    scripted.openings = [LoginError("no", token_refused=True)]
    with franking.connect(account, secret=tokens) as mailer:
        mailer.send(message())
    assert tokens.renewed == ["token-0"]
    assert scripted.tokens == ["token-0", "token-1"]


def test_a_token_refused_again_is_not_renewed_in_a_loop(account: franking.Account, scripted: ScriptedProvider) -> None:
    tokens = Tokens()
    scripted.openings = [LoginError("no", token_refused=True) for _ in range(5)]
    with franking.connect(account, secret=tokens) as mailer, pytest.raises(LoginError):
        mailer.send(message())
    assert len(tokens.renewed) == 1
    assert scripted.opened == 2


def test_a_wrong_password_is_not_tried_again(account: franking.Account, scripted: ScriptedProvider) -> None:
    scripted.openings = [LoginError("no")]
    with franking.connect(account, secret="x") as mailer, pytest.raises(LoginError) as caught:
        mailer.send(message())
    assert scripted.opened == 1
    assert caught.value.diagnosis is not None


def test_a_token_refused_by_an_api_while_sending_is_renewed_once(
    account: franking.Account, scripted: ScriptedProvider
) -> None:
    tokens = Tokens()
    scripted.answers = [LoginError("401", token_refused=True)]
    with franking.connect(account, secret=tokens) as mailer:
        receipt = mailer.send(message())
    assert tokens.renewed == ["token-0"]
    assert scripted.opened == 2
    assert [message_id for _, message_id in scripted.sent] == [receipt.message_id] * 2


def test_a_connection_that_had_died_is_replaced_once(account: franking.Account, scripted: ScriptedProvider) -> None:
    with franking.connect(account, secret="x") as mailer:
        mailer.send(message())
        scripted.answers = [ConnectError("closed while idle", stale=True)]
        mailer.send(message())
        assert scripted.opened == 2
        scripted.answers = [ConnectError("closed", stale=True), ConnectError("closed again", stale=True)]
        with pytest.raises(ConnectError):
            mailer.send(message())
        assert scripted.opened == 3


@pytest.mark.parametrize(
    "error", [ConnectError("reset"), OutcomeUnknown("cut"), Refused("no"), Refused("later", temporary=True)]
)
def test_nothing_else_is_sent_again(
    account: franking.Account, scripted: ScriptedProvider, error: franking.FrankingError
) -> None:
    scripted.answers = [error]
    with franking.connect(account, secret="x") as mailer, pytest.raises(type(error)) as caught:
        mailer.send(message())
    assert len(scripted.sent) == 1
    assert caught.value.diagnosis is not None


def test_a_session_that_was_answered_goes_on_and_a_broken_one_does_not(
    account: franking.Account, scripted: ScriptedProvider
) -> None:
    with franking.connect(account, secret="x") as mailer:
        for error, opened in ((Refused("no"), 1), (RecipientsRefused("none"), 1), (OutcomeUnknown("cut"), 1)):
            scripted.answers = [error]
            with pytest.raises(type(error)):
                mailer.send(message())
            assert scripted.opened == opened
        mailer.send(message())
        assert scripted.opened == 2


def test_too_many_recipients_go_on_in_a_further_transaction(
    account: franking.Account, scripted: ScriptedProvider
) -> None:
    everybody = [f"r{number}@example.com" for number in range(10)]
    too_many = {"reply": "452 4.5.3 Too many recipients", "temporary": True}
    scripted.answers = [
        dict.fromkeys(everybody[4:], too_many),
        {**dict.fromkeys(everybody[8:], too_many), everybody[5]: {"reply": "550 5.1.1 unknown", "temporary": False}},
    ]
    with franking.connect(account, secret="x") as mailer:
        receipt = mailer.send(message(everybody))
    assert set(receipt.accepted) == set(everybody) - {everybody[5]}
    assert receipt.refused == {everybody[5]: {"reply": "550 5.1.1 unknown", "temporary": False}}
    assert [len(recipients) for recipients, _ in scripted.sent] == [10, 6, 2]
    assert len({message_id for _, message_id in scripted.sent}) == 1


@pytest.mark.parametrize(
    "error", [Refused("no more today", temporary=True), ConnectError("reset"), RecipientsRefused("all")]
)
def test_a_further_transaction_that_fails_is_told_in_the_receipt(
    account: franking.Account, scripted: ScriptedProvider, error: franking.FrankingError
) -> None:
    too_many = {"reply": "452 4.5.3 Too many recipients", "temporary": True}
    scripted.answers = [{"c@example.com": too_many}, error]
    with franking.connect(account, secret="x") as mailer:
        receipt = mailer.send(message(["a@example.com", "b@example.com", "c@example.com"]))
    assert receipt.accepted == ("a@example.com", "b@example.com")
    assert receipt.refused == {"c@example.com": {"reply": str(error), "temporary": error.temporary}}


def test_threads_share_at_most_as_many_sessions_as_allowed(
    account: franking.Account, scripted: ScriptedProvider
) -> None:
    with franking.connect(account, secret="x", connections=3) as mailer:
        threads = [threading.Thread(target=lambda: [mailer.send(message()) for _ in range(20)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(scripted.sent) == 160
    assert scripted.most_open <= 3
    assert scripted.open_now == 0


def test_a_disabled_account_says_so(account: franking.Account, scripted: ScriptedProvider) -> None:
    with (
        franking.connect(account.replace(enabled=False), secret="x") as mailer,
        pytest.raises(franking.SettingsError, match="accounts enable s"),
    ):
        mailer.send(message())
    assert scripted.opened == 0


def test_a_message_without_recipients_is_refused(account: franking.Account) -> None:
    with franking.connect(account, secret="x") as mailer, pytest.raises(franking.MessageError, match="no recipient"):
        mailer.send(franking.Message(subject="x", text="x"))


def test_a_closed_mailer_says_so(account: franking.Account) -> None:
    mailer = franking.connect(account, secret="x")
    mailer.close()
    with pytest.raises(franking.SettingsError, match="closed"):
        mailer.send(message())


@pytest.mark.parametrize("options", [{"connections": 0}, {"window": 0}, {"rate": 0}])
def test_impossible_numbers_are_refused(account: franking.Account, options: dict[str, Any]) -> None:
    with pytest.raises(franking.SettingsError, match=next(iter(options))):
        franking.connect(account, **options)


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_opens_its_own_sessions(account: franking.Account, scripted: ScriptedProvider) -> None:
    with franking.connect(account, secret="x") as mailer:
        mailer.send(message())
        child = os.fork()
        if child == 0:
            try:
                mailer.send(message())
                os._exit(0 if (scripted.opened, scripted.closed) == (2, 0) else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        mailer.send(message())
        assert scripted.opened == 1


def test_its_repr_holds_no_secret(account: franking.Account) -> None:
    assert "canary" not in repr(franking.connect(account, secret="canary"))


def test_a_prepared_message_is_sent_as_it_is(account: franking.Account, scripted: ScriptedProvider) -> None:
    with franking.connect(account, secret="x") as mailer:
        prepared = mailer.prepare(message())
        assert mailer.send(prepared).message_id == prepared.content.message_id
        assert mailer.send(prepared).message_id == prepared.content.message_id
    assert scripted.opened == 1


def test_a_check_renews_a_refused_token_and_replaces_a_dead_connection_once(
    account: franking.Account, scripted: ScriptedProvider
) -> None:
    tokens = Tokens()
    scripted.openings = [LoginError("no", token_refused=True), ConnectError("gone", stale=True)]
    with franking.connect(account, secret=tokens) as mailer:
        mailer.check()
        assert (scripted.opened, tokens.renewed) == (3, ["token-0"])
        scripted.openings = [ConnectError("gone", stale=True), ConnectError("gone", stale=True)]
        mailer.pool.drop_idle()
        with pytest.raises(ConnectError) as caught:
            mailer.check()
    assert scripted.opened == 5
    assert caught.value.diagnosis is not None
    assert scripted.sent == []


@pytest.mark.parametrize(("error", "renewed"), [(LoginError("x", token_refused=True, possibly_sent=True), 0)])
def test_what_may_have_been_sent_is_not_sent_again_with_a_new_token(
    account: franking.Account, scripted: ScriptedProvider, error: LoginError, renewed: int
) -> None:
    tokens = Tokens()
    scripted.answers = [error]
    with franking.connect(account, secret=tokens) as mailer, pytest.raises(LoginError):
        mailer.send(message())
    assert (len(tokens.renewed), len(scripted.sent)) == (renewed, 1)


def test_every_idle_session_is_dropped_when_one_was_dead(account: franking.Account, scripted: ScriptedProvider) -> None:
    with franking.connect(account, secret="x", connections=2) as mailer:
        with mailer.borrow(), mailer.borrow():
            pass
        assert scripted.open_now == 2
        scripted.answers = [ConnectError("closed while idle", stale=True)]
        mailer.send(message())
        assert (scripted.open_now, scripted.opened, scripted.closed) == (1, 3, 2)


# -- interrupted -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("where", "possibly"), [("open", False), ("send", True), ("close", False)])
def test_an_interruption_says_whether_the_message_may_have_been_accepted(
    account: franking.Account,
    scripted: ScriptedProvider,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    possibly: bool,
) -> None:
    def broken(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    if where == "close":
        scripted.answers = [ConnectError("reset")]  # surely not accepted, and then the session is closed
    monkeypatch.setattr(ScriptedProvider if where == "open" else ScriptedSession, where, broken)
    mailer = franking.connect(account, secret="x")
    with pytest.raises(KeyboardInterrupt) as caught:
        mailer.send(message())
    assert caught.value.possibly_sent is possibly  # type: ignore[attr-defined]


def test_an_interruption_of_a_further_transaction_was_after_some_had_it(
    account: franking.Account, scripted: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = ScriptedSession.send

    def second(self: ScriptedSession, envelope: Any, content: Any) -> Any:
        if scripted.sent:
            interruption: Any = KeyboardInterrupt()
            interruption.possibly_sent = False
            raise interruption
        return original(self, envelope, content)

    monkeypatch.setattr(ScriptedSession, "send", second)
    scripted.answers = [{"b@example.com": {"reply": "452 4.5.3 Too many recipients", "temporary": True}}]
    with franking.connect(account, secret="x") as mailer, pytest.raises(KeyboardInterrupt) as caught:
        mailer.send(message(["a@example.com", "b@example.com"]))
    assert caught.value.possibly_sent is True  # type: ignore[attr-defined]


def test_an_unknown_further_transaction_is_no_refusal(account: franking.Account, scripted: ScriptedProvider) -> None:
    scripted.answers = [
        {"b@example.com": {"reply": "452 4.5.3 Too many recipients", "temporary": True}},
        OutcomeUnknown("cut"),
    ]
    with franking.connect(account, secret="x") as mailer, pytest.raises(OutcomeUnknown):
        mailer.send(message(["a@example.com", "b@example.com"]))
    assert len(scripted.sent) == 2


def test_abort_of_one_thread_leaves_the_others(account: franking.Account, scripted: ScriptedProvider) -> None:
    with franking.connect(account, secret="x", connections=2) as mailer, mailer.borrow():
        assert not mailer.abort(thread=-1)
        assert scripted.closed == 0
        mailer.abort(thread=threading.get_ident())
        assert scripted.closed == 1


def test_more_connections_than_the_provider_takes_are_warned_of(
    account: franking.Account, scripted: ScriptedProvider, caplog: pytest.LogCaptureFixture
) -> None:
    scripted.facts = Facts(routes=(RouteFacts("scripted", connections=2),))
    with caplog.at_level("WARNING", logger="franking.mailer"), franking.connect(account, secret="x") as mailer:
        list(mailer.send_many([message()], connections=2))
        assert caplog.messages == []
        list(mailer.send_many([message()], connections=3))
    assert caplog.messages == ["A script takes at most 2 connections at once, not 3."]


def test_a_secret_is_found_once_and_its_password_is_known_to_hints_only(
    account: franking.Account, scripted: ScriptedProvider
) -> None:
    mailer = franking.connect(account, secret="canary-secret")
    assert mailer.password() is None, "it was not needed yet"
    mailer.check()
    assert mailer.password() == "canary-secret"
    scripted.facts = Facts(routes=scripted.facts.routes, oauth=True)
    assert mailer.password() is None, "a token is no password"
    mailer.close()
    assert repr(mailer) == "<Mailer 's' by scripted (closed)>"
