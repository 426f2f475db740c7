"""The pages on failures, written from the rules and texts of diagnoses: troubleshooting by step and provider, what
servers say, and the list of codes. ``generate.py`` writes them.
"""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from franking.diagnosis import texts
from franking.diagnosis.generic import GENERIC
from franking.diagnosis.rules import FALLBACKS, UNKNOWN_OUTCOME, Rule, diagnose
from franking.errors import Evidence, FrankingError, OutcomeUnknown
from franking.registry import provider, providers

FOLDER = Path(__file__).parent
GENERATED = "<!-- made by docs/generate.py; do not edit -->\n\n"
FIRST = "---\nsearch: { boost: 3 }\n---\n\n"  # whoever pastes an error into the search wants this page
WIDE = "---\nhide: [toc]\n---\n\n"  # a page that is mostly a table
WHO = {"you": "you", "admin": "an administrator", "provider": "the provider"}


class Part(NamedTuple):
    """One page of troubleshooting: its file's name behind "troubleshooting-", its title, what is on it, and the
    subjects that its codes begin with.
    """

    name: str
    title: str
    holds: str
    subjects: tuple[str, ...]

    @property
    def page(self) -> str:
        return f"troubleshooting-{self.name}.md"

    @property
    def within(self) -> str:
        """Return the title as it stands within a line: a name keeps its capital."""
        if self.name.startswith(("google", "microsoft")):
            return self.title
        return self.title[0].lower() + self.title[1:]


PARTS = (
    Part("settings", "Settings, secrets and files", "before anything is sent: settings, passwords and sign-ins that are missing, files, this computer", ("settings", "account", "secret", "file", "machine", "usage", "interrupted", "bug", "text")),
    Part("store", "Where passwords and sign-ins are kept", "the keyring, the files and the store that several machines share", ("store",)),
    Part("connection", "The connection", "the server's name, the way to it, its greeting, blocklists", ("dns", "connect", "greet", "server", "client", "blocklisted")),
    Part("encryption", "Encryption", "STARTTLS, TLS, certificates", ("tls",)),
    Part("login", "The login at an SMTP server", "name and password refused, mechanisms, locks", ("login",)),
    Part("sender", "The sender", "From addresses that are not one's own, relaying", ("sender", "relay")),
    Part("recipients", "Recipients and limits", "addresses that do not exist, greylisting, quotas, too much at once", ("recipient", "address", "greylisted", "limit", "quota", "rate", "service")),
    Part("message", "The message, and what became of it", "content, size, spam, outcomes that nobody knows, the outbox, the journal", ("message", "outbox", "broker", "journal", "protocol", "send", "outcome", "unknown")),
    Part("google", "Gmail and Google Workspace, sending", "the Gmail API, smtp.gmail.com", ("google",)),
    Part("google-sign-in", "Gmail and Google Workspace, signing in", "Google's sign-in, client files, service accounts", ()),
    Part("microsoft", "Outlook.com and Microsoft 365, sending", "Graph, smtp.office365.com, Exchange Online", ("microsoft",)),
    Part("microsoft-sign-in", "Outlook.com and Microsoft 365, signing in", "AADSTS errors, consent, app registrations", ()),
    Part("https", "Sign-in servers, APIs and proxies", "HTTPS on the way to a provider", ("https", "api")),
)  # fmt: skip
"""The pages, in the order in which a send meets them."""

SAMPLES: Mapping[str, Any] = {
    "account": "NAME",
    "again": ("NAME",),
    "to": "YOU",
    "host": "HOST",
    "port": "PORT",
    "username": "LOGIN",
    "address": "FROM",
    "whole_address": "FROM",
    "saved": True,
    "by_password": True,
    "no_login": True,
    "try_587": True,
    "try_465": True,
    "by_smtp": True,
    "by_api": True,
    "by_graph": True,
    "number": "NUMBER",
    "by_device": True,
}
"""What stands in a remedy where an account's own values will stand."""


SYMPTOMS: tuple[tuple[str, str, str, Evidence], ...] = (
    ("Name or service not known, getaddrinfo failed", "smtp", "resolve", Evidence("dns", reason="not-found")),
    ("Connection refused", "smtp", "connect", Evidence("connect", reason="refused")),
    ("Connection timed out", "smtp", "connect", Evidence("connect", reason="timeout")),
    ("connected, then nothing until the time is over", "smtp", "greet", Evidence("connect", reason="timeout")),
    ("wrong version number", "smtp", "tls", Evidence("tls", reason="WRONG_VERSION_NUMBER")),
    ("Hostname mismatch, certificate is not valid for …", "smtp", "tls", Evidence("tls", details={"verify_code": 62})),
    ("self-signed certificate", "smtp", "tls", Evidence("tls", details={"verify_code": 18})),
    ("unable to get local issuer certificate", "smtp", "tls", Evidence("tls", details={"verify_code": 20})),
    ("certificate has expired", "smtp", "tls", Evidence("tls", details={"verify_code": 10})),
    (
        "SMTP Error: Could not authenticate.",
        "smtp",
        "login",
        Evidence("smtp", text="SMTP Error: Could not authenticate."),
    ),
    (
        "535 5.7.8 Error: authentication failed",
        "smtp",
        "login",
        Evidence("smtp", 535, "5.7.8", "Error: authentication failed"),
    ),
    (
        "535 Incorrect authentication data",
        "smtp",
        "login",
        Evidence("smtp", 535, None, "Incorrect authentication data"),
    ),
    (
        "535-5.7.8 Username and Password not accepted … BadCredentials",
        "gmail",
        "login",
        Evidence("smtp", 535, "5.7.8", "BadCredentials"),
    ),
    (
        "534-5.7.9 Application-specific password required",
        "gmail",
        "login",
        Evidence("smtp", 534, "5.7.9", "Application-specific password required"),
    ),
    (
        "534-5.7.14 Please log in via your web browser",
        "gmail",
        "login",
        Evidence("smtp", 534, "5.7.14", "Please log in via your web browser"),
    ),
    (
        "invalid_grant: Token has been expired or revoked.",
        "gmail",
        "secret",
        Evidence("oauth", reason="invalid_grant", text="Token has been expired"),
    ),
    (
        "Gmail API has not been used in project …",
        "gmail",
        "message",
        Evidence("http", 403, text="Gmail API has not been used in project 1"),
    ),
    (
        "… basic authentication is disabled.",
        "outlook",
        "login",
        Evidence("smtp", 535, "5.7.139", "basic authentication is disabled."),
    ),
    (
        "… SmtpClientAuthentication is disabled for the Tenant.",
        "outlook",
        "login",
        Evidence("smtp", 535, "5.7.139", "disabled for the Tenant"),
    ),
    (
        "… SmtpClientAuthentication is disabled for the Mailbox.",
        "outlook",
        "login",
        Evidence("smtp", 535, "5.7.139", "SmtpClientAuthentication is disabled for the Mailbox"),
    ),
    (
        "535 5.7.3 Authentication unsuccessful",
        "outlook",
        "login",
        Evidence("smtp", 535, "5.7.3", "", details={"mechanism": "XOAUTH2"}),
    ),
    (
        "AADSTS65001: … has not consented",
        "outlook",
        "secret",
        Evidence("oauth", reason="invalid_grant", details={"aadsts": [65001]}),
    ),
    (
        "AADSTS90094: admin consent is required",
        "outlook",
        "secret",
        Evidence("oauth", reason="invalid_grant", details={"aadsts": [90094]}),
    ),
    (
        "AADSTS7000218: client_assertion or client_secret",
        "outlook",
        "secret",
        Evidence("oauth", details={"aadsts": [7000218]}),
    ),
    (
        "554 5.7.1 Relay access denied, 550 relay not permitted",
        "smtp",
        "message",
        Evidence("smtp", 554, "5.7.1", "Relay access denied"),
    ),
    (
        "553 5.7.1 Sender address rejected: not owned by user",
        "smtp",
        "message",
        Evidence("smtp", 553, "5.7.1", "not owned by user"),
    ),
    (
        "550 5.7.60 Client does not have permissions to send as this sender",
        "outlook",
        "message",
        Evidence("smtp", 550, "5.7.60", ""),
    ),
    (
        "552 5.3.4 Message size exceeds fixed limit",
        "smtp",
        "message",
        Evidence("smtp", 552, "5.3.4", "Message size exceeds fixed limit"),
    ),
    ("450 4.2.0 Greylisted, try again later", "smtp", "message", Evidence("smtp", 450, "4.2.0", "Greylisted")),
    (
        "554 5.7.1 … blocked using zen.spamhaus.org",
        "smtp",
        "greet",
        Evidence("smtp", 554, "5.7.1", "blocked using zen.spamhaus.org"),
    ),
)
"""What people see and search for, and the evidence from which the page works out where to send them: provider, step,
what was seen.
"""


# --- troubleshooting --------------------------------------------------------------------------------------------------


def part_of(code: str) -> Part:
    """Return the page that a code stands on. A provider's are told apart by where they are seen: at the sign-in only, or
    elsewhere too.
    """
    subject = code.partition(".")[0]
    kinds = {kind for rule in rules() if rule.code == code for kind in rule.kind or ("",)}
    if kinds <= {"oauth", "login", "browser"}:
        for part in PARTS:
            if part.name == f"{subject}-sign-in":
                return part
    for part in PARTS:
        if subject in part.subjects:
            return part
    raise LookupError(f"{code}: give its subject to one of PARTS in docs/failures.py")


def troubleshooting() -> str:
    """Return where to begin: an error that one has, or the step that failed."""
    return (
        FIRST
        + GENERATED
        + f"""# Troubleshooting

**Another program showed the error?** Paste it, or pipe its log line or traceback, and read what it means:

```console
franking explain "535 5.7.8 Error: authentication failed"
tail -1 /var/log/mail.log | franking explain --host smtp.novak.cz
```

It finds the server's words in what Postfix, Exim, msmtp, PHP, Python, nodemailer, Java, .NET and Outlook write, sign-in errors in pages, addresses and JSON, and the
words of networks and of TLS. Only the text is known to it: the step is a guess and called one, and `--host` or `--account` say whose words they are. It ends with 0
where a rule knows the words, with 1 where it can only quote them; `--json` prints one object. In Python: `franking.sending.pasted.explain_text(text)`.

**With an account** `franking send-test NAME --to YOU` goes the very way that sending goes and names the step that fails. It ends with a title, the meaning and what
to do, the likeliest first; the titles stand on these pages in full. `NAME`, `HOST`, `LOGIN` and `FROM` stand for the values of your account. Every failure has a code that is never
renamed (all of them: [Codes](codes.md)); programs find it in `error.diagnosis.code` and in `--json`, and `franking docs login.refused` shows what stands here of one.

## By step and provider

{chr(10).join(f"- [{part.title}]({part.page}): {part.holds}" for part in PARTS)}

{chr(10).join(_symptoms())}
Hundreds of real refusals, and what each means: [What servers say](what-servers-say.md).
"""
    )


def _symptoms() -> list[str]:
    lines = ["## What you saw", "", "| the words | what they mean |", "|---|---|"]
    for words, name, step, seen in SYMPTOMS:
        values = {"security": "tls" if step == "tls" else "starttls"}
        found = diagnose(FrankingError("", step=step, evidence=seen), (*provider(name).rules, *GENERIC), values)
        lines.append(f"| {cell(words)} | [{found.title}]({part_of(found.code).page}#{anchor(found.code)}) |")
    return [*lines, ""]


def part(part: Part) -> str:
    """Return one page: what each of its failures means and what to do, the likeliest first."""
    lines = [
        f"# {part.title}",
        "",
        f"{part.holds[0].upper()}{part.holds[1:]}. All pages: [Troubleshooting](troubleshooting.md).",
        "",
    ]
    for code, words in diagnoses():
        if part_of(code) == part:
            lines += _failure(code, words)
    return GENERATED + "\n".join(lines).rstrip() + "\n"


def _failure(code: str, words: Mapping[str, Any]) -> list[str]:
    remedies = [remedy for remedy in (texts.fill(remedy, SAMPLES) for remedy in words["remedies"]) if remedy]
    return [
        f"## {general(words['title'])} {{ #{anchor(code)} }}",
        "",
        f"`{code}`: {general(words['cause'])} *{_who(code)} can mend it.{_passing(code)}*",
        "",
        *(f"{number}. {remedy}" for number, remedy in enumerate(remedies, 1)),
        "",
    ]


def _who(code: str) -> str:
    found = [text for name, text in WHO.items() if any(rule.who == name for rule in rules() if rule.code == code)]
    words = " or ".join(found)
    return words[:1].upper() + words[1:]


def _passing(code: str) -> str:
    passing = {rule.temporary for rule in rules() if rule.code == code}
    if len(passing) > 1 or None in passing:
        return " Sometimes it passes by itself."
    return " It may pass by itself." if passing == {True} else ""


# --- codes ------------------------------------------------------------------------------------------------------------


def codes() -> str:
    """Return all codes of diagnoses and hints."""
    lines = [
        "# Codes",
        "",
        "A diagnosis and a hint have a code each. A code names the remedy, begins with the step or subject, and is never renamed; new ones may be added. What each means, what to",
        "do, who can do it, and whether it may pass by itself: behind its link, or `franking docs login.refused`.",
        "",
    ]
    for part in PARTS:
        here = [f"[`{code}`]({part.page}#{anchor(code)})" for code, _ in diagnoses() if part_of(code) == part]
        lines += [f"## {part.title}", "", " · ".join(here), ""]
    lines += ["## Hints", ""]
    lines += [f"- `{code}` {bare(words['text'])}" for code, words in texts.entries().items() if "text" in words]
    return GENERATED + "\n".join(lines) + "\n"


# --- what servers say -------------------------------------------------------------------------------------------------


def servers() -> str:
    """Return the page that says how words are read, and leads to those of each part."""
    return (
        GENERATED
        + f"""# What servers say

Refusals as servers really write them, and what Franking makes of each. The words need not be the same to the letter: they may be wrapped, in capitals,
with or without accents. What the words decide: a mark that only one cause has, before phrases; of the phrases the one that demands the most words.
Where no words are understood, an enhanced code (`5.1.1`) that means the same everywhere decides, else the server is quoted, with what its code does say.
The words of Google and Microsoft count at every host that speaks them; those of a mail service only there. *May pass* is what ends `franking` with exit
code 5 and `franking-sendmail` with 75.

{chr(10).join(f"- [{part.title}](what-servers-say-{part.name}.md)" for part in PARTS if _said(part))}

One that you have yourself: `franking explain "550 5.7.1 Relaying denied"`.
"""
    )


def _said(part: Part) -> list[Any]:
    return [row for row in SAID if part_of(row[3].code) == part]


def words(part: Part) -> str:
    """Return the words of servers that lead to one page."""
    lines = [
        f"# What servers say: {part.within}",
        "",
        "| the server said | to the | which means | may pass |",
        "|---|---|---|---|",
    ]
    found = {(code.code, host, step, shown, code.title, code.temporary) for host, step, shown, code in _said(part)}
    for code, host, step, shown, title, temporary in sorted(found):
        at = "" if host in TABLE["HOSTS"].values() else f" ({host})"
        text = shown.replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")
        lines.append(f"| {text}{at} | {step} | [{title}]({part.page}#{anchor(code)}) | {'yes' if temporary else ''} |")
    return FIRST.replace("---\n", "---\nhide: [toc]\n", 1) + GENERATED + "\n".join(lines) + "\n"


# --- what they share --------------------------------------------------------------------------------------------------


def diagnoses() -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Return all codes with their words."""
    return [(code, words) for code, words in texts.entries().items() if "title" in words]


def rules() -> list[Rule]:
    """Return the rules of every provider, and what the classes of errors say by themselves."""
    return RULES


RULES = [
    *GENERIC,
    *(replace(rule, temporary=kind.temporary) for kind, rule in (*FALLBACKS, (OutcomeUnknown, UNKNOWN_OUTCOME))),
    *(rule for known in providers() for rule in known.rules),
]


def general(text: texts.Text) -> str:
    """Return the template that needs no value: the last."""
    return text if isinstance(text, str) else text[-1]


def bare(text: texts.Text) -> str:
    """Return the shortest template, with the values in capitals."""
    return texts.fill(general(text), {name: name.partition("_")[0].upper() for name in texts.names(text)}) or ""


def cell(text: str) -> str:
    """Return a text for a cell of a table."""
    return text.replace("|", "\\|")


def anchor(code: str) -> str:
    """Return where on its page a code stands."""
    return code.replace(".", "-")


TABLE = runpy.run_path(str(FOLDER / "words.py"))
SAID = list(TABLE["rows"]())

PAGES: Mapping[str, Callable[[], str]] = {
    "troubleshooting.md": troubleshooting,
    **{each.page: lambda each=each: part(each) for each in PARTS},
    "codes.md": codes,
    "what-servers-say.md": servers,
    **{f"what-servers-say-{each.name}.md": lambda each=each: words(each) for each in PARTS if _said(each)},
}
