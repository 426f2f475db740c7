"""Runs an error text that people met through the product: a server says it, and the public report is what counts.

A row is a line of ``foreign.tsv``. SMTP is said by the scripted server, which goes by the name of the row's host; a
sign-in server's and an API's words come from the stand-ins of Microsoft and Google.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import franking
from franking.auth.secret import Grant
from franking.net import tcp
from franking.sending.testsend import TestReport
from outlook.test_login import sign_in
from refusals import FORMS
from servers.google import SEND, Google, answer, api_error
from servers.graph import failure
from servers.microsoft import Microsoft
from servers.smtp import EXTENSIONS, Fault, SmtpServer, says
from servers.web import Authority, Reply

FILE = Path(__file__).with_name("foreign.tsv")
USERS = {"info@novak.cz": "heslo"}
TO = "eva@jinde.cz"
GENERAL = frozenset(
    {
        "api.bad-request",
        "greet.refused",
        "login.failed",
        "login.sign-in-refused",
        "recipient.refused",
        "send.refused",
        "server.not-now",
        "server.policy",
    }
)
"""The diagnoses that only quote the server, and say what step and kind of answer tell."""


@dataclass(frozen=True)
class Row:
    """One text: where it was said, at which stage, and every code that is right for it."""

    source: str
    stage: str
    host: str
    said: str
    code: str
    temporary: str
    helped: str

    def __str__(self) -> str:
        return f"{self.stage} {self.said[:60]}"

    @property
    def codes(self) -> frozenset[str]:
        """The codes that are right; those that only quote are, where the words tell no cause."""
        right = frozenset(self.code.split("|"))
        return right | GENERAL if "GENERAL" in right else right


def rows() -> list[Row]:
    lines = [line for line in FILE.read_text("utf-8").splitlines() if not line.startswith("#")]
    return [Row(*line.split("\t")) for line in lines[1:]]


def forms(row: Row) -> Iterator[tuple[str, Row]]:
    """Yield the row in the other forms in which its words may arrive: on lines of three words, in capitals, without the
    enhanced code or Microsoft's number, and cut to six tenths.
    """
    head, http, text = row.said.partition(" :: ")
    if not http:
        for name, form in FORMS.items():
            if name != "as_written":
                yield name, replace(row, said="|".join(form(row.said)))
        return
    words, bare = text.split(), re.sub(r"AADSTS\d+: ", "", text)
    lines = [" ".join(words[at : at + 3]) for at in range(0, len(words), 3)]
    yield "wrapped", replace(row, said=f"{head} :: " + "\n".join(lines))
    yield "in_capitals", replace(row, said=f"{head} :: {text.upper()}")
    yield "without_number", replace(row, said=f"{head} :: {bare}")
    yield "cut", replace(row, said=f"{head} :: " + " ".join(words[: max(1, len(words) * 6 // 10)]))
    shortened = bare.split()
    yield (
        "cut_without_number",
        replace(row, said=f"{head} :: " + " ".join(shortened[: max(1, len(shortened) * 6 // 10)])),
    )


def run(row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestReport:
    """Send a test message to a server that says the row's words."""
    if row.stage.startswith("microsoft-token") or row.stage == "graph":
        return _microsoft(row, tmp_path)
    if row.stage.startswith("google-token") or row.stage == "gmail":
        return _google(row, tmp_path)
    return _smtp(row, monkeypatch)


def _smtp(row: Row, monkeypatch: pytest.MonkeyPatch) -> TestReport:
    step, _, anonymous = row.stage.partition("/")
    extensions = [name for name in EXTENSIONS if step != "data" or name != "CHUNKING"]
    users = {} if anonymous else USERS
    with SmtpServer(extensions=extensions, users=users, faults=[Fault(step, says(*row.said.split("|")))]) as server:
        monkeypatch.setattr(tcp, "_system", lambda name, port, **more: socket.getaddrinfo("127.0.0.1", port, **more))
        account = franking.Account(
            name="shop",
            provider="smtp",
            sender="Jan Novák <info@novak.cz>",
            host=row.host or "smtp.novak.cz",
            port=server.port,
            security="none",
            username=None if anonymous else "info@novak.cz",
            timeout=10.0,
        )
        return franking.send_test(account, TO, secret=None if anonymous else "heslo")


def _answer(row: Row) -> tuple[int, str, str]:
    words, _, text = row.said.partition(" :: ")
    status, _, error = words.partition(" ")
    return int(status), error, text


def _microsoft(row: Row, tmp_path: Path) -> TestReport:
    status, error, text = _answer(row)
    with Microsoft(tmp_path) as microsoft:
        settings: dict[str, Any] = {"sender": "Jan <jan@contoso.com>", **microsoft.settings()}
        account = franking.Account(name="office", provider="outlook", **settings)
        grant = sign_in(account, microsoft)
        if row.stage == "graph":
            microsoft.answers = [("/sendMail", failure(status, error, text))] * 2
        else:
            grant = replace(grant, expires_at=0.0)
            body = {"error": error, "error_description": text}
            microsoft.answers = [("/token", Reply(status, body))]
        return franking.send_test(account, TO, secret=grant.dumps())


def _google(row: Row, tmp_path: Path) -> TestReport:
    status, error, text = _answer(row)
    with Google(Authority(tmp_path)) as google:
        account = franking.Account(
            name="shop",
            provider="gmail",
            sender="Me <me@gmail.com>",
            api_endpoint=google.url,
            ca_file=google.authority.ca_file,
            timeout=10,
        )
        if row.stage == "gmail":
            google.faults.extend([answer(api_error(status, error, text))] * 2)
        else:
            google.token_faults.append(Reply(status, {"error": error, "error_description": text}))
        if row.stage.endswith("/service"):
            (tmp_path / "key.json").write_text(json.dumps(google.service_account(scopes=(SEND,))))
            return franking.send_test(account.replace(service_account=str(tmp_path / "key.json")), TO)
        data = {
            "refresh_token": google.give_refresh(),
            "client_id": google.client_id,
            "client_secret": google.client_secret,
            "token_uri": f"{google.url}/token",
        }
        scopes = ("openid", "email", SEND)
        grant = Grant("gmail", "gmail-api", "me@gmail.com", scopes, 0.0, 0.0, "", 0.0, data)
        return franking.send_test(account, TO, secret=grant.dumps())


def samples() -> list[Row]:
    """Give one text of each kind that the catalogue knows, by which this file itself is tried."""
    lines = (
        "greet||554 5.7.1 Service unavailable; Client host [1.2.3.4] blocked using zen.spamhaus.org|blocklisted|F",
        "auth||535 5.7.8 Error: authentication failed|login.refused|F",
        "mail/anonymous||530 5.7.0 Authentication required|login.missing|F",
        "data||452 4.3.1 Insufficient system storage|server.trouble|T",
        "body|smtp.office365.com|550 5.7.60 SMTP; Client does not have permissions|microsoft.send-as-denied|F",
        "microsoft-token||400 invalid_grant :: AADSTS53003: Blocked.|microsoft.conditional-access|F",
        "graph||403 ErrorSendAsDenied :: No.|microsoft.send-as-denied|F",
        "google-token||400 invalid_grant :: Token has been expired or revoked.|google.invalid-grant|F",
        "google-token/service||400 invalid_grant :: Invalid JWT Signature.|google.service-account-key|F",
        "gmail||403 domainPolicy :: The domain administrators have disabled Gmail apps.|google.admin-policy|F",
    )
    parts = [line.split("|") for line in lines]
    return [Row("the catalogue", *part, "") for part in parts]
