"""What a name alone says: hosts, addresses, domains and MX names in one table, look-alikes and hostile inputs included.
Nothing is looked up.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

import franking
from franking.discovery.recommend import better_provider
from franking.discovery.recommendation import mx_provider
from franking.errors import SettingsError
from franking.outlook.facts import CONSUMER_DOMAINS
from franking.registry import providers
from franking.smtp import services as known

GMAIL, OFFICE, CONSUMER = "smtp.gmail.com", "smtp.office365.com", "smtp-mail.outlook.com"

# what was typed -> kind, provider, the server to use; a "!" before the server: with a warning that the typed one is
# wrong
NAMES: dict[str, tuple[str, str | None, str | None]] = {
    # Google, servers
    "smtp.gmail.com": ("host", "gmail", GMAIL),
    "SMTP.GMAIL.COM": ("host", "gmail", GMAIL),
    "  smtp.gmail.com\t": ("host", "gmail", GMAIL),
    "smtp.gmail.com.": ("host", "gmail", GMAIL),
    "smtp.gmail.com:587": ("host", "gmail", GMAIL),
    "smtp.gmail.com:465": ("host", "gmail", GMAIL),
    "[smtp.gmail.com]:465": ("host", "gmail", GMAIL),
    "smtp://smtp.gmail.com": ("host", "gmail", GMAIL),
    "smtps://smtp.gmail.com:465/": ("host", "gmail", GMAIL),
    "SMTPS://smtp.gmail.com": ("host", "gmail", GMAIL),
    "smtp://me%40gmail.com@smtp.gmail.com:587?x=1": ("host", "gmail", GMAIL),
    "smtp://me@gmail.com:pass@smtp.gmail.com": ("host", "gmail", GMAIL),
    "smtp.gmail.com/": ("host", "gmail", GMAIL),
    "smtp.gmail.com/path?query#part": ("host", "gmail", GMAIL),
    "ｓｍｔｐ．ｇｍａｉｌ．ｃｏｍ": ("host", "gmail", GMAIL),
    "smtp。gmail。com": ("host", "gmail", GMAIL),
    "smtp｡gmail｡com": ("host", "gmail", GMAIL),
    "ＳＭＴＰ.ＧＭＡＩＬ.ＣＯＭ：５８７": ("host", "gmail", GMAIL),
    "smtp.gm\u00adail.com": ("host", "gmail", GMAIL),
    "\ufeffsmtp.gmail.com\u200b": ("host", "gmail", GMAIL),
    "\u3000smtp.gmail.com\u00a0": ("host", "gmail", GMAIL),
    "smtp.googlemail.com": ("host", "gmail", "smtp.googlemail.com"),
    # Google, names that are no servers for sending
    "aspmx.l.google.com": ("host", "gmail", "!" + GMAIL),
    "alt1.aspmx.l.google.com": ("host", "gmail", "!" + GMAIL),
    "alt2.aspmx.l.google.com": ("host", "gmail", "!" + GMAIL),
    "alt3.aspmx.l.google.com": ("host", "gmail", "!" + GMAIL),
    "ALT4.ASPMX.L.GOOGLE.COM.": ("host", "gmail", "!" + GMAIL),
    "aspmx2.googlemail.com": ("host", "gmail", "!" + GMAIL),
    "aspmx5.googlemail.com": ("host", "gmail", "!" + GMAIL),
    "gmail-smtp-in.l.google.com": ("host", "gmail", "!" + GMAIL),
    "alt4.gmail-smtp-in.l.google.com": ("host", "gmail", "!" + GMAIL),
    "smtp.google.com": ("host", "gmail", "!" + GMAIL),
    "smtp.google.com:25": ("host", "gmail", "!" + GMAIL),
    "gmail.googleapis.com": ("host", "gmail", "!" + GMAIL),
    "https://gmail.googleapis.com/gmail/v1/users/me": ("host", "gmail", "!" + GMAIL),
    "gmail.mtls.googleapis.com": ("host", "gmail", "!" + GMAIL),
    "oauth2.googleapis.com": ("host", "gmail", "!" + GMAIL),
    "accounts.google.com": ("host", "gmail", "!" + GMAIL),
    "www.googleapis.com": ("host", "gmail", "!" + GMAIL),
    "gmail.com:587": ("host", "gmail", "!" + GMAIL),
    "smtp://gmail.com": ("host", "gmail", "!" + GMAIL),
    "googlemail.com:25": ("host", "gmail", "!" + GMAIL),
    # Google, domains and addresses
    "gmail.com": ("domain", "gmail", GMAIL),
    "googlemail.com": ("domain", "gmail", GMAIL),
    "@gmail.com": ("domain", "gmail", GMAIL),
    "me@gmail.com": ("address", "gmail", GMAIL),
    "Me.Too+tag@GMail.com": ("address", "gmail", GMAIL),
    "Jan Novák <jan.novak@gmail.com>": ("address", "gmail", GMAIL),
    "<jan@googlemail.com>": ("address", "gmail", GMAIL),
    "mailto:me@gmail.com?subject=x": ("address", "gmail", GMAIL),
    "me＠gmail．com": ("address", "gmail", GMAIL),
    "me@gmail.com.": ("address", "gmail", GMAIL),
    '"me too"@gmail.com': ("address", "gmail", GMAIL),
    "jiří@gmail.com": ("address", "gmail", GMAIL),
    # Google's relay is a server of its own kind
    "smtp-relay.gmail.com": ("host", "smtp", "smtp-relay.gmail.com"),
    "smtp-relay.gmail.com:25": ("host", "smtp", "smtp-relay.gmail.com"),
    # what only looks like Google
    "smtp.gmail.com.evil.example": ("domain", None, None),
    "smtp.gmail.com.evil.example:587": ("host", None, None),
    "notgmail.com": ("domain", None, None),
    "smtp.notgmail.com": ("domain", None, None),
    "smtp-gmail.com": ("domain", None, None),
    "smtp.gmail.com-evil.example": ("domain", None, None),
    "mygmail.com": ("domain", None, None),
    "gmail.co": ("domain", None, None),
    "gmail.cz": ("domain", None, None),
    "gmail.sk": ("domain", None, None),
    "gmai.com": ("domain", None, None),
    "gmial.com": ("domain", None, None),
    "gmail.con": ("domain", None, None),
    "smtp.gmail": ("domain", None, None),
    "gmail": ("host", None, None),
    "smtp.gmai.com": ("domain", None, None),
    "smtpgmail.com": ("domain", None, None),
    "smtp.gmail.com..": ("domain", None, None),
    ".smtp.gmail.com": ("domain", None, None),
    "smtp..gmail.com": ("domain", None, None),
    "smtp.gmail.com@evil.example": ("address", None, None),
    "smtp://smtp.gmail.com@evil.example": ("host", None, None),
    "smtp://smtp.gmail.com:587@evil.example:25": ("host", None, None),
    "evil.example/smtp.gmail.com": ("domain", None, None),
    "evil.example?smtp.gmail.com": ("domain", None, None),
    "evil.example#smtp.gmail.com": ("domain", None, None),
    "smtp://evil.example/smtp.gmail.com": ("host", None, None),
    "smtp://evil.example#@smtp.gmail.com": ("host", None, None),
    "smtp://evil.example?@smtp.gmail.com": ("host", None, None),
    "smtp://evil.example/@smtp.gmail.com": ("host", None, None),
    "smtp://evil.example\\@smtp.gmail.com": ("address", None, None),
    "smtp.gmail.com\\@evil.example": ("address", None, None),
    "me@evil.example@gmail.com": ("address", None, None),
    "me@gmail.com@evil.example": ("address", None, None),
    "me@gmail.com.evil.example": ("address", None, None),
    "me@gmail.com, you@evil.example": ("address", None, None),
    "me@gmail.com <me@evil.example>": ("address", None, None),
    "xn--gmil-6qa.com": ("domain", None, None),
    "smtp.xn--gmil-6qa.com": ("domain", None, None),
    "gmаil.com": ("domain", None, None),  # Cyrillic а
    "ɡmail.com": ("domain", None, None),  # Latin script g
    "gmaıl.com": ("domain", None, None),  # dotless i
    "gmaİl.com": ("domain", None, None),  # dotted capital I
    "smtp.gmail.cоm": ("domain", None, None),  # Cyrillic о
    "smtp․gmail․com": ("domain", None, None),  # one dot leaders
    "smtp.gm\u200dail.com": ("domain", None, None),
    "smtp.gm\u202eail.com": ("domain", None, None),
    "smtp.gmail.com\x00.evil.example": ("domain", None, None),
    "smtp.gmail.com\r\nevil.example": ("domain", None, None),
    "smtp.gmail.com evil.example": ("domain", None, None),
    "smtp .gmail.com": ("domain", None, None),
    "smtp.gmail.com:587:25": ("domain", None, None),
    "smtp.gmail.com:abc": ("domain", None, None),
    "smtp.gmail.com:0": ("domain", None, None),
    "smtp.gmail.com:99999": ("domain", None, None),
    "smtp.gmail.com:٥٨٧": ("domain", None, None),
    "[smtp.gmail.com": ("domain", None, None),
    "[smtp.gmail.com]evil": ("domain", None, None),
    "smtp_gmail.com": ("domain", None, None),
    "-smtp.gmail.com": ("domain", None, None),
    "smtp%2egmail.com": ("domain", None, None),
    "googlemail.com.br": ("domain", None, None),
    "me@googlemail.com.br": ("address", None, None),
    "google.com.evil.example": ("domain", None, None),
    "aspmx.l.google.com.evil.example": ("domain", None, None),
    "evil-aspmx.l.google.com": ("domain", None, None),
    "ghs.google.com": ("host", None, None),
    "anything.appspot.com": ("domain", None, None),
    "anything.blogspot.com": ("domain", None, None),
    "anything.googlegroups.com": ("domain", None, None),
    "me@anything.googlegroups.com": ("address", None, None),
    "storage.googleapis.com": ("domain", None, None),
    "smtp.gmail.com.google.com": ("domain", None, None),
    # Microsoft, servers
    "smtp.office365.com": ("host", "outlook", OFFICE),
    "Smtp.Office365.Com:587": ("host", "outlook", OFFICE),
    "smtp.office365.com.": ("host", "outlook", OFFICE),
    "smtp://smtp.office365.com:587": ("host", "outlook", OFFICE),
    "ｓｍｔｐ．ｏｆｆｉｃｅ３６５．ｃｏｍ": ("host", "outlook", OFFICE),
    "smtp-mail.outlook.com": ("host", "outlook", CONSUMER),
    "SMTP-Mail.Outlook.com:587": ("host", "outlook", CONSUMER),
    "smtp-legacy.office365.com": ("host", "outlook", "smtp-legacy.office365.com"),
    "smtp.office365.us": ("host", "outlook", "smtp.office365.us"),
    "smtp.partner.outlook.cn": ("host", "outlook", "smtp.partner.outlook.cn"),
    # Microsoft, old, wrong, receiving and API names
    "smtp.outlook.com": ("host", "outlook", "!" + CONSUMER),
    "smtp.live.com": ("host", "outlook", "!" + CONSUMER),
    "smtp.live.com:25": ("host", "outlook", "!" + CONSUMER),
    "smtp.hotmail.com": ("host", "outlook", "!" + CONSUMER),
    "outlook.office365.com": ("host", "outlook", "!" + OFFICE),
    "smtp.outlook.office365.com": ("host", "outlook", "!" + OFFICE),
    "contoso-com.mail.protection.outlook.com": ("host", "outlook", "!" + OFFICE),
    "contoso-com.mail.protection.outlook.com:25": ("host", "outlook", "!" + OFFICE),
    "contoso-com.x-v1.mx.microsoft": ("host", "outlook", "!" + OFFICE),
    "outlook-com.olc.protection.outlook.com": ("host", "outlook", "!" + CONSUMER),
    "eur.olc.protection.outlook.com": ("host", "outlook", "!" + CONSUMER),
    "contoso-us.mail.protection.office365.us": ("host", "outlook", "!smtp.office365.us"),
    "contoso.mail.protection.partner.outlook.cn": ("host", "outlook", "!smtp.partner.outlook.cn"),
    "contoso.mail.eo.outlook.com": ("host", "outlook", "!" + OFFICE),
    "login.microsoftonline.com": ("host", "outlook", "!" + OFFICE),
    "https://login.microsoftonline.com/common/oauth2/v2.0/token": ("host", "outlook", "!" + OFFICE),
    "login.live.com": ("host", "outlook", "!" + OFFICE),
    "login.windows.net": ("host", "outlook", "!" + OFFICE),
    "sts.windows.net": ("host", "outlook", "!" + OFFICE),
    "graph.microsoft.com": ("host", "outlook", "!" + OFFICE),
    "outlook.com:587": ("host", "outlook", "!" + CONSUMER),
    "smtp://hotmail.com": ("host", "outlook", "!" + CONSUMER),
    # Microsoft, domains and addresses
    "outlook.com": ("domain", "outlook", CONSUMER),
    "me@outlook.com": ("address", "outlook", CONSUMER),
    "me@hotmail.com": ("address", "outlook", CONSUMER),
    "ME@LIVE.COM": ("address", "outlook", CONSUMER),
    "me@msn.com": ("address", "outlook", CONSUMER),
    "Jana <jana@outlook.cz>": ("address", "outlook", CONSUMER),
    "jana@outlook.sk": ("address", "outlook", CONSUMER),
    "jana@hotmail.cz": ("address", "outlook", CONSUMER),
    "jana@hotmail.sk": ("address", "outlook", CONSUMER),
    "me@hotmail.co.uk": ("address", "outlook", CONSUMER),
    "me@office365.com": ("address", "outlook", OFFICE),
    "admin@contoso.onmicrosoft.com": ("address", "outlook", OFFICE),
    "contoso.onmicrosoft.com": ("domain", "outlook", OFFICE),
    # what only looks like Microsoft
    "smtp.office365.com.attacker.tld": ("domain", None, None),
    "smtp-office365.com": ("domain", None, None),
    "office365-smtp.com": ("domain", None, None),
    "smtp.office365.co": ("domain", None, None),
    "smtp.office356.com": ("domain", None, None),
    "smtp.office.com": ("domain", None, None),
    "outlook.com.evil.tld": ("domain", None, None),
    "me@outlook.com.evil.tld": ("address", None, None),
    "notoutlook.com": ("domain", None, None),
    "me@notoutlook.com": ("address", None, None),
    "hotmail.com.co": ("domain", None, None),
    "me@hotmail.com.co": ("address", None, None),
    "hotmail.com.mx": ("domain", None, None),
    "live.cz": ("domain", None, None),
    "me@live.sk": ("address", None, None),
    "outlook.xyz": ("domain", None, None),
    "me@passport.com": ("address", None, None),
    "me@webtv.net": ("address", None, None),
    "mail.protection.outlook.com": ("domain", None, None),
    "mail.protection.outlook.com.evil.tld": ("domain", None, None),
    "evilmail.protection.outlook.com.tld": ("domain", None, None),
    "evilmail.protection.outlook.com": ("domain", None, None),
    "contoso.mx.microsoft.com": ("domain", None, None),
    "fakemx.microsoft": ("domain", None, None),
    "mx.microsoft": ("domain", None, None),
    "microsoft": ("host", None, None),
    "anything.azurewebsites.net": ("domain", None, None),
    "vm.westeurope.cloudapp.azure.com": ("domain", None, None),
    "contoso.onmicrosoft.com:587": ("host", None, None),
    "smtp://contoso.onmicrosoft.com": ("host", None, None),
    "onmicrosoft.com": ("domain", None, None),
    "evilonmicrosoft.com": ("domain", None, None),
    "me@evilonmicrosoft.com": ("address", None, None),
    "contoso.sharepoint.com": ("domain", None, None),
    "smtp.office365.com@evil.example": ("address", None, None),
    "evil.example/smtp.office365.com": ("domain", None, None),
    "smtp.offiсe365.com": ("domain", None, None),  # Cyrillic с
    # services of the same companies that are no mailbox
    "smtp.azurecomm.net": ("host", None, None),
    "contoso.azurecomm.net": ("host", None, None),
    "smtp-hve.office365.com": ("host", None, None),
    # well-known services, servers
    "smtp.seznam.cz": ("host", "smtp", "smtp.seznam.cz"),
    "SMTP.SEZNAM.CZ:465": ("host", "smtp", "smtp.seznam.cz"),
    "smtp.centrum.cz": ("host", "smtp", "smtp.centrum.cz"),
    "wes1-smtp.wedos.net": ("host", "smtp", "wes1-smtp.wedos.net"),
    "smtp.wedos.net": ("host", "smtp", "smtp.wedos.net"),
    "email.active24.com": ("host", "smtp", "email.active24.com"),
    "smtp.websupport.sk": ("host", "smtp", "smtp.websupport.sk"),
    "smtp.forpsi.com": ("host", "smtp", "smtp.forpsi.com"),
    "smtp.gransy.com": ("host", "smtp", "smtp.gransy.com"),
    "smtp.cesky-hosting.cz": ("host", "smtp", "smtp.cesky-hosting.cz"),
    "smtp.registrator.cz": ("host", "smtp", "smtp.registrator.cz"),
    "smtp.mail.tiscali.cz": ("host", "smtp", "smtp.mail.tiscali.cz"),
    "smtp.mail.me.com": ("host", "smtp", "smtp.mail.me.com"),
    "smtp.mail.yahoo.com": ("host", "smtp", "smtp.mail.yahoo.com"),
    "smtp.aol.com": ("host", "smtp", "smtp.aol.com"),
    "smtp.zoho.eu": ("host", "smtp", "smtp.zoho.eu"),
    "smtppro.zoho.eu": ("host", "smtp", "smtppro.zoho.eu"),
    "smtp.fastmail.com": ("host", "smtp", "smtp.fastmail.com"),
    "mail.gmx.net": ("host", "smtp", "mail.gmx.net"),
    "mail.gmx.com": ("host", "smtp", "mail.gmx.com"),
    "smtp.web.de": ("host", "smtp", "smtp.web.de"),
    "posteo.de:587": ("host", "smtp", "posteo.de"),
    "ssl0.ovh.net": ("host", "smtp", "ssl0.ovh.net"),
    "smtp.ionos.de": ("host", "smtp", "smtp.ionos.de"),
    "smtp.sendgrid.net": ("host", "smtp", "smtp.sendgrid.net"),
    "smtp.mailgun.org": ("host", "smtp", "smtp.mailgun.org"),
    "smtp.eu.mailgun.org": ("host", "smtp", "smtp.eu.mailgun.org"),
    "email-smtp.eu-west-1.amazonaws.com": ("host", "smtp", "email-smtp.eu-west-1.amazonaws.com"),
    "smtp.resend.com": ("host", "smtp", "smtp.resend.com"),
    "smtp-relay.brevo.com": ("host", "smtp", "smtp-relay.brevo.com"),
    "smtp.yandex.ru": ("host", "smtp", "smtp.yandex.ru"),
    "localhost:1025": ("host", "smtp", "localhost"),
    "wes1-mx1.wedos.net": ("host", "smtp", "!wes1-smtp.wedos.net"),
    # well-known services, domains and addresses
    "seznam.cz": ("domain", "smtp", "smtp.seznam.cz"),
    "me@seznam.cz": ("address", "smtp", "smtp.seznam.cz"),
    "me@email.cz": ("address", "smtp", "smtp.seznam.cz"),
    "me@post.cz": ("address", "smtp", "smtp.seznam.cz"),
    "me@spoluzaci.cz": ("address", "smtp", "smtp.seznam.cz"),
    "me@centrum.cz": ("address", "smtp", "smtp.centrum.cz"),
    "me@atlas.cz": ("address", "smtp", "smtp.centrum.cz"),
    "me@volny.cz": ("address", "smtp", "smtp.centrum.cz"),
    "me@tiscali.cz": ("address", "smtp", "smtp.mail.tiscali.cz"),
    "me@icloud.com": ("address", "smtp", "smtp.mail.me.com"),
    "me@yahoo.com": ("address", "smtp", "smtp.mail.yahoo.com"),
    "me@aol.com": ("address", "smtp", "smtp.aol.com"),
    "me@gmx.de": ("address", "smtp", "mail.gmx.net"),
    "me@gmx.fr": ("address", "smtp", "mail.gmx.com"),
    "me@web.de": ("address", "smtp", "smtp.web.de"),
    "me@proton.me": ("address", "smtp", "smtp.protonmail.ch"),
    # what only looks like them
    "seznam.cz.evil.example": ("domain", None, None),
    "smtp.seznam.cz.evil.example": ("domain", None, None),
    "myseznam.cz": ("domain", None, None),
    "seznam.sk": ("domain", None, None),
    "me@seznamcz.cz": ("address", None, None),
    "smtp.wedos.com": ("domain", None, None),
    "vps123.wedos.net": ("domain", None, None),
    "smtp.ovh.net": ("domain", None, None),
    "vps-1.vps.ovh.net": ("domain", None, None),
    "static.1.2.3.4.clients.your-server.de": ("domain", None, None),
    "email-smtp.s3.amazonaws.com": ("domain", None, None),
    "email-smtp.evil.example.amazonaws.com": ("domain", None, None),
    "ec2-1-2-3-4.compute.amazonaws.com": ("domain", None, None),
    "smtp.sendgrid.net.evil.example": ("domain", None, None),
    "localhost": ("host", None, None),
    "localhost:25": ("host", None, None),
    "localhost.evil.example:1025": ("host", None, None),
    # nobody's
    "smtp.novak.cz": ("domain", None, None),
    "novak.cz": ("domain", None, None),
    "info@novak.cz": ("address", None, None),
    "mail.firma.local:25": ("host", None, None),
    "mailhub": ("host", None, None),
    "háčky.cz": ("domain", None, None),
    "info@háčky.cz": ("address", None, None),
    "xn--hky-ela4t.cz": ("domain", None, None),
    "smtp.example.com": ("domain", None, None),
    "пример.рф": ("domain", None, None),
    # IP addresses in all their dresses
    "10.0.0.1": ("host", None, None),
    "10.0.0.1:25": ("host", None, None),
    "smtp://10.0.0.1:2525": ("host", None, None),
    "127.0.0.1:1025": ("host", None, None),
    "::1": ("host", None, None),
    "[2001:db8::1]:587": ("host", None, None),
    "[::ffff:10.0.0.1]": ("host", None, None),
    "fe80::1%eth0": ("host", None, None),
    "2130706433": ("host", None, None),
    "0x7f.1": ("host", None, None),
    "0177.0.0.1": ("host", None, None),
    "smtp.gmail.com.1": ("host", None, None),
    "me@10.0.0.1": ("host", None, None),
    "me@[10.0.0.1]": ("host", None, None),
    # nonsense
    ".": ("domain", None, None),
    "@": ("address", None, None),
    "@@": ("address", None, None),
    "me@": ("address", None, None),
    "://": ("domain", None, None),
    "smtp://": ("domain", None, None),
    "smtp://@": ("address", None, None),
    "<>": ("domain", None, None),
    "[]": ("domain", None, None),
    "a" * 64 + ".gmail.com": ("domain", None, None),
    "a." * 200 + "gmail.com": ("domain", None, None),
    "x" * 5000 + "@gmail.com": ("address", None, None),
    "\u202esmtp.gmail.com": ("domain", None, None),
    "{host}.example": ("domain", None, None),
    "$(reboot).example": ("domain", None, None),
    "me\n@gmail.com": ("address", None, None),
    "me you@gmail.com": ("address", None, None),
    "\ud800.example": ("domain", None, None),
}

# an MX name -> the provider that it belongs to
MX: dict[str, str | None] = {
    "smtp.google.com": "gmail",
    "aspmx.l.google.com": "gmail",
    "alt1.aspmx.l.google.com": "gmail",
    "aspmx2.googlemail.com": "gmail",
    "aspmx5.googlemail.com": "gmail",
    "gmail-smtp-in.l.google.com": "gmail",
    "alt3.gmail-smtp-in.l.google.com": "gmail",
    "contoso-com.mail.protection.outlook.com": "outlook",
    "contoso-com.x-v1.mx.microsoft": "outlook",
    "contoso-cz.i-v1.mx.microsoft": "outlook",
    "hotmail-com.olc.protection.outlook.com": "outlook",
    "contoso-us.mail.protection.office365.us": "outlook",
    "contoso.mail.protection.partner.outlook.cn": "outlook",
    "contoso.mail.protection.outlook.de": "outlook",
    "ghs.google.com": None,
    "google.com": None,
    "l.google.com.evil.example": None,
    "fakegoogle.com": None,
    "mx.notgoogle.com": None,
    "aspmx.l.google.com.evil.example": None,
    "aspmx2.googlemail.com.br": None,
    "fakemx.microsoft": None,
    "mx.microsoft": None,
    "contoso.mx.microsoft.com": None,
    "mail.protection.outlook.com": None,
    "evilmail.protection.outlook.com": None,
    "contoso.mail.protection.outlook.com.evil.tld": None,
    "contoso.sharepoint.com": None,
    "contoso.azurecomm.net": None,
    "eu-smtp-inbound-1.mimecast.com": None,
    "mx1.seznam.cz": None,
    "mail.novak.cz": None,
}


def test_the_table_is_large_enough() -> None:
    assert len(NAMES) + len(MX) >= 300


def test_a_name_alone() -> None:
    for typed, (kind, provider, server) in NAMES.items():
        found = franking.recommend(typed, offline=True)
        wrong, right = (True, server[1:]) if server and server.startswith("!") else (False, server)
        assert (found.kind, found.provider, found.settings["host"]) == (kind, provider, right), typed
        assert found.confidence == ("unknown" if provider is None else "certain"), typed
        if wrong:
            assert any(right in warning for warning in found.warnings), typed
        else:
            assert not any("not a server" in warning for warning in found.warnings), typed
        assert found.reason, typed
        assert found.input == typed[:1000]
    assert (found.command is None) == (provider is None)


@pytest.mark.parametrize("host", MX)
def test_an_mx_name(host: str) -> None:
    owner, _ = mx_provider(host)
    assert (owner and owner.name) == MX[host]


@pytest.mark.parametrize("typed", ["", "   ", "\t\n", "\u200b", "\ufeff \u3000"])
def test_nothing_typed_is_an_error(typed: str) -> None:
    with pytest.raises(SettingsError, match="Nothing was given"):
        franking.recommend(typed, offline=True)


def test_every_consumer_domain_of_microsoft() -> None:
    for domain in CONSUMER_DOMAINS:
        found = franking.recommend(f"me@{domain}", offline=True)
        assert (found.provider, found.confidence, found.settings["host"]) == ("outlook", "certain", CONSUMER), domain


@pytest.mark.parametrize("service", known.table().services, ids=lambda service: service.name)
def test_every_service_of_the_table(service: known.Service) -> None:
    assert service.sources, "a row without a source"
    assert set(service.sources) <= set(known.table().sources)
    best = service.servers[0]
    for host in (best.host, *service.hosts):
        typed = host if ":" in host or "." in host else f"{host}:{best.port}"
        found = franking.recommend(typed, offline=True)
        assert (found.provider, found.kind, found.title) == (
            "smtp",
            "host" if host not in service.domains else found.kind,
            service.name,
        )
        assert (found.settings["port"], found.settings["security"]) == (best.port, best.security)
    for domain in service.domains:
        found = franking.recommend(f"jana@{domain}", offline=True)
        assert (found.provider, found.settings["host"], found.settings["route"]) == ("smtp", best.host, "smtp")
        expected = {"address": f"jana@{domain}", "local-part": "jana", "literal": service.literal}.get(service.username)
        assert found.settings["username"] == expected
    for server in service.servers:
        assert server.security in ("tls", "starttls", "none")
        assert (server.security == "tls") == (server.port in (465, 2465))


def test_no_service_claims_what_a_provider_knows_better() -> None:
    claimed = {
        host
        for service in known.table().services
        for host in (*service.hosts, *(server.host for server in service.servers))
    }
    domains = {domain for service in known.table().services for domain in service.domains}
    for provider in providers():
        assert not claimed.intersection(provider.facts.hosts)
        assert not claimed.intersection(provider.facts.wrong_hosts)
        assert not domains.intersection(provider.facts.mail_domains)


@pytest.mark.parametrize(
    ("typed", "port", "security"),
    [
        ("smtp.forpsi.com", 587, "starttls"),
        ("smtp.forpsi.com:465", 465, "tls"),
        ("smtp.forpsi.com:25", 25, "starttls"),
        ("smtp.seznam.cz:25", 25, "none"),
        ("smtp.forpsi.com:4711", 587, "starttls"),
        ("localhost:1025", 1025, "none"),
    ],
)
def test_a_port_that_the_service_has_is_kept(typed: str, port: int, security: str) -> None:
    settings = franking.recommend(typed, offline=True).settings
    assert (settings["port"], settings["security"]) == (port, security)


@pytest.mark.parametrize(
    ("typed", "username"),
    [
        ("Jan <Jan.Novak@Seznam.CZ>", "Jan.Novak@seznam.cz"),
        ("smtp.seznam.cz", None),
        ("karl@web.de", "karl"),
        ("smtp.sendgrid.net", "apikey"),
        ("smtp.resend.com", "resend"),
        ("smtp.mailgun.org", None),
        ("me@gmail.com", "me@gmail.com"),
        ("jana@outlook.cz", "jana@outlook.cz"),
    ],
)
def test_the_login_name(typed: str, username: str | None) -> None:
    assert franking.recommend(typed, offline=True).settings["username"] == username


def test_no_encryption_is_a_warning_but_not_at_home() -> None:
    assert any("not encrypted" in warning for warning in franking.recommend("me@tiscali.cz", offline=True).warnings)
    assert not franking.recommend("localhost:1025", offline=True).warnings


def test_the_answer_explains_both_routes() -> None:
    for typed, routes in (("me@gmail.com", ("gmail-api", "gmail-smtp")), ("me@outlook.cz", ("graph", "outlook-smtp"))):
        found = franking.recommend(typed, offline=True)
        assert found.settings["route"] == routes[0]
        provider = next(provider for provider in providers() if provider.name == found.provider)
        for route in routes:
            assert f"{route}: {provider.facts.route(route).why}" in found.reason


def test_a_national_cloud_is_told() -> None:
    assert "cloud = gcc-high" in franking.recommend("smtp.office365.us", offline=True).reason
    assert "cloud" not in franking.recommend("smtp.office365.com", offline=True).reason


def test_a_foreign_service_is_named() -> None:
    found = franking.recommend("smtp.azurecomm.net", offline=True)
    assert "Azure Communication Services" in found.reason
    assert [clue.source for clue in found.evidence] == ["host"]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("smtp.gmail.com", "gmail"),
        (" SMTP.GMAIL.COM. ", "gmail"),
        ("gmail.com", "gmail"),
        ("aspmx.l.google.com", "gmail"),
        ("smtp.office365.com", "outlook"),
        ("contoso-com.mail.protection.outlook.com", "outlook"),
        ("outlook.com", "outlook"),
        ("smtp-relay.gmail.com", None),
        ("contoso.onmicrosoft.com", None),
        ("smtp.seznam.cz", None),
        ("smtp.novak.cz", None),
        ("smtp-gmail.com", None),
        ("me@gmail.com", None),
        ("10.0.0.1", None),
        ("::1", None),
        ("", None),
        ("\x00", None),
    ],
)
def test_a_better_road_for_an_smtp_account(host: str, expected: str | None) -> None:
    found = better_provider(host)
    assert (found and found.name) == expected


@pytest.mark.process
def test_an_offline_answer_imports_no_dns() -> None:
    program = (
        "import sys, franking; franking.recommend('me@gmail.com'); franking.recommend('smtp.novak.cz', offline=True);"
        "print([name for name in ('dns', 'http.client', 'urllib.request', 'ssl', 'xml') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
