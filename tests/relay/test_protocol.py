"""The dialogue without I/O: octets in, events and replies out."""

from __future__ import annotations

import base64

import pytest

from franking.relay.asked import Begin, Body, End, Event, Hangup, Login, Mail, Rcpt, StartTls, Terms
from franking.relay.protocol import Receiver
from franking.relay.reply import reply

OK = reply(250, "2.0.0", "ok")


class Driver:
    """Take everything, and keep what was asked."""

    def __init__(self, **terms: object) -> None:
        self.receiver = Receiver(Terms(**{"size": 1000, **terms}))  # type: ignore[arg-type]
        self.events: list[Event] = []
        self.refuse: type | None = None

    def say(self, octets: bytes) -> list[str]:
        """Return the replies."""
        self.receiver.feed(octets)
        while (event := self.receiver.next()) is not None:
            self.events.append(event)
            if self.refuse is not None and isinstance(event, self.refuse):
                self.receiver.answer(reply(550, "5.7.1", "no"))
            elif isinstance(event, Begin):
                self.receiver.go_on()
            elif isinstance(event, Mail | Rcpt | End | Login):
                self.receiver.answer(OK, accepted=True)
            elif isinstance(event, StartTls):
                self.receiver.secured()
        return self.receiver.output().decode().split("\r\n")[:-1]

    @property
    def kept(self) -> bytes:
        return b"".join(event.octets for event in self.events if isinstance(event, Body))

    def last(self, kind: type) -> Event:
        return [event for event in self.events if isinstance(event, kind)][-1]


def codes(replies: list[str]) -> list[str]:
    return [line[:3] for line in replies]


START = b"EHLO a.example\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\n"


def test_a_message_in_one_flight_and_octet_by_octet() -> None:
    octets = START + b"DATA\r\nSubject: x\r\n\r\n..hi\r\n.\r\nQUIT\r\n"
    one, two = Driver(), Driver()
    whole = one.say(octets)
    assert whole == [line for octet in octets for line in two.say(bytes([octet]))]
    assert codes(whole)[-6:] == ["250", "250", "250", "354", "250", "221"]
    assert one.kept == two.kept == b"Subject: x\r\n\r\n.hi\r\n"
    assert one.last(End) == two.last(End) == End(19, False, False, ())
    assert one.events[-1] == Hangup("quit")


def test_what_is_offered_depends_on_the_connection() -> None:
    plain = Driver(starttls=True).say(b"EHLO a\r\n")
    assert plain[1:-1] == [
        "250-PIPELINING", "250-SIZE 1000", "250-8BITMIME", "250-SMTPUTF8", "250-CHUNKING", "250-ENHANCEDSTATUSCODES",
    ]  # fmt: skip
    assert plain[-1] == "250 STARTTLS"
    assert Driver(auth=True).say(b"EHLO a\r\n")[-1] == "250 AUTH PLAIN LOGIN"
    assert Driver().say(b"HELO a\r\n") == ["250 localhost"]


def test_what_is_pipelined_behind_starttls_is_dropped() -> None:
    driver = Driver(starttls=True)
    assert codes(driver.say(b"EHLO a\r\nSTARTTLS\r\nMAIL FROM:<evil@example.com>\r\n"))[-1] == "220"
    assert driver.receiver.waiting == 0
    assert not any(isinstance(event, Mail) for event in driver.events)
    assert codes(driver.say(b"STARTTLS\r\nRCPT TO:<a@example.com>\r\n")) == ["503", "503"]


def test_nothing_that_was_said_in_plain_counts_inside_tls() -> None:
    driver = Driver(starttls=True)
    driver.say(START + b"STARTTLS\r\n")
    assert (driver.receiver.helo, driver.receiver.protocol) == (None, "SMTP")
    assert codes(driver.say(b"DATA\r\nRCPT TO:<c@example.com>\r\n")) == ["503", "503"]


def test_a_client_of_both_line_ends_cannot_end_its_data_with_bare_ones() -> None:
    driver = Driver()
    driver.say(b"HELO a\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n")
    assert driver.say(b"hi\n.\nMAIL FROM:<evil@example.com>\n") == []
    assert codes(driver.say(b"\r\n.\r\n")) == ["250"]
    assert b"evil" in driver.kept
    assert "250 STARTTLS" not in driver.say(b"EHLO a\r\n")


def test_chunks() -> None:
    driver = Driver()
    replies = driver.say(START + b"BDAT 4\r\n.\na\rBDAT 3 LAST\r\n\nb\rNOOP\r\n")
    assert codes(replies)[-5:] == ["250"] * 5
    assert driver.kept == b".\r\na\r\nb\r\n"
    assert driver.last(End) == End(9, False, False, ("bare-lf",))
    # an empty last chunk ends what came before; a new message needs a new MAIL
    assert codes(driver.say(START[16:] + b"BDAT 2\r\nxyBDAT 0 LAST\r\nRCPT TO:<c@example.com>\r\n"))[2:] == [
        "250", "250", "503",
    ]  # fmt: skip


def test_a_refused_chunk_is_read_to_its_end_and_its_followers_too() -> None:
    driver = Driver()
    assert codes(driver.say(b"EHLO a\r\nBDAT 9\r\nQUIT\r\nX\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"))[-3:] == [
        "503", "503", "250",
    ]  # fmt: skip
    driver.refuse = Begin
    assert codes(driver.say(b"RSET\r\n" + START[16:] + b"BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")) == [
        "250", "250", "250", "550", "503", "250",
    ]  # fmt: skip
    assert driver.kept == b""
    assert codes(driver.say(b"BDAT\r\nBDAT x\r\nBDAT 5 FIRST\r\n")) == ["501"] * 3


def test_after_a_refusal_nothing_of_the_flight_counts() -> None:
    driver = Driver()
    driver.refuse = Mail
    assert codes(driver.say(START + b"DATA\r\n"))[-3:] == ["550", "503", "503"]
    driver.refuse = Rcpt
    assert codes(driver.say(START + b"DATA\r\n"))[-3:] == ["250", "550", "503"]
    driver.refuse = Begin
    assert codes(driver.say(b"RSET\r\n" + START[16:] + b"DATA\r\nMAIL FROM:<a@example.com>\r\n"))[-2:] == ["550", "250"]


@pytest.mark.parametrize(
    ("line", "address", "mended"),
    [
        (b"MAIL FROM:<a@example.com>", "a@example.com", ()),
        (b"mail from: <a@example.com> size=5", "a@example.com", ("space-after-colon",)),
        (b"MAIL FROM : a@example.com", "a@example.com", ("space-after-colon", "no-brackets")),
        (b"MAIL FROM:a@example.com BODY=8BITMIME", "a@example.com", ("no-brackets",)),
        (b"MAIL FROM:<>", "", ()),
        (b"MAIL FROM:<root@host>", "root@host", ()),
        (b"MAIL FROM:<@x.example,@y.example:a@example.com>", "a@example.com", ()),
        (b'MAIL FROM:<"a>b"@example.com> AUTH=<>', '"a>b"@example.com', ()),
        ("MAIL FROM:<ř@example.com> SMTPUTF8".encode(), "ř@example.com", ()),
    ],
)
def test_senders_as_devices_write_them(line: bytes, address: str, mended: tuple[str, ...]) -> None:
    driver = Driver()
    assert codes(driver.say(b"EHLO a\r\n" + line + b"\r\n"))[-1] == "250"
    asked = driver.last(Mail)
    assert isinstance(asked, Mail)
    assert (asked.path.address, asked.path.mended) == (address, mended)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"MAIL", "501"),
        (b"MAIL FROM:", "501"),
        (b"MAIL FROM:<a@example.com> RET=FULL", "555"),
        (b"MAIL FROM:<a@example.com> SIZE=x", "501"),
        (b"MAIL FROM:<a@b@c>", "553"),
        (b"MAIL FROM:<nobody>", "553"),
        ("MAIL FROM:<ř@example.com>".encode(), "553"),
        (b"MAIL FROM:<\xff@example.com>", "501"),
        (b"RCPT TO:<b@example.com>", "503"),
        (b"DATA", "503"),
        (b"DATA now", "501"),
        (b"STARTTLS", "502"),
        (b"STARTTLS x", "501"),
        (b"AUTH PLAIN x", "503"),
        (b"VRFY a", "252"),
        (b"EXPN a", "502"),
        (b"ETRN a", "502"),
        (b"TURN", "502"),
        (b"HELP", "214"),
        (b"NOOP keep alive", "250"),
        (b"RSET", "250"),
        (b"NONSENSE", "500"),
        (b"", "500"),
    ],
)
def test_one_command(line: bytes, code: str) -> None:
    assert codes(Driver().say(b"EHLO a\r\n" + line + b"\r\n"))[-1] == code


def test_recipients() -> None:
    driver = Driver(most_recipients=2)
    tail = (
        b"RCPT TO:<>\r\nRCPT TO:<c@example.com> NOTIFY=NEVER\r\nRCPT TO: c@example.com\r\nRCPT TO:<d@example.com>\r\n"
    )
    assert codes(driver.say(START + tail + b"MAIL FROM:<a@example.com>\r\n"))[-5:] == [
        "501",
        "555",
        "250",
        "452",
        "503",
    ]


def test_the_tenth_mistake_ends_it() -> None:
    driver = Driver()
    assert codes(driver.say(b"X\r\n" * 20)) == ["500"] * 9 + ["421"]
    assert driver.events == [Hangup("mistakes")]
    driver.receiver.feed(b"NOOP\r\n")
    assert driver.receiver.next() is None


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"GET / HTTP/1.1\r\n", "http"),
        (b"POST /x HTTP/1.1\r\n", "http"),
        (b"\x16\x03\x01\x00", "tls"),
        (b"x" * 3000, "line-too-long"),
    ],
)
def test_who_speaks_something_else(octets: bytes, reason: str) -> None:
    driver = Driver()
    driver.say(octets)
    assert driver.events == [Hangup(reason)]


def b64(text: str) -> bytes:
    return base64.b64encode(text.encode())


@pytest.mark.parametrize(
    "steps",
    [
        [b"AUTH PLAIN " + b64("\0jan\0geheim")],
        [b"AUTH PLAIN", b64("x\0jan\0geheim")],
        [b"AUTH LOGIN", b64("jan"), b64("geheim")],
        [b"auth login " + b64("jan"), b64("geheim")],
    ],
)
def test_logins(steps: list[bytes]) -> None:
    driver = Driver(auth=True)
    driver.say(b"EHLO a\r\n")
    replies = [line for step in steps for line in driver.say(step + b"\r\n")]
    login = driver.last(Login)
    assert isinstance(login, Login)
    assert (login.user, login.password) == ("jan", "geheim")
    assert repr(login) == "Login(user='jan')"
    assert codes(replies) == ["334"] * (len(steps) - 1) + ["250"]


def test_the_challenges_of_login_are_those_that_xerox_knows() -> None:
    driver = Driver(auth=True)
    assert driver.say(b"EHLO a\r\nAUTH LOGIN\r\n")[-1] == "334 VXNlcm5hbWU6"
    assert driver.say(b"eA==\r\n") == ["334 UGFzc3dvcmQ6"]


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (b"AUTH CRAM-MD5", "504"),
        (b"AUTH PLAIN !!!", "501"),
        (b"AUTH PLAIN " + b64("no password"), "501"),
        (b"AUTH PLAIN =", "501"),
        (b"AUTH LOGIN\r\n*", "501"),
    ],
)
def test_wrong_exchanges(step: bytes, code: str) -> None:
    driver = Driver(auth=True)
    assert codes(driver.say(b"EHLO a\r\n" + step + b"\r\n"))[-1] == code
    assert codes(driver.say(b"NOOP\r\n")) == ["250"]


def test_logging_in_twice_or_within_a_message_or_in_plain() -> None:
    driver = Driver(auth=True)
    assert codes(driver.say(START + b"AUTH PLAIN x\r\n"))[-1] == "503"
    driver.receiver.user = "jan"
    assert codes(driver.say(b"RSET\r\nAUTH PLAIN x\r\n"))[-1] == "503"
    assert codes(Driver(starttls=True).say(b"EHLO a\r\nAUTH PLAIN x\r\n"))[-1] == "538"


def test_what_was_mended_is_told() -> None:
    driver = Driver()
    octets = b"HELO my_printer\nMAIL FROM: a@example.com\nRCPT TO:<b@example.com>\nDATA\nSubject: x\n\n\xe9\n.\n"
    assert codes(driver.say(octets)) == ["250", "250", "250", "354", "250"]
    end = driver.last(End)
    assert isinstance(end, End)
    assert set(end.mended) == {"bare-lf", "space-after-colon", "no-brackets", "helo-name", "eight-bit"}
    assert driver.receiver.protocol == "SMTP"


def test_declared_eight_bit_is_no_mistake() -> None:
    driver = Driver()
    driver.say(b"EHLO [10.0.0.1]\r\nMAIL FROM:<a@example.com> BODY=8BITMIME\r\n")
    driver.say(b"RCPT TO:<b@example.com>\r\nDATA\r\n\xe9\r\n.\r\n")
    end = driver.last(End)
    assert isinstance(end, End)
    assert (end.eight_bit, end.mended) == (True, ())


def test_a_reply_is_one_short_line() -> None:
    line = reply(550, "5.7.1", "a\r\nb “č” " + "x" * 900)
    assert line.isascii()
    assert line.startswith(b'550 5.7.1 a b "\\u010d" xxx')
    assert len(line) == 512
    assert line.count(b"\r\n") == 1
