"""Which words lead where, worked out from real refusals by the rules themselves.

The refusals are those by which the tests judge (``tests/diagnosis/refusals.tsv``); ``failures.py`` makes pages of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from franking import Account
from franking.diagnosis.diagnosis import Diagnosis
from franking.errors import ConnectError, Evidence, FrankingError, LoginError, Refused, TLSError
from franking.registry import provider
from franking.sending.explain import explain

TABLE = Path(__file__).parent.parent / "tests" / "diagnosis" / "refusals.tsv"
HOSTS = {"smtp": "smtp.example.com", "gsmtp": "smtp.gmail.com", "osmtp": "smtp.office365.com"}
WHERE: Mapping[str, tuple[type[FrankingError], str, str | None, str]] = {
    "greet": (ConnectError, "greet", None, "greeting"),
    "ehlo": (ConnectError, "greet", None, "EHLO"),
    "starttls": (TLSError, "tls", None, "STARTTLS"),
    "auth": (LoginError, "login", None, "login"),
    "mail": (Refused, "message", "sender", "sender"),
    "rcpt": (Refused, "message", "recipient", "recipient"),
    "body": (Refused, "accepted", "message", "message"),
}
"""For each step: the error, the step's name in a report, what was refused, and the word for a reader."""
REPLY = re.compile(r"(\d{3})[ -](?:([245]\.\d{1,3}\.\d{1,3}) +)?(.*)")
TAIL = re.compile(r" \[\w+\.\w+\.prod\.outlook\.com [^\]]*\]")


def rows() -> Iterable[tuple[str, str, str, Diagnosis]]:
    """Return host, step, words and diagnosis of every refusal."""
    lines = [line for line in TABLE.read_text("utf-8").splitlines() if line and not line.startswith("#")][1:]
    for line in lines:
        _, via, step, reply, _, _ = line.split("\t")
        parts = [found for found in map(REPLY.fullmatch, reply.split("|")) if found]
        code, enhanced = int(parts[0][1]), parts[0][2]
        text = " ".join(part[3].strip() for part in parts)
        kind, name, what, word = WHERE[step]
        reason = "starttls-refused" if step == "starttls" else None
        seen = Evidence("smtp", code, enhanced, text, reason, {"what": what})
        host = HOSTS.get(via) or via.partition("@")[2]
        account = Account(name="shop", provider="smtp", sender="me@example.com", host=host, username="me@example.com")
        found = explain(kind("", step=name, temporary=code < 500, evidence=seen), account, provider("smtp"))
        shown = " ".join(part for part in (str(code), enhanced, TAIL.sub("", text)) if part)
        yield host, word, shown, found
