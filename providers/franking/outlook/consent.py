"""What a sign-in asks to be allowed, which of it only an administrator may allow, and where an administrator does so.

Microsoft's own policy (the default of new organisations since 2025) lets people allow an app to send as themselves,
Mail.Send, Mail.Send.Shared and SMTP.Send, and leaves everything that reads a mailbox to administrators
(https://learn.microsoft.com/entra/identity/enterprise-apps/manage-app-consent-policies). Which scopes a route needs is
decided in ``facts.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode, urlsplit

from franking.account.account import Account
from franking.outlook.facts import GRAPH, authority

__all__ = ["consent_details"]

_PEOPLE_MAY = frozenset({"Mail.Send", "Mail.Send.Shared", "SMTP.Send"})


def consent_details(account: Account, wanted: Iterable[str]) -> dict[str, Any]:
    """Return what texts say of the scopes that were asked for: their names, those beyond what people may usually allow,
    and the page for the administrator.
    """
    scopes = tuple(wanted)
    names = _names(account, scopes)
    details: dict[str, Any] = {
        "client_id": account.client_id,
        "permissions": ", ".join(names),
        "admin_consent_url": _admin_consent(account, scopes),
    }
    if account.app_only:
        return {**details, "as_app": True}
    beyond = [name for name in names if name not in _PEOPLE_MAY]
    if beyond:
        details["beyond_users"] = ", ".join(beyond)
    return details


def _names(account: Account, scopes: tuple[str, ...]) -> list[str]:
    """Return the scopes as Microsoft's pages name them: without the resource, for an app by itself its permissions."""
    if not account.app_only:
        return [scope.rpartition("/")[2] for scope in scopes]
    if account.route != GRAPH:
        return ["SMTP.SendAsApp"]
    return ["Mail.Send", "Mail.ReadWrite"] if account.large_attachments else ["Mail.Send"]


def _admin_consent(account: Account, scopes: tuple[str, ...]) -> str:
    """Return the page on which an administrator allows the app for everybody
    (https://learn.microsoft.com/entra/identity-platform/v2-admin-consent).
    """
    issuer = urlsplit(authority(account)[0])
    tenant = issuer.path.strip("/").split("/")[0]
    if tenant in ("common", "consumers"):
        tenant = "organizations"
    query = urlencode({"client_id": account.client_id, "scope": " ".join(scopes), "redirect_uri": "http://localhost"})
    return f"{issuer.scheme}://{issuer.netloc}/{tenant}/v2.0/adminconsent?{query}"
