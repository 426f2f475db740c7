"""Sign in with Microsoft, and renew: MSAL does the protocol, this file decides how it is used and what its answers
mean.

Ways in: the browser (PKCE, answer posted to our loopback listener), a pasted address, a device code, and app-only with
a secret or a certificate. Grants are values: nothing is stored here, and MSAL's cache travels inside ``Grant.data``. An
MSAL application is made for each use, because one that lives on replays an identical 400 from memory for 60 seconds.
MSAL gets our HTTP session and asks no other host whether an issuer is known (``instance_discovery=False``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from franking.account.account import Account
from franking.auth.redirect import Listener, answer
from franking.auth.secret import Grant, Password
from franking.errors import ConnectError, Evidence, FrankingError, LoginRequired, SettingsError
from franking.net import http, http_errors
from franking.outlook.certificate import certificate_end, pem
from franking.outlook.facts import GRAPH, SMTP, authority, scopes
from franking.outlook.signin_errors import explained, sign_in_needed, transport_failure, unreadable
from franking.provider import LoginUI
from franking.text import bounded, json_object

if TYPE_CHECKING:
    import requests

__all__ = ["login", "refresh", "revoke"]


DEVICE_SECONDS = 900.0
"""How long a device code lives at Microsoft; one that claims to live longer is given up then."""

UNUSED_SECONDS = 90 * 86_400.0
"""How long Microsoft keeps a sign-in that nobody renews."""

_ROUTES = (GRAPH, SMTP)
_NOT_FOR_LOGS = frozenset({"code", "code_verifier", "device_code", "client_assertion"})


def login(
    account: Account,
    ui: LoginUI,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Grant:
    """Lead a person through the sign-in and return the grant.

    Raises ``LoginRequired`` (declined, timed
    out, not allowed), ``SettingsError`` (the app registration or a setting is wrong) and ``ConnectError`` (Microsoft
    cannot be reached), all with evidence of kind ``oauth``, ``http`` or of the network.
    """
    if account.app_only:
        raise SettingsError(
            "app_only: nobody signs in for an app-only account; give it its client secret or certificate instead.",
            field="app_only",
        )
    own = scopes(account, account.route)
    other = tuple(scope for route in _ROUTES if route != account.route for scope in scopes(account, route))
    consented: tuple[str, ...] = (account.route,)
    with _application(account) as app:
        if ui.device:
            way, result = "device", _device(account, app, ui, own, sleep)
        else:
            way, result, consented = (
                "pasted" if ui.no_browser else "browser",
                _browser(account, app, ui, own, other),
                _ROUTES,
            )
            if _other_scope_refused(result):
                # MSAL is finished with this flow; the person has to go through the page once more, and is told why
                ui.show(
                    "Your organisation does not allow all that was asked for. Asking again for what this account needs and no more."
                )
                result, consented = _browser(account, app, ui, own, ()), (account.route,)
        grant = _grant(account, app, result, own, consented, way)
    _settle_who(account, ui, grant.who)
    for route in _ROUTES:
        if route not in consented:
            ui.show(f"This sign-in is for the route {account.route} only; the route {route} would need one of its own.")
    return grant


def _settle_who(account: Account, ui: LoginUI, who: str | None) -> None:
    """Say that somebody else signed in than the account sends as, and let the person decide; a work account's login
    name may differ from its address.

    A shared mailbox is opened by somebody else's rights.
    """
    expected = account.sender.address
    if not who or account.mailbox or who.casefold() in (expected.casefold(), str(account.username or "").casefold()):
        return
    ui.show(
        f"{who} signed in, but the account sends as {expected}. Microsoft takes that From only if {who} may send as it."
    )
    if ui.interactive and not ui.confirm("Keep this sign-in?"):
        raise sign_in_needed(
            f"{who} signed in, but the account {account.name!r} sends as {expected}.",
            Evidence("oauth", reason="wrong-account", details={"who": who, "expected": expected}),
        )


def refresh(account: Account, grant: Grant | None, secret: str | None) -> Grant:
    """Make a fresh access token for the account's route; always asks the issuer.

    ``secret`` is the client secret of an app-only account. Raises ``LoginRequired`` where a person must sign in
    (again), ``SettingsError`` where the app registration, its secret or its certificate is at fault, ``ConnectError``
    (temporary) where the issuer cannot be reached.
    """
    if not account.app_only:
        _known_cache(account, grant)  # nobody is asked where there is nothing to renew
    with prepared(account, secret) as renew:
        return renew(grant)


def prepared(account: Account, secret: str | None) -> AbstractContextManager[Callable[[Grant | None], Grant]]:
    """Make the MSAL application, which asks the issuer for its endpoints, and lend the ``refresh`` that uses it.

    So that the account's lock is held for the renewal only.
    """
    return _prepared(account, Password(secret or ""))


@contextmanager
def _prepared(account: Account, secret: Password) -> Iterator[Callable[[Grant | None], Grant]]:
    # a generator's variables outlive its errors (``errors.forget_locals``): none of them is the secret itself
    with _application(account, secret) as app:
        yield lambda grant: _renewed(account, app, grant, secret.value or None)


def _renewed(account: Account, app: _Application, grant: Grant | None, secret: str | None) -> Grant:
    wanted = scopes(account, account.route)
    if account.app_only:
        result = _asked(account, lambda: app.msal.acquire_token_for_client(scopes=list(wanted)))
        return _grant(account, app, result, wanted, (account.route,), "app-only", secret=secret)
    cache = _known_cache(account, grant)
    assert grant is not None
    app.cache.deserialize(cache)
    known = app.msal.get_accounts()
    if not known:
        raise _nothing_to_renew(account)
    result = _asked(
        account, lambda: app.msal.acquire_token_silent_with_error(list(wanted), account=known[0], force_refresh=True)
    )
    if result is None:
        raise _nothing_to_renew(account)
    renewed = _grant(
        account, app, result, wanted, tuple(grant.details.get("consented", ())), str(grant.details.get("way", ""))
    )
    return replace(
        renewed,
        who=renewed.who or grant.who,
        created_at=grant.created_at,
        details={**grant.details, **{key: value for key, value in renewed.details.items() if value}},
    )


def _known_cache(account: Account, grant: Grant | None) -> str:
    if grant is None or not grant.data.get("cache"):
        raise _nothing_to_renew(account)
    return str(grant.data["cache"])


def revoke(account: Account, grant: Grant) -> str:
    """Say where access is taken away: Microsoft lets no program revoke its own grant of one user."""
    if not authority(account)[1]:
        return "Franking has forgotten this sign-in. Remove the app's access in your identity provider's account pages too."
    return (
        "Microsoft lets no program take its own access away. Franking has forgotten this sign-in; to remove the app's access too, open "
        "https://myapps.microsoft.com (work or school) or https://account.live.com/consent/Manage (personal) and remove the app there."
    )


@dataclass(frozen=True)
class _Application:
    """An MSAL application, its token cache, the answers that it would replay (``remembered``), and the issuer's
    discovery document.
    """

    msal: Any = field(repr=False)
    cache: Any = field(repr=False)
    remembered: dict[str, Any] = field(repr=False)
    discovery: Mapping[str, Any]


@contextmanager
def _application(account: Account, secret: Password | None = None) -> Iterator[_Application]:
    """Make a fresh MSAL application; its construction asks the issuer for its endpoints."""
    if not account.client_id:
        raise SettingsError(
            "client_id: an Outlook account needs the Application (client) ID of an app registration in Microsoft Entra; "
            "docs/outlook.md shows where to get one.",
            field="client_id",
        )
    try:
        import msal
    except ImportError:
        raise SettingsError(
            'Signing in with Microsoft needs one more package; run: pip install "franking[outlook]"'
        ) from None
    issuer, microsoft = authority(account)
    known = _quiet_cache(msal)
    discovery: dict[str, Any] = {}
    remembered: dict[str, Any] = {}

    def look(response: requests.Response, *args: Any, **kwargs: Any) -> None:
        # an endless one is cut short, and MSAL logs errors: nothing secret is left in them
        response._content = http.body(response)
        if response.request.method == "GET" and response.ok:
            discovery.update(json_object(response.text) or {})
        elif response.status_code == 429:
            wait = http_errors.retry_after(response.headers.get("Retry-After"))
            raise ConnectError(
                "The sign-in server asks for less, or for later: it answered 429.",
                step="secret",
                evidence=Evidence("http", code=429, details={"retry_after": wait} if wait is not None else {}),
            )
        elif (
            response.request.method == "POST"
            and response.status_code < 500
            and not _readable(json_object(response.text) or {})
        ):
            raise unreadable(issuer)  # MSAL would log the whole answer, and there may be half a token in it

    with http.session(account.ca_file, timeout=account.timeout, patience=account.final_timeout) as session:
        session.stream = True
        session.hooks["response"].append(look)
        where = {"authority": issuer} if microsoft else {"oidc_authority": issuer}
        settings = {
            **where,
            "instance_discovery": False,
            "http_client": session,
            "token_cache": known,
            "http_cache": remembered,
        }

        def make() -> Any:
            if account.app_only:
                return msal.ConfidentialClientApplication(
                    account.client_id,
                    client_credential=_credential(account, secret.value if secret else None),
                    **settings,
                )
            return msal.PublicClientApplication(account.client_id, **settings)

        yield _Application(_asked(account, make), known, remembered, discovery)


def _quiet_cache(msal: Any) -> Any:
    """Make MSAL's cache, which logs at DEBUG what it is told: without the codes and the verifier that it hides not."""

    class Cache(msal.SerializableTokenCache):  # type: ignore[misc]
        def add(self, event: dict[str, Any], **rest: Any) -> None:
            data = {key: value for key, value in event.get("data", {}).items() if key not in _NOT_FOR_LOGS}
            super().add({**event, "data": data}, **rest)

    return Cache()


def _asked(account: Account, ask: Callable[[], Any]) -> Any:
    """Call MSAL; turn what it raises into our errors. What it returns may still be an error."""
    try:
        return ask()
    except FrankingError:
        raise
    except Exception as problem:
        failure = transport_failure(account, problem)
        if failure is None:
            raise
        raise failure from None


def _readable(found: Mapping[str, Any]) -> bool:
    """Return whether an answer is one of a token endpoint as far as types go (RFC 6749 §5); MSAL takes them on trust."""
    words = all(
        isinstance(found.get(name, ""), str)
        for name in ("access_token", "refresh_token", "id_token", "error", "error_description")
    )
    seconds = str(found.get("expires_in", 0)).partition(".")[0]
    return bool(found) and words and seconds.isascii() and seconds.isdigit() and len(seconds) < 12


def _browser(
    account: Account, app: _Application, ui: LoginUI, own: tuple[str, ...], extra: tuple[str, ...]
) -> Mapping[str, Any]:
    """Send the person to the sign-in page, wait for the answer, redeem the code for the account's own scopes."""
    microsoft = authority(account)[1]
    with Listener(host="localhost") as listener:
        flow = app.msal.initiate_auth_code_flow(
            [*own, *extra],
            # as registered, http://localhost: the port does not matter there, a path would
            redirect_uri=listener.redirect_uri.rstrip("/"),
            response_mode="form_post",
            login_hint=None if account.mailbox else account.username or account.sender.address,
            prompt="select_account" if microsoft else None,
        )
        url = str(flow["auth_uri"])
        modes = app.discovery.get("response_modes_supported")
        if ui.no_browser or (isinstance(modes, list) and "form_post" not in modes):
            # what can be pasted is in the address line
            url = url.replace("response_mode=form_post", "response_mode=query")
        parameters = dict(answer(ui, listener, url, flow["state"]))
    parameters["state"] = flow["state"]  # checked above; a pasted bare code comes without
    result: Mapping[str, Any] = _asked(
        account, lambda: app.msal.acquire_token_by_auth_code_flow(flow, parameters, scopes=list(own))
    )
    return result


def _other_scope_refused(result: Mapping[str, Any]) -> bool:
    """Return whether a sign-in failed for what was asked on top: unknown resource or scope, or one that only an
    administrator grants.
    """
    if "access_token" in result:
        return False
    text = str(result.get("error_description", ""))
    return result.get("error") in ("invalid_scope", "invalid_resource") or any(
        f"AADSTS{number}" in text for number in (90094, 90095, 90008, 65005, 650052, 650053, 650056, 650057, 500011)
    )


def _device(
    account: Account, app: _Application, ui: LoginUI, own: tuple[str, ...], sleep: Callable[[float], None]
) -> Mapping[str, Any]:
    """Show a code that is typed in on another device, and poll as RFC 8628 §3.5 says: not faster, slower when told so,
    bounded.
    """
    flow: dict[str, Any] = _asked(account, lambda: app.msal.initiate_device_flow(scopes=list(own)))
    if "user_code" not in flow:
        return flow
    ui.show(_instructions(flow))
    left, pause = min(flow["expires_in"], DEVICE_SECONDS), max(1, flow["interval"])
    while left > 0:
        sleep(pause)
        left -= pause
        app.remembered.clear()
        try:
            # a copy, because the pace is kept here; told that the flow is over, MSAL asks just once
            result: Mapping[str, Any] = _asked(
                account, lambda: app.msal.acquire_token_by_device_flow({**flow}, exit_condition=lambda _: True)
            )
        except ConnectError:
            pause *= 2  # RFC 8628 §3.5: back off after a time-out, and go on while the code lives
            continue
        if result.get("error") == "slow_down":
            pause += 5
        elif result.get("error") != "authorization_pending":
            return result
    return {"error": "expired_token", "error_description": "Nobody finished the sign-in before the code expired."}


def _instructions(flow: Mapping[str, Any]) -> str:
    """Return the issuer's own message, or one like it."""
    if flow.get("message"):
        return bounded(str(flow["message"]), 600)
    where = bounded(str(flow.get("verification_uri") or flow.get("verification_url") or ""), 300)
    return f"To sign in, open {where} in a browser, on any device, and type the code {bounded(str(flow['user_code']), 60)}."


def _grant(
    account: Account,
    app: _Application,
    result: Mapping[str, Any],
    wanted: tuple[str, ...],
    consented: tuple[str, ...],
    way: str,
    *,
    secret: str | None = None,
) -> Grant:
    """Make a grant of MSAL's answer; raise what an error in it means."""
    if "access_token" not in result:
        raise explained(account, result, wanted, secret=secret)
    claims = result.get("id_token_claims") or {}
    granted = tuple(str(result.get("scope") or " ".join(wanted)).split())
    now = time.time()
    who = claims.get("preferred_username") or claims.get("email") or claims.get("upn")
    details = {
        "tenant": claims.get("tid"),
        "way": way,
        "consented": list(consented),
        # ended by disuse: 90 days from each renewal
        # (https://learn.microsoft.com/entra/identity-platform/refresh-tokens)
        "refresh_expires_at": now + UNUSED_SECONDS if authority(account)[1] and not account.app_only else None,
        "credential_expires_at": certificate_end(account) if account.app_only and account.certificate else None,
    }
    return Grant(
        provider="outlook",
        route=account.route,
        who=str(who) if who else None,
        scopes=granted,
        created_at=now,
        refreshed_at=now,
        access_token=str(result["access_token"]),
        expires_at=now + float(result.get("expires_in") or 0),
        data={} if account.app_only else {"cache": app.cache.serialize()},
        details={key: value for key, value in details.items() if value},
    )


def _nothing_to_renew(account: Account) -> LoginRequired:
    return sign_in_needed(
        f"The stored sign-in of {account.name!r} holds nothing to renew it with; sign in again.",
        Evidence("oauth", reason="no-refresh-token"),
    )


def _credential(account: Account, secret: str | None) -> Any:
    """Return MSAL's form of the app's own proof: the secret, or private key and certificate of the PEM file."""
    if account.certificate:
        key, certificate = pem(account)
        return {"private_key": key, "public_certificate": certificate}
    if secret:
        return secret
    raise SettingsError(
        "An app-only account needs its client secret (the Value, not the Secret ID) or a certificate, and none was found.",
        step="secret",
        evidence=Evidence("settings", reason="no-client-secret"),
    )
