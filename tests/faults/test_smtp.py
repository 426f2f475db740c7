"""The fault matrix of SMTP: every fault at every step, over sockets; what must come of it stands in
``faults/smtp_table.py``.
"""

from __future__ import annotations

import contextlib
import threading
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

import franking
from faults import smtp_outcome
from faults.smtp_outcome import CHUNK, LARGE_BODY, SMALL_BODY, Outcome, harmless, seen
from faults.smtp_table import UNKNOWN, WAITING, allowed, cells, expected
from franking.message.address import Envelope
from franking.provider import STEPS, Step
from servers.certificates import Certificates
from servers.dialogue import Raw
from servers.misbehaviour import fault
from servers.ports import closed_port, full_backlog
from servers.smtp import EXTENSIONS, Fault, SmtpServer, says, twice

pytestmark = pytest.mark.matrix

WORDS = {
    "chunking": EXTENSIONS,
    "pipelining": tuple(word for word in EXTENSIONS if word != "CHUNKING"),
    "dialogue": tuple(word for word in EXTENSIONS if word not in ("CHUNKING", "PIPELINING")),
}
PASSWORD = "Canary7-hunter2"
SMALL, LARGE = Raw(SMALL_BODY), Raw(LARGE_BODY, chunk=CHUNK)
ENVELOPE = Envelope("jana@example.test", ["petr@example.test"])
FLOODS = ("10 MB line", "100,000 lines")
SILENCE, PATIENCE = 0.3, 10.0  # seconds: where nothing comes, and where a busy machine may be slow


def account(port: int, *, tls: bool = False, **settings: Any) -> franking.Account:
    given: dict[str, Any] = {
        "host": "localhost" if tls else "127.0.0.1",
        "security": "starttls" if tls else "none",
        "username": "jana",
    }
    given |= {"timeout": PATIENCE, "final_timeout": PATIENCE, **settings}
    return franking.Account(name="test", provider="smtp", sender="Jana <jana@example.test>", port=port, **given)


def act(step: str, given: franking.Account, outcome: Outcome) -> None:
    content = LARGE if step == "content" else SMALL
    smtp_outcome.act(step, given, PASSWORD, outcome, ENVELOPE, content, nobody="nobody@example.test")


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Measure the memory of this process, the server's part of it included: an endless answer is not kept."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000, f"{peak} octets for an endless answer"  # several copies of what one read may give


@pytest.mark.parametrize(("step", "kind", "mode"), [cell for cell in cells() if cell[0] != "connect"])
def test_a_fault_at_a_step(step: str, kind: str, mode: str, certificates: Certificates) -> None:
    tls = step in ("starttls", "tls", "ehlo again")
    over = threading.Event()
    options: dict[str, Any] = {"context": certificates.context("good") if tls else None}
    if step == "rset":
        options["refused"] = {"nobody@example.test": "550 5.1.1 unknown"}
    if step in ("auth question", "auth answer"):
        options["mechanisms"] = ("CRAM-MD5",)
    outcome = Outcome()
    with SmtpServer(
        extensions=WORDS[mode], users={"jana": PASSWORD}, faults=[fault(step, kind, over, outcome.greeting)], **options
    ) as server:
        wait = SILENCE if kind in WAITING else PATIENCE
        trust = certificates.ca_file if tls else None
        given = account(server.port, tls=tls, ca_file=trust, timeout=wait, final_timeout=wait)
        try:
            with bounded() if kind in FLOODS else contextlib.nullcontext():
                act(step, given, outcome)
            assert seen(outcome, given) in allowed(step, kind, mode)
        finally:
            over.set()
            outcome.close()
        server.wait()  # whatever came of it: nothing stays open
    if outcome.error is not None:
        harmless(outcome.error, PASSWORD)
        if not outcome.error.possibly_sent:
            assert server.messages == []


@pytest.mark.parametrize(("step", "kind", "mode"), [cell for cell in cells() if cell[0] not in ("connect", "quit")])
def test_every_failure_has_exactly_one_failed_step(step: str, kind: str, mode: str, certificates: Certificates) -> None:
    """As an application sees it: the failed step is the error's, and where a new session made up for it, there is
    none.
    """
    tls = step in ("starttls", "tls", "ehlo again")
    over, greeting = threading.Event(), threading.Event()
    options: dict[str, Any] = {"context": certificates.context("good") if tls else None}
    if step == "rset":
        options["refused"] = {"nobody@example.test": "550 5.1.1 unknown"}
    if step in ("auth question", "auth answer"):
        options["mechanisms"] = ("CRAM-MD5",)
    steps: list[Step] = []

    def observe(told: Step) -> None:
        if told.name == "greet":
            greeting.set()
        steps.append(told)

    with SmtpServer(
        extensions=WORDS[mode], users={"jana": PASSWORD}, faults=[fault(step, kind, over, greeting)], **options
    ) as server:
        wait = SILENCE if kind in WAITING else PATIENCE
        trust = certificates.ca_file if tls else None
        given = account(server.port, tls=tls, ca_file=trust, timeout=wait, final_timeout=wait)
        content = LARGE_BODY if step == "content" else SMALL_BODY
        error: franking.FrankingError | None = None
        try:
            with franking.connect(given, secret=PASSWORD, observer=observe) as mailer:
                if step == "rset":
                    with pytest.raises(franking.RecipientsRefused):
                        mailer.send(content, envelope=Envelope("jana@example.test", ["nobody@example.test"]))
                    steps.clear()
                mailer.send(content, envelope=ENVELOPE)
        except franking.FrankingError as caught:
            error = caught
        finally:
            over.set()
    failed = [told for told in steps if told.status == "failed"]
    assert [(told.name, told.detail) for told in failed] == ([] if error is None else [(error.step, error.message)])
    assert {told.name for told in steps} <= set(STEPS)


@contextlib.contextmanager
def refusing() -> Iterator[int]:
    yield closed_port()


@pytest.mark.parametrize(("kind", "place"), [("silence", full_backlog), ("reset", refusing)])
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


@pytest.mark.parametrize("last", ["550 5.7.1 content rejected", "250 2.0.0 queued", "421 4.3.2 bye"])
def test_an_answer_too_many_in_one_flight_is_no_acceptance(last: str) -> None:
    """A surplus answer pushes the others on by one: RCPT's 250 seems to answer the content, and its own is left."""
    with SmtpServer(
        users={"jana": PASSWORD}, faults=[Fault("rcpt", says("250 2.1.5 ok", "250 2.1.5 ok", last))]
    ) as server:
        given, outcome = account(server.port), Outcome()
        try:
            act("rcpt", given, outcome)
        finally:
            outcome.close()
    assert seen(outcome, given) == UNKNOWN


@pytest.mark.timeout(30)
@pytest.mark.parametrize("mode", ["chunking", "pipelining"])
def test_a_refusal_in_the_middle_is_heard_though_the_server_reads_no_more(mode: str) -> None:
    """The time-out is a minute: whoever only looks after writing would still sit there."""
    over = threading.Event()
    with SmtpServer(extensions=WORDS[mode], users={"jana": PASSWORD}, faults=[fault("content", "5xx", over)]) as server:
        given, outcome = account(server.port, timeout=60.0), Outcome()
        try:
            act("content", given, outcome)
            assert seen(outcome, given) == expected("content", "5xx", mode)
        finally:
            over.set()
