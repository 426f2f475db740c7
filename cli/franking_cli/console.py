"""What is printed, and what a person is asked: the only module that prints or prompts. What a report or a diagnosis
looks like is in ``screen.py``, how a command begins and ends in ``command.py``.

Everything for the eye goes to stderr, data to stdout. Colour and moving lines only on a terminal, and never with
NO_COLOR; piped output is plain lines in the order of events.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import shlex
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from franking.diagnosis.texts import said
from franking.errors import Evidence, SettingsError
from franking.text import escaped
from franking_cli.words import asked_language, language_of, words

if TYPE_CHECKING:
    from franking.account.account import Account
    from franking.diagnosis.languages import Sentences

__all__ = ["Console", "LoginScreen", "shell", "visible"]

# Readable on dark and on light backgrounds alike: at least 3.8 : 1 on black and on white, which a test computes.
_STYLES = {"good": "38;5;28", "bad": "1;38;5;196", "warn": "38;5;130", "strong": "1", "faint": "38;5;244"}
# terminals without 256 colours choose their own shades
_STYLES_16 = {"good": "32", "bad": "1;31", "warn": "35", "strong": "1", "faint": "0"}
_ASCII = str.maketrans({"✓": "+", "✗": "x", "–": "-", "…": "...", "·": "-", "→": ">", "„": '"', "“": '"', "”": '"'})


class Console:
    """Print for one command: ``say`` for the eye, ``data`` and ``answer`` for programs."""

    def __init__(
        self,
        *,
        json_output: bool = False,
        verbose: int = 0,
        reports: bool = False,
        path: str = "franking",
        language: str | None = None,
    ) -> None:
        self._language = language
        self.json_output = json_output
        self.reports = reports  # this command's JSON is a test report, on every ending
        self.verbose = verbose
        self.without_hints = False
        self.path = path  # the command as it was typed: "franking send-test"
        self.typed: frozenset[str] = frozenset()  # its options that were typed
        self.about: dict[str, Any] = {}  # what is known for the report of an error: the account, the recipients
        self.account: Account | None = None  # whose errors these are, for their diagnosis
        self.go_on: Callable[[], str] | None = None  # the command that goes on from here, where answers were given
        name = os.environ.get("TERM", "")
        terminal = sys.stderr.isatty() and name != "dumb"
        self.colour = terminal and not os.environ.get("NO_COLOR")
        self.live = terminal and not verbose
        self.interactive = sys.stdin.isatty() and sys.stderr.isatty()
        self._styles = _STYLES_16
        if "256color" in name or os.environ.get("COLORTERM") or os.environ.get("WT_SESSION"):
            self._styles = _STYLES
        self._passing = False
        if self.colour and os.name == "nt":
            os.system("")  # noqa: S605, S607  (documented way to switch the Windows console to ANSI sequences)

    @property
    def asked_language(self) -> str | None:
        """Return the language that the person asked for, which is not their computer's."""
        return asked_language(self._language)

    @cached_property
    def language(self) -> str:
        """Return the language to speak."""
        return language_of(self._language)

    @cached_property
    def words(self) -> Sentences:
        """Return the sentences of that language; with ``--json`` in English, for programs read them."""
        return words("en" if self.json_output else self.language)

    def counted(self, key: str, number: int) -> str:
        """Return a text that has a form for one, a form for two to four, and one for all other numbers, parted by a
        bar; a language that knows fewer repeats one.
        """
        one, few, many = self.words(key, number=number).split("|")
        if number == 1:
            return one
        return few if 1 < number < 5 else many

    def said(self, sentence: str, section: str = "sentences") -> str:
        """Return a sentence of the library's facts in that language, as it is where nobody wrote it."""
        return said(sentence, self.words.language, section)

    def spoken(self, text: str, *, wrapped: bool = True) -> str:
        """Return a sentence of ours as ``visible`` does. Where its language has no-break spaces they stay, as blanks
        where nothing is ``wrapped``; in English one can only be somebody's value, and shows.
        """
        if self.words.language == "en":
            return visible(text)
        return ("\N{NO-BREAK SPACE}" if wrapped else " ").join(map(visible, text.split("\N{NO-BREAK SPACE}")))

    # -- for the eye ---------------------------------------------------------------------------------------------------

    @property
    def width(self) -> int:
        """Return the columns to wrap at: the terminal's, at most 100; 80 where there is none."""
        try:
            columns = os.get_terminal_size(sys.stderr.fileno()).columns
        except (OSError, ValueError):
            columns = 0
        return max(20, min(100, columns or 80))

    def style(self, text: str, style: str | None) -> str:
        """Colour a piece of text, on a terminal only."""
        if text and style and self.colour:
            return f"\x1b[{self._styles[style]}m{text}\x1b[0m"
        return text

    def say(self, text: str = "", style: str | None = None, *, indent: str = "", hang: str | None = None) -> None:
        """Print lines for the eye, wrapped; ``hang`` indents all lines but the first."""
        wrapper = textwrap.TextWrapper(
            self.width,
            initial_indent=indent,
            subsequent_indent=indent if hang is None else hang,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in text.split("\n"):
            for part in wrapper.wrap(line) or [""]:
                self.raw(self.style(part, style))

    def raw(self, text: str) -> None:
        """Print text for the eye as it is, unwrapped: a command to copy, a transcript."""
        self._clear()
        self._write(text + "\n")

    @property
    def shows_passing(self) -> bool:
        """Return whether a passing line stands there still."""
        return self._passing

    def passing(self, text: str) -> None:
        """Show a line that the next output replaces, on a terminal only."""
        if self.live:
            self._clear()
            self._write(self.style(text, "faint"))
            self._passing = True

    def _clear(self) -> None:
        if self._passing:
            self._write("\r\x1b[K")
            self._passing = False

    def _write(self, text: str) -> None:
        with _reader_may_leave(sys.stderr):
            sys.stderr.write(_encodable(text, sys.stderr))
            sys.stderr.flush()

    # -- for programs --------------------------------------------------------------------------------------------------

    def data(self, text: str) -> None:
        """Print data to stdout; what does not print is an escape on a terminal, where it would act."""
        if sys.stdout.isatty():
            self._clear()
            text = "\n".join(map(escaped, text.split("\n")))
        with _reader_may_leave(sys.stdout):
            sys.stdout.write(_encodable(text, sys.stdout) + "\n")
            sys.stdout.flush()

    def page(self, text: str, laid_out: Callable[..., str]) -> None:
        """Show a page of text: laid out and by the pager on a terminal, elsewhere as it is."""
        if not sys.stdout.isatty():
            self.data(text)
            return
        import pydoc

        os.environ.setdefault("LESS", "-FRX")  # ends by itself where all fits, keeps colours and the screen
        colour = os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")
        pydoc.pager(_encodable(laid_out(text, self.width, colour=colour), sys.stdout))

    def no_more_data(self) -> None:
        """Let go of stdout, which takes nothing any more: what is left of it goes nowhere."""
        _let_go(sys.stdout)

    def binary(self, chunks: Iterable[bytes]) -> None:
        """Write octets to stdout."""
        self._clear()
        with _reader_may_leave(sys.stdout):
            sys.stdout.buffer.writelines(chunks)
            sys.stdout.buffer.flush()

    def answer(self, value: Any) -> None:
        """Print one JSON value to stdout: letters as they are, on a terminal with JSON's escapes for what would act."""
        text = json.dumps(value, ensure_ascii=False, default=str)
        if not _fits(text, sys.stdout):  # a legacy code page, or a lone surrogate: JSON has escapes for what does not
            text = json.dumps(value, default=str)
        if sys.stdout.isatty():
            # JSON itself escapes the oldest controls only: no DEL, C1, direction or line separator
            text = "".join([char if char.isprintable() else _json_escape(char) for char in text])
        self.data(text)

    # -- questions -----------------------------------------------------------------------------------------------------

    def ask(self, question: str, *, default: str | None = None, hidden: bool = False, flag: str | None = None) -> str:
        """Ask for one line on the terminal; without one, say which flag gives the answer (exit code 2)."""
        if not self.interactive:
            self._nobody(question, flag)
        self._clear()
        try:
            if hidden:
                return getpass.getpass(f"{question}: ", stream=sys.stderr)
            if default:
                question = f"{question} [{default}]"
            self._write(f"{question}: ")
            line = sys.stdin.readline()
        except KeyboardInterrupt:
            self._write("\n")  # what is said next begins on a line of its own
            raise
        if not line:
            raise EOFError
        return line.strip() or default or ""

    def confirm(self, question: str, *, default: bool = False, flag: str | None = None) -> bool:
        """Ask yes or no."""
        choice = self.words("console.yes" if default else "console.no")
        yes = {"y", "yes", *self.words("console.yes-words").split()}
        while word := self.ask(f"{question} ({choice})", flag=flag).lower():
            if word in ("n", "no", "ne") or word in yes:
                return word in yes
            self.say(self.words("console.yes-or-no"))
        return default

    def _nobody(self, question: str, flag: str | None) -> NoReturn:
        hint = self.words("console.by-flag", flag=flag) if flag else self.words("console.in-terminal")
        evidence = Evidence("settings", reason="usage", details={"usage": (*self.path.split(), "--help")})
        sentence = self.words("console.nobody", question=question, hint=hint)
        raise SettingsError(sentence, field=flag, evidence=evidence)


class LoginScreen:
    """The user interface of a login: shows URLs and codes, opens the browser, asks for pasted answers."""

    def __init__(self, console: Console, *, no_browser: bool = False, device: bool = False) -> None:
        self._console = console
        self.no_browser = no_browser
        self.device = device
        self.interactive = self.asks_again = console.interactive

    def show(self, text: str) -> None:
        self._console.raw("\n".join(self._console.spoken(self._console.said(line)) for line in text.split("\n")))

    def open_url(self, url: str) -> bool:
        import webbrowser

        from franking.auth.redirect import open_in_background

        return open_in_background(webbrowser.open, url)

    def ask(self, question: str, *, hidden: bool = False) -> str:
        return self._console.ask(self._console.said(question), hidden=hidden)

    def confirm(self, question: str) -> bool:
        return self._console.confirm(self._console.said(question))


@contextmanager
def _reader_may_leave(stream: Any) -> Iterator[None]:
    """Go on when nobody reads any more (``| head``): how the command ends does not depend on it."""
    try:
        yield
    except BrokenPipeError:
        _let_go(stream)


def _let_go(stream: Any) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _encoding(stream: Any) -> str:
    return getattr(stream, "encoding", None) or "utf-8"


def _fits(text: str, stream: Any) -> bool:
    try:
        text.encode(_encoding(stream))
    except UnicodeEncodeError:
        return False
    return True


def _json_escape(char: str) -> str:
    units = char.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _encodable(text: str, stream: Any) -> str:
    if _fits(text, stream):
        return text
    encoding = _encoding(stream)
    return text.translate(_ASCII).encode(encoding, "replace").decode(encoding)


def shell(*words: str) -> str:
    """Write a command as it can be pasted into a shell."""
    return shlex.join(words)


def visible(text: str) -> str:
    """Return a text fit for a terminal: line breaks and tabs as blanks, other control characters as escapes."""
    return escaped(re.sub("[\r\n\t]", " ", text))
