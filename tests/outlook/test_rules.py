"""Every Microsoft row of the catalogue of failures: SMTP, AADSTS, Graph, with the row's own words."""

from __future__ import annotations

import pytest

from catalogue import GENERIC, VALUES, Row, judged, seen, smtp
from franking.diagnosis.rules import diagnose
from franking.errors import Evidence, FrankingError, LoginError, LoginRequired, OutcomeUnknown, SettingsError, Throttled
from franking.outlook.rules import RULES
from tiers import one_of_each

ALL = (*RULES, *GENERIC)
BASE = {
    **VALUES,
    "provider": "outlook",
    "host": "smtp.office365.com",
    "username": "jan@contoso.com",
    "sender": "jan@contoso.com",
    "tenant": "common",
}
SMTP = {**BASE, "route": "outlook-smtp"}
GRAPH = {**BASE, "route": "graph"}
TAIL = " [AM0PR02CA0100.eurprd02.prod.outlook.com 2026-11-21T10:00:00.000Z 08DE2897F3A1B2C3]"
FAILED = "535 5.7.139 Authentication unsuccessful, "


def said(reply: str, **details: object) -> Evidence:
    return smtp(reply + TAIL, **details)


def token(reply: str) -> Evidence:
    return said(reply, mechanism="XOAUTH2")


BY_SMTP = [
    Row("M1", "microsoft.basic-auth-off", said(FAILED + "basic authentication is disabled."), "login"),
    Row(
        "M2",
        "microsoft.smtp-auth-disabled",
        token(FAILED + "SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled"),
        "login",
    ),
    Row(
        "M3",
        "microsoft.smtp-auth-disabled-mailbox",
        token(FAILED + "SmtpClientAuthentication is disabled for the Mailbox. Visit https://aka.ms/smtp_auth_disabled"),
        "login",
    ),
    Row(
        "M4",
        "microsoft.security-defaults",
        said(FAILED + "user is locked by your organization's security defaults policy. Contact your administrator."),
        "login",
    ),
    Row(
        "M5",
        "microsoft.policy-blocked",
        said(
            FAILED
            + "the request did not meet the criteria to be authenticated successfully. Contact your administrator."
        ),
        "login",
    ),
    Row("M6", "microsoft.password-refused", said(FAILED + "the user credentials were incorrect."), "login"),
    Row("M7", "microsoft.account-locked", said(FAILED + "account is locked."), "login"),
    Row("M7", "microsoft.password-expired", said(FAILED + "password expired."), "login"),
    Row(
        "M8",
        "microsoft.token-refused",
        token("535 5.7.3 Authentication unsuccessful"),
        "login",
        values={"who": "JAN@contoso.com"},
    ),
    Row(
        "M8",
        "microsoft.wrong-audience",
        token("535 5.7.3 Authentication unsuccessful"),
        "login",
        values={"audience": "https://graph.microsoft.com"},
    ),
    Row(
        "M8",
        "microsoft.scope-missing",
        token("535 5.7.3 Authentication unsuccessful"),
        "login",
        values={"scopes": ["https://outlook.office.com/IMAP.AccessAsUser.All"]},
    ),
    Row(
        "M8",
        "login.other-mailbox",
        token("535 5.7.3 Authentication unsuccessful"),
        "login",
        values={"who": "eva@contoso.com", "scopes": "SMTP.Send"},
    ),
    Row(
        "M8",
        "microsoft.shared-mailbox",
        token("535 5.7.3 Authentication unsuccessful"),
        "login",
        "admin",
        values={"mailbox": "info@contoso.com", "who": "jan@contoso.com"},
    ),
    Row(
        "M8",
        "microsoft.app-only-mailbox",
        token("535 5.7.3 Authentication unsuccessful"),
        "login",
        "admin",
        values={"app_only": True, "scopes": "https://outlook.office365.com/.default"},
    ),
    Row("M8", "microsoft.password-refused", said("535 5.7.3 Authentication unsuccessful", mechanism="LOGIN"), "login"),
    Row("M9", "login.missing", said("530 5.7.57 Client not authenticated to send mail.")),
    Row(
        "M9",
        "login.missing",
        said("550 5.7.57 SMTP; Client was not authenticated to send anonymous mail during MAIL FROM"),
    ),
    Row(
        "M10",
        "microsoft.basic-auth-off",
        said("550 5.7.30 Basic authentication is not supported for Client Submission."),
        "login",
    ),
    Row("M11", "login.mechanism", said("504 5.7.4 Unrecognized authentication type"), "login"),
    Row(
        "M12",
        "microsoft.send-as-denied",
        said("550 5.7.60 SMTP; Client does not have permissions to send as this sender"),
    ),
    Row(
        "M13",
        "microsoft.send-as-denied",
        said("554 5.2.252 SendAsDenied; jan@contoso.com not allowed to send as b@contoso.com"),
        "accepted",
    ),
    Row(
        "M14",
        "microsoft.send-as-denied",
        said("554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied"),
        "accepted",
    ),
    Row(
        "M15",
        "microsoft.account-suspended",
        said("554 5.2.0 STOREDRV.Submission.Exception:OutboundSpamException; WASCL UserAction verdict is Suspend"),
        "accepted",
        temporary=True,
    ),
    Row(
        "M15",
        "microsoft.account-suspended",
        said("554 5.2.0 STOREDRV.Submission.Exception:Other"),
        "accepted",
        temporary=True,
    ),
    Row(
        "M16", "rate.connections", said("432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded"), temporary=True
    ),
    Row(
        "M16",
        "rate.connections",
        said("432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending"),
        temporary=True,
    ),
    Row("M16", "rate.connections", said("432 4.3.2 concurrent connection(s) limit exceeded"), temporary=True),
    Row("M17", "connect.lost", said("421 4.4.2 Connection dropped due to SocketError"), temporary=True),
    Row(
        "M17",
        "rate.limited",
        said("421 4.4.2 Message submission rate for this client has exceeded the configured limit"),
        temporary=True,
    ),
    Row("M18", "rate.limited", said("451 4.7.500 Server busy. Please try again later"), temporary=True),
    Row("M18", "rate.limited", said("451 4.7.650 Access denied, please try again later (AS7210)"), temporary=True),
    Row("M18", "rate.limited", said("451 4.7.699 Server busy."), temporary=True),
    Row("M18", "rate.limited", said("451 4.7.850 Access denied, please try again later"), temporary=True),
    Row(
        "M19", "server.trouble", said("421 4.3.2 System not accepting network messages"), who="provider", temporary=True
    ),
    Row("M19", "server.trouble", said("421 4.3.2 Service not available"), who="provider", temporary=True),
    Row(
        "M19",
        "server.trouble",
        said("451 4.7.0 Temporary server error. Please try again later. PRX5"),
        who="provider",
        temporary=True,
    ),
    Row("M19", "server.trouble", said("451 4.4.316 Connection refused"), who="provider", temporary=True),
    Row("M20", "microsoft.sender-blocked", said("550 5.1.8 Access denied, bad outbound sender"), "accepted", "admin"),
    *[
        Row("M21", "microsoft.sender-banned", said(f"550 {code} Access denied, banned sender"), "accepted", "provider")
        for code in ("5.7.501", "5.7.502", "5.7.503", "5.7.511")
    ],
    *[
        Row(
            "M22",
            "microsoft.tenant-blocked",
            said(f"550 {code} Access denied, tenant has exceeded threshold"),
            "accepted",
            "admin",
        )
        for code in ("5.7.705", "5.7.700", "5.7.749")
    ],
    Row(
        "M23",
        "microsoft.tenant-blocked",
        said("550 5.7.708 Access denied, traffic not accepted from this IP"),
        "accepted",
        "admin",
    ),
    Row(
        "M24",
        "microsoft.domain-unregistered",
        said("550 5.7.750 Client blocked from sending from unregistered domain"),
        "accepted",
        "admin",
    ),
    *[
        Row(
            "M25",
            "quota.exceeded",
            said(
                f"550 {code} Your message can't be sent because your tenant has exceeded its daily limit for "
                "sending email to external recipients"
            ),
            "accepted",
            "admin",
            True,
        )
        for code in ("5.7.232", "5.7.233")
    ],
    Row("M26", "quota.exceeded", said("550 5.2.2 Submission quota exceeded"), "accepted", temporary=True),
    Row(
        "M26",
        "quota.exceeded",
        said("554 5.2.0 The message can't be submitted because the sender's submission quota was exceeded"),
        "accepted",
        temporary=True,
    ),
    Row(
        "M26",
        "quota.exceeded",
        said("550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients"),
        "accepted",
        temporary=True,
    ),
    Row(
        "M27",
        "message.malformed",
        said("550 5.7.512 Access denied, message must be RFC 5322 section 3.6.2 compliant"),
        "accepted",
    ),
    Row("M28", "message.too-large", said("552 5.3.4 Message size exceeds fixed maximum message size")),
    Row("M28", "message.too-large", said("550 5.2.3 RESOLVER.RST.SendSizeLimit; message too large"), "accepted"),
    Row(
        "M29", "message.line-ends", said("550 5.6.11 SMTPSEND.BareLinefeedsAreIllegal; Invalid characters"), "accepted"
    ),
    Row("M30", "recipient.too-many", said("452 4.5.3 Too many recipients")),
    Row("M30", "recipient.too-many", said("550 5.5.3 Too many recipients")),
    Row("M31", "recipient.unknown", said("550 5.1.1 RESOLVER.ADR.RecipNotFound; not found")),
    Row("M31", "recipient.unknown", said("550 5.1.10 Recipient not found")),
    Row("M31", "recipient.unknown", said("550 5.4.1 Recipient address rejected: Access denied.")),
    Row("M32", "server.not-for-sending", said("550 5.7.64 TenantAttribution; Relay Access Denied")),
    Row("M32", "server.not-for-sending", said("550 5.4.1 Relay Access Denied")),
    Row("M32", "server.not-for-sending", said("550 5.7.1 Unable to relay")),
    Row(
        "M33",
        "server.not-for-sending",
        said(
            "550 5.7.68 TenantInboundAttribution; Direct Send not allowed for this organization from "
            "unauthorized sources"
        ),
    ),
    Row(
        "M33",
        "server.not-for-sending",
        said("550 5.7.1 Direct Send not allowed for this organization from unauthorized sources"),
    ),
    Row(
        "M34",
        "sender.domain-unauthenticated",
        said("550 5.7.509 Access denied, sending domain contoso.com does not pass DMARC verification"),
        "accepted",
        "admin",
    ),
    Row(
        "M34",
        "sender.domain-unauthenticated",
        said("550 5.7.23 The message was rejected because of Sender Policy Framework violation"),
        "accepted",
        "admin",
    ),
    Row(
        "M34",
        "sender.domain-unauthenticated",
        said("550 5.7.515 Access denied, sending domain contoso.com does not meet the required authentication level."),
        "accepted",
        "admin",
    ),
    Row(
        "M35",
        "tls.client-outdated",
        said("421 4.7.66 TLS 1.0 and 1.1 are not supported. Please upgrade/update your client to support TLS 1.2."),
        "greet",
    ),
]

# row, numbers, code, who, temporary, OAuth's error where the row names one
NUMBERS = [
    ("S1", (16000,), "microsoft.wrong-account", "you", False, "interaction_required"),
    ("S2", (50000, 50033, 90006, 90024, 90033, 90090), "server.trouble", "provider", True, "invalid_grant"),
    ("S3", (50001, 500011), "microsoft.resource-missing", "you", False, "invalid_resource"),
    ("S4", (50002, 500021, 500022), "microsoft.network-restricted", "admin", False, "invalid_grant"),
    ("S5", (50011,), "microsoft.redirect-missing", "you", False, "invalid_request"),
    ("S6", (500113, 900971), "microsoft.redirect-missing", "you", False, "invalid_request"),
    ("S7", (50014, 51004), "microsoft.user-unknown", "you", False, "invalid_grant"),
    ("S8", (50020,), "microsoft.account-type", "you", False, "invalid_grant"),
    ("S9", (500208,), "microsoft.account-type", "you", False, "invalid_grant"),
    ("S10", (50034,), "microsoft.user-unknown", "you", False, "invalid_grant"),
    ("S11", (50049, 90002, 90051), "microsoft.tenant-unknown", "you", False, "invalid_request"),
    ("S12", (50053,), "microsoft.account-locked", "you", False, "invalid_grant"),
    ("S13", (50055, 50144), "microsoft.password-expired", "you", False, "invalid_grant"),
    ("S14", (50056, 50126), "microsoft.password-refused", "you", False, "invalid_grant"),
    ("S15", (50057,), "microsoft.account-disabled", "admin", False, "invalid_grant"),
    ("S16", (50058,), "microsoft.interaction-required", "you", False, "login_required"),
    ("S17", (50059, 50128, 90019), "microsoft.tenant-unknown", "you", False, "invalid_request"),
    ("S18", (50072, 50079), "microsoft.interaction-required", "you", False, "interaction_required"),
    ("S19", (50074, 50076, 50078, 50158), "microsoft.interaction-required", "you", False, "invalid_grant"),
    ("S20", (50085, 50089, 50132, 50133, 50173), "microsoft.invalid-grant", "you", False, "invalid_grant"),
    ("S21", (50097, 50129, 50131, 50155, 50187), "microsoft.device-policy", "admin", False, "invalid_grant"),
    ("S22", (50105,), "microsoft.not-assigned", "admin", False, "invalid_grant"),
    ("S23", (501481,), "login.code-refused", "you", False, "invalid_grant"),
    ("S24", (50194,), "microsoft.single-tenant", "you", False, "invalid_request"),
    ("S25", (50196,), "login.too-many", "you", False, "invalid_grant"),
    ("S26", (50197, 90123), "microsoft.interaction-required", "you", False, "invalid_grant"),
    ("S27", (53000, 53001, 53002), "microsoft.device-policy", "admin", False, "interaction_required"),
    ("S28", (53003,), "microsoft.conditional-access", "you", False, "access_denied"),
    ("S29", (530032, 530034, 530035), "microsoft.policy-blocked", "admin", False, "access_denied"),
    ("S30", (53004, 53010, 53011), "microsoft.policy-blocked", "admin", False, "invalid_grant"),
    ("S31", (54005,), "login.code-refused", "you", False, "invalid_grant"),
    ("S32", (65001,), "microsoft.consent-needed", "you", False, "invalid_grant"),
    ("S33", (65004,), "login.cancelled", "you", False, "access_denied"),
    ("S34", (65005, 650052, 650054, 650056, 650057), "microsoft.app-misconfigured", "you", False, "invalid_client"),
    ("S35", (70000,), "microsoft.invalid-grant", "you", False, "invalid_grant"),
    ("S36", (70001, 700011, 700016), "microsoft.client-unknown", "you", False, "unauthorized_client"),
    ("S37", (7000112,), "microsoft.app-disabled", "admin", False, "unauthorized_client"),
    ("S38", (70002, 7000215), "microsoft.client-secret-wrong", "you", False, "invalid_client"),
    ("S39", (7000222,), "microsoft.client-secret-expired", "you", False, "invalid_client"),
    ("S40", (7000218,), "microsoft.public-client-off", "you", False, "invalid_client"),
    ("S41", (700025,), "microsoft.secret-not-allowed", "you", False, "invalid_client"),
    ("S42", (700027, 700030), "microsoft.certificate-refused", "you", False, "invalid_client"),
    ("S43", (70003, 9001023), "microsoft.flow-not-allowed", "you", False, "unsupported_grant_type"),
    ("S44", (70008, 700082, 700084), "microsoft.invalid-grant", "you", False, "invalid_grant"),
    ("S45", (70011, 28002, 700022, 700023), "microsoft.invalid-scope", "you", False, "invalid_scope"),
    ("S46", (70012,), "server.trouble", "provider", True, "server_error"),
    ("S47", (70016,), "login.pending", "you", True, "authorization_pending"),
    ("S48", (70018, 90119), "login.user-code", "you", False, "invalid_grant"),
    ("S49", (70019,), "login.timeout", "you", False, "expired_token"),
    ("S49", (70020,), "login.timeout", "you", False, "code_expired"),
    ("S50", (70043,), "microsoft.interaction-required", "you", False, "invalid_grant"),
    ("S51", (90014, 900144), "login.sign-in-refused", "you", False, "invalid_request"),
    ("S52", (90055,), "rate.limited", "you", True, "temporarily_unavailable"),
    ("S53", (90072,), "microsoft.wrong-account", "you", False, "interaction_required"),
    ("S54", (90094, 90095, 90008), "microsoft.admin-consent", "admin", False, "invalid_grant"),
    ("S55", (90099,), "microsoft.admin-consent", "admin", False, "invalid_grant"),
    ("S56", (90038, 90043, 1000104), "microsoft.wrong-cloud", "you", False, "invalid_request"),
    ("S57", (9002313,), "login.sign-in-refused", "you", False, "invalid_request"),
    ("S58", (9002325, 9002326), "microsoft.spa-redirect", "you", False, "invalid_request"),
    ("S59", (9002331, 9002332), "microsoft.account-type", "you", False, "invalid_request"),
    ("S60", (90124, 90130), "microsoft.single-tenant", "you", False, "invalid_request"),
    ("S61", tuple(range(80001, 80015)), "microsoft.password-agent", "admin", False, "invalid_grant"),
    ("S62", (50134,), "microsoft.wrong-cloud", "you", False, "invalid_grant"),
    ("S63", (90120,), "login.code-refused", "you", False, "invalid_grant"),
    ("S64", (700005,), "login.code-refused", "you", False, "invalid_grant"),
]
TRACE = {"correlation_id": "7d5a-corr", "trace_id": "99ff-trace", "timestamp": "2026-11-21 10:00:00Z"}
SIGN_IN = [
    Row(
        row,
        code,
        seen("oauth", reason, f"AADSTS{number}: Something.", aadsts=[number], **TRACE),
        "secret",
        who,
        temporary,
    )
    for row, numbers, code, who, temporary, reason in NUMBERS
    for number in numbers
]


def graph(code: int, reason: str | None = None, text: str = "", **details: object) -> Evidence:
    return seen("http", reason, text, code=code, **details)


BY_GRAPH = [
    Row(
        "H1",
        "microsoft.token-refused",
        graph(401, "InvalidAuthenticationToken", "Access token has expired or is not yet valid."),
        error=LoginError,
    ),
    Row(
        "H1",
        "microsoft.token-refused",
        graph(401, "InvalidAuthenticationToken", "CompactToken parsing failed with error code: 80049217"),
        error=LoginError,
    ),
    Row(
        "H1",
        "microsoft.wrong-audience",
        graph(401, "InvalidAuthenticationToken", "Access token validation failure. Invalid audience."),
        error=LoginError,
    ),
    Row(
        "H2",
        "microsoft.interaction-required",
        graph(401, "InvalidAuthenticationToken", "Continuous access evaluation resulted in challenge", claims="e30="),
        error=LoginError,
    ),
    Row("H2", "microsoft.interaction-required", graph(401, "insufficient_claims"), error=LoginError),
    Row(
        "H3",
        "microsoft.access-denied",
        graph(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again."),
    ),
    Row("H4", "microsoft.access-policy", graph(403, "ErrorAccessDenied", "Access to OData is disabled."), who="admin"),
    Row(
        "H5",
        "microsoft.scope-missing",
        graph(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation."),
    ),
    Row(
        "H6",
        "microsoft.send-as-denied",
        graph(
            403,
            "ErrorSendAsDenied",
            "The user account which was used to submit this request does not have the right to send mail",
        ),
    ),
    Row(
        "H7",
        "address.syntax",
        graph(
            400, "ErrorInvalidRecipients", "At least one recipient isn't valid., This message contains no recipients."
        ),
    ),
    Row("H8", "microsoft.mailbox-unknown", graph(400, "ErrorInvalidUser")),
    *[
        Row("H8", "microsoft.mailbox-unknown", graph(404, reason))
        for reason in ("ErrorInvalidUser", "Request_ResourceNotFound", "ResourceNotFound")
    ],
    Row(
        "H9",
        "microsoft.no-mailbox",
        graph(
            404, "MailboxNotEnabledForRESTAPI", "The mailbox is either inactive, soft-deleted, or is hosted on-premise."
        ),
    ),
    Row("H9", "microsoft.no-mailbox", graph(404, "MailboxNotSupportedForRESTAPI")),
    Row("H10", "microsoft.no-mailbox", graph(401, "OrganizationFromTenantGuidNotFound"), error=LoginError),
    Row(
        "H11",
        "message.malformed",
        graph(400, "ErrorMimeContentInvalidBase64String", "Invalid base64 string for MIME content."),
    ),
    Row("H12", "message.malformed", graph(400, "ErrorMimeContentInvalid")),
    Row("H13", "microsoft.upload-needed", graph(413, None, "Request Entity Too Large")),
    Row("H13", "microsoft.upload-needed", graph(400, "BadRequest", "The maximum request length supported is 4MB.")),
    Row("H14", "microsoft.upload-needed", graph(200)),
    Row("H15", "message.too-large", graph(400, "ErrorMessageSizeExceeded")),
    Row("H16", "microsoft.upload-needed", graph(400, "ErrorAttachmentSizeLimitExceeded")),
    *[Row("H17", "microsoft.mailbox-full", graph(status, "ErrorQuotaExceeded")) for status in (400, 403)],
    Row("H17", "microsoft.mailbox-full", graph(507)),
    Row(
        "H18",
        "rate.connections",
        graph(429, "ApplicationThrottled", "Application is over its MailboxConcurrency limit."),
        temporary=True,
        error=Throttled,
    ),
    *[
        Row("H19", "rate.limited", graph(429, reason), temporary=True, error=Throttled)
        for reason in ("TooManyRequests", "activityLimitReached", "ErrorTooManyRequests", None)
    ],
    *[
        Row("H20", "quota.exceeded", graph(status, reason), temporary=True)
        for status in (403, 429)
        for reason in ("ErrorExceededMessageLimit", "ErrorExceededHourlyMessageLimit", "ErrorExceededMaxRecipientLimit")
    ],
    Row(
        "H21",
        "microsoft.account-suspended",
        graph(403, "ErrorMessageSubmissionBlocked", "please sign in to your mailbox to verify"),
        temporary=True,
    ),
    *[
        Row("H22", "quota.exceeded", graph(400, reason), temporary=True)
        for reason in ("ErrorSubmissionQuotaExceeded", "ErrorRecipientSubmissionQuotaExceeded")
    ],
    *[
        Row("H23", "server.trouble", graph(status, reason), who="provider", temporary=True)
        for status, reason in (
            (503, "ErrorServerBusy"),
            (503, "serviceNotAvailable"),
            (500, "ErrorInternalServerError"),
            (504, None),
            (500, "ErrorMailboxStoreUnavailable"),
            (500, "ErrorTimeoutExpired"),
        )
    ],
    *[
        Row("H24", "api.bad-request", graph(400, reason, "… should start with 'x-' or 'X-'"))
        for reason in ("RequestBodyRead", "ErrorInvalidRequest", "BadRequest", "InvalidInternetMessageHeader")
    ],
    Row("H25", "api.upload-interrupted", graph(404, "ErrorItemNotFound")),
    Row("H26", "api.upload-interrupted", graph(400, "invalidRange")),
    Row("H26", "api.upload-interrupted", graph(416, "fragmentOutOfOrder")),
    Row("H26", "api.upload-interrupted", graph(416, "fragmentOverlap")),
    Row("H26", "api.upload-interrupted", graph(416)),
    Row("H26", "api.upload-interrupted", graph(404, "uploadSessionNotFound")),
    Row("H27", "api.bad-request", graph(424)),
    Row("H28", "rate.limited", graph(429), temporary=True, error=Throttled),
    Row("H28", "api.bad-request", graph(400)),
    Row("H28", "server.trouble", graph(500), who="provider", temporary=True),
    *[
        Row("H29", "microsoft.account-suspended", graph(403, reason), temporary=True)
        for reason in ("ErrorAccountSuspend", "ErrorAccountSuspendShowTierUpgrade")
    ],
    Row("H30", "microsoft.app-only-token", graph(405, "Request_BadRequest")),
    Row(
        "H30",
        "microsoft.app-only-token",
        graph(400, "BadRequest", "/me request is only valid with delegated authentication flow."),
    ),
]


@pytest.mark.parametrize("row", one_of_each(BY_SMTP, lambda row: row.code), ids=str)
def test_a_row_of_smtp_is_recognised(row: Row) -> None:
    judged(row, ALL, SMTP)


@pytest.mark.parametrize("row", one_of_each([*SIGN_IN, *BY_GRAPH], lambda row: row.code), ids=str)
def test_a_row_of_sign_in_and_graph_is_recognised(row: Row) -> None:
    judged(row, ALL, GRAPH)


def test_no_row_is_left_out() -> None:
    expected = {f"M{n}" for n in range(1, 36)} | {f"S{n}" for n in range(1, 65)} | {f"H{n}" for n in range(1, 31)}
    assert {row.row for row in (*BY_SMTP, *SIGN_IN, *BY_GRAPH)} == expected


def diagnosed(error: FrankingError, values: dict[str, object] = SMTP) -> tuple[str, tuple[str, ...]]:
    found = diagnose(error, ALL, values)
    return found.code, found.remedies


def test_the_six_meanings_of_5_7_139_are_told_apart() -> None:
    rows = [row for row in BY_SMTP if row.evidence.enhanced == "5.7.139"]
    codes = {row.row: diagnosed(row.raised())[0] for row in rows}
    assert len(set(codes.values())) == 7, "six meanings, the last of them in two halves"
    assert diagnosed(LoginError("x", evidence=said(FAILED + "something new.")))[0] == "login.failed"


@pytest.mark.parametrize("row", [row for row in BY_SMTP if row.row in ("M2", "M3")], ids=str)
def test_smtp_is_told_of_graph_with_the_command(row: Row) -> None:
    first = diagnosed(row.raised())[1][0]
    assert "`franking send-test shop --to me@example.cz --route graph`" in first
    by_password = diagnosed(row.raised(), {**VALUES, "host": "smtp.office365.com"})[1][0]
    assert "`franking setup info@novak.cz --provider outlook`" in by_password


@pytest.mark.parametrize("row", [row for row in BY_SMTP if row.row in ("M2", "M3")], ids=str)
def test_a_sign_in_is_called_fine_only_where_there_is_one(row: Row) -> None:
    assert "The sign-in is fine" in diagnose(row.raised(), ALL, SMTP).cause
    by_password = diagnose(row.raised(), ALL, {**VALUES, "host": "smtp.office365.com"})
    assert "sign-in" not in by_password.cause
    assert "may not send by SMTP" in by_password.cause or "does not allow sending by SMTP" in by_password.cause


def test_what_an_app_needs_in_exchange_can_be_pasted() -> None:
    row = next(row for row in BY_SMTP if row.code == "microsoft.app-only-mailbox")
    found = diagnose(row.raised(), ALL, {**SMTP, **row.values, "client_id": "11111111-2222-3333-4444-555555555555"})
    assert "New-ServicePrincipal -AppId 11111111-2222-3333-4444-555555555555 -ObjectId OBJECTID" in found.commands
    assert not [remedy for remedy in found.remedies if "…" in remedy]


def test_graph_is_told_of_smtp_where_the_token_is_for_outlook() -> None:
    wrong = LoginError("x", evidence=graph(401, "InvalidAuthenticationToken", "Invalid audience."))
    assert "`franking send-test shop --to me@example.cz --route smtp`" in "\n".join(diagnosed(wrong, GRAPH)[1])


@pytest.mark.parametrize(
    ("reason", "details", "code"),
    [
        ("invalid_grant", {"suberror": "consent_required"}, "microsoft.consent-needed"),
        ("invalid_grant", {"suberror": "user_password_expired"}, "microsoft.password-expired"),
        ("invalid_grant", {"suberror": "bad_token"}, "microsoft.invalid-grant"),
        ("invalid_grant", {"suberror": "token_expired"}, "microsoft.invalid-grant"),
        ("invalid_grant", {"suberror": "protection_policy_required"}, "microsoft.device-policy"),
        ("invalid_grant", {"suberror": "client_mismatch"}, "microsoft.device-policy"),
        ("invalid_grant", {"suberror": "device_authentication_failed"}, "microsoft.device-policy"),
        ("interaction_required", {"suberror": "basic_action"}, "microsoft.interaction-required"),
        ("interaction_required", {"suberror": "additional_action"}, "microsoft.interaction-required"),
        ("interaction_required", {"suberror": "message_only"}, "microsoft.policy-blocked"),
        ("invalid_grant", {}, "microsoft.invalid-grant"),
        ("invalid_grant", {"aadsts": [99999999]}, "login.sign-in-refused"),
        ("interaction_required", {}, "microsoft.interaction-required"),
        ("consent_required", {}, "microsoft.consent-needed"),
        ("invalid_client", {}, "microsoft.client-secret-wrong"),
        ("invalid_client", {"aadsts": [7000215], "secret_id": True}, "microsoft.client-secret-id"),
        ("invalid_client", {"secret_id": True}, "microsoft.client-secret-id"),
        ("unauthorized_client", {}, "microsoft.client-unknown"),
        ("invalid_scope", {}, "microsoft.invalid-scope"),
        ("access_denied", {}, "login.cancelled"),
        ("authorization_declined", {}, "login.cancelled"),
        ("expired_token", {}, "login.timeout"),
        ("temporarily_unavailable", {}, "server.trouble"),
        ("invalid_request", {}, "login.sign-in-refused"),
        ("invalid-authority", {}, "microsoft.tenant-unknown"),
        ("nonce-mismatch", {}, "login.code-refused"),
        ("never_heard_of", {}, "login.sign-in-refused"),
    ],
)
def test_without_a_known_number_suberror_and_error_decide(reason: str, details: dict[str, object], code: str) -> None:
    assert diagnosed(LoginRequired("x", evidence=seen("oauth", reason, "…", **details)), GRAPH)[0] == code


def test_the_administrator_gets_what_support_asks_for() -> None:
    url = (
        "https://login.microsoftonline.com/organizations/v2.0/adminconsent?client_id=1&scope=a+b&"
        "redirect_uri=http%3A%2F%2Flocalhost"
    )
    denied = seen(
        "oauth",
        "invalid_grant",
        "AADSTS90094: Admin consent is required",
        aadsts=[90094],
        admin_consent_url=url,
        permissions="Mail.Send",
        client_id="1",
        **TRACE,
    )
    code, remedies = diagnosed(LoginRequired("x", evidence=denied), GRAPH)
    assert code == "microsoft.admin-consent"
    assert url in remedies[0]
    for part in TRACE.values():
        assert part in "\n".join(remedies) or part == TRACE["trace_id"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError("No secret.", evidence=seen("settings", "no-client-secret")), "microsoft.client-secret-missing"),
        (
            SettingsError("certificate: no PEM.", evidence=seen("settings", "certificate")),
            "microsoft.certificate-refused",
        ),
        (OutcomeUnknown("x", evidence=graph(504)), "outcome.unknown"),
        (OutcomeUnknown("x", evidence=graph(500, "ErrorInternalServerError")), "outcome.unknown"),
    ],
)
def test_what_franking_itself_saw(error: FrankingError, code: str) -> None:
    assert diagnose(error, ALL, GRAPH).code == code
