"""Write the documentation pages that are made from the code: ``python docs/generate.py``. Each page is one function; a
test compares.

A page is added by a function that gives its text and a line in ``PAGES``.
"""

from __future__ import annotations

import re
import runpy
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from franking.account.fields import COMMON_FIELDS, Field
from franking.diagnosis import texts
from franking.diagnosis.generic import GENERIC
from franking.diagnosis.rules import FALLBACKS, UNKNOWN_OUTCOME, Rule, diagnose
from franking.errors import Evidence, FrankingError, OutcomeUnknown
from franking.registry import provider, providers

FOLDER = Path(__file__).parent
GENERATED = "<!-- made by docs/generate.py; do not edit -->\n\n"
WHO = {"you": "you", "admin": "an administrator", "provider": "the provider"}

SUBJECTS = {
    "Settings, secrets and files": ("settings", "account", "secret", "store", "file", "machine"),
    "The server's name": ("dns",),
    "The connection": ("connect", "greet", "server", "client", "blocklisted"),
    "Encryption": ("tls",),
    "The login": ("login",),
    "Sender and recipients": ("sender", "relay", "recipient", "address", "greylisted"),
    "The message": ("message",),
    "Limits and accounts at mail services": ("limit", "quota", "rate", "service"),
    "Google": ("google",),
    "Microsoft": ("microsoft",),
    "Sign-in servers and APIs": ("https", "api"),
    "The outbox": ("outbox",),
    "Everything else": ("protocol", "send", "outcome", "usage", "interrupted", "bug", "text", "unknown"),
}
"""The chapters of the troubleshooting page, by the subject that a code begins with."""

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


def _index() -> list[str]:
    lines = ["## What you saw", "", "| the words | what they mean |", "|---|---|"]
    for words, name, step, seen in SYMPTOMS:
        rules = (*provider(name).rules, *GENERIC)
        found = diagnose(
            FrankingError("", step=step, evidence=seen), rules, {"security": "tls" if step == "tls" else "starttls"}
        )
        lines.append(f"| {_cell(words)} | [{found.title}](#{_anchor(found.code)}) |")
    return [*lines, ""]


def troubleshooting() -> str:
    """What each failure means and what to do, the likeliest first."""
    lines = [
        "# Troubleshooting",
        "",
        "**Another program showed the error?** Paste it, or pipe its log line or traceback, and read what it means:",
        "",
        "```console",
        'franking explain "535 5.7.8 Error: authentication failed"',
        "tail -1 /var/log/mail.log | franking explain --host smtp.novak.cz",
        "```",
        "",
        "It finds the server's words in what Postfix, Exim, msmtp, PHP, Python, nodemailer, Java, .NET and Outlook write, sign-in errors in pages, addresses and JSON, and the",
        "words of networks and of TLS. Only the text is known to it: the step is a guess and called one, and `--host` or `--account` say whose words they are. It ends with 0",
        "where a rule knows the words, with 1 where it can only quote them; `--json` prints one object. In Python: `franking.sending.pasted.explain_text(text)`.",
        "",
        "**With an account** `franking send-test NAME --to YOU` goes the very way that sending goes and names the step that fails. It ends with a title, the meaning and what",
        "to do, the likeliest first; the titles stand here in full. `NAME`, `HOST`, `LOGIN` and `FROM` stand for the values of your account. Every failure has a code that is never",
        "renamed (all of them: [Codes](codes.md)); programs find it in `error.diagnosis.code` and in `--json`.",
        "",
        *_index(),
        "Hundreds of real refusals, and what each means: [What servers say](what-servers-say.md).",
        "",
    ]
    for chapter, subjects in SUBJECTS.items():
        lines += [f"## {chapter}", ""]
        for code, words in _diagnoses():
            if code.partition(".")[0] in subjects:
                lines += _failure(code, words)
    return GENERATED + "\n".join(lines).rstrip() + "\n"


def codes() -> str:
    """All codes of diagnoses and hints, as tables."""
    lines = [
        "# Codes",
        "",
        "A diagnosis and a hint have a code each. A code names the remedy, begins with the step or subject, and is never renamed; new ones may be added.",
        "",
        "## Diagnoses",
        "",
        "| code | says | who can mend it | may pass by itself |",
        "|---|---|---|---|",
    ]
    for code, words in _diagnoses():
        rules = [rule for rule in _rules() if rule.code == code]
        who = " or ".join(text for name, text in WHO.items() if any(rule.who == name for rule in rules))
        passing = {rule.temporary for rule in rules}
        answer = "sometimes" if len(passing) > 1 or None in passing else "yes" if passing == {True} else "no"
        lines.append(
            f"| [`{code}`](troubleshooting.md#{_anchor(code)}) | {_general(words['title'])} | {who} | {answer} |"
        )
    lines += ["", "## Hints", "", "| code | points at |", "|---|---|"]
    lines += [
        f"| `{code}` | {_cell(_bare(words['text']))} |" for code, words in texts.entries().items() if "text" in words
    ]
    return GENERATED + "\n".join(lines) + "\n"


def settings() -> str:
    """All keys of an account, from the providers' fields."""
    lines = [
        "# Settings",
        "",
        "Every key of an account. In `accounts.toml` it stands as it is written here; on the command line with dashes (`--ca-file`); in an account URL as a",
        "query parameter; as a default for a provider under `[providers.NAME]` or in the environment (`FRANKING_OUTLOOK_CLIENT_ID`). How these go together",
        "is told in [Accounts](accounts.md).",
        "",
        "| key | for | values | default | meaning |",
        "|---|---|---|---|---|",
        f"| `provider` | all | {', '.join(f'`{known.name}`' for known in providers())} | | Which kind of mailbox it is. |",
        "| `from` | all | text | | Who sends: an address, with or without a name. |",
    ]
    rows: dict[tuple[str, ...], list[str]] = {}
    for field in COMMON_FIELDS:
        rows[_row(field)] = ["all"]
    for known in providers():
        for field in known.fields:
            if not field.secret:
                rows.setdefault(_row(field), []).append(known.name)
    lines += [
        f"| `{key}` | {', '.join(names)} | {values} | {default} | {text} |"
        for (key, values, default, text), names in rows.items()
    ]
    refused = [f"`{field.name}`" for known in providers() for field in known.fields if field.secret]
    lines += [
        "",
        f"There is no key {', '.join(refused)}: secrets do not belong in a settings file. `franking login NAME` stores them.",
    ]
    return GENERATED + "\n".join(lines) + "\n"


def _row(field: Field) -> tuple[str, ...]:
    values = ", ".join(f"`{choice}`" for choice in field.choices) or _TYPES[field.type]
    shown = str(field.default)
    if field.type == "bool":
        shown = shown.lower()
    elif isinstance(field.default, float):
        shown = f"{field.default:g}"
    default = "" if field.default in (None, "", ()) else f"`{shown}`"
    return field.name, values, default, _cell(field.help)


_TYPES = {
    "str": "text",
    "path": "path",
    "int": "number",
    "float": "number",
    "bool": "`true`, `false`",
    "list": "list of texts",
    "names": "list of names",
}


def faults() -> str:
    """What comes of every fault at every step of an SMTP session: the table by which the tests judge."""
    table = runpy.run_path(str(FOLDER.parent / "tests" / "faults" / "smtp_table.py"))
    steps, kinds, expected = table["STEPS"], table["FAULTS"], table["expected"]
    opening = [step for step in steps if all(cell[0] != step or cell[2] == "chunking" for cell in table["cells"]())]
    sending = [step for step in steps if step not in opening]
    lines = [
        "# When the other side misbehaves",
        "",
        f"{len(table['cells']())} faults, each done to a real session over sockets by the tests: what kind of error it is, its [code](codes.md), and whether the message",
        "may have been sent. *May pass* means `temporary`: the same message may go through later. Nothing hangs (each wait ends with the account's `timeout`, an answer that drips for ever with its `final_timeout`), memory",
        "stays bounded, the session is closed wherever what follows could be misread, and nothing that the server said reaches a terminal unescaped.",
        "",
        "The same faults are done by a proxy before a real Postfix and a real Dovecot, in plain and under STARTTLS. There the tests also look into the mailbox: what",
        "was called accepted is there once, what was called surely not sent is not there.",
        "",
        "Gmail, Graph and their sign-in servers get the like over HTTPS: answers that do not come, break off, drip, lie about their length, unpack to gigabytes or",
        "are no answers, at every request that a message or a token needs. A message whose last octet had left is reported as unknown unless the answer surely",
        "refuses it, and is never sent again by itself; no redirect is followed. Where TLS cannot be trusted, nothing has left by then.",
        "",
        "| fault | what the server does |",
        "|---|---|",
        *(f"| {kind} | {text} |" for kind, text in kinds.items()),
        "",
        "## Up to the login",
        "",
        *_matrix(opening, kinds, expected, steps),
    ]
    for mode, words in MODES.items():
        here = [step for step in sending if any(cell[0] == step and cell[2] == mode for cell in table["cells"]())]
        lines += [
            "",
            f"## Sending: {words}",
            "",
            *_matrix(here, kinds, lambda step, kind, mode=mode: expected(step, kind, mode), steps),
        ]
    return GENERATED + "\n".join(lines) + "\n"


MODES = {
    "chunking": "a small message in one flight (CHUNKING); what breaks after it has left may have been accepted",
    "pipelining": "in groups (PIPELINING alone)",
    "dialogue": "one command at a time",
}


def _matrix(
    here: Iterable[str], kinds: Iterable[str], expected: Callable[[str, str], Any], steps: Mapping[str, str]
) -> list[str]:
    here = list(here)
    lines = ["| fault | " + " | ".join(steps[step] for step in here) + " |", "|---" * (len(here) + 1) + "|"]
    for kind in kinds:
        lines.append(f"| {kind} | " + " | ".join(_verdict(expected(step, kind)) for step in here) + " |")
    return lines


def _verdict(cell: Any) -> str:
    if cell is None:
        return ""
    if not cell.error:
        return "goes on"
    sent = ", **may have been sent**" if cell.possibly_sent else ", may pass" if cell.temporary else ""
    return f"{cell.error} `{cell.code}`{sent}"


def commands() -> str:
    """All commands, with their options, exit codes and JSON."""
    return GENERATED + str(runpy.run_path(str(FOLDER / "commands.py"))["commands"]())


def what_servers_say() -> str:
    """Which words of servers lead to which diagnosis."""
    return GENERATED + str(runpy.run_path(str(FOLDER / "words.py"))["words"](SUBJECTS))


LAYERS = ("<!-- layers: made by docs/generate.py from pyproject.toml -->\n", "<!-- end of layers -->\n")


def architecture() -> str:
    """Return the page on architecture with the layers that the linter keeps; the rest is written by hand."""
    linted = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in linted if contract["type"] == "layers")
    rows = [" · ".join(f"`{name.strip().removeprefix('franking.')}`" for name in row.split("|")) for row in layers]
    before, _, rest = (FOLDER / "architecture.md").read_text("utf-8").partition(LAYERS[0])
    after = rest.partition(LAYERS[1])[2]
    table = "".join(f"{number}. {row}\n" for number, row in enumerate(rows, 1))
    return f"{before}{LAYERS[0]}\n{table}\n{LAYERS[1]}{after}"


LISTED = ("<!-- pages: made by docs/generate.py from .mkdocs.yml -->\n", "<!-- end of pages -->\n")


def index() -> str:
    """Return the first page with the list of all others, as the navigation has them; the rest is written by hand."""
    navigation = (FOLDER.parent / ".mkdocs.yml").read_text("utf-8").partition("\nnav:")[2]
    lines: list[str] = []
    for depth, title, page in re.findall(r"^( +)- ([^:\n]+):(?: ([\w-]+\.md))?$", navigation, re.MULTILINE):
        if page:
            lines[-1] += f"{': ' if lines[-1].endswith('**') else ' · '}[{title}]({page})"
        elif len(depth) == 2:
            lines.append(f"- **{title}**")
    before, _, rest = (FOLDER / "index.md").read_text("utf-8").partition(LISTED[0])
    return before + LISTED[0] + "\n" + "\n".join(lines) + "\n\n" + LISTED[1] + rest.partition(LISTED[1])[2]


ROADS = ("<!-- roads: made by docs/generate.py from tests/roads.py -->\n", "<!-- end of roads -->\n")


def setup() -> str:
    """Return the page on ``franking setup`` with what each road takes; the rest is written by hand."""
    roads = runpy.run_path(str(FOLDER.parent / "tests" / "roads.py"))
    rows = [
        "| the road | questions | answered by Enter | keys besides your own values | and |",
        "|---|---|---|---|---|",
    ]
    for road in roads["ROADS"]:
        rows.append(f"| {road.title} | {' | '.join(map(str, roads['counted'](road)))} | {road.acts} |")
    before, _, rest = (FOLDER / "setup.md").read_text("utf-8").partition(ROADS[0])
    _, _, after = rest.partition(ROADS[1])
    return "".join((before, ROADS[0], "\n", "\n".join(rows), "\n\n", ROADS[1], after))


PAGES: Mapping[str, Callable[[], str]] = {
    "index.md": index,
    "architecture.md": architecture,
    "troubleshooting.md": troubleshooting,
    "what-servers-say.md": what_servers_say,
    "codes.md": codes,
    "settings.md": settings,
    "faults.md": faults,
    "commands.md": commands,
    "setup.md": setup,
}


def _failure(code: str, words: Mapping[str, Any]) -> list[str]:
    remedies = [remedy for remedy in (texts.fill(remedy, SAMPLES) for remedy in words["remedies"]) if remedy]
    return [
        f"### {_general(words['title'])} {{ #{_anchor(code)} }}",
        "",
        f"`{code}`: {_general(words['cause'])}",
        "",
        *(f"{number}. {remedy}" for number, remedy in enumerate(remedies, 1)),
        "",
    ]


def _diagnoses() -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Return all codes with their words, chapter by chapter."""
    chapters = list(SUBJECTS.values())
    found = [(code, words) for code, words in texts.entries().items() if "title" in words]
    return sorted(
        found,
        key=lambda item: next(
            index for index, subjects in enumerate(chapters) if item[0].partition(".")[0] in subjects
        ),
    )


def _rules() -> list[Rule]:
    fallbacks = [
        replace(rule, temporary=kind.temporary) for kind, rule in (*FALLBACKS, (OutcomeUnknown, UNKNOWN_OUTCOME))
    ]
    return [*GENERIC, *fallbacks, *(rule for known in providers() for rule in known.rules)]


def _general(text: texts.Text) -> str:
    """Return the template that needs no value: the last."""
    return text if isinstance(text, str) else text[-1]


def _bare(text: texts.Text) -> str:
    """Return the shortest template, with the values in capitals."""
    return texts.fill(_general(text), {name: name.partition("_")[0].upper() for name in texts.names(text)}) or ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _anchor(code: str) -> str:
    return code.replace(".", "-")


def main() -> int:
    """Write every page that differs; say which."""
    for name, make in PAGES.items():
        page, text = FOLDER / name, make()
        if not page.exists() or page.read_text("utf-8") != text:
            page.write_text(text, "utf-8")
            sys.stdout.write(f"{name} written\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
