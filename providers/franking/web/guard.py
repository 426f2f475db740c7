"""Who may ask, and what a browser is told about it: headers of every answer, the origin of a post, the names by which a
page on loopback may be called. No sessions here.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from franking.web.request import Refusal, Request

__all__ = ["HEADERS", "check_host", "check_origin", "check_token"]

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    # no-referrer would make browsers send "Origin: null" with our own forms
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def check_origin(request: Request) -> None:
    """Refuse what another site's page sends, by what browsers tell of it; programs tell nothing."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        raise Refusal(403, "other-site")
    origin = request.headers.get("origin")
    if origin is None:
        return
    scheme, _, place = origin.partition("://")
    # behind a proxy that speaks TLS the scheme may differ; where the browser named the site, it was compared above
    if place != request.headers.get("host") or scheme not in ("http", "https"):
        raise Refusal(403, "other-site")


def check_host(request: Request, port: int) -> None:
    """Refuse every name but those of loopback: a name of somebody's domain may lead here (DNS rebinding)."""
    if request.headers.get("host") not in {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}:
        raise Refusal(403, "other-host")


def check_token(given: str, expected: str) -> None:
    """Refuse a form that is not ours."""
    if not hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode()):
        raise Refusal(403, "not-ours")
