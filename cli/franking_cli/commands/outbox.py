"""``franking outbox``: what waits, what became of it, and what a person decides about it. ``send --queue`` puts in."""

from __future__ import annotations

import logging
import shlex
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from franking.diagnosis.diagnosis import Diagnosis
from franking.errors import FrankingError, SettingsError
from franking.outbox.entry import STATES, OutboxEntry
from franking.outbox.outbox import Outbox
from franking_cli.command import command
from franking_cli.console import Console, visible
from franking_cli.exit_codes import exit_code
from franking_cli.moments import duration
from franking_cli.screen import show_diagnosis, show_table
from franking_cli.service import served
from franking_cli.signals import on_ending

if TYPE_CHECKING:
    from franking.outbox.runner import Summary
    from franking.provider import Receipt

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="What waits in the outbox, what became of it; deliver it.\n\nfranking outbox list --state failed",
)

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID…", help="Messages, as franking outbox list names them.")]
State = Annotated[str | None, typer.Option("--state", metavar="STATE", help=f"One of {', '.join(STATES)}.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

_EVERY = 1_000_000


@app.command("list")
@command
def list_entries(
    console: Console,
    *,
    state: State = None,
    account: Annotated[str | None, typer.Option("--account", metavar="NAME", help="Only this account's.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="NUMBER", help="How many.")] = 100,
    before: Annotated[
        str | None, typer.Option("--before", metavar="ID", help="Only older ones: the next page.")
    ] = None,
    counts: Annotated[bool, typer.Option("--counts", help="Only how many there are in each state.")] = False,
) -> None:
    """List messages, the newest first.

    franking outbox list --state failed
    """
    box = Outbox()
    if counts:
        _show_counts(console, box.counts())
        return
    entries = box.list(state=state, account=account, limit=limit, before=before)
    if console.json_output:
        console.answer([entry.as_dict() for entry in entries])
    elif entries:
        head = tuple(console.words(f"outbox.{name}") for name in ("id", "state", "next", "account", "to", "subject"))
        show_table(console, [head, *(_cells(console, entry) for entry in entries)])
    else:
        console.say(console.words("outbox.nothing"))


def _cells(console: Console, entry: OutboxEntry) -> tuple[str, ...]:
    state = console.said(entry.state, "states")
    if entry.held:
        state = console.said(f"held ({entry.held})", "states")
    to = ", ".join(entry.to[:2])
    if len(entry.to) > 2:
        to += console.words("outbox.more", number=len(entry.to) - 2)
    return (entry.id, state, _local(entry.next_at), entry.account, to, entry.subject)


def _local(moment: str | None) -> str:
    """Return a time as the clock here shows it: without the day where that is today."""
    if moment is None:
        return ""
    then = datetime.fromisoformat(moment).astimezone()
    today = then.date() == datetime.now().astimezone().date()
    return then.strftime("%H:%M" if today else "%Y-%m-%d %H:%M")


def _show_counts(console: Console, counts: Mapping[str, int]) -> None:
    if console.json_output:
        console.answer(counts)
        return
    for name, number in counts.items():
        console.data(f"{console.said(name, 'states'):<14}{number:>8}")


@app.command("show")
@command
def show(
    console: Console,
    id: Annotated[str, typer.Argument(metavar="ID", help="The message.")],  # noqa: A002
    *,
    eml: Annotated[bool, typer.Option("--eml", help="Write the message itself to stdout.")] = False,
) -> None:
    """Show all that is known of a message.

    franking outbox show ID
    """
    box = Outbox()
    entry = box.get(id)
    if eml:
        console.binary(box.octets(id))
        return
    if console.json_output:
        console.answer(entry.as_dict())
        return
    _show_fields(console, entry)
    if entry.receipt is not None:
        _show_receipt(console, entry.receipt)
    if entry.held is not None:
        why = Diagnosis(entry.held).in_language(console.language).title
        console.say(
            "\n" + console.words("outbox.held", account=visible(entry.account), why=why, next=_local(entry.next_at)),
            "warn",
        )
    if entry.diagnosis is not None:
        console.say("\n" + console.words("outbox.last-attempt"), "strong")
        show_diagnosis(console, entry.diagnosis)


def _show_fields(console: Console, entry: OutboxEntry) -> None:
    for name, value in entry.as_dict().items():
        if name not in ("receipt", "diagnosis") and value not in (None, []):
            words = value if isinstance(value, list) else [str(value)]
            console.data(f"{name} = {visible(', '.join(words))}")


def _show_receipt(console: Console, receipt: Receipt) -> None:
    console.data(f"reply = {visible(receipt.reply)}")
    for address, refusal in receipt.refused.items():
        console.data(f"refused = {visible(address)}: {visible(str(refusal.get('reply')))}")


@app.command("run")
@command
def run(
    console: Console,
    *,
    once: Annotated[bool, typer.Option("--once", help="Deliver what is due now, once each, and end.")] = False,
    connections: Annotated[int, typer.Option("--connections", min=1, metavar="NUMBER", help="Of each account.")] = 1,
) -> int:
    """Deliver what is due, until it is stopped (Ctrl-C, SIGTERM).

    franking outbox run
    """
    stop = threading.Event()
    lock = threading.Lock()

    def attempted(entry: OutboxEntry) -> None:
        with lock:
            if console.json_output:
                console.answer(entry.as_dict())
            else:
                console.say(f"{entry.id}  {console.said(entry.state, 'states'):<10}  {visible(', '.join(entry.to))}")

    box = Outbox()
    if once and not console.json_output:
        logging.getLogger("franking.outbox").setLevel(logging.ERROR)  # what it warns of is said at the end
    with on_ending(lambda number, frame: stop.set()), served():
        summary = box.run(stop, once, connections, attempted=attempted)
    if once and not console.json_output:
        _show_held(console, summary)
    return _code(summary, once=once)


def _show_held(console: Console, summary: Summary) -> None:
    """Show which accounts cannot send now, and what mends each."""
    for account, code in summary.held.items():
        command = shlex.join(("franking", "login" if account in summary.sign_in else "check", account))
        why = Diagnosis(code).in_language(console.language).title
        words = console.words("outbox.waits", account=visible(account), why=why, command=visible(command))
        console.say(words, "warn")


def _code(summary: Summary, *, once: bool) -> int:
    """Return the exit code: the worst of what became of the messages, where the run ends by itself."""
    outcomes = summary.outcomes
    if outcomes.get("unknown"):
        return 3
    if not once:
        return 0
    if summary.sign_in:
        return 4
    if outcomes.get("refused") or outcomes.get("failed"):
        return 1
    if summary.held or outcomes.get("queued"):
        return 5
    return 0


# --- deciding ---------------------------------------------------------------------------------------------------------


@app.command("retry")
@command
def retry(console: Console, ids: Ids = None, *, state: State = None) -> int:
    """Try failed, refused or cancelled messages again, or queued ones at once.

    franking outbox retry --state failed
    """
    box = Outbox()
    return _each(console, _chosen(box, ids, state), box.retry, "tried-again")


@app.command("cancel")
@command
def cancel(console: Console, ids: Ids = None) -> int:
    """Take queued messages back.

    franking outbox cancel ID
    """
    return _each(console, _chosen(Outbox(), ids), Outbox().cancel, "cancelled")


@app.command("resolve")
@command
def resolve(
    console: Console,
    ids: Ids = None,
    *,
    sent: Annotated[bool, typer.Option("--sent", help="It arrived.")] = False,
    resend: Annotated[bool, typer.Option("--resend", help="Send it again; it may arrive twice.")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Forget it.")] = False,
    yes: Yes = False,
) -> int:
    """Say what became of messages that may have been accepted.

    franking outbox resolve ID --sent
    """
    chosen = [word for word, given in (("sent", sent), ("resend", resend), ("drop", drop)) if given]
    if len(chosen) != 1:
        raise typer.BadParameter("say one of --sent, --resend and --drop", param_hint="--sent")
    box = Outbox()
    found = _chosen(box, ids)
    asked = resend and not yes and _any_unknown(box, found)
    if asked and not console.confirm(console.words("outbox.twice"), flag="--yes"):
        return 130
    return _each(console, found, lambda one: box.resolve(one, chosen[0]), "resolved")


def _any_unknown(box: Outbox, ids: list[str]) -> bool:
    """Return whether there is anything to ask about: what is not unknown is told without a question."""
    for one in ids:
        with suppress(SettingsError):
            if box.get(one).state == "unknown":
                return True
    return False


@app.command("purge")
@command
def purge(
    console: Console,
    *,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="TIME", help="Ended at least so long ago: 30d, 12h.")
    ] = "30d",
) -> None:
    """Remove what is finished; never what is unknown.

    franking outbox purge --older-than 30d
    """
    box = Outbox()
    ids = box.purge(duration(older_than, "--older-than"))
    if console.json_output:
        console.answer({"ids": ids, "errors": {}})
    else:
        console.say(console.words("outbox.removed", number=len(ids)))


def _chosen(box: Outbox, ids: list[str] | None, state: str | None = None) -> list[str]:
    """Return the ids that are meant: those given, or all of a state."""
    if bool(ids) == bool(state):
        raise typer.BadParameter("name messages (franking outbox list shows them)", param_hint="ID")
    return list(ids or [entry.id for entry in box.list(state=state, limit=_EVERY)])


def _each(console: Console, ids: list[str], act: Callable[[str], OutboxEntry], done: str) -> int:
    """Do something with each message; one that it cannot be done with does not stop the others."""
    went: list[str] = []
    errors: dict[str, Any] = {}
    for one in ids:
        try:
            act(one)
            went.append(one)
        except SettingsError as problem:
            errors[one] = problem
    if console.json_output:
        console.answer({"ids": went, "errors": {one: str(problem) for one, problem in errors.items()}})
    else:
        _show_done(console, went, errors, done)
    if not errors:
        return 0
    if went:
        return 1
    return exit_code(next(iter(errors.values())))


def _show_done(console: Console, went: list[str], errors: Mapping[str, FrankingError], done: str) -> None:
    for error in errors.values():
        console.say(console.said(str(error)), "bad")
    if went:
        console.say(f"{', '.join(went)}: {console.words(f'outbox.{done}')}", "good")
