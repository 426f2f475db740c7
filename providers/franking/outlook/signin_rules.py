"""What a refused sign-in at Microsoft is told as: the rules for AADSTS numbers, ``suberror`` and OAuth's ``error``.

The number comes first: OAuth's ``error`` says little, and often something else (``access_denied`` is a device rule,
``invalid_client`` a wrong clock). What numbers mean stands in ``aadsts.toml``; one that is not there is quoted, with
what its beginning tells and where Microsoft explains it. OAuth's ``error`` decides only where there is no number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from franking.diagnosis.rules import Rule
from franking.errors import Evidence
from franking.outlook import aadsts

__all__ = ["SIGN_IN"]

_OAUTH = ("oauth",)
_REFUSED = "login.sign-in-refused"


def _secret_id(seen: Evidence, values: Mapping[str, Any]) -> bool:
    return bool(seen.details.get("secret_id"))


def _at_sign_in(seen: Evidence, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return for texts that SMTP shares that it was the sign-in, where another route helps nobody."""
    return {"at_sign_in": True}


def _numbers(seen: Evidence) -> tuple[int, ...]:
    numbers = seen.details.get("aadsts")
    return tuple(numbers) if isinstance(numbers, (list, tuple)) else ()


def _about(seen: Evidence) -> tuple[str, str]:
    """Return what can be said of numbers for which nothing is known to help, and who can look into it."""
    known = aadsts.answer(_numbers(seen))
    family = aadsts.family(_numbers(seen)[0])
    about = known.about if known is not None else None
    if family is None:
        return about or "nothing", "you"
    return about or family.about, family.who


def _unexplained(who: str) -> Rule:
    def fits(seen: Evidence, values: Mapping[str, Any]) -> bool:
        return bool(_numbers(seen)) and _about(seen)[1] == who

    def adds(seen: Evidence, values: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"number": _numbers(seen)[0], f"about_{_about(seen)[0]}": True}

    return Rule(_REFUSED, _OAUTH, when=fits, adds=adds, who=who, temporary=False, note=_rows(_REFUSED))


def _rows(code: str) -> str:
    return " ".join(entry.rows for entry in aadsts.answers() if entry.code == code and entry.rows)


def _numbered(answer: aadsts.Answer) -> Rule:
    return Rule(
        answer.code,
        _OAUTH,
        details={"aadsts": answer.numbers},
        who=answer.who,
        temporary=answer.temporary,
        adds=_at_sign_in,
        note=answer.rows,
    )


def _sub(code: str, *words: str, who: str = "you") -> Rule:
    return Rule(code, _OAUTH, details={"suberror": words}, who=who, temporary=False, adds=_at_sign_in)


def _error(code: str, *reasons: str, who: str = "you", temporary: bool = False) -> Rule:
    return Rule(code, _OAUTH, reason=reasons, who=who, temporary=temporary)


SIGN_IN: tuple[Rule, ...] = (
    # what the number is of, if it is known
    Rule(
        "microsoft.client-secret-id",
        _OAUTH,
        details={"aadsts": (70002, 7000215)},
        when=_secret_id,
        temporary=False,
        note="S38",
    ),
    *(_numbered(entry) for entry in aadsts.answers() if entry.code != _REFUSED),
    # the words that say what to do, with whatever number
    Rule(
        "microsoft.invalid-scope",
        _OAUTH,
        text="No applicable permissions were found|input parameter .scope. is not valid",
        temporary=False,
    ),
    Rule("microsoft.client-unknown", _OAUTH, text="Application with identifier .{1,60} was not found", temporary=False),
    Rule("microsoft.app-disabled", _OAUTH, text="Application .{1,80} is disabled", who="admin", temporary=False),
    Rule("microsoft.app-misconfigured", _OAUTH, text="Misconfigured application", temporary=False),
    _error("login.pending", "authorization_pending", "slow_down", temporary=True),
    _error("login.timeout", "expired_token", "code_expired"),
    _error("login.cancelled", "authorization_declined"),
    _error(
        "server.trouble",
        "temporarily_unavailable",
        "server_error",
        "service_unavailable",
        who="provider",
        temporary=True,
    ),
    _sub("microsoft.consent-needed", "consent_required"),
    _sub("microsoft.password-expired", "user_password_expired"),
    _sub("microsoft.invalid-grant", "bad_token", "token_expired"),
    _sub(
        "microsoft.device-policy",
        "protection_policy_required",
        "client_mismatch",
        "device_authentication_failed",
        who="admin",
    ),
    _sub("microsoft.interaction-required", "basic_action", "additional_action"),
    _sub("microsoft.policy-blocked", "message_only", who="admin"),
    # any other number
    _unexplained("admin"),
    _unexplained("you"),
    # no number: what OAuth's error says, and what Franking itself saw
    _error("microsoft.invalid-grant", "invalid_grant", "no-refresh-token"),
    _error("microsoft.interaction-required", "interaction_required", "login_required", "account_selection_required"),
    _error("microsoft.consent-needed", "consent_required"),
    Rule(
        "microsoft.admin-consent",
        _OAUTH,
        text="needs? admin(istrator)? approval|approval required.{0,80}(admin|organization)",
        who="admin",
        temporary=False,
    ),
    Rule("microsoft.client-secret-id", _OAUTH, reason=("invalid_client",), when=_secret_id, temporary=False),
    _error("microsoft.client-secret-wrong", "invalid_client"),
    _error("microsoft.client-unknown", "unauthorized_client"),
    _error("microsoft.invalid-scope", "invalid_scope"),
    _error("microsoft.resource-missing", "invalid_resource"),
    _error("microsoft.flow-not-allowed", "unsupported_grant_type", "unsupported_response_type"),
    _error("microsoft.tenant-unknown", "invalid-authority"),
    _error("login.cancelled", "access_denied"),
    _error("login.code-refused", "bad_verification_code", "nonce-mismatch"),
    _error("login.sign-in-refused", "invalid_request"),
    Rule("microsoft.client-secret-missing", ("settings",), reason=("no-client-secret",), temporary=False),
    Rule("microsoft.certificate-refused", ("settings",), reason=("certificate",), temporary=False),
)
