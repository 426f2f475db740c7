"""The page of all commands, written from the program itself: arguments, options, exit codes and the report as JSON.
``generate.py`` calls it.
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
from franking_cli.app import COMMANDS, load

OPENING = """# Commands

Answers go to stdout and everything for the eye to stderr. `--json` prints exactly one object to stdout, however the command ends (`send-many`: one line for each
message). Colour appears on a terminal only, and never when `NO_COLOR` is set. `-v` tells what happens, `-vv` also the dialogue with the server; neither shows a secret.
`franking --install-completion` teaches your shell to complete commands, options and the names of your accounts.

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


def commands() -> str:
    """Every command with its arguments and options, as the program knows them."""
    lines = [OPENING]
    for name in COMMANDS:
        made = load(name)
        lines += [f"## franking {name}", ""]
        if hasattr(made, "commands"):
            lines += [_prose(made.help), ""]
            for word, inner in made.commands.items():
                lines += [f"### franking {name} {word}", "", *_command(f"{name} {word}", inner)]
        else:
            lines += _command(name, made)
    lines += [
        "## franking-sendmail",
        "",
        "Stands in for `sendmail` and has a page of its own: [Use it as sendmail](sendmail.md).",
        "",
    ]
    return (
        "\n".join(lines) + "\n" + REPORT.format(report=json.dumps(_example().as_dict(), ensure_ascii=False, indent=2))
    )


def _command(name: str, made: Any) -> list[str]:
    arguments = [one for one in made.params if not one.opts[0].startswith("-")]
    panels = {one.name: getattr(one, "rich_help_panel", None) or "" for one in made.params}
    options = [one for one in made.params if one not in arguments and not panels[one.name].startswith("Settings")]
    words = [_name(one) if one.required else f"[{_name(one)}]" for one in arguments]
    lines = ["```console", " ".join([f"franking {name}", *words, "[OPTIONS]"]), "```", "", _prose(made.help), ""]
    rows = [f"| `{_name(one)}` | {_cell(one.help)} |" for one in arguments]
    rows += [
        f"| {', '.join(f'`{flag}`' for flag in (*one.opts, *one.secondary_opts))} | {_cell(one.help)} |"
        for one in options
    ]
    if rows:
        lines += ["| argument or option | means |", "|---|---|", *rows, ""]
    if any(panel.startswith("Settings") for panel in panels.values()):
        lines += [
            "Every key of [Settings](settings.md) is a flag too, and so are `--provider`, `--from` and `--no-auth` (no login).",
            "",
        ]
    return lines


def _name(argument: Any) -> str:
    return str(argument.metavar or argument.name).upper()


def _prose(text: str | None) -> str:
    return "\n\n".join(" ".join(part.split()) for part in (text or "").split("\n\n"))


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
