"""What the responses of Microsoft's sign-in, and what MSAL raises, mean for Franking: our errors, evidence in them.

There is no network here. Whose matter a refusal is, the account's, the app's or the service's, says its AADSTS number
(``aadsts.toml``); OAuth's ``error``, which often says something else, is asked where the number is none that we know.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from json import JSONDecodeError
from typing import Any
from urllib.parse import urlsplit

from franking.account.account import Account
from franking.auth.token import jwt_claims
from franking.errors import ConnectError, Evidence, FrankingError, LoginError, LoginRequired, SettingsError
from franking.net import http_errors
from franking.outlook import aadsts
from franking.outlook.consent import consent_details
from franking.outlook.facts import NUMBER, authority
from franking.text import bounded

__all__ = ["explained", "numbers", "transport_failure", "unreadable", "with_token_facts"]

_TEMPORARY = frozenset({"temporarily_unavailable", "server_error", "service_unavailable"})
_REGISTRATION = frozenset(
    {
        "invalid_client",
        "invalid_request",
        "invalid_resource",
        "invalid_scope",
        "unauthorized_client",
        "unsupported_grant_type",
        "unsupported_response_type",
    }
)
_WORDS = {
    "suberror": 200,
    "classification": 200,
    "correlation_id": 200,
    "trace_id": 200,
    "timestamp": 200,
    "claims": 2_000,
}
"""What a response says besides, and how much of it is kept."""
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def explained(
    account: Account, result: Mapping[str, Any], wanted: Iterable[str], *, way: str = "", secret: str | None = None
) -> FrankingError:
    """Make the error of an OAuth error response (RFC 6749 §5.2, with Microsoft's additions).

    ``wanted`` are the scopes that were asked for, ``way`` is how the person signs in, or once signed in. It is a
    ``ConnectError`` for what passes by itself, ``SettingsError`` where the app registration or its secret is at fault,
    else ``LoginRequired``.
    """
    reason = bounded(str(result.get("error") or "no-answer"), 100)
    text = bounded(str(result.get("error_description") or ""))
    details = _details(account, result, wanted, secret)
    details |= {"by_browser": way in ("browser", "pasted"), "by_device": way == "device"}
    evidence = Evidence("oauth", text=text, reason=reason, details=details)
    said = ": ".join(filter(None, (reason, text)))
    at = _matter_of(reason, details["aadsts"])
    if at == "service":
        return ConnectError(f"The sign-in server cannot help at the moment ({said})", step="secret", evidence=evidence)
    if at == "app" or account.app_only:
        return SettingsError(f"The sign-in server refused the app itself ({said})", step="secret", evidence=evidence)
    return LoginRequired(f"The sign-in was refused ({said})", evidence=evidence)


def _matter_of(reason: str, given: Iterable[int]) -> str:
    known = aadsts.answer(given)
    if known is not None:
        return known.at
    if reason in _TEMPORARY:
        return "service"
    return "app" if reason in _REGISTRATION else "account"


def numbers(result: Mapping[str, Any]) -> list[int]:
    """Return the AADSTS numbers of a response, those of its own list first, each once and at most ten."""
    text = bounded(str(result.get("error_description") or ""))
    listed = result.get("error_codes")
    words = [str(one) for one in listed[:20]] if isinstance(listed, list) else []
    words += re.findall(NUMBER, text, re.ASCII)
    return list(dict.fromkeys(int(word) for word in words if re.fullmatch(r"\d{4,9}", word, re.ASCII)))[:10]


def _details(account: Account, result: Mapping[str, Any], wanted: Iterable[str], secret: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: bounded(str(result[name]), limit) for name, limit in _WORDS.items() if result.get(name)
    }
    found |= {"aadsts": numbers(result), "scopes": list(wanted)}
    found |= {"client_id": account.client_id, "tenant": account.tenant}
    # Microsoft's secrets have 40 letters with a ~; a GUID is what the portal shows beside it as Secret ID
    if secret and _GUID.fullmatch(secret.strip()):
        found["secret_id"] = True
    if found["aadsts"]:
        found |= consent_details(account, wanted)
    return found


def transport_failure(account: Account, problem: Exception) -> FrankingError | None:
    """Make the error of what MSAL raised; None for what is nobody's but the programmer's."""
    issuer, _ = authority(account)
    names = {kind.__name__ for kind in type(problem).__mro__}
    if "RequestException" in names and not isinstance(problem, JSONDecodeError):
        return http_errors.from_exception(problem, service="The sign-in server", url=issuer, step="secret")
    if "MsalServiceError" in names:
        code = next(map(int, re.findall(r"\b[45]\d\d\b", str(problem))), None)
        return ConnectError(
            f"The sign-in server cannot help at the moment (it answered {code or 'with an error'}).",
            step="secret",
            evidence=Evidence("oauth", code=code, reason="server_error", details={"host": urlsplit(issuer).hostname}),
        )
    if isinstance(problem, JSONDecodeError | RecursionError) or "Unable to complete OIDC Discovery" in str(problem):
        return unreadable(issuer)  # a portal's redirect
    if "IdTokenAudienceError" in names or "IdTokenIssuerError" in names:  # MSAL before 1.38 looks at these itself
        return LoginRequired(
            "The answer was made for another program or by another issuer; sign in again.",
            evidence=Evidence("oauth", reason="nonce-mismatch"),
        )
    if isinstance(problem, RuntimeError) and "nonce" in str(problem):
        return LoginRequired(
            "The answer belongs to another sign-in (its nonce differs); sign in again.",
            evidence=Evidence("oauth", reason="nonce-mismatch"),
        )
    words = isinstance(problem, ValueError) and str(problem)
    if isinstance(problem, KeyError) or (words and ("authority" in words or "OIDC" in words)):
        key, check = "tenant", "tenant (a directory's ID or domain) and cloud"
        if account.authority:
            key = check = "authority"
        details = {"issuer": issuer, "tenant": account.tenant}
        return SettingsError(
            f"{key}: {issuer} does not answer as a sign-in server should; check {check}.",
            field=key,
            step="secret",
            evidence=Evidence("oauth", reason="invalid-authority", details=details),
        )
    return None


def with_token_facts(refused: LoginError, token: str, username: str) -> LoginError:
    """Add to a refused XOAUTH2 login for whom and for what its token was: Exchange's ``535 5.7.3`` says nothing else.

    Work accounts' tokens are JWTs; personal accounts' are opaque, and then nothing is known.
    """
    seen = refused.evidence
    if seen is None:
        return refused
    claims = jwt_claims(token)
    facts = {
        "username": username,
        "audience": claims.get("aud"),
        "scopes": claims.get("scp") or " ".join(str(role) for role in claims.get("roles") or ()),
        "who": claims.get("preferred_username") or claims.get("upn") or claims.get("unique_name"),
    }
    known = {key: bounded(value, 300) for key, value in facts.items() if isinstance(value, str) and value}
    refused.evidence = seen._replace(details={**known, **seen.details})
    return refused


def unreadable(issuer: str) -> ConnectError:
    """Make the error of a response that is none of a sign-in server."""
    return ConnectError(
        "The sign-in server's answer cannot be read; something between here and there may have replaced it.",
        step="secret",
        evidence=Evidence("oauth", reason="unreadable", details={"host": urlsplit(issuer).hostname}),
    )
