"""What is known of Outlook: clouds, hosts, domains, routes, limits, scopes, and the keys of its accounts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from franking.account.account import Account
from franking.account.fields import CLIENT_SECRET_EXPIRES, Field
from franking.errors import SettingsError
from franking.provider import ClientFacts, Errand, Facts, RouteFacts, SenderFacts
from franking.smtp.fields import TRANSPORT_FIELDS

__all__ = ["CLOUDS", "CONSUMER_DOMAINS", "Cloud", "authority", "graph_root", "personal", "scopes"]


GRAPH, SMTP = "graph", "outlook-smtp"


@dataclass(frozen=True, slots=True)
class Cloud:
    """Hold the addresses of one Microsoft cloud (https://learn.microsoft.com/graph/deployments); ``smtp`` empty where
    not published.

    ``outlook`` is the resource of the delegated scope SMTP.Send, ``outlook_app`` the one of app-only tokens.
    """

    login: str
    graph: str
    outlook: str
    outlook_app: str
    smtp: str


CLOUDS: Mapping[str, Cloud] = {
    "global": Cloud(
        login="https://login.microsoftonline.com",
        graph="https://graph.microsoft.com",
        outlook="https://outlook.office.com",
        outlook_app="https://outlook.office365.com",
        smtp="smtp.office365.com",
    ),
    "gcc-high": Cloud(
        login="https://login.microsoftonline.us",
        graph="https://graph.microsoft.us",
        outlook="https://outlook.office365.us",
        outlook_app="https://outlook.office365.us",
        smtp="smtp.office365.us",
    ),
    "dod": Cloud(
        login="https://login.microsoftonline.us",
        graph="https://dod-graph.microsoft.us",
        outlook="https://outlook-dod.office365.us",
        outlook_app="https://outlook-dod.office365.us",
        smtp="",
    ),
    "china": Cloud(
        login="https://login.partner.microsoftonline.cn",
        graph="https://microsoftgraph.chinacloudapi.cn",
        outlook="https://partner.outlook.cn",
        outlook_app="https://partner.outlook.cn",
        smtp="smtp.partner.outlook.cn",
    ),
}

LOGIN_HOSTS = (
    "login.microsoftonline.com",
    "login.microsoftonline.us",
    "login.partner.microsoftonline.cn",
    "login.chinacloudapi.cn",
    "login.live.com",
    "login.windows.net",
    "login.microsoft.com",
    "sts.windows.net",
    "login.sovcloud-identity.fr",
    "login.sovcloud-identity.de",
    "login.sovcloud-identity.sg",
)


def _domains(head: str, tails: str) -> tuple[str, ...]:
    return tuple(f"{head}.{tail}" for tail in tails.split())


# Thunderbird's ISPDB, hotmail.com.xml of 2026-03-12. Not to be extended by guessing: an unknown outlook.<tld> may
# belong to anybody.
CONSUMER_DOMAINS: tuple[str, ...] = (
    "hotmail.com",
    "live.com",
    "msn.com",
    "outlook.com",
    "windowslive.com",
    "livemail.tw",
    *_domains("outlook", "at be cl cz de dk es fr hu ie in it jp kr lv my ph pt sa sg sk"),
    *_domains("outlook", "co.id co.il co.th com.ar com.au com.br com.gr com.tr com.vn"),
    *_domains("hotmail", "be ca cl cz de dk es fi fr gr hu it lt lv my nl no ph rs se sg sk"),
    *_domains(
        "hotmail", "co.id co.il co.in co.jp co.kr co.th co.uk co.za com.ar com.au com.br com.hk com.tr com.tw com.vn"
    ),
    *_domains("live", "at be ca cl cn de dk fi fr hk ie in it jp nl no ru se"),
    *_domains("live", "co.jp co.kr co.uk co.za com.ar com.au com.mx com.my com.ph com.pt com.sg"),
)

CONSUMER_SMTP = "smtp-mail.outlook.com"

MX = (
    ".mail.protection.outlook.com",
    ".olc.protection.outlook.com",
    ".mx.microsoft",
    ".mail.protection.office365.us",
    ".mail.protection.partner.outlook.cn",
    ".mail.protection.outlook.de",
    ".mail.eo.outlook.com",
    ".mail.messaging.microsoft.com",
)

# personal mailboxes and national clouds have servers of their own
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    **{key: {"host": CONSUMER_SMTP} for key in (*CONSUMER_DOMAINS, ".olc.protection.outlook.com")},
    **{
        key: {"host": CLOUDS["gcc-high"].smtp, "cloud": "gcc-high"}
        for key in (CLOUDS["gcc-high"].smtp, ".mail.protection.office365.us")
    },
    **{
        key: {"host": CLOUDS["china"].smtp, "cloud": "china"}
        for key in (CLOUDS["china"].smtp, ".mail.protection.partner.outlook.cn")
    },
}


def _check_client(client_id: str) -> None:
    if not re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", client_id):
        raise SettingsError(
            "client_id: an Application (client) ID has 32 letters and digits in five groups, as in "
            "11111111-2222-3333-4444-555555555555. Copy it from the app registration's Overview.",
            field="client_id",
        )


NUMBER = r"\bAADSTS(\d{4,9})\b"
"""How the number of a refused sign-in stands in its words."""

FACTS = Facts(
    numbers={"aadsts": NUMBER},
    sending=SenderFacts(  # learn.microsoft.com/defender-office-365: email-authentication-{spf,dkim}-configure
        "Microsoft 365",
        spf="v=spf1 include:spf.protection.outlook.com -all",
        name="microsoft",
        includes=("spf.protection.office365.us", "spf.protection.partner.outlook.cn"),
        selectors=("selector1", "selector2"),
        certain=True,
        switch="In the Microsoft Defender portal (security.microsoft.com), under Email & collaboration, Policies & "
        "rules, Threat policies, Email authentication settings, DKIM: publish the two CNAME records that it shows, "
        "then switch signing on for the domain.",
    ),
    oauth=True,
    grant_unused_days=90,  # https://learn.microsoft.com/entra/identity-platform/refresh-tokens
    device=True,
    sent_folder="save_to_sent",
    speaks=r"\.prod\.(?:protection\.)?(?:outlook|exchangelabs)\.com\b|\baka\.ms/|\b5\.7\.139\b"
    r"|SmtpClientAuthentication is disabled|security defaults policy"
    r"|\bbasic authentication is (?:disabled|not supported for client submission)",
    client=ClientFacts(
        "client_id",
        "Application (client) ID",
        price="About five minutes, once: an app registration, free of charge. Franking may then send and nothing else.",
        steps=(
            Errand(
                "Register an app: New registration. (An organisation alone may choose its own directory instead, with "
                "--tenant.)",
                "https://go.microsoft.com/fwlink/?linkid=2083908",
                (
                    ("Name", "Franking"),
                    (
                        "Supported account types",
                        "Accounts in any organizational directory and personal Microsoft accounts",
                    ),
                    ("Redirect URI", "Public client/native (mobile & desktop), http://localhost"),
                ),
            ),
            Errand("In the app: Authentication, Advanced settings.", values=(("Allow public client flows", "Yes"),)),
            Errand("In the app: Overview. Copy the Application (client) ID."),
        ),
        beside=("tenant",),
        letter="Please register an app for our mail program in Microsoft Entra (App registrations, New registration): "
        "name Franking, accounts in this organisation, redirect URI of the type Public client/native "
        "http://localhost, and under Authentication: Allow public client flows = Yes. It needs no secret. When I sign "
        "in I allow it to send mail as myself (Microsoft Graph, delegated, Mail.Send); it reads nothing. Please send "
        "me the Application (client) ID and the Directory (tenant) ID.",
        page="outlook",
        check=_check_client,
    ),
    routes=(
        RouteFacts(
            GRAPH,
            settings={"route": GRAPH},
            scopes=("https://graph.microsoft.com/Mail.Send",),
            size=150 * 1024 * 1024,  # the most that an administrator can allow; Exchange's default is 35 MB
            recipients=500,
            connections=4,  # concurrent requests per app and mailbox, more are answered 429
            per_minute=30,
            per_day=10_000,
            recipients_per_day=10_000,
            api=True,
            why="Works where SMTP is switched off for the organisation or the mailbox, as it is by default since 2020.",
        ),
        RouteFacts(
            SMTP,
            settings={"route": SMTP, "host": CLOUDS["global"].smtp, "port": 587, "security": "starttls"},
            scopes=("https://outlook.office.com/SMTP.Send",),
            size=150 * 1024 * 1024,
            recipients=500,
            connections=3,  # concurrent submissions per mailbox, more are answered 432 4.3.2
            per_minute=30,
            per_day=10_000,
            recipients_per_day=10_000,
            window=True,
            why="Keeps every header as it is, but needs SMTP AUTH switched on for the mailbox.",
        ),
    ),
    hosts=(
        "smtp.office365.com",
        CONSUMER_SMTP,
        "smtp-legacy.office365.com",
        "smtp.office365.us",
        "smtp.partner.outlook.cn",
    ),
    # consumer domains, and those that only Microsoft 365 gives out
    mail_domains=(*CONSUMER_DOMAINS, "office365.com", ".onmicrosoft.com"),
    mx_suffixes=MX,
    wrong_hosts={
        "smtp.outlook.com": CONSUMER_SMTP,
        "smtp.live.com": CONSUMER_SMTP,
        "smtp.hotmail.com": CONSUMER_SMTP,
        "outlook.office365.com": "smtp.office365.com",
        "smtp.outlook.office365.com": "smtp.office365.com",
        **dict.fromkeys(MX, CLOUDS["global"].smtp),
        **{entry: variant["host"] for entry, variant in VARIANTS.items() if entry in MX},
        **dict.fromkeys((*LOGIN_HOSTS, *(urlsplit(cloud.graph).netloc for cloud in CLOUDS.values())), ""),
    },
    variants=VARIANTS,
    foreign={
        "smtp.azurecomm.net": "Azure Communication Services Email",
        ".azurecomm.net": "Azure Communication Services Email",
        "smtp-hve.office365.com": "High Volume Email for Microsoft 365",
    },
)

FIELDS = (
    Field(
        "route",
        default=GRAPH,
        choices=(GRAPH, SMTP),
        aliases={"smtp": SMTP},
        help="graph (Microsoft Graph, an HTTPS API) or smtp (XOAUTH2; needs SMTP AUTH switched on for the mailbox).",
    ),
    Field("client_id", help="Application (client) ID of your app registration in Microsoft Entra."),
    Field("tenant", default="common", help="common, organizations, consumers, or your directory's ID or domain."),
    Field("cloud", default="global", choices=tuple(CLOUDS), help="Which Microsoft cloud the mailbox lives in."),
    Field(
        "authority",
        help="Issuer URL to sign in at, instead of cloud and tenant; if not Microsoft's, a plain OpenID provider.",
    ),
    Field("graph_endpoint", help="Scheme and host of Microsoft Graph, instead of the cloud's; without /v1.0."),
    Field(
        "large_attachments", "bool", False, help="Also ask for Mail.ReadWrite at sign-in, which large messages need."
    ),
    Field("save_to_sent", "bool", True, help="Keep a copy in Sent Items; false works on the graph route only."),
    Field(
        "app_only", "bool", False, help="Send as the application itself, without a signed-in user (client credentials)."
    ),
    Field(
        "certificate",
        "path",
        private=True,
        credential="key",
        help="PEM file with private key and certificate, instead of a client secret (with app_only).",
    ),
    CLIENT_SECRET_EXPIRES,
    Field("mailbox", help="Send from this shared mailbox with the rights of the signed-in user."),
    *TRANSPORT_FIELDS,
)

_SHARED_TENANTS = ("common", "organizations", "consumers")


def personal(account_domain: str) -> bool:
    """Return whether a mail domain is one of Microsoft's for consumers."""
    return account_domain.lower() in CONSUMER_DOMAINS


def authority(account: Account) -> tuple[str, bool]:
    """Return the issuer's URL, and whether it is Microsoft's own (else it is a plain OpenID provider)."""
    if account.authority:
        if (urlsplit(account.authority).hostname or "") not in LOGIN_HOSTS:
            return account.authority, False
        return account.authority.removesuffix("/v2.0"), True  # MSAL adds the version itself
    return f"{CLOUDS[account.cloud].login}/{account.tenant}", True


def graph_root(account: Account) -> str:
    """Return scheme, host and version of Graph: ``https://graph.microsoft.com/v1.0``."""
    return (account.graph_endpoint or CLOUDS[account.cloud].graph) + "/v1.0"


def scopes(account: Account, route: str) -> tuple[str, ...]:
    """Return the OAuth scopes that a route needs, of the account's cloud, with what drafts and uploads need where large
    messages are wanted.

    The delegated names: https://learn.microsoft.com/graph/permissions-reference; app-only uses the resource's
    ``/.default``.
    """
    cloud = CLOUDS[account.cloud]
    if account.app_only:
        resource = cloud.graph if route == GRAPH else cloud.outlook_app
        return (f"{resource}/.default",)
    if route == SMTP:
        return (f"{cloud.outlook}/SMTP.Send",)
    names = ["Mail.Send"]
    if account.mailbox:
        names.append("Mail.Send.Shared")
    if account.large_attachments:
        names.append("Mail.ReadWrite")
        if account.mailbox:
            names.append("Mail.ReadWrite.Shared")
    return tuple(f"{cloud.graph}/{name}" for name in names)
