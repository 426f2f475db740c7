"""Which words lead where: the page ``what-servers-say.md``, worked out from real refusals by the rules themselves.

The refusals are those by which the tests judge (``tests/diagnosis/refusals.tsv``); ``generate.py`` calls ``words``.
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


def words(chapters: Mapping[str, tuple[str, ...]]) -> str:
    """Return the page, its tables in the chapters of the page on troubleshooting."""
    lines = [
        "# What servers say",
        "",
        "Refusals as servers really write them, and what Franking makes of each. The words need not be the same to the letter: they may be wrapped, in capitals,",
        "with or without accents. What the words decide: a mark that only one cause has, before phrases; of the phrases the one that demands the most words.",
        "Where no words are understood, an enhanced code (`5.1.1`) that means the same everywhere decides, else the server is quoted, with what its code does say.",
        "The words of Google and Microsoft count at every host that speaks them; those of a mail service only there. *May pass* is what ends `franking` with exit",
        "code 5 and `franking-sendmail` with 75.",
        "",
    ]
    found = sorted(
        {(found.code, host, step, shown, found.title, found.temporary) for host, step, shown, found in rows()}
    )
    for chapter, subjects in chapters.items():
        here = [row for row in found if row[0].partition(".")[0] in subjects]
        if here:
            lines += [f"## {chapter}", "", "| the server said | to the | which means | may pass |", "|---|---|---|---|"]
            lines += [_row(*row) for row in here]
            lines.append("")
    return "\n".join(lines)


def _row(code: str, host: str, step: str, shown: str, title: str, temporary: bool) -> str:
    at = "" if host in HOSTS.values() else f" ({host})"
    text = shown.replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")
    anchor = code.replace(".", "-")
    return f"| {text}{at} | {step} | [{title}](troubleshooting.md#{anchor}) | {'yes' if temporary else ''} |"
