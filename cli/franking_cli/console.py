"""What a person sees and is asked: the only module that prints or prompts. How a command begins and ends is in
``frame.py``.

Everything for the eye goes to stderr, data to stdout. Colour and moving lines only on a terminal, and never with
NO_COLOR; piped output is plain lines in the order of events.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import sys
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from franking.text import escaped, shortened

if TYPE_CHECKING:
    from franking.account.account import Account
    from franking.diagnosis.diagnosis import Diagnosis
    from franking.errors import FrankingError
    from franking.provider import Step
    from franking.sending.testsend import TestReport

__all__ = ["Console", "LoginScreen", "exit_code", "shell", "visible"]

# Readable on dark and on light backgrounds alike: at least 3.8 : 1 on black and on white (tests/test_cli_screen.py
# computes it).
_STYLES = {"good": "38;5;28", "bad": "1;38;5;196", "warn": "38;5;130", "strong": "1", "faint": "38;5;244"}
_STYLES_16 = {
    "good": "32",
    "bad": "1;31",
    "warn": "35",
    "strong": "1",
    "faint": "0",
}  # terminals without 256 colours choose their own shades
_SIGNS = {"ok": ("✓", "good"), "failed": ("✗", "bad"), "warning": ("!", "warn"), "skipped": ("–", "faint")}
_DETAIL, _TOOK = 14, 9  # columns: where a step's detail begins, and what its time takes
_ASCII = str.maketrans({"✓": "+", "✗": "x", "–": "-", "…": "...", "·": "-", "→": ">", "„": '"', "“": '"', "”": '"'})


class Console:
    """Print for one command: ``say`` for the eye, ``data`` and ``answer`` for programs."""

    def __init__(
        self, *, json_output: bool = False, verbose: int = 0, reports: bool = False, path: str = "franking"
    ) -> None:
        self.json_output = json_output
        self.reports = reports  # this command's JSON is a test report, on every ending
        self.verbose = verbose
        self.without_hints = False
        self.path = path  # the command as it was typed: "franking send-test"
        self.about: dict[str, Any] = {}  # what is known for the report of an error: the account, the recipients
        self.account: Account | None = None  # whose errors these are, for their diagnosis
        self.colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        wide = "256color" in os.environ.get("TERM", "") or any(
            os.environ.get(name) for name in ("COLORTERM", "WT_SESSION")
        )
        self._styles = _STYLES if wide else _STYLES_16
        self.live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and not verbose
        self.interactive = sys.stdin.isatty() and sys.stderr.isatty()
        self._running = False
        if self.colour and os.name == "nt":
            os.system("")  # noqa: S605, S607  (documented way to switch the Windows console to ANSI sequences)

    # -- output ----------------------------------------------------------------------------------------------------------

    @property
    def width(self) -> int:
        """Return the columns to wrap at: the terminal's, at most 100; 80 where there is none."""
        try:
            return max(20, min(100, os.get_terminal_size(sys.stderr.fileno()).columns or 80))
        except (OSError, ValueError):
            return 80

    def style(self, text: str, style: str | None) -> str:
        """Colour a piece of text, on a terminal only."""
        return f"\x1b[{self._styles[style]}m{text}\x1b[0m" if style and self.colour else text

    def say(self, text: str = "", style: str | None = None, *, indent: str = "", hang: str | None = None) -> None:
        """Print lines for the eye, wrapped; ``hang`` indents all lines but the first."""
        self._clear()
        for line in text.split("\n"):
            wrapped = textwrap.wrap(
                line,
                self.width,
                initial_indent=indent,
                subsequent_indent=indent if hang is None else hang,
                break_long_words=False,
                break_on_hyphens=False,
            )
            for part in wrapped or [""]:
                self._write(self.style(part, style) + "\n")

    def raw(self, text: str) -> None:
        """Print text for the eye as it is, unwrapped: a command to copy, a transcript."""
        self._clear()
        self._write(text + "\n")

    @property
    def shows_passing(self) -> bool:
        """Return whether a passing line stands there still."""
        return self._running

    def passing(self, text: str) -> None:
        """Show a line that the next output replaces, on a terminal only."""
        if self.live:
            self._clear()
            self._write(self.style(text, "faint"))
            self._running = True

    def data(self, text: str) -> None:
        """Print data to stdout."""
        if sys.stdout.isatty():
            self._clear()
        with _reader_may_leave(sys.stdout):
            sys.stdout.write(_encodable(text, sys.stdout) + "\n")
            sys.stdout.flush()

    def no_more_data(self) -> None:
        """Let go of stdout, which takes nothing any more: what is left of it goes nowhere."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)

    def binary(self, chunks: Iterable[bytes]) -> None:
        """Write octets to stdout."""
        self._clear()
        with _reader_may_leave(sys.stdout):
            for chunk in chunks:
                sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()

    def answer(self, value: Any) -> None:
        """Print one JSON value to stdout."""
        text = json.dumps(value, ensure_ascii=False, default=str)
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        try:
            text.encode(encoding)
        except UnicodeEncodeError:  # a legacy code page, or a lone surrogate: JSON has escapes for what does not fit
            text = json.dumps(value, default=str)
        self.data(text)

    def _write(self, text: str) -> None:
        with _reader_may_leave(sys.stderr):
            sys.stderr.write(_encodable(text, sys.stderr))
            sys.stderr.flush()

    # -- steps and results -----------------------------------------------------------------------------------------------

    def step(self, step: Step) -> None:
        """Show one step: on a terminal a line that is rewritten while it runs, elsewhere one line when it has ended."""
        if self.json_output:
            return
        if step.status == "running":
            if self.live:
                share = f" {100 * step.done // step.total} %" if step.total and step.done is not None else ""
                self._clear()
                self._write(self.style(f"  … {step.name}{share}", "faint"))
                self._running = True
            return
        self._clear()
        symbol, style = _SIGNS[step.status]
        took = f"{step.ms:,.0f} ms" if step.ms >= 1 else ""
        head, detail = f"{self.style(symbol, style)} {step.name:<9}", visible(step.detail)
        room = self.width - _DETAIL - _TOOK
        if room < 20:  # a narrow terminal: what matters first, the time behind it
            told = " ".join(part for part in (detail, f"({took})" if took else "") if part)
            self._write(f"{head.rstrip()}\n")
            self.say(told, indent="  ") if told else None
            return
        lines = [shortened(detail, room)]
        if step.status == "failed" and len(detail) > room:  # the reason is never cut off
            lines = textwrap.wrap(
                detail, room, break_long_words=True, break_on_hyphens=False, max_lines=6, placeholder=" …"
            )
        self._write(f"  {head} {lines[0]:<{room}}{took:>{_TOOK}}".rstrip() + "\n")
        for line in lines[1:]:
            self._write(" " * _DETAIL + line + "\n")

    def _clear(self) -> None:
        if self._running:
            self._write("\r\x1b[K")
            self._running = False

    def result(self, report: TestReport, *, sent: str) -> None:
        """Show the one green or red result of a report: what, why, and what to do."""
        if self.json_output:
            self.report(report)
            return
        self.say()
        if report.ok:
            self.say(f"✓ {sent}", "good", hang="  ")
            if report.receipt:
                for address, refusal in report.receipt.refused.items():
                    self.say(f"! {address} was refused: {visible(str(refusal['reply']))}", "warn", hang="  ")
                for warning in report.receipt.warnings:
                    self.say(f"! {visible(warning)}", "warn", hang="  ")
                if not self._showed(report.receipt.reply, report):
                    self.say(f"The server said: {visible(report.receipt.reply)}", indent="  ", hang="    ")
            # a password that was taken is right
            self.hints(hint.text for hint in report.hints if not hint.code.startswith("secret."))
        elif report.diagnosis:
            self.diagnosis(report.diagnosis, next_command=self._again(report))
            better = [hint.text for hint in report.hints if hint.code.startswith("provider.")]
            if better and not any(command.startswith("franking setup") for command in report.diagnosis.commands):
                self.say()  # another road helps whatever went wrong on this one
                self.hints(better)

    def _showed(self, reply: str, report: TestReport) -> bool:
        """Return whether the last step has shown the whole reply already."""
        last = report.steps[-1].detail if report.steps else ""
        return not reply or (bool(last) and last in reply and len(visible(last)) <= self.width - _DETAIL - _TOOK)

    def report(self, report: TestReport, **more: Any) -> None:
        """Print a test report as JSON, with further keys behind its own."""
        told = {**report.as_dict(), **more}
        if self.without_hints:
            del told["hints"]
        self.answer(told)

    def hints(self, texts: Iterable[str]) -> None:
        """Show what seems wrong, or could be better."""
        for text in texts:
            self._advice(f"! {text}", "warn", indent="", hang="  ")

    def diagnosis(self, diagnosis: Diagnosis, *, next_command: str | None = None, said: str | None = None) -> None:
        """Show a diagnosis: title, cause, numbered remedies, the server's own words, and a command to go on with.

        ``said`` is what the screen shows already: by default the error's sentence, which stands at its step.
        """
        self.say(f"✗ {visible(diagnosis.title)}", "bad", hang="  ")
        self.say(diagnosis.cause, indent="  ")
        remedies = diagnosis.remedies
        if remedies:
            who = {
                "you": "you can mend this",
                "admin": "for the administrator",
                "provider": "the provider has to mend this",
            }
            self.say()
            self.say(f"What to do ({who.get(diagnosis.who, diagnosis.who)}):", "strong", indent="  ")
            for number, remedy in enumerate(remedies, 1):
                self._advice(f"{number}. {remedy}", None, indent="  ", hang="     ")
        if diagnosis.temporary:
            self.say()
            self.say("This may pass by itself: trying again later can help.", indent="  ")
        # our own name for it, or our own words, which were said already; a server's reply begins with its code
        said = f"{diagnosis.cause} {diagnosis.values.get('problem', '') if said is None else said}"
        ours = re.fullmatch(r"[a-z-]+", diagnosis.raw) or (diagnosis.raw in said and not diagnosis.raw[:1].isdigit())
        if diagnosis.raw and not ours:
            self.say()
            self.say(f"Seen: {visible(diagnosis.raw)}", "faint", indent="  ", hang="        ")
        if next_command and not any(command.startswith("franking ") for command in diagnosis.commands):
            self.say()
            self._advice(f"Next: `{next_command}`", None, indent="  ", hang="    ")

    def _advice(self, text: str, style: str | None, *, indent: str, hang: str) -> None:
        """Print advice wrapped, and each command of ours that it names on a line of its own, unbroken: it is there to
        be copied.
        """
        parts = text.split("`")
        if len(parts) == 3 and not parts[2].strip(" .") and len(indent + parts[0] + parts[1]) <= self.width:
            self.raw(f"{indent}{self.style(parts[0], style)}{self.style(parts[1], 'strong')}")
            return
        for place, part in enumerate(parts):
            if place % 2:
                shown = f"{hang}{self.style(part, 'strong')}"
                self.raw(shown)
            elif part.strip(" ."):
                first = place == 0
                self.say(
                    part.strip() if first else part.lstrip(" .,"), style, indent=indent if first else hang, hang=hang
                )

    def _again(self, report: TestReport) -> str:
        if (
            report.error is not None
            and report.diagnosis is not None
            and (words := report.diagnosis.values.get("again"))
        ):
            to = report.to[:1] or (report.diagnosis.values.get("to") or "",)
            return shell("franking", "send-test", *words, "--to", to[0])
        return f"{self.path} --help"

    def error(self, error: FrankingError, *, next_command: str | None = None) -> None:
        """Show an error with its diagnosis and the next command; with ``--json`` as one object."""
        from franking.registry import provider
        from franking.sending.explain import explain

        diagnosis = explain(error, self.account, provider(self.account.provider) if self.account else None)
        if self.json_output:
            if self.reports:
                from franking.sending.testsend import TestReport

                self.report(TestReport.of_error(error, **self.about))
                return
            outcome = "unknown" if error.possibly_sent else ("login-required" if exit_code(error) == 4 else "failed")
            self.answer({"ok": False, "outcome": outcome, "error": str(error), "diagnosis": diagnosis.as_dict()})
            return
        if self.account is not None and diagnosis.code != "settings.invalid":
            # an account's provider was asked: its refusal is told as a send's is
            again = shell(*self.path.split(), self.account.reference or "--help")
            self.diagnosis(diagnosis, next_command=next_command or again, said="")
            return
        self.say(f"✗ {visible(str(error))}", "bad", hang="  ")
        for remedy in diagnosis.remedies:
            self._advice(f"· {remedy}", None, indent="  ", hang="    ")
        if next_command or not any(command.startswith("franking ") for command in diagnosis.commands):
            self._advice(f"Next: `{next_command or f'{self.path} --help'}`", None, indent="  ", hang="    ")

    @contextmanager
    def transcript(self, wanted: bool) -> Iterator[None]:
        """Show the dialogue with the server afterwards, both directions, already redacted; ``~`` marks what went inside
        TLS.
        """
        if not wanted:
            yield
            return
        lines: list[str] = []
        handler = _Lines(lines)
        logger = logging.getLogger("franking.wire")
        before = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.setLevel(before)  # not the attribute: loggers remember what is enabled
            self.say()
            self.say("The dialogue (C: this side, S: the server, ~ inside TLS):", "strong")
            for line in lines:
                self.raw(f"  {visible(line)}")

    # -- questions -------------------------------------------------------------------------------------------------------

    def ask(self, question: str, *, default: str | None = None, hidden: bool = False, flag: str | None = None) -> str:
        """Ask for one line on the terminal; without one, say which flag gives the answer (exit code 2)."""
        if not self.interactive:
            self._nobody(question, flag)
        self._clear()
        try:
            if hidden:
                import getpass

                return getpass.getpass(f"{question}: ", stream=sys.stderr)
            self._write(f"{question} [{default}]: " if default else f"{question}: ")
            line = sys.stdin.readline()
        except KeyboardInterrupt:
            self._write("\n")  # what is said next begins on a line of its own
            raise
        if not line:
            raise EOFError
        return line.strip() or (default or "")

    def confirm(self, question: str, *, default: bool = False, flag: str | None = None) -> bool:
        """Ask yes or no."""
        while True:
            word = self.ask(f"{question} ({'Y/n' if default else 'y/N'})", flag=flag).lower()
            if not word:
                return default
            if word in ("y", "yes", "n", "no"):
                return word.startswith("y")
            self.say("Please answer y or n.")

    def _nobody(self, question: str, flag: str | None) -> NoReturn:
        from franking.errors import Evidence, SettingsError

        hint = f"give it with {flag}" if flag else "run this in a terminal"
        evidence = Evidence("settings", reason="usage", details={"usage": (*self.path.split(), "--help")})
        raise SettingsError(f"{question}: nobody can be asked here; {hint}.", field=flag, evidence=evidence)


class _Lines(logging.Handler):
    """Collect messages in a list."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(record.getMessage())


class LoginScreen:
    """The user interface of a login: shows URLs and codes, opens the browser, asks for pasted answers."""

    def __init__(self, console: Console, *, no_browser: bool = False, device: bool = False) -> None:
        self._console = console
        self.no_browser = no_browser
        self.device = device
        self.interactive = console.interactive

    def show(self, text: str) -> None:
        self._console.raw("\n".join(map(visible, text.split("\n"))))

    def open_url(self, url: str) -> bool:
        import webbrowser

        from franking.auth.redirect import open_in_background

        return open_in_background(webbrowser.open, url)

    def ask(self, question: str, *, hidden: bool = False) -> str:
        return self._console.ask(question, hidden=hidden)

    def confirm(self, question: str) -> bool:
        return self._console.confirm(question)


def exit_code(error: FrankingError | None) -> int:
    """Return the exit code of an error, the first that fits (0 for none)."""
    from franking.errors import LoginRequired, MessageError, SettingsError

    if error is None:
        return 0
    if error.possibly_sent:
        return 3
    if isinstance(error, SettingsError | MessageError):
        return 2
    if isinstance(error, LoginRequired):
        return 4
    temporary = error.diagnosis.temporary if error.diagnosis else error.temporary
    return 5 if temporary else 1


@contextmanager
def _reader_may_leave(stream: Any) -> Iterator[None]:
    """Go on when nobody reads any more (``| head``): how the command ends does not depend on it."""
    try:
        yield
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def shell(*words: str) -> str:
    """Write a command as it can be pasted into a shell."""
    return shlex.join(words)


def visible(text: str) -> str:
    """Return a text with line breaks and tabs as blanks, and other control characters as escapes, fit for a terminal."""
    return escaped(re.sub("[\r\n\t]", " ", text))


def _encodable(text: str, stream: Any) -> str:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_ASCII).encode(encoding, "replace").decode(encoding)
    return text
