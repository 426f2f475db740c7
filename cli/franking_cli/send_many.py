"""``franking send-many``: many messages from a file, with a journal, so that a second run goes on where the first one ended."""

from __future__ import annotations

import itertools
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from franking_cli.console import Console
from franking_cli.frame import command as framed

__all__ = ["command"]


@framed
def command(
    console: Console,
    account: Annotated[
        str, typer.Argument(help="A saved account's name or an account URL; with one argument: the file, sent by the default account.")
    ],
    file: Annotated[Path | None, typer.Argument(help="JSON lines (one message each), or CSV together with templates.")] = None,
    *,
    to: Annotated[str | None, typer.Option("--to", help="Template of the recipient, for CSV; by default the column to.")] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", help="Template of the subject, for CSV; by default the column subject.")
    ] = None,
    text_file: Annotated[Path | None, typer.Option("--text-file", help="Template of the text, for CSV (Jinja2).")] = None,
    html_file: Annotated[Path | None, typer.Option("--html-file", help="Template of the HTML, for CSV (Jinja2, escaped).")] = None,
    attach: Annotated[
        list[str] | None, typer.Option("--attach", help="Template of an attachment's path, for CSV; may be repeated.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Send at most so many in this run.")] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", help="At most so many in any minute; by default the provider's own limit.")
    ] = None,
    connections: Annotated[int, typer.Option("--connections", min=1, max=64, help="So many connections at once.")] = 1,
    window: Annotated[int, typer.Option("--window", min=1, max=256, help="So many unanswered messages on each connection.")] = 1,
    resend_unknown: Annotated[bool, typer.Option("--resend-unknown", help="Send again what may have arrived already.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write .eml files to FILE.dry-run and send nothing.")] = False,
) -> int:
    """Send many messages from JSON lines or CSV; print one JSON line per result; go on where an earlier run ended."""
    from franking import connect
    from franking_cli.letters import letters

    name, path = (None, Path(account)) if file is None else (account, file)
    _readable(path)
    source = letters(path, _templates(path, to, subject, text_file, html_file, attach))
    with connect(name, connections=connections, window=window, rate=rate) as mailer:
        if dry_run:
            return _dry_run(console, mailer, source, Path(f"{path}.dry-run"), limit)
        return _Run(console, mailer, path, limit=limit, resend_unknown=resend_unknown).go(source)


def _readable(path: Path) -> None:
    from franking import SettingsError

    if not path.is_file():
        raise SettingsError(f"{path}: there is no such file; give the file with the messages last: franking send-many ACCOUNT FILE.")


def _templates(
    path: Path, to: str | None, subject: str | None, text_file: Path | None, html_file: Path | None, attach: list[str] | None
) -> Any:
    from franking_cli.letters import Templates
    from franking_cli.send import read_text

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
            raise typer.BadParameter("templates go with a .csv file; JSON lines hold whole messages", param_hint=given[0])
        return None
    if text_file is None and html_file is None:
        raise typer.BadParameter(
            "give the text of the messages: --text-file letter.txt, or --html-file letter.html", param_hint="--text-file"
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

    def __init__(self, console: Console, mailer: Any, path: Path, *, limit: int | None, resend_unknown: bool) -> None:
        from franking_cli.journal import Journal

        self.console, self.mailer, self.path = console, mailer, path
        self.limit, self.resend_unknown = limit, resend_unknown
        self.journal = Journal(Path(f"{path}.journal"))
        self.under_way: dict[int, Any] = {}
        self.counts: Counter[str] = Counter()
        self.temporary = 0
        self.earlier = 0
        self.stop = threading.Event()
        self.interrupted = False

    def go(self, source: Iterator[Any]) -> int:
        """Send, write results to stdout and the journal, and give the exit code."""
        with self.journal, self._interruptible(), self._progress() as advance:
            chosen = itertools.islice(self._due(source), self.limit)
            for result in self.mailer.send_many(self._messages(chosen), started=self._started, stop=self.stop):
                self._ended(result)
                advance(self.counts)
        self._summary()
        return self._code()

    def _due(self, source: Iterator[Any]) -> Iterator[Any]:
        """Choose what is to be sent: new lines, failed ones again, unknown ones only when told to; a changed line is an error."""
        from franking import SettingsError

        for letter in source:
            entry = self.journal.entries.get(letter.line)
            if entry is None:
                yield letter
                continue
            if entry.sha256 and entry.sha256 != letter.sha256:
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
        """Make each message when it is its turn: a mistake in one line is that line's result, not the end of the run."""
        from franking import MessageError
        from franking.mailer import explain

        index = 0
        for letter in chosen:
            entry = self.journal.entries.pop(letter.line, None)
            try:
                message = letter.message(message_id=entry.message_id if entry else None)
            except MessageError as error:
                self.counts["failed"] += 1
                self._print(letter, "failed", None, str(error), {}, explain(error))
                continue
            self.under_way[index] = letter
            index += 1
            yield message

    def _started(self, index: int, message_id: str) -> None:
        letter = self.under_way[index]
        self.journal.started(letter.line, letter.sha256, message_id)

    def _ended(self, result: Any) -> None:
        letter = self.under_way.pop(result.index)
        self.journal.ended(letter.line, result.outcome)
        self.counts[result.outcome] += 1
        error, receipt = result.error, result.receipt
        diagnosis = error.diagnosis if error else None
        if result.outcome in ("failed", "refused") and (diagnosis.temporary if diagnosis else error.temporary):
            self.temporary += 1
        refused = dict(receipt.refused) if receipt else dict(getattr(error, "refused", {}))
        message_id = receipt.message_id if receipt else None
        reply = receipt.reply if receipt else (error.evidence.raw if error.evidence else str(error))
        self._print(letter, result.outcome, message_id, reply, refused, diagnosis)

    def _print(self, letter: Any, outcome: str, message_id: str | None, reply: str | None, refused: dict[str, Any], diagnosis: Any) -> None:
        self.console.answer({
            "line": letter.line, "id": letter.id, "outcome": outcome, "message_id": message_id, "reply": reply, "refused": refused,
            "diagnosis": diagnosis.as_dict() if diagnosis else None,
        })  # fmt: skip

    def _summary(self) -> None:
        parts = [f"{self.counts[word]:,} {word}" for word in ("accepted", "refused", "failed", "unknown") if self.counts[word]]
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

    def _code(self) -> int:
        bad = self.counts["failed"] + self.counts["refused"]
        if self.counts["unknown"]:
            return 3
        if self.interrupted:
            return 130
        if bad and bad == self.temporary:
            return 5
        return 1 if bad else 0

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Let the first Ctrl-C finish what is under way and the second break it off."""

        def interrupt(number: int, frame: Any) -> None:
            if self.interrupted:
                self.mailer.abort()
            self.interrupted = True
            self.stop.set()

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    @contextmanager
    def _progress(self) -> Iterator[Any]:
        if not self.console.live:
            with nullcontext():
                yield lambda counts: None
            return
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        with self.path.open("rb") as file:
            total = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
        columns = (
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[bad]}"),
        )
        with Progress(*columns, console=RichConsole(stderr=True, no_color=not self.console.colour), transient=True) as bar:
            task = bar.add_task("sending", total=min(total, self.limit or total), speed="", bad="")

            def advance(counts: Counter[str]) -> None:
                done, bad = sum(counts.values()), counts["failed"] + counts["refused"] + counts["unknown"]
                speed = bar.tasks[0].speed
                bar.update(task, completed=done, speed=f"{speed:,.0f}/s" if speed else "", bad=f"{bad:,} not accepted" if bad else "")

            yield advance


def _dry_run(console: Console, mailer: Any, source: Iterator[Any], directory: Path, limit: int | None) -> int:
    directory.mkdir(exist_ok=True)
    count = 0
    for letter in itertools.islice(source, limit):
        prepared = mailer.prepare(letter.message())
        with (directory / f"{letter.line:06d}.eml").open("wb") as file:
            for chunk in prepared.content.chunks(bcc=True):
                file.write(chunk)
        count += 1
    console.say(f"{count:,} messages written to {directory}; nothing was sent.")
    return 0
