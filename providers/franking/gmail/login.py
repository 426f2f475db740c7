"""Sign in with Google, and keep the grant usable: browser or pasted login, refresh, revocation, service accounts.

The flow and the refresh are google-auth-oauthlib's and google-auth's; their traffic goes through ``franking.http`` (our
TLS, one attempt, no redirects). Locks and stores are ``tokens.py``'s business, how a message is sent ``send.py``'s.

Sources: developers.google.com/identity/protocols/oauth2/native-app (PKCE, loopback, revocation),
…/oauth2/service-account (delegation), …/openid-connect/openid-connect (ID token).
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from franking.account.account import Account
from franking.auth.redirect import Listener, answer
from franking.auth.secret import Grant
from franking.errors import ConnectError, Evidence, FrankingError, LoginError, LoginRequired, SettingsError
from franking.gmail.client_files import Client, read_client, read_service_account
from franking.net import http, http_errors
from franking.provider import LoginUI
from franking.text import bounded, json_object

if TYPE_CHECKING:
    import requests

__all__ = ["missing_extra", "refresh", "revoke", "sign_in"]

SERVICE = "Google's sign-in service"
REVOKE_URI = "https://oauth2.googleapis.com/revoke"
_TESTING_SECONDS = 7 * 86_400 + 3_600
"""Refresh tokens of a consent screen in Testing live for 7 days; longer limits are chosen by the person."""

_LONG_NAMES = {
    "https://www.googleapis.com/auth/userinfo.email": "email",
    "https://www.googleapis.com/auth/userinfo.profile": "profile",
}
_EXPIRES_SECONDS = 600.0  # where the answer does not say how long the token lives

Clock = Callable[[], float]


def sign_in(account: Account, ui: LoginUI, scopes: tuple[str, ...], *, clock: Clock = time.time) -> Grant:
    """Lead a person through Google's consent (PKCE S256, ``state`` checked) and give the grant.

    Raises ``SettingsError`` for an unusable ``client_secrets`` file, ``LoginRequired`` with evidence when the sign-in
    did not come about (``access_denied``, ``sign-in-timeout``, ``scope-missing``, ``no-refresh-token``,
    ``wrong-account`` …), ``ConnectError`` or ``TLSError`` where Google cannot be reached.
    """
    if ui.device:
        raise SettingsError(
            "Google offers no device code for mail; on a machine without a browser use --no-browser.",
            field="device",
            evidence=Evidence("oauth", reason="no-device-flow"),
        )
    client = read_client(account.client_secrets)
    try:
        from google_auth_oauthlib.flow import InstalledAppFlow
    except ImportError as problem:
        raise missing_extra(problem) from None
    with http.session(account.ca_file, timeout=account.timeout, patience=account.final_timeout) as session:
        # PKCE is asked for in so many words: google-auth-oauthlib 1.2.2 leaves it out by default
        flow = InstalledAppFlow.from_client_config(client.config, scopes=list(scopes), autogenerate_code_verifier=True)
        flow.oauth2session.request = _requester(session)
        with Listener() as listener:
            flow.redirect_uri = listener.redirect_uri
            with _undisclosed():
                url, state = flow.authorization_url(
                    access_type="offline", prompt="consent", login_hint=account.sender.address
                )
            answered = answer(ui, listener, url, state)
        if "code" not in answered:
            raise _not_signed_in(answered.get("error", "no-code"), answered.get("error_description", ""))
        token = _exchange(flow, answered["code"], client)
    grant = _grant(token, client, account, scopes, clock())
    if not _from_google(token, client, answered):
        ui.show(
            "This sign-in is not Google's: its issuer knows none of Gmail's permissions, so they are taken as given."
        )
        grant = replace(grant, details={**grant.details, "foreign": True})
    _check(grant, account, scopes, ui)
    return grant


def _exchange(flow: Any, code: str, client: Client) -> Mapping[str, Any]:
    from oauthlib.oauth2.rfc6749.errors import OAuth2Error

    try:
        with _undisclosed():
            token: Mapping[str, Any] = flow.fetch_token(code=code)
    except OAuth2Error as problem:  # an error answer, or one without a token
        reason = "unreadable-answer" if problem.error == "missing_token" else problem.error or "unreadable-answer"
        raise _not_signed_in(reason, problem.description or "") from None
    # oauthlib's way to say that other scopes came than were asked for; we compare them ourselves
    except Warning as changed:
        token = getattr(changed, "token", {})
    except (ValueError, TypeError, OverflowError, RecursionError) as problem:
        if isinstance(problem, FrankingError):
            raise
        raise _not_signed_in("unreadable-answer", "") from None
    return token


def _grant(token: Mapping[str, Any], client: Client, account: Account, scopes: tuple[str, ...], now: float) -> Grant:
    claims = _claims(token.get("id_token"), client.client_id)
    details: dict[str, Any] = {"client_id": client.client_id}
    lifetime = token.get("refresh_token_expires_in")
    if isinstance(lifetime, int | float) and not isinstance(lifetime, bool):
        details["refresh_expires_at"] = now + lifetime
        details["testing"] = lifetime <= _TESTING_SECONDS
    granted = token.get("scope")
    return Grant(
        provider="gmail",
        route=str(account.route),
        who=claims.get("email"),
        scopes=_names(granted) if granted else scopes,  # RFC 6749 §5.1: left out where it is as asked for
        created_at=now,
        refreshed_at=now,
        access_token=str(token.get("access_token", "")),
        expires_at=now + _seconds(token.get("expires_in")),
        data={
            "refresh_token": token.get("refresh_token") or "",
            "client_id": client.client_id,
            "client_secret": client.client_secret,
            "token_uri": client.token_uri,
        },
        details=details,
    )


def _from_google(token: Mapping[str, Any], client: Client, answered: Mapping[str, str]) -> bool:
    """Return whether the issuer knows Gmail's permissions, so that a missing one was unticked: Google names what it
    granted twice.
    """
    issuer = str(_claims(token.get("id_token"), client.client_id).get("iss", ""))
    granted = str(token.get("scope") or "")
    return (
        issuer.removeprefix("https://") == "accounts.google.com"
        or not granted
        or "google" in granted
        or "scope" in answered
    )


def _check(grant: Grant, account: Account, scopes: tuple[str, ...], ui: LoginUI) -> None:
    _require_scopes(grant, account, scopes)
    if not grant.data["refresh_token"]:
        raise LoginRequired(
            "Google gave no refresh token, so the sign-in would end within the hour. Remove the app's access at "
            "https://myaccount.google.com/connections and sign in again.",
            evidence=Evidence("oauth", reason="no-refresh-token"),
        )
    if grant.details.get("testing"):
        ui.show(
            "The consent screen of this Google Cloud project is in Testing: this sign-in ends in seven days. "
            "Publish the app (Google Auth Platform → Audience) and sign in once more to keep it."
        )
    sender = account.sender.address
    if grant.who is None:
        ui.show("Google did not say who signed in.")
    elif _mailbox(grant.who) != _mailbox(sender) and not (
        ui.interactive
        and ui.confirm(
            f"{grant.who} signed in, but the account sends as {sender}. Gmail sends as its own address or a verified alias. Keep it?"
        )
    ):
        raise LoginRequired(
            f"{grant.who} signed in, but the account {account.name!r} sends as {sender}. Sign in as {sender}, or change the account's From.",
            evidence=Evidence("oauth", reason="wrong-account", details={"who": grant.who, "expected": sender}),
        )


def refresh(account: Account, grant: Grant | None, scopes: tuple[str, ...], *, clock: Clock = time.time) -> Grant:
    """Make a fresh access token; nothing is saved.

    Raises ``LoginRequired`` where a person must sign in again, ``LoginError`` where Google refuses a service account,
    ``SettingsError`` for its key file, ``ConnectError`` or ``TLSError`` where Google cannot be reached.
    """
    if account.service_account:
        return _refresh_service_account(account, scopes, clock())
    if grant is None:
        raise LoginRequired(
            f"Nobody has signed in for the account {account.name!r} yet.",
            evidence=Evidence("oauth", reason="no-grant"),
        )
    _require_scopes(grant, account, scopes)
    needed = ("refresh_token", "token_uri", "client_id")
    if grant.provider != "gmail" or not all(isinstance(grant.data.get(key), str) and grant.data[key] for key in needed):
        raise LoginRequired(
            f"The stored sign-in of the account {account.name!r} is not complete.",
            evidence=Evidence("oauth", reason="grant-incomplete"),
        )
    try:
        from google.oauth2.credentials import Credentials
    except ImportError as problem:
        raise missing_extra(problem) from None
    data = grant.data
    credentials: Any = Credentials(  # type: ignore[no-untyped-call]
        None,
        refresh_token=data["refresh_token"],
        token_uri=data["token_uri"],  # from_authorized_user_info() would put Google's in its place
        client_id=data["client_id"],
        client_secret=data.get("client_secret") or "",
    )
    client = (data["client_id"], data.get("client_secret") or "")
    _fetch(credentials, account, basic=client if grant.details.get("foreign") else None)
    now = clock()
    granted = credentials.granted_scopes
    return replace(
        grant,
        route=str(account.route),
        access_token=credentials.token,
        expires_at=_expiry(credentials, now),
        refreshed_at=now,
        scopes=_names(granted) if granted else grant.scopes,
        data={**data, "refresh_token": credentials.refresh_token or data["refresh_token"]},
    )


def _refresh_service_account(account: Account, scopes: tuple[str, ...], now: float) -> Grant:
    info = read_service_account(account.service_account)
    try:
        from google.oauth2 import service_account
    except ImportError as problem:
        raise missing_extra(problem) from None
    subject = account.sender.address
    wanted = tuple(scope for scope in scopes if "/" in scope)  # openid and email are for people
    try:
        load: Any = service_account.Credentials.from_service_account_info
        credentials = load(dict(info), scopes=list(wanted), subject=subject)
    except ValueError:
        raise SettingsError(
            f"service_account: the private key in {account.service_account!r} cannot be read. Make a new key.",
            field="service_account",
            evidence=Evidence("settings", reason="service-account-key", details={"path": account.service_account}),
        ) from None
    _fetch(credentials, account)
    return Grant(
        provider="gmail",
        route=str(account.route),
        who=subject,
        scopes=wanted,
        created_at=now,
        refreshed_at=now,
        access_token=credentials.token,
        expires_at=_expiry(credentials, now),
        details={"service_account": info["client_email"], "client_id": info.get("client_id")},
    )


def _fetch(credentials: Any, account: Account, *, basic: tuple[str, str] | None = None) -> None:
    """Let google-auth fetch a token; an answer that is none is told apart before the library guesses at it, or tries
    its own ways.

    ``basic`` are client id and secret for the header, which every issuer takes (RFC 6749 §2.3.1); google-auth puts them
    in the body, as Google has it.
    """
    from google.auth.exceptions import GoogleAuthError

    with http.session(account.ca_file, timeout=account.timeout, patience=account.final_timeout) as session:
        request = _requester(session)

        def transport(
            url: str, method: str = "GET", body: bytes | None = None, headers: Mapping[str, str] | None = None, **_: Any
        ) -> Any:
            if basic and body:
                body = urlencode(
                    [pair for pair in parse_qsl(body.decode()) if not pair[0].startswith("client_")]
                ).encode()
            response = request(method, url, data=body, headers=dict(headers or {}), auth=basic)
            if response.status_code != 200:
                raise _refused(json_object(response.content) or {}, account)
            return _Answer(200, response.headers, response.content)

        try:
            credentials.refresh(transport)
        except FrankingError:
            raise
        except (GoogleAuthError, TypeError, ValueError, OverflowError, RecursionError):
            raise _unreadable() from None
    if not credentials.token:
        raise _unreadable()


def _refused(body: Mapping[str, Any], account: Account) -> FrankingError:
    if not isinstance(body.get("error"), str):
        return _unreadable()
    reason, text = bounded(body["error"], 100), bounded(str(body.get("error_description") or ""))
    details = {"subtype": bounded(str(body["error_subtype"]), 100)} if body.get("error_subtype") else {}
    evidence = Evidence("oauth", text=text, reason=reason, details=details)
    said = f"{reason}: {text}" if text else reason
    if account.service_account:
        return LoginError(f"Google refused the service account ({said}).", step="secret", evidence=evidence)
    return LoginRequired(
        f"Google no longer accepts the sign-in of the account {account.name!r} ({said}).", evidence=evidence
    )


def revoke(account: Account, grant: Grant) -> str:
    """Revoke the grant at Google: every machine's sign-in of this person with this client ends. A sentence tells what
    happened.
    """
    token = grant.data.get("refresh_token")
    if account.service_account or not token:
        return "There was nothing to revoke: a service account's right is taken away in the Google Workspace admin console."
    uri = _revoke_uri(str(grant.data.get("token_uri")))
    with http.session(account.ca_file, timeout=account.timeout, patience=account.final_timeout) as session:
        response = _requester(session)("POST", uri, data={"token": token})
    if response.status_code == 200:
        return "Google revoked the grant: on every machine the sign-ins of this person with this client have ended."
    if (json_object(response.content) or {}).get("error") == "invalid_token":
        return "Google says that the grant had already ended."
    if response.status_code in (404, 405):
        return "The issuer has no place to revoke a sign-in; it was only forgotten here."
    raise http_errors.from_response(
        response.status_code, response.headers, service=SERVICE, text=response.text, final=False
    )


def _revoke_uri(token_uri: str) -> str:
    """Find where the issuer revokes: Google's one place, else beside the token endpoint, as ``…/token`` →
    ``…/revoke``.
    """
    parts = urlsplit(token_uri)
    if (parts.hostname or "").endswith((".googleapis.com", ".google.com")):
        return REVOKE_URI
    return parts._replace(path=parts.path.rpartition("/")[0] + "/revoke", query="").geturl()


def _require_scopes(grant: Grant, account: Account, scopes: tuple[str, ...]) -> None:
    """See that the mail scope was granted: people untick boxes, and accounts change their route."""
    missing = [
        scope for scope in scopes if "/" in scope and scope not in grant.scopes and not grant.details.get("foreign")
    ]
    if missing:
        raise LoginRequired(
            f"The sign-in lacks the permission {missing[0]} that the route {account.route} needs. Sign in again and leave its box ticked.",
            evidence=Evidence(
                "oauth", reason="scope-missing", details={"missing": tuple(missing), "granted": grant.scopes}
            ),
        )


def _requester(session: requests.Session) -> Callable[..., requests.Response]:
    """Make the function through which an SDK talks: bounded answers, and our errors for what is no answer of an
    issuer.
    """

    def request(method: str, url: str, **settings: Any) -> requests.Response:
        from requests.exceptions import RequestException

        try:
            response = session.request(method, url, stream=True, **settings)
            response._content = http.body(response)
        except RequestException as problem:
            raise http_errors.from_exception(problem, service=SERVICE, url=url, step="secret") from None
        # google-auth would sleep and try again, three times
        if response.status_code == 429 or response.status_code >= 500:
            wait = http_errors.retry_after(response.headers.get("Retry-After"))
            said = bounded(response.text, 300)
            raise ConnectError(
                f"{SERVICE} is busy or broken at the moment: it answered {response.status_code}.",
                step="secret",
                evidence=Evidence(
                    "http",
                    code=response.status_code,
                    text=said,
                    details={"retry_after": wait} if wait is not None else {},
                ),
            )
        return response

    return request


class _Answer:
    """An HTTP answer as google-auth's transport interface wants it."""

    def __init__(self, status: int, headers: Mapping[str, str], data: bytes) -> None:
        self.status, self.headers, self.data = status, headers, data


@contextmanager
def _undisclosed() -> Iterator[None]:
    """Keep requests-oauthlib from logging state, codes, tokens and the client secret at DEBUG, which it does in
    full.
    """
    import logging
    import threading

    mine = threading.get_ident()

    def other_threads(record: logging.LogRecord) -> bool:
        return record.thread != mine

    logger = logging.getLogger("requests_oauthlib.oauth2_session")
    logger.addFilter(other_threads)
    try:
        yield
    finally:
        logger.removeFilter(other_threads)


def _claims(id_token: object, client_id: str) -> Mapping[str, Any]:
    """Read the ID token that came straight from the token endpoint: TLS vouches for it (OpenID Connect Core §3.1.3.7,
    6).
    """
    if not isinstance(id_token, str) or id_token.count(".") != 2:
        return {}
    payload = id_token.split(".")[1]
    try:
        claims = json_object(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))) or {}
    except ValueError:
        return {}
    if not isinstance(claims.get("email"), str):
        return {}
    audience = claims.get("aud")
    return claims if client_id in (audience if isinstance(audience, list) else [audience]) else {}


def _names(scopes: object) -> tuple[str, ...]:
    words = (
        scopes.split()
        if isinstance(scopes, str)
        else [str(scope) for scope in scopes]
        if isinstance(scopes, list | tuple)
        else []
    )
    return tuple(dict.fromkeys(_LONG_NAMES.get(word, word) for word in words))


def _seconds(value: object) -> float:
    try:
        return max(0.0, float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return _EXPIRES_SECONDS


def _expiry(credentials: Any, now: float) -> float:
    import datetime

    expiry = credentials.expiry  # naive UTC, by the library's own look at the clock
    if not expiry:
        return now + _EXPIRES_SECONDS
    return now + float((expiry.replace(tzinfo=datetime.UTC) - datetime.datetime.now(datetime.UTC)).total_seconds())


def _mailbox(address: str) -> str:
    """Fold an address as Gmail does for its own domains: no dots, no +tag, googlemail.com = gmail.com."""
    local, _, domain = address.casefold().rpartition("@")
    if domain in ("gmail.com", "googlemail.com"):
        return local.partition("+")[0].replace(".", "") + "@gmail.com"
    return f"{local}@{domain}"


def _not_signed_in(reason: str, text: str) -> LoginRequired:
    reason, text = bounded(reason, 100), bounded(text)
    said = f"{reason}: {text}" if text else reason
    return LoginRequired(
        f"The sign-in did not come about ({said}).", evidence=Evidence("oauth", text=text, reason=reason)
    )


def _unreadable() -> ConnectError:
    return ConnectError(
        f"{SERVICE} gave an answer that is none; a proxy or a filter may stand between.",
        step="secret",
        evidence=Evidence("oauth", reason="unreadable-answer"),
    )


def missing_extra(problem: ImportError) -> SettingsError:
    """Say how to install what the gmail provider needs."""
    return SettingsError(
        "The gmail provider needs more packages. Install them with: pip install 'franking[gmail]'",
        field="provider",
        evidence=Evidence(
            "settings", text=bounded(str(problem), 200), reason="extra-missing", details={"extra": "gmail"}
        ),
    )
