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

# Readable on dark and on light backgrounds alike: at least 3.8 : 1 on black and on white (tests/test_cli_screen.py computes it).
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

    def __init__(self, *, json_output: bool = False, verbose: int = 0, reports: bool = False, path: str = "franking") -> None:
        self.json_output = json_output
        self.reports = reports  # this command's JSON is a test report, on every ending
        self.verbose = verbose
        self.without_hints = False
        self.path = path  # the command as it was typed: "franking send-test"
        self.about: dict[str, Any] = {}  # what is known for the report of an error: the account, the recipients
        self.colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        wide = "256color" in os.environ.get("TERM", "") or any(os.environ.get(name) for name in ("COLORTERM", "WT_SESSION"))
        self._styles = _STYLES if wide else _STYLES_16
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

    def data(self, text: str) -> None:
        """Print data to stdout."""
        self._clear()
        with _reader_may_leave(sys.stdout):
            sys.stdout.write(_encodable(text, sys.stdout) + "\n")
            sys.stdout.flush()

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
        sign, style = _SIGNS[step.status]
        took = f"{step.ms:,.0f} ms" if step.ms >= 1 else ""
        head, detail = f"{self.style(sign, style)} {step.name:<9}", visible(step.detail)
        room = self.width - _DETAIL - _TOOK
        if room < 20:  # a narrow terminal: what matters first, the time behind it
            told = " ".join(part for part in (detail, f"({took})" if took else "") if part)
            self._write(f"{head.rstrip()}\n")
            self.say(told, indent="  ") if told else None
            return
        lines = [detail if len(detail) <= room else detail[: room - 1] + "…"]
        if step.status == "failed" and len(detail) > room:  # the reason is never cut off
            lines = textwrap.wrap(detail, room, break_long_words=True, break_on_hyphens=False, max_lines=6, placeholder=" …")
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
                if report.receipt.reply:
                    self.say(f"The server said: {visible(report.receipt.reply)}", indent="  ", hang="    ")
            self.hints(hint.text for hint in report.hints)
        elif report.diagnosis:
            self.diagnosis(report.diagnosis, next_command=self._again(report))

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

    def diagnosis(self, diagnosis: Diagnosis, *, next_command: str | None = None) -> None:
        """Show a diagnosis: title, cause, numbered remedies, the server's own words, and a command to go on with."""
        self.say(f"✗ {visible(diagnosis.title)}", "bad", hang="  ")
        self.say(diagnosis.cause, indent="  ")
        remedies = diagnosis.remedies
        if remedies:
            who = {"you": "you can mend this", "admin": "for the administrator", "provider": "the provider has to mend this"}
            self.say()
            self.say(f"What to do ({who.get(diagnosis.who, diagnosis.who)}):", "strong", indent="  ")
            for number, remedy in enumerate(remedies, 1):
                self._advice(f"{number}. {remedy}", None, indent="  ", hang="     ")
        if diagnosis.temporary:
            self.say()
            self.say("This may pass by itself: trying again later can help.", indent="  ")
        if diagnosis.raw:
            self.say()
            self.say(f"Seen: {visible(diagnosis.raw)}", "faint", indent="  ", hang="        ")
        if next_command and not any("`franking " in remedy for remedy in remedies):
            self.say()
            self._advice(f"Next: `{next_command}`", None, indent="  ", hang="    ")

    def _advice(self, text: str, style: str | None, *, indent: str, hang: str) -> None:
        """Print advice wrapped, and each command of ours that it names on a line of its own, unbroken: it is there to be copied."""
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
                self.say(part.strip() if first else part.lstrip(" .,"), style, indent=indent if first else hang, hang=hang)

    def _again(self, report: TestReport) -> str:
        if report.error is not None and report.diagnosis is not None and (words := report.diagnosis.values.get("again")):
            to = report.to[:1] or (report.diagnosis.values.get("to") or "",)
            return shell("franking", "send-test", *words, "--to", to[0])
        return f"{self.path} --help"

    def error(self, error: FrankingError, *, next_command: str | None = None) -> None:
        """Show an error with its diagnosis and the next command; with ``--json`` as one object."""
        from franking.mailer import explain

        diagnosis = explain(error)
        if self.json_output:
            if self.reports:
                from franking.testsend import TestReport

                self.report(TestReport.of_error(error, **self.about))
                return
            outcome = "unknown" if error.possibly_sent else ("login-required" if exit_code(error) == 4 else "failed")
            self.answer({"ok": False, "outcome": outcome, "error": str(error), "diagnosis": diagnosis.as_dict()})
            return
        self.say(f"✗ {visible(str(error))}", "bad", hang="  ")
        for remedy in diagnosis.remedies:
            self._advice(f"· {remedy}", None, indent="  ", hang="    ")
        if next_command or not any("`franking " in remedy for remedy in diagnosis.remedies):
            self._advice(f"Next: `{next_command or f'{self.path} --help'}`", None, indent="  ", hang="    ")

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


Verbose = Annotated[
    int, typer.Option("--verbose", "-v", count=True, show_default=False, help="Say more; twice for the dialogue with the server.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")]


def command(
    function: Callable[..., Any] | None = None, *, answers: bool = True, settings: bool = False, reports: bool = False
) -> Callable[..., Any]:
    """Make a function a command: it gets a ``Console`` first, flags ``-v`` and ``--json``, and its errors become exit codes.

    With ``reports`` its JSON is a test report on every ending. With ``settings`` it also gets every key of every provider as a flag,
    collected in a dict ``settings``. It returns an exit code or None. An argument that names an account is completed with the saved names.
    """
    if function is None:
        return functools.partial(command, answers=answers, settings=settings, reports=reports)
    signature = inspect.signature(function, eval_str=True)
    own = [_completed(parameter) for name, parameter in signature.parameters.items() if name not in ("console", "settings")]
    added = [
        inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context),
        inspect.Parameter("verbose", inspect.Parameter.KEYWORD_ONLY, default=0, annotation=Verbose),
    ]
    if answers:
        added.append(inspect.Parameter("json_output", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Json))
    keys: list[str] = []

    def sign() -> None:
        """Write down the signature that Typer reads; again whenever the command is loaded, for a provider may have been registered meanwhile."""
        every = [*(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own), *added]
        if settings:
            from franking_cli.flags import parameters

            flags = parameters(taken={parameter.name for parameter in own})
            keys[:] = flags
            every.extend(flags.values())
        run.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in every}

    @functools.wraps(function)
    def run(**values: Any) -> None:
        context = values.pop("context")
        console = Console(
            json_output=values.pop("json_output", False),
            verbose=values.pop("verbose", 0),
            reports=reports,
            path=context.command_path,
        )
        if settings:
            from franking_cli.flags import collect

            values["settings"] = collect({key: values.pop(key) for key in keys})
        raise typer.Exit(_guarded(console, lambda: function(console, **values)))

    del run.__wrapped__
    run.sign = sign  # type: ignore[attr-defined]
    sign()
    return run


def _completed(parameter: inspect.Parameter) -> inspect.Parameter:
    for extra in getattr(parameter.annotation, "__metadata__", ()):
        if parameter.name in ("account", "name") and hasattr(extra, "autocompletion") and not extra.param_decls:
            extra.autocompletion = account_names
    return parameter


def account_names(incomplete: str) -> list[str]:
    """Complete the names of saved accounts; a settings file that cannot be read completes nothing."""
    from franking import SettingsError
    from franking.config import load

    try:
        return [name for name in load().names if name.startswith(incomplete)]
    except SettingsError:
        return []


def _guarded(console: Console, act: Callable[[], Any]) -> int:
    from franking.errors import FrankingError

    with _logging(console.verbose):
        try:
            return int(act() or 0)
        except FrankingError as error:
            console.error(error)
            return exit_code(error)
        except (KeyboardInterrupt, EOFError, typer.Abort) as broken:
            return _interrupted(console, broken)
        except OSError as problem:
            if problem.filename is None:
                raise
            from franking import SettingsError

            unreadable = SettingsError(f"{problem.filename}: {problem.strerror}.", field=str(problem.filename))
            console.error(unreadable)
            return exit_code(unreadable)


def _interrupted(console: Console, broken: BaseException) -> int:
    """Say that somebody broke in, and whether the message may have been accepted all the same."""
    from franking.testsend import interrupted

    error = interrupted(broken)
    console.about |= getattr(broken, "about", {})
    if console.json_output:
        console.error(error)
    elif error.possibly_sent:
        from franking.mailer import explain

        console.say()
        console.diagnosis(explain(error))
    else:
        console.say("Interrupted; nothing more was done.", "warn")
    return 3 if error.possibly_sent else 130


@contextmanager
def _logging(verbose: int) -> Iterator[None]:
    """Show what the library logs on stderr while a command runs: what it does (-v), or everything with the dialogue (-vv)."""
    if not verbose:
        yield
        return
    logger = logging.getLogger("franking")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Redacted("%(asctime)s %(name)s: %(message)s", "%H:%M:%S"))
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if verbose > 1 else logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class _Redacted(logging.Formatter):
    """Look at each line once more before a person sees it: no tokens, no one-time addresses, no control characters."""

    def format(self, record: logging.LogRecord) -> str:
        from franking.redaction import redacted

        return redacted(super().format(record))


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
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "franking"
    if type(error).__name__ == "NoArgsIsHelpError" and "--json" not in arguments:
        sys.stderr.write(sentence + "\n")
        return
    if type(error).__name__ == "NoArgsIsHelpError":
        sentence = "No command was given."
    _failed(sentence, "usage", path, arguments)


def internal_error(error: BaseException, arguments: list[str]) -> None:
    """Show a mistake of ours: no traceback unless asked for, for nobody can mend it with one; with ``--json`` as one object."""
    import traceback

    if any(word.startswith("-v") or word == "--verbose" for word in arguments):
        sys.stderr.write("".join(traceback.format_exception(error)))
    _failed(f"{type(error).__name__}: {error}", "bug", "franking", arguments)


def _failed(sentence: str, reason: str, path: str, arguments: list[str]) -> None:
    from franking.errors import Evidence, SettingsError
    from franking.redaction import redacted

    told = redacted(sentence, limit=500)
    error = SettingsError(told, evidence=Evidence("settings", reason=reason, details={"usage": (*path.split(), "--help")}))
    reports = bool({"send-test", "check", "send"} & set(arguments[:1]))
    console = Console(json_output="--json" in arguments, reports=reports, path=path)
    console.without_hints = arguments[:1] == ["send"]
    console.error(error)


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
