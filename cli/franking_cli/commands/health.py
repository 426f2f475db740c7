"""``franking health``: can mail be sent, for cron, timers and monitoring; what changed is told once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from franking.errors import FrankingError, SettingsError
from franking.health.finding import Entry, Finding
from franking.health.look import Health, look
from franking.health.metrics import metrics
from franking_cli.command import account_names, command
from franking_cli.console import Console, visible

__all__ = ["run"]

_EXIT = {"ok": 0, "warning": 5, "critical": 1}
_NAGIOS = {"ok": 0, "warning": 1, "critical": 2}
_MARKS = {"ok": ("✓", "good"), "warning": ("!", "warn"), "critical": ("✗", "bad")}
_READABLE = 0o644
"""A collector of metrics runs as another user, and nothing in them is for nobody."""


@command
def run(
    console: Console,
    accounts: Annotated[
        list[str] | None,
        typer.Argument(metavar="ACCOUNT…", autocompletion=account_names, help="Saved accounts; all of them without."),
    ] = None,
    *,
    verify: Annotated[
        bool, typer.Option("--verify", help="Renew each sign-in and log in with each password now.")
    ] = False,
    alert: Annotated[
        bool, typer.Option("--alert", help="Tell what changed, as [alerts] in the settings file says.")
    ] = False,
    prometheus: Annotated[
        bool, typer.Option("--prometheus", help="Print metrics for Prometheus.", rich_help_panel="For monitoring")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="FILE", help="Put the metrics into this file, whole.", rich_help_panel="For monitoring"
        ),
    ] = None,
    nagios: Annotated[
        bool, typer.Option("--nagios", help="Print one line, end with 0, 1, 2 or 3.", rich_help_panel="For monitoring")
    ] = False,
) -> int:
    """Look whether mail can be sent: sign-ins, passwords, what ends soon, the outbox.

    franking health
    franking health --alert

    A mailbox is asked once a day at most. Exit code 0: all is well, 1: something is critical, 5: there are warnings.
    """
    if sum((prometheus, nagios, console.json_output)) > 1:
        raise typer.BadParameter("choose one of --json, --prometheus and --nagios", param_hint="--prometheus")
    if output is not None and not prometheus:
        raise typer.BadParameter("it goes with --prometheus", param_hint="--output")
    if nagios:
        return _plugin(console, accounts or (), verify=verify, alert=alert)
    health = look(accounts or (), verify=verify, tell=alert, language=console.language)
    if prometheus:
        _tell_metrics(console, metrics(health), output)
    else:
        _show_all(console, health)
    return _EXIT[health.level]


def _plugin(console: Console, accounts: Sequence[str], *, verify: bool, alert: bool) -> int:
    """Answer as a plugin of a monitoring system does."""
    try:
        health = look(accounts, verify=verify, tell=alert, language=console.language)
    except FrankingError as problem:
        console.data(f"FRANKING UNKNOWN - {visible(str(problem))}")
        return 3
    console.data(_line(health))
    return _NAGIOS[health.level]


def _show_all(console: Console, health: Health) -> None:
    if console.json_output:
        console.answer([entry.as_dict() for entry in health.entries])
        return
    for entry in health.entries:
        _show(console, entry)


def _tell_metrics(console: Console, text: str, output: Path | None) -> None:
    if output is None:
        console.data(text.rstrip("\n"))
        return
    from franking.atomic import write_whole

    try:
        write_whole(output, text.encode(), mode=_READABLE)
    except OSError as problem:
        raise SettingsError(f"--output: {output} cannot be written: {problem.strerror}.", field="--output") from None


def _line(health: Health) -> str:
    """Return what a monitoring plugin says: the level, and what is not well; a bar would begin performance data."""
    bad = [
        f"{entry.account or 'this computer'}: {finding.text()}"
        for entry in health.entries
        for finding in entry.findings
        if finding.level == health.level != "ok"
    ]
    words = "; ".join(bad) or f"{len(health.entries) - 1} accounts can send"
    return f"FRANKING {health.level.upper()} - {visible(words).replace('|', '/')}"


def _show(console: Console, entry: Entry) -> None:
    told = [one for one in entry.findings if console.verbose or _worth_telling(one)]
    if entry.account is None and not told:
        return
    mark, style = _MARKS[entry.level]
    name = visible(entry.account) if entry.account is not None else console.words("health.machine")
    console.say(f"{mark} {name}: {console.words(f'health.{entry.level}')}", style)
    for finding in told:
        _show_finding(console, finding)


def _worth_telling(finding: Finding) -> bool:
    return finding.level != "ok" or finding.code == "account.disabled"


def _show_finding(console: Console, finding: Finding) -> None:
    mark, style = _MARKS[finding.level]
    text = console.spoken(finding.text(console.language))
    console.say(f"{mark} {text}", style, indent="    ", hang="      ")
    for remedy in finding.remedies(console.language):
        console.say(f"- {console.spoken(remedy)}", indent="      ", hang="        ")
