"""When a task comes back, and what it carries along until then. All of it is pure: nothing here sends, sleeps or asks.

Only what surely did not go comes back. What is wrong with an account lets all its tasks in this process wait, as the
outbox does; what is wrong with a message that message alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from franking.errors import FrankingError, LoginError, LoginRequired, SettingsError
from franking.outbox.holds import PAUSES, SPREAD
from franking.sending.retry import is_the_accounts

__all__ = [
    "GIVE_UP",
    "LOOK",
    "SIGN_IN_PAUSES",
    "Hold",
    "Pauses",
    "Wait",
    "accounts_fault",
    "nap",
    "needs_a_person",
    "unheard",
]

GIVE_UP = 5 * 86400.0
"""Seconds from the first delivery on for which a message is tried (RFC 5321 §4.5.4.1)."""

SIGN_IN_PAUSES = (900.0, 900.0, 900.0, 900.0, 3600.0)
"""Seconds after the first, second … time that a sign-in was found dead; then always the last."""

LOOK = 30.0
"""How often a task that waits for a sign-in looks whether there is another one. No server of mail is asked for that."""

SHORTEST = 0.5


@dataclass(frozen=True, slots=True)
class Wait:
    """What a task carries from one delivery to the next.

    ``since`` is the first delivery and ``until`` the next attempt (seconds since 1970), ``failures`` the attempts in a
    row. ``stamp`` is what the settings and the secret looked like that did not work: others end the wait. ``earlier``
    is the result for those who have got it or refused it, where this is for the others.
    """

    since: float
    until: float = 0.0
    failures: int = 0
    stamp: str | None = None
    earlier: Mapping[str, Any] | None = None

    @classmethod
    def read(cls, found: Mapping[str, Any] | None, now: float) -> Wait:
        """Return what a task brought, or the wait of one that comes for the first time."""
        return cls(now) if found is None else cls(**found)

    def as_dict(self) -> dict[str, Any]:
        """Return what goes along with the task."""
        return asdict(self)

    def begun_anew(self, earlier: Mapping[str, Any]) -> Wait:
        """Return the wait for those who are left, once others were served."""
        return replace(self, until=0.0, failures=0, stamp=None, earlier=earlier)


@dataclass(frozen=True, slots=True)
class Hold:
    """Say until when, and why, nothing of an account is tried in this process; ``stamp`` as in ``Wait``."""

    since: float
    until: float
    failures: int
    stamp: str | None
    error: FrankingError

    def holds(self, now: float) -> bool:
        """Return whether it is not over yet; a clock that was set back ends it."""
        return self.since <= now < self.until


@dataclass(frozen=True, slots=True)
class Pauses:
    """How long after each failure in a row, and for how long at all."""

    usual: Sequence[float] = PAUSES
    give_up: float = GIVE_UP
    sign_in: Sequence[float] = field(default=SIGN_IN_PAUSES)

    def after(self, error: FrankingError, failures: int, chance: float) -> float:
        """Return the seconds to wait after so many failures; ``chance`` (0 ≤ x < 1) spreads them, so that many tasks
        do not come back at once. What the server wants is the least.
        """
        wanted = getattr(error, "retry_after", None)
        if wanted is not None:
            return max(float(wanted), SHORTEST) * (1.0 + SPREAD * chance)
        pauses = self.sign_in if needs_a_person(error) else self.usual
        return float(pauses[min(failures, len(pauses)) - 1]) * (1.0 + SPREAD * (2.0 * chance - 1.0))


def needs_a_person(error: FrankingError) -> bool:
    """Return whether somebody has to sign in, or to change a password or a setting."""
    return isinstance(error, LoginRequired | LoginError | SettingsError) and not error.temporary


def accounts_fault(error: FrankingError) -> bool:
    """Return whether nothing of this account can leave now. That another worker has this message is no reason."""
    about_the_message = error.evidence is not None and error.evidence.kind == "journal"
    return is_the_accounts(error) and not about_the_message


def unheard(error: FrankingError) -> bool:
    """Return whether nobody can say what became of the message: another worker has it, or the store is away."""
    found = error.evidence
    return found is not None and (found.kind == "journal" or found.reason in ("server-away", "server-busy"))


def nap(seconds: float, allowed: float | None, *, looks: bool) -> float:
    """Return for how long a task sleeps at once: no longer than half of what its broker allows, or it would be
    delivered a second time; and while it ``looks`` for another sign-in not long.
    """
    most = [seconds]
    if allowed is not None:
        most.append(allowed / 2.0)
    if looks:
        most.append(LOOK)
    return max(min(most), 0.0)
