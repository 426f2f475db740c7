"""``franking-sendmail``: what cron, PHP, git and old programs call ``sendmail``. Its own entry point, without Typer, quick to start.

It reads a message from stdin and sends it with an account of Franking; ``-bs`` speaks SMTP on stdin and stdout instead. It says nothing when
all went well, and one line on stderr otherwise; its exit code is one of sysexits.h. There is no queue: when it returns 0, the server has it.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from franking.mailer import Mailer

__all__ = ["main"]

EX_OK, EX_USAGE, EX_DATAERR, EX_NOUSER, EX_UNAVAILABLE, EX_SOFTWARE, EX_TEMPFAIL, EX_NOPERM, EX_CONFIG = 0, 64, 65, 67, 69, 70, 75, 77, 78

USAGE = """usage: franking-sendmail [options] [recipient …] < message

  -t              take the recipients from the headers To, Cc and Bcc as well
  -i, -oi         a line with a single dot does not end the message
  -f ADDRESS      sender of the envelope
  -F NAME         full name of the sender, where the message has no From
  -bs             speak SMTP on stdin and stdout
  -a ACCOUNT      account to send with (default: FRANKING_ACCOUNT, or the default account)
  -v              show the dialogue with the server on stderr
  --aliases FILE  recipients without a domain (default: the file aliases beside accounts.toml)
  --version       show the version

Other options of sendmail(8) are accepted and have no effect (-bm -oem -odi -om -n -N -R -B …)."""

_TAKES_VALUE = {"-f": "sender", "-r": "sender", "-F": "name", "-a": "account"}
_IGNORED_VALUE = ("-B", "-N", "-R", "-V", "-L", "-O", "-X", "-h", "-p", "-o", "-C", "-A")
_IGNORED_PREFIX = (*_IGNORED_VALUE, "-q", "-d")  # the last two have their value behind them, or none
_IGNORED = ("-bm", "-n", "-m", "-U", "-G", "-Ac", "-Am")


class Options:
    """What the command line asked for."""

    def __init__(self, arguments: list[str]) -> None:
        self.from_headers = self.dots_are_text = self.smtp = self.verbose = False
        self.sender: str | None = None
        self.name: str | None = None
        self.account: str | None = None
        self.aliases: str | None = None
        self.recipients: list[str] = []
        rest = iter(arguments)
        for word in rest:
            if word == "--":
                self.recipients.extend(rest)
            elif not word.startswith("-") or word == "-":
                self.recipients.append(word)
            elif word in ("-t", "-i", "-oi", "-bs", "-v", "-ti", "-it"):
                self.from_headers |= "t" in word
                self.dots_are_text |= "i" in word
                self.smtp |= word == "-bs"
                self.verbose |= word == "-v"
            elif word in ("--help", "--version"):
                _show(word)
            elif word == "--aliases" or word.startswith("--aliases="):
                self.aliases = word.partition("=")[2] or next(rest, None) or _usage("--aliases needs a file")
            elif word[:2] in _TAKES_VALUE:
                value = word[2:] if len(word) > 2 else next(rest, None)
                if value is None:
                    _usage(f"{word} needs a value")
                setattr(self, _TAKES_VALUE[word[:2]], value)
            elif word in _IGNORED_VALUE:
                next(rest, None)
            elif word not in _IGNORED and word[:2] not in _IGNORED_PREFIX:
                _usage(f"{word} is no option that it knows; it has no queue, no daemon and no tables to build")


def main() -> NoReturn:
    """Run, and exit with a code of sysexits.h."""
    code = EX_OK
    try:
        code = _run(Options(sys.argv[1:]))
        if sys.stdout is not None:
            sys.stdout.flush()
    except KeyboardInterrupt as broken:
        left = getattr(broken, "possibly_sent", False)
        _complain("interrupted; the message may have been sent" if left else "interrupted; nothing was sent")
        code = EX_SOFTWARE if left else EX_TEMPFAIL
    except BrokenPipeError:  # nobody reads any more
        sys.stdout = None
    except Exception as problem:  # noqa: BLE001  (the end of the line: a mistake of ours, told as one line and never as "try again")
        _complain(f"{type(problem).__name__}: {problem}")
        code = EX_SOFTWARE
    sys.exit(code)


def _show(word: str) -> NoReturn:
    if word == "--help":
        print(USAGE)
    else:
        from franking import __version__

        print(f"franking-sendmail {__version__}")
    sys.exit(EX_OK)


def _usage(why: str) -> NoReturn:
    print(f"franking-sendmail: {why}; see franking-sendmail --help", file=sys.stderr)
    sys.exit(EX_USAGE)


def _run(options: Options) -> int:
    from franking.errors import FrankingError
    from franking.mailer import connect

    if options.verbose:
        import logging

        logging.basicConfig(stream=sys.stderr, format="%(message)s")
        logging.getLogger("franking.wire").setLevel(logging.DEBUG)
    if not options.smtp and not options.recipients and not options.from_headers:
        _usage("no recipients: name them, or use -t to take them from the headers")
    refused: dict[str, Any] | None = None
    try:
        with connect(options.account) as mailer:
            aliases = Aliases.load(options.aliases)
            if options.smtp:
                dialogue = Dialogue(mailer, aliases, options)
                try:
                    dialogue.run(sys.stdin.buffer, sys.stdout.buffer)
                except BrokenPipeError:  # who spoke SMTP with us has gone; a message under way was finished
                    sys.stdout = None
                return dialogue.worst
            data = sys.stdin.buffer.read() if options.dots_are_text else _until_dot(sys.stdin.buffer)
            refused = deliver(mailer, data, options, aliases)
    except FrankingError as error:
        return _failed(error)
    except KeyboardInterrupt:
        if refused is None:
            raise  # else the message was accepted, and only the farewell was interrupted
    if refused:
        address, answer = next(iter(refused.items()))
        more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
        _complain(f"{address}{more} was refused, the others were accepted: {answer['reply']}")
        return EX_UNAVAILABLE
    return EX_OK


def deliver(mailer: Mailer, data: bytes, options: Options, aliases: Aliases, recipients: list[str] | None = None) -> dict[str, Any]:
    """Send one message; give the recipients that were refused while others were accepted."""
    from franking.address import Envelope
    from franking.errors import MessageError

    if not data.strip():
        raise MessageError("The message is empty.", field="message")
    from_headers = options.from_headers and recipients is None
    named = options.recipients if recipients is None else recipients
    if data.startswith(b"From "):  # the line before each message of a mailbox file
        data = data.partition(b"\n")[2]
    if not data.isascii():
        data = _encoded(data)
    data = _with_from(data, mailer, options)
    api = mailer.provider.facts.route(mailer.route).api
    if from_headers or api:
        data = aliases.rewrite(data)
    recipients = aliases.resolve(named)
    if api:
        data = _with_hidden(data, recipients)
    own = mailer.account.sender.address
    sender = own if options.sender is None or api else _address(options.sender)
    if sender and "@" not in sender:  # root, www-data: names of this machine, which no mailbox provider knows
        sender = own
    envelope = None
    if not from_headers:
        envelope = Envelope(sender, recipients)
    elif recipients or sender != own:
        found = mailer.prepare(data).envelope.recipients
        envelope = Envelope(sender, dict.fromkeys((*found, *recipients)))
    return dict(mailer.send(data, envelope=envelope).refused)


def _encoded(data: bytes) -> bytes:
    """Write header fields of raw 8-bit text, as cron and old scripts make them, in RFC 2047: not every server takes them as they are."""
    import re

    if not re.match(rb"[!-9;-~]+[ \t]*:", data):
        return data  # no header, all of it is text
    head, blank, body = re.match(rb"(?s)(.*?)(\r?\n\r?\n|\Z)(.*)", data).groups()  # type: ignore[union-attr]
    fields = re.split(rb"\r?\n(?![ \t])", head)
    return b"\n".join(one if one.isascii() else _encoded_field(one) for one in fields) + blank + body


def _encoded_field(raw: bytes) -> bytes:
    from franking.errors import MessageError
    from franking.headers import ADDRESSED, address_field, field, read_addresses

    name, _, value = raw.partition(b":")
    try:
        text = " ".join(value.decode().split())
    except UnicodeDecodeError:
        text = " ".join(value.decode("latin-1").split())
    key = name.decode("latin-1").strip()
    try:
        addressed = key.lower().removeprefix("resent-") in ADDRESSED
        written = address_field(key, read_addresses(text, key.lower())) if addressed else field(key, text)
    except MessageError:
        return raw  # what is wrong with it is said later, in its own words
    return written.encode().removesuffix(b"\r\n")


def _address(text: str) -> str:
    """Take the address out of ``<jan@novak.cz>`` or ``Jan <jan@novak.cz>``; names of this machine stay as they are."""
    from franking.address import Address

    text = text.strip()
    return Address.parse(text).address if "<" in text[1:] else text.strip("<>")


def _with_from(data: bytes, mailer: Mailer, options: Options) -> bytes:
    """Give a message without a From one with the full name that -F named."""
    if options.name is None:
        return data
    import re

    head = re.split(rb"\r?\n\r?\n", data, maxsplit=1)[0]
    if re.search(rb"(?im)^from[ \t]*:", head):
        return data
    from email.utils import formataddr

    return b"From: " + formataddr((options.name, mailer.account.sender.address)).encode() + b"\n" + data


def _with_hidden(data: bytes, recipients: list[str]) -> bytes:
    """Name in a Bcc the recipients whom no header names: an API delivers to the addresses of the headers, and takes Bcc off."""
    import re
    from email.parser import BytesHeaderParser

    from franking.headers import read_addresses

    fields = [(name, str(value)) for name, value in BytesHeaderParser().parsebytes(data).items() if name.lower() in ("to", "cc", "bcc")]
    written = {address.address.lower() for name, value in fields for address in read_addresses(value, name.lower())}
    hidden = ",\n ".join(address for address in recipients if address.lower() not in written).encode()
    if not hidden:
        return data
    if any(name.lower() == "bcc" for name, _ in fields):
        return re.sub(rb"(?im)^(bcc[ \t]*:)", lambda found: found[1] + b" " + hidden + b",\n", data, count=1)
    return b"Bcc: " + hidden + b"\n" + data


def _until_dot(stream: BinaryIO) -> bytes:
    lines = []
    for line in stream:
        if line in (b".\n", b".\r\n", b"."):
            break
        lines.append(line)
    return b"".join(lines)


class Aliases:
    """Where mail for names without a domain goes: lines ``root: admin@example.com``, and ``default:`` for all other names."""

    def __init__(self, table: dict[str, list[str]], source: str) -> None:
        self._table = table
        self._source = source

    @classmethod
    def load(cls, path: str | None) -> Aliases:
        from franking.config import location
        from franking.errors import SettingsError

        source = path or os.path.join(os.path.dirname(location()), "aliases")  # noqa: PTH118, PTH120
        table: dict[str, list[str]] = {}
        try:
            with open(source, encoding="utf-8") as file:  # noqa: PTH123  (pathlib would cost start-up time)
                for number, line in enumerate(file, 1):
                    text = line.partition("#")[0].strip()
                    if not text:
                        continue
                    name, colon, targets = text.partition(":")
                    if not colon or not targets.strip():
                        raise SettingsError(f"{source}:{number}: a line is 'name: address', such as 'root: admin@example.com'.")
                    table[name.strip().lower()] = [target.strip() for target in targets.split(",") if target.strip()]
        except FileNotFoundError:
            if path is not None:
                raise SettingsError(f"{source}: there is no such aliases file.") from None
        except (OSError, UnicodeDecodeError) as problem:
            raise SettingsError(f"{source}: cannot be read: {problem}.") from None
        return cls(table, source)

    def resolve(self, recipients: list[str] | tuple[str, ...]) -> list[str]:
        """Turn every recipient into addresses; raises ``MessageError`` for a name that leads nowhere."""
        found: list[str] = []
        for word in recipients:
            for recipient in word.split(",") if '"' not in word else [word]:  # sendmail takes lists in one argument
                found.extend(self._follow(_address(recipient), ()))
        return list(dict.fromkeys(found))

    def _follow(self, name: str, seen: tuple[str, ...]) -> Iterator[str]:
        from franking.errors import MessageError

        if "@" in name:
            yield name
            return
        targets = self._table.get(name.lower(), self._table.get("default", []))
        if not targets or name.lower() in seen:
            raise MessageError(
                f"{name} has no domain; say where its mail goes with a line '{name}: you@example.com' or 'default: you@example.com' in {self._source}.",
                field="recipient",
            )
        for target in targets:
            yield from self._follow(target, (*seen, name.lower()))

    def rewrite(self, data: bytes) -> bytes:
        """Replace names without a domain in the headers To, Cc and Bcc."""
        import re

        def replaced(match: re.Match[bytes]) -> bytes:
            text = match[2].decode("utf-8", "surrogateescape")
            if "<" in text or '"' in text or ("@" in text and "," not in text):
                return match[0]
            parts = [part.strip() for part in re.sub(r"\r?\n[ \t]+", " ", text).split(",") if part.strip()]
            addresses = [
                address for part in parts for address in ([part] if "@" in part or ":" in part or ";" in part else self.resolve([part]))
            ]
            return match[1] + b" " + ", ".join(addresses).encode("utf-8", "surrogateescape") + match[3]

        head, blank, body = re.match(rb"(?s)(.*?)(\r?\n\r?\n|\Z)(.*)", data).groups()  # type: ignore[union-attr]
        pattern = rb"(?im)^((?:to|cc|bcc)[ \t]*:)((?:[^\r\n]|\r?\n[ \t])*)(\r?$|\Z)"
        return re.sub(pattern, replaced, head) + blank + body


def _failed(error: Any) -> int:
    title = error.diagnosis.title if error.diagnosis else ""
    _complain(f"{error} {('(' + title + ')') if title and title not in str(error) else ''}".strip())
    return exit_code(error)


def exit_code(error: Any) -> int:
    """Give the code of sysexits.h for an error. Unknown is 70 and never 75: callers requeue on 75, and would send twice."""
    from franking.errors import LoginError, LoginRequired, MessageError, RecipientsRefused, SettingsError

    if error.possibly_sent:
        return EX_SOFTWARE
    if isinstance(error, MessageError):
        return EX_NOUSER if error.field == "recipient" else EX_DATAERR
    if isinstance(error, SettingsError):
        return EX_CONFIG
    if isinstance(error, LoginRequired):
        return EX_NOPERM
    if error.diagnosis.temporary if error.diagnosis else error.temporary:
        return EX_TEMPFAIL
    if isinstance(error, LoginError):
        return EX_NOPERM
    return EX_NOUSER if isinstance(error, RecipientsRefused) else EX_UNAVAILABLE


def _complain(text: str) -> None:
    line = "".join(sign if sign.isprintable() else " " for sign in text)
    print(f"franking-sendmail: {' '.join(line.split())[:900]}", file=sys.stderr)


class Dialogue:
    """Speak SMTP with the caller (``-bs``): enough for programs that pipe a dialogue into sendmail; every message is sent at once."""

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
                    _complain("the input ended in the middle of a message; it was not sent")
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

        own = self._options.sender
        if own is None:
            self._options.sender = self._sender
        try:
            refused = deliver(self._mailer, data, self._options, self._aliases, self._recipients)
        except FrankingError as error:
            code = _failed(error)
            self._note(code)
            return f"{'451 4.3.0' if code == EX_TEMPFAIL else '554 5.3.0'} {_one_line(str(error))}"
        finally:
            self._options.sender = own
        return f"250 2.0.0 accepted{', but not for ' + ', '.join(refused) if refused else ''}"

    def _reset(self) -> None:
        self._sender, self._recipients = None, []


def _path(text: str) -> str | None:
    begin, end = text.find("<"), text.find(">")
    return text[begin + 1 : end] if 0 <= begin < end else None


def _dotted(source: BinaryIO) -> bytes | None:
    """Read a message up to its lone dot; None where the input ends before: half a message is none (RFC 5321 §4.1.1.10)."""
    lines: list[bytes] = []
    for line in source:
        if line in (b".\r\n", b".\n"):
            return b"".join(lines)
        lines.append(line[1:] if line.startswith(b".") else line)
    return None


def _one_line(text: str) -> str:
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())[:400]
