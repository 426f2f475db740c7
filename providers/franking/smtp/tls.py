"""TLS of one connection: what it came to, and what a handshake that failed means. The trust is ``franking.net.tls``'s
business.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from typing import Any

from franking.errors import ConnectTimeout, Evidence, TLSError
from franking.net.tcp import Place
from franking.smtp.protocol import readable

__all__ = ["failure", "injected", "summary"]


def summary(version: str | None, certificate: Mapping[str, Any]) -> str:
    """Return a line on what TLS came to: the version, and how long the certificate holds."""
    words = (version or "").replace("TLSv", "TLS ")
    until = certificate.get("notAfter")
    if not until:
        return words
    day = time.strftime("%Y-%m-%d", time.gmtime(ssl.cert_time_to_seconds(str(until))))
    return f"{words}, certificate valid until {day}"


def injected(place: Place, octets: bytes) -> TLSError:
    """Return the error for what was sent in plain before the handshake."""
    words = "Something was sent in plain text where only TLS may follow; somebody may be tampering."
    return TLSError(words, step="tls", evidence=_evidence(place, "plaintext-injected", readable(octets, 200)))


def failure(problem: OSError | ValueError, place: Place, sock: Any) -> TLSError | ConnectTimeout:
    """Return the error for a handshake that ended with ``problem``."""
    if isinstance(problem, ssl.SSLCertVerificationError):
        said = problem.verify_message
        evidence = _evidence(
            place, "certificate", said, verify_code=problem.verify_code, verify_message=said, names=_names(sock)
        )
        words = f"The certificate of {place} cannot be trusted: {said.rstrip('.')}."
        return TLSError(words, step="tls", evidence=evidence)
    if isinstance(problem, TimeoutError):
        words = f"{place} did not answer the TLS handshake in time."
        return ConnectTimeout(words, step="tls", evidence=_evidence(place, "timeout"))
    reason, temporary = "bad-name", False
    if isinstance(problem, ssl.SSLError):
        reason = problem.reason or "handshake"
        temporary = isinstance(problem, ssl.SSLEOFError | ssl.SSLZeroReturnError)
    elif isinstance(problem, OSError):
        reason, temporary = "reset", True
    words = f"TLS with {place} did not come about ({reason.replace('_', ' ').lower()})."
    evidence = _evidence(place, reason, errno=getattr(problem, "errno", None))
    return TLSError(words, step="tls", temporary=temporary, evidence=evidence)


def _evidence(place: Place, reason: str, text: str = "", **details: Any) -> Evidence:
    return Evidence("tls", text=text, reason=reason, details={**place.details, **details})


def _names(sock: Any) -> list[str]:
    """Read the names in a certificate that was not accepted: the best hint at the right host name.

    The ssl module shows an unverified chain only through a private method; without it there is no hint.
    """
    try:
        leaf = sock._sslobj.get_unverified_chain()[0].get_info()
    except Exception:  # noqa: BLE001 - a hint is not worth an error
        return []
    names = [str(value) for kind, value in leaf.get("subjectAltName", ()) if kind in ("DNS", "IP Address")]
    common = [str(value) for part in leaf.get("subject", ()) for key, value in part if key == "commonName"]
    return [readable(name.encode(), 255) for name in (names or common)[:20]]
