"""The command line with OAuth accounts: no token, code, client secret, export or store key comes out of a command, a
log, a file or a child's environment.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from canaries import found
from franking.account import config, editing
from franking.auth.secret import Grant
from franking.auth.store import open_store
from franking_cli.app import run
from servers.google import Google
from servers.microsoft import Microsoft
from servers.person import browse
from servers.tap import FAULTS, Tap
from servers.web import Authority
from tiers import one_of_each

KEY = "canary-store-key_7f3a9c51d2e84b06"


@dataclass
class Place:
    """One account ``shop`` in the settings, at a fake with a tap on it."""

    tap: Tap
    settings: dict[str, Any]
    browser: Callable[[str], object]
    secrets: set[str]

    def known(self) -> list[str]:
        return [
            *self.secrets,
            *(value for kind, values in self.tap.known.items() if kind != "state" for value in values),
            KEY,
        ]


@contextmanager
def gmail(directory: Path, authority: Authority) -> Iterator[Place]:
    with Google(authority) as google:
        file = directory / "client.json"
        file.write_text(json.dumps(google.client_secrets()))
        settings = {
            "sender": "me@gmail.com",
            "client_secrets": str(file),
            "api_endpoint": google.url,
            "ca_file": authority.ca_file,
        }
        yield Place(Tap(google.web), settings, lambda url: browse(url, authority.ca_file), google.secrets)


@contextmanager
def outlook(directory: Path, authority: Authority) -> Iterator[Place]:
    with Microsoft(directory, authority=authority) as microsoft:
        microsoft.approves = True
        yield Place(
            Tap(microsoft.server),
            {"sender": "jan@contoso.com", **microsoft.settings()},
            microsoft.browser,
            microsoft.secrets,
        )


MAKERS = {"gmail": gmail, "outlook": outlook}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(params=MAKERS)
def place(
    request: pytest.FixtureRequest, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    directory = tmp_path / "issuer"
    directory.mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", authority.ca_file)  # reading the system's bundle takes most of the time
    with MAKERS[request.param](directory, authority) as made:
        editing.save(config.load().build(name="shop", provider=request.param, **{"timeout": 20.0, **made.settings}))

        def open_browser(url: str) -> bool:
            threading.Thread(target=made.browser, args=(url,), daemon=True).start()
            return True

        monkeypatch.setattr("webbrowser.open", open_browser)
        yield made


@dataclass
class Shell:
    """Run commands, keep what they print; ``out`` is what the last one printed as data."""

    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    told: str = ""
    out: str = ""

    def __call__(self, *words: str, stdin: str = "", data: bool = False) -> int:
        self.monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        code = run([*words])
        self.out, err = self.capsys.readouterr()
        self.told += err + ("" if data else self.out)  # an export is asked for, and is a secret
        return code


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(capsys, monkeypatch)


def logged(loud: pytest.LogCaptureFixture) -> str:
    return "\n".join(
        f"{record.getMessage()} {record.__dict__}" for record in loud.records if record.threadName == "MainThread"
    )


@pytest.mark.parametrize("store", ["file", "encrypted"])
def test_a_life_of_an_account(
    place: Place, store: str, shell: Shell, loud: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sign in, look, send, carry to another machine, renew, sign out: every command at its loudest, nothing fails."""
    monkeypatch.setenv("FRANKING_STORE", store)
    if store == "encrypted":
        monkeypatch.setenv("FRANKING_STORE_KEY", KEY)
    assert shell("login", "shop", "-vv") == 0
    for command in (
        "status shop --verify --json",
        "status -vv",
        "accounts show shop --json",
        "accounts list -vv",
        "check shop -vv --transcript",
    ):
        assert shell(*command.split()) == 0
    for more in ([], ["--json"]):
        assert shell("send-test", "shop", "--to", "a@example.cz", "--transcript", "-vv", *more) == 0
    assert shell("send", "shop", "--to", "a@example.cz", "--text", "x", "-vv", "--json") == 0
    assert shell("login", "shop", "--export", "-vv", data=True) == 0
    exported = shell.out
    assert Grant.loads(exported).access_token
    assert shell("login", "shop", "--import", "-vv", "--json", stdin=exported) == 0
    assert shell("login", "shop", "--import", "-vv", stdin=exported[: len(exported) // 2]) == 2
    files = [path for path in open_store().directory.rglob("*") if path.is_file()]
    if store == "file":
        files.remove(open_store().path("shop"))
    held = "\n".join(path.read_bytes().decode("latin-1") for path in (*files, config.config_path()))
    assert shell("logout", "shop", "--revoke", "-vv", "--json") == 0
    assert {"access token", "refresh token", "PKCE verifier", "authorisation code", "ID token"} <= set(place.tap.known)
    assert not found(shell.told, *place.known())
    assert not found(logged(loud), *place.known())
    assert not found(held, *place.known())


@pytest.mark.parametrize(
    "fault",
    one_of_each(
        ["in every word 400", "garbage", "refused 400", "refused 401", "page 502", "half", "redirected 302"], type
    ),
)
def test_a_life_where_everything_fails(place: Place, fault: str, shell: Shell, loud: pytest.LogCaptureFixture) -> None:
    assert shell("login", "shop") == 0
    grant = Grant.loads(open_store().load("shop") or "")
    place.tap.stand_in("POST .*(token|revoke|send|Mail)", FAULTS[fault], once=False)
    for words in (
        ["send-test", "shop", "--to", "a@example.cz", "--transcript", "-vv", "--json"],
        ["send-test", "shop", "--to", "a@example.cz"],
    ):
        assert shell(*words) in ({0, 3} if fault == "half" else {1, 3, 4, 5}), shell.told[-2000:]
    ended = Grant(**{**{name: getattr(grant, name) for name in grant.__dataclass_fields__}, "expires_at": 0.0})
    open_store().save("shop", ended.dumps())
    for words in (
        ["status", "shop", "--verify", "--json"],
        ["check", "shop", "-vv", "--transcript"],
        ["login", "shop", "-vv", "--json"],
        ["login", "shop"],
    ):
        shell(*words)
    shell("logout", "shop", "--revoke", "-vv", "--json")
    assert place.tap.met > 4
    assert not found(shell.told, *place.known())
    assert not found(logged(loud), *place.known())


def test_a_grant_in_the_environment(
    place: Place, shell: Shell, loud: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole one, half of one, one with a typing mistake, and a password where a grant belongs."""
    assert shell("login", "shop") == 0
    assert shell("login", "shop", "--export", data=True) == 0
    exported = shell.out.strip()
    assert shell("logout", "shop") == 0
    for value, code in (
        (exported, 0),
        (exported[: len(exported) // 2], 2),
        (exported.replace('"kind"', '"kin"'), 2),
        (KEY, 2),
    ):
        monkeypatch.setenv("FRANKING_SECRET_SHOP", value)
        assert shell("check", "shop", "-vv", "--transcript") == code
        for command in ("status shop --json", "send-test shop --to a@example.cz -vv --json", "accounts show shop -vv"):
            shell(*command.split())
    assert not found(shell.told, *place.known())
    assert not found(logged(loud), *place.known())


def test_a_wrong_store_key(
    place: Place, shell: Shell, loud: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRANKING_STORE_KEY", KEY)
    assert shell("login", "shop") == 0
    monkeypatch.setenv("FRANKING_STORE_KEY", KEY[::-1])
    for command, code in (
        ("check shop -vv", 2),
        ("status shop --json", 4),
        ("login shop --export", 2),
        ("login shop -vv", 0),
        ("check shop", 0),
    ):
        assert shell(*command.split(), data="--export" in command) == code
    assert not found(shell.told, *place.known(), KEY[::-1])
    assert not found(logged(loud), *place.known(), KEY[::-1])


# -- children ----------------------------------------------------------------------------------------------------------


@pytest.mark.process
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_the_browser_gets_no_secret(tmp_path: Path, authority: Authority) -> None:
    """It is given the address to open, and of our environment all but the secrets: it belongs to the desktop, and any
    page's crash report may hold it.
    """
    with gmail(tmp_path, authority) as place:
        editing.save(config.load().build(name="shop", provider="gmail", **place.settings))
        seen = tmp_path / "seen"
        script = tmp_path / "browser"
        script.write_text(f"#!/bin/sh\ncat /proc/$$/cmdline /proc/$$/environ > {seen}.new && mv {seen}.new {seen}\n")
        script.chmod(0o700)
        with subprocess.Popen(
            [sys.executable, "-c", "from franking_cli.app import main; main()", "login", "shop"],
            env={**os.environ, "BROWSER": str(script), "FRANKING_SECRET_OTHER": KEY, "FRANKING_STORE_KEY": KEY,
            "ORDINARY": "yes"},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as login:  # fmt: skip
            try:
                for _ in range(3000):
                    if seen.exists() or login.poll() is not None:
                        break
                    threading.Event().wait(0.02)
                told = seen.read_text()
                url = next(part for part in told.split("\0") if part.startswith("https://"))
                browse(url, authority.ca_file)
                out, err = login.communicate(timeout=60)
            finally:
                login.kill()
        assert login.returncode == 0, err
        assert "ORDINARY=yes" in told
        assert not found(told + (out + err).decode(), *place.known())
