"""What a person sees of a send: its steps, the green or red result, a diagnosis with its remedies, an error. It prints
through the console, and decides nothing.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from franking.text import shortened
from franking_cli.console import Console, shell, visible
from franking_cli.trusted import show_distrust

if TYPE_CHECKING:
    from franking.account.config import Config
    from franking.diagnosis.diagnosis import Diagnosis, Hint
    from franking.errors import FrankingError
    from franking.provider import Receipt, Step
    from franking.sending.testsend import TestReport

__all__ = [
    "answer_report",
    "show_diagnosis",
    "show_error",
    "show_go_on",
    "show_hints",
    "show_left_behind",
    "show_result",
    "show_step",
    "show_table",
]

_SYMBOLS = {"ok": ("✓", "good"), "failed": ("✗", "bad"), "warning": ("!", "warn"), "skipped": ("–", "faint")}
_DETAIL, _TOOK = 14, 9  # columns: where a step's detail begins, and what its time takes


# --- steps ------------------------------------------------------------------------------------------------------------


def show_step(console: Console, step: Step) -> None:
    """Show one step: on a terminal a line that is rewritten while it runs, elsewhere one line when it has ended."""
    if console.json_output:
        return
    if step.status == "running":
        share = f" {100 * step.done // step.total} %" if step.total and step.done is not None else ""
        console.passing(f"  … {console.said(step.name)}{share}")
        return
    symbol, style = _SYMBOLS[step.status]
    head = f"{console.style(symbol, style)} {console.said(step.name):<9}"
    detail = _detail(console, step)
    took = f"{step.ms:,.0f} ms" if step.ms >= 1 else ""
    room = _room(console)
    if room < 20:
        _show_narrow(console, head, detail, took)
        return
    first, *others = _lines(detail, room, whole=step.status == "failed")
    console.raw(f"  {head} {first:<{room}}{took:>{_TOOK}}".rstrip())
    for line in others:
        console.raw(" " * _DETAIL + line)


def _detail(console: Console, step: Step) -> str:
    from franking.diagnosis.texts import step_said

    told = step_said(step.name, step.status, step.detail, console.words.language)
    if told == step.detail:
        return visible(step.detail)
    return console.spoken(told)


def _lines(detail: str, room: int, *, whole: bool) -> list[str]:
    """Return a detail in one line, cut where it is too long; the reason of a failure is never cut off."""
    if not whole or len(detail) <= room:
        return [shortened(detail, room)]
    return textwrap.wrap(detail, room, break_long_words=False, break_on_hyphens=False, max_lines=6, placeholder=" …")


def _show_narrow(console: Console, head: str, detail: str, took: str) -> None:
    """Show a step on a narrow terminal: what matters first, the time behind it."""
    console.raw(head.rstrip())
    if took:
        detail = f"{detail} ({took})".lstrip()
    if detail:
        console.say(detail, indent="  ")


def _room(console: Console) -> int:
    return console.width - _DETAIL - _TOOK


# --- results ----------------------------------------------------------------------------------------------------------


def show_result(console: Console, report: TestReport, *, sent: str) -> None:
    """Show the one green or red result of a report: what, why, and what to do; with ``--json`` the report itself."""
    if console.json_output:
        answer_report(console, report)
        return
    console.say()
    if report.ok:
        _show_success(console, report, sent)
    elif report.diagnosis:
        _show_failure(console, report, report.diagnosis)


def _show_success(console: Console, report: TestReport, sent: str) -> None:
    distrusted = report.deliverability is not None and report.deliverability.verdict == "warning"
    symbol, style = _SYMBOLS["warning" if distrusted else "ok"]
    console.say(f"{symbol} {sent}", style, hang="  ")
    if report.receipt:
        _show_receipt(console, report.receipt, report.steps)
    show_hints(console, (hint.say(console.language) for hint in report.hints if not _proved_right(hint)))
    show_distrust(console, report.deliverability)


def _proved_right(hint: Hint) -> bool:
    """Return whether a green test has shown that there was nothing to point at: a password that was taken is right, a
    server that wanted no login wants none, and an app password is one of the roads.
    """
    return hint.code.startswith("secret.") or hint.code == "username.missing" or "app_password" in hint.values


def _show_receipt(console: Console, receipt: Receipt, steps: tuple[Step, ...]) -> None:
    """Show who was refused, what was warned of, and the server's reply where the last step had no room for it."""
    for address, refusal in receipt.refused.items():
        console.say(
            f"! {console.words('screen.refused', address=address, reply=visible(str(refusal['reply'])))}",
            "warn",
            hang="  ",
        )
    for warning in receipt.warnings:
        console.say(f"! {console.spoken(console.said(warning))}", "warn", hang="  ")
    if receipt.reply and not _seen(console, receipt.reply, "".join(step.detail for step in steps[-1:])):
        console.say(console.words("screen.said", reply=visible(receipt.reply)), indent="  ", hang="    ")


def _seen(console: Console, reply: str, last: str) -> bool:
    """Return whether the last step's line shows the reply already, uncut."""
    return bool(last) and last in reply and len(visible(last)) <= _room(console)


def _show_failure(console: Console, report: TestReport, diagnosis: Diagnosis) -> None:
    show_diagnosis(console, diagnosis, next_command=_next_command(console, report, diagnosis))
    better = [hint.say(console.language) for hint in report.hints if hint.code.startswith("provider.")]
    if better and not _names(diagnosis, "franking setup"):
        console.say()  # another route helps whatever went wrong on this one
        show_hints(console, better)


def _next_command(console: Console, report: TestReport, diagnosis: Diagnosis) -> str:
    if console.go_on is not None:
        return ""  # what comes next is asked
    words = diagnosis.values.get("again")
    if report.error is None or not words:
        return f"{console.path} --help"
    to, *_ = *report.to, diagnosis.values.get("to") or ""
    return shell("franking", "send-test", *words, "--to", to)


def answer_report(console: Console, report: TestReport, **more: Any) -> None:
    """Print a test report as JSON, with further keys behind its own."""
    shown = {**report.as_dict(), **more}
    if console.without_hints:
        del shown["hints"]
    console.answer(shown)


def show_hints(console: Console, texts: Iterable[str]) -> None:
    """Show what seems wrong, or could be better."""
    for text in texts:
        _show_advice(console, f"! {text}", "warn", hang="  ")


# --- failures ---------------------------------------------------------------------------------------------------------


def show_diagnosis(
    console: Console, diagnosis: Diagnosis, *, next_command: str | None = None, said: str | None = None
) -> None:
    """Show a diagnosis: title, cause, numbered remedies, the server's own words, and a command to go on with.

    ``said`` is what the screen shows already: by default the error's sentence, which stands at its step.
    """
    diagnosis = diagnosis.in_language(console.language)
    console.say(f"✗ {diagnosis.title}", "bad", hang="  ")
    console.say(diagnosis.cause, indent="  ")
    if diagnosis.remedies:
        _show_remedies(console, diagnosis)
    if diagnosis.temporary:
        console.say("\n" + console.words("screen.temporary"), indent="  ")
    if said is None:
        said = diagnosis.values.get("problem", "")
    if diagnosis.raw and not _is_ours(diagnosis.raw, f"{diagnosis.cause} {said}"):
        console.say(
            "\n" + console.words("screen.seen", raw=visible(diagnosis.raw)), "faint", indent="  ", hang="        "
        )
    if next_command and not _names(diagnosis, "franking "):
        console.say()
        _show_advice(console, console.words("screen.next", command=next_command), indent="  ", hang="    ")


def _show_remedies(console: Console, diagnosis: Diagnosis) -> None:
    who = console.words(f"who.{diagnosis.who}")
    console.say("\n" + console.words("screen.what-to-do", who=who), "strong", indent="  ")
    for number, remedy in enumerate(diagnosis.remedies, 1):
        _show_advice(console, f"{number}. {remedy}", indent="  ", hang="     ")


def _is_ours(raw: str, said: str) -> bool:
    """Return whether it is our own name for a failure, or our own words, which were said already; a server's reply
    begins with its code.
    """
    return bool(re.fullmatch(r"[a-z-]+", raw)) or (raw in said and not raw[0].isdigit())


def _names(diagnosis: Diagnosis, command: str) -> bool:
    return any(each.startswith(command) for each in diagnosis.commands)


def _show_advice(console: Console, text: str, style: str | None = None, *, indent: str = "", hang: str) -> None:
    """Print advice wrapped, and each command of ours that it names on a line of its own, unbroken: it is there to be
    copied.
    """
    parts = text.split("`")
    if len(parts) == 3 and not parts[2].strip(" .") and len(indent + parts[0] + parts[1]) <= console.width:
        console.raw(f"{indent}{console.style(parts[0], style)}{console.style(parts[1], 'strong')}")
        return
    for place, part in enumerate(parts):
        if place % 2:
            console.raw(f"{hang}{console.style(part, 'strong')}")
        elif part.strip(" ."):
            console.say(part.lstrip(" .,").rstrip(), style, indent=indent, hang=hang)
        indent = hang


def show_error(console: Console, error: FrankingError) -> None:
    """Show an error with its diagnosis and the next command; with ``--json`` as one object."""
    diagnosis = error.diagnosis = _as_typed(console, _explained(console, error))
    if console.json_output:
        _answer_error(console, error, diagnosis)
    elif console.account is not None and diagnosis.code != "settings.invalid":
        # an account's provider was asked: its refusal is told as a send's is
        again = shell(*console.path.split(), console.account.reference or "--help")
        if console.go_on is not None:
            again = ""  # what comes next is asked, or told by ``show_go_on``
        show_diagnosis(console, diagnosis, next_command=again, said="")
    else:
        _show_sentence(console, error, diagnosis)


def _explained(console: Console, error: FrankingError) -> Diagnosis:
    from franking.registry import provider
    from franking.sending.explain import explain

    kind = None
    if console.account is not None:
        kind = provider(console.account.provider)
    return explain(error, console.account, kind)


def _show_sentence(console: Console, error: FrankingError, diagnosis: Diagnosis) -> None:
    """Show an error by its own sentence, with what mends it."""
    console.say(f"✗ {console.spoken(console.said(str(error)))}", "bad", hang="  ")
    for remedy in diagnosis.in_language(console.language).remedies:
        _show_advice(console, f"· {remedy}", indent="  ", hang="    ")
    if console.go_on is None and not _names(diagnosis, "franking "):
        _show_advice(console, console.words("screen.next", command=f"{console.path} --help"), indent="  ", hang="    ")


def _as_typed(console: Console, diagnosis: Diagnosis) -> Diagnosis:
    """Return a diagnosis that names the option that was typed, not the setting that it is."""
    flag = f"--{str(diagnosis.values.get('field') or '').replace('_', '-')}"
    if flag not in console.typed:
        return diagnosis
    return replace(diagnosis, values={**diagnosis.values, "flag": flag})


def show_go_on(console: Console) -> None:
    """Show the command that goes on from here with all that was answered, where answers were given; on one line, whole,
    to be copied.
    """
    if console.go_on is not None and not console.json_output:
        console.say(console.words("screen.go-on"))
        console.raw(f"  {console.style(visible(console.go_on()), 'strong')}")


def _answer_error(console: Console, error: FrankingError, diagnosis: Diagnosis) -> None:
    from franking.sending.testsend import TestReport

    report = TestReport.of_error(error, **console.about)
    if console.reports:
        answer_report(console, report)
    else:
        console.answer({"ok": False, "outcome": report.outcome, "error": str(error), "diagnosis": diagnosis.as_dict()})


def show_left_behind(console: Console, before: Config) -> None:
    """Say that a user who now has a settings file no longer reads the system's, as the two are never mixed."""
    if before.exists and not before.own and not console.json_output:
        names = ", ".join(before.names) or console.words("screen.none")
        console.say(console.words("screen.left-behind", location=before.location, names=names), "warn")


def show_table(console: Console, table: list[tuple[str, ...]]) -> None:
    """Print rows as columns, to stdout."""
    shown = [[visible(cell) for cell in line] for line in table]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for line in shown:
        console.data("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())
