"""What a client is told of its message, by what the outbox knows of it."""

from __future__ import annotations

from typing import Any

import pytest

from franking.diagnosis.diagnosis import Diagnosis
from franking.outbox.entry import OutboxEntry
from franking.provider import Receipt
from franking.relay.verdict import blocks, verdict

LOGIN = Diagnosis("login.refused")
GONE = Diagnosis("recipient.unknown", raw="550 5.1.1 nobody here")


def entry(state: str, diagnosis: Diagnosis | None = None, *accepted: str, **more: Any) -> OutboxEntry:
    receipt = Receipt("<1@example.cz>", "smtp", accepted=accepted) if accepted else None
    to = ("a@example.com", "b@example.com")
    return OutboxEntry(
        "1-x", None, "shop", state, None, "shop@example.cz", to, to, "", "", 1, 1, "", None, "", receipt, diagnosis
    )


@pytest.mark.parametrize("state", ["refused", "failed", "queued"])
def test_what_somebody_has_is_never_refused(state: str) -> None:
    said = verdict(entry(state, LOGIN, "a@example.com"), "refuse")
    assert (said.outcome, said.withdraw) == ("queued", False)


@pytest.mark.parametrize(
    ("state", "diagnosis", "on_blocked", "reply"),
    [
        ("refused", GONE, "hold", b"550 5.1.1 "),
        ("failed", LOGIN, "hold", b"554 5.0.0 "),
        ("queued", LOGIN, "refuse", b"451 4.3.0 "),
        ("queued", LOGIN, "hold", b"250 2.0.0 queued as 1-x"),
        ("queued", Diagnosis("server.greeting"), "refuse", b"250 2.0.0 queued"),
        ("queued", None, "refuse", b"250 2.0.0 queued"),
        ("unknown", LOGIN, "refuse", b"250 2.0.0 queued"),
    ],
)
def test_what_is_said_of_a_message_that_nobody_has(
    state: str, diagnosis: Diagnosis | None, on_blocked: str, reply: bytes
) -> None:
    said = verdict(entry(state, diagnosis), on_blocked)
    assert said.reply.startswith(reply)
    assert said.withdraw is (said.outcome == "refused") is not reply.startswith(b"250")


@pytest.mark.parametrize(
    ("code", "temporary", "blocked"),
    [("login.refused", False, True), ("login.refused", True, False), ("connect.refused", False, False)],
)
def test_only_what_a_person_must_mend_blocks_an_account(code: str, temporary: bool, blocked: bool) -> None:
    assert blocks(Diagnosis(code, temporary=temporary)) is blocked
