"""What came of a cell of the fault matrix: a session opened, a message sent, and the error or none. The servers that
misbehave stand elsewhere.
"""

from __future__ import annotations

import contextlib
import pickle
import threading

import franking
from faults.smtp_table import ACCEPTED, Expected
from franking.auth.secret import Password
from franking.errors import FrankingError, RecipientsRefused
from franking.message.address import Envelope
from franking.message.content import Content
from franking.provider import Step
from franking.registry import provider
from franking.sending.explain import explain
from franking.smtp.open import open_session
from franking.smtp.session import SmtpSession
from servers.dialogue import Raw

SMALL_BODY = b"Subject: x\r\n\r\nhello\r\n"
# more than the kernel holds for a server that does not read
LARGE_BODY = b"Subject: x\r\n\r\n" + (b"z" * 998 + b"\r\n") * 12_000
CHUNK = 65536


class Outcome:
    """The error or None, and the session as it was left."""

    def __init__(self, greeting: threading.Event | None = None) -> None:
        self.error: FrankingError | None = None
        self.session: SmtpSession | None = None
        self.greeting = greeting or threading.Event()

    def watch(self, step: Step) -> None:
        if step.name == "greet":
            self.greeting.set()

    def close(self) -> None:
        if self.session is not None:
            self.session.close()


def act(
    step: str,
    given: franking.Account,
    secret: str,
    outcome: Outcome,
    envelope: Envelope,
    content: Content,
    *,
    nobody: str,
) -> None:
    """Open a session and send; before that, at the step ``rset``, have a message to ``nobody`` refused; close where
    closing is the step.
    """
    try:
        outcome.session = session = open_session(given, Password(secret), outcome.watch, route="smtp")
        if step == "rset":
            with contextlib.suppress(RecipientsRefused):
                session.send(Envelope(envelope.sender, [nobody]), Raw())
        session.send(envelope, content)
        if step == "quit":
            session.close()
    except FrankingError as error:
        outcome.error = error


def seen(outcome: Outcome, given: franking.Account) -> Expected:
    error, session = outcome.error, outcome.session
    if error is None:
        return ACCEPTED
    code = explain(error, given, provider("smtp")).code
    return Expected(
        type(error).__name__,
        error.step or "",
        error.temporary,
        error.possibly_sent,
        code,
        session is None or session.closed,
    )


def harmless(error: FrankingError, secret: str) -> None:
    """Look at everything that may be shown: no control characters, no secret, no endless text; and it pickles."""
    assert error.diagnosis is not None
    shown = (
        f"{error} {error.evidence} {error.diagnosis.raw} {error.diagnosis.title} {error.diagnosis.cause} "
        f"{error.diagnosis.remedies}"
    )
    assert shown.isprintable()
    assert secret not in shown
    assert len(shown) < 20_000
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.step, again.possibly_sent) == (str(error), error.step, error.possibly_sent)
