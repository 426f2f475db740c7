"""Accounts: what is read, what is refused and in which words, frozen, equal, picklable, and without secrets in
sight.
"""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import franking
from franking import registry
from franking.account import config, editing
from franking.account.account import Account
from franking.account.environment import secret_variable
from franking.account.fields import Field
from franking.account.repair import login_command, repair_command
from franking.account.url import write_url
from franking.errors import SettingsError
from franking.message.address import Address
from franking.smtp.provider import SmtpProvider
from franking.text import nearest
from servers.scripted import ScriptedProvider


def smtp(**changes: Any) -> Account:
    base: dict[str, Any] = {
        "name": "shop",
        "provider": "smtp",
        "sender": "Jan Novák <info@novak.cz>",
        "host": "smtp.novak.cz",
    }
    return Account(**{**base, **changes})


def test_the_example_of_the_documentation() -> None:
    account = smtp(port=587, security="starttls", username="info@novak.cz")
    assert (account.name, account.provider, str(account.sender)) == ("shop", "smtp", "Jan Novák <info@novak.cz>")
    assert account.sender == Address("info@novak.cz", "Jan Novák")
    assert (account.host, account.port, account.security, account.username) == (
        "smtp.novak.cz",
        587,
        "starttls",
        "info@novak.cz",
    )
    assert (account.enabled, account.timeout, account.final_timeout, account.rewrite_from) == (True, 30.0, 600.0, False)


@pytest.mark.parametrize(
    ("given", "port", "security"),
    [
        ({}, 587, "starttls"),
        ({"port": 465}, 465, "tls"),
        ({"port": 587}, 587, "starttls"),
        ({"port": 25}, 25, "starttls"),  # `none` is always written out
        ({"port": 2525}, 2525, "starttls"),
        ({"security": "none"}, 25, "none"),
        ({"security": "tls"}, 465, "tls"),
        ({"security": "ssl"}, 465, "tls"),
        ({"security": "SSL"}, 465, "tls"),
        ({"security": "SSL/TLS"}, 465, "tls"),
        ({"security": "Implicit TLS"}, 465, "tls"),
        ({"security": "SMTPS"}, 465, "tls"),
        ({"security": "StartTLS"}, 587, "starttls"),
        ({"security": "No encryption"}, 25, "none"),
        ({"security": "starttls"}, 587, "starttls"),
        ({"security": "tls", "port": 587}, 587, "tls"),  # a contradiction is a warning, not an error
        ({"security": "none", "port": "2525"}, 2525, "none"),
    ],
)
def test_port_and_security_complete_each_other(given: dict[str, Any], port: int, security: str) -> None:
    account = smtp(**given)
    assert (account.port, account.security) == (port, security)
    assert "port" in given or "port" not in account.given


@pytest.mark.parametrize(
    ("wrong", "field", "words"),
    [
        ({"name": ""}, "name", "cannot name an account"),
        ({"name": "a/b"}, "name", "cannot name an account"),
        ({"name": "a\\b"}, "name", "cannot name an account"),
        ({"name": " a"}, "name", "cannot name an account"),
        ({"name": "-a"}, "name", "cannot name an account"),
        ({"name": "a\nb"}, "name", "cannot name an account"),
        ({"name": "a\udc80"}, "name", "cannot name an account"),
        ({"provider": "smpt"}, "provider", "did you mean smtp"),
        ({"provider": "zzz"}, "provider", "smtp, gmail, outlook, file"),
        ({"sender": "nobody"}, "from", "from: "),
        ({"sender": "a@b.cz\r\nBcc: x@y.cz"}, "from", "from: "),
        ({"host": None}, "host", "needs a server"),
        ({"host": "a\r\nb"}, "host", "line break"),
        ({"username": "a\0b"}, "username", "NUL"),
        ({"port": 0}, "port", "below 1"),
        ({"port": 65536}, "port", "above 65535"),
        ({"port": "many"}, "port", "whole number"),
        ({"port": True}, "port", "whole number"),
        ({"port": 5.5}, "port", "whole number"),
        ({"timeout": 0}, "timeout", "below"),
        ({"timeout": "nan"}, "timeout", "number"),
        ({"timeout": float("inf")}, "timeout", "number"),
        ({"timeout": "soon"}, "timeout", "number"),
        ({"enabled": "perhaps"}, "enabled", "neither true nor false"),
        ({"security": "tlsv1"}, "security", "none, starttls, tls"),
        ({"without": ["chunkin"]}, "without", "chunking"),
        ({"without": 5}, "without", "list"),
        ({"hots": "x"}, "hots", "did you mean host"),
        ({"use_name": "x"}, "use_name", "did you mean username"),
        ({"client_id": "x"}, "client_id", "not a setting of smtp accounts"),
        ({"password": "canary-5"}, "password", "franking login"),
    ],
)
def test_what_is_refused_names_the_key_and_the_way_out(wrong: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        smtp(**wrong)
    assert caught.value.field == field
    assert "canary" not in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_texts_are_read_as_files_urls_and_flags_hold_them() -> None:
    account = smtp(port="465", enabled="no", timeout="12.5", without="chunking, PIPELINING", ca_file="~/ca.pem")
    assert (account.port, account.enabled, account.timeout, account.without) == (
        465,
        False,
        12.5,
        ("chunking", "pipelining"),
    )
    assert account.ca_file == str(Path.home() / "ca.pem")
    assert smtp(ca_file=Path("/x/ca.pem")).ca_file == "/x/ca.pem"


def test_it_is_frozen() -> None:
    account = smtp()
    with pytest.raises(AttributeError, match="replace"):
        account.host = "other"
    with pytest.raises(AttributeError):
        del account.name
    with pytest.raises(TypeError):
        account.settings["host"] = "other"  # type: ignore[index]
    with pytest.raises(TypeError):
        account.given["host"] = "other"  # type: ignore[index]
    with pytest.raises(AttributeError, match="client_id"):
        _ = account.client_id
    assert account.get("client_id", "none") == "none"


def test_replace_changes_what_is_said_and_keeps_what_was_given() -> None:
    account = smtp(port=2525, security="none")
    other = account.replace(name="other", host="h", security=None, sender="x@y.cz")
    assert (other.name, other.host, other.port, other.security, str(other.sender)) == (
        "other",
        "h",
        2525,
        "starttls",
        "x@y.cz",
    )
    assert account.security == "none"
    with pytest.raises(SettingsError):
        account.replace(port="x")


def test_equal_accounts_are_equal() -> None:
    assert smtp() == smtp(port=587) != smtp(port=25)  # it is the same account whether a default is written out or not
    assert smtp() != smtp(name="x") and smtp() != "shop"
    assert len({smtp(), smtp(port=587), smtp(name="x")}) == 2


def test_it_pickles_and_copies() -> None:
    account = smtp(port=2525, without=["chunking"]).referred_to_as("smtp://x")
    for again in (pickle.loads(pickle.dumps(account)), copy.copy(account), copy.deepcopy(account)):
        assert again == account
        assert (again.reference, dict(again.given)) == ("smtp://x", dict(account.given))


@pytest.mark.process
def test_it_unpickles_in_a_new_process() -> None:
    code = "import pickle, sys; print(pickle.loads(sys.stdin.buffer.read()).host)"
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(smtp()), stdout=subprocess.PIPE, check=True)
    assert done.stdout.strip() == b"smtp.novak.cz"


def test_its_repr_shows_settings_and_no_secrets() -> None:
    account = smtp(password_command="echo canary-6")
    assert repr(account) == (
        "Account(name='shop', provider='smtp', sender='Jan Novák <info@novak.cz>', host='smtp.novak.cz', "
        "password_command='echo …')"
    )


def test_its_repr_asks_the_provider_which_keys_are_commands(scripted: ScriptedProvider) -> None:
    scripted.fields = (Field("vault", credential="token"), Field("exit_command"))
    account = Account(name="s", provider="scripted", sender="a@b.cz", vault="read canary-6", exit_command="QUIT now")
    shown = "Account(name='s', provider='scripted', sender='a@b.cz', exit_command={}, vault='read …')"
    assert repr(account) == shown.format("'QUIT now'")
    registry._PROVIDERS.pop("scripted")
    try:
        assert repr(account) == shown.format("'QUIT …'")  # nobody knows any more
    finally:
        registry.register(scripted)


def test_the_reference_is_what_somebody_typed() -> None:
    account = smtp(name="můj shop").referred_to_as("můj shop")
    assert account.reference == "můj shop"
    assert login_command(account) == "franking login 'můj shop'"
    assert (
        login_command(account.referred_to_as("outlook://me@x.cz?tenant=a&b=c"))
        == "franking login 'outlook://me@x.cz?tenant=a&b=c'"
    )
    assert repair_command("accounts", "enable", "shop") == "franking accounts enable shop"


@pytest.mark.parametrize(
    ("name", "variable"),
    [("shop", "SHOP"), ("my-shop.2", "MY_SHOP_2"), ("můj", "M_J"), ("me@x.cz", "ME_X_CZ"), ("ŽLUŤ", "_LU_")],
)
def test_the_secret_variable(name: str, variable: str) -> None:
    assert secret_variable(name) == f"FRANKING_SECRET_{variable}"


def test_the_nearest_word() -> None:
    assert nearest("user-name", ["username", "host"]) == "username"
    assert nearest("zzz", ["username", "host"]) is None


def test_flags_come_from_names() -> None:
    assert Field("ca_file").flag == "--ca-file"


@pytest.mark.process
def test_an_account_can_be_imported_from_its_own_module_first() -> None:
    code = (
        "from franking.account.account import Account; Account(name='a', provider='smtp', sender='a@b.cz', host='h.cz')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_new_provider_just_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from franking import file as files
    from franking import registry
    from franking.account import config

    class Pigeon(files.FileProvider):
        name = "pigeon"
        title = "Pigeon post"
        fields = (Field("loft", help="Where it lives."), Field("speed", "float", 60.0))
        facts = replace(files.FileProvider.facts, url_form="mailbox")

        def settle(self, settings: Any, sender: Address) -> Any:
            return settings

    monkeypatch.setattr(registry, "_PROVIDERS", dict(registry._PROVIDERS))
    registry.register(Pigeon())
    account = franking.Account(name="p", provider="pigeon", sender="a@b.cz", loft="roof")
    assert (account.loft, account.speed) == ("roof", 60.0)
    assert write_url(account) == "pigeon://a@b.cz?loft=roof&name=p"
    again = config.parse_url("pigeon://a@b.cz?loft=roof&name=p")
    assert again == account
    environ = {**os.environ, "FRANKING_PIGEON_SPEED": "80"}
    editing.save(account, environ=environ)
    assert config.load(environ).account("p").speed == 80


def test_a_copy_is_neither_read_nor_settled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    account = smtp(port=2525)
    text = pickle.dumps(account)
    monkeypatch.setattr(Field, "read", lambda self, value: pytest.fail("read again"))
    monkeypatch.setattr(SmtpProvider, "settle", lambda self, settings, sender: pytest.fail("settled again"))
    for again in (account.referred_to_as("shop"), copy.copy(account), copy.deepcopy(account), pickle.loads(text)):
        assert again == account
        assert again.settings["port"] == again.given["port"] == 2525


def test_a_configured_account_is_settled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    editing.save(smtp())
    settled: list[Any] = []
    real = SmtpProvider.settle

    def settle(self: SmtpProvider, settings: Any, sender: Address) -> Any:
        settled.append(settings)
        return real(self, settings, sender)

    monkeypatch.setattr(SmtpProvider, "settle", settle)
    assert config.load().account("shop").reference == "shop"
    assert len(settled) == 1


def test_settings_cannot_be_changed_from_outside() -> None:
    account = smtp()
    for settings in (account.settings, account.given):
        with pytest.raises(TypeError):
            settings["host"] = "other"  # type: ignore[index]
    assert account.host == "smtp.novak.cz"
