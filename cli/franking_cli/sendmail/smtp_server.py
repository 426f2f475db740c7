"""``franking-sendmail -bs``: the SMTP dialogue on standard input and output."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from franking.errors import FrankingError
from franking.sending.mailer import Mailer
from franking.text import one_line
from franking_cli.sendmail.aliases import Aliases
from franking_cli.sendmail.deliver import deliver
from franking_cli.sendmail.exit_codes import (
    EX_DATAERR,
    EX_OK,
    EX_SOFTWARE,
    EX_TEMPFAIL,
    complain,
    failed,
    partly_refused,
)
from franking_cli.sendmail.options import Options

_REPLIES = {
    "HELO": "250 localhost",
    "EHLO": "250-localhost\r\n250 8BITMIME",
    "RSET": "250 2.0.0 ok",
    "NOOP": "250 2.0.0 ok",
    "DATA": "503 5.5.1 MAIL and RCPT first",
}


class Dialogue:
    """Speak SMTP with the caller (``-bs``): enough for programs that pipe a dialogue into sendmail; every message is
    sent at once.
    """

    LONGEST = 12_288  # octets of a command line; a body line may be as long as it likes

    def __init__(self, mailer_for: Callable[[bytes], Mailer], aliases: Aliases, options: Options) -> None:
        """``mailer_for`` finds the account that sends a message."""
        self._mailer_for, self._aliases, self._options = mailer_for, aliases, options
        self._sender: str | None = None
        self._recipients: list[str] = []
        self.worst = EX_OK

    def run(self, source: BinaryIO, sink: BinaryIO) -> None:
        """Answer until QUIT or the end of the input; ``worst`` is then the worst exit code of the messages."""

        def reply(text: str) -> None:
            sink.write(text.encode("ascii", "backslashreplace") + b"\r\n")
            sink.flush()

        reply("220 localhost franking-sendmail ready")
        while line := source.readline(self.LONGEST + 1):
            if len(line) > self.LONGEST:
                self._note(EX_DATAERR)
                reply("500 5.5.6 line too long")
                return
            verb, _, rest = line.decode("utf-8", "backslashreplace").strip().partition(" ")
            verb = verb.upper()
            if verb == "QUIT":
                reply("221 2.0.0 bye")
                return
            if verb == "DATA" and self._sender is not None and self._recipients:
                reply("354 go on")
                data = _dotted(source, crlf=line.endswith(b"\r\n"))
                if data is None:
                    self._note(EX_DATAERR)
                    complain("the input ended in the middle of a message; it was not sent")
                    return
                reply(self._deliver(data))
                self._reset()
            else:
                reply(self._command(verb, rest))

    def _note(self, code: int) -> None:
        """Keep the exit code of a failed message; an unknown one outweighs all others."""
        if self.worst != EX_SOFTWARE:
            self.worst = code

    def _command(self, verb: str, rest: str) -> str:
        """Return the reply to a command that delivers nothing."""
        if verb in ("HELO", "EHLO", "RSET"):
            self._reset()
        if verb in _REPLIES:
            return _REPLIES[verb]
        if verb == "MAIL":
            return self._mail(rest)
        if verb == "RCPT":
            return self._rcpt(rest)
        return "502 5.5.1 not known"

    def _mail(self, rest: str) -> str:
        path = _path(rest, "FROM:")
        if path is None:
            return "501 5.5.4 MAIL needs an address in angle brackets"
        self._reset()
        self._sender = path
        return "250 2.1.0 ok"

    def _rcpt(self, rest: str) -> str:
        path = _path(rest, "TO:")
        if not path:
            return "501 5.5.4 RCPT needs an address in angle brackets"
        if self._sender is None:
            return "503 5.5.1 MAIL first"
        self._recipients.append(path)
        return "250 2.1.5 ok"

    def _deliver(self, data: bytes) -> str:
        own = self._options.sender
        if own is None:
            self._options.sender = self._sender
        try:
            refused = deliver(self._mailer_for(data), data, self._options, self._aliases, self._recipients)
        except FrankingError as error:
            code = failed(error)
            self._note(code)
            status = "451 4.3.0" if code == EX_TEMPFAIL else "554 5.3.0"
            return f"{status} {one_line(str(error), 400)}"
        finally:
            self._options.sender = own
        if refused:
            self._note(partly_refused(refused))
            words = "; ".join(f"{address} ({refusal['reply']})" for address, refusal in refused.items())
            return f"250 2.0.0 accepted, but not for {one_line(words, 400)}"
        return "250 2.0.0 accepted"

    def _reset(self) -> None:
        self._sender, self._recipients = None, []


def _path(text: str, keyword: str) -> str | None:
    """Return the address between angle brackets behind a keyword; None where there is none."""
    begin, end = text.find("<"), text.find(">")
    if text.upper().startswith(keyword) and 0 <= begin < end:
        return text[begin + 1 : end]
    return None


def _dotted(source: BinaryIO, *, crlf: bool) -> bytes | None:
    """Read a message up to its lone dot; None where the input ends before: half a message is none (RFC 5321
    §4.1.1.10).

    A caller whose lines end with CRLF (``crlf``) doubles dots behind CRLF only, so behind a bare LF a dot is text, and
    ends nothing: else a text that it passes on could smuggle in commands of its own.
    """
    lines: list[bytes] = []
    begins = True  # a line as the caller sees it
    for line in source:
        if begins and line == b".\r\n":
            return b"".join(lines)
        if line == b".\n" and not crlf:
            return b"".join(lines)
        lines.append(line.removeprefix(b".") if begins else line)
        begins = not crlf or line.endswith(b"\r\n")
    return None
