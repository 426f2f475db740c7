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
from functools import partial
from pathlib import Path
from typing import Any

from franking.account.fields import COMMON_FIELDS, Field
from franking.diagnosis import texts
from franking.provider import SenderFacts
from franking.registry import providers
from franking.smtp.services import table

FOLDER = Path(__file__).parent
GENERATED = "<!-- made by docs/generate.py; do not edit -->\n\n"
RECORDINGS = runpy.run_path(str(FOLDER / "recordings.py"))
FAILURES = runpy.run_path(str(FOLDER / "failures.py"))


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
    return field.name, values, default, FAILURES["cell"](field.help)


_TYPES = {
    "str": "text",
    "path": "path",
    "int": "number",
    "float": "number",
    "seconds": "number",
    "bool": "`true`, `false`",
    "list": "list of texts",
    "date": "date",
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
    return str(FAILURES["WIDE"]) + GENERATED + "\n".join(lines) + "\n"


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
    for depth, title, page in re.findall(r"^( +)- (?:([^:\n]+):)? ?([\w-]+\.md)?$", navigation, re.MULTILINE):
        if len(depth) == 2:
            lines.append(f"- **{title}**:")
        elif not page:
            lines.append(f"    - {title}:")
        elif title:
            lines[-1] += f"{' ' if lines[-1].endswith(':') else ' · '}[{title}]({page})"
        elif page != "index.md":  # the first page of a section is called as the section is
            lines[-1] = f"    - [{lines[-1][6:-1]}]({page}):"
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
    return RECORDINGS["fill"]("".join((before, ROADS[0], "\n", "\n".join(rows), "\n\n", ROADS[1], after)))


RECORDED = ("quick-start.md", "relay.md", "printer.md", "accounting.md", "nas.md", "relay-never.md")


def recorded(page: str) -> str:
    """Return a page with what the program prints today; the rest is written by hand."""
    return str(RECORDINGS["fill"]((FOLDER / page).read_text("utf-8")))


SENDERS = (
    "<!-- senders: made by docs/generate.py from the facts of providers and services -->\n",
    "<!-- end of senders -->\n",
)
FINDINGS = (
    "<!-- findings: made by docs/generate.py from providers/franking/diagnosis/texts/trust.en.toml -->\n",
    "<!-- end of findings -->\n",
)


def trust() -> str:
    """Return the page on what receivers trust, with what each sender asks for and all findings; the rest is written by
    hand.
    """
    page = (FOLDER / "trust.md").read_text("utf-8")
    known = [each.facts.sending for each in providers()] + [each.sending for each in table().services]
    senders: dict[str, SenderFacts] = {}
    for facts in filter(None, known):
        senders.setdefault(facts.title, facts)
    rows = ["| sent by | SPF of a domain that has none | DKIM |", "|---|---|---|"]
    for facts in senders.values():
        keys = ", ".join(f"`{name}._domainkey`" for name in facts.selectors[:3])
        if len(facts.selectors) > 3:
            keys += " …"
        keys = f"{keys or 'Names not known'}. {facts.switch}" if facts.signs else "signs with a domain of its own"
        rows.append(f"| {facts.title} | `{facts.spf}` | {keys} |")
    found = ["| code | says |", "|---|---|"]
    for code, words in texts.entries("en", "trust.").items():
        said = words["text"] if isinstance(words["text"], str) else words["text"][-1]
        shown = re.sub(r"\{[?]?(\w+)\}", lambda place: place[1].upper(), said)
        found.append(f"| `{code}` | {shown} |")
    for marks, lines in ((SENDERS, rows), (FINDINGS, found)):
        before, _, rest = page.partition(marks[0])
        lines_between = "\n".join(lines)
        page = f"{before}{marks[0]}\n{lines_between}\n\n{marks[1]}{rest.partition(marks[1])[2]}"
    return page


PAGES: Mapping[str, Callable[[], str]] = {
    "trust.md": trust,
    "setup.md": setup,
    **{page: partial(recorded, page) for page in RECORDED},
    "index.md": index,
    "architecture.md": architecture,
    **FAILURES["PAGES"],
    "settings.md": settings,
    "faults.md": faults,
    **runpy.run_path(str(FOLDER / "commands.py"))["PAGES"],
    **runpy.run_path(str(FOLDER / "man.py"))["PAGES"],
}


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
