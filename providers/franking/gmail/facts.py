"""What is known of Gmail: hosts, domains, routes, limits, scopes, and the keys of its accounts. No code that sends.

Sources: support.google.com/a/answer/166852 (limits), developers.google.com/workspace/gmail/api (scopes, quota, upload
size), Thunderbird's autoconfig data (hosts, MX names).
"""

from __future__ import annotations

from franking.account.fields import CLIENT_SECRET_EXPIRES, Field
from franking.provider import AppPasswordFacts, ClientFacts, Errand, Facts, RouteFacts, SenderFacts
from franking.smtp.fields import PORTS

API, SMTP = "gmail-api", "gmail-smtp"
_HOST = "smtp.gmail.com"
_MX = (
    "smtp.google.com",  # the single MX of Workspace domains since 2023
    "gmail-smtp-in.l.google.com",
    *(f"alt{n}.gmail-smtp-in.l.google.com" for n in range(1, 5)),
    "aspmx.l.google.com",
    *(f"alt{n}.aspmx.l.google.com" for n in range(1, 5)),
    *(f"aspmx{n}.googlemail.com" for n in range(2, 6)),
)
_NOT_SUBMISSION = (
    "gmail.com",
    "www.gmail.com",
    "googlemail.com",
    "mail.google.com",
    "imap.gmail.com",
    "imap.googlemail.com",
    "pop.gmail.com",
    "pop.googlemail.com",
    "accounts.google.com",
    "oauth2.googleapis.com",
    "gmail.googleapis.com",
    "gmail.mtls.googleapis.com",
    "www.googleapis.com",
)


def _check_client(path: str) -> object:
    from franking.gmail.client_files import read_client

    return read_client(path)


FACTS = Facts(
    oauth=True,
    grant_unused_days=180,  # https://developers.google.com/identity/protocols/oauth2#expiration: six months
    sent_folder="always",
    speaks=r"- ?(?:gsmtp|gcdp)\b|\bsupport\.google\.com/(?:a|mail|accounts)/",
    client=ClientFacts(
        "client_secrets",
        "Path of the downloaded JSON file",
        price="About eight minutes, once: you make a client of your own at Google, free of charge. Franking may then "
        "send and nothing else, no password is kept, and it works where app passwords are forbidden.",
        steps=(
            Errand(
                "Make a project.",
                "https://console.cloud.google.com/projectcreate",
                (("Project name", "Franking"),),
            ),
            Errand(
                "Switch the Gmail API on: Enable. (At the top the new project must be chosen.)",
                "https://console.cloud.google.com/apis/library/gmail.googleapis.com",
            ),
            Errand(
                "Name the app: Get started. Internal is for a Workspace of your own; then leave the next step out.",
                "https://console.cloud.google.com/auth/overview",
                (("App name", "Franking"), ("User support email", "your own address"), ("Audience", "External")),
            ),
            Errand(
                "Publish app, at once: as long as it is in Testing, every sign-in ends after seven days. Nothing is "
                "reviewed, and there are no test users to list.",
                "https://console.cloud.google.com/auth/audience",
            ),
            Errand(
                "Create the client, and download its JSON file: Google shows the secret in it only once.",
                "https://console.cloud.google.com/auth/clients/create",
                (("Application type", "Desktop app"), ("Name", "Franking")),
            ),
        ),
        page="gmail",
        check=_check_client,
        file=True,
        instead=("service_account",),
    ),
    app_password=AppPasswordFacts(
        price="Two minutes, five clicks. It needs 2-step verification, opens the whole mailbox to whoever has it, and "
        "an organisation may forbid it.",
        steps=(
            Errand(
                "Switch 2-step verification on, if it is off.",
                "https://myaccount.google.com/signinoptions/twosv",
            ),
            Errand(
                "Create an app password and copy its 16 letters; the blanks between them do not matter. Where the page "
                "says that the setting is not available, your organisation or Advanced Protection forbids it: take the "
                "sign-in.",
                "https://myaccount.google.com/apppasswords",
                (("App name", "Franking"),),
            ),
        ),
    ),
    routes=(
        RouteFacts(
            API,
            settings={"api_endpoint": "https://gmail.googleapis.com"},
            scopes=("openid", "email", "https://www.googleapis.com/auth/gmail.send"),
            size=36_700_160,  # maxSize of the media upload in Gmail's discovery document
            recipients=100,
            per_minute=60,  # 6,000 quota units per user and minute, 100 for each message
            per_day=2_000,  # Workspace; 500 on trial
            per_day_personal=500,
            recipients_per_day=10_000,
            api=True,
            why="Asks for the right to send and nothing else; needs no mail port.",
        ),
        RouteFacts(
            SMTP,
            settings={"host": _HOST, "port": PORTS["tls"], "security": "tls"},
            scopes=("openid", "email", "https://mail.google.com/"),
            size=35_882_577,  # SIZE that smtp.gmail.com announces
            recipients=100,
            per_day=2_000,
            per_day_personal=500,
            recipients_per_day=10_000,
            window=True,
            why="Ordinary SMTP with many messages on one connection; asks for full access to the mailbox.",
        ),
    ),
    sending=SenderFacts(  # support.google.com/a/answer/33786 (SPF) and 174124 (DKIM)
        "Google",
        spf="v=spf1 include:_spf.google.com ~all",
        name="google",
        selectors=("google",),
        certain=True,
        switch="In the Google Admin console (admin.google.com), under Apps, Google Workspace, Gmail, Authenticate "
        "email: generate the record, publish it, then start authentication.",
    ),
    hosts=(_HOST, "smtp.googlemail.com"),
    mail_domains=("gmail.com", "googlemail.com"),
    mx_suffixes=(".google.com", ".googlemail.com"),
    wrong_hosts=dict.fromkeys((*_MX, *_NOT_SUBMISSION), _HOST),
    foreign={
        "smtp-relay.gmail.com": "Google Workspace SMTP relay",
        "ghs.google.com": "Google Sites (web pages, not mail)",
    },
)

_FIELDS = (
    Field(
        "route",
        default=API,
        choices=(API, SMTP),
        aliases={"api": API, "smtp": SMTP},
        help="api (the right to send, nothing else) or smtp (XOAUTH2, full access to the mailbox).",
    ),
    Field(
        "client_secrets", "path", private=True, help="JSON file of a desktop client, as Google's console hands it out."
    ),
    Field(
        "service_account",
        "path",
        private=True,
        credential="key",
        help="Key file of a service account with domain-wide delegation; acts as the From address.",
    ),
    CLIENT_SECRET_EXPIRES,
    Field("api_endpoint", default="https://gmail.googleapis.com", help="Scheme and host of the Gmail API."),
)
