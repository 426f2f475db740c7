"""Sessions over real sockets: connecting, TLS, logging in, sending, and every way in which a connection can end."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import pickle
import socket
import ssl
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import franking
from franking.auth.secret import Password
from franking.errors import (
    ConnectError,
    ConnectTimeout,
    FrankingError,
    LoginError,
    MessageError,
    OutcomeUnknown,
    RecipientsRefused,
    Refused,
    SendError,
    SettingsError,
    Throttled,
    TLSError,
)
from franking.message.address import Envelope
from franking.message.prepare import prepare
from franking.net import tcp
from franking.net.tcp import Place
from franking.provider import Step, silent
from franking.smtp.connection import Connection
from franking.smtp.open import open_session
from franking.smtp.probe import probe
from franking.smtp.session import SmtpSession
from servers.certificates import Certificates
from servers.dialogue import Raw
from servers.ports import closed_port, full_backlog, reserved_ports
from servers.smtp import (
    EXTENSIONS,
    Fault,
    SmtpServer,
    continuations,
    drips,
    garbage,
    half_line,
    hangs_up,
    long_line,
    resets,
    says,
    sends,
    silence,
    then,
    twice,
    wait_until,
)

Start = Callable[..., SmtpServer]
PASSWORD = " Žluťoučký kůň "
CANARY = "Canary7"
ENVELOPE = Envelope("jana@example.test", ["petr@example.test"])
BODY = Raw(b"Subject: x\r\n\r\nhello\r\n.dot\r\n")
PLAIN = ("SIZE 52428800", "8BITMIME")


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def account(server: SmtpServer | int, **settings: Any) -> franking.Account:
    port = server if isinstance(server, int) else server.port
    given = {"host": "127.0.0.1", "security": "none", "timeout": 5.0, "final_timeout": 5.0, **settings}
    return franking.Account(name="test", provider="smtp", sender="Jana <jana@example.test>", port=port, **given)


@contextlib.contextmanager
def session(
    server: SmtpServer | int, password: str | None = None, observer: Any = silent, **settings: Any
) -> Iterator[SmtpSession]:
    clock = settings.pop("clock", None)
    more = {} if clock is None else {"clock": clock}
    if password is not None:
        settings.setdefault("username", "jana")
    opened = open_session(
        account(server, **settings), None if password is None else Password(password), observer, route="smtp", **more
    )
    try:
        yield opened
    finally:
        opened.close()


def failure(server: SmtpServer | int, password: str | None = None, **settings: Any) -> FrankingError:
    """Open a session that must fail; give the error, whole and pickled."""
    with pytest.raises(FrankingError) as caught, session(server, password, **settings):
        pass
    assert caught.value.evidence is not None
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert not caught.value.possibly_sent
    return caught.value


def facts(error: FrankingError) -> tuple[str, str | None, str | None, bool]:
    assert error.evidence is not None
    return type(error).__name__, error.step, error.evidence.reason, error.temporary


# — opening —


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
def test_log_in_and_send(smtp_server: Start, certificates: Certificates, security: str, mechanism: str) -> None:
    context = None if security == "none" else certificates.context("good")
    server = smtp_server(
        users={"jana": PASSWORD}, mechanisms=[mechanism], context=context, implicit_tls=security == "tls"
    )
    with session(server, PASSWORD, security=security, ca_file=certificates.ca_file) as opened:
        receipt = opened.send(ENVELOPE, BODY)
    (message,) = server.messages
    assert (message.data, message.recipients, message.user, message.tls) == (
        BODY.data,
        ["petr@example.test"],
        "jana",
        security != "none",
    )
    assert receipt.reply == "250 2.0.0 queued as 1"
    assert receipt.accepted == ("petr@example.test",)
    assert server.wait().lines[-1] == "QUIT"


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_a_wrong_password(smtp_server: Start, mechanism: str) -> None:
    server = smtp_server(users={"jana": PASSWORD}, mechanisms=[mechanism])
    error = failure(server, PASSWORD.strip())
    assert isinstance(error, LoginError)
    assert error.evidence is not None
    assert (error.evidence.kind, error.evidence.code, error.evidence.enhanced) == ("sasl", 535, "5.7.8")
    assert error.evidence.details["mechanism"] == mechanism
    assert sum(line.startswith("AUTH") for line in server.wait().lines) == 1


@pytest.mark.parametrize("mechanism", ["xoauth2", "oauthbearer"])
@pytest.mark.parametrize("length", [40, 2000])
def test_tokens(smtp_server: Start, certificates: Certificates, mechanism: str, length: int) -> None:
    token = "t" * length
    server = smtp_server(tokens={"jana": token}, context=certificates.context("good"))
    options = {"security": "starttls", "ca_file": certificates.ca_file, "auth": mechanism}
    with session(server, token, **options) as opened:
        opened.send(ENVELOPE, BODY)
    assert server.messages[0].user == "jana"
    error = failure(server, token[:-1] + "u", **options)
    assert isinstance(error, LoginError)
    assert error.token_refused
    assert error.evidence is not None
    assert error.evidence.details["sasl"] == {
        "status": "401",
        "schemes": "Bearer",
        "scope": "https://mail.example.test/",
    }


def test_a_token_never_travels_without_tls(smtp_server: Start) -> None:
    server = smtp_server(tokens={"jana": "token"})
    error = failure(server, "token", auth="xoauth2", allow_plain_login=True)
    assert isinstance(error, SettingsError)
    assert b"AUTH" not in server.wait().plain


def test_the_oauth_providers_hand_in_name_and_mechanisms(smtp_server: Start, certificates: Certificates) -> None:
    server = smtp_server(tokens={"shared@example.test": "tok"}, context=certificates.context("good"))
    given = account(server, security="starttls", ca_file=certificates.ca_file)
    opened = open_session(
        given,
        Password("tok"),
        silent,
        route="gmail-smtp",
        username="shared@example.test",
        mechanisms=("xoauth2", "oauthbearer"),
    )
    assert opened.send(ENVELOPE, BODY).route == "gmail-smtp"
    opened.close()


def test_a_login_that_is_not_offered(smtp_server: Start) -> None:
    error = failure(smtp_server(), "pw")
    assert facts(error) == ("LoginError", "login", "auth-not-offered", False)


def test_a_server_that_spells_auth_the_old_way(smtp_server: Start) -> None:
    server = smtp_server(users={"jana": "pw"}, mechanisms=["LOGIN"], auth_line="AUTH=LOGIN")
    with session(server, "pw"):
        pass
    assert server.wait().lines[1] == "AUTH LOGIN"


def test_helo_for_an_old_server(smtp_server: Start) -> None:
    server = smtp_server(faults=[Fault("ehlo", says("502 5.5.1 what?"))])
    with session(server) as opened:
        opened.send(ENVELOPE, BODY)
    assert [line.split()[0] for line in server.wait().lines] == ["EHLO", "HELO", "MAIL", "RCPT", "DATA", "QUIT"]


def test_extensions_that_are_left_out(smtp_server: Start) -> None:
    server = smtp_server()
    with session(server, without="chunking,size", ehlo_name="host.example.test") as opened:
        opened.send(ENVELOPE, BODY)
    lines = server.wait().lines
    assert lines == [
        "EHLO host.example.test",
        "MAIL FROM:<jana@example.test>",
        "RCPT TO:<petr@example.test>",
        "DATA",
        "QUIT",
    ]
    assert server.messages[0].by == "data"


def test_over_ipv6(smtp_server: Start) -> None:
    server = smtp_server(host="::1")
    with session(server, host="::1") as opened:
        opened.send(ENVELOPE, BODY)
    assert server.wait().lines[0] == "EHLO [IPv6:::1]"


# — TLS —

CERTIFICATES = [
    ("expired", 10, "127.0.0.1"),
    ("not-yet", 9, "127.0.0.1"),
    ("self-signed", 18, "127.0.0.1"),
    ("stranger", 20, "127.0.0.1"),
    ("wrong-host", 64, "127.0.0.1"),
    ("wrong-host", 62, "localhost"),
]
if sys.version_info >= (3, 13):
    CERTIFICATES.append(("no-aki", 85, "127.0.0.1"))


@pytest.mark.parametrize(("kind", "code", "host"), CERTIFICATES)
@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_certificate_that_cannot_be_trusted(
    smtp_server: Start, certificates: Certificates, kind: str, code: int, host: str, security: str
) -> None:
    server = smtp_server(users={"jana": "Canary7"}, context=certificates.context(kind), implicit_tls=security == "tls")
    error = failure(server, "Canary7", security=security, ca_file=certificates.ca_file, host=host)
    assert facts(error) == ("TLSError", "tls", "certificate", False)
    assert error.evidence is not None
    assert error.evidence.details["verify_code"] == code
    assert error.evidence.details["verify_message"]
    names = error.evidence.details["names"]
    assert names == (["mail.elsewhere.test"] if kind == "wrong-host" else ["localhost", "127.0.0.1", "0:0:0:0:0:0:0:1"])
    assert (error.evidence.details["host"], error.evidence.details["security"]) == (host, security)
    heard = server.wait()
    assert heard.inside == b""
    if security == "starttls":
        assert heard.lines == ["EHLO [127.0.0.1]", "STARTTLS"]


def test_a_ca_is_needed_for_a_private_certificate(smtp_server: Start, certificates: Certificates) -> None:
    server = smtp_server(context=certificates.context("good"))
    assert facts(failure(server, security="starttls"))[2] == "certificate"


def test_starttls_that_is_not_offered_lets_nothing_leave(smtp_server: Start) -> None:
    server = smtp_server(users={"jana": "Canary7"})
    assert facts(failure(server, "Canary7", security="starttls")) == ("TLSError", "tls", "starttls-not-offered", False)
    assert server.wait().plain == b"EHLO [127.0.0.1]\r\n"


def test_text_injected_before_the_handshake_is_refused(smtp_server: Start, certificates: Certificates) -> None:
    server = smtp_server(
        context=certificates.context("good"),
        faults=[Fault("starttls", says("220 go", "250-AUTH PLAIN", "250 injected"))],
    )
    assert facts(failure(server, security="starttls", ca_file=certificates.ca_file))[2] == "plaintext-injected"


def test_half_a_line_injected_before_the_handshake_is_refused(smtp_server: Start, certificates: Certificates) -> None:
    server = smtp_server(context=certificates.context("good"), faults=[Fault("starttls", sends(b"220 go\r\n250 half"))])
    assert facts(failure(server, security="starttls", ca_file=certificates.ca_file))[2] == "plaintext-injected"


def test_starttls_that_cannot_be_done_now(smtp_server: Start, certificates: Certificates) -> None:
    server = smtp_server(
        context=certificates.context("good"), faults=[Fault("starttls", says("454 4.7.0 TLS not available"))]
    )
    assert facts(failure(server, security="starttls")) == ("TLSError", "tls", "starttls-refused", True)


def test_tls_spoken_to_a_plain_port(smtp_server: Start) -> None:
    error = failure(smtp_server(), security="tls")
    assert isinstance(error, TLSError)
    assert facts(error)[2] in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")


def test_plain_text_spoken_to_a_tls_port(smtp_server: Start, certificates: Certificates) -> None:
    server = smtp_server(context=certificates.context("good"), implicit_tls=True)
    assert facts(failure(server, timeout=0.2)) == ("ConnectTimeout", "greet", "timeout", True)


def resets_after_hello(peer: Any, reply: str) -> None:
    peer.sock.recv(4096)
    resets(peer, reply)


@pytest.mark.parametrize(
    ("act", "kind"), [(hangs_up, "TLSError"), (resets_after_hello, "TLSError"), (silence, "ConnectTimeout")]
)
def test_a_handshake_that_ends_early(smtp_server: Start, certificates: Certificates, act: Any, kind: str) -> None:
    server = smtp_server(context=certificates.context("good"), implicit_tls=True, faults=[Fault("handshake", act)])
    error = failure(server, security="tls", timeout=0.3)
    assert facts(error)[0::3] == (kind, True)
    assert error.step == "tls"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_versions_are_refused(smtp_server: Start, tmp_path: Path) -> None:
    context = Certificates(tmp_path).context("good")
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("ALL:@SECLEVEL=0")
    server = smtp_server(context=context, implicit_tls=True)
    assert isinstance(failure(server, security="tls"), TLSError)


# — a server that does not behave, before anything was sent —


@pytest.mark.parametrize(
    ("step", "act", "expected"),
    [
        ("greet", silence, ("ConnectTimeout", "greet", "timeout", True)),
        ("greet", hangs_up, ("ConnectError", "greet", "closed", True)),
        ("greet", says("* OK IMAP4rev1 ready"), ("ConnectError", "greet", "not-smtp", False)),
        ("greet", sends(b"\x00\x4a\x00\x00\x0aMySQL"), ("ConnectError", "greet", "not-smtp", False)),
        ("greet", garbage, ("ConnectError", "greet", "not-smtp", False)),
        ("greet", long_line(), ("ConnectError", "greet", "not-smtp", False)),
        ("greet", says("554 5.7.1 no service"), ("ConnectError", "greet", None, False)),
        ("greet", says("421 4.7.0 too many connections"), ("Throttled", "greet", None, True)),
        ("greet", says("220 hi", "220 hi again"), ("ConnectError", "greet", "unexpected-reply", True)),
        ("ehlo", silence, ("ConnectTimeout", "greet", "timeout", True)),
        ("ehlo", half_line, ("ConnectTimeout", "greet", "timeout", True)),
        ("ehlo", hangs_up, ("ConnectError", "greet", "closed", True)),
        ("ehlo", continuations(), ("ConnectError", "greet", "reply-too-long", True)),
        ("ehlo", long_line(), ("ConnectError", "greet", "line-too-long", True)),
        ("ehlo", garbage, ("ConnectError", "greet", "not-smtp", True)),
        ("auth", silence, ("ConnectTimeout", "login", "timeout", True)),
        ("auth", hangs_up, ("ConnectError", "login", "closed", True)),
        ("auth", says("454 4.7.0 Temporary authentication failure"), ("LoginError", "login", None, True)),
        ("auth", says("334 not!base64"), ("LoginError", "login", "bad-challenge", False)),
        ("auth", garbage, ("ConnectError", "login", "not-smtp", True)),
    ],
)
def test_a_server_that_misbehaves_before_the_first_message(
    smtp_server: Start, step: str, act: Any, expected: tuple[Any, ...]
) -> None:
    server = smtp_server(users={"jana": "pw"}, faults=[Fault(step, act)])
    error = failure(server, "pw", timeout=0.3)
    assert facts(error) == expected
    assert len(str(error)) < 3000
    assert str(error).isprintable()


def test_a_reset_instead_of_a_greeting(smtp_server: Start) -> None:
    error = failure(smtp_server(faults=[Fault("greet", resets)]))
    assert facts(error)[0::2] == ("ConnectError", "reset")
    assert error.step in ("connect", "greet")  # it may come before the connection was looked at
    assert error.temporary


def test_what_an_other_service_says_is_shown(smtp_server: Start) -> None:
    error = failure(smtp_server(greeting="SSH-2.0-OpenSSH_9.6"))
    assert error.evidence is not None
    assert error.evidence.text == "SSH-2.0-OpenSSH_9.6"


def test_a_server_that_drips_is_slow_but_right(smtp_server: Start) -> None:
    server = smtp_server(faults=[Fault(step, drips) for step in ("greet", "ehlo", "mail", "rcpt", "body")])
    with session(server) as opened:
        assert opened.send(ENVELOPE, BODY).reply == "250 2.0.0 queued as 1"


# — addresses —


def found(*addresses: tuple[str, int]) -> Callable[..., list[Any]]:
    """Make a resolver that answers with these addresses."""

    def resolver(host: str, port: int, **options: Any) -> list[Any]:
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (address, number, 0, 0)[: 4 if ":" in address else 2],
            )
            for address, number in addresses
        ]

    return resolver


def open_at(resolver: Any, host: str = "mail.example.test", port: int = 25, **settings: Any) -> SmtpSession:
    given = {"timeout": 2.0, **settings}
    return open_session(account(port, host=host, **given), None, silent, route="smtp", resolver=resolver)


def test_the_next_address_is_tried_at_once_when_one_refuses(smtp_server: Start) -> None:
    server = smtp_server()
    opened = open_at(found(("::1", closed_port("::1")), ("127.0.0.1", server.port)))
    opened.send(ENVELOPE, BODY)
    opened.close()


def test_an_address_that_hangs_gets_a_head_start_and_no_more(smtp_server: Start) -> None:
    server = smtp_server()
    with full_backlog("::1") as port:
        opened = open_at(found(("::1", port), ("127.0.0.1", server.port)), timeout=20.0)
        assert opened._connection.peer == "127.0.0.1"
        opened.close()


def test_families_take_turns() -> None:
    answer = found(("::1", 1), ("::2", 1), ("::3", 1), ("127.0.0.1", 1), ("127.0.0.2", 1))
    order = tcp.resolve(Place("x.test", 1), timeout=1, resolver=answer)
    assert [each[4][0] for each in order] == ["::1", "127.0.0.1", "::2", "127.0.0.2", "::3"]


def test_every_address_that_was_tried_is_in_the_evidence() -> None:
    with full_backlog("127.0.0.1") as port, pytest.raises(ConnectError) as caught:
        open_at(found(("::1", closed_port("::1")), ("127.0.0.1", port)), timeout=0.3)
    error = caught.value
    assert facts(error) == ("ConnectError", "connect", "refused", True)
    assert error.evidence is not None
    assert error.evidence.details["tried"] == [
        {"address": "::1", "reason": "refused", "errno": errno.ECONNREFUSED},
        {"address": "127.0.0.1", "reason": "timeout", "errno": None},
    ]
    assert error.evidence.details["host"] == "mail.example.test"


def test_a_port_where_nothing_listens() -> None:
    error = failure(closed_port())
    assert facts(error) == ("ConnectError", "connect", "refused", True)
    assert isinstance(error, ConnectionError)


def test_a_port_that_drops_everything() -> None:
    with full_backlog("127.0.0.1") as port:
        error = failure(port, timeout=0.3)
    assert facts(error) == ("ConnectTimeout", "connect", "timeout", True)
    assert isinstance(error, TimeoutError)


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            ("ConnectError", "resolve", "not-found", False),
        ),
        (
            socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
            ("ConnectError", "resolve", "no-dns", True),
        ),
        (
            socket.gaierror(getattr(socket, "EAI_NODATA", -5), "No address"),
            ("ConnectError", "resolve", "no-address", False),
        ),
        (socket.gaierror(-4, "Non-recoverable"), ("ConnectError", "resolve", "no-dns", True)),
        (UnicodeError("label empty or too long"), ("ConnectError", "resolve", "bad-name", False)),
    ],
)
def test_names_that_cannot_be_found(problem: Exception, expected: tuple[Any, ...]) -> None:
    def resolver(*args: Any, **options: Any) -> list[Any]:
        raise problem

    with pytest.raises(ConnectError) as caught:
        open_at(resolver)
    assert facts(caught.value) == expected
    assert caught.value.evidence is not None
    assert caught.value.evidence.kind == "dns"


@pytest.mark.parametrize(
    "host",
    [
        "mail..example.test",
        "a" * 64 + ".test",
        ".",
        "[]",
        "smtp x.test",
        " x.test",
        "https://x.test",
        "x.test:465",
        "::g",
        "i@x.test",
    ],
)
def test_names_that_cannot_be_names(host: str) -> None:
    with pytest.raises(ConnectError) as caught:
        open_at(found(("127.0.0.1", 1)), host=host)
    assert facts(caught.value)[2] == "bad-name"


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("straße.test", "xn--strae-oqa.test"),
        ("ｓｍｔｐ．x.test", "smtp.x.test"),
        ("smtp.x.test.", "smtp.x.test"),
        ("[::1]", "::1"),
    ],
)
def test_names_are_looked_up_as_idna_2008_says(host: str, asked: str) -> None:
    """IDNA 2003 would ask for strasse.test, which is another server."""
    assert Place(host, 1).name == asked


def test_a_name_server_that_never_answers() -> None:
    asked = threading.Event()

    def resolver(*args: Any, **options: Any) -> list[Any]:
        asked.wait(10)
        return []

    with pytest.raises(ConnectTimeout) as caught:
        open_at(resolver, timeout=0.1)
    asked.set()
    assert facts(caught.value) == ("ConnectTimeout", "resolve", "no-dns", True)


# — sending —


def test_refusals_keep_the_session_usable(smtp_server: Start) -> None:
    server = smtp_server(
        refused={"evil@example.test": "553 5.7.1 not yours", "nobody@example.test": "550 5.1.1 no such user"}
    )
    with session(server) as opened:
        with pytest.raises(Refused) as sender:
            opened.send(Envelope("evil@example.test", ["petr@example.test"]), BODY)
        with pytest.raises(RecipientsRefused) as recipients:
            opened.send(Envelope("jana@example.test", ["nobody@example.test"]), BODY)
        receipt = opened.send(Envelope("jana@example.test", ["nobody@example.test", "petr@example.test"]), BODY)
        assert not opened.closed
    assert sender.value.evidence is not None
    assert sender.value.evidence.raw == "553 5.7.1 not yours"
    assert recipients.value.refused == {"nobody@example.test": {"reply": "550 5.1.1 no such user", "temporary": False}}
    assert receipt.accepted == ("petr@example.test",)
    assert list(receipt.refused) == ["nobody@example.test"]
    assert len(server.messages) == 1


@pytest.mark.parametrize("extensions", [EXTENSIONS, ("PIPELINING", *PLAIN), PLAIN, ()])
def test_a_content_that_comes_in_pieces_arrives_whole(smtp_server: Start, extensions: tuple[str, ...]) -> None:
    data = b"Subject: large\r\n\r\n" + b".dots at the start of a line\r\n..\r\n.\r\n" * 60000
    server = smtp_server(extensions=extensions)
    with session(server) as opened:
        opened.send(ENVELOPE, Raw(data, chunk=7777))
        opened.send(ENVELOPE, BODY)
    assert server.messages[0].data == data
    assert server.messages[1].data == BODY.data


def test_writing_and_reading_do_not_wait_for_each_other() -> None:
    """The server says a megabyte before it reads anything: who only writes would wait for ever."""
    words = b"250 " + b"x" * 250 + b"\r\n"
    listener = socket.create_server(("127.0.0.1", 0))
    heard = []

    def serve() -> None:
        peer, _ = listener.accept()
        with peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
            peer.sendall(words * 4500)
            while data := peer.recv(1 << 20):
                heard.append(len(data))

    thread = threading.Thread(target=serve)
    thread.start()
    sock = socket.create_connection(listener.getsockname())
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    connection = Connection(Place("127.0.0.1", 25), timeout=10, patience=10)
    connection.attach(sock)
    connection.write(b"y" * 20_000_000)
    connection.close()
    thread.join(10)
    listener.close()
    assert sum(heard) == 20_000_000 == connection.sent


def test_a_real_message_arrives_as_it_was_composed(smtp_server: Start) -> None:
    server = smtp_server()
    message = franking.Message(
        to=["petr@example.test"], bcc="boss@example.test", subject="Faktura č. 1", text="Dobrý den\n.tečka\n"
    )
    given = account(server)
    ready = prepare(message, sender=given.sender)
    with session(server) as opened:
        opened.send(ready.envelope, ready.content)
    (received,) = server.messages
    assert received.data == b"".join(ready.content.chunks(bcc=False))
    assert received.recipients == ["petr@example.test", "boss@example.test"]
    assert b"boss@" not in received.data


def test_8bit_is_refused_locally_and_the_session_goes_on(smtp_server: Start) -> None:
    server = smtp_server(extensions=("PIPELINING",))
    with session(server) as opened:
        with pytest.raises(MessageError):
            opened.send(ENVELOPE, Raw("háček\r\n".encode(), eight_bit=True))
        opened.send(ENVELOPE, BODY)
    assert [line.split()[0] for line in server.wait().lines] == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]


# — connections that die —


def send_failure(server: SmtpServer, *, content: Raw = BODY, **settings: Any) -> SendError:
    with session(server, **settings) as opened:
        with pytest.raises(SendError) as caught:
            opened.send(ENVELOPE, content)
        assert opened.closed
        with pytest.raises(ConnectError) as again:
            opened.send(ENVELOPE, content)
        assert again.value.stale
    return caught.value


CHUNKS, PIPES = EXTENSIONS, ("PIPELINING",)


@pytest.mark.parametrize(
    ("extensions", "step", "act", "expected"),
    [
        # the content had left with the envelope: only a refusal of the envelope is certain
        (CHUNKS, "mail", hangs_up, ("OutcomeUnknown", "accepted", "closed")),
        (CHUNKS, "mail", silence, ("OutcomeUnknown", "accepted", "timeout")),
        (CHUNKS, "mail", says("421 4.3.0 closing"), ("Throttled", "message", None)),
        (CHUNKS, "mail", says("354 what"), ("OutcomeUnknown", "accepted", "unexpected-reply")),
        (CHUNKS, "mail", garbage, ("OutcomeUnknown", "accepted", "not-smtp")),
        (CHUNKS, "body", resets, ("OutcomeUnknown", "accepted", "reset")),
        (CHUNKS, "body", half_line, ("OutcomeUnknown", "accepted", "timeout")),
        (CHUNKS, "body", long_line(), ("OutcomeUnknown", "accepted", "line-too-long")),
        (CHUNKS, "body", says("421 4.3.0 closing"), ("Throttled", "accepted", None)),
        # without CHUNKING nothing of the content leaves before DATA is answered
        (PIPES, "mail", hangs_up, ("ConnectError", "message", "closed")),
        (PIPES, "mail", silence, ("ConnectTimeout", "message", "timeout")),
        (PIPES, "rcpt", resets, ("ConnectError", "message", "reset")),
        (PIPES, "rcpt", says("421 4.7.0 too fast"), ("Throttled", "message", None)),
        (PIPES, "data", hangs_up, ("ConnectError", "message", "closed")),
        (PIPES, "data", says("250 what"), ("ConnectError", "message", "unexpected-reply")),
        (PIPES, "body", hangs_up, ("OutcomeUnknown", "accepted", "closed")),
        (PIPES, "body", silence, ("OutcomeUnknown", "accepted", "timeout")),
        ((), "mail", hangs_up, ("ConnectError", "message", "closed")),
        ((), "rcpt", continuations(), ("ConnectError", "message", "reply-too-long")),
        ((), "body", resets, ("OutcomeUnknown", "accepted", "reset")),
    ],
)
def test_a_connection_that_dies_while_sending(
    smtp_server: Start, extensions: tuple[str, ...], step: str, act: Any, expected: tuple[str, str, str | None]
) -> None:
    server = smtp_server(extensions=extensions, faults=[Fault(step, act)])
    error = send_failure(server, timeout=0.3, final_timeout=0.3)
    assert facts(error)[:3] == expected
    assert error.possibly_sent is isinstance(error, OutcomeUnknown)
    assert len(server.messages) == (act is half_line)


def test_accepted_and_never_answered_is_unknown_and_names_the_recipients(smtp_server: Start) -> None:
    server = smtp_server(faults=[Fault("body", hangs_up, executed=True)])
    error = send_failure(server)
    assert isinstance(error, OutcomeUnknown)
    assert error.accepted == ["petr@example.test"]
    assert len(server.messages) == 1


def test_a_large_content_that_is_cut_is_safe(smtp_server: Start) -> None:
    server = smtp_server(faults=[Fault("bdat", resets)])
    error = send_failure(server, content=Raw(b"x" * 78 + b"\r\n" * 20_000_000))
    assert isinstance(error, ConnectError)
    assert not error.possibly_sent


def test_a_servers_last_words_count_even_if_it_hangs_up_in_the_middle(smtp_server: Start) -> None:
    server = smtp_server(faults=[Fault("bdat", then(says("552 5.3.4 too big"), hangs_up))])
    error = send_failure(server, content=Raw(b"x" * 78 + b"\r\n" * 20_000_000))
    assert not error.possibly_sent
    assert isinstance(error, Refused | ConnectError)


def test_patience_for_the_accepting_reply_is_its_own(smtp_server: Start) -> None:
    release = threading.Event()

    def scans(peer: Any, reply: str) -> None:
        release.wait(10)
        peer.send(b"250 2.0.0 scanned\r\n")

    server = smtp_server(faults=[Fault("body", scans)], extensions=PIPES)
    with session(server, timeout=0.1, final_timeout=10) as opened:
        threading.Timer(0.4, release.set).start()
        assert opened.send(ENVELOPE, BODY).reply == "250 2.0.0 scanned"


# — idle connections —


@pytest.mark.parametrize("words", [(), ("421 4.4.2 idle too long",), ("451 4.4.2 Timeout - closing connection.",)])
def test_a_connection_that_the_server_closed_meanwhile_is_stale(smtp_server: Start, words: tuple[str, ...]) -> None:
    server = smtp_server()
    with session(server) as opened:
        opened.send(ENVELOPE, BODY)
        peer = server._peers[0]
        if words:
            peer.send("".join(line + "\r\n" for line in words).encode())
        peer.stop()
        wait_until(server.sessions[0].ended.is_set)
        with pytest.raises(ConnectError) as caught:
            opened.send(ENVELOPE, BODY)
    assert caught.value.stale
    assert caught.value.evidence is not None
    assert caught.value.evidence.reason == "closed"
    if words:
        assert caught.value.evidence.raw == words[0]
    assert len(server.messages) == 1


def test_something_unasked_makes_a_connection_useless(smtp_server: Start) -> None:
    server = smtp_server(faults=[Fault("body", twice, executed=True)])
    with session(server) as opened:
        opened.send(ENVELOPE, BODY)
        with pytest.raises((ConnectError, OutcomeUnknown)) as caught:
            opened.send(ENVELOPE, BODY)
        assert opened.closed
    assert caught.value.step in ("message", "accepted")


def test_after_ten_idle_seconds_mail_is_answered_before_content_leaves(smtp_server: Start) -> None:
    clock = Clock()
    server = smtp_server(faults=[Fault("mail", hangs_up, nth=3)])
    with session(server, clock=clock) as opened:
        opened.send(ENVELOPE, BODY)
        clock.now += 9
        opened.send(ENVELOPE, BODY)
        clock.now += 11
        with pytest.raises(ConnectError) as caught:
            opened.send(ENVELOPE, BODY)
    assert caught.value.stale
    assert server.wait().plain.count(b"BDAT") == 2


# — threads, processes, interruptions —


def test_abort_from_another_thread_ends_a_send_with_the_truth(smtp_server: Start) -> None:
    here = threading.Event()

    def wait(peer: Any, reply: str) -> None:
        here.set()
        silence(peer, reply)

    for extensions, kind in ((CHUNKS, OutcomeUnknown), (PIPES, ConnectError)):
        here.clear()
        server = smtp_server(extensions=extensions, faults=[Fault("mail", wait)])
        with session(server, timeout=30, final_timeout=30) as opened:
            aborter = threading.Thread(target=lambda opened=opened: (here.wait(10), opened.abort()))
            aborter.start()
            with pytest.raises(kind):
                opened.send(ENVELOPE, BODY)
            aborter.join()


def test_abort_under_tls_lets_nothing_out_in_plain(smtp_server: Start, certificates: Certificates) -> None:
    server = smtp_server(context=certificates.context("good"), implicit_tls=True)
    with session(server, security="tls", ca_file=certificates.ca_file) as opened:
        opened.abort()
        with pytest.raises(ConnectError):
            opened.send(ENVELOPE, BODY)
    assert b"MAIL" not in server.wait().plain


def test_two_threads_cannot_send_on_one_session(smtp_server: Start) -> None:
    here, go = threading.Event(), threading.Event()

    def wait(peer: Any, reply: str) -> None:
        here.set()
        go.wait(10)
        peer.send(b"250 2.0.0 at last\r\n")

    server = smtp_server(faults=[Fault("body", wait)])
    with session(server) as opened:
        results: list[Any] = []
        other = threading.Thread(target=lambda: results.append(opened.send(ENVELOPE, BODY)))
        other.start()
        here.wait(10)
        with pytest.raises(RuntimeError, match="another thread"):
            opened.send(ENVELOPE, BODY)
        go.set()
        other.join(10)
    assert results[0].reply == "250 2.0.0 at last"


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_cannot_touch_the_parents_connection(smtp_server: Start) -> None:
    server = smtp_server()
    with session(server) as opened:
        opened.send(ENVELOPE, BODY)
        child = os.fork()
        if child == 0:
            verdict = 1
            try:
                opened.abort()
                opened.send(ENVELOPE, BODY)
            except ConnectError as error:
                verdict = 0 if error.stale and error.evidence is not None and error.evidence.reason == "forked" else 2
            finally:
                opened.close()
                os._exit(verdict)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        opened.send(ENVELOPE, BODY)
    assert len(server.messages) == 2
    assert server.wait().lines.count("QUIT") == 1


@pytest.mark.parametrize(("extensions", "possibly"), [(CHUNKS, True), (PIPES, False)])
def test_an_interruption_says_whether_the_message_was_handed_over(
    smtp_server: Start, extensions: tuple[str, ...], possibly: bool
) -> None:
    server = smtp_server(extensions=extensions, faults=[Fault("mail", silence)])
    with session(server) as opened:

        def interrupted(seconds: float | None = None) -> None:
            raise KeyboardInterrupt

        opened._connection.fill = interrupted  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt) as caught:
            opened.send(ENVELOPE, BODY)
        assert caught.value.possibly_sent is possibly  # type: ignore[attr-defined]
        assert opened.closed


# — what an observer and a log see —


def test_the_steps_of_a_send(smtp_server: Start, certificates: Certificates) -> None:
    steps: list[Step] = []
    server = smtp_server(users={"jana": "pw"}, context=certificates.context("good"))
    with session(server, "pw", steps.append, security="starttls", ca_file=certificates.ca_file) as opened:
        opened.send(ENVELOPE, BODY)
    ended = [step for step in steps if step.status != "running"]
    assert [(step.name, step.status) for step in ended] == [
        (name, "ok") for name in ("resolve", "connect", "greet", "tls", "login", "message", "accepted")
    ]
    assert [step.name for step in steps if step.status == "running"] == [step.name for step in ended]
    detail = {step.name: step.detail for step in ended}
    assert detail["resolve"] == "127.0.0.1"
    assert detail["connect"] == f"127.0.0.1 port {server.port}"
    assert detail["greet"] == "mx.example.test ESMTP"
    assert detail["tls"].startswith("TLS 1.3, certificate valid until 20")
    assert detail["login"] == "PLAIN as jana"
    assert detail["message"] == f"{BODY.size} octets to 1 recipient"
    assert detail["accepted"] == "250 2.0.0 queued as 1"
    assert all(step.ms >= 0 for step in steps)


def test_with_implicit_tls_the_greeting_follows(smtp_server: Start, certificates: Certificates) -> None:
    steps: list[Step] = []
    server = smtp_server(context=certificates.context("good"), implicit_tls=True)
    with session(server, None, steps.append, security="tls", ca_file=certificates.ca_file):
        pass
    assert [step.name for step in steps if step.status == "ok"] == ["resolve", "connect", "tls", "greet"]


@pytest.mark.parametrize(
    ("fault", "last"),
    [
        (Fault("greet", hangs_up), ("greet", "failed")),
        (Fault("auth", says("535 5.7.8 no")), ("login", "failed")),
        (Fault("mail", says("553 5.7.1 not yours")), ("message", "failed")),
        (Fault("body", says("554 5.7.1 spam")), ("accepted", "failed")),
        (Fault("body", hangs_up), ("accepted", "failed")),
    ],
)
def test_the_step_that_failed(smtp_server: Start, fault: Fault, last: tuple[str, str]) -> None:
    steps: list[Step] = []
    server = smtp_server(users={"jana": "pw"}, faults=[fault])
    with pytest.raises(SendError) as caught, session(server, "pw", steps.append) as opened:
        opened.send(ENVELOPE, BODY)
    assert (steps[-1].name, steps[-1].status) == last
    assert steps[-1].detail == str(caught.value)
    assert caught.value.step == last[0]


@pytest.mark.parametrize("extensions", [CHUNKS, PIPES, ()])
def test_large_uploads_tell_how_far_they_are(smtp_server: Start, extensions: tuple[str, ...]) -> None:
    steps: list[Step] = []
    server = smtp_server(extensions=extensions)
    with session(server, None, steps.append) as opened:
        opened.send(ENVELOPE, Raw(b"x" * 78 + b"\r\n" * 1_000_000, chunk=65536))
    done = [step.done for step in steps if step.done is not None]
    assert len(done) > 3
    assert done == sorted(done)
    assert {step.total for step in steps if step.done is not None} == {78 + 2_000_000}


def test_the_wire_log_is_whole_and_holds_no_secret(
    smtp_server: Start, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="franking.wire")
    server = smtp_server(users={"jana": "Canary7"}, context=certificates.context("good"))
    with session(server, "Canary7", security="starttls", ca_file=certificates.ca_file) as opened:
        opened.send(ENVELOPE, BODY)
    lines = [record.getMessage() for record in caplog.records if record.name == "franking.wire"]
    assert lines[:3] == [
        "S: 220 mx.example.test ESMTP",
        "C: EHLO [127.0.0.1]",
        "S: 250-mx.example.test greets [127.0.0.1]",
    ]
    assert "C: STARTTLS" in lines
    assert "~C: AUTH PLAIN <…secret…>" in lines
    assert f"~C: BDAT {BODY.size} LAST" in lines
    assert f"~C: <… {BODY.size} octets>" in lines
    assert "~S: 250 2.0.0 queued as 1" in lines
    assert lines[-2:] == ["~C: QUIT", "~S: 221 2.0.0 bye"]
    assert "hello" not in "".join(lines)
    assert "Canary7" not in "".join(lines)


@pytest.mark.parametrize("step", ["auth", "mail"])
def test_a_secret_that_the_server_echoes_is_shown_nowhere(
    smtp_server: Start, caplog: pytest.LogCaptureFixture, step: str
) -> None:
    caplog.set_level(logging.DEBUG)
    steps: list[Step] = []
    echo = says("550 5.7.1 you said Canary7 or AGphbmEAQ2FuYXJ5Nw== or Q2FuYXJ5Nw==")
    server = smtp_server(users={"jana": CANARY}, faults=[Fault(step, echo)])
    with pytest.raises(SendError) as caught, session(server, CANARY, steps.append) as opened:
        opened.send(ENVELOPE, BODY)
    error = caught.value
    shown = (
        "".join(traceback.format_exception(error))
        + repr(error.evidence)
        + repr(steps)
        + caplog.text
        + repr(pickle.dumps(error))
    )
    for secret in (CANARY, "AGphbmEAQ2FuYXJ5Nw", "Q2FuYXJ5Nw"):
        assert secret not in shown
    assert "you said <…secret…>" in str(error)


def test_a_sign_in_address_with_a_one_time_token_is_shown_nowhere(
    smtp_server: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    refusal = says(
        "534-5.7.14 <https://accounts.example.test/signin/continue?sarp=1&plt=AKgnCanary7",
        "534-5.7.14 moreCanary7> Please log in via your web browser and",
        "534 5.7.14 then try again.",
    )
    error = failure(smtp_server(users={"jana": "pw"}, mechanisms=["PLAIN"], faults=[Fault("auth", refusal)]), "pw")
    assert "Canary7" not in caplog.text + str(error) + repr(error.evidence)
    assert "Please log in via your web browser" in str(error)
    assert "Please log in via your web browser" in caplog.text


# — probing —


def test_probe_looks_and_logs_in_nowhere(smtp_server: Start, certificates: Certificates) -> None:
    server = smtp_server(users={"jana": "pw"}, context=certificates.context("good"), plain_auth=False)
    seen = probe(
        "localhost", server.port, "starttls", ca_file=certificates.ca_file, resolver=found(("127.0.0.1", server.port))
    )
    assert seen.auth == ("PLAIN", "LOGIN")
    assert seen.size == 52428800
    assert seen.tls.startswith("TLS 1.3")
    assert seen.greeting == "mx.example.test ESMTP"
    assert [line.split()[0] for line in server.wait().lines] == ["EHLO", "STARTTLS", "EHLO", "QUIT"]


def test_throttled_is_refused_and_temporary() -> None:
    assert issubclass(Throttled, Refused)


# — somebody else's server —


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
def test_aiosmtpd(certificates: Certificates, security: str) -> None:
    from aiosmtpd.controller import Controller
    from aiosmtpd.smtp import AuthResult

    received: list[Any] = []

    class Handler:
        async def handle_DATA(self, server: Any, peer: Any, envelope: Any) -> str:
            received.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
            return "250 2.0.0 kept"

    context = certificates.context("good")
    tls: dict[str, Any] = {"none": {}, "starttls": {"tls_context": context}, "tls": {"ssl_context": context}}[security]
    controller = Controller(
        Handler(),
        hostname="127.0.0.1",
        port=reserved_ports(1)[0],
        authenticator=lambda server, peer, envelope, mechanism, data: AuthResult(
            success=data.password == PASSWORD.encode()
        ),
        auth_require_tls=False,
        **tls,
    )
    controller.start()
    try:
        with session(controller.port, PASSWORD, security=security, ca_file=certificates.ca_file) as opened:
            for _ in range(3):
                assert opened.send(ENVELOPE, BODY).reply == "250 2.0.0 kept"
    finally:
        controller.stop()
    assert received == [("jana@example.test", ["petr@example.test"], BODY.data)] * 3
