"""How failures of Outlook.com and Microsoft 365 are recognised: SMTP, sign-in, Microsoft Graph. Words are in texts/.

Microsoft's enhanced codes say little (``5.7.139`` has six meanings, ``5.7.3`` as many), so texts decide on SMTP. At the
sign-in OAuth's ``error`` and Microsoft's ``suberror`` decide what the program does; AADSTS numbers, which may change,
only choose the explanation (https://learn.microsoft.com/entra/identity-platform/reference-error-codes). Graph is told
by its most specific ``error.code``. The rules of every SMTP server follow at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from franking.diagnosis.rules import Rule
from franking.errors import Evidence
from franking.smtp.rules import RULES as SMTP_RULES
from franking.smtp.rules import by_token, other_mailbox

__all__ = ["RULES"]

GRAPH_ID = "00000003-0000-0000-c000-000000000000"
"""Microsoft Graph's own id, which stands as audience in some of its tokens."""

_SMTP = ("smtp", "sasl")
_LOGIN = ("login",)
_OAUTH = ("oauth",)
_HTTP = ("http",)


def _by_route(seen: Evidence, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return which route it took, for texts that name the other one."""
    return {"by_smtp": values.get("route") == "outlook-smtp", "by_graph": values.get("route") == "graph"}


def _no_smtp_scope(seen: Evidence, values: Mapping[str, Any]) -> bool:
    scopes = values.get("scopes") or ()
    wanted = ("smtp.send", "smtp.sendasapp", "/.default")
    return by_token(seen, values) and bool(scopes) and not any(word in str(scopes).lower() for word in wanted)


def _graph_token(seen: Evidence, values: Mapping[str, Any]) -> bool:
    audience = str(values.get("audience") or "").lower()
    return by_token(seen, values) and ("graph" in audience or audience == GRAPH_ID)


def _app_only(seen: Evidence, values: Mapping[str, Any]) -> bool:
    return by_token(seen, values) and bool(values.get("app_only"))


def _shared(seen: Evidence, values: Mapping[str, Any]) -> bool:
    return by_token(seen, values) and bool(values.get("mailbox"))


def _claims(seen: Evidence, values: Mapping[str, Any]) -> bool:
    return bool(seen.details.get("claims"))


def _secret_id(seen: Evidence, values: Mapping[str, Any]) -> bool:
    return bool(seen.details.get("secret_id"))


BY_SMTP: tuple[Rule, ...] = (
    # 535 5.7.139: the words behind "Authentication unsuccessful," decide
    Rule(
        "microsoft.basic-auth-off",
        _SMTP,
        text="basic authentication is (disabled|not supported)",
        temporary=False,
        note="M1 M10",
    ),
    Rule(
        "microsoft.smtp-auth-disabled",
        _SMTP,
        text="disabled for the Tenant",
        adds=_by_route,
        temporary=False,
        note="M2",
    ),
    Rule(
        "microsoft.smtp-auth-disabled-mailbox",
        _SMTP,
        text="SmtpClientAuth.* disabled for the Mailbox",
        adds=_by_route,
        temporary=False,
        note="M3",
    ),
    Rule(
        "microsoft.smtp-auth-disabled",
        _SMTP,
        text="SmtpClientAuth|smtp_auth_disabled",
        adds=_by_route,
        temporary=False,
        note="M2",
    ),
    Rule("microsoft.security-defaults", _SMTP, text="security defaults", adds=_by_route, temporary=False, note="M4"),
    Rule(
        "microsoft.policy-blocked", _SMTP, text="did not meet the criteria", adds=_by_route, temporary=False, note="M5"
    ),
    Rule("microsoft.password-refused", _SMTP, text="credentials were incorrect", temporary=False, note="M6"),
    Rule("microsoft.password-expired", _SMTP, _LOGIN, text="password.*expired", temporary=False, note="M7"),
    Rule(
        "microsoft.account-locked",
        _SMTP,
        _LOGIN,
        text="account (is|has been) (locked|blocked|disabled)",
        temporary=False,
        note="M7",
    ),
    Rule("microsoft.policy-blocked", _SMTP, _LOGIN, (535,), ("5.7.139",), adds=_by_route, temporary=False, note="M5"),
    # 535 5.7.3: no words at all; what is known of the token decides
    Rule(
        "microsoft.wrong-audience", _SMTP, _LOGIN, (535,), when=_graph_token, adds=_by_route, temporary=False, note="M8"
    ),
    Rule(
        "microsoft.scope-missing",
        _SMTP,
        _LOGIN,
        (535,),
        when=_no_smtp_scope,
        adds=_by_route,
        temporary=False,
        note="M8",
    ),
    Rule(
        "microsoft.app-only-mailbox",
        _SMTP,
        _LOGIN,
        (535,),
        when=_app_only,
        who="admin",
        adds=_by_route,
        temporary=False,
        note="M8",
    ),
    Rule(
        "microsoft.shared-mailbox",
        _SMTP,
        _LOGIN,
        (535,),
        when=_shared,
        who="admin",
        adds=_by_route,
        temporary=False,
        note="M8",
    ),
    Rule("login.other-mailbox", _SMTP, _LOGIN, (535,), when=other_mailbox, temporary=False, note="M8"),
    Rule("microsoft.token-refused", _SMTP, _LOGIN, (535,), when=by_token, adds=_by_route, temporary=False, note="M8"),
    Rule("microsoft.password-refused", _SMTP, _LOGIN, (535,), ("5.7.3",), temporary=False, note="M6 M8"),
    # sender and account
    Rule("login.missing", _SMTP, enhanced=("5.7.57",), temporary=False, note="M9"),
    Rule(
        "microsoft.send-as-denied",
        _SMTP,
        text="SendAsDenied|send as this sender",
        adds=_by_route,
        temporary=False,
        note="M12 M13 M14",
    ),
    Rule(
        "microsoft.send-as-denied",
        _SMTP,
        enhanced=("5.7.60", "5.2.252"),
        adds=_by_route,
        temporary=False,
        note="M12 M13",
    ),
    Rule(
        "microsoft.account-suspended",
        _SMTP,
        codes=(5,),
        text="OutboundSpam|WASCL|STOREDRV.Submission",
        temporary=True,
        note="M15",
    ),
    Rule("microsoft.sender-blocked", _SMTP, text="bad outbound sender", who="admin", temporary=False, note="M20"),
    Rule(
        "microsoft.sender-banned",
        _SMTP,
        enhanced=("5.7.501", "5.7.502", "5.7.503", "5.7.511"),
        who="provider",
        temporary=False,
        note="M21",
    ),
    Rule("microsoft.domain-unregistered", _SMTP, enhanced=("5.7.750",), who="admin", temporary=False, note="M24"),
    Rule(
        "microsoft.tenant-blocked",
        _SMTP,
        enhanced=("5.7.70*", "5.7.71*", "5.7.72*", "5.7.73*", "5.7.74*"),
        who="admin",
        temporary=False,
        note="M22 M23",
    ),
    # limits
    Rule("rate.connections", _SMTP, text="thread limit exceeded|concurrent connection", temporary=True, note="M16"),
    Rule("rate.limited", _SMTP, text="submission rate for this client", temporary=True, note="M17"),
    Rule("connect.lost", _SMTP, text="Connection dropped", temporary=True, note="M17"),
    Rule(
        "rate.limited",
        _SMTP,
        codes=(4,),
        enhanced=("4.7.5*", "4.7.6*", "4.7.8*"),
        when=lambda seen, _: len(seen.enhanced or "") == 7,
        note="M18",
        temporary=True,
    ),
    Rule("tls.client-outdated", _SMTP, text=r"TLS 1\.0 and 1\.1", temporary=False, note="M35"),
    Rule("quota.exceeded", _SMTP, enhanced=("5.7.232", "5.7.233"), who="admin", temporary=True, note="M25"),
    Rule(
        "quota.exceeded", _SMTP, text="submission quota|daily limit for message recipients", temporary=True, note="M26"
    ),
    Rule("quota.exceeded", _SMTP, enhanced=("5.1.90",), temporary=True, note="M26"),
    Rule(
        "server.trouble",
        _SMTP,
        codes=(4,),
        text="not accepting network messages|PRX",
        who="provider",
        temporary=True,
        note="M19",
    ),
    Rule("server.trouble", _SMTP, enhanced=("4.4.316", "4.3.2"), who="provider", temporary=True, note="M19"),
    Rule("recipient.too-many", _SMTP, text="too many recipients", temporary=False, note="M30"),
    # the message
    Rule("message.malformed", _SMTP, enhanced=("5.7.512",), temporary=False, note="M27"),
    Rule("message.too-large", _SMTP, enhanced=("5.3.4", "5.2.3"), temporary=False, note="M28"),
    Rule("message.line-ends", _SMTP, enhanced=("5.6.11",), temporary=False, note="M29"),
    # servers that only receive
    Rule(
        "server.not-for-sending",
        _SMTP,
        text="Relay Access Denied|Direct Send not allowed",
        temporary=False,
        note="M32 M33",
    ),
    Rule("server.not-for-sending", _SMTP, enhanced=("5.7.64", "5.7.68"), temporary=False, note="M32 M33"),
    Rule("server.not-for-sending", _SMTP, codes=(550,), text="Unable to relay", temporary=False, note="M32"),
    Rule("recipient.unknown", _SMTP, enhanced=("5.4.1",), temporary=False, note="M31"),
    Rule(
        "sender.domain-unauthenticated",
        _SMTP,
        enhanced=("5.7.509", "5.7.515", "5.7.23"),
        who="admin",
        temporary=False,
        note="M34",
    ),
)


def _number(code: str, *numbers: int, note: str, who: str = "you", temporary: bool = False, **rest: Any) -> Rule:
    return Rule(code, _OAUTH, details={"aadsts": numbers}, note=note, who=who, temporary=temporary, **rest)


def _sub(code: str, *words: str, who: str = "you") -> Rule:
    return Rule(code, _OAUTH, details={"suberror": words}, who=who, temporary=False)


def _error(code: str, *reasons: str, who: str = "you", temporary: bool = False) -> Rule:
    return Rule(code, _OAUTH, reason=reasons, who=who, temporary=temporary)


SIGN_IN: tuple[Rule, ...] = (
    _error("login.pending", "authorization_pending", "slow_down", temporary=True),
    _number("server.trouble", 50000, 50033, 90006, 90024, 90033, 90090, who="provider", temporary=True, note="S2"),
    _number("server.trouble", 70012, who="provider", temporary=True, note="S46"),
    _number("rate.limited", 90055, temporary=True, note="S52"),
    # who signs in, and where
    _number("microsoft.wrong-account", 16000, note="S1"),
    _number("microsoft.wrong-account", 90072, note="S53"),
    _number("microsoft.user-unknown", 50014, 51004, note="S7"),
    _number("microsoft.user-unknown", 50034, note="S10"),
    _number("microsoft.account-type", 50020, note="S8"),
    _number("microsoft.account-type", 500208, note="S9"),
    _number("microsoft.account-type", 9002331, 9002332, note="S59"),
    _number("microsoft.tenant-unknown", 50049, 90002, 90051, note="S11"),
    _number("microsoft.tenant-unknown", 50059, 50128, 90019, note="S17"),
    _number("microsoft.wrong-cloud", 90038, 90043, 1000104, note="S56"),
    _number("microsoft.wrong-cloud", 50134, note="S62"),
    _number("microsoft.single-tenant", 50194, note="S24"),
    _number("microsoft.single-tenant", 90124, 90130, note="S60"),
    # the state of the account
    _number("microsoft.account-locked", 50053, note="S12"),
    _number("microsoft.password-expired", 50055, 50144, note="S13"),
    _number("microsoft.password-refused", 50056, 50126, note="S14"),
    _number("microsoft.account-disabled", 50057, who="admin", note="S15"),
    _number("microsoft.password-agent", *range(80001, 80015), who="admin", note="S61"),
    # policies of the organisation
    _number("microsoft.network-restricted", 50002, 500021, 500022, who="admin", note="S4"),
    _number("microsoft.device-policy", 50097, 50129, 50131, 50155, 50187, who="admin", note="S21"),
    _number("microsoft.device-policy", 53000, 53001, 53002, who="admin", note="S27"),
    _number("microsoft.conditional-access", 53003, note="S28"),
    _number("microsoft.policy-blocked", 530032, 530034, 530035, who="admin", note="S29", adds=_by_route),
    _number("microsoft.policy-blocked", 53004, 53010, 53011, who="admin", note="S30", adds=_by_route),
    _number("microsoft.not-assigned", 50105, who="admin", note="S22"),
    _number("microsoft.admin-consent", 90094, 90095, 90008, who="admin", note="S54"),
    _number("microsoft.admin-consent", 90099, who="admin", note="S55"),
    _number("microsoft.app-disabled", 7000112, who="admin", note="S37"),
    # sign in once more
    _number("microsoft.interaction-required", 50058, note="S16"),
    _number("microsoft.interaction-required", 50072, 50079, note="S18"),
    _number("microsoft.interaction-required", 50074, 50076, 50078, 50158, note="S19"),
    _number("microsoft.interaction-required", 50197, 90123, note="S26"),
    _number("microsoft.interaction-required", 70043, note="S50"),
    _number("microsoft.invalid-grant", 50085, 50089, 50132, 50133, 50173, note="S20"),
    _number("microsoft.invalid-grant", 70000, note="S35"),
    _number("microsoft.invalid-grant", 70008, 700082, 700084, note="S44"),
    _number("microsoft.consent-needed", 65001, note="S32"),
    _number("login.cancelled", 65004, note="S33"),
    _number("login.code-refused", 501481, note="S23"),
    _number("login.code-refused", 54005, note="S31"),
    _number("login.code-refused", 90120, note="S63"),
    _number("login.code-refused", 700005, note="S64"),
    _number("login.too-many", 50196, note="S25"),
    _number("login.pending", 70016, temporary=True, note="S47"),
    _number("login.user-code", 70018, 90119, note="S48"),
    _number("login.timeout", 70019, 70020, note="S49"),
    # the app's registration
    _number("microsoft.redirect-missing", 50011, note="S5"),
    _number("microsoft.redirect-missing", 500113, 900971, note="S6"),
    _number("microsoft.spa-redirect", 9002325, 9002326, note="S58"),
    _number("microsoft.resource-missing", 50001, 500011, note="S3"),
    _number("microsoft.app-misconfigured", 65005, 650052, 650054, 650056, 650057, note="S34"),
    _number("microsoft.client-unknown", 70001, 700011, 700016, note="S36"),
    _number("microsoft.client-secret-id", 70002, 7000215, when=_secret_id, note="S38"),
    _number("microsoft.client-secret-wrong", 70002, 7000215, note="S38"),
    _number("microsoft.client-secret-expired", 7000222, note="S39"),
    _number("microsoft.public-client-off", 7000218, note="S40"),
    _number("microsoft.secret-not-allowed", 700025, note="S41"),
    _number("microsoft.certificate-refused", 700027, 700030, note="S42"),
    _number("microsoft.flow-not-allowed", 70003, 9001023, note="S43"),
    _number("microsoft.invalid-scope", 70011, 28002, 700022, 700023, note="S45"),
    _number("api.bad-request", 90014, 900144, note="S51"),
    _number("api.bad-request", 9002313, note="S57"),
    # no number that we know: what the suberror says
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
    # not even that: what OAuth's error says, and what Franking itself saw
    _error("microsoft.invalid-grant", "invalid_grant", "no-refresh-token"),
    _error("microsoft.interaction-required", "interaction_required", "login_required", "account_selection_required"),
    _error("microsoft.consent-needed", "consent_required"),
    Rule("microsoft.client-secret-id", _OAUTH, reason=("invalid_client",), when=_secret_id, temporary=False),
    _error("microsoft.client-secret-wrong", "invalid_client"),
    _error("microsoft.client-unknown", "unauthorized_client"),
    _error("microsoft.invalid-scope", "invalid_scope"),
    _error("microsoft.resource-missing", "invalid_resource"),
    _error("microsoft.flow-not-allowed", "unsupported_grant_type", "unsupported_response_type"),
    _error("microsoft.tenant-unknown", "invalid-authority"),
    _error("login.cancelled", "access_denied", "authorization_declined"),
    _error("login.timeout", "expired_token", "code_expired"),
    _error("login.code-refused", "bad_verification_code", "nonce-mismatch"),
    _error(
        "server.trouble",
        "temporarily_unavailable",
        "server_error",
        "service_unavailable",
        who="provider",
        temporary=True,
    ),
    _error("api.bad-request", "invalid_request"),
    Rule("microsoft.client-secret-missing", ("settings",), reason=("no-client-secret",), temporary=False),
    Rule("microsoft.certificate-refused", ("settings",), reason=("certificate",), temporary=False),
)


def _graph(code: str, *reasons: str, note: str, who: str = "you", temporary: bool = False, **rest: Any) -> Rule:
    return Rule(code, _HTTP, reason=reasons, note=note, who=who, temporary=temporary, **rest)


BY_GRAPH: tuple[Rule, ...] = (
    _graph("microsoft.interaction-required", "insufficient_claims", note="H2"),
    Rule("microsoft.interaction-required", _HTTP, codes=(401,), when=_claims, temporary=False, note="H2"),
    _graph("microsoft.no-mailbox", "OrganizationFromTenantGuidNotFound", adds=_by_route, note="H10"),
    _graph(
        "microsoft.no-mailbox",
        "MailboxNotEnabledForRESTAPI",
        "MailboxNotSupportedForRESTAPI",
        adds=_by_route,
        note="H9",
    ),
    _graph("microsoft.wrong-audience", "InvalidAuthenticationToken", text="audience", adds=_by_route, note="H1"),
    _graph("microsoft.token-refused", "InvalidAuthenticationToken", adds=_by_route, note="H1"),
    _graph("microsoft.access-policy", "ErrorAccessDenied", text="Access to OData is disabled", who="admin", note="H4"),
    _graph("microsoft.access-denied", "ErrorAccessDenied", note="H3"),
    _graph("microsoft.scope-missing", "Authorization_RequestDenied", adds=_by_route, note="H5"),
    _graph("microsoft.send-as-denied", "ErrorSendAsDenied", adds=_by_route, note="H6"),
    _graph("address.syntax", "ErrorInvalidRecipients", note="H7"),
    _graph("microsoft.mailbox-unknown", "ErrorInvalidUser", "Request_ResourceNotFound", "ResourceNotFound", note="H8"),
    _graph("message.malformed", "ErrorMimeContentInvalidBase64String", "ErrorMimeContentInvalid", note="H11 H12"),
    Rule("microsoft.upload-needed", _HTTP, codes=(400,), text="maximum request length", temporary=False, note="H13"),
    Rule("microsoft.upload-needed", _HTTP, codes=(413,), temporary=False, note="H13"),
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
    _graph("api.upload-interrupted", "ErrorItemNotFound", note="H25"),
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
        "microsoft.app-only-token", _HTTP, text="only valid with delegated authentication", temporary=False, note="H30"
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
    Rule("microsoft.token-refused", _HTTP, codes=(401,), adds=_by_route, temporary=False, note="H1"),
    Rule("microsoft.access-denied", _HTTP, codes=(403,), temporary=False, note="H3"),
    Rule("api.bad-request", _HTTP, codes=(400, 404, 424), temporary=False, note="H24 H27 H28"),
)

RULES: tuple[Rule, ...] = (*BY_SMTP, *SIGN_IN, *BY_GRAPH, *SMTP_RULES)
