"""One message on an open session: refusals, connections that die, idle ones, threads, processes, interruptions."""

from __future__ import annotations

import os
import socket
import struct
import threading
from typing import Any

import pytest

import franking
from franking.errors import (
    ConnectError,
    MessageError,
    OutcomeUnknown,
    RecipientsRefused,
    Refused,
    SendError,
)
from franking.message.address import Envelope
from franking.message.prepare import prepare
from franking.provider import Step
from servers.dialogue import Raw
from servers.smtp import (
    EXTENSIONS,
    Fault,
    SmtpServer,
    continuations,
    garbage,
    half_line,
    hangs_up,
    long_line,
    resets,
    says,
    silence,
    then,
    twice,
    wait_until,
)
from smtp.sessions import (
    BODY,
    CHUNKS,
    ENVELOPE,
    PIPES,
    Clock,
    Start,
    account,
    facts,
    session,
)

PLAIN = ("SIZE 52428800", "8BITMIME")


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


def test_a_real_message_arrives_as_it_was_composed(smtp_server: Start) -> None:
    server = smtp_server()
    message = franking.Message(
        to=["petr@example.test"], bcc="boss@example.test", subject="Faktura č. 1", text="Dobrý den\n.tečka\n"
    )
    settings = account(server)
    ready = prepare(message, sender=settings.sender)
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


def send_failure(server: SmtpServer, *, content: Raw = BODY, **settings: Any) -> SendError:
    with session(server, **settings) as opened:
        with pytest.raises(SendError) as caught:
            opened.send(ENVELOPE, content)
        assert opened.closed
        with pytest.raises(ConnectError) as again:
            opened.send(ENVELOPE, content)
        assert again.value.stale
    return caught.value


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


def test_a_yes_before_the_server_has_all_of_a_large_content_is_none(smtp_server: Start) -> None:
    server = smtp_server(faults=[Fault("bdat", then(says("250 2.0.0 fine"), hangs_up))])
    error = send_failure(server, content=Raw(b"x" * 78 + b"\r\n" * 20_000_000, chunk=1 << 30))
    assert isinstance(error, ConnectError)
    assert not error.possibly_sent


def test_patience_for_the_accepting_reply_is_its_own(smtp_server: Start) -> None:
    release = threading.Event()

    def scans(peer: Any, reply: str) -> None:
        release.wait(10)
        peer.send(b"250 2.0.0 scanned\r\n")

    server = smtp_server(faults=[Fault("body", scans)], extensions=PIPES)
    with session(server, timeout=0.1, final_timeout=10) as opened:
        threading.Timer(0.4, release.set).start()
        assert opened.send(ENVELOPE, BODY).reply == "250 2.0.0 scanned"


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
    server = smtp_server(faults=[Fault("body", twice, executed=True)], extensions=())
    with session(server) as opened:
        opened.send(ENVELOPE, BODY)
        with pytest.raises(ConnectError) as caught:
            opened.send(ENVELOPE, BODY)
        assert opened.closed
    assert caught.value.step == "message"


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
            code = 1
            try:
                opened.abort()
                opened.send(ENVELOPE, BODY)
            except ConnectError as error:
                code = 0 if error.stale and error.evidence is not None and error.evidence.reason == "forked" else 2
            finally:
                opened.close()
                os._exit(code)
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


@pytest.mark.parametrize(("idle", "waits"), [(10.0, False), (10.1, True)])
def test_ten_idle_seconds_are_not_too_long_yet(smtp_server: Start, idle: float, waits: bool) -> None:
    clock = Clock()
    server = smtp_server(faults=[Fault("mail", says("553 5.7.1 not yours"), nth=2)])
    with session(server, clock=clock) as opened:
        opened.send(ENVELOPE, BODY)
        clock.now += idle
        with pytest.raises(Refused):
            opened.send(ENVELOPE, BODY)
    assert server.wait().plain.count(b"BDAT") == 2 - waits


def test_idleness_is_counted_from_the_last_message(smtp_server: Start) -> None:
    clock = Clock()
    server = smtp_server(faults=[Fault("mail", says("553 5.7.1 not yours"), nth=4)])
    with session(server, clock=clock) as opened:
        for _ in range(3):
            clock.now += 9
            opened.send(ENVELOPE, BODY)
        clock.now += 9
        with pytest.raises(Refused):
            opened.send(ENVELOPE, BODY)
    assert server.wait().plain.count(b"BDAT") == 4  # the content left with the envelope, each time


@pytest.mark.parametrize("extensions", [CHUNKS, PIPES, ()])
def test_a_refused_message_is_reset_once_before_the_next_and_nothing_else_is_said(
    smtp_server: Start, extensions: tuple[str, ...]
) -> None:
    server = smtp_server(extensions=extensions, refused={"nobody@example.test": "550 5.1.1 no such user"})
    with session(server) as opened:
        for _ in range(2):
            with pytest.raises(RecipientsRefused):
                opened.send(Envelope("jana@example.test", ["nobody@example.test"]), BODY)
        for _ in range(2):
            opened.send(ENVELOPE, BODY)
    verbs = [line.split()[0] for line in server.wait().lines]
    refused, accepted = ["MAIL", "RCPT"], ["MAIL", "RCPT"]
    if extensions is CHUNKS:
        refused, accepted = [*refused, "BDAT"], [*accepted, "BDAT"]
    elif extensions is PIPES:
        refused = [*refused, "DATA"]
    if extensions is not CHUNKS:
        accepted = [*accepted, "DATA"]
    assert verbs == ["EHLO", *refused, "RSET", *refused, "RSET", *accepted, *accepted, "QUIT"]
    assert len(server.messages) == 2


def test_an_acceptance_and_a_refusal_in_one_breath_are_unknown(smtp_server: Start) -> None:
    server = smtp_server(
        extensions=PIPES, faults=[Fault("body", says("250 2.0.0 ok", "554 5.7.1 spam"), executed=True)]
    )
    error = send_failure(server)
    assert facts(error)[:3] == ("OutcomeUnknown", "accepted", "unexpected-reply")
    assert error.accepted == ["petr@example.test"]  # type: ignore[attr-defined]


def test_half_a_line_that_nobody_asked_for_makes_a_connection_stale(smtp_server: Start) -> None:
    server = smtp_server()
    with session(server) as opened:
        opened.send(ENVELOPE, BODY)
        server._peers[0].send(b"25")
        wait_until(lambda: not opened._connection.quiet())
        with pytest.raises(ConnectError, match="unasked") as caught:
            opened.send(ENVELOPE, BODY)
        assert opened.closed
    assert caught.value.stale
    assert caught.value.evidence is not None
    assert (caught.value.evidence.kind, caught.value.evidence.reason) == ("smtp", "unexpected-reply")
    assert len(server.messages) == 1


def test_a_reset_while_idle_is_stale(smtp_server: Start) -> None:
    server = smtp_server()
    with session(server) as opened:
        opened.send(ENVELOPE, BODY)
        sock = server._peers[0].sock
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server._peers[0].stop()
        wait_until(server.sessions[0].ended.is_set)
        with pytest.raises(ConnectError) as caught:
            opened.send(ENVELOPE, BODY)
    assert caught.value.stale
    assert len(server.messages) == 1


def test_what_was_interrupted_and_accepted_may_have_been_sent(smtp_server: Start) -> None:
    """The observer's exception comes when the message has been accepted: nobody has been told of it."""

    def observer(step: Step) -> None:
        if step.name == "accepted" and step.status == "ok":
            raise KeyboardInterrupt

    server = smtp_server()
    with session(server, None, observer) as opened, pytest.raises(KeyboardInterrupt) as caught:
        opened.send(ENVELOPE, BODY)
    assert caught.value.possibly_sent is True  # type: ignore[attr-defined]
    assert len(server.messages) == 1
