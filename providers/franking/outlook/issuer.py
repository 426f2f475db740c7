"""MSAL's application as Franking uses it: made for each use, on our HTTP session, with a cache that logs no codes.

One that lives on replays an identical 400 from memory for 60 seconds. No other host is asked whether an issuer is known
(``instance_discovery=False``). What is asked for is decided in ``login.py``, what the responses mean in
``signin_errors.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from franking.account.account import Account
from franking.auth.secret import Password
from franking.errors import Evidence, FrankingError, SettingsError
from franking.manual import page_reference
from franking.net import http, http_errors
from franking.outlook.certificate import pem
from franking.outlook.facts import authority
from franking.outlook.signin_errors import transport_failure, unreadable
from franking.text import json_object

if TYPE_CHECKING:
    import requests

__all__ = ["Application", "application", "asked"]

_NOT_FOR_LOGS = frozenset({"code", "code_verifier", "device_code", "client_assertion"})
_WORDS = ("access_token", "refresh_token", "id_token", "error", "error_description")


@dataclass(frozen=True)
class Application:
    """An MSAL application, its token cache, the responses that it would replay (``remembered``), and the issuer's
    discovery document.
    """

    msal: Any = field(repr=False)
    cache: Any = field(repr=False)
    remembered: dict[str, Any] = field(repr=False)
    discovery: Mapping[str, Any]


@contextmanager
def application(account: Account, secret: Password | None = None) -> Iterator[Application]:
    """Make a fresh MSAL application; its construction asks the issuer for its endpoints."""
    if not account.client_id:
        raise SettingsError(
            "client_id: an Outlook account needs the Application (client) ID of an app registration "
            f"in Microsoft Entra. Where to get one: {page_reference('outlook')}",
            field="client_id",
        )
    try:
        import msal
    except ImportError:
        raise SettingsError(
            'Signing in with Microsoft needs one more package; run: pip install "franking[outlook]"'
        ) from None
    issuer, microsoft = authority(account)
    cache, discovery, remembered = _quiet_cache(msal), dict[str, Any](), dict[str, Any]()
    with http.session(account.ca_file, timeout=account.timeout, patience=account.final_timeout) as session:
        session.stream = True
        session.hooks["response"].append(_look(issuer, discovery))
        settings = {
            "instance_discovery": False,
            "http_client": session,
            "token_cache": cache,
            "http_cache": remembered,
            "authority" if microsoft else "oidc_authority": _with_path(issuer),
        }
        yield Application(asked(account, _made, msal, account, secret, settings), cache, remembered, discovery)


def _with_path(issuer: str) -> str:
    """Return the issuer as MSAL takes it, with a path: an OpenID provider at the root of its host has none, and "/."
    is that root (RFC 3986 §5.2.4; requests asks for it without the dot).
    """
    return issuer if urlsplit(issuer).path else f"{issuer}/."


def _made(msal: Any, account: Account, secret: Password | None, settings: Mapping[str, Any]) -> Any:
    if not account.app_only:
        return msal.PublicClientApplication(account.client_id, **settings)
    credential = _credential(account, secret)
    return msal.ConfidentialClientApplication(account.client_id, client_credential=credential, **settings)


def _look(issuer: str, discovery: dict[str, Any]) -> Callable[..., None]:
    """Return what looks at every response before MSAL does; it keeps the issuer's discovery document."""

    def look(response: requests.Response, *args: Any, **kwargs: Any) -> None:
        # an endless one is cut short, and MSAL logs errors: nothing secret is left in them
        http.read(response)
        found = json_object(response.text) or {}
        if response.request.method == "GET" and response.ok:
            discovery.update(found)
        elif response.status_code == 429:
            raise http_errors.busy(
                429, response.headers, "The sign-in server asks for less, or for later: it answered 429."
            )
        elif response.request.method == "POST" and response.status_code < 500 and not _readable(found):
            raise unreadable(issuer)  # MSAL would log the whole response, and there may be half a token in it

    return look


def _readable(found: Mapping[str, Any]) -> bool:
    """Return whether a response is one of a token endpoint as far as types go (RFC 6749 §5); MSAL takes them on
    trust.
    """
    if not found or not all(isinstance(found.get(name, ""), str) for name in _WORDS):
        return False
    seconds = str(found.get("expires_in", 0)).partition(".")[0]
    return seconds.isascii() and seconds.isdigit() and len(seconds) < 12


def _quiet_cache(msal: Any) -> Any:
    """Make MSAL's cache, which logs at DEBUG what it is told: without the codes and the verifier that it hides not."""

    class Cache(msal.SerializableTokenCache):  # type: ignore[misc]
        def add(self, event: dict[str, Any], **rest: Any) -> None:
            data = {key: value for key, value in event.get("data", {}).items() if key not in _NOT_FOR_LOGS}
            super().add({**event, "data": data}, **rest)

    return Cache()


def _credential(account: Account, secret: Password | None) -> Any:
    """Return MSAL's form of the app's own proof: the secret, or private key and certificate of the PEM file."""
    if account.certificate:
        key, certificate = pem(account)
        return {"private_key": key, "public_certificate": certificate}
    if secret and secret.value:
        return secret.value
    raise SettingsError(
        "An app-only account needs its client secret (the Value, not the Secret ID) or a certificate, "
        "and none was found.",
        step="secret",
        evidence=Evidence("settings", reason="no-client-secret"),
    )


def asked(account: Account, call: Callable[..., Any], /, *args: Any, **settings: Any) -> Any:
    """Call MSAL; turn what it raises into our errors. What it returns may still be an error."""
    try:
        return call(*args, **settings)
    except FrankingError:
        raise
    except Exception as problem:
        failure = transport_failure(account, problem)
        if failure is None:
            raise
        raise failure from None
