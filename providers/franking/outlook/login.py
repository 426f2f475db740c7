"""Sign in with Microsoft, and renew: browser (PKCE, the code posted to our listener), pasted address, device code, and
app-only with a secret or a certificate.

MSAL does the protocol, through ``issuer.py``. Grants are values: nothing is stored here, and MSAL's cache travels
inside ``Grant.data``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from franking.account.account import Account
from franking.auth.redirect import Listener, authorization_response
from franking.auth.secret import Grant, Password
from franking.auth.token import meant_for
from franking.errors import ConnectError, Evidence, LoginRequired, SettingsError
from franking.outlook import aadsts
from franking.outlook.certificate import certificate_end
from franking.outlook.facts import GRAPH, SMTP, authority, scopes
from franking.outlook.issuer import Application, application, asked
from franking.outlook.signin_errors import explained, numbers
from franking.provider import LoginUI, ShowsCodes
from franking.text import bounded

__all__ = ["login", "prepared", "refresh", "revoke"]


DEVICE_SECONDS = 900.0
"""How long a device code lives at Microsoft; one that claims to live longer is given up then."""

UNUSED_SECONDS = 90 * 86_400.0
"""How long Microsoft keeps a sign-in that nobody renews."""

_ROUTES = (GRAPH, SMTP)


def login(account: Account, ui: LoginUI, *, sleep: Callable[[float], None] = time.sleep) -> Grant:
    """Lead a person through the sign-in and return the grant.

    Raises ``LoginRequired`` (declined, timed out, not allowed), ``SettingsError`` (the app registration or a setting is
    wrong) and ``ConnectError`` (Microsoft cannot be reached), all with evidence of kind ``oauth``, ``http`` or of the
    network.
    """
    if account.app_only:
        raise SettingsError(
            "app_only: nobody signs in for an app-only account; give it its client secret or certificate instead.",
            field="app_only",
        )
    own = scopes(account, account.route)
    # of the other route what sends, and no more: whatever needs an administrator is asked for where it is used
    least = account.replace(large_attachments=False)
    other = tuple(scope for route in _ROUTES if route != account.route for scope in scopes(least, route))
    way = "browser"
    consented: tuple[str, ...] = (account.route,)
    with application(account) as app:
        if ui.device:
            way, result = "device", _device(account, app, ui, own, sleep)
        else:
            if ui.no_browser:
                way = "pasted"
            result, consented = _browser(account, app, ui, own, other), _ROUTES
            if _other_scope_refused(result):
                # MSAL is finished with this flow; the person has to go through the page once more, and is told why
                ui.show(
                    "Your organisation does not allow all that was asked for. "
                    "Asking again for what this account needs and no more."
                )
                result, consented = _browser(account, app, ui, own, ()), (account.route,)
        grant = _grant(account, app, result, own, consented, way)
    _settle_who(account, ui, grant.who)
    for route in _ROUTES:
        if route not in consented:
            ui.show(f"This sign-in is for the route {account.route} only; the route {route} would need one of its own.")
    return grant


def _settle_who(account: Account, ui: LoginUI, who: str | None) -> None:
    """Tell that somebody else signed in than the account sends as, and let the person decide.

    A work account's login name may differ from its address; a shared mailbox is opened by somebody else's rights.
    """
    expected = account.sender.address
    if not who or account.mailbox or who.casefold() in (expected.casefold(), str(account.username or "").casefold()):
        return
    ui.show(
        f"{who} signed in, but the account sends as {expected}. Microsoft takes that From only if {who} may send as it."
    )
    if ui.interactive and not ui.confirm("Keep this sign-in?"):
        raise LoginRequired(
            f"{who} signed in, but the account {account.name!r} sends as {expected}.",
            evidence=Evidence("oauth", reason="wrong-account", details={"who": who, "expected": expected}),
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
    with application(account, secret) as app:
        yield partial(_renewed, account, app, secret)


def _renewed(account: Account, app: Application, secret: Password, grant: Grant | None) -> Grant:
    wanted = scopes(account, account.route)
    if account.app_only:
        result = asked(account, app.msal.acquire_token_for_client, scopes=list(wanted))
        return _grant(account, app, result, wanted, (account.route,), "app-only", secret=secret.value)
    app.cache.deserialize(_known_cache(account, grant))
    assert grant is not None
    result = None
    for known in app.msal.get_accounts()[:1]:
        ask = app.msal.acquire_token_silent_with_error
        result = asked(account, ask, list(wanted), account=known, force_refresh=True)
    if result is None:
        raise _nothing_to_renew(account)
    consented = tuple(grant.details.get("consented", ()))
    renewed = _grant(account, app, result, wanted, consented, str(grant.details.get("way", "")))
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


def _nothing_to_renew(account: Account) -> LoginRequired:
    return LoginRequired(
        f"The stored sign-in of {account.name!r} holds nothing to renew it with; sign in again.",
        evidence=Evidence("oauth", reason="no-refresh-token"),
    )


def revoke(account: Account, grant: Grant) -> str:
    """Return where access is taken away: Microsoft lets no program revoke its own grant of one user."""
    if not authority(account)[1]:
        return (
            "Franking has forgotten this sign-in. "
            "Remove the app's access in your identity provider's account pages too."
        )
    return (
        "Microsoft lets no program take its own access away. Franking has forgotten this sign-in; "
        "to remove the app's access too, open https://myapps.microsoft.com (work or school) or "
        "https://account.live.com/consent/Manage (personal) and remove the app there."
    )


def _browser(
    account: Account, app: Application, ui: LoginUI, own: tuple[str, ...], extra: tuple[str, ...]
) -> Mapping[str, Any]:
    """Send the person to the sign-in page, wait for the response, redeem its code for the account's own scopes."""
    hint = account.username or account.sender.address
    with Listener(host="localhost") as listener:
        flow = app.msal.initiate_auth_code_flow(
            [*own, *extra],
            # as registered, http://localhost: the port does not matter there, a path would
            redirect_uri=listener.redirect_uri.rstrip("/"),
            response_mode="form_post",
            login_hint=None if account.mailbox else hint,
            prompt="select_account" if authority(account)[1] else None,
        )
        url = str(flow["auth_uri"])
        modes = app.discovery.get("response_modes_supported")
        if ui.no_browser or (isinstance(modes, list) and "form_post" not in modes):
            # what can be pasted is in the address line
            url = url.replace("response_mode=form_post", "response_mode=query")
        parameters = dict(authorization_response(ui, listener, url, flow["state"]))
    parameters["state"] = flow["state"]  # checked above; a pasted bare code comes without
    redeem = app.msal.acquire_token_by_auth_code_flow
    result: Mapping[str, Any] = asked(account, redeem, flow, parameters, scopes=list(own))
    return result


_FOR_A_SCOPE = (
    "microsoft.admin-consent",
    "microsoft.app-misconfigured",
    "microsoft.invalid-scope",
    "microsoft.resource-missing",
)


def _other_scope_refused(result: Mapping[str, Any]) -> bool:
    """Return whether a sign-in failed for what was asked on top: unknown, or only an administrator grants it."""
    if "access_token" in result:
        return False
    known = aadsts.answer(numbers(result))
    if known is not None:
        return known.code in _FOR_A_SCOPE
    return result.get("error") in ("invalid_scope", "invalid_resource")


def _device(
    account: Account, app: Application, ui: LoginUI, own: tuple[str, ...], sleep: Callable[[float], None]
) -> Mapping[str, Any]:
    """Show a code that is typed in on another device, and poll as RFC 8628 §3.5 has it: slower when asked, bounded."""
    if not app.discovery.get("device_authorization_endpoint"):  # MSAL would call it a mistake of the programmer's
        host = urlsplit(authority(account)[0]).hostname
        raise SettingsError(
            f"The sign-in server {host} has no device codes; on a machine without a browser use --no-browser.",
            field="device",
            evidence=Evidence("oauth", reason="no-device-endpoint", details={"host": host}),
        )
    flow: dict[str, Any] = asked(account, app.msal.initiate_device_flow, scopes=list(own))
    if "user_code" not in flow:
        return flow
    if isinstance(ui, ShowsCodes):
        ui.show_code(bounded(str(flow["user_code"]), 60), _where(flow))
    else:
        ui.show(_instructions(flow))
    left, pause = min(flow["expires_in"], DEVICE_SECONDS), max(1, flow["interval"])
    while left > 0:
        sleep(pause)
        left -= pause
        app.remembered.clear()
        try:
            # a copy, because the pace is kept here; told that the flow is over, MSAL asks just once
            poll = partial(app.msal.acquire_token_by_device_flow, exit_condition=lambda _: True)
            result: Mapping[str, Any] = asked(account, poll, {**flow})
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
    where = _where(flow)
    code = bounded(str(flow["user_code"]), 60)
    return f"To sign in, open {where} in a browser, on any device, and type the code {code}."


def _where(flow: Mapping[str, Any]) -> str:
    """Return the address at which the code is typed in."""
    return bounded(str(flow.get("verification_uri") or flow.get("verification_url") or ""), 300)


def _grant(
    account: Account,
    app: Application,
    result: Mapping[str, Any],
    wanted: tuple[str, ...],
    consented: tuple[str, ...],
    way: str,
    *,
    secret: str | None = None,
) -> Grant:
    """Make a grant of MSAL's result; raise what an error in it means."""
    if "access_token" not in result:
        raise explained(account, result, wanted, way=way, secret=secret)
    claims = result.get("id_token_claims") or {}
    if not meant_for(claims, account.client_id):  # MSAL validates the nonce only
        claims = {}
    now = time.time()
    data, details = {}, {"tenant": claims.get("tid"), "way": way, "consented": list(consented)}
    if not account.app_only:
        data["cache"] = app.cache.serialize()
        if authority(account)[1]:
            # ended by disuse: 90 days from each renewal
            # (https://learn.microsoft.com/entra/identity-platform/refresh-tokens)
            details["refresh_expires_at"] = now + UNUSED_SECONDS
    elif account.certificate:
        details["credential_expires_at"] = certificate_end(account)
    who = claims.get("preferred_username") or claims.get("email") or claims.get("upn")
    return Grant(
        provider="outlook",
        route=account.route,
        who=who and str(who),
        scopes=tuple(str(result.get("scope") or " ".join(wanted)).split()),
        created_at=now,
        refreshed_at=now,
        access_token=str(result["access_token"]),
        expires_at=now + float(result.get("expires_in") or 0),
        data=data,
        details={key: value for key, value in details.items() if value},
    )
