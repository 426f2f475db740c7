"""How failures of Microsoft Graph are recognised: by the most specific ``error.code``, then by the status.

Words are in texts/. Which error an answer becomes is decided in ``client.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from franking.diagnosis.rules import Rule
from franking.errors import Evidence

__all__ = ["BY_GRAPH", "by_route"]

_HTTP = ("http",)


def by_route(seen: Evidence, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return which route it took, for texts that name the other one."""
    return {"by_smtp": values.get("route") == "outlook-smtp", "by_graph": values.get("route") == "graph"}


def _claims(seen: Evidence, values: Mapping[str, Any]) -> bool:
    return bool(seen.details.get("claims"))


def _graph(code: str, *reasons: str, note: str, who: str = "you", temporary: bool = False, **rest: Any) -> Rule:
    return Rule(code, _HTTP, reason=reasons, note=note, who=who, temporary=temporary, **rest)


BY_GRAPH: tuple[Rule, ...] = (
    _graph("microsoft.interaction-required", "insufficient_claims", note="H2"),
    Rule("microsoft.interaction-required", _HTTP, codes=(401,), when=_claims, temporary=False, note="H2"),
    _graph("microsoft.no-mailbox", "OrganizationFromTenantGuidNotFound", adds=by_route, note="H10"),
    _graph(
        "microsoft.no-mailbox",
        "MailboxNotEnabledForRESTAPI",
        "MailboxNotSupportedForRESTAPI",
        "ErrorMissingEmailAddress",
        adds=by_route,
        note="H9",
    ),
    _graph("microsoft.wrong-audience", "InvalidAuthenticationToken", text="audience", adds=by_route, note="H1"),
    _graph("microsoft.token-refused", "InvalidAuthenticationToken", adds=by_route, note="H1"),
    _graph("microsoft.access-policy", "ErrorAccessDenied", text="Access to OData is disabled", who="admin", note="H4"),
    _graph("microsoft.access-denied", "ErrorAccessDenied", note="H3"),
    _graph(
        "microsoft.scope-missing",
        "Authorization_RequestDenied",
        "NoPermissionsInAccessToken",
        "InsufficientPermissions",
        adds=by_route,
        note="H5",
    ),
    Rule(
        "microsoft.access-denied",
        _HTTP,
        text=r"Access is denied\. Check credentials and try again",
        adds=by_route,
        temporary=False,
    ),
    _graph("microsoft.send-as-denied", "ErrorSendAsDenied", adds=by_route, note="H6"),
    _graph("address.syntax", "ErrorInvalidRecipients", note="H7"),
    Rule("address.syntax", _HTTP, text="At least one recipient isn't valid", temporary=False),
    _graph("microsoft.mailbox-unknown", "ErrorInvalidUser", "Request_ResourceNotFound", "ResourceNotFound", note="H8"),
    _graph("microsoft.mailbox-unknown", "ErrorNonExistentMailbox", note="H8"),
    _graph("message.malformed", "ErrorMimeContentInvalidBase64String", "ErrorMimeContentInvalid", note="H11 H12"),
    Rule("message.malformed", _HTTP, text="base64 string for MIME content", temporary=False, note="H12"),
    Rule("microsoft.upload-needed", _HTTP, codes=(400,), text="maximum request length", temporary=False, note="H13"),
    Rule("microsoft.upload-needed", _HTTP, codes=(413,), temporary=False, note="H13"),
    _graph("microsoft.upload-needed", "RequestEntityTooLarge", note="H13"),
    Rule("microsoft.upload-needed", _HTTP, codes=(200,), temporary=False, note="H14"),
    Rule("microsoft.upload-needed", ("message",), reason=("large-attachments",), temporary=False),
    Rule("microsoft.not-in-json", ("message",), reason=("headers-lost", "not-divisible"), temporary=False),
    _graph("message.too-large", "ErrorMessageSizeExceeded", note="H15"),
    _graph("microsoft.upload-needed", "ErrorAttachmentSizeLimitExceeded", note="H16"),
    _graph("microsoft.mailbox-full", "ErrorQuotaExceeded", note="H17"),
    Rule("microsoft.mailbox-full", _HTTP, codes=(507,), temporary=False, note="H17"),
    _graph("rate.connections", "ApplicationThrottled", temporary=True, note="H18"),
    _graph(
        "quota.exceeded",
        "ErrorExceededMessageLimit",
        "ErrorExceededHourlyMessageLimit",
        "ErrorExceededMaxRecipientLimit",
        temporary=True,
        note="H20",
    ),
    _graph("microsoft.account-suspended", "ErrorMessageSubmissionBlocked", temporary=True, note="H21"),
    _graph(
        "microsoft.account-suspended",
        "ErrorAccountSuspend",
        "ErrorAccountSuspendShowTierUpgrade",
        temporary=True,
        note="H29",
    ),
    _graph(
        "quota.exceeded",
        "ErrorSubmissionQuotaExceeded",
        "ErrorRecipientSubmissionQuotaExceeded",
        temporary=True,
        note="H22",
    ),
    _graph(
        "rate.limited", "TooManyRequests", "activityLimitReached", "ErrorTooManyRequests", temporary=True, note="H19"
    ),
    Rule("rate.limited", _HTTP, codes=(429,), temporary=True, note="H19 H28"),
    Rule(
        "api.upload-interrupted",
        _HTTP,
        reason=("ErrorItemNotFound",),
        when=lambda _, values: bool(values.get("provider")),  # another program may have looked for anything
        temporary=False,
        note="H25",
    ),
    _graph(
        "api.upload-interrupted",
        "invalidRange",
        "fragmentOutOfOrder",
        "fragmentOverlap",
        "uploadSessionNotFound",
        note="H26",
    ),
    Rule("api.upload-interrupted", _HTTP, codes=(416,), temporary=False, note="H26"),
    Rule(
        "microsoft.app-only-token",
        _HTTP,
        text="only valid with delegated authentication|endpoint that requires user sign-in",
        temporary=False,
        note="H30",
    ),
    Rule("microsoft.app-only-token", _HTTP, codes=(405,), temporary=False, note="H30"),
    _graph(
        "server.trouble",
        "ErrorServerBusy",
        "serviceNotAvailable",
        "ErrorInternalServerError",
        "ErrorMailboxStoreUnavailable",
        "ErrorTimeoutExpired",
        who="provider",
        temporary=True,
        note="H23",
    ),
    Rule("server.trouble", _HTTP, codes=(5,), who="provider", temporary=True, note="H23 H28"),
    Rule("microsoft.token-refused", _HTTP, codes=(401,), adds=by_route, temporary=False, note="H1"),
    _graph("microsoft.access-denied", "AccessDenied", "accessDenied", "Forbidden", note="H3"),
    Rule(
        "microsoft.access-denied", _HTTP, codes=(403,), text="access is denied|insufficient privileges", temporary=False
    ),
    Rule("api.bad-request", _HTTP, codes=(403,), temporary=False),  # refused, and nobody knows why: it is quoted
    Rule("api.bad-request", _HTTP, codes=(400, 404, 424), temporary=False, note="H24 H27 H28"),
)
