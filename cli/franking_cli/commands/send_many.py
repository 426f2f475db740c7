"""``franking send-many``: many messages from a file, with a journal, so that a second run goes on where the first one
ended.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from franking_cli.command import command as framed
from franking_cli.console import Console, exit_code
from franking_cli.signals import on_ending

__all__ = ["command"]


@framed
def command(
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
    to: Annotated[
        str | None, typer.Option("--to", help="Template of the recipient, for CSV; by default the column to.")
    ] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", help="Template of the subject, for CSV; by default the column subject.")
    ] = None,
    text_file: Annotated[
        Path | None, typer.Option("--text-file", help="Template of the text, for CSV (Jinja2).")
    ] = None,
    html_file: Annotated[
        Path | None, typer.Option("--html-file", help="Template of the HTML, for CSV (Jinja2, escaped).")
    ] = None,
    attach: Annotated[
        list[str] | None, typer.Option("--attach", help="Template of an attachment's path, for CSV; may be repeated.")
    ] = None,
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
    connections: Annotated[
        int | None,
        typer.Option(
            "--connections",
            min=1,
            max=64,
            help="So many connections at once; by default what the provider is known to take, else 1.",
        ),
    ] = None,
    window: Annotated[
        int, typer.Option("--window", min=1, max=256, help="So many unanswered messages on each connection.")
    ] = 1,
    resend_unknown: Annotated[
        bool, typer.Option("--resend-unknown", help="Send again what may have arrived already.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write .eml files to FILE.dry-run and send nothing.")
    ] = False,
) -> int:
    """Send many messages from JSON lines or CSV; print one JSON line per result; go on where an earlier run ended."""
    from franking.sending.mailer import connect
    from franking_cli.batch.input import letters

    name, path = (None, Path(account)) if file is None else (account, file)
    _readable(path)
    source = letters(path, _templates(path, to, subject, text_file, html_file, attach))
    with connect(name) as mailer:
        if dry_run:
            return _dry_run(console, mailer, source, Path(f"{path}.dry-run"), limit)
        options = {
            "connections": connections or mailer.limits.connections or 1,
            "window": window,
            "rate": math.inf if rate == 0 else rate,
            "per_day": math.inf if per_day == 0 else per_day,
        }
        return _Run(console, mailer, path, limit=limit, resend_unknown=resend_unknown, options=options).go(source)


def _readable(path: Path) -> None:
    from franking.errors import SettingsError

    if not path.is_file():
        raise SettingsError(
            f"{path}: there is no such file; give the file with the messages last: franking send-many ACCOUNT FILE."
        )


def _templates(
    path: Path,
    to: str | None,
    subject: str | None,
    text_file: Path | None,
    html_file: Path | None,
    attach: list[str] | None,
) -> Any:
    from franking_cli.batch.input import Templates
    from franking_cli.commands.send import read_text

    given = [
        flag
        for flag, value in (
            ("--to", to),
            ("--subject", subject),
            ("--text-file", text_file),
            ("--html-file", html_file),
            ("--attach", attach),
        )
        if value
    ]
    if path.suffix.lower() not in (".csv", ".tsv"):
        if given:
            raise typer.BadParameter(
                "templates go with a .csv file; JSON lines hold whole messages", param_hint=given[0]
            )
        return None
    if text_file is None and html_file is None:
        raise typer.BadParameter(
            "give the text of the messages: --text-file letter.txt, or --html-file letter.html",
            param_hint="--text-file",
        )
    return Templates(
        to=to or "{{ to }}",
        subject=subject or "{{ subject }}",
        text=read_text(text_file) if text_file else None,
        html=read_text(html_file) if html_file else None,
        attach=tuple(attach or ()),
    )


class _Run:
    """One run over the input: what to send, what the journal says of it, and what came of it."""

    def __init__(
        self,
        console: Console,
        mailer: Any,
        path: Path,
        *,
        limit: int | None,
        resend_unknown: bool,
        options: dict[str, Any],
    ) -> None:
        from franking_cli.batch.journal import Journal

        self.console, self.mailer, self.path = console, mailer, path
        self.limit, self.resend_unknown, self.options = limit, resend_unknown, options
        self.journal = Journal(Path(f"{path}.journal"))
        self.under_way: dict[int, Any] = {}
        self.counts: Counter[str] = Counter()
        self.earlier = 0
        self.codes: set[int] = set()  # of the failures
        self.stop = threading.Event()
        self.interrupted = False
        self.day_over = False
        self.unprinted: Any = None  # why no more results can be printed

    def go(self, source: Iterator[Any]) -> int:
        """Send, write results to stdout and the journal, and give the exit code."""
        from franking.errors import FrankingError, MessageError, SettingsError

        try:
            with self.journal, self._interruptible():
                self._send(source)
        except FrankingError as raised:
            problem = raised
            if self.counts:
                self._summary()
            if isinstance(problem, MessageError) and self.counts["accepted"]:  # "nothing was sent" would not be true
                problem = SettingsError(
                    f"{problem} The lines before it are done; correct it, then run the same command again to go on."
                )
            if not self.counts["unknown"]:
                raise problem from None
            self.console.error(problem)
            return 3
        self._summary()
        return self._code()

    def _send(self, source: Iterator[Any]) -> None:
        from franking_cli.batch.progress import Progress, count_lines

        chosen = itertools.islice(self._due(source), self.limit)
        progress = None
        if self.console.live:
            total = count_lines(self.path, header=self.path.suffix.lower() in (".csv", ".tsv"))
            progress = Progress(self.console, min(total, self.limit or total))
            progress.show(0)
        for result in self.mailer.send_many(
            self._messages(chosen), started=self._started, stop=self.stop, **self.options
        ):
            self._ended(result)
            if progress is not None:
                bad = self.counts["failed"] + self.counts["refused"] + self.counts["unknown"]
                progress.show(sum(self.counts.values()), earlier=0 if self.limit else self.earlier, bad=bad)
        problem = self.journal.failure or self.unprinted
        if problem is not None:
            raise problem

    def _due(self, source: Iterator[Any]) -> Iterator[Any]:
        """Choose what is to be sent: new lines, failed ones again, unknown ones only when told to; a changed line is an
        error.
        """
        from franking.errors import SettingsError

        for letter in source:
            entry = self.journal.entry(letter.line)
            if entry is None:
                yield letter
                continue
            if not entry.fits(letter.sha256):
                raise SettingsError(
                    f"{self.path}:{letter.line}: this line was changed since the journal was written; nothing more is sent. "
                    f"Put the line back, or move {self.journal.path} away to begin anew."
                )
            if entry.state in ("accepted", "refused"):
                self.earlier += 1
            elif entry.state == "unknown" and not self.resend_unknown:
                self.counts["unknown"] += 1
                self._print(letter, "unknown", entry.message_id, None, {}, None)
            else:
                yield letter

    def _messages(self, chosen: Iterator[Any]) -> Iterator[Any]:
        """Make each message when it is its turn: a mistake in one line is that line's result, not the end of the
        run.
        """
        from franking.errors import MessageError
        from franking.sending.explain import explain

        index = 0
        for letter in chosen:
            entry = self.journal.entry(letter.line)
            try:
                message = letter.message(message_id=entry.message_id if entry else None)
            except MessageError as error:
                self.counts["failed"] += 1
                self.codes.add(1)
                self._print(letter, "failed", None, str(error), {}, explain(error))
                continue
            self.under_way[index] = letter
            index += 1
            yield message

    def _started(self, index: int, message_id: str) -> None:
        letter = self.under_way[index]
        self.journal.started(letter.line, letter.sha256, message_id)

    def _ended(self, result: Any) -> None:
        from franking.errors import MessageError

        letter = self.under_way.pop(result.index)
        self.journal.ended(letter.line, result.outcome)
        self.counts[result.outcome] += 1
        error, receipt = result.error, result.receipt
        diagnosis = error.diagnosis if error else None
        if result.outcome in ("failed", "refused"):
            self.codes.add(1 if isinstance(error, MessageError) else exit_code(error))
            if error.evidence is not None and error.evidence.reason == "per-day":
                self.day_over = True
        if self.day_over or self.journal.failure is not None:
            self.stop.set()
        refused = dict(receipt.refused) if receipt else dict(getattr(error, "refused", {}))
        message_id = receipt.message_id if receipt else None
        reply = receipt.reply if receipt else (error.evidence.raw if error.evidence else str(error))
        self._print(letter, result.outcome, message_id, reply, refused, diagnosis)

    def _print(
        self,
        letter: Any,
        outcome: str,
        message_id: str | None,
        reply: str | None,
        refused: dict[str, Any],
        diagnosis: Any,
    ) -> None:
        from franking.errors import SettingsError

        if self.unprinted is not None:
            return
        try:
            self.console.answer(_result(letter, outcome, message_id, reply, refused, diagnosis))
        except OSError as problem:
            self.console.no_more_data()
            self.unprinted = SettingsError(
                f"The results cannot be written: {problem.strerror}. Nothing more was begun; the journal {self.journal.path} has them all."
            )
            self.stop.set()

    def _summary(self) -> None:
        parts = [
            f"{self.counts[word]:,} {word}"
            for word in ("accepted", "refused", "failed", "unknown")
            if self.counts[word]
        ]
        if self.earlier:
            parts.append(f"{self.earlier:,} done earlier")
        self.console.say(", ".join(parts) or "nothing to send", "good" if self._code() == 0 else "warn")
        if self.counts["unknown"]:
            self.console.say(
                "Unknown: these may have been accepted. Look for them in the recipients' mailboxes; --resend-unknown sends them again.",
                indent="  ",
            )
        if self.interrupted:
            self.console.say("Interrupted; run the same command again to go on.", indent="  ")
        if self.day_over:
            self.console.say(
                "The limit for a day is reached; run the same command again tomorrow to go on, or change the limit with --per-day.",
                indent="  ",
            )

    def _code(self) -> int:
        if self.counts["unknown"]:
            return 3
        if self.interrupted:
            return 130
        if len(self.codes) == 1:  # all failures are of one kind: settings (2), a sign-in (4), temporary (5)
            return next(iter(self.codes))
        return 1 if self.codes else 0

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


def _dry_run(console: Console, mailer: Any, source: Iterator[Any], directory: Path, limit: int | None) -> int:
    """Write each message as a file; a message that cannot be sent is told as it would be."""
    from franking.errors import MessageError
    from franking.sending.explain import explain

    directory.mkdir(exist_ok=True)
    good = bad = 0
    for letter in itertools.islice(source, limit):
        try:
            prepared = mailer.prepare(letter.message())
            with (directory / f"{letter.line:06d}.eml").open("wb") as file:
                for chunk in prepared.content.chunks(bcc=True):
                    file.write(chunk)
            good += 1
        except MessageError as error:
            bad += 1
            console.answer(_result(letter, "failed", None, str(error), {}, explain(error)))
    wrong = f"; {bad:,} cannot be sent as they are" if bad else ""
    console.say(f"{good:,} messages written to {directory}{wrong}; nothing was sent.", "warn" if bad else None)
    return 1 if bad else 0


def _result(
    letter: Any, outcome: str, message_id: str | None, reply: str | None, refused: dict[str, Any], diagnosis: Any
) -> dict[str, Any]:
    return {
        "line": letter.line, "id": letter.id, "outcome": outcome, "message_id": message_id, "reply": reply, "refused": refused,
        "diagnosis": diagnosis.as_dict() if diagnosis else None,
    }  # fmt: skip
