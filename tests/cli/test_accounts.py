"""``accounts``, ``login``, ``logout`` and ``status``: what they change, print and return, and that no secret is ever
printed.
"""

from __future__ import annotations

import io
import json
import os
import stat
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from franking.account import config
from franking.auth.secret import Grant, Password
from franking.auth.store import open_store
from franking_cli.app import run
from franking_cli.commands.status import age
from servers.google import Google
from servers.person import browse
from servers.smtp import SmtpServer
from servers.web import Authority

SHOP = ("shop", "--from", "Jan Novák <info@novak.cz>", "--host", "smtp.novak.cz", "--username", "info@novak.cz")
KEYS = ["name", "provider", "route", "ok", "source", "expires_at", "repair"]


class Ended:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        assert len(self.out.splitlines()) == 1, self.out
        return json.loads(self.out)


Franking = Callable[..., Ended]


@pytest.fixture
def franking(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Franking:
    def act(*arguments: str, stdin: str = "") -> Ended:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        code = run(list(arguments))
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return Ended(code, out, err)

    return act


@pytest.fixture
def shop(franking: Franking) -> None:
    assert franking("accounts", "add", *SHOP).code == 0


# --- accounts ---------------------------------------------------------------------------------------------------------


def test_add_writes_the_account_and_says_what_comes_next(franking: Franking) -> None:
    ended = franking("accounts", "add", *SHOP)
    assert ended.code == 0
    assert ended.out == ""
    assert "shop is saved" in ended.err and "Next: franking login shop" in ended.err
    made = config.resolve()
    assert (made.name, str(made.sender), made.host, made.port, made.security) == (
        "shop",
        "Jan Novák <info@novak.cz>",
        "smtp.novak.cz",
        587,
        "starttls",
    )


def test_every_key_is_a_flag(franking: Franking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from franking.account.fields import COMMON_FIELDS
    from franking.registry import providers

    help_text = franking("accounts", "add", "--help").out
    for provider in providers():
        for field in (*COMMON_FIELDS, *provider.fields):
            assert field.secret or field.flag in help_text, field.flag
    monkeypatch.chdir(tmp_path)
    ended = franking(
        *(
            "accounts",
            "add",
            "g",
            "--provider",
            "gmail",
            "--from",
            "me@gmail.com",
            "--client-secrets",
            "secrets.json",
            "--route",
            "smtp",
        ),
        *(
            "--ca-file",
            "ca.pem",
            "--timeout",
            "12.5",
            "--rewrite-from",
            "--without",
            "chunking,size",
            "--api-endpoint",
            "https://localhost:1",
        ),
    )
    assert ended.code == 0, ended.err
    made = config.resolve("g")
    assert (made.client_secrets, made.ca_file) == (str(tmp_path / "secrets.json"), str(tmp_path / "ca.pem"))
    assert (made.route, made.timeout, made.rewrite_from, made.without) == (
        "gmail-smtp",
        12.5,
        True,
        ("chunking", "size"),
    )


def test_add_stores_a_password_that_comes_by_stdin(franking: Franking) -> None:
    ended = franking("accounts", "add", *SHOP, "--password-stdin", stdin="canary-1 \n")
    assert ended.code == 0
    assert "canary" not in ended.out + ended.err
    assert Password.loads(open_store().load("shop") or "").value == "canary-1 "
    assert "Next: franking send-test shop --to info@novak.cz" in ended.err


def test_a_taken_name_needs_replace_or_update(franking: Franking, shop: None) -> None:
    again = franking("accounts", "add", *SHOP[:-2], "--port", "2525")
    assert (again.code, "--replace" in again.err) == (2, True)
    assert config.resolve("shop").port == 587
    assert franking("accounts", "add", "shop", "--update", "--port", "2525", "--security", "none").code == 0
    changed = config.resolve("shop")
    assert (changed.port, changed.security, changed.username, str(changed.sender)) == (
        2525,
        "none",
        "info@novak.cz",
        "Jan Novák <info@novak.cz>",
    )
    assert franking("accounts", "add", "shop", "--update", "--no-auth", "--ehlo-name", "").code == 0
    assert config.resolve("shop").username is None
    assert franking("accounts", "add", *SHOP[:-2], "--replace").code == 0
    assert "port" not in config.resolve("shop").given


def test_contradictions_are_warnings(franking: Franking) -> None:
    ended = franking("accounts", "add", *SHOP, "--security", "tls", "--port", "587", "--json")
    assert ended.code == 0
    assert [hint["code"] for hint in ended.json["hints"]] == ["port.security"]
    assert "starttls" in franking("accounts", "show", "shop").err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("accounts", "add", "x"), "--provider"),
        (("accounts", "add", "x", "--host", "h"), "--from"),
        (
            ("accounts", "add", "x", "--from", "a@b.cz", "--host", "h", "--port", "many"),
            "port: 'many' is not a whole number",
        ),
        (("accounts", "add", "x", "--from", "a@b.cz", "--host", "h", "--security", "high"), "none, starttls, tls"),
        (("accounts", "add", "x", "--from", "nobody", "--host", "h"), "from"),
        (("accounts", "add", "a/b", "--from", "a@b.cz", "--host", "h"), "cannot name an account"),
        (("accounts", "add", "x", "--from", "a@b.cz", "--host", "h", "--password", "canary-2"), "--password"),
        (("accounts", "add", "x", "--update", "--port", "1"), "no account 'x'"),
        (("accounts", "show", "x"), "no account 'x'"),
        (("accounts", "remove", "x"), "no account 'x'"),
        (("accounts", "default", "x"), "no account 'x'"),
        (("accounts", "enable", "x"), "no account 'x'"),
        (("accounts", "disable", "x"), "no account 'x'"),
        (("accounts", "nonsense"), "nonsense"),
        (("login", "x"), "no account 'x'"),
        (("logout", "x"), "no account 'x'"),
        (("status", "x"), "no account 'x'"),
        (("login", "smtp://u:canary-3@h?from=a@b.cz"), "password does not belong"),
    ],
)
def test_mistakes_end_with_2_and_one_object(franking: Franking, arguments: tuple[str, ...], words: str) -> None:
    ended = franking(*arguments)
    assert ended.code == 2
    assert words in " ".join(ended.err.split())
    assert ended.out == ""
    told = franking(*arguments, "--json")
    assert told.code == 2
    assert told.json["ok"] is False and told.json["diagnosis"]["remedies"]
    for text in (ended.err, told.out, told.err):
        assert "canary-3" not in text


def test_list_show_default_disable_enable_remove(franking: Franking, shop: None) -> None:
    assert (
        franking("accounts", "add", "mail box", "--provider", "file", "--from", "a@b.cz", "--path", "/tmp/mail").code
        == 0
    )
    listed = franking("accounts", "list")
    assert [line.split() for line in listed.out.splitlines()] == [
        ["name", "route", "from", "state"],
        ["*", "shop", "smtp", "Jan", "Novák", "<info@novak.cz>", "franking", "login", "shop"],
        ["mail", "box", "file", "a@b.cz", "ready"],
    ]
    rows = franking("accounts", "list", "--json").json
    assert [list(row)[:7] for row in rows] == [KEYS, KEYS]
    assert [(row["name"], row["default"], row["ok"], row["repair"]) for row in rows] == [
        ("shop", True, False, "franking login shop"),
        ("mail box", False, True, None),
    ]
    assert franking("accounts", "default", "mail box").code == 0
    assert franking("accounts", "show", "--json").json["name"] == "mail box"
    assert franking("accounts", "disable", "mail box").code == 0
    assert "franking accounts enable 'mail box'" in franking("accounts", "show", "mail box").err
    assert franking("accounts", "list", "--json").json[1]["enabled"] is False
    assert franking("accounts", "enable", "mail box", "--json").json["enabled"] is True
    removed = franking("accounts", "remove", "mail box", "--json")
    assert removed.json == {"ok": True, "account": "mail box", "forgotten": False, "default": "shop"}
    assert config.load().names == ("shop",)


def test_show_tells_settings_and_a_url_that_means_the_same(franking: Franking, shop: None) -> None:
    lines = franking("accounts", "show").out.splitlines()
    assert "host = smtp.novak.cz" in lines
    assert "port = 587    (default)" in lines
    told = franking("accounts", "show", "shop", "--json").json
    assert told["settings"]["port"] == 587 and told["given"] == ["host", "username"]
    assert config.parse_url(told["url"]) == config.resolve("shop")


def test_remove_forgets_the_secret_too(franking: Franking, shop: None) -> None:
    franking("login", "shop", "--password-stdin", stdin="x\n")
    assert franking("accounts", "remove", "shop", "--keep-secret").code == 0
    assert open_store().load("shop")
    franking("accounts", "add", *SHOP)
    assert "with what it signed in with" in franking("accounts", "remove", "shop").err
    assert open_store().load("shop") is None


def test_a_broken_account_is_listed_and_can_be_removed(franking: Franking, shop: None) -> None:
    path = config.config_path()
    path.write_text(path.read_text() + "hots = 'x'\n[accounts.good]\nprovider='file'\nfrom='a@b.cz'\npath='/tmp'\n")
    rows = franking("accounts", "list", "--json").json
    assert [list(row)[:7] == KEYS or set(KEYS) <= set(row) for row in rows] == [True, True]
    assert rows[0]["ok"] is False and "did you mean host" in rows[0]["problem"]
    ended = franking("status")
    assert ended.code == 2
    assert "did you mean host" in ended.out and "good: file" in ended.out
    assert franking("accounts", "remove", "shop").code == 0
    assert franking("status").code == 0


# --- login with a password --------------------------------------------------------------------------------------------


def test_login_stores_a_password_and_tells_what_looks_wrong_with_it(franking: Franking, shop: None) -> None:
    ended = franking("login", "--password-stdin", stdin="canary-4 \n")
    assert ended.code == 0
    assert ended.out == ""
    assert "stored for shop" in ended.err and "ends with a blank" in ended.err
    assert "canary" not in ended.err
    # as it came: nothing is changed silently
    assert Password.loads(open_store().load("shop") or "").value == "canary-4 "
    told = franking("login", "shop", "--password-stdin", "--json", stdin="canary-5\r\n").json
    assert (told["ok"], told["source"], told["store"]) == (True, "store", "file")
    assert Password.loads(open_store().load("shop") or "").value == "canary-5"
    if os.name == "posix":
        assert stat.S_IMODE(open_store().path("shop").stat().st_mode) == 0o600


def test_login_without_a_terminal_names_the_flag(franking: Franking, shop: None) -> None:
    ended = franking("login", "shop")
    assert (ended.code, "--password-stdin" in ended.err) == (2, True)
    assert franking("login", "shop", "--password-stdin", stdin="").code == 2
    assert open_store().load("shop") is None


@pytest.mark.parametrize("flag", ["--export", "--import", "--device", "--no-browser"])
def test_password_accounts_have_no_sign_in(franking: Franking, shop: None, flag: str) -> None:
    ended = franking("login", "shop", flag)
    assert (ended.code, "has a password and no sign-in" in " ".join(ended.err.split())) == (2, True)


def test_login_where_nothing_is_needed_says_so(franking: Franking) -> None:
    franking("accounts", "add", "open", "--from", "a@b.cz", "--host", "h", "--no-auth")
    franking("accounts", "add", "robot", "--provider", "gmail", "--from", "a@b.cz", "--service-account", "/x.json")
    assert "needs no password" in franking("login", "open", "--password-stdin", stdin="x\n").err
    assert "service_account" in franking("login", "robot", "--password-stdin", stdin="x\n").err
    assert franking("status", "open").code == 0


def test_what_comes_before_the_store_is_said(franking: Franking, shop: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRANKING_SECRET_SHOP", "canary-6")
    ended = franking("login", "shop", "--password-stdin", stdin="x\n")
    assert "environment variable of this account is set and comes first" in " ".join(ended.err.split())
    assert franking("status", "--json").json[0]["source"] == "environment"
    assert "FRANKING_SECRET_SHOP is still set" in franking("logout", "shop").err


@pytest.mark.process
@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals")
def test_a_typed_password_is_not_shown(shop: None) -> None:
    import pexpect

    child = pexpect.spawn(
        sys.executable,
        ["-c", "from franking_cli.app import main; main()", "login", "shop"],
        encoding="utf-8",
        timeout=30,
        dimensions=(24, 80),
    )
    child.logfile_read = seen = io.StringIO()
    child.expect("Password of info@novak.cz: ")
    child.sendline("canary-7")
    child.expect("Next: franking send-test shop")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert "canary" not in seen.getvalue()
    assert Password.loads(open_store().load("shop") or "").value == "canary-7"


# --- sign-ins ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def google(
    authority: Authority, franking: Franking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Google]:
    """A Google on loopback, an account ``g`` there, and a browser whose person agrees to everything."""
    threads: list[threading.Thread] = []

    def open_browser(url: str) -> bool:
        threads.append(threading.Thread(target=browse, args=(url, authority.ca_file)))
        threads[-1].start()
        return True

    monkeypatch.setattr(webbrowser, "open", open_browser)
    with Google(authority) as made:
        file = tmp_path / "client_secret.json"
        file.write_text(json.dumps(made.client_secrets()))
        flags = (
            "--client-secrets",
            str(file),
            "--api-endpoint",
            made.url,
            "--ca-file",
            authority.ca_file,
            "--timeout",
            "10",
        )
        assert franking("accounts", "add", "g", "--provider", "gmail", "--from", "me@gmail.com", *flags).code == 0
        yield made
        for thread in threads:
            thread.join()


def secrets_of(google: Google, grant: Grant) -> list[str]:
    return [grant.access_token, str(grant.data["refresh_token"]), google.client_secret, *google.refresh, *google.access]


def test_sign_in_status_verify_export_import_logout(google: Google, franking: Franking) -> None:
    missing = franking("status", "g")
    assert (missing.code, "repair: franking login g" in missing.out) == (4, True)

    ended = franking("login", "g")
    assert ended.code == 0, ended.err
    assert "Signed in as me@gmail.com" in ended.err and "Next: franking send-test g --to me@gmail.com" in ended.err
    grant = Grant.loads(open_store().load("g") or "")
    told = franking("status", "--json", "g")
    assert told.code == 0
    assert list(told.json[0])[:7] == KEYS
    state = told.json[0]
    assert (state["ok"], state["route"], state["source"], state["store"], state["who"]) == (
        True,
        "gmail-api",
        "store",
        "file",
        "me@gmail.com",
    )
    assert state["expires_at"].endswith("Z") and "https://www.googleapis.com/auth/gmail.send" in state["scopes"]
    said = franking("status").out
    assert "signed in as me@gmail.com, stored (file), just now" in said

    before = len(google.token_requests)
    assert franking("status", "--verify").code == 0
    assert len(google.token_requests) == before + 1  # really renewed
    assert Grant.loads(open_store().load("g") or "").access_token != grant.access_token

    exported = franking("login", "g", "--export")
    assert exported.code == 0 and "secret as a password" in exported.err
    assert Grant.loads(exported.out).data["refresh_token"] == grant.data["refresh_token"]
    assert exported.out.count("\n") == 1

    assert franking("logout", "g", "--json").json == {
        "ok": True,
        "account": "g",
        "forgotten": True,
        "revoked": False,
        "detail": None,
    }
    assert franking("status", "g").code == 4
    assert franking("login", "g", "--export").code == 4
    imported = franking("login", "g", "--import", stdin=exported.out)
    assert imported.code == 0 and "sign-in of me@gmail.com is stored" in imported.err
    assert franking("status", "--verify").code == 0
    for shown in (ended, told, missing, imported):
        for secret in secrets_of(google, grant):
            assert secret not in shown.out + shown.err


def test_status_verify_of_a_dead_sign_in_names_the_repair(google: Google, franking: Franking) -> None:
    franking("login", "g")
    google.refresh.clear()
    assert franking("status").code == 0  # without --verify nobody asks Google
    ended = franking("status", "--verify", "--json")
    assert ended.code == 4
    assert (ended.json[0]["ok"], ended.json[0]["repair"]) == (False, "franking login g")
    franking("accounts", "disable", "g")
    assert franking("status", "--verify").code == 0  # it does not send, so it need not work


def test_logout_revoke_ends_it_at_the_provider(google: Google, franking: Franking) -> None:
    franking("login", "g")
    grant = Grant.loads(open_store().load("g") or "")
    ended = franking("logout", "g", "--revoke")
    assert ended.code == 0, ended.err
    assert "forgotten" in ended.err
    assert not google.refresh
    assert open_store().load("g") is None
    assert all(secret not in ended.out + ended.err for secret in secrets_of(google, grant) if secret)
    assert franking("logout", "g", "--revoke").code == 2
    assert "nothing was stored" in franking("logout", "g").err


def test_imports_of_something_else_are_refused(google: Google, franking: Franking) -> None:
    for text in ("", "canary-8", '{"version": 1}'):
        ended = franking("login", "g", "--import", stdin=text)
        assert ended.code == 2
        assert "canary" not in ended.out + ended.err
    other = Grant("outlook", "graph", "x@y.cz", (), 1.0, 1.0)
    assert "sign-in at outlook" in franking("login", "g", "--import", stdin=other.dumps()).err
    assert franking("login", "g", "--password-stdin", stdin="x").code == 2
    assert franking("login", "g", "--import", "--export").code == 2
    assert open_store().load("g") is None


def test_large_attachments_are_noted_where_they_mean_something(google: Google, franking: Franking) -> None:
    ended = franking("login", "g", "--large-attachments")
    assert (ended.code, "needs no further rights" in " ".join(ended.err.split())) == (2, True)


def test_logout_of_an_account_that_is_gone_forgets_what_is_left(franking: Franking, shop: None) -> None:
    franking("login", "shop", "--password-stdin", stdin="x\n")
    franking("accounts", "remove", "shop", "--keep-secret")
    assert franking("logout", "shop").code == 0
    assert open_store().load("shop") is None
    assert franking("logout", "shop").code == 2


# --- status -----------------------------------------------------------------------------------------------------------


def test_status_verify_really_logs_in(franking: Franking, tmp_path: Path) -> None:
    with SmtpServer(users={"u": "right"}) as server:
        franking(
            "accounts",
            "add",
            "s",
            "--from",
            "a@b.cz",
            "--host",
            "127.0.0.1",
            "--port",
            str(server.port),
            "--security",
            "none",
            "--username",
            "u",
        )
        franking("login", "s", "--password-stdin", stdin="right\n")
        assert franking("status", "--verify").code == 0
        franking("login", "s", "--password-stdin", stdin="canary-9\n")
        assert franking("status").code == 0
        ended = franking("status", "--verify", "--json")
        assert ended.code == 1
        assert ended.json[0]["ok"] is False and "canary" not in ended.out
    assert franking("status", "--verify").code in (1, 5)


def test_status_of_nothing_and_of_a_url(franking: Franking) -> None:
    assert franking("status", "--json").json == []
    assert "franking setup" in franking("status").err
    told = franking("status", "outlook://me@contoso.com?client_id=x", "--json")
    assert told.code == 4
    assert told.json[0]["repair"] == "franking login 'outlook://me@contoso.com?client_id=x'"


def test_status_is_2_before_4(franking: Franking, shop: None) -> None:
    franking("accounts", "add", "g", "--provider", "gmail", "--from", "me@gmail.com")
    assert franking("status").code == 2
    franking("login", "shop", "--password-stdin", stdin="x\n")
    assert franking("status").code == 4


@pytest.mark.skipif(os.name != "posix", reason="modes")
def test_status_names_the_chmod(franking: Franking, shop: None) -> None:
    franking("login", "shop", "--password-stdin", stdin="x\n")
    path = open_store().path("shop")
    path.chmod(0o644)
    told = franking("status", "--json").json[0]
    assert (told["ok"], told["repair"]) == (False, f"chmod 600 {path}")
    path.chmod(0o600)
    assert franking("status").code == 0


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("2026-01-10T00:00:00Z", "just now"),
        ("2026-01-09T23:58:00Z", "2 minutes ago"),
        ("2026-01-09T22:00:00Z", "2 hours ago"),
        ("2026-01-07T00:00:00Z", "3 days ago"),
        ("2026-01-11T01:00:00Z", "in 1 day"),
    ],
)
def test_ages_are_words(written: str, words: str) -> None:
    assert age(written, 1_768_003_200.0) == words


# --- secrets stay secret ----------------------------------------------------------------------------------------------


def test_no_command_shows_a_secret_at_the_highest_verbosity(
    franking: Franking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pw").write_text("canary-file\n")
    monkeypatch.setenv("FRANKING_SECRET_ENV", "canary-env")
    base = ("--from", "a@b.cz", "--host", "127.0.0.1", "--port", "9", "--username", "u", "--security", "none")
    franking("accounts", "add", "store", *base, "--password-stdin", stdin="canary-store\n")
    franking("accounts", "add", "env", *base)
    franking("accounts", "add", "file", *base, "--password-file", str(tmp_path / "pw"))
    franking("accounts", "add", "command", *base, "--password-command", f"cat {tmp_path / 'pw'}")
    texts = []
    for name in ("store", "env", "file", "command"):
        for arguments in (
            ("accounts", "show", name),
            ("accounts", "show", name, "--json"),
            ("status", name, "--verify"),
            ("status", name, "--verify", "--json"),
            ("login", name, "--export"),
            ("accounts", "disable", name),
            ("logout", name),
        ):
            ended = franking(*arguments, "-vv")
            texts.append(ended.out + ended.err)
    texts.append(franking("accounts", "list", "--json", "-vv").out)
    assert len(texts) == 29
    assert "canary" not in "".join(texts)
    held = [path for path in [*tmp_path.rglob("*")] if path.is_file() and b"canary" in path.read_bytes()]
    assert held == [tmp_path / "pw"]  # logout has forgotten the stored one


@pytest.mark.process
@pytest.mark.parametrize(
    ("consent", "code", "remedy"),
    [
        ({"error": "access_denied"}, "login.cancelled", "franking login g"),
        ({"error": "admin_policy_enforced"}, "google.admin-policy", "App access control"),
        ({"error": "org_internal"}, "google.internal-only", "External"),
        ({"unticked": ["https://www.googleapis.com/auth/gmail.send"]}, "google.scope-missing", "franking login g"),
        ({"user": "jan@novak.cz"}, "login.other-mailbox", "franking login g"),
    ],
)
def test_a_sign_in_that_fails_is_explained_as_a_send_is(
    google: Google, franking: Franking, consent: dict[str, Any], code: str, remedy: str
) -> None:
    google.consent = lambda asked: consent
    told = franking("login", "g", "--json")
    assert (told.code, told.json["diagnosis"]["code"]) == (4, code)
    shown = franking("login", "g").err
    assert told.json["diagnosis"]["title"] in shown and remedy in shown
    assert open_store().load("g") is None


def test_google_has_no_device_code_and_says_so(google: Google, franking: Franking) -> None:
    told = franking("login", "g", "--device", "--json")
    assert (told.code, told.json["diagnosis"]["code"]) == (2, "google.device-not-allowed")
    assert google.requests == []


def test_status_says_why_a_sign_in_ends_so_soon(google: Google, franking: Franking) -> None:
    google.testing = True
    assert "in Testing" in franking("login", "g").err
    assert "days (the consent screen is in Testing)" in franking("status").out
    assert franking("status", "--json").json[0]["testing"] is True


def test_what_was_given_as_a_sign_in_and_is_none(
    google: Google, franking: Franking, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = franking("login", "g", "--import", "--json", stdin='{"version": 1, "kind": "gra')
    assert (told.code, told.json["diagnosis"]["code"]) == (2, "secret.not-a-sign-in")
    monkeypatch.setenv("FRANKING_SECRET_G", "half a line")
    told = franking("check", "g", "--json")
    assert (told.code, told.json["diagnosis"]["code"]) == (2, "secret.not-a-sign-in")
    assert any(
        "FRANKING_SECRET_G comes before what is stored" in remedy for remedy in told.json["diagnosis"]["remedies"]
    )
