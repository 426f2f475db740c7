"""The dialogue with one client, without I/O: octets in, events out, replies to be written.

    receiver.feed(octets)
    while (event := receiver.next()) is not None: ...   # decide, then receiver.answer(reply) or receiver.go_on()
    write(receiver.output())

What syntax and order alone decide is answered here; what depends on who may send, on the disk or on what became of a
message is an event, and nothing behind it is read until it is answered. RFC 5321 (SMTP), 2920 (PIPELINING), 1870
(SIZE), 6152 (8BITMIME), 6531 (SMTPUTF8), 3030 (CHUNKING), 2034 (ENHANCEDSTATUSCODES), 3207 (STARTTLS), 4954 (AUTH).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from franking.relay.asked import Begin, Body, End, Event, Hangup, Login, Mail, Rcpt, StartTls, Terms
from franking.relay.commands import HTTP, Path, SyntaxProblem, bdat_size, parse_mail, parse_rcpt
from franking.relay.data import Data, Lines
from franking.relay.login import Exchange, WrongExchange
from franking.relay.reply import reply

__all__ = ["Receiver"]

LONGEST_LINE = 2048  # octets of a command line; RFC 5321 §4.5.3.1.4 asks for 512, parameters need more
LONGEST_LOGIN = 12_288  # RFC 4954 §4
MOST_MISTAKES = 10


_SIMPLE = {
    b"NOOP": reply(250, "2.0.0", "ok"),
    b"VRFY": reply(252, "2.1.5", "send it and see"),
    b"EXPN": reply(502, "5.5.1", "not done here"),
    b"ETRN": reply(502, "5.5.1", "not done here"),
    b"TURN": reply(502, "5.5.1", "not done here"),
    b"HELP": reply(214, "2.0.0", "EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, BDAT, RSET, NOOP, QUIT"),
}
_HELO = re.compile(r"(?:[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.?|\[[^\[\]\s]+\])\Z")
_GO_ON = b"354 end with a dot alone on a line\r\n"
_CHUNK = reply(250, "2.0.0", "ok")


class Receiver:
    """Hold one client's dialogue. Who drives it sets ``terms`` (again where they change) and ``user``."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.user: str | None = None
        self.tls = False
        self.helo: str | None = None
        self.esmtp = False
        self.refused = False  # a message that is being read to its end was refused meanwhile
        self._inbox = bytearray()
        self._out: list[bytes] = []
        self._waits = False
        self._over = False
        self._read: Callable[[], Event | bool] = self._first_command
        self._bare = self._whole = False  # lines that ended with LF alone, with CRLF
        self._mistakes = 0
        self._mended: dict[str, None] = {}
        self._helo_mended = False
        self._reset()

    # -- driving -----------------------------------------------------------------------------------------------------

    def greet(self) -> None:
        """Begin: the server speaks first."""
        self._say(reply(220, "", f"{self.terms.name} ESMTP Franking relay"))

    def feed(self, octets: bytes | memoryview) -> None:
        """Take what the client sent."""
        if not self._over:
            self._inbox += octets

    def next(self) -> Event | None:
        """Return what has to be decided next; None where more octets or an answer must come first."""
        while not self._waits and not self._over:
            event = self._read()
            if event is False:
                return None
            if event is not True:
                return event
        return None

    def output(self) -> bytes:
        """Return the replies that are due, once."""
        out = b"".join(self._out)
        self._out.clear()
        return out

    def answer(self, line: bytes, *, accepted: bool = False) -> None:
        """Answer the event that was given last."""
        self._waits = False
        self._say(line)
        self._answered(accepted)

    def go_on(self) -> None:
        """Let the message come whose ``Begin`` was given."""
        self._waits = False
        if self._chunk is None:
            self._say(_GO_ON)
            self._data = Data(bare_lf=self._bare and not self._whole)
            self._read = self._text
        else:
            self._lines = Lines()
            self._read = self._octets

    def close(self, line: bytes) -> None:
        """End the dialogue from this side; the line still goes out."""
        self._say(line)
        self._over = True

    @property
    def waiting(self) -> int:
        """Return how many octets have come and were not read yet."""
        return len(self._inbox)

    @property
    def busy(self) -> bool:
        """Return whether an event waits for its answer."""
        return self._waits

    @property
    def in_message(self) -> bool:
        """Return whether a message is coming in."""
        return self._read in (self._text, self._octets)

    @property
    def protocol(self) -> str:
        """Return the word for ``Received: … with`` (RFC 3848)."""
        if not self.esmtp:
            return "SMTP"
        return "ESMTP" + "S" * self.tls + "A" * (self.user is not None)

    def await_tls(self) -> None:
        """Read nothing before ``secured``: the connection begins with a handshake."""
        self._waits = True

    def secured(self) -> None:
        """Begin anew inside TLS: nothing that was said in plain counts (RFC 3207 §4.2).

        What was fed since ``StartTls`` came through TLS: clients send their EHLO with the end of the handshake.
        """
        self.tls, self.helo, self.esmtp, self._waits = True, None, False, False
        self._reset()

    # -- words -------------------------------------------------------------------------------------------------------

    def _say(self, line: bytes) -> None:
        self._out.append(line)

    def _wrong(self, code: int, enhanced: str, text: str) -> Event | bool:
        """Answer a mistake; the tenth ends the dialogue."""
        self._mistakes += 1
        if self._mistakes >= MOST_MISTAKES:
            self.close(reply(421, "4.7.0", "too many commands that are wrong; good-bye"))
            return Hangup("mistakes")
        self._say(reply(code, enhanced, text))
        return True

    def _ask(self, event: Event) -> Event:
        self._waits = True
        return event

    def _reset(self) -> None:
        self._mail: Path | None = None
        self._recipients = 0
        self._asked: Event | None = None
        self._chunk: tuple[int, bool] | None = None  # what BDAT announced
        self._left = 0
        self._begun = self.refused = False
        self._mended.clear()

    def _answered(self, accepted: bool) -> None:
        event, self._asked = self._asked, None
        if isinstance(event, Mail | Rcpt):
            if not accepted:
                return
            if isinstance(event, Mail):
                self._mail = event.path
            else:
                self._recipients += 1
            if event.path.mended:
                self._mended.update(dict.fromkeys(event.path.mended))
        elif isinstance(event, Begin):
            self.refused = True
            if self._chunk is not None:
                self._drop(None)
            else:
                self._reset()
        elif isinstance(event, End):
            self._reset()

    # -- command lines -----------------------------------------------------------------------------------------------

    def _line(self, longest: int) -> bytes | Event | bool:
        """Return one line without its end; False where it is not whole yet."""
        end = self._inbox.find(b"\n", 0, longest + 1)
        if end < 0:
            if len(self._inbox) > longest:
                self.close(reply(500, "5.5.6", "the line is too long; good-bye"))
                return Hangup("line-too-long")
            return False
        line = bytes(self._inbox[:end])
        del self._inbox[: end + 1]
        if line.endswith(b"\r"):
            self._whole = True
            return line[:-1]
        self._bare = True
        return line

    def _first_command(self) -> Event | bool:
        """Read a command, unless who speaks is no mail client at all."""
        if self._inbox.startswith(b"\x16"):  # a TLS record: the client means the port for implicit TLS
            self._over = True
            return Hangup("tls")
        end = self._inbox.find(b"\n")
        if HTTP.match(self._inbox, 0, max(end, 0)):  # a web page that posts mail (RFC 5321 has no such verb)
            self._over = True
            return Hangup("http")
        if end >= 0:
            self._read = self._command
        return self._command()

    def _command(self) -> Event | bool:
        line = self._line(LONGEST_LINE)
        if not isinstance(line, bytes):
            return line
        verb, _, rest = line.strip().partition(b" ")
        word = verb.upper()
        if word in _SIMPLE:
            self._say(_SIMPLE[word])
            return True
        try:
            return _COMMANDS[word](self, rest)
        except KeyError:
            return self._wrong(500, "5.5.2", "this command is not known here")
        except SyntaxProblem as problem:
            return self._wrong(problem.code, problem.enhanced, problem.text)
        except UnicodeDecodeError:
            return self._wrong(501, "5.5.2", "this line is not UTF-8")

    def _helo(self, rest: bytes) -> Event | bool:
        self._hello(rest, esmtp=False)
        self._say(reply(250, "", self.terms.name))
        return True

    def _ehlo(self, rest: bytes) -> Event | bool:
        self._hello(rest, esmtp=True)
        offered = ["PIPELINING", f"SIZE {self.terms.size}" if self.terms.size else "SIZE"]
        offered += ["8BITMIME", "SMTPUTF8", "CHUNKING", "ENHANCEDSTATUSCODES"]
        if self.terms.starttls and not self.tls:
            offered.append("STARTTLS")
        if self.terms.auth and self.user is None:
            offered.append("AUTH PLAIN LOGIN")
        lines = [self.terms.name, *offered]
        text = "".join(f"250-{word}\r\n" for word in lines[:-1]) + f"250 {lines[-1]}\r\n"
        self._say(text.encode("ascii", "replace"))
        return True

    def _hello(self, rest: bytes, *, esmtp: bool) -> None:
        name = rest.strip().decode("ascii", "replace")
        self.esmtp, self.helo = esmtp, name
        self._reset()
        self._helo_mended = _HELO.match(name) is None

    def _starttls(self, rest: bytes) -> Event | bool:
        if rest.strip():
            return self._wrong(501, "5.5.4", "STARTTLS stands alone")
        if self.tls:
            return self._wrong(503, "5.5.1", "this connection is encrypted already")
        if not self.terms.starttls:
            return self._wrong(502, "5.5.1", "no encryption is offered on this port")
        self._inbox.clear()  # what stands behind it in plain may be somebody else's
        self._say(reply(220, "2.0.0", "go on"))
        return self._ask(StartTls())

    def _auth(self, rest: bytes) -> Event | bool:
        if self.user is not None:
            return self._wrong(503, "5.5.1", "you are logged in already")
        if self._mail is not None:
            return self._wrong(503, "5.5.1", "log in before MAIL")
        if not self.terms.auth:
            if self.terms.starttls and not self.tls:
                return self._wrong(538, "5.7.11", "no password is taken unencrypted: use STARTTLS first")
            return self._wrong(503, "5.5.1", "no login is offered here")
        mechanism, _, initial = rest.strip().partition(b" ")
        try:
            self._exchange = Exchange(mechanism)
            return self._login(initial.strip() or None)
        except WrongExchange as problem:
            return self._wrong(problem.code, problem.enhanced, str(problem))

    def _login(self, response: bytes | None) -> Event | bool:
        challenge = self._exchange.step(response)
        if challenge is not None:
            self._say(b"334 " + challenge + b"\r\n")
            self._read = self._login_line
            return True
        self._read = self._command
        return self._ask(Login(self._exchange.user, self._exchange.password))

    def _login_line(self) -> Event | bool:
        line = self._line(LONGEST_LOGIN)
        if not isinstance(line, bytes):
            return line
        self._read = self._command
        try:
            return self._login(line.strip())
        except WrongExchange as problem:
            return self._wrong(problem.code, problem.enhanced, str(problem))

    def _mail_from(self, rest: bytes) -> Event | bool:
        if self._mail is not None:
            return self._wrong(503, "5.5.1", "one message at a time: RSET first")
        path = parse_mail(rest.decode())
        self._asked = Mail(path)
        return self._ask(self._asked)

    def _rcpt_to(self, rest: bytes) -> Event | bool:
        if self._mail is None:
            return self._wrong(503, "5.5.1", "MAIL first")
        path = parse_rcpt(rest.decode(), utf8=self._mail.utf8)
        if self._recipients >= self.terms.most_recipients:
            self._say(reply(452, "4.5.3", "too many recipients for one message; send the others in a further one"))
            return True
        self._asked = Rcpt(path)
        return self._ask(self._asked)

    def _data_begins(self, rest: bytes) -> Event | bool:
        if rest.strip():
            return self._wrong(501, "5.5.4", "DATA stands alone")
        if self._begun:
            return self._wrong(503, "5.5.1", "BDAT has begun; DATA cannot follow it")
        if not self._recipients:
            return self._wrong(503, "5.5.1", "RCPT first: there is no recipient")
        self._asked = Begin()
        return self._ask(self._asked)

    def _bdat(self, rest: bytes) -> Event | bool:
        size, last = bdat_size(rest.strip())
        self._left, self._chunk = size, (size, last)
        if self.refused:
            return self._drop(reply(503, "5.5.1", "the message was refused: RSET first"))
        if self._begun:
            self._read = self._octets
            return True
        if not self._recipients:
            self._mistakes += 1
            self.refused = True
            return self._drop(reply(503, "5.5.1", "RCPT first: there is no recipient"))
        self._begun = True
        self._asked = Begin()
        return self._ask(self._asked)

    def _rset(self, rest: bytes) -> Event | bool:
        self._reset()
        self._say(reply(250, "2.0.0", "ok"))
        return True

    def _quit(self, rest: bytes) -> Event | bool:
        self.close(reply(221, "2.0.0", "good-bye"))
        return Hangup("quit")

    # -- messages ----------------------------------------------------------------------------------------------------

    def _text(self) -> Event | bool:
        """Read what follows DATA."""
        if not self._inbox:
            return False
        octets = self._data.feed(bytes(self._inbox))
        self._inbox.clear()
        if self._data.done:
            self._inbox += self._data.rest
            self._ends(self._data.lines)
        return Body(octets) if octets else True

    def _octets(self) -> Event | bool:
        """Read what BDAT announced."""
        taken = bytes(self._inbox[: self._left])
        del self._inbox[: self._left]
        self._left -= len(taken)
        octets = self._lines.take(taken) if taken else b""
        if not self._left:
            assert self._chunk is not None
            if self._chunk[1]:
                octets += self._lines.end()
                self._ends(self._lines)
            else:
                self._say(_CHUNK)
                self._read = self._command
        elif not taken:
            return False
        return Body(octets) if octets else True

    def _ends(self, lines: Lines) -> None:
        if lines.bare or (self._bare and not self._whole):
            self._mended["bare-lf"] = None
        if self._helo_mended:
            self._mended["helo-name"] = None
        if lines.eight_bit and not (self._mail and self._mail.eight_bit):
            self._mended["eight-bit"] = None
        self._ended = End(lines.size, lines.nul, lines.eight_bit, tuple(self._mended))
        self._read = self._tell_end

    def _tell_end(self) -> Event | bool:
        self._read = self._command
        self._asked = self._ended
        return self._ask(self._ended)

    def _drop(self, line: bytes | None) -> Event | bool:
        """Read a chunk of BDAT and keep nothing of it; the line is its answer."""
        self._dropped = line
        self._read = self._dropping
        return True

    def _dropping(self) -> Event | bool:
        size = min(self._left, len(self._inbox))
        del self._inbox[:size]
        self._left -= size
        if self._left:
            return False
        if self._dropped is not None:
            self._say(self._dropped)
        self._chunk = None
        self._read = self._command
        return True


_COMMANDS: dict[bytes, Callable[[Receiver, bytes], Event | bool]] = {
    b"HELO": Receiver._helo,
    b"EHLO": Receiver._ehlo,
    b"STARTTLS": Receiver._starttls,
    b"AUTH": Receiver._auth,
    b"MAIL": Receiver._mail_from,
    b"RCPT": Receiver._rcpt_to,
    b"DATA": Receiver._data_begins,
    b"BDAT": Receiver._bdat,
    b"RSET": Receiver._rset,
    b"QUIT": Receiver._quit,
}
