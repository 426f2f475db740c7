"""Where secrets come from: the order, commands and files, what status tells, and that nothing of a secret is ever
told.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import franking
from franking.account.account import Account
from franking.auth import sources
from franking.auth.secret import Grant, Password
from franking.auth.sources import FoundSecret, Sources, keyed_by_settings, secret_for
from franking.auth.store import FileStore, MemoryStore, SecretStore
from franking.provider import LoginUI
from franking.registry import provider as provider_named
from franking.smtp.provider import SmtpProvider

NOW = 1_800_000_000.0
posix = pytest.mark.skipif(os.name != "posix", reason="POSIX commands")


def find(
    account: Account, store: SecretStore, environ: Mapping[str, str], explicit: str | None = None
) -> Password | None:
    return Sources(account, store, environ, explicit).password()


def smtp(**changes: Any) -> Account:
    base: dict[str, Any] = {"name": "my-shop", "provider": "smtp", "sender": "a@b.cz", "host": "h", "username": "u"}
    account = Account(**{**base, **changes})
    return account.referred_to_as(account.name)  # as if it stood in the settings file


def grant(**changes: Any) -> Grant:
    base = Grant(
        "gmail",
        "gmail-api",
        "a@b.cz",
        ("send",),
        NOW - 100,
        NOW - 100,
        "stored-token",
        NOW + 3000,
        {"refresh_token": "r"},
        bound={"provider": "smtp", "host": "h"},
    )
    return replace(base, **changes)


class Signing(SmtpProvider):
    """A provider that signs in: the smallest there can be."""

    facts = replace(SmtpProvider.facts, oauth=True)

    def __init__(self, person: bool = True) -> None:
        self.person = person
        self.seen: list[tuple[Grant | None, str | None]] = []

    def needs_login(self, account: Account) -> bool:
        return self.person

    def login(self, account: Account, ui: LoginUI) -> Grant:
        return grant()

    def refresh(self, account: Account, old: Grant | None, secret: str | None) -> Grant:
        self.seen.append((old, secret))
        return grant(access_token=f"fetched-{len(self.seen)}", refreshed_at=NOW, expires_at=NOW + 3600)

    def revoke(self, account: Account, old: Grant) -> str:
        return "revoked"

    def who(self, old: Grant) -> str | None:
        return old.who


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


# --- passwords --------------------------------------------------------------------------------------------------------


def test_the_order_of_sources(store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program(monkeypatch, (0, b"from command"))
    (tmp_path / "pw").write_text("from file\nsecond line\n")
    account = smtp(password_command="pw", password_file=str(tmp_path / "pw"))
    store.save("my-shop", Password("from store", saved_at=5.0).dumps())
    environ = {"FRANKING_SECRET_MY_SHOP": "from environment"}
    assert find(account, store, environ, "given") == Password("given", "argument")
    assert find(account, store, environ) == Password("from environment", "environment")
    assert find(account, store, {"FRANKING_SECRET_MY_SHOP": ""}) == Password("from command", "password_command")
    assert find(account.replace(password_command=None), store, {}) == Password("from file", "password_file")
    assert find(smtp(), store, {}) == Password("from store", "store", 5.0)
    assert find(smtp(name="other"), store, environ) is None
    token = smtp(auth="xoauth2", token_command="tok", password_command="pw", password_file="/no")
    assert find(token, store, {}) == Password("from command", "token_command")
    assert program.asked["argv"] == ["tok"]


@pytest.mark.process
@posix
@pytest.mark.parametrize(
    ("command", "password"),
    [
        ("printf 'secret\\n'", "secret"),
        ("printf 'secret\\r\\nmore\\n'", "secret"),
        ("printf ' secret \\n\\n'", " secret "),
        ("printf 'žluť'", "žluť"),
        ("echo $HOME", "$HOME"),  # no shell
        ("sh -c 'echo $((1+1))'", "2"),  # unless somebody writes one
    ],
)
def test_a_command_gives_its_first_line(store: MemoryStore, command: str, password: str) -> None:
    assert find(smtp(password_command=command), store, {}) == Password(password, "password_command")


@pytest.mark.process
@posix
def test_a_command_in_the_home_directory(store: MemoryStore) -> None:
    (Path.home() / "pw").write_text("at home\n")
    assert find(smtp(password_command="cat ~/pw"), store, {}) == Password("at home", "password_command")


@pytest.mark.process
@posix
@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("sh -c 'echo canary-out; echo canary-err >&2; exit 7'", "sh ended with exit code 7; run it by hand"),
        ("no-such-program-here canary-arg", "no-such-program-here could not be started"),
        ("true canary-arg", "first line is empty"),
        ("sh -c 'echo canary; kill -9 $$'", "exit code -9"),
        ("printf '\\377\\n'", "not UTF-8"),
        ("echo 'canary-arg", "cannot be read"),
        ("   ", "empty"),
    ],
)
def test_a_command_that_fails_tells_how_but_nothing_of_its_output(store: MemoryStore, command: str, words: str) -> None:
    store.save("my-shop", Password("from store").dumps())
    with pytest.raises(franking.SettingsError, match=words) as caught:  # and the store is not asked instead
        find(smtp(password_command=command), store, {})
    assert caught.value.field == "password_command"
    told = "".join(traceback.format_exception(caught.value)).replace(f"password_command={command!r}", "")
    assert "canary-out" not in told and "canary-err" not in told and "canary-arg" not in str(caught.value)
    assert caught.value.__context__ is None or "canary" not in repr(vars(caught.value.__context__))


@pytest.mark.process
@posix
def test_a_command_that_hangs_is_ended(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "COMMAND_SECONDS", 0.1)
    with pytest.raises(franking.SettingsError, match=r"sh did not end within 0\.1 seconds") as caught:
        find(smtp(password_command="sh -c 'echo canary; exec sleep 60'"), store, {})
    error: BaseException | None = caught.value
    while error:
        assert "canary" not in repr(vars(error)) + str(error)  # a caught TimeoutExpired would hold the output
        error = error.__context__


@pytest.mark.parametrize(
    ("content", "password"),
    [
        (b"secret", "secret"),
        (b"secret\r\n", "secret"),
        (b"secret\n\n", "secret"),
        (b" s \n", " s "),
        (b"\xef\xbb\xbfsecret\n", "secret"),
    ],
)
def test_a_file_gives_its_first_line(store: MemoryStore, tmp_path: Path, content: bytes, password: str) -> None:
    (tmp_path / "pw").write_bytes(content)
    assert find(smtp(password_file=str(tmp_path / "pw")), store, {}) == Password(password, "password_file")


def test_a_file_that_fails_is_named(store: MemoryStore, tmp_path: Path) -> None:
    for content, words in ((None, "No such file"), (b"", "empty"), ("tajné".encode("utf-16"), "not UTF-8")):
        path = tmp_path / "pw"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(franking.SettingsError, match=words):
            find(smtp(password_file=str(path)), store, {})


def test_a_mounted_file_may_be_a_link_that_all_may_read(store: MemoryStore, tmp_path: Path) -> None:
    (tmp_path / "real").write_text("secret")
    (tmp_path / "real").chmod(0o644)
    (tmp_path / "pw").symlink_to(tmp_path / "real")
    assert find(smtp(password_file=str(tmp_path / "pw")), store, {}) == Password("secret", "password_file")


def test_a_missing_password_says_which_command_stores_it(store: MemoryStore) -> None:
    secret = secret_for(smtp(name="můj shop"), SmtpProvider(), store, {})
    with pytest.raises(franking.SettingsError) as caught:
        secret.get()
    assert "franking login 'můj shop'" in str(caught.value) and "FRANKING_SECRET_M_J_SHOP" in str(caught.value)
    assert caught.value.step == "secret"


def test_a_password_is_looked_up_once_and_again_when_refused(store: MemoryStore) -> None:
    store.save("my-shop", Password("old").dumps())
    secret = secret_for(smtp(), SmtpProvider(), store, {})
    assert isinstance(secret, FoundSecret)
    assert secret.get() == "old"
    store.save("my-shop", Password("new").dumps())
    assert secret.get() == "old"
    assert secret.get(renew_after="old") == "new"
    assert "new" not in repr(secret)


@pytest.mark.process
@posix
def test_a_token_command_is_asked_again_when_refused_or_old(
    store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "next.py"
    script.write_text(
        f"import pathlib; p = pathlib.Path({str(tmp_path / 'n')!r}); n = len(p.read_text()) if p.exists() "
        "else 0\np.write_text('x' * (n + 1)); print(n)"
    )
    secret = secret_for(smtp(auth="xoauth2", token_command=f"{sys.executable} {script}"), SmtpProvider(), store, {})
    assert [secret.get(), secret.get(), secret.get(renew_after="0"), secret.get(renew_after="0")] == [
        "0",
        "0",
        "1",
        "1",
    ]
    began = time.monotonic()
    for seconds, number in ((55, "1"), (65, "2"), (70, "2"), (130, "3")):
        monkeypatch.setattr(sources, "time", SimpleNamespace(monotonic=lambda: began + seconds))  # noqa: B023
        assert secret.get() == number


def test_a_stored_sign_in_is_never_taken_as_a_password(store: MemoryStore) -> None:
    store.save("my-shop", grant().dumps())  # the account was a gmail account before
    with pytest.raises(franking.SettingsError) as caught:
        secret_for(smtp(), SmtpProvider(), store, {}).get()
    assert "stored-token" not in str(caught.value)


def test_a_ready_secret_is_used_as_it_is(store: MemoryStore) -> None:
    ready = Password("x")
    assert secret_for(smtp(), SmtpProvider(), store, {}, ready) is ready


# --- sign-ins ---------------------------------------------------------------------------------------------------------


def test_a_sign_in_gives_tokens(store: MemoryStore) -> None:
    provider = Signing()
    secret = secret_for(smtp(), provider, store, {}, clock=lambda: NOW)
    with pytest.raises(franking.LoginRequired, match="franking login my-shop"):
        secret.get()
    store.save("my-shop", grant(route="smtp").dumps())
    assert secret.get() == "stored-token"
    assert secret.get(renew_after="stored-token") == "fetched-1"
    assert provider.seen[0][1] is None


def test_an_exported_sign_in_comes_from_the_environment_or_an_argument(store: MemoryStore) -> None:
    exported = grant(route="smtp", access_token="exported").dumps()
    for environ, explicit in (
        ({"FRANKING_SECRET_MY_SHOP": exported}, None),
        ({}, exported),
        ({"FRANKING_SECRET_MY_SHOP": "x"}, exported),
    ):
        assert secret_for(smtp(), Signing(), store, environ, explicit, clock=lambda: NOW).get() == "exported"
    for environ, explicit, named in (
        ({"FRANKING_SECRET_MY_SHOP": "canary-9"}, None, "FRANKING_SECRET_MY_SHOP"),
        ({}, "canary-9", "secret"),
    ):
        secret = secret_for(smtp(), Signing(), store, environ, explicit)
        with pytest.raises(franking.SettingsError, match=f"{named}: .*--export") as caught:
            secret.get()
        assert "canary" not in "".join(traceback.format_exception_only(caught.value))


def test_a_client_secret_comes_from_the_usual_sources_and_stays_in_the_one_file(tmp_path: Path) -> None:
    provider = Signing(person=False)
    store = FileStore(tmp_path / "state", "file")
    assert (
        secret_for(smtp(), provider, store, {}, clock=lambda: NOW).get() == "fetched-1"
    )  # such as a service account: its key is a setting
    store.delete("my-shop")
    store.save("my-shop", Password("client secret").dumps())
    for _ in range(2):
        secret = secret_for(smtp(), provider, store, {}, clock=lambda: NOW)
        assert secret.get(renew_after="fetched-2") in ("fetched-2", "fetched-3")
    assert [secret for _, secret in provider.seen] == [None, "client secret", "client secret"]
    assert [path.name for path in (tmp_path / "state").glob("*.json")] == ["my-shop.json"]
    assert secret_for(smtp(), provider, store, {"FRANKING_SECRET_MY_SHOP": "other"}, clock=lambda: NOW).get(
        renew_after="fetched-3"
    )
    assert provider.seen[-1][1] == "other"


# --- how things stand -------------------------------------------------------------------------------------------------


def test_commands_name_a_url_account_by_its_url(tmp_path: Path) -> None:
    from franking.account.config import parse_url
    from franking.errors import Evidence
    from franking.sending.explain import explain

    account = parse_url("smtp://u@h?from=a@b.cz")
    error = sources.no_password(account)
    assert "franking login 'smtp://u@h?from=a@b.cz'" in str(error)
    assert any(
        "franking login 'smtp://u@h?from=a@b.cz'" in remedy
        for remedy in explain(error, account, SmtpProvider()).remedies
    )
    gmail = parse_url("gmail://me@gmail.com?client_secrets=/x.json")
    refused = franking.LoginRequired("x", evidence=Evidence("oauth", reason="no-grant"))
    assert any(
        f"franking login '{gmail.reference}'" in remedy
        for remedy in explain(refused, gmail, provider_named("gmail")).remedies
    )


def test_the_repair_of_an_account_made_in_code_is_no_name_that_nobody_saved() -> None:
    from franking.account.config import parse_url
    from franking.errors import Evidence
    from franking.sending.explain import explain

    for kind, rest in (("gmail", {"client_secrets": "/x.json"}), ("outlook", {"client_id": "x"})):
        made = Account(name="shop", provider=kind, sender="me@x.cz", **rest)
        with pytest.raises(franking.LoginRequired) as caught:
            secret_for(made, provider_named(kind), MemoryStore(), {}).get()
        explain(caught.value, made, provider_named(kind))
        command = shlex.split(caught.value.repair or "")
        assert command[:2] == ["franking", "login"] and caught.value.repair in str(caught.value)
        assert parse_url(command[2]) == made  # its name too: the sign-in goes where the program looks for it
        ended = franking.LoginRequired("x", evidence=Evidence("oauth", reason="invalid_grant"))
        explain(ended, made.referred_to_as("shop"), provider_named(kind))
        assert ended.repair == "franking login shop"


# --- commands, played -------------------------------------------------------------------------------------------------


class Program:
    """What ``subprocess.run`` is asked for, and what it says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ends: Any) -> None:
        self.ends, self.asked = ends, {}
        monkeypatch.setattr(subprocess, "run", self)

    def __call__(self, argv: Any, **settings: Any) -> subprocess.CompletedProcess[bytes]:
        self.asked = {"argv": argv, **settings}
        if isinstance(self.ends, Exception):
            raise self.ends
        return subprocess.CompletedProcess(argv, *self.ends)


def test_a_command_is_started_without_a_shell_and_without_our_secrets(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FRANKING_SECRET_MY_SHOP", "FRANKING_SECRET_OTHER", "FRANKING_STORE_KEY"):
        monkeypatch.setenv(name, "canary")
    monkeypatch.setenv("FRANKING_STORE", "file")
    program = Program(monkeypatch, (0, b"\xef\xbb\xbfsecret \r\nmore"))
    account = smtp(password_command="~/bin/pw 'a b' ~x")
    assert find(account, store, {}) == Password("secret ", "password_command")
    assert program.asked["argv"] == [str(Path.home() / "bin/pw"), "a b", "~x"]
    assert (program.asked["timeout"], program.asked["stdin"], program.asked["stderr"]) == (60.0, -3, -3)
    assert "canary" not in program.asked["env"].values()
    assert program.asked["env"]["FRANKING_STORE"] == "file"
    assert os.environ["FRANKING_SECRET_OTHER"] == "canary"
    monkeypatch.setattr(sources, "os", SimpleNamespace(name="nt", environ=os.environ))
    assert Sources(account, store, {}).password()
    assert program.asked["argv"] == "~/bin/pw 'a b' ~x"


@pytest.mark.parametrize(
    ("command", "ends", "words"),
    [
        ("pw", (1, b"canary"), "pw ended with exit code 1; run it by hand to see why"),
        ("/bin/pw -x", subprocess.TimeoutExpired("canary", 60, b"canary"), "pw did not end within 60 seconds"),
        ("pw", FileNotFoundError(2, "No such file"), "pw could not be started: No such file"),
        ("pw", (0, b""), "the first line is empty"),
        ("pw", (0, b"\ncanary"), "the first line is empty"),
        ("pw", (0, b"canary \xff"), "the first line is not UTF-8 text"),
        ("'", None, "the command cannot be read"),
        (" ", None, "the command is empty"),
    ],
)
def test_a_command_that_fails_is_an_error_and_no_other_source_is_tried(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch, command: str, ends: Any, words: str
) -> None:
    Program(monkeypatch, ends)
    store.save("my-shop", Password("from store").dumps())
    with pytest.raises(franking.SettingsError, match=words) as caught:
        find(smtp(password_command=command), store, {})
    assert caught.value.field == "password_command"
    assert caught.value.evidence is not None and caught.value.evidence.reason == "secret-source"
    assert "canary" not in "".join(traceback.format_exception(caught.value))


def test_a_printed_token_is_asked_for_again_after_a_minute(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(sources, "time", SimpleNamespace(monotonic=lambda: now[0]))
    for key, later in (("token_command", "token-2"), ("password_command", "token-1")):
        program = Program(monkeypatch, (0, b"token-1"))
        secret = secret_for(smtp(**{key: "pw"}), SmtpProvider(), store, {})
        assert secret.get() == "token-1"
        program.ends = (0, b"token-2")
        now[0] += 60
        assert secret.get() == "token-1"
        now[0] += 0.1
        assert secret.get() == later


def test_which_setting_signs_in_by_itself(tmp_path: Path) -> None:
    def keyed(provider: str, **settings: Any) -> str | None:
        return keyed_by_settings(Account(name="x", provider=provider, sender="a@contoso.com", **settings))

    assert keyed("gmail", service_account="/k.json") == "service_account"
    assert keyed("gmail", client_secrets="/c.json") is None
    assert keyed("outlook", app_only=True, tenant="contoso.com", certificate="/c.pem") == "certificate"
    assert keyed("outlook") is keyed("smtp", host="h", password_file="/pw") is None
