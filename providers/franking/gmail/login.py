"""Sign in with Google, and keep the grant usable: browser or pasted login, refresh, revocation, service accounts.

The flow and the refresh are google-auth-oauthlib's and google-auth's. Locks and stores are the business of
``auth/token.py``, what Google's responses mean that of ``issuer.py``.

Sources: developers.google.com/identity/protocols/oauth2/native-app (PKCE, loopback, revocation),
…/oauth2/service-account (delegation), …/openid-connect/openid-connect (ID token).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from franking.account.account import Account
from franking.auth.redirect import Listener, authorization_response
from franking.auth.secret import Grant
from franking.errors import Evidence, FrankingError, LoginRequired, SettingsError
from franking.gmail import issuer
from franking.gmail.client_files import Client, read_client, read_service_account
from franking.net import http_errors
from franking.provider import LoginUI
from franking.text import json_object

__all__ = ["refresh", "revoke", "sign_in"]

REVOKE_URI = "https://oauth2.googleapis.com/revoke"
_TESTING_SECONDS = 7 * 86_400 + 3_600
"""Refresh tokens of a consent screen in Testing live for 7 days; longer limits are chosen by the person."""

_EXPIRES_SECONDS = 600.0  # where the response does not say how long the token lives

_BEFORE = (
    "Google will warn that it has not verified this app: it is your own, and new. Choose Advanced, then “Go to … "
    "(unsafe)”, and leave the box of the permission ticked."
)

Clock = Callable[[], float]


def sign_in(account: Account, ui: LoginUI, scopes: tuple[str, ...], *, clock: Clock = time.time) -> Grant:
    """Lead a person through Google's consent (PKCE S256, ``state`` checked) and return the grant.

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
        raise issuer.missing_extra(problem) from None
    with issuer.requester(account) as request, Listener() as listener:
        # PKCE is asked for in so many words: google-auth-oauthlib 1.2.2 leaves it out by default
        flow = InstalledAppFlow.from_client_config(client.config, scopes=list(scopes), autogenerate_code_verifier=True)
        flow.oauth2session.request = request
        flow.redirect_uri = listener.redirect_uri
        with issuer.undisclosed():
            url, state = flow.authorization_url(
                access_type="offline", prompt="consent", login_hint=account.sender.address
            )
        if urlsplit(client.auth_uri).path.startswith("/o/oauth2/"):  # Google's own page, not another issuer's
            ui.show(_BEFORE)
        response = authorization_response(ui, listener, url, state)
        listener.close()
        if "code" not in response:
            raise issuer.not_signed_in(response.get("error", "no-code"), response.get("error_description", ""))
        token = _exchange(flow, response["code"])
    grant = _grant(token, client, account, scopes, clock(), named="scope" in response)
    if grant.details.get("foreign"):
        ui.show(
            "This sign-in is not Google's: its issuer knows none of Gmail's permissions, so they are taken as given."
        )
    _check(grant, account, scopes, ui)
    return grant


def _exchange(flow: Any, code: str) -> Mapping[str, Any]:
    from oauthlib.oauth2.rfc6749.errors import OAuth2Error

    try:
        with issuer.undisclosed():
            token: Mapping[str, Any] = flow.fetch_token(code=code)
            return token
    except OAuth2Error as problem:  # an error, or a response without a token
        reason = problem.error or "unreadable-answer"
        if reason == "missing_token":
            reason = "unreadable-answer"
        raise issuer.not_signed_in(reason, problem.description or "") from None
    except FrankingError:
        raise
    except Warning as changed:  # oauthlib's way to say that other scopes came than were asked for; ``_check`` sees
        return getattr(changed, "token", {})
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise issuer.not_signed_in("unreadable-answer", "") from None


def _grant(
    token: Mapping[str, Any], client: Client, account: Account, scopes: tuple[str, ...], now: float, *, named: bool
) -> Grant:
    """Make a grant of Google's response; ``named`` tells whether scopes came with the code, as Google sends them."""
    claims = issuer.claims(token.get("id_token"), client.client_id)
    details: dict[str, Any] = {"client_id": client.client_id}
    lifetime = token.get("refresh_token_expires_in")
    if isinstance(lifetime, int | float) and not isinstance(lifetime, bool):
        details["refresh_expires_at"] = now + lifetime
        details["testing"] = lifetime <= _TESTING_SECONDS
    granted = token.get("scope")
    google = str(claims.get("iss", "")).removeprefix("https://") == "accounts.google.com"
    if granted and not google and not named and "google" not in str(granted):
        details["foreign"] = True  # the issuer does not know Gmail's permissions, so none of them was unticked
    seconds = token.get("expires_in")  # oauthlib has seen that it is a number
    if seconds is None:
        seconds = _EXPIRES_SECONDS
    return Grant(
        provider="gmail",
        route=account.route,
        who=claims.get("email"),
        scopes=issuer.scope_names(granted or list(scopes)),  # RFC 6749 §5.1: left out where it is as asked for
        created_at=now,
        refreshed_at=now,
        access_token=str(token.get("access_token", "")),
        expires_at=now + max(0.0, float(seconds)),
        data={
            "refresh_token": token.get("refresh_token") or "",
            "client_id": client.client_id,
            "client_secret": client.client_secret,
            "token_uri": client.token_uri,
        },
        details=details,
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
        return
    if _mailbox(grant.who) == _mailbox(sender):
        return
    differ = f"{grant.who} signed in, but the account"
    question = f"{differ} sends as {sender}. Gmail sends as its own address or a verified alias. Keep it?"
    if not ui.interactive or not ui.confirm(question):
        raise LoginRequired(
            f"{differ} {account.name!r} sends as {sender}. Sign in as {sender}, or change the account's From.",
            evidence=Evidence("oauth", reason="wrong-account", details={"who": grant.who, "expected": sender}),
        )


def _mailbox(address: str) -> str:
    """Fold an address as Gmail does for its own domains: no dots, no +tag, googlemail.com = gmail.com."""
    local, _, domain = address.casefold().rpartition("@")
    if domain in ("gmail.com", "googlemail.com"):
        return local.partition("+")[0].replace(".", "") + "@gmail.com"
    return f"{local}@{domain}"


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
    data = grant.data
    needed = [data.get(key) for key in ("refresh_token", "token_uri", "client_id")]
    if grant.provider != "gmail" or not all(isinstance(value, str) and value for value in needed):
        raise LoginRequired(
            f"The stored sign-in of the account {account.name!r} is not complete.",
            evidence=Evidence("oauth", reason="grant-incomplete"),
        )
    try:
        from google.oauth2.credentials import Credentials
    except ImportError as problem:
        raise issuer.missing_extra(problem) from None
    client_secret = data.get("client_secret") or ""
    credentials: Any = Credentials(  # type: ignore[no-untyped-call]
        None,
        refresh_token=data["refresh_token"],
        token_uri=data["token_uri"],  # from_authorized_user_info() would put Google's in its place
        client_id=data["client_id"],
        client_secret=client_secret,
    )
    basic = (data["client_id"], client_secret)
    _fetch(credentials, account, basic=basic if grant.details.get("foreign") else None)
    now = clock()
    return replace(
        grant,
        route=account.route,
        access_token=credentials.token,
        expires_at=_expiry(credentials, now),
        refreshed_at=now,
        scopes=issuer.scope_names(credentials.granted_scopes or grant.scopes),
        data={**data, "refresh_token": credentials.refresh_token or data["refresh_token"]},
    )


def _refresh_service_account(account: Account, scopes: tuple[str, ...], now: float) -> Grant:
    info = read_service_account(account.service_account)
    try:
        from google.oauth2 import service_account
    except ImportError as problem:
        raise issuer.missing_extra(problem) from None
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
        route=account.route,
        who=subject,
        scopes=wanted,
        created_at=now,
        refreshed_at=now,
        access_token=credentials.token,
        expires_at=_expiry(credentials, now),
        details={"service_account": info["client_email"], "client_id": info.get("client_id")},
    )


def _fetch(credentials: Any, account: Account, *, basic: tuple[str, str] | None = None) -> None:
    """Let google-auth fetch a token; a response that is none is told apart before the library guesses at it.

    ``basic`` are client id and secret for the header, which every issuer takes (RFC 6749 §2.3.1); google-auth puts them
    in the body, as Google has it.
    """
    from google.auth.exceptions import GoogleAuthError

    with issuer.requester(account) as request:

        def transport(
            url: str, method: str = "GET", body: bytes | None = None, headers: Mapping[str, str] | None = None, **_: Any
        ) -> SimpleNamespace:
            if basic and body:
                fields = [pair for pair in parse_qsl(body.decode()) if not pair[0].startswith("client_")]
                body = urlencode(fields).encode()
            response = request(method, url, data=body, headers=dict(headers or {}), auth=basic)
            if response.status_code != 200:
                raise issuer.refused(response.content, account)
            # a response as google-auth's transport interface wants it
            return SimpleNamespace(status=200, headers=response.headers, data=response.content)

        try:
            credentials.refresh(transport)
        except FrankingError:
            raise
        except (GoogleAuthError, TypeError, ValueError, OverflowError, RecursionError):
            raise issuer.unreadable() from None
    if not credentials.token:
        raise issuer.unreadable()


def _expiry(credentials: Any, now: float) -> float:
    from datetime import UTC, datetime

    expiry = credentials.expiry  # naive UTC, by the library's own look at the clock
    if not expiry:
        return now + _EXPIRES_SECONDS
    left = expiry.replace(tzinfo=UTC) - datetime.now(UTC)
    return now + float(left.total_seconds())


def revoke(account: Account, grant: Grant) -> str:
    """Revoke the grant at Google, and return a sentence that tells what happened.

    Every machine's sign-in of this person with this client ends.
    """
    token = grant.data.get("refresh_token")
    if account.service_account or not token:
        return (
            "There was nothing to revoke: "
            "a service account's right is taken away in the Google Workspace admin console."
        )
    with issuer.requester(account) as request:
        response = request("POST", _revoke_uri(str(grant.data.get("token_uri"))), data={"token": token})
    if response.status_code == 200:
        return "Google revoked the grant: on every machine the sign-ins of this person with this client have ended."
    if (json_object(response.content) or {}).get("error") == "invalid_token":
        return "Google says that the grant had already ended."
    if response.status_code in (404, 405):
        return "The issuer has no place to revoke a sign-in; it was only forgotten here."
    raise http_errors.from_response(
        response.status_code, response.headers, service=issuer.SERVICE, text=response.text, final=False
    )


def _revoke_uri(token_uri: str) -> str:
    """Find where the issuer revokes: Google's one place, else ``…/revoke`` beside the token endpoint ``…/token``."""
    parts = urlsplit(token_uri)
    if (parts.hostname or "").endswith((".googleapis.com", ".google.com")):
        return REVOKE_URI
    return parts._replace(path=parts.path.rpartition("/")[0] + "/revoke", query="").geturl()


def _require_scopes(grant: Grant, account: Account, scopes: tuple[str, ...]) -> None:
    """See that the mail scope was granted: people untick boxes, and accounts change their route."""
    missing = tuple(scope for scope in scopes if "/" in scope and scope not in grant.scopes)
    if missing and not grant.details.get("foreign"):
        raise LoginRequired(
            f"The sign-in lacks the permission {missing[0]} that the route {account.route} needs. "
            "Sign in again and leave its box ticked.",
            evidence=Evidence("oauth", reason="scope-missing", details={"missing": missing, "granted": grant.scopes}),
        )
