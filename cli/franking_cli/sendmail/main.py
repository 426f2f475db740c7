"""``franking-sendmail``: what cron, PHP, git and old programs call ``sendmail``. Its own entry point, without Typer,
quick to start.

It reads a message from stdin and sends it with an account of Franking; ``-bs`` speaks SMTP on stdin and stdout instead.
It says nothing when all went well, and one line on stderr otherwise; its exit code is one of sysexits.h. There is no
queue: when it returns 0, the server has it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NoReturn

from franking_cli.sendmail.exit_codes import EX_OK, EX_SOFTWARE, EX_TEMPFAIL, EX_UNAVAILABLE, complain, failed
from franking_cli.sendmail.options import Options, usage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import BinaryIO

__all__ = ["main"]


def main() -> NoReturn:
    """Run, and exit with a code of sysexits.h."""
    code = EX_OK
    try:
        code = _run(Options(sys.argv[1:]))
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
    from franking.errors import FrankingError
    from franking.sending.mailer import connect
    from franking_cli.sendmail.aliases import Aliases
    from franking_cli.sendmail.deliver import deliver

    if options.verbose:
        import logging

        logging.basicConfig(stream=sys.stderr, format="%(message)s")
        logging.getLogger("franking.wire").setLevel(logging.DEBUG)
    if not options.smtp and not options.recipients and not options.from_headers:
        usage("no recipients: name them, or use -t to take them from the headers")
    refused: dict[str, Any] | None = None
    try:
        with connect(options.account) as mailer:
            aliases = Aliases.load(options.aliases)
            if options.smtp:
                from franking_cli.sendmail.smtp_server import Dialogue

                dialogue = Dialogue(mailer, aliases, options)
                try:
                    dialogue.run(sys.stdin.buffer, sys.stdout.buffer)
                except BrokenPipeError:  # who spoke SMTP with us has gone; a message under way was finished
                    sys.stdout = None
                return dialogue.worst
            refused = deliver(mailer, _message(sys.stdin.buffer, options), options, aliases)
    except FrankingError as error:
        return failed(error)
    except KeyboardInterrupt:
        if refused is None:
            raise  # else the message was accepted, and only the farewell was interrupted
    if not refused:
        return EX_OK
    _complain_of(refused)
    return EX_UNAVAILABLE


def _complain_of(refused: Mapping[str, Any]) -> None:
    (address, refusal), *others = refused.items()
    if others:
        address = f"{address} (and {len(others)} more)"
    complain(f"{address} was refused, the others were accepted: {refusal['reply']}")


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
