"""What ends by itself, and when it is told: sign-ins, client secrets, certificates. It asks nobody."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from franking.health.finding import Finding, day

if TYPE_CHECKING:
    from franking.account.account import Account
    from franking.auth.status import SecretState
    from franking.provider import Provider

__all__ = ["account_deadlines", "certificate_file_end", "grant_deadline", "relay_certificate", "server_certificate"]

HOUR, DAY = 3600.0, 86400.0
AGAIN = 7 * DAY
"""What ends once a year is told a second time, so long before."""


def account_deadlines(account: Account, state: SecretState, now: float) -> Iterator[Finding]:
    """Return what is known of an account's client secret and certificate."""
    if written := account.get("client_secret_expires"):
        end = datetime.combine(date.fromisoformat(written), datetime.min.time(), UTC).timestamp()
        yield _yearly("secret.expires", "secret", end, now, {"account": account.name})
    if end := float(state.details.get("credential_expires_at") or 0.0):
        yield _yearly("certificate.expires", "certificate", end, now, {"account": account.name})


def _yearly(code: str, what: str, end: float, now: float, values: dict[str, Any]) -> Finding:
    left = end - now
    level = _level(left, 30 * DAY, DAY)
    stage = "again" if level == "warning" and left <= AGAIN else ""
    return Finding(code, level, {"until": day(end), **_over(left), **values}, expires_at=end, what=what, stage=stage)


def grant_deadline(
    account: Account, provider: Provider, state: SecretState, now: float, *, unused: bool
) -> Finding | None:
    """Return when an account's sign-in ends: at a fixed time, or by disuse (``unused``: nothing renews it now)."""
    if state.kind != "grant" or not state.ok:
        return None
    values = {"account": account.name}
    fixed = float(state.details.get("refresh_expires_at") or 0.0)
    days = provider.facts.grant_unused_days
    by_disuse = state.refreshed_at + days * DAY if days else 0.0
    if fixed and not (by_disuse and fixed > by_disuse - DAY):  # it ends however often it is used
        left = fixed - now
        level = _level(left, 2 * DAY, 12 * HOUR)
        found = {"until": day(fixed), "testing": bool(state.details.get("testing")) or None, **_over(left), **values}
        return Finding("grant.expires", level, found, expires_at=fixed, what="grant")
    end = by_disuse or fixed
    if not end:
        return Finding("grant.expires", "ok", values)
    left = end - now
    level = _level(left, 14 * DAY, DAY) if unused else "ok"
    found = {"until": day(end), "disuse": True, **_over(left), **values}
    return Finding("grant.expires", level, found, expires_at=end, what="grant")


def server_certificate(end: float, now: float, host: str) -> Finding:
    """Return how long a mail server's certificate holds."""
    left = end - now
    values = {"until": day(end), "host": host, **_over(left)}
    level = _level(left, 14 * DAY, 2 * DAY, below=True)
    return Finding("server-certificate.expires", level, values, expires_at=end, what="server-certificate")


def relay_certificate(path: Path, now: float) -> Finding | None:
    """Return how long a certificate of the relay holds; None where that cannot be read: the relay says so itself."""
    end = certificate_file_end(path)
    if end is None:
        return None
    left = end - now
    values = {"until": day(end), "path": str(path), **_over(left)}
    level = _level(left, 14 * DAY, 2 * DAY, below=True)
    return Finding("relay-certificate.expires", level, values, expires_at=end, what="relay-certificate")


def certificate_file_end(path: Path) -> float | None:
    """Return the last moment of the first certificate in a PEM file; None where there is none, or nothing can read
    it.
    """
    try:
        from cryptography import x509

        return x509.load_pem_x509_certificates(path.read_bytes())[0].not_valid_after_utc.timestamp()
    except (ImportError, OSError, ValueError, IndexError):
        return None


def _level(left: float, warning: float, critical: float, *, below: bool = False) -> str:
    """Return the level of what ends in ``left`` seconds; ``below``: at the limit itself it is not yet so."""

    def reached(limit: float) -> bool:
        return left < limit if below else left <= limit

    if reached(critical):
        return "critical"
    return "warning" if reached(warning) else "ok"


def _over(left: float) -> dict[str, Any]:
    return {"over": left <= 0 or None}
