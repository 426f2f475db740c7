"""Secrets are planted everywhere, everything is turned up to its loudest, and everything that comes out is searched.

The sign-ins' own canaries (codes, verifiers, device codes, assertions, keys) are in ``faults/test_canaries_oauth.py``.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import pickle
import quopri
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import franking
from canaries import everything, found, leaks, shapes
from franking.auth.secret import Grant, Password
from franking.auth.sources import secret_for
from franking.auth.store import FileStore
from franking.errors import FrankingError
from franking.registry import provider
from franking.sending.testsend import send_test
from servers.certificates import Certificates
from servers.smtp import Act, Fault, Peer, SmtpServer, hangs_up, says, sends
from tiers import one_of_each

PASSWORD = "Canary-Žluť 7%&+pass"
TOKEN = "canary.access-token_0123456789abcdefghij"
ECHO = [
    f"535 5.7.8 you said {PASSWORD} and {TOKEN}",
    f"535 5.7.8 you said {base64.b64encode(PASSWORD.encode()).decode()}",
    f"535 5.7.8 you said {base64.b64encode(f'{chr(0)}jana{chr(0)}{PASSWORD}'.encode()).decode()}",
    f"454 4.7.0 {PASSWORD}",
]
MESSAGE = franking.Message(to=["jana@example.cz"], subject="x", text="y")


def test_the_search_finds_what_it_looks_for() -> None:
    for form in shapes(PASSWORD):
        assert found(f"x{form}y", PASSWORD)


@pytest.mark.parametrize(
    "auth", one_of_each(["plain", "login", "cram-md5", "xoauth2", "oauthbearer"], lambda name: "oauth" in name)
)
@pytest.mark.parametrize(
    "fault",
    one_of_each(
        ["echo 0", "echo 1", "echo 2", "echo 3", "echo at MAIL", "garbage", "hangs up", "none"],
        lambda name: name.split()[0],
    ),
)
def test_nothing_secret_comes_out_of_smtp(
    auth: str, fault: str, certificates: Certificates, loud: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    token = auth in ("xoauth2", "oauthbearer")
    secret = TOKEN if token else PASSWORD
    users = (
        {"tokens": {"jana": TOKEN}}
        if token
        else {"users": {"jana": PASSWORD}, "mechanisms": ("PLAIN", "LOGIN", "CRAM-MD5")}
    )
    faults = {
        "none": [],
        "echo at MAIL": [Fault("mail", says(ECHO[0].replace("535 5.7.8", "550 5.7.1")))],
        "garbage": [Fault("auth", sends(f"{secret}\r\n".encode()))],
        "hangs up": [Fault("auth", hangs_up)],
    }.get(fault) or ([Fault("auth", says(ECHO[int(fault[-1])]), nth=None)] if fault[-1].isdigit() else [])
    steps: list[Any] = []
    with SmtpServer(**users, faults=faults, context=certificates.context("good")) as server:  # type: ignore[arg-type]
        account = franking.Account(
            name="shop",
            provider="smtp",
            sender="jana@example.cz",
            host="localhost",
            port=server.port,
            security="starttls",
            username="jana",
            auth=auth,
            ca_file=certificates.ca_file,
            timeout=5,
        )
        mailer = franking.connect(account, secret=secret, observer=steps.append)
        out = repr(mailer) + repr(account) + repr(Password(secret)) + str(pickle.dumps(account))
        try:
            out += repr(mailer.send(MESSAGE))
            assert fault == "none"
        except FrankingError as error:
            assert fault != "none"
            out += everything(error)
        mailer.close()
        report = send_test(account, to="me@example.cz", secret=secret)
        assert report.ok == (fault == "none")
        out += json.dumps(report.as_dict(), ensure_ascii=False) + repr(report)
    out += repr(steps) + "".join(f"{record.getMessage()} {record.__dict__}" for record in loud.records)
    out += "".join(capfd.readouterr())
    assert not found(out, secret)


# -- what is repeated cut, folded or encoded anew ----------------------------------------------------------------------


def echoes(made: Callable[[str, str], list[str]]) -> Act:
    """Refuse a login and repeat what it said: ``made`` is told the AUTH line, and what its base64 says."""

    def act(peer: Peer, reply: str) -> None:
        line = peer.heard.lines[-1]
        if len(line.split()) < 3:
            peer.send(b"334 \r\n")
            line = f"AUTH {peer.line()}"
        said = base64.b64decode(line.split()[-1]).decode()
        if said == "jana":  # the password comes in answer to the second question of LOGIN
            peer.send(b"334 \r\n")
            line = peer.line()
            said = base64.b64decode(line).decode()
        peer.send("".join(f"{text}\r\n" for text in made(line, said)).encode())

    return act


def folded(text: str, width: int, code: str) -> list[str]:
    parts = [text[at : at + width] for at in range(0, len(text), width)]
    return [f"{code}-5.5.4 {part}" for part in parts[:-1]] + [f"{code} 5.5.4 {parts[-1]}"]


ECHOES: dict[str, Callable[[str, str], list[str]]] = {
    "cut at 60": lambda line, said: [f"501 5.5.4 {line[:60]}"],
    "cut at 44": lambda line, said: [f"501 5.5.4 Syntax error: {line[:44]}..."],
    "without its beginning": lambda line, said: [f"500 5.5.1 {line[22:]} unknown"],
    "the last 20": lambda line, said: [f"500 5.5.1 ...{line[-20:]}"],
    "in lines of 76": lambda line, said: folded(line, 76, "535"),
    "in lines of 9": lambda line, said: folded(line, 9, "535"),
    "in lines of 5": lambda line, said: folded(line, 5, "454"),
    "in groups of 4": lambda line, said: [f"535 5.7.8 {' '.join(line[at : at + 4] for at in range(0, len(line), 4))}"],
    "decoded and cut": lambda line, said: [f"535 5.7.8 {said.split(chr(0))[-1].rpartition('Bearer ')[2][:-4]}"],
    "decoded and folded": lambda line, said: folded(said.replace("\0", " ").replace("\1", " "), 7, "535"),
    "encoded with a prefix": lambda line, said: [f"535 5.7.8 {base64.b64encode(b'?' + said.encode()).decode()}"],
    "encoded with two": lambda line, said: [f"535 5.7.8 {base64.b64encode(b'??' + said.encode()).decode()}!"],
    "for URLs": lambda line, said: [f"535 5.7.8 {base64.urlsafe_b64encode(b'?' + said.encode()).decode()}"],
    "in hexadecimal": lambda line, said: [f"535 5.7.8 {said.encode().hex()}"],
    "in HEXADECIMAL": lambda line, said: [f"535 5.7.8 {said.encode().hex().upper()[3:]}"],
    "percent-encoded": lambda line, said: [f"535 5.7.8 {quote(said, safe='')[:-5]}"],
    "quoted-printable": lambda line, said: [f"535 5.7.8 {quopri.encodestring(said.encode()).decode().strip()}"],
    "unfinished": lambda line, said: [f"535-5.7.8 {line}", f"421 5.7.8 {said[-12:]}"],
    "no reply at all": lambda line, said: [line],
}


@pytest.mark.parametrize("auth", ["plain", "login", "xoauth2"])
@pytest.mark.parametrize("echo", one_of_each(ECHOES, type))
def test_nothing_secret_comes_out_of_an_echo_that_is_another(
    auth: str, echo: str, certificates: Certificates, loud: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = TOKEN if auth == "xoauth2" else PASSWORD
    steps: list[Any] = []
    faults = [Fault("auth", echoes(ECHOES[echo]), nth=None)]
    with SmtpServer(mechanisms=(auth.upper(),), faults=faults, context=certificates.context("good")) as server:
        place = {"host": "localhost", "port": server.port, "security": "starttls", "ca_file": certificates.ca_file}
        account = franking.Account(
            name="shop", provider="smtp", sender="jana@example.cz", username="jana", auth=auth, timeout=5, **place
        )
        report = send_test(account, to="me@example.cz", secret=secret, observer=steps.append)
    assert report.error is not None and report.diagnosis is not None and "[hidden]" in report.diagnosis.raw
    out = everything(report.error) + json.dumps(report.as_dict(), ensure_ascii=False) + repr(report) + repr(steps)
    out += "".join(f"{record.getMessage()} {record.__dict__}" for record in loud.records) + "".join(capfd.readouterr())
    assert not found(out, secret)


@pytest.mark.parametrize("way", ["send", "connect", "check", "send_many", "send_test", "aio.send", "aio.connect"])
def test_an_ordinary_wrong_password_is_in_no_variable(way: str) -> None:
    """Nor in an attribute of one: collectors of errors show the frames that an error came through."""
    import franking.aio

    secret = {"secret": PASSWORD}
    with SmtpServer(users={"jana": "another"}) as server:
        place = {"host": "127.0.0.1", "port": server.port, "security": "none", "username": "jana", "auth": "plain"}
        account = franking.Account(name="shop", provider="smtp", sender="jana@example.cz", timeout=5, **place)

        async def connected() -> None:
            async with franking.aio.connect(account, **secret) as mailer:
                await mailer.send(MESSAGE)

        ways: dict[str, Callable[[], Any]] = {
            "send": lambda: franking.send(account, MESSAGE, **secret),
            "connect": lambda: franking.connect(account, **secret).send(MESSAGE),
            "check": lambda: franking.connect(account, **secret).check(),
            "send_many": lambda: next(franking.connect(account, **secret).send_many([MESSAGE])).error,
            "send_test": lambda: franking.send_test(account, **secret).error,
            "aio.send": lambda: asyncio.run(franking.aio.send(account, MESSAGE, **secret)),
            "aio.connect": lambda: asyncio.run(connected()),
        }
        try:
            error = ways[way]()
        except FrankingError as raised:
            error = raised
    assert isinstance(error, franking.LoginError)
    assert leaks(error, {PASSWORD}) == []


@pytest.mark.parametrize("way", ["connect", "send", "send_test", "aio.connect"])
def test_a_password_for_an_account_that_does_not_exist_is_in_no_variable(way: str) -> None:
    import franking.aio

    async def sent() -> None:
        await franking.aio.connect("nobody", secret=PASSWORD).send(MESSAGE)

    ways: dict[str, Callable[[], Any]] = {
        "connect": lambda: franking.connect("nobody", secret=PASSWORD, rate=0),
        "send": lambda: franking.send("nobody", MESSAGE, secret=PASSWORD),
        "send_test": lambda: franking.send_test("nobody", secret=PASSWORD),
        "aio.connect": lambda: asyncio.run(sent()),
    }
    with pytest.raises(franking.SettingsError) as caught:
        ways[way]()
    assert leaks(caught.value, {PASSWORD}) == []


@pytest.mark.process
@pytest.mark.parametrize("verbosity", ["-v", "-vv"])
@pytest.mark.parametrize("good", [True, False])
def test_nothing_secret_comes_out_of_the_command_line(good: bool, verbosity: str) -> None:
    with SmtpServer(
        users={"jana": PASSWORD}, faults=[] if good else [Fault("auth", says(ECHO[0]), nth=None)]
    ) as server:
        words = [
            "send-test",
            "--provider",
            "smtp",
            "--from",
            "a@b.cz",
            "--host",
            "127.0.0.1",
            "--port",
            str(server.port),
            "--security",
            "none",
        ]
        words += ["--username", "jana", "--password-stdin", "--to", "me@example.cz", "--transcript", verbosity]
        out = ""
        for more in ([], ["--json"]):
            done = subprocess.run(
                [sys.executable, "-c", "from franking_cli.app import main; main()", *words, *more],
                input=PASSWORD,
                capture_output=True,
                text=True,
                encoding="utf-8",
                env=dict(os.environ) | {"PYTHONUTF8": "1"},
                check=False,
            )
            assert (done.returncode == 0) == good, done.stderr
            out += done.stdout + done.stderr
        assert "AUTH PLAIN" in out
    assert not found(out, PASSWORD)


@pytest.mark.process
def test_a_password_command_gets_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child's arguments and environment hold nothing of ours, not even other accounts' secrets out of our own
    environment.
    """
    monkeypatch.setenv("FRANKING_SECRET_OTHER", PASSWORD)
    monkeypatch.setenv("FRANKING_STORE_KEY", TOKEN)
    seen = tmp_path / "seen"
    script = tmp_path / "tell"
    script.write_text(f"#!/bin/sh\ncat /proc/self/cmdline /proc/self/environ > {seen}\necho geheim\n")
    script.chmod(0o700)
    account = franking.Account(
        name="shop",
        provider="smtp",
        sender="a@b.cz",
        host="smtp.example.cz",
        username="jana",
        password_command=str(script),
    )
    secret = secret_for(account, provider("smtp"), FileStore(tmp_path / "state"), os.environ)
    assert secret.get() == "geheim"
    assert not found(seen.read_bytes().decode("utf-8", "replace"), PASSWORD, TOKEN)


def test_a_grant_shows_nothing_of_itself() -> None:
    grant = Grant(
        "gmail",
        "gmail-api",
        "me@gmail.com",
        (),
        0.0,
        0.0,
        TOKEN,
        1.0,
        {"refresh_token": PASSWORD, "client_secret": PASSWORD},
        {},
    )
    try:
        raise RuntimeError("something") from ValueError(repr(grant))
    except RuntimeError as error:
        assert not found("".join(traceback.format_exception(error)) + repr(grant) + str(grant), TOKEN, PASSWORD)
