"""How Google's sign-in service is asked, and what its responses mean: bounded, with our errors for what is none.

Traffic goes through ``net.http`` (our TLS, one attempt, no redirects). What is asked for is decided in ``login.py``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from franking.account.account import Account
from franking.auth.token import jwt_claims, meant_for
from franking.errors import ConnectError, Evidence, FrankingError, LoginError, LoginRequired, SettingsError
from franking.net import http, http_errors
from franking.text import bounded, json_object

if TYPE_CHECKING:
    import requests

__all__ = [
    "SERVICE",
    "claims",
    "missing_extra",
    "not_signed_in",
    "refused",
    "requester",
    "scope_names",
    "undisclosed",
    "unreadable",
]

SERVICE = "Google's sign-in service"

_LONG_NAMES = {
    "https://www.googleapis.com/auth/userinfo.email": "email",
    "https://www.googleapis.com/auth/userinfo.profile": "profile",
}

_CLIENT = ("invalid_client", "deleted_client", "disabled_client")

Request = Callable[..., "requests.Response"]


@contextmanager
def requester(account: Account) -> Iterator[Request]:
    """Lend the function ``(method, url, **settings)`` through which an SDK talks.

    It raises our errors for what is no response of an issuer: ``ConnectError`` or ``TLSError``.
    """
    with http.session(account.ca_file, timeout=account.timeout, patience=account.final_timeout) as session:

        def request(method: str, url: str, **settings: Any) -> requests.Response:
            from requests.exceptions import RequestException

            try:
                response = http.read(session.request(method, url, stream=True, **settings))
            except RequestException as problem:
                raise http_errors.from_exception(problem, service=SERVICE, url=url, step="secret") from None
            # google-auth would sleep and try again, three times
            if response.status_code == 429 or response.status_code >= 500:
                words = f"{SERVICE} is busy or broken at the moment: it answered {response.status_code}."
                raise http_errors.busy(response.status_code, response.headers, words, response.text[:300])
            return response

        yield request


@contextmanager
def undisclosed() -> Iterator[None]:
    """Keep requests-oauthlib from logging state, codes, tokens and the client secret, which it does at DEBUG."""
    mine = threading.get_ident()

    def other_threads(record: logging.LogRecord) -> bool:
        return record.thread != mine

    logger = logging.getLogger("requests_oauthlib.oauth2_session")
    logger.addFilter(other_threads)
    try:
        yield
    finally:
        logger.removeFilter(other_threads)


def claims(id_token: object, client_id: str) -> Mapping[str, Any]:
    """Read the ID token of this client that came straight from the token endpoint; nothing of another's is believed.

    TLS vouches for it (OpenID Connect Core §3.1.3.7, 6).
    """
    found = jwt_claims(id_token)
    if isinstance(found.get("email"), str) and meant_for(found, client_id):
        return found
    return {}


def scope_names(scopes: object) -> tuple[str, ...]:
    """Return the scopes of a response, a text or a list, by their short names."""
    if isinstance(scopes, str):
        scopes = scopes.split()
    if not isinstance(scopes, list | tuple):
        return ()
    return tuple(dict.fromkeys(_LONG_NAMES.get(str(scope), str(scope)) for scope in scopes))


def not_signed_in(reason: str, text: str) -> FrankingError:
    """Make the error of a sign-in that did not come about, in the issuer's words."""
    evidence = Evidence("oauth", text=bounded(text), reason=bounded(reason, 100))
    if reason in _CLIENT:
        return _wrong_client(evidence)
    return LoginRequired(f"The sign-in did not come about ({_said(evidence)}).", evidence=evidence)


def refused(content: bytes, account: Account) -> FrankingError:
    """Make the error of a token request that was refused (RFC 6749 §5.2, with Google's ``error_subtype``)."""
    body = json_object(content) or {}
    if not isinstance(body.get("error"), str):
        return unreadable()
    details: dict[str, Any] = {"renewal": True}  # nobody has come from a sign-in page
    if body.get("error_subtype"):
        details["subtype"] = bounded(str(body["error_subtype"]), 100)
    text = bounded(str(body.get("error_description") or ""))
    evidence = Evidence("oauth", text=text, reason=bounded(body["error"], 100), details=details)
    if account.service_account:
        message = f"Google refused the service account ({_said(evidence)})."
        return LoginError(message, step="secret", evidence=evidence)
    if body["error"] in _CLIENT:
        return _wrong_client(evidence)
    return LoginRequired(
        f"Google no longer accepts the sign-in of the account {account.name!r} ({_said(evidence)}).", evidence=evidence
    )


def _wrong_client(evidence: Evidence) -> SettingsError:
    """Make the error of a client that is none any more: no sign-in with it can succeed."""
    message = f"Google does not take the OAuth client ({_said(evidence)})."
    return SettingsError(message, field="client_secrets", step="secret", evidence=evidence)


def _said(evidence: Evidence) -> str:
    return ": ".join(filter(None, (evidence.reason, evidence.text)))


def unreadable() -> ConnectError:
    """Make the error of a response that is none of an issuer."""
    return ConnectError(
        f"{SERVICE} gave an answer that is none; a proxy or a filter may stand between.",
        step="secret",
        evidence=Evidence("oauth", reason="unreadable-answer"),
    )


def missing_extra(problem: ImportError) -> SettingsError:
    """Make the error that says how to install what the gmail provider needs."""
    text = bounded(str(problem), 200)
    return SettingsError(
        "The gmail provider needs more packages. Install them with: pip install 'franking[gmail]'",
        field="provider",
        evidence=Evidence("settings", text=text, reason="extra-missing", details={"extra": "gmail"}),
    )
