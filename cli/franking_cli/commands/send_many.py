"""``franking send-many``: many messages from a file, with a journal, so that a second run goes on where the first one
ended.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from franking.diagnosis.diagnosis import Diagnosis
from franking.errors import FrankingError, MessageError, SettingsError
from franking.message.message import Message
from franking.sending.connect import connect
from franking.sending.explain import explain
from franking.sending.mailer import Mailer
from franking.sending.queue import SendResult
from franking_cli.batch.input import InputLine, Templates, read_input
from franking_cli.batch.journal import Entry, Journal
from franking_cli.batch.progress import Progress, count_lines
from franking_cli.command import command, file_named
from franking_cli.commands.send import given_or_read
from franking_cli.console import Console
from franking_cli.exit_codes import exit_code
from franking_cli.screen import show_error
from franking_cli.signals import on_ending

__all__ = ["run"]


def _template(flag: str, meaning: str) -> Any:
    metavar = "FILE" if flag.endswith("-file") else "TEMPLATE"
    return typer.Option(flag, help=meaning, metavar=metavar, rich_help_panel=_TEMPLATES)


def _speed(flag: str, meaning: str, *, most: int) -> Any:
    return typer.Option(flag, help=meaning, min=1, max=most, rich_help_panel="Speed")


_TEMPLATES = "Templates for CSV (Jinja2: {{ name }} is the column name)"


@command
def run(
    console: Console,
    account: Annotated[
        str,
        typer.Argument(
            help="A saved account's name or an account URL; with one argument: the file, sent by the default account."
        ),
    ],
    file: Annotated[
        Path | None, typer.Argument(help="JSON lines (one message each), or CSV together with templates.")
    ] = None,
    *,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Send at most so many in this run.")] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate", min=0, help="At most so many in any minute; by default the provider's own limit; 0 for no limit."
        ),
    ] = None,
    per_day: Annotated[
        int | None,
        typer.Option(
            "--per-day", min=0, help="At most so many in 24 hours; by default the provider's own limit; 0 for no limit."
        ),
    ] = None,
    resend_unknown: Annotated[
        bool, typer.Option("--resend-unknown", help="Send again what may have arrived already.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write .eml files to FILE.dry-run and send nothing.")
    ] = False,
    to: Annotated[str | None, _template("--to", "Recipient; by default the column to.")] = None,
    subject: Annotated[str | None, _template("--subject", "Subject; by default the column subject.")] = None,
    text: Annotated[str | None, _template("--text", "Text.")] = None,
    text_file: Annotated[Path | None, _template("--text-file", "File with the text.")] = None,
    html: Annotated[str | None, _template("--html", "HTML; values are escaped.")] = None,
    html_file: Annotated[Path | None, _template("--html-file", "File with the HTML; values are escaped.")] = None,
    attach: Annotated[list[str] | None, _template("--attach", "Path of a file to attach; may be repeated.")] = None,
    connections: Annotated[
        int | None,
        _speed("--connections", "So many at once; by default what the provider is known to take, else 1.", most=64),
    ] = None,
    window: Annotated[int, _speed("--window", "So many unanswered messages on each connection.", most=256)] = 1,
) -> int:
    """Send many messages from JSON lines or CSV; print one JSON line per result; go on where an earlier run ended.

    franking send-many shop letters.jsonl
    franking send-many shop people.csv --subject "Invoice for {{ name }}" --text-file letter.txt
    """
    name, path = (account, file) if file is not None else (None, Path(account))
    if not path.is_file():
        raise SettingsError(
            f"{path}: there is no such file; give the file with the messages last: franking send-many ACCOUNT FILE.",
            evidence=file_named(path),
        )
    templates = {
        "--to": to,
        "--subject": subject,
        "--text": text,
        "--text-file": text_file,
        "--html": html,
        "--html-file": html_file,
        "--attach": attach,
    }
    if _is_csv(path):
        lines = read_input(path, _templates(templates))
    else:
        _refuse(templates)
        lines = read_input(path, None)
    with connect(name) as mailer:
        if dry_run:
            return _dry_run(console, mailer, itertools.islice(lines, limit), Path(f"{path}.dry-run"))
        options = {
            "connections": connections or mailer.limits.connections or 1,
            "window": window,
            "rate": _or_unlimited(rate),
            "per_day": _or_unlimited(per_day),
        }
        return _Run(console, mailer, path, limit=limit, resend_unknown=resend_unknown, options=options).go(lines)


def _or_unlimited(limit: float | None) -> float | None:
    """Return a limit; 0 is none, and None the provider's own."""
    return math.inf if limit == 0 else limit


# --- input ------------------------------------------------------------------------------------------------------------


def _is_csv(path: Path) -> bool:
    return path.suffix.lower() in (".csv", ".tsv")


def _refuse(flags: Mapping[str, Any]) -> None:
    for flag, value in flags.items():
        if value:
            raise typer.BadParameter("templates go with a .csv file; JSON lines hold whole messages", param_hint=flag)


def _templates(flags: Mapping[str, Any]) -> Templates:
    text = given_or_read("--text", flags["--text"], flags["--text-file"])
    html = given_or_read("--html", flags["--html"], flags["--html-file"])
    if text is None and html is None:
        raise typer.BadParameter(
            "give the text of the messages: --text-file letter.txt, or --html-file letter.html",
            param_hint="--text-file",
        )
    return Templates(
        to=flags["--to"] or "{{ to }}",
        subject=flags["--subject"] or "{{ subject }}",
        text=text,
        html=html,
        attach=tuple(flags["--attach"] or ()),
    )


# --- the run ----------------------------------------------------------------------------------------------------------


class _Run:
    """One run over the input: what to send, what the journal says of it, and what came of it."""

    def __init__(
        self,
        console: Console,
        mailer: Mailer,
        path: Path,
        *,
        limit: int | None,
        resend_unknown: bool,
        options: dict[str, Any],
    ) -> None:
        self.console, self.mailer, self.path = console, mailer, path
        self.limit, self.resend_unknown, self.options = limit, resend_unknown, options
        self.journal = Journal(Path(f"{path}.journal"))
        self.under_way: dict[int, InputLine] = {}
        self.counts: Counter[str] = Counter()
        self.earlier = 0
        self.codes: set[int] = set()  # of the failures
        self.stop = threading.Event()
        self.interrupted = False
        self.day_over = False
        self.unprinted: SettingsError | None = None  # why no more results can be printed

    def go(self, lines: Iterator[InputLine]) -> int:
        """Send, write results to stdout and the journal, and return the exit code."""
        try:
            with self.journal, self._interruptible():
                self._send(lines)
        except FrankingError as problem:
            if self.counts:
                self._summary()
            told = self._told(problem)
            if not self.counts["unknown"]:
                raise told from None
            show_error(self.console, told)
            return 3
        self._summary()
        return self._code()

    def _told(self, problem: FrankingError) -> FrankingError:
        """Return what ended the run, once something was sent, as a mistake in the file and not in a message."""
        if not isinstance(problem, MessageError) or not self.counts["accepted"]:
            return problem
        return SettingsError(
            f"{problem} The lines before it are done; correct it, then run the same command again to go on."
        )

    def _send(self, lines: Iterator[InputLine]) -> None:
        progress = None
        if self.console.live:
            total = count_lines(self.path, header=_is_csv(self.path))
            progress = Progress(self.console, min(total, self.limit or total))
            progress.show(0)
        messages = self._messages(itertools.islice(self._due(lines), self.limit))
        for result in self.mailer.send_many(messages, started=self._started, stop=self.stop, **self.options):
            self._ended(result)
            if progress is not None:
                bad = self.counts["failed"] + self.counts["refused"] + self.counts["unknown"]
                progress.show(self.counts.total(), earlier=0 if self.limit else self.earlier, bad=bad)
        problem = self.journal.failure or self.unprinted
        if problem is not None:
            raise problem

    def _due(self, lines: Iterator[InputLine]) -> Iterator[InputLine]:
        """Choose what is to be sent: new lines, failed ones again, unknown ones only when told to; a changed line is an
        error.
        """
        for line in lines:
            entry = self._entry(line)
            if entry is None or entry.state == "failed" or (entry.state == "unknown" and self.resend_unknown):
                yield line
            elif entry.state == "unknown":
                self.counts["unknown"] += 1
                self._print(line, "unknown", message_id=entry.message_id)
            else:
                self.earlier += 1

    def _entry(self, line: InputLine) -> Entry | None:
        """Return what the journal knows of a line. Raises ``SettingsError`` where it was another line then."""
        entry = self.journal.entry(line.number)
        if entry is not None and not entry.fits(line.sha256):
            raise SettingsError(
                f"{self.path}:{line.number}: this line was changed since the journal was written; nothing more is "
                f"sent. Put the line back, or move {self.journal.path} away to begin anew."
            )
        return entry

    def _messages(self, lines: Iterator[InputLine]) -> Iterator[Message]:
        """Make each message when it is its turn: a mistake in one line is that line's result, not the end of the
        run.
        """
        index = 0
        for line in lines:
            entry = self.journal.entry(line.number)
            try:
                message = line.message(message_id=entry.message_id if entry else None)
            except MessageError as error:
                self.counts["failed"] += 1
                self.codes.add(1)
                self._print(line, "failed", reply=str(error), diagnosis=explain(error))
                continue
            self.under_way[index] = line
            index += 1
            yield message

    def _started(self, index: int, message_id: str) -> None:
        line = self.under_way[index]
        self.journal.started(line.number, line.sha256, message_id)

    def _ended(self, result: SendResult) -> None:
        line = self.under_way.pop(result.index)
        self.journal.ended(line.number, result.outcome)
        self.counts[result.outcome] += 1
        if result.receipt is not None:
            receipt = result.receipt
            self._print(
                line,
                result.outcome,
                message_id=receipt.message_id,
                reply=receipt.reply,
                refused=dict(receipt.refused),
            )
        elif result.error is not None:
            self._failed(line, result.outcome, result.error)
        if self.day_over or self.journal.failure is not None:
            self.stop.set()

    def _failed(self, line: InputLine, outcome: str, error: FrankingError) -> None:
        reply = str(error)
        if error.evidence:
            reply = error.evidence.raw
            self.day_over |= error.evidence.reason == "per-day"
        if outcome != "unknown":
            self.codes.add(1 if isinstance(error, MessageError) else exit_code(error))
        refused = dict(getattr(error, "refused", {}))
        self._print(line, outcome, reply=reply, refused=refused, diagnosis=error.diagnosis)

    def _print(self, line: InputLine, outcome: str, **more: Any) -> None:
        if self.unprinted is not None:
            return
        try:
            self.console.answer(_result(line, outcome, **more))
        except OSError as problem:
            self.console.no_more_data()
            self.unprinted = SettingsError(
                f"The results cannot be written: {problem.strerror}. Nothing more was begun; "
                f"the journal {self.journal.path} has them all."
            )
            self.stop.set()

    def _summary(self) -> None:
        numbers = {word: self.counts[word] for word in ("accepted", "refused", "failed", "unknown")}
        numbers["earlier"] = self.earlier
        say = self.console.words
        parts = [say(f"send-many.{word}", number=number) for word, number in numbers.items() if number]
        self.console.say(", ".join(parts) or say("send-many.nothing"), "good" if self._code() == 0 else "warn")
        notes = {"look": self.counts["unknown"], "interrupted": self.interrupted, "day-over": self.day_over}
        for word, holds in notes.items():
            if holds:
                self.console.say(say(f"send-many.{word}"), indent="  ")

    def _code(self) -> int:
        if self.counts["unknown"]:
            return 3
        if self.interrupted:
            return 130
        if len(self.codes) > 1:
            return 1
        return max(self.codes, default=0)  # all failures are of one kind: settings (2), a sign-in (4), temporary (5)

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Let the first Ctrl-C finish what is under way and the second break it off."""

        def interrupt(number: int, frame: Any) -> None:
            act = self.mailer.abort if self.interrupted else self.stop.set
            self.interrupted = True
            # not here: both take locks that the interrupted code may hold
            threading.Thread(target=act, daemon=True).start()

        with on_ending(interrupt):
            yield


def _dry_run(console: Console, mailer: Mailer, lines: Iterator[InputLine], directory: Path) -> int:
    """Write each message as a file; a message that cannot be sent is told as it would be."""
    directory.mkdir(exist_ok=True)
    good = bad = 0
    for line in lines:
        try:
            prepared = mailer.prepare(line.message())
            with (directory / f"{line.number:06d}.eml").open("wb") as file:
                file.writelines(prepared.content.chunks(bcc=True))
            good += 1
        except MessageError as error:
            bad += 1
            console.answer(_result(line, "failed", reply=str(error), diagnosis=explain(error)))
    if bad:
        console.say(console.words("send-many.written-bad", number=good, bad=bad, directory=directory), "warn")
        return 1
    console.say(console.words("send-many.written", number=good, directory=directory))
    return 0


def _result(
    line: InputLine,
    outcome: str,
    *,
    message_id: str | None = None,
    reply: str | None = None,
    refused: Mapping[str, Any] | None = None,
    diagnosis: Diagnosis | None = None,
) -> dict[str, Any]:
    return {
        "line": line.number,
        "id": line.id,
        "outcome": outcome,
        "message_id": message_id,
        "reply": reply,
        "refused": refused or {},
        "diagnosis": diagnosis and diagnosis.as_dict(),
    }
