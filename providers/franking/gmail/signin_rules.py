"""What a refused sign-in at Google is told as: the rules for OAuth's ``error`` and the words beside it.

Google has no numbers. ``invalid_grant`` and ``unauthorized_client`` are said of a dozen things, which only the words
tell apart (https://developers.google.com/identity/protocols/oauth2,
https://support.google.com/accounts/answer/16668185).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from franking.diagnosis.rules import Rule
from franking.errors import Evidence

__all__ = ["SIGN_IN"]

_OAUTH = ("oauth",)


def _by_route(seen: Evidence, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return which route it took, for texts that name the other one."""
    return {"by_smtp": values.get("route") == "gmail-smtp", "by_api": values.get("route") == "gmail-api"}


def _of_setting(prefix: str) -> Callable[[Evidence, Mapping[str, Any]], bool]:
    return lambda seen, values: (seen.reason or "").startswith(prefix)


def _by_service_account(seen: Evidence, values: Mapping[str, Any]) -> bool:
    return bool(values.get("service_account"))


def _renewing(seen: Evidence, values: Mapping[str, Any]) -> bool:
    return bool(seen.details.get("renewal"))


def _said(code: str, text: str, *reasons: str, note: str = "", who: str = "you", **rest: Any) -> Rule:
    return Rule(code, _OAUTH, text=text, reason=reasons, who=who, note=note, **{"temporary": False, **rest})


def _error(code: str, *reasons: str, note: str = "", who: str = "you", **rest: Any) -> Rule:
    return Rule(code, _OAUTH, reason=reasons, who=who, note=note, **{"temporary": False, **rest})


SIGN_IN: tuple[Rule, ...] = (
    _error("google.session-policy", "invalid_rapt", "rapt_required", note="O25"),
    _said("google.session-policy", r"Reauthentication is needed|\binvalid_rapt|\brapt_required", note="O25"),
    # invalid_grant: a service account's proof, a person's account, the code, the refresh token
    _said("google.service-account-key", "Invalid JWT|Robot is disabled|Invalid grant: account not found", note="O3"),
    _said(
        "google.service-account-subject",
        r"(Invalid|Not a valid) email or User ID|Invalid impersonation|prn\b.*not found",
        note="O4",
    ),
    _said("google.account-gone", r"account (has been|was|is) (deleted|disabled|suspended)|account (deleted|disabled)"),
    _error("google.service-account-key", "invalid_grant", when=_by_service_account),  # nobody signed in
    _error("google.invalid-grant", "invalid_grant", when=_renewing, note="O1"),
    _said(
        "login.code-refused",
        "^Bad Request|Malformed auth code|Code was already redeemed|redirect_uri|code.verifier",
        "invalid_grant",
        note="O2",
    ),
    _error("google.invalid-grant", "invalid_grant", note="O1"),
    _said("google.invalid-grant", "do not contain the necessary fields", note="O24"),
    _error("google.invalid-grant", "grant-incomplete", note="O24"),
    # unauthorized_client: delegation, or a refresh token that another client got
    _said(
        "google.delegation-missing",
        "unauthorized to retrieve access tokens|not authorized for any of the scopes",
        who="admin",
        temporary=True,
        note="O5",
    ),
    _error(
        "google.delegation-missing",
        "unauthorized_client",
        "access_denied",
        when=_by_service_account,
        who="admin",
        temporary=True,
    ),
    _error("google.other-client", "unauthorized_client"),
    # the client and its project
    _error("google.client-invalid", "invalid_client", "deleted_client", "disabled_client", note="O6 O7"),
    _error("google.redirect-mismatch", "redirect_uri_mismatch", note="O8"),
    _error("google.internal-only", "org_internal", note="O13"),
    _said(
        "google.not-a-tester",
        "verification process|testers|currently being tested|given you access to this app",
        "access_denied",
        note="O11",
    ),
    _said("google.not-a-tester", "has not completed the Google verification process|developer-approved testers"),
    _error("google.user-cap", "rate_limit_exceeded", note="O18"),
    _error("google.embedded-browser", "disallowed_useragent", note="O15"),
    # what the account's owner or administrator allows
    _error(
        "google.admin-policy",
        "admin_policy_enforced",
        "access_not_configured",
        "app_not_configured_for_user",
        who="admin",
        note="O12 O14",
    ),
    _error("google.advanced-protection", "policy_enforced"),
    _error("login.cancelled", "access_denied", note="O10"),
    # what was asked for
    _error("google.device-not-allowed", "no-device-flow", note="O17"),
    _said("google.device-not-allowed", "device flow", "invalid_scope", note="O17"),
    _error("google.invalid-scope", "invalid_scope", "restricted_client", note="O16"),
    _error("google.no-refresh-token", "no-refresh-token", note="O19"),
    _error("google.scope-missing", "scope-missing", adds=_by_route, note="O20"),
    _said("google.no-refresh-token", "not provide a refresh token"),
    _said("google.scope-missing", "Scope has changed", adds=_by_route, note="O20"),
    _said("google.request-refused", "app has been blocked|app is blocked"),
    _error(
        "google.request-refused", "invalid_request", "unsupported_grant_type", "unsupported_response_type", note="O9"
    ),
    # Google itself
    _error(
        "server.trouble",
        "temporarily_unavailable",
        "server_error",
        "internal_failure",
        "backend_error",
        who="provider",
        temporary=True,
    ),
    _error("rate.limited", "quota_exceeded", "rateLimitExceeded", "slow_down", temporary=True),
    _error("login.pending", "authorization_pending", temporary=True),
    Rule("server.trouble", _OAUTH, codes=(5,), who="provider", temporary=True),
    # the files that the settings name
    Rule("google.service-account-file", ("settings",), when=_of_setting("service-account"), temporary=False),
    Rule("google.client-file", ("settings",), when=_of_setting("client-secrets"), temporary=False),
)
