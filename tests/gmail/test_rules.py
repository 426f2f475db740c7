"""Every Google row of the catalogue of failures: SMTP, sign-in, Gmail API, with the row's own words."""

from __future__ import annotations

import pytest

from catalogue import GENERIC, VALUES, Row, judged, seen, smtp
from franking.diagnosis.rules import diagnose
from franking.errors import ConnectError, FrankingError, LoginError, OutcomeUnknown, SettingsError, Throttled
from franking.gmail.rules import RULES
from tiers import one_of_each

ALL = (*RULES, *GENERIC)
BASE = {
    **VALUES,
    "provider": "gmail",
    "host": "smtp.gmail.com",
    "port": 465,
    "security": "tls",
    "username": "jan@gmail.com",
    "sender": "jan@gmail.com",
}
SMTP = {**BASE, "route": "gmail-smtp"}
API = {**BASE, "route": "gmail-api"}
REFUSED = (
    "535 5.7.8 Username and Password not accepted. For more information, go to|5.7.8  "
    "https://support.google.com/mail/?p=BadCredentials ab1 - gsmtp"
)
TOKEN = {"mechanism": "XOAUTH2", "sasl": {"status": "400", "schemes": "Bearer", "scope": "https://mail.google.com/"}}


def password(reply: str) -> object:
    return smtp(reply, mechanism="PLAIN")


def http(code: int, reason: str | None = None, text: str = "") -> object:
    return seen("http", reason, text, code=code)


def oauth(reason: str, text: str = "") -> object:
    return seen("oauth", reason, text)


BY_SMTP = [
    Row("G1", "google.password-refused", password(REFUSED), "login"),
    Row("G1", "google.password-refused", password("535 5.7.1 Username and Password not accepted."), "login"),
    Row("G1", "google.token-refused", smtp(REFUSED, mechanism="XOAUTH2"), "login"),
    Row(
        "G2",
        "google.app-password-needed",
        password("534 5.7.9 Application-specific password required. InvalidSecondFactor"),
        "login",
    ),
    Row("G2", "google.app-password-needed", password("535 5.7.1 Application-specific password required"), "login"),
    Row(
        "G3",
        "google.web-login-needed",
        password("534 5.7.14 Please log in via your web browser and then try again."),
        "login",
        temporary=True,
    ),
    Row(
        "G3",
        "google.web-login-needed",
        password("534 5.7.9 Please log in with your web browser … WebLoginRequired"),
        "login",
        temporary=True,
    ),
    Row(
        "G3",
        "google.web-login-needed",
        password("535 5.7.1 Please log in through your web browser, answer/78754"),
        "login",
        temporary=True,
    ),
    Row("G4", "google.token-refused", smtp(REFUSED, **TOKEN), "login"),
    Row(
        "G4",
        "google.scope-missing",
        smtp(REFUSED, **TOKEN),
        "login",
        values={"scopes": ["openid", "https://www.googleapis.com/auth/gmail.send"]},
    ),
    Row(
        "G4",
        "login.other-mailbox",
        smtp(REFUSED, **TOKEN),
        "login",
        values={"scopes": "https://mail.google.com/", "who": "eva@gmail.com"},
    ),
    Row(
        "G5",
        "google.token-refused",
        smtp(REFUSED, mechanism="OAUTHBEARER", sasl={"status": "401"}),
        "login",
        values={"who": "Jan@gmail.com"},
    ),
    Row(
        "G6",
        "login.too-many",
        smtp("454 4.7.0 Too many login attempts, please try again later."),
        "login",
        temporary=True,
    ),
    Row(
        "G7",
        "server.trouble",
        smtp("454 4.7.0 Cannot authenticate due to temporary system problem. Try again later."),
        "login",
        "provider",
        True,
    ),
    Row(
        "G8",
        "login.missing",
        smtp("530 5.5.1 Authentication Required. https://support.google.com/mail/?p=WantAuthError"),
    ),
    Row("G8", "login.missing", smtp("530 5.7.0 Authentication Required.")),
    Row("G9", "tls.required", smtp("530 5.7.0 Must issue a STARTTLS command first.")),
    Row("G10", "login.mechanism", smtp("504 5.7.4 Unrecognized Authentication Type"), "login"),
    Row("G11", "protocol.error", smtp("501 5.5.2 Cannot Decode response"), "login"),
    Row("G12", "protocol.error", smtp("535 5.5.4 Optional Argument not permitted for that AUTH mode"), "login"),
    Row("G13", "protocol.error", smtp("503 5.7.0 No identity changes permitted"), "login"),
    Row("G14", "protocol.error", smtp("454 5.5.1 STARTTLS may not be repeated"), "tls"),
    Row("G14", "protocol.error", smtp("454 4.5.0 no commands allowed to pipeline after STARTTLS"), "tls"),
    Row(
        "G14",
        "protocol.error",
        smtp("523 5.7.10 SMTP protocol violation, no commands allowed to pipeline after STARTTLS"),
        "tls",
    ),
    Row(
        "G15",
        "greet.name-refused",
        smtp("421 4.7.0 Try again later, closing connection. (EHLO)"),
        "greet",
        temporary=True,
    ),
    Row(
        "G16",
        "recipient.policy",
        smtp("421 4.7.0 IP not in whitelist for RCPT domain, closing connection."),
        who="admin",
    ),
    Row(
        "G17",
        "rate.limited",
        smtp("421 4.7.28 Our system has detected an unusual rate of unsolicited mail"),
        "greet",
        temporary=True,
    ),
    Row(
        "G17",
        "rate.limited",
        smtp("550 5.7.28 There is an unusual rate of unsolicited mail originating from your IP"),
        temporary=True,
    ),
    Row(
        "G18", "server.trouble", smtp("421 4.3.0 Temporary System Problem. Try again later."), "greet", "provider", True
    ),
    Row("G18", "server.trouble", smtp("421 4.4.5 Server busy, try again later."), "greet", "provider", True),
    Row(
        "G18",
        "server.trouble",
        smtp("421 4.7.0 Temporary System Problem. Try again later."),
        "message",
        "provider",
        True,
    ),
    Row("G18", "connect.lost", smtp("421 4.7.0 Connection expired, try reconnecting."), temporary=True),
    Row("G19", "greet.name-refused", smtp("501 5.5.4 HELO/EHLO argument is invalid"), "greet"),
    Row(
        "G19", "greet.name-refused", smtp("501 5.5.4 Empty HELO/EHLO argument not allowed, closing connection"), "greet"
    ),
    Row("G20", "quota.exceeded", smtp("550 5.4.5 Daily user sending quota exceeded."), temporary=True),
    Row("G20", "quota.exceeded", smtp("550 5.4.5 Daily sending quota exceeded"), temporary=True),
    Row("G20", "quota.exceeded", smtp("550 5.4.5 Daily SMTP relay limit exceeded for user"), temporary=True),
    Row("G21", "recipient.too-many", smtp("452 4.5.3 Your message has too many recipients.")),
    Row("G22", "recipient.too-many", smtp("452 4.5.3 Domain policy size per transaction exceeded"), temporary=True),
    Row(
        "G23",
        "recipient.busy",
        smtp("450 4.2.1 The user you are trying to contact is receiving mail too quickly."),
        temporary=True,
    ),
    Row(
        "G23",
        "recipient.busy",
        smtp("550 5.2.1 The user … is receiving mail at a rate that prevents additional messages"),
        temporary=True,
    ),
    Row(
        "G24",
        "recipient.full",
        smtp("452 4.2.2 The email account that you tried to reach is over quota"),
        temporary=True,
    ),
    Row("G24", "recipient.full", smtp("552 5.2.2 The recipient's inbox is out of storage space"), temporary=True),
    Row(
        "G25",
        "recipient.unknown",
        smtp("550 5.1.1 The email account that you tried to reach does not exist. ?p=NoSuchUser"),
    ),
    Row("G26", "recipient.disabled", smtp("550 5.2.1 The email account that you tried to reach is disabled.")),
    Row("G26", "recipient.disabled", smtp("550 5.2.1 The email account that you tried to reach is inactive.")),
    Row("G27", "recipient.domain-unknown", smtp("553 5.1.2 We weren't able to find the recipient domain.")),
    Row("G28", "address.syntax", smtp("553 5.1.3 The recipient address <x@> is not a valid RFC 5321 address.")),
    Row("G28", "address.syntax", smtp("553 5.1.7 The sender address <x@> is not a valid RFC 5321 address.")),
    Row(
        "G29",
        "message.blocked-content",
        smtp("552 5.7.0 This message was blocked because its content presents a potential security issue."),
        "accepted",
    ),
    Row(
        "G29",
        "message.blocked-content",
        smtp("552 5.7.0 Our system detected an illegal attachment on your message. BlockedMessage"),
        "accepted",
    ),
    Row(
        "G30",
        "message.too-large",
        smtp("552 5.3.4 Your message exceeded Google's message size limits. MaxSizeError"),
        "accepted",
    ),
    Row("G30", "message.too-large", smtp("552 5.2.3 Your message exceeded Google's message size limits."), "accepted"),
    Row(
        "G30",
        "message.too-large",
        smtp("552 5.3.4 The number of attachments (1001) exceeds Google's limit"),
        "accepted",
    ),
    Row("G30", "message.too-large", smtp("552 5.3.4 The header size exceeds Google's limit"), "accepted"),
    Row(
        "G31",
        "message.malformed",
        smtp(
            "550 5.7.1 Messages missing a valid address in the From: header, or having no From: header, are not "
            "accepted."
        ),
        "accepted",
    ),
    Row("G31", "message.malformed", smtp("550 5.7.1 This message is not accepted: duplicate headers."), "accepted"),
    Row(
        "G31",
        "message.malformed",
        smtp("550 5.7.1 Messages missing a valid Message-ID header are not accepted."),
        "accepted",
    ),
    Row(
        "G31",
        "message.malformed",
        smtp("550 5.7.1 The message is not RFC 5322 compliant. RfcMessageNonCompliant"),
        "accepted",
    ),
    Row("G32", "message.malformed", smtp("554 5.6.0 Mail message is malformed. Not accepted."), "accepted"),
    Row("G32", "message.loop", smtp("554 5.4.6 Message exceeded 50 hops, this may indicate a mail loop."), "accepted"),
    Row(
        "G33",
        "google.message-id-reused",
        smtp("421 4.7.28 … quota for sending messages with the same Message-ID: <x>"),
        "accepted",
    ),
    Row("G34", "google.sending-denied", smtp("550 5.7.0 Mail Sending denied."), who="admin"),
    Row(
        "G35",
        "google.relay-not-registered",
        smtp("550 5.7.0 Mail relay denied [192.0.2.1]. https://support.google.com/a/answer/6140680"),
        who="admin",
    ),
    Row(
        "G36", "google.relay-not-registered", smtp("550 5.7.1 Invalid credentials for relay [192.0.2.1]."), who="admin"
    ),
    Row(
        "G37",
        "quota.exceeded",
        smtp("550 5.7.1 Daily SMTP relay limit exceeded for customer."),
        who="admin",
        temporary=True,
    ),
    Row(
        "G37",
        "quota.exceeded",
        smtp("450 4.2.1 Peak SMTP relay limit exceeded for customer."),
        who="admin",
        temporary=True,
    ),
    Row(
        "G38",
        "server.not-for-sending",
        smtp("550 5.7.1 The IP you're using to send mail is not authorized to send email directly to our servers."),
    ),
    Row(
        "G39",
        "sender.domain-unauthenticated",
        smtp("550 5.7.26 Unauthenticated email from novak.cz is not accepted due to DMARC policy."),
        "accepted",
        "admin",
    ),
    Row("G39", "sender.domain-unauthenticated", smtp("421 4.7.26 This mail is unauthenticated"), "accepted", "admin"),
    Row(
        "G39",
        "sender.domain-unauthenticated",
        smtp("550 5.7.1 Gmail requires all senders to authenticate"),
        "accepted",
        "admin",
    ),
    Row(
        "G40",
        "client.no-reverse-dns",
        smtp("550 5.7.25 The IP address sending this message does not have a PTR record setup"),
    ),
    Row(
        "G40",
        "client.no-reverse-dns",
        smtp("421 4.7.23 The IP address sending this message does not have a PTR record"),
    ),
    Row(
        "G40",
        "tls.required",
        smtp("421 4.7.29 This email has been rate limited because of a missing encrypted connection"),
    ),
    Row("G40", "tls.required", smtp("550 5.7.29 Messages that are not sent over TLS are blocked")),
    *[
        Row(
            "G40",
            "sender.domain-unauthenticated",
            smtp(f"{reply} rejected because of the sender's domain"),
            "accepted",
            "admin",
        )
        for reply in ("421 4.7.27", "550 5.7.27", "421 4.7.30", "550 5.7.30", "421 4.7.32", "550 5.7.32")
    ],
    Row(
        "G41",
        "recipient.policy",
        smtp(
            "550 5.7.1 The user or domain that you are sending to has a policy that prohibited the mail that you sent."
        ),
        "accepted",
        "admin",
    ),
    Row("G41", "recipient.policy", smtp("550 5.7.1 No thanks ab1 - gcdp"), "accepted", "admin"),
    Row("G42", "protocol.error", smtp("502 5.5.1 Too many unrecognized commands, goodbye.")),
    Row("G42", "protocol.error", smtp("502 5.5.1 Unrecognized command.")),
    Row("G42", "protocol.error", smtp("503 5.5.1 EHLO/HELO first.")),
    Row("G42", "protocol.error", smtp("503 5.5.1 MAIL first.")),
    Row("G42", "protocol.error", smtp("503 5.5.1 RCPT first.")),
    Row("G42", "protocol.error", smtp("555 5.5.2 Syntax error, goodbye.")),
    Row("G42", "protocol.error", smtp("554 5.7.0 Too Many Unauthenticated commands.")),
    Row(
        "G43",
        "server.trouble",
        smtp("451 4.3.0 Mail server temporarily rejected message."),
        "accepted",
        "provider",
        True,
    ),
    Row("G43", "connect.lost", smtp("451 4.4.2 Timeout - closing connection."), temporary=True),
    Row("G43", "protocol.error", smtp("451 4.5.0 SMTP protocol violation, see RFC 2821."), temporary=True),
]

SIGN_IN = [
    Row("O1", "google.invalid-grant", oauth("invalid_grant", "Token has been expired or revoked."), "secret"),
    Row("O2", "login.code-refused", oauth("invalid_grant", "Bad Request"), "secret"),
    Row("O2", "login.code-refused", oauth("invalid_grant", "Malformed auth code."), "secret"),
    Row(
        "O3",
        "google.service-account-key",
        oauth("invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes)"),
        "secret",
        error=LoginError,
    ),
    Row(
        "O3", "google.service-account-key", oauth("invalid_grant", "Invalid JWT Signature."), "secret", error=LoginError
    ),
    Row(
        "O4",
        "google.service-account-subject",
        oauth("invalid_grant", "Invalid email or User ID"),
        "secret",
        error=LoginError,
    ),
    Row(
        "O5",
        "google.delegation-missing",
        oauth("unauthorized_client", "Client is unauthorized to retrieve access tokens using this method"),
        "secret",
        "admin",
        True,
        error=LoginError,
    ),
    Row("O6", "google.client-invalid", oauth("invalid_client", "The OAuth client was not found."), "secret"),
    Row("O6", "google.client-invalid", oauth("invalid_client", "Unauthorized"), "secret"),
    Row("O6", "google.client-invalid", oauth("invalid_client", "The provided client secret is invalid."), "secret"),
    Row("O7", "google.client-invalid", oauth("deleted_client"), "secret"),
    Row("O8", "google.redirect-mismatch", oauth("redirect_uri_mismatch"), "secret"),
    Row(
        "O9",
        "google.request-refused",
        oauth(
            "invalid_request", "You can't sign in to this app because it doesn't comply with Google's OAuth 2.0 policy"
        ),
        "secret",
    ),
    Row("O10", "login.cancelled", oauth("access_denied"), "secret"),
    Row(
        "O11",
        "google.not-a-tester",
        oauth("access_denied", "The app has not completed the Google verification process"),
        "secret",
    ),
    Row(
        "O11",
        "google.not-a-tester",
        oauth("access_denied", "can only be accessed by developer-approved testers"),
        "secret",
    ),
    Row("O12", "google.admin-policy", oauth("admin_policy_enforced"), "secret", "admin"),
    Row("O13", "google.internal-only", oauth("org_internal"), "secret"),
    Row("O14", "google.admin-policy", oauth("access_not_configured"), "secret", "admin"),
    Row("O14", "google.admin-policy", oauth("app_not_configured_for_user"), "secret", "admin"),
    Row("O15", "google.embedded-browser", oauth("disallowed_useragent"), "secret"),
    Row("O16", "google.invalid-scope", oauth("invalid_scope", "Some requested scopes were invalid."), "secret"),
    Row(
        "O17",
        "google.device-not-allowed",
        oauth("invalid_scope", "Invalid device flow scope: https://mail.google.com/"),
        "secret",
    ),
    Row("O18", "google.user-cap", oauth("rate_limit_exceeded"), "secret"),
    Row("O19", "google.no-refresh-token", oauth("no-refresh-token"), "secret"),
    Row("O20", "google.scope-missing", oauth("scope-missing"), "secret"),
    Row("O20", "google.scope-missing", seen("oauth", None, 'Scope has changed from "a" to "b".'), "secret"),
    Row("O21", "login.insecure-address", oauth("insecure_transport", "OAuth 2 MUST utilize https."), "secret"),
    Row("O21", "login.insecure-address", seen("oauth", None, "OAuth 2 MUST utilize https."), "secret"),
    Row(
        "O22",
        "login.code-refused",
        oauth("mismatching_state", "CSRF Warning! State not equal in request and response."),
        "secret",
    ),
    Row("O22", "login.code-refused", oauth("state-mismatch"), "secret"),
    Row("O23", "login.timeout", oauth("sign-in-timeout"), "secret"),
    Row(
        "O24",
        "google.invalid-grant",
        seen("oauth", None, "The credentials do not contain the necessary fields need to refresh the access token."),
        "secret",
    ),
    Row("O24", "google.invalid-grant", oauth("grant-incomplete"), "secret"),
    Row("O25", "google.session-policy", oauth("invalid_grant", "reauth related error (invalid_rapt)"), "secret"),
    Row("O25", "google.session-policy", oauth("invalid_rapt"), "secret"),
    Row(
        "O25",
        "google.session-policy",
        seen("oauth", None, "Reauthentication is needed. Please run `gcloud auth login`"),
        "secret",
    ),
]

BY_API = [
    Row("A1", "google.token-refused", http(401, "authError", "Invalid Credentials"), error=LoginError),
    Row(
        "A1",
        "google.token-refused",
        http(401, "UNAUTHENTICATED", "Request had invalid authentication credentials."),
        error=LoginError,
    ),
    Row(
        "A2",
        "google.scope-missing",
        http(403, "insufficientPermissions", "Request had insufficient authentication scopes."),
    ),
    Row("A2", "google.scope-missing", http(403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT")),
    Row("A2", "google.scope-missing", http(403, "forbidden", "Request had insufficient authentication scopes.")),
    Row(
        "A3",
        "google.api-disabled",
        http(
            403, "accessNotConfigured", "Gmail API has not been used in project 123456789012 before or it is disabled."
        ),
        temporary=True,
    ),
    Row("A3", "google.api-disabled", http(403, "SERVICE_DISABLED"), temporary=True),
    Row(
        "A3",
        "google.api-disabled",
        http(403, None, "Gmail API has not been used in project 1234567 before or it is disabled."),
        temporary=True,
    ),
    Row("A4", "rate.limited", http(403, "rateLimitExceeded", "Rate Limit Exceeded"), temporary=True, error=Throttled),
    Row(
        "A5",
        "rate.limited",
        http(403, "userRateLimitExceeded", "User-rate limit exceeded.  Retry after 2026-11-21T10:00:00Z"),
        temporary=True,
        error=Throttled,
    ),
    Row(
        "A5",
        "rate.limited",
        http(429, "userRateLimitExceeded", "User-rate limit exceeded."),
        temporary=True,
        error=Throttled,
    ),
    Row("A6", "google.project-quota", http(403, "dailyLimitExceeded", "Daily Limit Exceeded"), temporary=True),
    Row(
        "A7",
        "google.admin-policy",
        http(403, "domainPolicy", "The domain administrators have disabled Gmail apps."),
        who="admin",
    ),
    Row("A8", "google.delegation-denied", http(403, "forbidden", "Delegation denied for jan@novak.cz")),
    Row(
        "A9",
        "rate.connections",
        http(429, "rateLimitExceeded", "Too many concurrent requests for user"),
        temporary=True,
        error=Throttled,
    ),
    Row(
        "A10",
        "quota.exceeded",
        http(429, "rateLimitExceeded", "User-rate limit exceeded (Mail sending)"),
        temporary=True,
        error=Throttled,
    ),
    Row("A11", "rate.limited", http(429, None, "Bandwidth limit exceeded"), temporary=True, error=Throttled),
    Row("A12", "google.no-mailbox", http(400, "failedPrecondition", "Mail service not enabled")),
    Row("A13", "google.service-account-subject", http(400, "failedPrecondition", "Precondition check failed.")),
    Row("A14", "address.syntax", http(400, "invalidArgument", "Invalid To header")),
    Row("A14", "address.syntax", http(400, "invalidArgument", "Recipient address required")),
    Row("A14", "address.syntax", http(400, "invalidArgument", "Invalid From header")),
    Row(
        "A15",
        "api.bad-request",
        http(
            400,
            "invalidArgument",
            "'raw' RFC822 payload message string or uploading message via /upload/* URL required",
        ),
    ),
    Row("A16", "api.bad-request", http(400, "badRequest", "Bad Request")),
    Row("A17", "api.bad-request", http(400, "invalid", "Invalid value for ByteString")),
    Row("A18", "message.too-large", http(413, "uploadTooLarge", "Request Entity Too Large")),
    Row("A18", "message.too-large", seen("message", None, "Media larger than: 36700160")),
    Row("A19", "api.bad-request", http(404, "notFound", "Requested entity was not found.")),
    Row("A20", "server.trouble", http(500, "backendError", "Backend Error"), who="provider", temporary=True),
    *[Row("A20", "server.trouble", http(status), who="provider", temporary=True) for status in (502, 503, 504)],
]

NO_ERROR = {"A21"}  # accepted, and a bounce arrives later: nothing that a diagnosis could see


@pytest.mark.parametrize("row", one_of_each(BY_SMTP, lambda row: row.code), ids=str)
def test_a_row_of_smtp_is_recognised(row: Row) -> None:
    judged(row, ALL, SMTP)


@pytest.mark.parametrize("row", one_of_each([*SIGN_IN, *BY_API], lambda row: row.code), ids=str)
def test_a_row_of_sign_in_and_api_is_recognised(row: Row) -> None:
    judged(row, ALL, API)


def test_no_row_is_left_out() -> None:
    expected = {f"G{n}" for n in range(1, 44)} | {f"O{n}" for n in range(1, 26)} | {f"A{n}" for n in range(1, 22)}
    assert {row.row for row in (*BY_SMTP, *SIGN_IN, *BY_API)} == expected - NO_ERROR


def remedies(error: FrankingError, values: dict[str, object]) -> str:
    return "\n".join(diagnose(error, ALL, values).remedies)


def test_smtp_is_told_of_the_api_and_the_reverse() -> None:
    switch = "`franking send-test shop --to me@example.cz --route api`"
    token = LoginError("x", evidence=smtp(REFUSED, **TOKEN))
    assert switch in remedies(token, SMTP)
    assert switch in remedies(LoginError("x", evidence=smtp(REFUSED, **TOKEN)), {**SMTP, "scopes": ["openid"]})
    assert "--route" not in remedies(LoginError("x", evidence=http(401, "authError")), API)  # type: ignore[arg-type]
    blocked = LoginError("x", evidence=http(403, "domainPolicy", "disabled"))  # type: ignore[arg-type]
    assert 'route = "smtp"' in remedies(blocked, API)
    assert "Gmail API is switched off, SMTP" not in remedies(blocked, SMTP)


def test_a_password_at_google_leads_to_the_sign_in() -> None:
    first = diagnose(LoginError("x", evidence=smtp(REFUSED)), ALL, {**VALUES, "host": "smtp.gmail.com"}).remedies[0]
    assert "`franking setup info@novak.cz --provider gmail`" in first


def test_the_project_is_named_where_the_api_is_off() -> None:
    off = http(
        403, "accessNotConfigured", "Gmail API has not been used in project 123456789012 before or it is disabled."
    )
    assert "gmail.googleapis.com?project=123456789012" in remedies(LoginError("x", evidence=off), API)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (
            SettingsError("client_secrets: a web page.", evidence=seen("settings", "client-secrets-html")),
            "google.client-file",
        ),
        (
            SettingsError("service_account: no key.", evidence=seen("settings", "service-account-not-a-key")),
            "google.service-account-file",
        ),
        (SettingsError("Install it.", evidence=seen("settings", "extra-missing", extra="gmail")), "settings.extra"),
        (ConnectError("x", step="secret", evidence=seen("oauth", "unreadable-answer")), "https.not-understood"),
        (OutcomeUnknown("x", evidence=http(500, "backendError")), "outcome.unknown"),  # type: ignore[arg-type]
    ],
)
def test_what_franking_itself_saw(error: FrankingError, code: str) -> None:
    assert diagnose(error, ALL, API).code == code
