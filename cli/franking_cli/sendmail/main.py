"""``franking-sendmail``: what cron, PHP, git and old programs call ``sendmail``. Its own entry point, without Typer,
quick to start.

It reads a message from stdin and sends it with an account of Franking; ``-bs`` speaks SMTP on stdin and stdout instead.
It says nothing when all went well, and one line on stderr otherwise; its exit code is one of sysexits.h. When it
returns 0, the server has it; with ``--queue``, the outbox.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from franking_cli.sendmail.exit_codes import (
    EX_NOINPUT,
    EX_OK,
    EX_SOFTWARE,
    EX_TEMPFAIL,
    complain,
    failed,
    partly_refused,
)
from franking_cli.sendmail.options import Options, usage

if TYPE_CHECKING:
    from typing import BinaryIO

    from franking.sending.mailer import Mailer

__all__ = ["main"]


def main() -> NoReturn:
    """Run, and exit with a code of sysexits.h."""
    code = EX_OK
    try:
        options = Options(sys.argv[1:])
        options.lists = options.lists or sys.argv[0].endswith("mailq")
        code = _run(options)
        if sys.stdout is not None:
            sys.stdout.flush()
    except KeyboardInterrupt as broken:
        code = _interrupted(broken)
    except BrokenPipeError:  # nobody reads any more
        sys.stdout = None
    except Exception as problem:  # noqa: BLE001  (a mistake of ours: told as one line, and never as "try again")
        complain(f"{type(problem).__name__}: {problem}")
        code = EX_SOFTWARE
    sys.exit(code)


def _interrupted(broken: KeyboardInterrupt) -> int:
    if getattr(broken, "possibly_sent", False):
        complain("interrupted; the message may have been sent")
        return EX_SOFTWARE
    complain("interrupted; nothing was sent")
    return EX_TEMPFAIL


def _run(options: Options) -> int:
    _set_up(options)
    if options.lists or options.runs:
        return _with_outbox(options)
    _check(options)
    from franking.errors import FrankingError

    try:
        if options.smtp:
            return _dialogue(options)
        return _from_input(options)
    except FrankingError as error:
        return failed(error)


def _set_up(options: Options) -> None:
    if options.verbose:
        import logging

        logging.basicConfig(stream=sys.stderr, format="%(message)s")
        logging.getLogger("franking.wire").setLevel(logging.DEBUG)
    if options.settings is not None:
        os.environ["FRANKING_CONFIG"] = options.settings  # for the aliases and for every command that is started too


def _check(options: Options) -> None:
    """Refuse options that do not go together, and streams that are closed."""
    if options.key is not None and not options.queue:
        usage("--key goes with --queue")
    if not options.smtp and not options.recipients and not options.from_headers:
        usage("no recipients: name them, or use -t to take them from the headers")
    if sys.stdin is None or (options.smtp and sys.stdout is None):
        usage("a message comes in on standard input, a dialogue (-bs) goes out on standard output; that one is closed")


def _from_input(options: Options) -> int:
    """Send the message that comes in on standard input."""
    from franking.sending.connect import account_for, connect
    from franking_cli.sendmail.aliases import Aliases
    from franking_cli.sendmail.deliver import deliver

    try:
        data = _message(sys.stdin.buffer, options)
    except OSError as problem:
        complain(f"standard input cannot be read: {problem.strerror or problem}")
        return EX_NOINPUT
    refused: dict[str, Any] | None = None
    try:
        with connect(account_for(options.account, data)) as mailer:
            refused = deliver(mailer, data, options, Aliases.load(options.aliases))
    except KeyboardInterrupt:
        if refused is None:
            raise  # else the message was accepted, and only the farewell was interrupted
    return partly_refused(refused) if refused else EX_OK


def _dialogue(options: Options) -> int:
    from contextlib import ExitStack

    from franking.sending.connect import account_for, connect
    from franking_cli.sendmail.aliases import Aliases
    from franking_cli.sendmail.smtp_server import Dialogue

    mailers: dict[str, Mailer] = {}
    with ExitStack() as stack:

        def mailer_for(data: bytes) -> Mailer:
            account = account_for(options.account, data)
            if account.reference not in mailers:
                mailers[account.reference] = stack.enter_context(connect(account))
            return mailers[account.reference]

        dialogue = Dialogue(mailer_for, Aliases.load(options.aliases), options)
        try:
            dialogue.run(sys.stdin.buffer, sys.stdout.buffer)
        except BrokenPipeError:  # who spoke SMTP with us has gone; a message under way was finished
            sys.stdout = None
        return dialogue.worst


def _with_outbox(options: Options) -> int:
    from franking.errors import FrankingError
    from franking_cli.sendmail.queue import list_queue, run_queue

    try:
        return list_queue() if options.lists else run_queue()
    except FrankingError as error:
        return failed(error)


def _message(stream: BinaryIO, options: Options) -> bytes:
    """Read the message, to its end or up to a line with a single dot."""
    if options.dots_are_text:
        return stream.read()
    lines = []
    for line in stream:
        if line in (b".\n", b".\r\n", b"."):
            break
        lines.append(line)
    return b"".join(lines)
