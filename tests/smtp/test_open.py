"""Opening a session over real sockets: connecting, TLS, greeting, logging in, and every way in which that can fail."""

from __future__ import annotations

import errno
import itertools
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType, ModuleType
from typing import Any

import pytest

import franking.net.tcp
import franking.smtp.connection
import franking.smtp.handshake
import franking.smtp.open
from franking.auth.secret import Password
from franking.errors import (
    ConnectError,
    ConnectTimeout,
    LoginError,
    SettingsError,
)
from franking.provider import Step, silent
from franking.smtp.open import open_session
from servers.certificates import Certificates
from servers.ports import closed_port, full_backlog, reserved_ports
from servers.smtp import (
    Fault,
    continuations,
    garbage,
    half_line,
    hangs_up,
    long_line,
    resets,
    says,
    sends,
    silence,
)
from smtp.sessions import (
    BODY,
    ENVELOPE,
    PASSWORD,
    Start,
    account,
    facts,
    failure,
    found,
    open_at,
    session,
)


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
    settings = account(server, security="starttls", ca_file=certificates.ca_file)
    opened = open_session(
        settings,
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


def test_a_name_server_that_never_answers() -> None:
    asked = threading.Event()

    def resolver(*args: Any, **options: Any) -> list[Any]:
        asked.wait(10)
        return []

    with pytest.raises(ConnectTimeout) as caught:
        open_at(resolver, timeout=0.1)
    asked.set()
    assert facts(caught.value) == ("ConnectTimeout", "resolve", "no-dns", True)


def test_with_implicit_tls_the_greeting_follows(smtp_server: Start, certificates: Certificates) -> None:
    steps: list[Step] = []
    server = smtp_server(context=certificates.context("good"), implicit_tls=True)
    with session(server, None, steps.append, security="tls", ca_file=certificates.ca_file):
        pass
    assert [step.name for step in steps if step.status == "ok"] == ["resolve", "connect", "tls", "greet"]


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


def test_a_secret_without_a_name_goes_nowhere(smtp_server: Start) -> None:
    server = smtp_server(users={"jana": "pw"})
    with pytest.raises(SettingsError) as caught:
        open_session(account(server), Password("pw"), silent, route="smtp")
    assert (caught.value.field, caught.value.step) == ("username", "login")
    assert not any(line.startswith("AUTH") for line in server.wait().lines)


def lines_of(*modules: ModuleType) -> Callable[[int], Callable[..., Any]]:
    """Return what makes a trace function that interrupts before the line with this number is done."""
    files = {module.__file__ for module in modules}

    def interrupter(number: int) -> Callable[..., Any]:
        seen = itertools.count()

        def each(frame: FrameType, event: str, argument: Any) -> Any:
            if event == "line" and next(seen) == number:
                raise KeyboardInterrupt
            return each

        def trace(frame: FrameType, event: str, argument: Any) -> Any:
            return each if frame.f_code.co_filename in files else None

        return trace

    return interrupter


@pytest.mark.parametrize(("security", "step"), [("none", 1), ("starttls", 29)])
def test_an_interruption_between_any_two_lines_leaves_no_socket(
    smtp_server: Start,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    security: str,
    step: int,
) -> None:
    """A signal strikes where it likes; each socket has an owner that closes it, a refused attempt's too."""
    server = smtp_server(context=certificates.context("good"))
    settings = account(server, security=security, ca_file=certificates.ca_file)
    resolver = found(("127.0.0.1", closed_port()), ("127.0.0.1", server.port))
    opened: list[socket.socket] = []

    class Watched(socket.socket):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            if threading.current_thread() is threading.main_thread():
                opened.append(self)

    monkeypatch.setattr(socket, "socket", Watched)
    modules = (franking.net.tcp, franking.smtp.open, franking.smtp.connection, franking.smtp.handshake)
    interrupter = lines_of(*modules)
    before = sys.gettrace()
    for number in itertools.count(0, step):
        try:
            sys.settrace(interrupter(number))
            session = open_session(settings, None, silent, route="smtp", resolver=resolver)
        except KeyboardInterrupt:
            sys.settrace(before)
            assert [sock.fileno() for sock in opened] == [-1] * len(opened), f"line {number}"
            opened.clear()
        else:
            sys.settrace(before)
            session.close()
            break
    assert number > 200
