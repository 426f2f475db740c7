"""``franking-sendmail -bs``: the SMTP dialogue on standard input and output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from franking_cli.sendmail.aliases import Aliases
from franking_cli.sendmail.deliver import deliver
from franking_cli.sendmail.exit_codes import EX_DATAERR, EX_OK, EX_SOFTWARE, EX_TEMPFAIL, complain, failed
from franking_cli.sendmail.options import Options

if TYPE_CHECKING:
    from typing import BinaryIO

    from franking.sending.mailer import Mailer


class Dialogue:
    """Speak SMTP with the caller (``-bs``): enough for programs that pipe a dialogue into sendmail; every message is
    sent at once.
    """

    LONGEST = 12_288  # octets of a command line; a body line may be as long as it likes

    def __init__(self, mailer: Mailer, aliases: Aliases, options: Options) -> None:
        self._mailer, self._aliases, self._options = mailer, aliases, options
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
            if verb.upper() == "QUIT":
                reply("221 2.0.0 bye")
                break
            if verb.upper() == "DATA" and self._sender is not None and self._recipients:
                reply("354 go on")
                data = _dotted(source)
                if data is None:
                    self._note(EX_DATAERR)
                    complain("the input ended in the middle of a message; it was not sent")
                    return
                reply(self._deliver(data))
                self._reset()
            else:
                reply(self._command(verb.upper(), rest))

    def _note(self, code: int) -> None:
        """Keep the exit code of a failed message; an unknown one outweighs all others."""
        self.worst = EX_SOFTWARE if EX_SOFTWARE in (self.worst, code) else code

    def _command(self, verb: str, rest: str) -> str:
        if verb in ("HELO", "EHLO"):
            self._reset()
            return "250-localhost\r\n250 8BITMIME" if verb == "EHLO" else "250 localhost"
        if verb in ("RSET", "NOOP"):
            if verb == "RSET":
                self._reset()
            return "250 2.0.0 ok"
        path = _path(rest)
        if verb == "MAIL" and rest.upper().startswith("FROM:") and path is not None:
            self._reset()
            self._sender = path
            return "250 2.1.0 ok"
        if verb == "RCPT" and rest.upper().startswith("TO:") and path:
            if self._sender is None:
                return "503 5.5.1 MAIL first"
            self._recipients.append(path)
            return "250 2.1.5 ok"
        if verb in ("MAIL", "RCPT"):
            return f"501 5.5.4 {verb} needs an address in angle brackets"
        return "503 5.5.1 MAIL and RCPT first" if verb == "DATA" else "502 5.5.1 not known"

    def _deliver(self, data: bytes) -> str:
        from franking.errors import FrankingError
        from franking.text import one_line

        own = self._options.sender
        if own is None:
            self._options.sender = self._sender
        try:
            refused = deliver(self._mailer, data, self._options, self._aliases, self._recipients)
        except FrankingError as error:
            code = failed(error)
            self._note(code)
            return f"{'451 4.3.0' if code == EX_TEMPFAIL else '554 5.3.0'} {one_line(str(error), 400)}"
        finally:
            self._options.sender = own
        return f"250 2.0.0 accepted{', but not for ' + ', '.join(refused) if refused else ''}"

    def _reset(self) -> None:
        self._sender, self._recipients = None, []


def _path(text: str) -> str | None:
    begin, end = text.find("<"), text.find(">")
    return text[begin + 1 : end] if 0 <= begin < end else None


def _dotted(source: BinaryIO) -> bytes | None:
    """Read a message up to its lone dot; None where the input ends before: half a message is none (RFC 5321
    §4.1.1.10).
    """
    lines: list[bytes] = []
    for line in source:
        if line in (b".\r\n", b".\n"):
            return b"".join(lines)
        lines.append(line[1:] if line.startswith(b".") else line)
    return None
