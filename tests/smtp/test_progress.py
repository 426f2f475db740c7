"""What an observer is told of a session and of one message."""

from __future__ import annotations

from typing import Any

import pytest

from franking.errors import (
    OutcomeUnknown,
    Refused,
    SendError,
)
from franking.provider import Receipt, Step
from franking.smtp.progress import Progress
from franking.smtp.protocol import Reply
from franking.smtp.transaction import MAIL, RCPT, Transaction
from servers.certificates import Certificates
from servers.dialogue import Raw, offers
from servers.smtp import (
    Fault,
    hangs_up,
    says,
)
from smtp.sessions import (
    BODY,
    CHUNKS,
    ENVELOPE,
    PIPES,
    Clock,
    Start,
    session,
)


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
    assert detail["message"] == f"{BODY.size} bytes to 1 recipient"
    assert detail["accepted"] == "250 2.0.0 queued as 1"
    assert all(step.ms >= 0 for step in steps)


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


class Events:
    """What an observer was told: name, status, and how far."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, int | None]] = []

    def __call__(self, step: Step) -> None:
        self.told.append((step.name, step.status, step.done))


def begun(size: int) -> tuple[Progress, Transaction, Events]:
    events = Events()
    transaction = Transaction(offers("PIPELINING"), 1, ENVELOPE, Raw(b"x" * size))
    return Progress(events, transaction, Clock()), transaction, events


def test_an_upload_is_told_of_every_256_kib_and_never_beyond_its_end() -> None:
    progress, transaction, events = begun(600_000)
    progress.look(1000)
    transaction.begin_content(1000)
    for sent in (1000, 263_143, 263_144, 400_000, 525_288, 700_000):
        progress.look(sent)
    assert events.told[1:] == [("message", "running", 262_144), ("message", "running", 525_288 - 1000)]


def test_what_leaves_behind_the_content_is_no_part_of_it() -> None:
    """Dots that were doubled, and the next message."""
    progress, transaction, events = begun(300_000)
    transaction.begin_content(1000)
    progress.look(2_000_000)
    assert events.told[1:] == [("message", "running", 300_000)]


def test_a_small_message_is_told_of_at_both_ends_only() -> None:
    progress, transaction, events = begun(200_000)
    transaction.begin_content(0)
    transaction.end_content(200_003)
    for sent in (100_000, 200_002, 200_003):
        progress.look(sent)
    assert events.told == [("message", "running", None)]  # nobody has accepted a recipient yet
    transaction.hear(MAIL, Reply(250))
    transaction.hear(RCPT, Reply(250))
    progress.look(200_002)
    assert len(events.told) == 1
    for _ in range(2):
        progress.look(200_003)
    assert events.told[1:] == [("message", "ok", None), ("accepted", "running", None)]
    progress.end(Refused("no", step="accepted"))
    assert events.told[3:] == [("accepted", "failed", None)]


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (Receipt("<1>", "smtp", "250 ok"), [("message", "ok"), ("accepted", "running"), ("accepted", "ok")]),
        (Refused("no", step="message"), [("message", "failed")]),
        (OutcomeUnknown("?"), [("message", "ok"), ("accepted", "running"), ("accepted", "failed")]),
    ],
)
def test_each_end_has_its_steps(result: Any, told: list[tuple[str, str]]) -> None:
    progress, _, events = begun(10)
    progress.end(result)
    assert [(name, status) for name, status, _ in events.told[1:]] == told
