"""The fault matrix of SMTP: every fault at every step, over sockets; what must come of it stands in ``fault_table.py``."""

from __future__ import annotations

import contextlib
import pickle
import socket
import threading
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

import franking
from fault_table import ACCEPTED, Expected, cells, expected
from franking.address import Envelope
from franking.errors import FrankingError, RecipientsRefused
from franking.mailer import explain
from franking.provider import Step
from franking.registry import provider
from franking.smtp.send import SmtpSession, open_session
from franking.tokens import Password
from servers.certificates import Certificates
from servers.dialogue import Raw
from servers.misbehaviour import BEFORE, fault
from servers.smtp import EXTENSIONS, Fault, SmtpServer, says, twice

WORDS = {
    "chunking": EXTENSIONS,
    "pipelining": tuple(word for word in EXTENSIONS if word != "CHUNKING"),
    "dialogue": tuple(word for word in EXTENSIONS if word not in ("CHUNKING", "PIPELINING")),
}
PASSWORD = "Canary7-hunter2"
SMALL = Raw(b"Subject: x\r\n\r\nhello\r\n")
LARGE = Raw(
    b"Subject: x\r\n\r\n" + (b"z" * 998 + b"\r\n") * 12_000, chunk=65536
)  # more than the kernel holds for a server that does not read
ENVELOPE = Envelope("jana@example.test", ["petr@example.test"])
SILENCE, PATIENCE = 0.3, 10.0  # seconds: where nothing comes, and where a busy machine may be slow


def account(port: int, *, tls: bool = False, **settings: Any) -> franking.Account:
    given: dict[str, Any] = {"host": "localhost" if tls else "127.0.0.1", "security": "starttls" if tls else "none", "username": "jana"}
    given |= {"timeout": PATIENCE, "final_timeout": PATIENCE, **settings}
    return franking.Account(name="test", provider="smtp", sender="Jana <jana@example.test>", port=port, **given)


class Outcome:
    """What came of a cell: the error or None, and the session as it was left."""

    def __init__(self) -> None:
        self.error: FrankingError | None = None
        self.session: SmtpSession | None = None
        self.greeting = threading.Event()

    def watch(self, step: Step) -> None:
        if step.name == "greet":
            self.greeting.set()


def act(step: str, given: franking.Account, outcome: Outcome) -> None:
    """Open a session and send; close it where closing is the step."""
    try:
        outcome.session = session = open_session(given, Password(PASSWORD), outcome.watch, route="smtp")
        if step == "rset":
            with contextlib.suppress(RecipientsRefused):
                session.send(Envelope(ENVELOPE.sender, ["nobody@example.test"]), SMALL)
        session.send(ENVELOPE, LARGE if step == "content" else SMALL)
        if step == "quit":
            session.close()
    except FrankingError as error:
        outcome.error = error


def seen(outcome: Outcome, given: franking.Account) -> Expected:
    error, session = outcome.error, outcome.session
    if error is None:
        return ACCEPTED
    code = explain(error, given, provider("smtp")).code
    return Expected(type(error).__name__, error.step or "", error.temporary, error.possibly_sent, code, session is None or session.closed)


def harmless(error: FrankingError) -> None:
    """Look at everything that may be shown: no control characters, no secret, no endless text; and it pickles."""
    assert error.diagnosis is not None
    shown = f"{error} {error.evidence} {error.diagnosis.raw} {error.diagnosis.title} {error.diagnosis.cause} {error.diagnosis.remedies}"
    assert shown.isprintable()
    assert PASSWORD not in shown
    assert len(shown) < 20_000
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.step, again.possibly_sent) == (str(error), error.step, error.possibly_sent)


@pytest.mark.parametrize(("step", "kind", "road"), [cell for cell in cells() if cell[0] != "connect"])
def test_a_fault_at_a_step(step: str, kind: str, road: str, certificates: Certificates) -> None:
    tls = "tls" in (step, BEFORE.get(step)) or step in ("tls", "starttls")
    over = threading.Event()
    options: dict[str, Any] = {"context": certificates.context("good") if tls else None}
    if step == "rset":
        options["refused"] = {"nobody@example.test": "550 5.1.1 unknown"}
    outcome = Outcome()
    with SmtpServer(
        extensions=WORDS[road], users={"jana": PASSWORD}, faults=[fault(step, kind, over, outcome.greeting)], **options
    ) as server:
        wait = SILENCE if kind in ("silence", "half a line") else PATIENCE
        trust = certificates.ca_file if tls else None
        given = account(server.port, tls=tls, ca_file=trust, timeout=wait, final_timeout=wait)
        try:
            act(step, given, outcome)
            assert seen(outcome, given) == expected(step, kind, road)
        finally:
            over.set()
            if outcome.session is not None:
                outcome.session.close()
        server.wait()  # whatever came of it: nothing stays open
    if outcome.error is not None:
        harmless(outcome.error)
        if not outcome.error.possibly_sent:
            assert server.messages == []


@contextlib.contextmanager
def full_backlog() -> Iterator[int]:
    """A port that answers nothing any more: its queue of connections is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.mark.parametrize(("kind", "place"), [("silence", full_backlog), ("reset", closed_port)])
def test_a_fault_at_the_tcp_handshake(kind: str, place: Any) -> None:
    with place() as port:
        given, outcome = account(port, timeout=SILENCE), Outcome()
        act("connect", given, outcome)
    assert seen(outcome, given) == expected("connect", kind)


def test_the_matrix_has_a_few_hundred_cells() -> None:
    assert len(cells()) > 300


# — what the matrix taught —


def test_words_that_came_unasked_are_not_read_as_the_cause(certificates: Certificates) -> None:
    """The second answer to EHLO names SMTPUTF8; that it was one too many counts."""
    with SmtpServer(users={"jana": PASSWORD}, faults=[Fault("ehlo", twice, executed=True)]) as server:
        given, outcome = account(server.port), Outcome()
        act("auth", given, outcome)
    assert seen(outcome, given).code == "protocol.error"


@pytest.mark.parametrize(
    ("last", "error"), [("550 5.7.1 content rejected", "OutcomeUnknown"), ("250 2.0.0 queued", ""), ("421 4.3.2 bye", "")]
)
def test_an_answer_too_many_beside_a_refusal_is_no_acceptance(last: str, error: str) -> None:
    """One flight, and a surplus answer pushes the others on by one: RCPT's 250 seems to answer the content, and a refusal is left over."""
    with SmtpServer(users={"jana": PASSWORD}, faults=[Fault("rcpt", says("250 2.1.5 ok", "250 2.1.5 ok", last))]) as server:
        given, outcome = account(server.port), Outcome()
        try:
            act("rcpt", given, outcome)
        finally:
            if outcome.session is not None:
                outcome.session.close()
    assert seen(outcome, given).error == error


@pytest.mark.timeout(30)
@pytest.mark.parametrize("road", ["chunking", "pipelining"])
def test_a_refusal_in_the_middle_is_heard_though_the_server_reads_no_more(road: str) -> None:
    """The time-out is a minute: whoever only looks after writing would still sit there."""
    over = threading.Event()
    with SmtpServer(extensions=WORDS[road], users={"jana": PASSWORD}, faults=[fault("content", "5xx", over)]) as server:
        given, outcome = account(server.port, timeout=60.0), Outcome()
        try:
            act("content", given, outcome)
            assert seen(outcome, given) == expected("content", "5xx", road)
        finally:
            over.set()


@pytest.mark.parametrize("step", ["greet", "ehlo", "auth", "mail", "final"])
@pytest.mark.parametrize("kind", ["10 MB line", "100,000 lines"])
def test_memory_stays_bounded(step: str, kind: str) -> None:
    over = threading.Event()
    with SmtpServer(users={"jana": PASSWORD}, faults=[fault(step, kind, over)]) as server:
        given, outcome = account(server.port), Outcome()
        tracemalloc.start()
        try:
            act(step, given, outcome)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            over.set()
            if outcome.session is not None:
                outcome.session.close()
    assert outcome.error is not None
    assert peak < 2_000_000, f"{peak} octets for an endless answer"
