"""Line breaks, NUL, half characters and direction marks in every public field that is no message's: refused, or surely
harmless.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

import franking
from franking.account.fields import COMMON_FIELDS
from franking.errors import FrankingError, MessageError, SettingsError
from franking.message.address import Address, Envelope
from franking.registry import providers
from servers.smtp import SmtpServer

SIGNS = {
    "CR": "\r",
    "LF": "\n",
    "CRLF": "\r\nRCPT TO:<evil@example.com>\r\n",
    "NUL": "\0",
    "half": "\ud800",
    "bidi": "\u202e",
}
BREAKING = [name for name in SIGNS if name != "bidi"]
TEXTS = [
    (known.name, field.name)
    for known in providers()
    for field in (*COMMON_FIELDS, *known.fields)
    if field.type in ("str", "path") and not field.choices and not field.secret
]
BASE: dict[str, dict[str, Any]] = {
    "smtp": {"host": "smtp.example.cz", "username": "jana"},
    "gmail": {},
    "outlook": {"client_id": "11111111-1111-1111-1111-111111111111"},
    "file": {"path": "/nowhere"},
}


def test_the_fields_are_found() -> None:
    assert len(TEXTS) > 20
    assert ("smtp", "host") in TEXTS and ("smtp", "ehlo_name") in TEXTS and ("outlook", "mailbox") in TEXTS


@pytest.mark.parametrize("sign", BREAKING)
@pytest.mark.parametrize(("provider", "field"), TEXTS)
def test_no_setting_takes_it(provider: str, field: str, sign: str) -> None:
    with pytest.raises(SettingsError) as caught:
        franking.Account(
            name="shop", provider=provider, sender="a@b.cz", **{**BASE[provider], field: f"x{SIGNS[sign]}y"}
        )
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("what", ["name", "provider", "sender"])
def test_nothing_else_of_an_account_takes_it(what: str, sign: str) -> None:
    given = {"name": "shop", "provider": "smtp", "sender": "a@b.cz", what: f"a@b{SIGNS[sign]}.cz"}
    with pytest.raises(FrankingError) as caught:
        franking.Account(**given, host="smtp.example.cz")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize(
    "make", [lambda bad: Envelope(bad, ["b@c.cz"]), lambda bad: Envelope("b@c.cz", [bad]), Address]
)
def test_no_envelope_and_no_address_takes_it(make: Any, sign: str) -> None:
    for bad in (f"a{SIGNS[sign]}@b.cz", f"a@b{SIGNS[sign]}.cz", f"a@b.cz{SIGNS[sign]}", f"{SIGNS[sign]}a@b.cz"):
        with pytest.raises(MessageError) as caught:
            make(bad)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("sign", BREAKING)
def test_no_name_takes_it(sign: str) -> None:
    with pytest.raises(MessageError):
        Address("a@b.cz", f"Jan{SIGNS[sign]}")


@pytest.mark.parametrize("sign", ["CR", "LF", "CRLF", "NUL"])
@pytest.mark.parametrize("field", ["password", "username"])
def test_no_credential_carries_a_second_command(field: str, sign: str) -> None:
    """In base64 it could not: it is refused all the same where NUL separates, and nothing else arrives at the
    server.
    """
    with SmtpServer(users={"jana": "secret"}) as server:
        username = "jana" if field == "password" else f"jana{SIGNS[sign]}"
        password = f"secret{SIGNS[sign]}" if field == "password" else "secret"
        with pytest.raises(FrankingError) as caught:
            account = franking.Account(
                name="shop",
                provider="smtp",
                sender="a@b.cz",
                host="127.0.0.1",
                port=server.port,
                security="none",
                username=username,
            )
            franking.send(account, franking.Message(to="b@c.cz", subject="x", text="y"), secret=password)
        assert "evil" not in f"{[session.lines for session in server.sessions]}"
        assert password not in str(caught.value)
        assert server.messages == []


CLI = "from franking_cli.app import main; main()"
FLAGS = ["--from", "--host", "--username", "--ehlo-name", "--ca-file", "--password-file", "--password-command"]


@pytest.mark.process
@pytest.mark.parametrize("flag", FLAGS)
def test_no_flag_takes_a_line_break(flag: str) -> None:
    arguments = {"--provider": "smtp", "--from": "a@b.cz", "--host": "smtp.example.cz", "--username": "jana"}
    arguments[flag] = "x\r\nRCPT TO:<evil@example.com>"
    words = [word for pair in arguments.items() for word in pair]
    done = subprocess.run(
        [sys.executable, "-c", CLI, "accounts", "add", "shop", *words],
        capture_output=True, text=True, env=os.environ | {"COLUMNS": "400"}, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "\r" not in done.stderr


@pytest.mark.process
@pytest.mark.parametrize("header", ["X-A: b\r\nBcc: evil@example.com", "X-A\r\nBcc: evil@example.com"])
def test_no_header_of_the_command_line_takes_a_line_break(header: str) -> None:
    url = "file:///nowhere?from=a@b.cz"
    done = subprocess.run(
        [sys.executable, "-c", CLI, "send", url, "--to", "b@c.cz", "--subject", "x", "--text", "y", "--header", header, "--dry-run"],
        capture_output=True, text=True, env=dict(os.environ), check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "evil@example.com" not in done.stdout
