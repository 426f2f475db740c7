"""What a person sees and is asked: the only module that prints or prompts. Also the frame that every command runs in (``command``).

Everything for the eye goes to stderr, data to stdout. Colour and moving lines only on a terminal, and never with NO_COLOR; piped
output is plain lines in the order of events.
"""

from __future__ import annotations

import functools
import inspect
import json
import logging
import os
import shlex
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from franking.diagnosis import Diagnosis
    from franking.errors import FrankingError
    from franking.provider import Step
    from franking.testsend import TestReport

__all__ = ["Console", "command", "exit_code", "shell", "usage_error"]

_STYLES = {"good": "32", "bad": "31", "warn": "33", "strong": "1", "faint": "2"}
_SIGNS = {"ok": ("✓", "good"), "failed": ("✗", "bad"), "warning": ("!", "warn"), "skipped": ("–", "faint")}
_ASCII = str.maketrans({"✓": "+", "✗": "x", "–": "-", "…": ".", "·": "-", "→": ">"})


class Console:
    """Print for one command: ``say`` for the eye, ``data`` and ``answer`` for programs."""

    def __init__(self, *, json_output: bool = False, verbose: int = 0, reports: bool = False) -> None:
        self.json_output = json_output
        self.reports = reports  # this command's JSON is a test report, on every ending
        self.verbose = verbose
        self.colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self.live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and not verbose
        self.interactive = sys.stdin.isatty() and sys.stderr.isatty()
        self._running = False
        if self.colour and os.name == "nt":
            os.system("")  # noqa: S605, S607  (documented way to switch the Windows console to ANSI sequences)

    # -- output ----------------------------------------------------------------------------------------------------------

    @property
    def width(self) -> int:
        """Give the columns to wrap at: the terminal's, at most 100; 80 where there is none."""
        try:
            return max(40, min(100, os.get_terminal_size(sys.stderr.fileno()).columns))
        except (OSError, ValueError):
            return 80

    def style(self, text: str, style: str | None) -> str:
        """Colour a piece of text, on a terminal only."""
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if style and self.colour else text

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

    def data(self, text: str) -> None:
        """Print data to stdout."""
        self._clear()
        sys.stdout.write(_encodable(text, sys.stdout) + "\n")
        sys.stdout.flush()

    def binary(self, chunks: Iterable[bytes]) -> None:
        """Write octets to stdout."""
        for chunk in chunks:
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()

    def answer(self, value: Any) -> None:
        """Print one JSON value to stdout."""
        self.data(json.dumps(value, ensure_ascii=False, default=str))

    def _write(self, text: str) -> None:
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
        sign, style = _SIGNS[step.status]
        took = f"{step.ms:,.0f} ms" if step.ms >= 1 else ""
        room = self.width - 13 - 10
        detail = visible(step.detail)
        shown = detail if len(detail) <= room else detail[: room - 1] + "…"
        line = f"  {self.style(sign, style)} {step.name:<9} {shown:<{room}}{took:>9}"
        self._write(line.rstrip() + "\n")

    def _clear(self) -> None:
        if self._running:
            self._write("\r\x1b[K")
            self._running = False

    def result(self, report: TestReport, *, sent: str) -> None:
        """Show the one green or red result of a report: what, why, and what to do."""
        if self.json_output:
            self.answer(report.as_dict())
            return
        self.say()
        if report.ok:
            self.say(f"✓ {sent}", "good")
            if report.receipt:
                for address, refusal in report.receipt.refused.items():
                    self.say(f"! {address} was refused: {visible(str(refusal['reply']))}", "warn", hang="  ")
                for warning in report.receipt.warnings:
                    self.say(f"! {warning}", "warn", hang="  ")
                if report.receipt.reply:
                    self.say(f"The server said: {visible(report.receipt.reply)}", indent="  ")
        elif report.diagnosis:
            self.diagnosis(report.diagnosis)
        self.hints([hint.text for hint in report.hints] if report.ok else [])

    def hints(self, texts: Iterable[str]) -> None:
        """Show what seems wrong, or could be better."""
        for text in texts:
            self.say(f"! {text}", "warn", hang="  ")

    def diagnosis(self, diagnosis: Diagnosis) -> None:
        """Show a diagnosis: title, cause, numbered remedies, and the server's own words last."""
        self.say(f"✗ {diagnosis.title}", "bad")
        self.say(diagnosis.cause, indent="  ")
        remedies = diagnosis.remedies
        if remedies:
            who = {"you": "you can mend this", "admin": "for the administrator", "provider": "the provider has to mend this"}
            self.say()
            self.say(f"What to do ({who.get(diagnosis.who, diagnosis.who)}):", "strong", indent="  ")
            for number, remedy in enumerate(remedies, 1):
                self.say(f"{number}. {remedy}", indent="  ", hang="     ")
        if diagnosis.temporary:
            self.say()
            self.say("This may pass by itself: trying again later can help.", indent="  ")
        if diagnosis.raw:
            self.say()
            self.say(f"Seen: {visible(diagnosis.raw)}", "faint", indent="  ", hang="        ")

    def error(self, error: FrankingError, *, next_command: str | None = None) -> None:
        """Show an error with its diagnosis and the next command; with ``--json`` as one object."""
        from franking.mailer import explain

        diagnosis = explain(error)
        if self.json_output and self.reports:
            from franking.testsend import TestReport

            self.answer(TestReport.of_error(error).as_dict())
            return
        if self.json_output:
            outcome = "unknown" if error.possibly_sent else ("login-required" if exit_code(error) == 4 else "failed")
            self.answer({"ok": False, "outcome": outcome, "error": str(error), "diagnosis": diagnosis.as_dict()})
            return
        self.say(f"✗ {visible(str(error))}", "bad", hang="  ")
        for remedy in diagnosis.remedies:
            self.say(f"· {remedy}", indent="  ", hang="    ")
        if next_command:
            self.say(f"Next: {next_command}", indent="  ")

    @contextmanager
    def transcript(self, wanted: bool) -> Iterator[None]:
        """Show the dialogue with the server afterwards, both directions, already redacted; ``~`` marks what went inside TLS."""
        if not wanted:
            yield
            return
        lines: list[str] = []
        handler = _Lines(lines)
        logger = logging.getLogger("franking.wire")
        before, logger.propagate = (logger.level, logger.propagate), self.verbose > 1
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.level, logger.propagate = before
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
        if hidden:
            import getpass

            return getpass.getpass(f"{question}: ", stream=sys.stderr)
        shown = f"{question} [{default}]: " if default else f"{question}: "
        self._write(shown)
        line = sys.stdin.readline()
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
        from franking import SettingsError

        hint = f"give it with {flag}" if flag else "run this in a terminal"
        raise SettingsError(f"{question}: nobody can be asked here; {hint}.", field=flag)


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
        self._console.raw(visible(text, keep="\n"))

    def open_url(self, url: str) -> bool:
        if not url.startswith(("https://", "http://127.0.0.1", "http://localhost")):
            return False
        import webbrowser

        try:
            return webbrowser.open(url)
        except webbrowser.Error:
            return False

    def ask(self, question: str, *, hidden: bool = False) -> str:
        return self._console.ask(question, hidden=hidden)

    def confirm(self, question: str) -> bool:
        return self._console.confirm(question)


# -- the frame of every command ------------------------------------------------------------------------------------------


Verbose = Annotated[int, typer.Option("--verbose", "-v", count=True, help="Say more; twice for the dialogue with the server.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")]


def command(
    function: Callable[..., Any] | None = None, *, answers: bool = True, settings: bool = False, reports: bool = False
) -> Callable[..., Any]:
    """Make a function a command: it gets a ``Console`` first, flags ``-v`` and ``--json``, and its errors become exit codes.

    With ``reports`` its JSON is a test report on every ending. With ``settings`` it also gets every key of every provider as a flag, collected in a dict ``settings``. It returns an exit code or None.
    """
    if function is None:
        return functools.partial(command, answers=answers, settings=settings, reports=reports)
    signature = inspect.signature(function, eval_str=True)
    own = [parameter for name, parameter in signature.parameters.items() if name not in ("console", "settings")]
    added = [inspect.Parameter("verbose", inspect.Parameter.KEYWORD_ONLY, default=0, annotation=Verbose)]
    if answers:
        added.append(inspect.Parameter("json_output", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Json))
    keys: tuple[str, ...] = ()
    if settings:
        from franking_cli.flags import parameters

        flags = parameters(taken={parameter.name for parameter in own})
        keys = tuple(flags)
        added.extend(flags.values())

    @functools.wraps(function)
    def run(**values: Any) -> None:
        console = Console(json_output=values.pop("json_output", False), verbose=values.pop("verbose", 0), reports=reports)
        if settings:
            from franking_cli.flags import collect

            values["settings"] = collect({key: values.pop(key) for key in keys})
        raise typer.Exit(_guarded(console, lambda: function(console, **values)))

    changed = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    run.__signature__ = inspect.Signature([*changed, *added])  # type: ignore[attr-defined]  # what Typer reads
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*changed, *added)}
    del run.__wrapped__
    return run


def _guarded(console: Console, act: Callable[[], Any]) -> int:
    from franking.errors import FrankingError

    try:
        with _logging(console.verbose):
            return int(act() or 0)
    except FrankingError as error:
        console.error(error)
        return exit_code(error)
    except (KeyboardInterrupt, EOFError, typer.Abort):
        console.say("Interrupted; nothing more was done.", "warn")
        if console.json_output:
            console.answer({"ok": False, "outcome": "failed", "error": "interrupted", "diagnosis": None})
        return 130


@contextmanager
def _logging(verbose: int) -> Iterator[None]:
    """Show the library's log on stderr while a command runs; what it logs is redacted at its source."""
    if not verbose:
        yield
        return
    logger = logging.getLogger("franking")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s", "%H:%M:%S"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if verbose > 1 else logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def exit_code(error: FrankingError | None) -> int:
    """Give the exit code of an error, the first that fits (0 for none)."""
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


def usage_error(error: Any, arguments: list[str]) -> None:
    """Show a wrong option or a missing one, and the next command; with ``--json`` as one object."""
    sentence = str(error.format_message()).strip()
    if type(error).__name__ == "NoArgsIsHelpError":
        sys.stderr.write(sentence + "\n")
        return
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "franking"
    if "--json" in arguments:
        diagnosis = {
            "code": "usage",
            "title": "The command line is not right",
            "cause": sentence,
            "remedies": [f"Run: {path} --help"],
            "who": "you",
            "temporary": False,
            "raw": "",
        }
        Console(json_output=True).answer({"ok": False, "outcome": "failed", "error": sentence, "diagnosis": diagnosis})
        return
    console = Console()
    console.say(f"✗ {visible(sentence)}", "bad", hang="  ")
    console.say(f"Next: {path} --help", indent="  ")


def shell(*words: str) -> str:
    """Write a command as it can be pasted into a shell."""
    return shlex.join(words)


def visible(text: str, *, keep: str = "") -> str:
    """Make control characters and bidi marks visible before a terminal sees them."""
    return "".join(
        sign
        if sign in keep or (sign.isprintable() and sign not in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
        else (" " if sign in "\r\n\t" else ascii(sign)[1:-1])
        for sign in text
    )


def _encodable(text: str, stream: Any) -> str:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_ASCII).encode(encoding, "replace").decode(encoding)
    return text
