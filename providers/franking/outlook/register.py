"""An application of one's own at Microsoft: the pages on which it is registered, a look at it that needs nobody to sign
in, and scripts for an administrator. Nothing is registered from here.

What is right depends on the account that the application is for: its address (a personal mailbox or an organisation's),
``tenant``, ``route``, ``large_attachments``, ``mailbox``, ``app_only``.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shlex
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, urlsplit

from franking.abilities import Errand, Looked
from franking.account.account import Account
from franking.errors import SettingsError
from franking.net import http
from franking.outlook.facts import _SHARED_TENANTS, GRAPH, personal, scopes
from franking.outlook.issuer import application, asked
from franking.outlook.signin_errors import explained

__all__ = ["errands", "look", "script"]

_PORTAL = "https://go.microsoft.com/fwlink/?linkid=2083908"
_REDIRECT = "http://localhost"
_AUDIENCES = {
    "AzureADMyOrg": "Accounts in this organizational directory only",
    "AzureADandPersonalMicrosoftAccount": "Accounts in any organizational directory and personal Microsoft accounts",
}


def _audience(account: Account) -> str:
    if account.app_only or (account.tenant not in _SHARED_TENANTS and not personal(account.sender.domain)):
        return "AzureADMyOrg"
    return "AzureADandPersonalMicrosoftAccount"


def _permissions(account: Account) -> list[str]:
    """Return the delegated permissions that the account's sign-in asks for, by their names in Microsoft Graph."""
    if account.app_only:
        return []  # Exchange gives them, for one mailbox; from Entra they would count for all
    names = [scope.rpartition("/")[2] for route in {GRAPH, account.route} for scope in scopes(account, route)]
    return sorted(set(names))


# -- the pages ---------------------------------------------------------------------------------------------------------


def errands(account: Account) -> tuple[Errand, ...]:
    """Return the pages on which the application for this account is registered, with the values to choose and type."""
    values = [("Name", "Franking"), ("Supported account types", _AUDIENCES[_audience(account)])]
    if account.app_only:
        return (
            Errand("Register an app: New registration.", _PORTAL, tuple(values)),
            Errand(
                "In the app: Certificates & secrets, New client secret. Copy its Value, not the Secret ID: it is shown "
                "once. (A certificate is better.)"
            ),
            Errand(
                "Give it no permission under API permissions: that would count for every mailbox. An administrator of "
                "Exchange lets it send from this mailbox alone, by the script that --script powershell prints.",
                values=(("Mailbox", account.sender.address), ("Roles", ", ".join(_roles(account)))),
            ),
            _copy_ids(account),
        )
    values.append(("Redirect URI", "Public client/native (mobile & desktop), http://localhost"))
    permissions = ", ".join(_permissions(account))
    return (
        Errand("Register an app: New registration.", _PORTAL, tuple(values)),
        Errand(
            "In the app: Authentication, Advanced settings, Save. Codes on another device need it.",
            values=(("Allow public client flows", "Yes"),),
        ),
        Errand(
            "In the app: API permissions, Microsoft Graph, Delegated permissions. (In most organisations people may "
            "allow Mail.Send and SMTP.Send themselves; what is listed here an administrator can allow for all.)",
            values=(("Permissions", permissions),),
        ),
        _copy_ids(account),
    )


def _copy_ids(account: Account) -> Errand:
    ids = "the Application (client) ID"
    if _audience(account) == "AzureADMyOrg":
        ids += ", and the Directory (tenant) ID for --tenant"
    return Errand(f"In the app: Overview. Copy {ids}.")


# -- a look at it ------------------------------------------------------------------------------------------------------


def look(account: Account) -> Iterator[Looked]:
    """Ask Microsoft for a device code that nobody will type, and see what it says of the application.

    The request is refused where there is no such application, where it does not admit this kind of account, or where a
    permission is unknown; the first look for an answer where public clients are not allowed. A sign-in without a page
    shows whether the redirect URI is registered.
    """
    if account.app_only:
        yield Looked("nothing", None, "only its secret shows whether it is right: franking check NAME")
        return
    wanted = scopes(account, account.route)
    seen = account
    if account.tenant == "common" and not account.authority and personal(account.sender.domain):
        seen = account.replace(tenant="consumers")  # at common, one that leaves personal accounts out is admitted
    with application(seen) as app:
        if not app.discovery.get("device_authorization_endpoint"):
            yield Looked("application", None, "this sign-in server has no device codes to ask by")
            return
        flow: dict[str, Any] = asked(seen, app.msal.initiate_device_flow, scopes=list(wanted))
        if "user_code" not in flow:
            yield Looked("application", False, error=explained(seen, flow, wanted))
            return
        yield Looked("application", True, "Microsoft knows it, and it admits this kind of account")
        yield Looked("permissions", True, ", ".join(scope.rpartition("/")[2] for scope in wanted))
        # one look only: told that the flow is over, MSAL asks just once
        result = asked(seen, app.msal.acquire_token_by_device_flow, {**flow}, exit_condition=lambda _: True)
    if result.get("error") == "authorization_pending":
        yield Looked("public client flows", True, "allowed")
    else:
        yield Looked("public client flows", False, error=explained(seen, result, wanted))
    yield _way_back(seen, str(app.discovery.get("authorization_endpoint", "")))


def _way_back(account: Account, endpoint: str) -> Looked:
    """Ask for a sign-in that shows no page (``prompt=none``), where nobody is signed in. A server carries its refusal
    to the redirect URI only if that is registered (RFC 6749 §4.1.2.1); any other answer tells nothing.
    """
    state = secrets.token_urlsafe(24)
    asking = {
        "client_id": account.client_id,
        "response_type": "code",
        "response_mode": "query",
        "redirect_uri": _REDIRECT,
        "scope": "openid",
        "prompt": "none",
        "state": state,
        "nonce": secrets.token_urlsafe(24),
        "code_challenge": secrets.token_urlsafe(32),  # of no verifier: no code is wanted
        "code_challenge_method": "S256",
    }
    with http.session(account.ca_file, timeout=account.timeout, patience=account.final_timeout) as session:
        response = asked(account, session.get, endpoint, params=asking, stream=True)
        there = urlsplit(response.headers.get("Location", ""))  # before what repeats our words is taken out
        page = asked(account, http.read, response).text
    if (there.scheme, there.hostname) == ("http", "localhost") and parse_qs(there.query).get("state") == [state]:
        return Looked("redirect URI", True, f"{_REDIRECT} is registered")
    if refused := re.search(r"AADSTS50011\b[^<\"]{0,300}", page):
        answer = {"error": "invalid_request", "error_description": refused[0]}
        return Looked("redirect URI", False, error=explained(account, answer, ()))
    return Looked("redirect URI", None, "the first sign-in in a browser shows whether http://localhost is registered")


# -- scripts -----------------------------------------------------------------------------------------------------------


def script(account: Account, kind: str, *, name: str = "Franking") -> str:
    """Return a script with which an administrator registers the application, as often as they like: ``az`` (bash, Azure
    CLI) or ``powershell``. Raises ``SettingsError`` for a name that could act in one.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,59}", name):
        raise SettingsError(
            f"name: {name!r} has other characters than letters, digits, blanks, . _ and -.", field="name"
        )
    ending, part = {"az": "sh", "powershell": "ps1"}[kind], "people"
    if account.app_only:
        part = "daemon"
    folder = files("franking.outlook") / "scripts"
    text = "".join((folder / f"{each}.{ending}").read_text("utf-8") for each in ("register", part))
    for key, value in _values(account, name, ending).items():
        text = text.replace(f"%{key}%", value)
    return re.sub(r"\n{3,}", "\n\n", text)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _values(account: Account, name: str, ending: str) -> Mapping[str, str]:
    quote: Callable[[str], str] = {"sh": shlex.quote, "ps1": _quoted}[ending]
    separator = ", " if ending == "ps1" else " "
    mailbox = account.sender.address
    if not re.fullmatch(r"[A-Za-z0-9._%+@-]+", mailbox):
        raise SettingsError(
            f"from: {mailbox!r} cannot stand in a script; use the mailbox's ASCII address.", field="from"
        )
    scope = _scope(name, mailbox)
    purpose, modules, public, redirect = "people send mail as themselves", "nothing else.", "true", _REDIRECT
    if account.app_only:
        purpose = f"a program sends mail from {mailbox}, and from no other mailbox"
        modules, public, redirect = "ExchangeOnlineManagement.", "false", ""
    tenant = "common"
    if _audience(account) == "AzureADMyOrg":
        tenant = "$tenant"
    redirects = ""
    if redirect:
        redirects = {"sh": f'\\"{redirect}\\"', "ps1": f"'{redirect}'"}[ending]
    assignments = "\n".join(
        f"  New-ManagementRoleAssignment -App $app -Role '{role}' -CustomResourceScope '{scope}'"
        for role in _roles(account)
    )
    if ending == "sh":
        mailbox_there, scope_there = mailbox, scope
    else:
        mailbox_there, scope_there = quote(mailbox), quote(scope)
    return {
        "PURPOSE": purpose,
        "MODULES": modules,
        "NAME": quote(name),
        "AUDIENCE": quote(_audience(account)),
        "PERMISSIONS": separator.join(quote(each) for each in _permissions(account)),
        "PUBLIC": public,
        "REDIRECT": redirects,
        "CONSENT": _consent(account, ending),
        "TENANT": tenant,
        "MAILBOX": mailbox_there,
        "SCOPE": scope_there,
        "ROLES": separator.join(quote(role) for role in _roles(account)),
        "ASSIGNMENTS": assignments,
    }


def _scope(name: str, mailbox: str) -> str:
    """Return what the mailbox's scope is called in Exchange: a name there has at most 64 characters, and that of the
    assignment holds a role, a comma and a blank besides.
    """
    whole, most = f"{name} {mailbox}", 64 - len("Application Mail.ReadWrite, ")
    if len(whole) <= most:
        return whole
    mark = hashlib.sha256(whole.encode()).hexdigest()[:8]
    return f"{whole[: most - 9]} {mark}"


def _roles(account: Account) -> list[str]:
    if account.route != GRAPH:
        return ["Application SMTP.SendAsApp"]
    return ["Application Mail.Send", "Application Mail.ReadWrite"][: 1 + account.large_attachments]


def _consent(account: Account, ending: str) -> str:
    """Return the lines that allow what people may not allow themselves; nothing where they may."""
    if {"Mail.Send", "Mail.Send.Shared", "SMTP.Send"}.issuperset(_permissions(account)):
        return ""
    if ending == "sh":
        return '\n# people may not allow this one themselves\naz ad app permission admin-consent --id "$app"\n'
    return (
        "\n# people may not allow this one themselves: an administrator opens this address once, and accepts\n"
        'Write-Host "https://login.microsoftonline.com/$tenant/adminconsent?client_id=$($app.AppId)"\n'
    )
