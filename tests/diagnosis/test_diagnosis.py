"""A diagnosis and a hint as values: their JSON, their commands, and what leads the remedies."""

from __future__ import annotations

import json
import pickle
import shlex

import pytest

from catalogue import VALUES, seen, smtp
from franking.diagnosis.diagnosis import Diagnosis, Hint
from franking.diagnosis.rules import Rule, diagnose
from franking.errors import (
    ConnectError,
    LoginError,
    Refused,
    TLSError,
)


def test_the_json_has_the_agreed_keys_only() -> None:
    found = diagnose(LoginError("x", evidence=smtp("535 5.7.8 No")), (), VALUES)
    answer = found.as_dict()
    assert list(answer) == ["code", "title", "cause", "remedies", "who", "temporary", "raw"]
    assert json.loads(json.dumps(answer)) == answer
    assert pickle.loads(pickle.dumps(found)) == found


@pytest.mark.parametrize("account", ["shop", "my shop", "a'b", "x; rm -rf ~", "$(reboot)", "`reboot`"])
def test_commands_are_quoted_for_the_shell(account: str) -> None:
    rule = (Rule("login.refused"),)
    remedies = " ".join(
        diagnose(LoginError("x", evidence=smtp("535 No")), rule, {**VALUES, "account": account}).remedies
    )
    assert f"`franking login {shlex.quote(account)}`" in remedies
    assert shlex.split(f"franking login {shlex.quote(account)}") == ["franking", "login", account]


def test_a_value_is_never_a_template() -> None:
    error = Refused("x", step="message", evidence=smtp("550 {host} {username!r} {0} %s"))
    assert diagnose(error, (), VALUES).cause.startswith("The server said: “{host} {username!r} {0} %s”")


def test_a_remedy_without_its_values_is_left_out() -> None:
    without = Diagnosis("login.refused").remedies
    assert without
    assert not any("franking login" in remedy for remedy in without)
    assert len(Diagnosis("login.refused", {**VALUES, "address": "a@b.cz", "account": "shop"}).remedies) >= len(without)


def test_hints_lead_the_remedies_of_the_step_that_they_explain() -> None:
    blank, port = (
        Hint("secret.trailing-blank", {"account": "shop"}),
        Hint("port.security", {**VALUES, "usual_security": "starttls"}),
    )
    name = Hint("username.not-an-address", {"username": "info", "whole_address": "info@novak.cz"})
    login = diagnose(LoginError("x", evidence=smtp("535 No")), (), VALUES).with_hints([blank, name, port])
    assert login.remedies[:2] == (blank.text, name.text)
    assert port.text not in login.remedies
    later = diagnose(LoginError("x", temporary=True, evidence=smtp("454 4.7.0 Later")), (), VALUES)
    assert later.with_hints([blank, name]) == later, "a login that nobody looked at says nothing about the password"
    absent = diagnose(LoginError("x", evidence=seen("sasl", "auth-not-offered")), (), VALUES).with_hints([blank, port])
    assert absent.remedies[0] == port.text
    assert blank.text not in absent.remedies
    tls = diagnose(TLSError("x", step="tls"), (), VALUES).with_hints([port, blank])
    assert tls.remedies[0] == port.text
    assert blank.text not in tls.remedies
    full = diagnose(Refused("x", step="message", evidence=smtp("552 5.2.2 Full")), (), VALUES)
    assert full.with_hints([port, blank, name]) == full
    stranger = diagnose(Refused("x", step="message", evidence=smtp("553 No")), (Rule("sender.not-owned"),), VALUES)
    assert stranger.with_hints([blank, name]).remedies[0] == name.text


def test_a_code_that_nobody_described_still_speaks() -> None:
    assert Diagnosis("never.heard-of").title == Diagnosis("unknown").title


def test_a_hint_on_a_login_without_tls_explains_no_failure() -> None:
    failed = diagnose(ConnectError("x", step="connect"), (), VALUES)
    assert failed.with_hints([Hint("port.none-with-login", VALUES)]) == failed
    assert failed.with_hints([Hint("port.security", {**VALUES, "usual_security": "tls"})]) != failed


def test_commands_are_fields_of_remedies_and_hints() -> None:
    hint = Hint("secret.trailing-blank", {"account": "my shop"})
    assert hint.remedy().commands == ("franking login 'my shop'",)
    refused = diagnose(LoginError("x", step="login", evidence=smtp("535 No")), (), VALUES).with_hints([hint])
    assert refused.commands[0] == "franking login 'my shop'"
    assert all(f"`{command}`" in "".join(refused.remedies) for command in refused.commands)
