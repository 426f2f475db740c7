"""``franking login``: passwords and sign-ins, exported and imported, and that no secret is ever printed."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from commandline import Franking
from franking.account import config
from franking.account.binding import binding_of
from franking.auth.secret import Grant, Password
from franking.auth.store import open_store, save_grant
from servers.google import Google

SHOP = ("shop", "--from", "Jan Novák <info@novak.cz>", "--host", "smtp.novak.cz", "--username", "info@novak.cz")
KEYS = ["name", "provider", "route", "ok", "source", "expires_at", "repair"]


def secrets_of(google: Google, grant: Grant) -> list[str]:
    return [grant.access_token, str(grant.data["refresh_token"]), google.client_secret, *google.refresh, *google.access]


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


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.EINVAL, "store.not-now"), (errno.ENOLCK, "store.not-now"), (errno.EMFILE, "machine.exhausted")],
    ids=("EINVAL", "ENOLCK", "EMFILE"),
)
def test_a_sign_in_that_cannot_be_locked_is_not_renewed_and_may_be_tried_again(
    franking: Franking, google: Google, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    assert franking("login", "g").code == 0
    store = open_store()
    save_grant(store, config.resolve("g"), replace(Grant.loads(store.load("g") or ""), expires_at=0.0))
    asked = len(google.token_requests)

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", fail)
        ended = franking("check", "g", "--json")
    assert (ended.code, ended.json["diagnosis"]["code"]) == (5, code)
    assert len(google.token_requests) == asked
    assert franking("check", "g").code == 0
    assert len(google.token_requests) == asked + 1


@pytest.mark.parametrize("bound", [False, True])
def test_a_renewed_sign_in_is_bound_whoever_stored_it(franking: Franking, google: Google, bound: bool) -> None:
    assert franking("login", "g").code == 0
    store, account = open_store(), config.resolve("g")
    kept = Grant.loads(store.load("g") or "")
    assert kept.bound == binding_of(account)
    ended = replace(kept, expires_at=0.0)
    if not bound:  # Franking 0.1 stored it: it is renewed though its token is fresh
        ended = replace(kept, bound={})
    store.save("g", ended.dumps())
    asked = len(google.token_requests)
    assert franking("check", "g").code == 0
    assert len(google.token_requests) == asked + 1
    assert Grant.loads(store.load("g") or "").bound == binding_of(account)
