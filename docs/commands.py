"""The pages of all commands, written from the program itself: examples, arguments, options; exit codes and the report
as JSON. ``generate.py`` writes them.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from franking.diagnosis.diagnosis import Hint
from franking.diagnosis.rules import diagnose
from franking.errors import Evidence, FrankingError
from franking.provider import Receipt, Step
from franking.registry import provider
from franking.sending.testsend import TestReport
from franking_cli.app import COMMANDS, build, load
from franking_cli.help import EVERY, divided, spelled

GENERATED = "<!-- made by docs/generate.py; do not edit -->\n\n"

OPENING = """# Commands

Answers go to stdout and everything for the eye to stderr. `--json` prints exactly one object to stdout, however the command ends (`send-many`: one line for each
message). Colour appears on a terminal only, and never when `NO_COLOR` is set. `-v` tells what happens, `-vv` also the dialogue with the server; neither shows a secret.
`franking --install-completion` teaches your shell to complete commands, options, the names of your accounts and the words that settings take. `franking help send` (or
`-h`) shows what stands here of a command, `franking docs` these pages.

{listed}

## Exit codes

The first that fits, from the top:

| code | means |
|---|---|
| 3 | It is not known whether the message was accepted; also after Ctrl-C, SIGTERM or SIGHUP, once it was handed over. Nothing is sent again by itself. |
| 130 | Interrupted; nothing was sent. |
| 2 | Wrong usage, settings or message; a password is missing. |
| 4 | Somebody has to sign in. |
| 5 | It failed for now: the same may work later. |
| 1 | Refused, or failed for good. |
| 0 | Done. Some recipients may have been refused while others were accepted: a warning says so. |
"""

REPORT = """## The report as JSON {{ #report }}

`send-test --json` and `check --json` print this object on every ending, `send --json` the same without `hints`, and `TestReport.as_dict()` gives it to programs.
Every failure has exactly one step whose status is `failed`. `warning` is a step that was made up for, and says how: a token that was refused and renewed (`login`), after
which the steps begin again.
`outcome` is `sent`, `failed`, `unknown`, `login-required` or `checked`. `receipt` is null on failure, `diagnosis` null on success (here both are shown). Keys are only
ever added.

```json
{report}
```

Codes of diagnoses and hints: [Codes](codes.md). Other commands that fail print `ok`, `outcome`, `error` (a sentence) and `diagnosis`.
"""


def overview() -> str:
    """Return the first page: how all commands behave, what there is, exit codes, the report as JSON."""
    lines = []
    for heading, names in PANELS.items():
        lines += [f"## {heading}", ""]
        lines += [f"- [`franking {name}`]({PAGES_OF[heading]}#franking-{name}) {COMMANDS[name]}" for name in names]
        lines.append("")
    lines.append(
        "`franking-sendmail` stands in for `sendmail` and has a page of its own: [Use it as sendmail](sendmail.md)."
    )
    report = json.dumps(_example().as_dict(), ensure_ascii=False, indent=2)
    return GENERATED + OPENING.format(listed="\n".join(lines)) + "\n" + REPORT.format(report=report)


def page(heading: str) -> str:
    """Return every command under a heading with its arguments and options, as the program knows them."""
    lines = [f"# Commands: {heading[0].lower()}{heading[1:]}", "", "What holds for all: [Commands](commands.md).", ""]
    for name in PANELS[heading]:
        made = load(name)
        lines += [f"## franking {name}", ""]
        if hasattr(made, "commands"):
            lines += _prose(made)
            for word, inner in made.commands.items():
                lines += [f"### franking {name} {word}", "", *_command(inner)]
        else:
            lines += _command(made)
    return GENERATED + "\n".join(lines).rstrip() + "\n"


def _command(made: Any) -> list[str]:
    shown = [one for one in made.params if not (getattr(one, "rich_help_panel", None) or "").startswith("Settings")]
    every = [one for one in shown if getattr(one, "rich_help_panel", None) != EVERY]
    rows = [f"| `{spelled(one)}` | {_cell(one.help)} |" for one in every]
    lines = _prose(made)
    if rows:
        lines += ["| argument or option | means |", "|---|---|", *rows, ""]
    if len(shown) < len(made.params):
        lines += [
            "Every key of [Settings](settings.md) is a flag too, and so are `--provider`, `--from` and `--no-auth` (no login).",
            "",
        ]
    return lines


def _prose(made: Any) -> list[str]:
    examples, prose = divided(made.help)
    block = ["```console", *examples, "```", ""] if examples else []
    return [*block, *(line for paragraph in prose for line in (paragraph, ""))]


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|").replace("<", "&lt;")


def _example() -> TestReport:
    seen = Evidence("smtp", 550, "5.1.1", "User unknown")
    wrong = diagnose(FrankingError("", step="message", evidence=seen), provider("smtp").rules, {})
    refused = {"b@example.cz": {"reply": "550 5.1.1 User unknown", "temporary": False}}
    return TestReport(
        ok=True,
        outcome="sent",
        account="shop",
        provider="smtp",
        route="smtp",
        sender="Jan Novák <info@novak.cz>",
        to=("me@example.cz", "b@example.cz"),
        message_id="<1@novak.cz>",
        steps=(Step("connect", "ok", 12.3, "192.0.2.1 port 587"),),
        receipt=Receipt(
            "<1@novak.cz>", "smtp", "250 2.0.0 Ok", None, ("me@example.cz",), refused, 1234, 80.1, (), "shop"
        ),
        diagnosis=replace(wrong, values={}),
        hints=(Hint("secret.trailing-blank"),),
    )


PANELS = build().panels()
PAGES_OF = {heading: f"commands-{heading.split()[0].lower()}.md" for heading in PANELS}
PAGES = {"commands.md": overview, **{PAGES_OF[heading]: lambda heading=heading: page(heading) for heading in PANELS}}
