"""What an attempt leads to: how a message ends, or when, for whom and how often it is tried again.

All of it is pure: nothing here sleeps, sends, draws lots or knows a provider. ``bulk.py`` does what is decided here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from franking.errors import (
    ConnectError,
    FrankingError,
    LoginError,
    LoginRequired,
    RecipientsRefused,
    Refused,
    SendError,
    SettingsError,
    Throttled,
    TLSError,
)
from franking.message.address import Envelope
from franking.provider import Receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from franking.message.prepare import Prepared
    from franking.sending.queue import Job

__all__ = [
    "BEFORE_A_MESSAGE",
    "INSTEAD",
    "NEVER",
    "Decision",
    "Policy",
    "decide",
    "elsewhere",
    "ended",
    "is_the_accounts",
    "may_retry",
    "merge",
    "narrowed",
    "sent_on",
    "shorter",
    "too_many",
    "with_short_lines",
    "without",
]


BEFORE_A_MESSAGE = ("settings", "secret", "resolve", "connect", "tls", "greet", "login")
"""The steps that come before anything of a message: what ends in them is no message's doing."""


def may_retry(error: FrankingError) -> bool:
    """Return whether the very same request may be repeated: it may succeed later and was surely not accepted."""
    return isinstance(error, SendError) and error.temporary and not error.possibly_sent


def is_the_accounts(error: FrankingError) -> bool:
    """Return whether an error says that nothing of this account can leave now, whichever message is tried.

    A connection that broke within a message may be that message's own doing: it waits alone, or one message could stop
    all others.
    """
    if error.possibly_sent:
        return False
    if isinstance(error, LoginRequired | LoginError | SettingsError | TLSError | Throttled):
        return True
    if isinstance(error, ConnectError):
        return error.step != "message"
    return type(error) is SendError and error.temporary and error.step in BEFORE_A_MESSAGE


@dataclass(frozen=True, slots=True)
class Policy:
    """How often and after which pauses something is tried again.

    ``attempts`` counts the first one too. Pauses double from ``first`` to ``longest`` seconds, each shortened by up to
    half at random, so that many senders do not come back in step. A server's own Retry-After is honoured up to
    ``patience`` seconds; beyond it the message is given back as temporarily failed rather than held for hours.
    ``elsewhere`` tells what another account makes up for, so that it is not tried again here.
    """

    attempts: int = 5
    first: float = 2.0
    longest: float = 120.0
    patience: float = 900.0
    elsewhere: Callable[[FrankingError], bool] | None = None

    def pause(self, attempt: int, chance: float, retry_after: float | None = None) -> float | None:
        """Return the seconds to wait before attempt number ``attempt + 1``, or None to give up.

        ``chance`` is drawn at random, 0 ≤ x < 1.
        """
        wanted = retry_after or 0.0
        if attempt >= self.attempts or wanted > self.patience:
            return None
        usual = min(self.longest, self.first * 2.0 ** min(attempt - 1, 60)) * (1.0 - chance / 2.0)
        return max(usual, wanted)

    def pause_after(self, error: FrankingError, attempt: int, chance: float) -> float | None:
        """Return the seconds to wait before what met with ``error`` is tried again, or None where it may not be."""
        if not may_retry(error):
            return None
        if isinstance(error, Throttled):
            return self.pause(attempt, chance, error.retry_after)
        return self.pause(attempt, chance)

    def goes_elsewhere(self, error: FrankingError) -> bool:
        """Return whether another account makes up for an error."""
        return self.elsewhere is not None and self.elsewhere(error)


NEVER = Policy(attempts=1)
INSTEAD = "Another account sends instead."


@dataclass(frozen=True, slots=True)
class Decision:
    """What an attempt leads to.

    ``outcome``, ``receipt`` and ``error`` are those of the message's ``SendResult``, should this attempt be its last.
    ``following`` is the job as it is tried again after ``pause`` seconds, or None. Before that ``renew`` asks for a
    newer token than the refused one, and ``slow_down`` lets the whole run wait and use fewer connections. What goes
    ``elsewhere`` follows with another account, and so does all that this one has not begun.
    """

    outcome: str
    receipt: Receipt | None = None
    error: FrankingError | None = None
    following: Job | None = None
    pause: float = 0.0
    renew: bool = False
    slow_down: bool = False
    elsewhere: bool = False

    @property
    def answered(self) -> bool:
        """Return whether a server has answered to a recipient or to the message: no other account may have that job."""
        return self.following is not None and self.following.answered


def decide(
    job: Job, outcome: Receipt | FrankingError, policy: Policy, chance: float, *, carried: bool = False
) -> Decision:
    """Return what this outcome of a job's attempt leads to.

    Only what was surely not accepted is tried again, and only for those recipients who may still get it. A connection
    that was dead before anything left, and a refused token, are made up for once, whatever the policy allows. One that
    has ``carried`` a message of this run before it ended was no attempt: each such end comes with a message that went.
    """
    if isinstance(outcome, Receipt):
        return _after_receipt(job, outcome, policy, chance)
    if isinstance(outcome, RecipientsRefused):
        return _after_refusal(job, outcome, policy, chance)
    end = ended(job, outcome)
    again = replace(job, attempt=job.attempt + 1, answered=job.answered or _answers(outcome))
    if isinstance(outcome, LoginError) and outcome.token_refused and job.attempt == 1:
        return replace(end, following=again, renew=True)
    if isinstance(outcome, ConnectError) and outcome.stale:
        if carried:
            return replace(end, following=replace(job))
        if job.attempt < max(policy.attempts, 2):
            return replace(end, following=again)
    if (rewritten := shorter(job.prepared, outcome)) is not None:  # the same attempt goes on
        return replace(end, following=replace(job, prepared=rewritten))
    if (handed_on := elsewhere(job, outcome, policy)) is not None:
        return handed_on
    pause = policy.pause_after(outcome, job.attempt, chance)
    if pause is None:
        return end
    return replace(end, following=again, pause=pause, slow_down=isinstance(outcome, Throttled))


def elsewhere(job: Job, error: FrankingError, policy: Policy) -> Decision | None:
    """Return that another account goes on with a job; None where this error is none that it makes up for, or a server
    has answered to a recipient or to the message.
    """
    if job.answered or not policy.goes_elsewhere(error):
        return None
    return Decision("failed", None, error, following=job, elsewhere=True)


def _answers(error: FrankingError) -> bool:
    """Return whether a server has said this to a recipient or to the message."""
    if not isinstance(error, Refused) or error.evidence is None:
        return False
    return error.evidence.kind == "smtp" and error.evidence.details.get("what") != "sender"


def ended(job: Job, error: FrankingError) -> Decision:
    """Return how a job ends that this error keeps from going on."""
    if error.possibly_sent:
        return Decision("unknown", job.receipt, error)
    if job.receipt is not None:  # some recipients have it; the others' last word is this error
        return Decision("accepted", without(job.receipt, job.prepared.envelope.recipients, error))
    return Decision("failed", None, error)


def _after_receipt(job: Job, receipt: Receipt, policy: Policy, chance: float) -> Decision:
    """Some or all of the recipients were accepted: those that were not for now are tried alone."""
    merged = merge(job.receipt, receipt)
    end = Decision("accepted", merged)
    if rest := too_many(receipt):  # the same attempt goes on
        further = replace(job, receipt=merged, prepared=narrowed(job.prepared, rest), answered=True)
        return replace(end, following=further)
    return _for_later(end, replace(job, receipt=merged), receipt.refused, policy, chance)


def _after_refusal(job: Job, error: RecipientsRefused, policy: Policy, chance: float) -> Decision:
    """Every recipient was refused: those for now are tried alone."""
    refused = {**job.refused, **error.refused}
    if job.receipt is not None:
        end = Decision("accepted", replace(job.receipt, refused={**job.receipt.refused, **refused}))
    elif _temporary(error.refused):
        end = Decision("failed", None, error)
    else:
        end = Decision("refused", None, error)
    return _for_later(end, replace(job, refused=refused), error.refused, policy, chance)


def _for_later(
    end: Decision, job: Job, refused: Mapping[str, Mapping[str, Any]], policy: Policy, chance: float
) -> Decision:
    """Let the recipients that were refused for now follow alone, where the policy has another attempt."""
    later = _temporary(refused)
    pause = policy.pause(job.attempt, chance)
    if not later or pause is None:
        return end
    following = replace(job, attempt=job.attempt + 1, prepared=narrowed(job.prepared, later), answered=True)
    return replace(end, following=following, pause=pause)


def _temporary(refused: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(address for address, refusal in refused.items() if refusal.get("temporary"))


# -- lines that are too long for the server ---------------------------------------------------------------------------


def shorter(prepared: Prepared, error: FrankingError) -> Prepared | None:
    """Return the message with its long lines encoded anew, where an error that has its diagnosis says that they are to
    blame, or may be; None where they are not, or cannot be encoded.
    """
    if not isinstance(error, Refused) or error.diagnosis is None or error.diagnosis.code not in _LONG_LINES:
        return None
    return with_short_lines(prepared)


_LONG_LINES = ("message.line-too-long", "message.malformed")


def with_short_lines(prepared: Prepared) -> Prepared | None:
    """Return the same message, with the same Message-ID, without lines of more than 998 octets; None where there are
    none, or one has to stay.
    """
    from franking.message.lines import shortened  # hardly any message

    content = shortened(prepared.content)
    return None if content is None else replace(prepared, content=content)


# -- receipts of several transactions --------------------------------------------------------------------------------


def too_many(receipt: Receipt) -> tuple[str, ...]:
    """Return the recipients that were refused only because the transaction had enough of them (452 4.5.3, RFC 5321
    §4.5.3.1.10).
    """
    if not receipt.accepted:
        return ()
    return tuple(
        address
        for address in _temporary(receipt.refused)
        if str(receipt.refused[address].get("reply", "")).startswith(("452 4.5.3", "452-4.5.3"))
    )


def narrowed(prepared: Prepared, recipients: tuple[str, ...]) -> Prepared:
    """Return the same message, with the same Message-ID, for fewer recipients."""
    return replace(prepared, envelope=Envelope(prepared.envelope.sender, recipients))


def sent_on(
    prepared: Prepared,
    receipt: Receipt,
    transact: Callable[[Prepared], Receipt],
    made_up_for: Callable[[str], object],
) -> Receipt:
    """Send to those who were refused only because the server takes so many in one transaction: in further ones."""
    while rest := too_many(receipt):
        prepared = narrowed(prepared, rest)
        try:
            receipt = merge(receipt, transact(prepared))
        except FrankingError as error:
            if error.possibly_sent:
                raise
            made_up_for(f"Some recipients have it; the others have not: {error}")
            return without(receipt, rest, error)  # and why
    return receipt


def without(receipt: Receipt, recipients: tuple[str, ...], error: FrankingError) -> Receipt:
    """Return a receipt that says which further recipients did not get the message, and in which words."""
    reply = str(error)
    if error.evidence:
        reply = error.evidence.raw
    refusal = {"reply": reply, "temporary": error.temporary}
    own: Mapping[str, Mapping[str, Any]] = {}
    if isinstance(error, RecipientsRefused):
        own = error.refused
    return replace(receipt, refused={**receipt.refused, **{one: own.get(one, refusal) for one in recipients}})


def merge(earlier: Receipt | None, later: Receipt) -> Receipt:
    """Join the receipts of two transactions of one message: accepted recipients add up, later refusals stand."""
    if earlier is None:
        return later
    tried = {*later.accepted, *later.refused}
    refused = {address: refusal for address, refusal in earlier.refused.items() if address not in tried}
    return replace(
        later,
        accepted=(*earlier.accepted, *later.accepted),
        refused={**refused, **later.refused},
        bytes=earlier.bytes + later.bytes,
        ms=earlier.ms + later.ms,
        warnings=tuple(dict.fromkeys((*earlier.warnings, *later.warnings))),
    )
