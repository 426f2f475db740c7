"""A stored secret goes where it was stored for and nowhere else: not by an account URL that takes its name, not by a
flag, not by a changed setting. Everything goes the public way; the other place is a server that listens.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import franking
from commandline import franking as command_line
from commandline import sendmail
from franking.account import config, editing
from franking.account.binding import binding_of, difference
from franking.auth.secret import Grant, Password
from franking.auth.store import open_store, save_grant, save_password
from servers.certificates import Certificates
from servers.smtp import SmtpServer

PASSWORD = "canary-heslo-9"
FLAGS = "--security none --username u"


@pytest.fixture
def right(smtp_server: Callable[..., SmtpServer]) -> SmtpServer:
    """The server of the account ``shop``, whose password is stored."""
    server = smtp_server(users={"u": PASSWORD})
    write(f"127.0.0.1:{server.port}")
    save_password(open_store(), config.resolve("shop"), PASSWORD)
    return server


@pytest.fixture
def wrong(smtp_server: Callable[..., SmtpServer]) -> Iterator[SmtpServer]:
    """A server of another name, which never hears of the password."""
    server = smtp_server(users={"u": PASSWORD}, host="localhost")
    yield server
    heard = "".join(line for session in server.sessions for line in session.lines)
    assert "AUTH" not in heard
    assert server.messages == []


def write(place: str, more: str = "") -> None:
    host, _, port = place.rpartition(":")
    Path(os.environ["FRANKING_CONFIG"]).write_text(
        f'[accounts.shop]\nprovider = "smtp"\nfrom = "u@novak.cz"\nhost = "{host}"\nport = {port}\nsecurity = "none"\n'
        f'username = "u"\n{more}'
    )


def url(server: SmtpServer, more: str = "") -> str:
    return f"smtp://u@{server.host}:{server.port}?from=u@novak.cz&security=none&name=shop{more}"


def assert_refused(ended: Any, login: str) -> None:
    said = " ".join(ended.err.split())
    assert ended.code == 2, said
    assert "belongs to 127.0.0.1, but host now names localhost" in said
    assert f"franking login {login}" in said.replace("'", "")
    assert PASSWORD not in ended.out + ended.err


# --- passwords --------------------------------------------------------------------------------------------------------

COMMANDS = (
    ("check",),
    ("send-test", "--to", "a@example.com"),
    ("send", "--to", "a@example.com", "--subject", "x", "--text", "x"),
)


def test_the_right_server_gets_it(right: SmtpServer) -> None:
    for account in ("shop", url(right)):
        for words in COMMANDS:
            assert command_line(words[0], account, *words[1:]).code == 0


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_a_url_of_that_name_does_not_get_it(right: SmtpServer, wrong: SmtpServer, words: tuple[str, ...]) -> None:
    assert_refused(command_line(words[0], url(wrong), *words[1:]), "smtp://u@localhost")


def test_nor_does_the_url_of_a_list_or_of_sendmail_or_of_an_application(
    right: SmtpServer, wrong: SmtpServer, tmp_path: Path
) -> None:
    letters = tmp_path / "letters.jsonl"
    letters.write_text('{"to": ["a@example.com"], "subject": "x", "text": "x"}\n')
    ended = command_line("send-many", url(wrong), str(letters))
    assert "belongs to 127.0.0.1, but host now names localhost" in " ".join((ended.out + ended.err).split())
    done = sendmail("-i", "a@example.com", text=b"Subject: x\n\nx\n", env={"FRANKING_ACCOUNT": url(wrong)})
    assert (done.code, "belongs to 127.0.0.1" in done.err) == (78, True), done.err
    with pytest.raises(franking.SettingsError, match="belongs to 127"), franking.connect(url(wrong)) as mailer:
        mailer.send(franking.Message(to=["a@example.com"], subject="x", text="x"))
    report = franking.send_test(config.resolve(url(wrong)), to="a@example.com")
    assert report.diagnosis is not None
    assert report.diagnosis.code == "secret.elsewhere"


def test_a_flag_does_not_lead_it_elsewhere(right: SmtpServer, wrong: SmtpServer) -> None:
    ended = command_line("check", "shop", "--host", "localhost", "--port", str(wrong.port))
    assert_refused(ended, "shop")
    assert "save the changed settings" in " ".join(ended.err.split())


@pytest.mark.parametrize("how", ["--replace", "--update"])
def test_an_account_that_moves_leaves_its_password_behind(right: SmtpServer, wrong: SmtpServer, how: str) -> None:
    flags: tuple[str, ...] = ("--host", "localhost", "--port", str(wrong.port))
    if how == "--replace":
        flags += ("--from", "u@novak.cz", *FLAGS.split())
    moved = command_line("accounts", "add", "shop", how, *flags)
    assert moved.code == 0
    assert "Next: franking login shop" in moved.err
    assert_refused(command_line("check", "shop"), "shop")
    (row,) = command_line("status", "shop", "--json").json
    assert (row["ok"], row["repair"]) == (False, "franking login shop")
    assert "belongs to 127.0.0.1" in row["problem"]


def test_it_is_stored_anew_by_the_command_that_is_named(right: SmtpServer) -> None:
    save_password(open_store(), config.resolve("shop").replace(host="localhost"), PASSWORD)
    assert command_line("check", "shop").code == 2
    stored = command_line("login", "shop", "--password-stdin", text=PASSWORD.encode())
    assert stored.code == 0, stored.err
    assert command_line("check", "shop").code == 0


def test_a_port_letter_case_and_a_dot_are_no_difference(right: SmtpServer) -> None:
    saved = config.resolve("shop")
    for host in ("smtp.novak.cz", "smtp.háčky.cz", "::1", "192.0.2.1"):
        bound = binding_of(saved.replace(host=host, port=465, security="tls"))
        for same in (host.upper(), f"{host}." if ":" not in host else host):
            assert difference(bound, binding_of(saved.replace(host=same))) is None, same
    assert difference(binding_of(saved), binding_of(saved.replace(host="localhost"))) == "host"
    assert difference(binding_of(saved.replace(host="::1")), binding_of(saved.replace(host="0:0::1"))) is None


def test_a_variable_belongs_to_the_saved_account_of_that_name(
    right: SmtpServer, wrong: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store().delete("shop")
    monkeypatch.setenv("FRANKING_SECRET_SHOP", PASSWORD)
    assert command_line("check", "shop").code == 0
    assert command_line("check", url(right)).code == 0
    for other in (url(wrong), url(wrong).replace("name=shop", "name=SHOP")):
        ended = command_line("check", other)
        assert (ended.code, "FRANKING_SECRET_SHOP belongs to 127.0.0.1" in " ".join(ended.err.split())) == (2, True)


def test_a_variable_belongs_to_the_default_url_of_that_name(
    right: SmtpServer, wrong: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(os.environ["FRANKING_CONFIG"]).unlink()
    monkeypatch.setenv("FRANKING_SECRET_SHOP", PASSWORD)
    monkeypatch.setenv("FRANKING_ACCOUNT", url(right))
    assert command_line("check").code == 0
    assert command_line("check", url(wrong)).code == 2


def test_a_password_that_is_given_goes_where_its_giver_says(right: SmtpServer) -> None:
    elsewhere = url(right).replace("127.0.0.1", "localhost")
    assert command_line("check", elsewhere, "--password-stdin", text=PASSWORD.encode()).code == 0


# --- what Franking 0.1 stored -----------------------------------------------------------------------------------------


def unbound(secret: Password | Grant) -> str:
    record = json.loads(secret.dumps())
    del record["bound"]
    return json.dumps(record)


def test_an_old_password_is_bound_at_its_first_use_to_the_saved_account(right: SmtpServer, wrong: SmtpServer) -> None:
    open_store().save("shop", unbound(Password(PASSWORD)))
    for other in (url(wrong), url(wrong).replace("name=shop", "name=SHOP")):
        assert command_line("check", other).code == 2
    assert "bound" not in json.loads(open_store().load("shop") or "")
    assert command_line("check", "shop").code == 0
    assert Password.loads(open_store().load("shop") or "").bound == {
        "provider": "smtp",
        "host": "127.0.0.1",
        "loose": "security=none",
    }
    write(f"localhost:{wrong.port}")
    assert_refused(command_line("check", "shop"), "shop")


def test_an_old_password_is_never_a_urls(right: SmtpServer, wrong: SmtpServer) -> None:
    Path(os.environ["FRANKING_CONFIG"]).unlink()
    open_store().save("shop", unbound(Password(PASSWORD)))
    ended = command_line("check", url(wrong))
    assert ended.code == 2
    assert "does not say where it belongs" in " ".join(ended.err.split())
    assert "franking login 'smtp://u@localhost" in " ".join(ended.err.split())


def test_an_old_sign_in_is_renewed_at_once_and_bound(gmail: franking.Account) -> None:
    old = grant(gmail)
    open_store().save("g", unbound(old))
    state = franking.send_test(gmail, to="a@example.com")
    assert state.diagnosis is not None
    assert state.diagnosis.code != "secret.elsewhere"  # it went on to renew it, which fails without a server


# --- sign-ins ---------------------------------------------------------------------------------------------------------

CLIENT = {"installed": {"client_id": "c", "auth_uri": "https://auth.invalid/a", "token_uri": "https://token.invalid/t"}}
ACCOUNTS = {
    "gmail": "provider = 'gmail'\nfrom = 'me@gmail.com'\napi_endpoint = 'https://api.invalid'\n"
    "client_secrets = 'c.json'",
    "gmail-smtp": "provider = 'gmail'\nfrom = 'me@gmail.com'\nroute = 'smtp'\nhost = 'mx.invalid'",
    "outlook": "provider = 'outlook'\nfrom = 'me@contoso.com'\nclient_id = 'c'\ntenant = 'contoso.com'",
    "own": "provider = 'outlook'\nfrom = 'me@contoso.com'\nclient_id = 'c'\nauthority = 'https://login.invalid/t'\n"
    "graph_endpoint = 'https://graph.invalid'",
    "outlook-smtp": "provider = 'outlook'\nfrom = 'me@contoso.com'\nclient_id = 'c'\nroute = 'smtp'",
}


@pytest.fixture
def accounts() -> Path:
    """A settings file with OAuth accounts, where somebody has signed in."""
    file = Path(os.environ["FRANKING_CONFIG"])
    file.write_text("\n".join(f"[accounts.{name}]\n{keys}\n" for name, keys in ACCOUNTS.items()))
    (file.parent / "c.json").write_text(json.dumps(CLIENT))
    other = json.loads(json.dumps(CLIENT))
    other["installed"]["token_uri"] = "https://other.invalid/t"
    (file.parent / "other.json").write_text(json.dumps(other))
    for name in ACCOUNTS:
        account = config.resolve(name)
        save_grant(open_store(), account, grant(account))
    return file


@pytest.fixture
def gmail(accounts: Path) -> franking.Account:
    return config.resolve("gmail").referred_to_as("gmail")


def grant(account: franking.Account) -> Grant:
    now = 4_000_000_000.0  # fresh whenever this runs
    route = str(account.route)
    return Grant(
        account.provider, route, "me", ("s",), now - 9e9, now - 9e9, "canary-token-7", now, {"refresh_token": "r"}
    )


OTHERS = [
    ("gmail", "api_endpoint", "https://other.invalid", "https://api.invalid", "https://other.invalid"),
    ("gmail", "client_secrets", "other.json", "https://token.invalid/t", "https://other.invalid/t"),
    ("gmail-smtp", "host", "other.invalid", "mx.invalid", "other.invalid"),
    (
        "outlook",
        "authority",
        "https://other.invalid/t",
        "https://login.microsoftonline.com/contoso.com",
        "https://other",
    ),
    (
        "outlook",
        "tenant",
        "other.com",
        "https://login.microsoftonline.com/contoso.com",
        "microsoftonline.com/other.com",
    ),
    ("outlook", "cloud", "china", "https://login.microsoftonline.com/contoso.com", "partner.microsoftonline.cn"),
    ("outlook", "graph_endpoint", "https://other.invalid", "https://graph.microsoft.com", "https://other.invalid"),
    ("own", "authority", "https://other.invalid/t", "https://login.invalid/t", "https://other.invalid/t"),
    ("own", "authority", "https://login.invalid/other", "https://login.invalid/t", "https://login.invalid/other"),
    ("own", "graph_endpoint", "https://graph.other.invalid", "https://graph.invalid", "https://graph.other.invalid"),
    ("outlook-smtp", "host", "other.invalid", "smtp.office365.com", "other.invalid"),
]


def url_of(account: franking.Account, **changes: str) -> str:
    from franking.account.url import write_url

    return write_url(account.replace(**changes))


@pytest.mark.parametrize(("name", "key", "value", "bound", "named"), OTHERS, ids=lambda value: str(value)[:24])
@pytest.mark.parametrize("way", ["url", "code", "file", "flag"])
def test_a_sign_in_goes_to_no_other_place(
    accounts: Path, name: str, key: str, value: str, bound: str, named: str, way: str
) -> None:
    if key == "client_secrets":
        value = str(accounts.parent / value)
    saved = config.resolve(name)
    changed = saved.replace(**{key: value})
    account = changed
    if way == "url":
        account = config.resolve(url_of(changed))
    elif way == "file":
        editing.save(changed, replace=True)
        account = config.resolve(name)
    elif way == "flag":
        account = changed.referred_to_as(name, (name, f"--{key}", value))
    assert account.name == name
    report = franking.send_test(account, to="a@example.com")
    assert report.diagnosis is not None
    assert report.diagnosis.code == "secret.elsewhere"
    told = f"{report.error} {report.diagnosis.cause}"
    assert bound in told
    assert named in told
    assert "franking login " in "".join(report.diagnosis.remedies)
    assert "canary" not in json.dumps(report.as_dict())


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("gmail", {"api_endpoint": "https://API.invalid.:444"}),
        ("gmail", {"route": "smtp"}),
        ("gmail", {"client_secrets": None}),
        ("gmail-smtp", {"host": "MX.invalid.", "port": 587}),
        ("outlook", {"route": "smtp"}),
        ("outlook", {"route": "smtp", "host": "smtp-mail.outlook.com"}),
        ("outlook", {"graph_endpoint": "https://graph.microsoft.com"}),
        ("outlook", {"authority": "https://login.microsoftonline.com/contoso.com", "tenant": None}),
        ("own", {"authority": "https://LOGIN.invalid:8443/T"}),
        ("own", {"client_id": "another"}),
    ],
)
def test_what_is_the_same_place_is_no_difference(accounts: Path, name: str, changes: dict[str, Any]) -> None:
    saved = config.resolve(name)
    assert difference(binding_of(saved), binding_of(saved.replace(**changes))) is None


def test_an_exported_sign_in_carries_what_it_was_made_for(accounts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported = command_line("login", "own", "--export").out
    assert Grant.loads(exported).bound["authority"] == "https://login.invalid/t"
    editing.save(config.resolve("own").replace(graph_endpoint="https://other.invalid"), replace=True)
    refused = command_line("login", "own", "--import", text=exported.encode())
    assert refused.code == 2
    assert "https://graph.invalid" in refused.err
    assert "https://other.invalid" in refused.err
    monkeypatch.setenv("FRANKING_SECRET_OWN", exported)
    open_store().delete("own")
    ended = command_line("status", "own", "--json")
    assert "https://other.invalid" in ended.json[0]["problem"]
    assert command_line("login", "own", "--export").code == 2


def test_a_sign_in_that_belongs_elsewhere_is_not_sent_there_to_be_revoked_and_can_be_forgotten(accounts: Path) -> None:
    editing.save(config.resolve("own").replace(authority="https://other.invalid/t"), replace=True)
    assert command_line("logout", "own", "--revoke").code == 2
    assert command_line("logout", "own").code == 0
    assert open_store().load("own") is None


def test_an_applications_own_secret_is_bound_too(accounts: Path) -> None:
    app = config.resolve("own").replace(app_only=True)
    editing.save(app, replace=True)
    save_password(open_store(), app, "canary-client-secret")
    editing.save(app.replace(authority="https://other.invalid/t"), replace=True)
    report = franking.send_test("own", to="a@example.com")
    assert report.diagnosis is not None
    assert report.diagnosis.code == "secret.elsewhere"


def test_a_renewed_sign_in_is_bound_to_where_it_was_renewed(accounts: Path) -> None:
    held = Grant.loads(open_store().load("gmail") or "")
    assert held.bound == binding_of(config.resolve("gmail"))
    assert Grant.loads(replace(held, bound={}).dumps()).bound == {}


# --- where a provider's defaults say that a secret is -----------------------------------------------------------------


@pytest.mark.parametrize("key", ["password_file", "password_command"])
def test_a_defaults_password_does_not_go_to_a_urls_server(right: SmtpServer, wrong: SmtpServer, key: str) -> None:
    file = Path(os.environ["FRANKING_CONFIG"]).parent / "pw"
    file.write_text(PASSWORD)
    value = file if key == "password_file" else f"cat {file}"
    text = f'[providers.smtp]\n{key} = "{value}"\n'
    Path(os.environ["FRANKING_CONFIG"]).write_text(text)
    named = url(wrong).replace("name=shop", "name=x")
    ended = command_line("check", named)
    assert (ended.code, "No password is stored" in " ".join(ended.err.split())) == (2, True), ended.err
    # where the same settings name the server, or the environment the whole account, it is meant
    Path(os.environ["FRANKING_CONFIG"]).write_text(f'{text}host = "127.0.0.1"\n')
    assert command_line("check", url(right).replace("name=shop", "name=x")).code == 0
    assert command_line("check", named).code == 2
    chosen = url(right).replace("127.0.0.1", "localhost").replace("name=shop", "name=x")
    assert command_line("check", env={"FRANKING_ACCOUNT": chosen}).code == 0


def test_a_defaults_key_makes_no_token_for_a_urls_api(accounts: Path) -> None:
    accounts.write_text("[providers.gmail]\nservice_account = 'key.json'\n")
    assert config.resolve("gmail://any@corp.invalid").service_account
    assert config.resolve("gmail://any@corp.invalid?api_endpoint=https://other.invalid").service_account is None


# --- less that protects it --------------------------------------------------------------------------------------------

LOOSER = {
    "no TLS": "security=none",
    "no TLS, to any address": "security=none&allow_plain_login=true",
    "another authority": "security=starttls&ca_file={ca}",
}


def protected(more: str = "security=starttls", name: str = "shop") -> str:
    return f"smtp://u@127.0.0.1:587?from=u@novak.cz&name={name}&{more}"


@pytest.fixture
def ca(certificates: Certificates) -> str:
    return str(certificates.ca_file)


@pytest.mark.parametrize("how", LOOSER)
@pytest.mark.parametrize("kept", ["stored", "old", "environment"])
def test_a_url_does_not_take_the_protection_off(how: str, kept: str, ca: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes a URL, and hears the network or stands in it, would have the password of the same server."""
    Path(os.environ["FRANKING_CONFIG"]).write_text(
        '[accounts.shop]\nprovider = "smtp"\nfrom = "u@novak.cz"\nhost = "127.0.0.1"\nusername = "u"\n'
    )
    if kept == "environment":
        monkeypatch.setenv("FRANKING_SECRET_SHOP", PASSWORD)
    else:
        save_password(open_store(), config.resolve("shop"), PASSWORD)
    if kept == "old":
        open_store().save("shop", Password(PASSWORD).dumps())
    report = franking.send_test(protected(LOOSER[how].format(ca=ca)), to="a@example.com")
    assert report.diagnosis is not None and report.diagnosis.code == "secret.elsewhere"
    assert "which only the account URL says" in str(report.error)
    assert report.steps[-1].name == "secret", "nothing was connected to"
    for fine in ("security=starttls", "security=tls"):
        report = franking.send_test(protected(fine), to="a@example.com")
        assert report.steps[-1].name != "secret"


@pytest.mark.parametrize("how", LOOSER)
@pytest.mark.parametrize("where", ["stored", "settings", "FRANKING_ACCOUNT"])
def test_what_the_owner_said_too_is_fine(how: str, where: str, ca: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = protected(LOOSER[how].format(ca=ca))
    save_password(open_store(), config.resolve(protected()), PASSWORD)
    if where == "stored":
        save_password(open_store(), config.resolve(made), PASSWORD)
    elif where == "settings":
        editing.save(config.resolve(made))
    else:
        monkeypatch.setenv("FRANKING_ACCOUNT", made)
    report = franking.send_test(made, to="a@example.com")
    assert report.steps[-1].name != "secret"


def test_the_settings_may_change_as_their_owner_likes(ca: str) -> None:
    editing.save(config.resolve(protected()))
    save_password(open_store(), config.resolve("shop"), PASSWORD)
    editing.save(config.resolve("shop").replace(ca_file=ca), replace=True)
    assert franking.send_test("shop", to="a@example.com").steps[-1].name != "secret"


@pytest.mark.parametrize("app_only", [False, True])
def test_a_sign_in_is_not_for_an_authority_that_a_url_names(ca: str, app_only: bool) -> None:
    tenant = "11111111-1111-1111-1111-111111111111"
    account = franking.Account(
        name="o", provider="outlook", sender="j@contoso.com", client_id="c", tenant=tenant, app_only=app_only
    )
    grant = Grant(
        provider="outlook", route="graph", who=None, scopes=(), access_token="t", expires_at=time.time() + 3000,
        created_at=0, refreshed_at=0, data={}, details={}, application=Password("s") if app_only else None,
    )  # fmt: skip
    save_grant(open_store(), account, grant)
    url = url_of(account, ca_file=ca)
    with pytest.raises(franking.SettingsError, match=r"ca_file=.*which only the account URL says"):
        franking.connect(url).check()
