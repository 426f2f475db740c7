"""Whether mail from a domain will be trusted, asked of a real name server on loopback: every code, who can mend it, and
the record to publish.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from typing import Any

import dns.resolver
import pytest

import franking
from franking.diagnosis.texts import FOLDER, said
from franking.discovery.domain_check import Deliverability, check_account, check_domain
from franking.discovery.trust.findings import Finding
from franking.discovery.trust.questions import LIMIT
from franking.registry import providers
from franking.smtp.services import table
from servers.dns import DnsServer
from servers.zones import PROVIDERS, dkim, zone


def judged(
    *records: str, domain: str = "firma.cz", account: franking.Account | None = None, **options: Any
) -> Deliverability:
    """Ask a name server with these records, and look at what holds for every result."""
    options.setdefault("timeout", 60.0)
    with DnsServer(zone(PROVIDERS, *records)) as server:
        if account is not None:
            found = check_account(account, resolver=server.resolver, **options)
        else:
            found = check_domain(domain, resolver=server.resolver, **options)
        assert len(set(server.asked)) <= LIMIT
        assert len(server.asked) - server.over_tcp == len(set(server.asked)), "asked twice"
    proper(found)
    return found


def proper(found: Deliverability) -> None:
    told = found.as_dict()
    assert told["verdict"] in ("good", "warning", "unknown")
    for finding, shown in zip(found.findings, told["findings"], strict=True):
        assert finding.level in ("ok", "hint", "warning", "unknown")
        assert finding.level == "ok" or finding.level == "hint" or shown["remedies"], shown
        for language in ("en", "cs"):
            words = [finding.say(language), *(advice.text for advice in finding.advice(language))]
            assert not [text for text in words if "{" in text or "None" in text or not text], words
        if finding.record is not None:
            assert finding.record.type == "TXT" and not finding.code.startswith("dkim.")
            assert finding.record.value.startswith(("v=spf1", "v=DMARC1"))
    records = {finding.record for finding in found.findings if finding.record is not None}
    assert len({record.name for record in records}) == len(records), "two records to publish for one name"
    levels = {finding.level for finding in found.findings}
    if "warning" in levels:
        assert found.verdict == "warning"
    else:
        assert found.verdict == ("unknown" if "unknown" in levels else "good")


def codes(found: Deliverability, *levels: str) -> list[str]:
    return [finding.code for finding in found.findings if finding.level in (levels or ("hint", "warning", "unknown"))]


def one(found: Deliverability, code: str) -> Finding:
    (finding,) = [finding for finding in found.findings if finding.code == code]
    return finding


def value(found: Deliverability, code: str) -> str | None:
    record = one(found, code).record
    return record.value if record else None


MX = "firma.cz MX 10 mail.firma.cz\nmail.firma.cz A 192.0.2.25"
SPF = "firma.cz TXT v=spf1 include:_spf.google.com ~all"
KEY = f"google._domainkey.firma.cz TXT {dkim()}"
DMARC = "_dmarc.firma.cz TXT v=DMARC1; p=quarantine"
GOOD = f"firma.cz MX 1 smtp.google.com\n{SPF}\n{KEY}\n{DMARC}"


# -- what is fine -----------------------------------------------------------------------------------------------------


def test_all_is_well() -> None:
    found = judged(GOOD)
    assert codes(found, "ok") == ["mx.ok", "spf.ok", "dkim.ok", "dmarc.ok"] and not codes(found)
    assert found.as_dict()["via"] == "google" and found.as_dict()["account"] is None


SMALL_FIRMS = {
    "google": ("smtp.google.com", [f"google._domainkey.firma.cz TXT {dkim()}"]),
    "microsoft": (
        "firma-cz.mail.protection.outlook.com",
        [
            "selector1._domainkey.firma.cz CNAME selector1-firma-cz._domainkey.firma.onmicrosoft.com.",
            f"selector1-firma-cz._domainkey.firma.onmicrosoft.com TXT {dkim()}",
        ],
    ),
    "smtp.seznam.cz": (
        "x.mx1.emailprofi.seznam.cz",
        ["szn1._domainkey.firma.cz CNAME szn1._domainkey.seznam.cz.", f"szn1._domainkey.seznam.cz TXT {dkim()}"],
    ),
    "wes1-smtp.wedos.net": ("wes1-mx1.wedos.net", []),
    "email.active24.com": ("mx10.active24.cz", [f"a24._domainkey.firma.cz TXT {dkim(1024)}"]),
    "smtp.websupport.sk": ("mx10.websupport.sk", []),
    "smtp.forpsi.com": ("mxavas.forpsi.com", [f"f2026._domainkey.firma.cz TXT {dkim()}"]),
}


@pytest.mark.parametrize("dmarc", ["", "_dmarc.firma.cz TXT v=DMARC1; p=none"])
@pytest.mark.parametrize("via", SMALL_FIRMS)
def test_a_small_firm_whose_provider_does_all_it_can_is_good(via: str, dmarc: str) -> None:
    """With the very record that its provider asks for, and a web server at the domain."""
    mx, more = SMALL_FIRMS[via]
    known = {each.facts.sending.name: each.facts.sending for each in providers() if each.facts.sending}
    facts = known.get(via) or table().hosts[via].sending
    assert facts is not None
    records = [f"firma.cz MX 10 {mx}", f"{mx} A 192.0.2.9", "firma.cz A 192.0.2.10", f"firma.cz TXT {facts.spf}"]
    found = judged(*records, *more, dmarc, via=via)
    assert found.verdict == "good" and found.via == via
    assert "spf.ok" in codes(found, "ok")


@pytest.mark.parametrize("domain", ["gmail.com", "seznam.cz", "outlook.cz", "firma.onmicrosoft.com"])
def test_a_service_s_own_domain_is_its_business(domain: str) -> None:
    with DnsServer(zone("x.cz A 192.0.2.1")) as server:
        found = check_domain(f"jan@{domain}", resolver=server.resolver)
        assert not server.asked
    assert (found.verdict, found.domain, found.findings) == ("good", domain, ())


# -- the domain, and DNS ----------------------------------------------------------------------------------------------


def test_no_such_domain() -> None:
    found = judged("x.cz A 192.0.2.1", domain="gmial.com")
    assert codes(found) == ["domain.missing"] and "gmail.com" in one(found, "domain.missing").remedies[0]
    assert codes(judged("x.cz A 192.0.2.1", domain="firma.cz")) == ["domain.missing"]


def test_a_name_that_nobody_can_look_up() -> None:
    account = franking.Account(name="cron", provider="smtp", sender="root@server", host="127.0.0.1", security="none")
    assert codes(judged("x.cz A 192.0.2.1", account=account)) == ["domain.missing"]


@pytest.mark.parametrize("text", ["", "192.0.2.1", "a b@firma.cz", "[::1]"])
def test_what_names_no_domain(text: str) -> None:
    with pytest.raises(franking.SettingsError):
        check_domain(text, resolver=dns.resolver.Resolver(configure=False))


def test_a_domain_with_letters_of_its_own() -> None:
    found = judged("xn--frma-vpa.cz MX 1 smtp.google.com", domain="info@fírma.cz")
    assert found.domain == "xn--frma-vpa.cz" and "fírma.cz" in one(found, "spf.missing").text
    assert value(found, "spf.missing") == "v=spf1 include:_spf.google.com ~all"
    record = one(found, "spf.missing").record
    assert record is not None and record.as_dict()["name"] == "xn--frma-vpa.cz"


def broken(*names: str, records: str = GOOD, **options: Any) -> Deliverability:
    with DnsServer(zone(PROVIDERS, records), broken=set(names)) as server:
        found = check_domain("firma.cz", resolver=server.resolver, timeout=60.0, **options)
    proper(found)
    return found


@pytest.mark.parametrize("name", ["_dmarc.firma.cz", "google._domainkey.firma.cz", "_spf.google.com", "firma.cz"])
def test_what_dns_does_not_answer_is_never_taken_for_absent(name: str) -> None:
    found = broken(name, via="google")
    assert codes(found) == ["dns.unavailable"] and found.verdict == "unknown"
    assert name in one(found, "dns.unavailable").text


def test_a_warning_outweighs_what_nobody_knows() -> None:
    assert broken("_dmarc.firma.cz", records=f"firma.cz MX 1 smtp.google.com\n{KEY}").verdict == "warning"


# -- MX ---------------------------------------------------------------------------------------------------------------


def test_incoming_mail() -> None:
    assert "mail.firma.cz" in one(judged(MX), "mx.ok").text
    assert one(judged(SPF), "mx.none").level == "hint"
    assert one(judged(SPF, "firma.cz MX 0 ."), "mx.null").level == "warning"


# -- SPF --------------------------------------------------------------------------------------------------------------


def test_no_spf() -> None:
    assert value(judged(MX, via="microsoft"), "spf.missing") == "v=spf1 include:spf.protection.outlook.com -all"
    assert value(judged(MX), "spf.missing") is None, "nobody knows who sends"
    assert value(judged(MX, via="mail.firma.cz"), "spf.missing") is None


def test_several_spf_records_become_one_that_permits_the_sender() -> None:
    found = judged(MX, "firma.cz TXT v=spf1 mx -all", "firma.cz TXT v=spf1 a ~all", via="google")
    merged = value(found, "spf.multiple")
    assert merged in ("v=spf1 mx a include:_spf.google.com ~all", "v=spf1 a mx include:_spf.google.com ~all")
    assert one(found, "spf.multiple").level == "warning"


@pytest.mark.parametrize(
    ("spf", "more", "mended"),
    [
        ("v=spf1 ip4:192.0.2 mx -all", "", "v=spf1 mx -all"),
        ("v=spf1 mx include:gone.cz -all", "", "v=spf1 mx -all"),
        ("v=spf1 mx include:empty.cz -all", "empty.cz TXT hello", "v=spf1 mx -all"),
        ("v=spf1 mx include:two.cz -all", "two.cz TXT v=spf1 -all\ntwo.cz TXT v=spf1 a -all", "v=spf1 mx -all"),
        ("v=spf1 mx redirect=gone.cz", "", "v=spf1 mx ~all"),
        ("v=spf1 mx include:other.cz -all", "other.cz TXT v=spf1 include:gone.cz -all", None),
        ("v=spf1 mx include:other.cz -all", "other.cz TXT v=spf1 rubbish -all", None),
    ],
)
def test_an_spf_record_that_cannot_be_used(spf: str, more: str, mended: str | None) -> None:
    found = judged(MX, f"firma.cz TXT {spf}", more)
    assert codes(found, "warning") == ["spf.syntax"] and value(found, "spf.syntax") == mended


def many(count: int) -> str:
    return "\n".join(f"n{number}.cz TXT v=spf1 ip4:192.0.2.{number} -all" for number in range(count))


@pytest.mark.parametrize(("count", "found"), [(10, []), (11, ["spf.lookups"]), (60, ["spf.lookups"])])
def test_ten_look_ups_and_no_more(count: int, found: list[str]) -> None:
    spf = " ".join(f"include:n{number}.cz" for number in range(count))
    assert codes(judged(MX, f"firma.cz TXT v=spf1 {spf} -all", many(count)), "warning") == found


@pytest.mark.parametrize(
    "more",
    ["a.cz TXT v=spf1 include:firma.cz -all", "a.cz TXT v=spf1 redirect=b.cz\nb.cz TXT v=spf1 include:a.cz -all"],
)
def test_a_record_that_leads_in_a_circle(more: str) -> None:
    finding = one(judged(MX, "firma.cz TXT v=spf1 include:a.cz -all", more), "spf.lookups")
    assert "circle" in finding.text and finding.level == "warning"


@pytest.mark.parametrize(("count", "found"), [(2, []), (3, ["spf.void-lookups"])])
def test_two_void_look_ups_and_no_more(count: int, found: list[str]) -> None:
    spf = " ".join(f"a:gone{number}.cz" for number in range(count))
    assert (
        codes(judged(MX, f"firma.cz TXT v=spf1 mx:gone.cz:9 {spf} -all".replace("mx:gone.cz:9 ", "")), "warning")
        == found
    )


@pytest.mark.parametrize(
    ("spf", "mended"),
    [
        ("v=spf1 mx +all", "v=spf1 mx ~all"),
        ("v=spf1 all", "v=spf1 ~all"),
        ("v=spf1 ip4:0.0.0.0/0 -all", "v=spf1 -all"),
        ("v=spf1 ip6:::/0 -all", "v=spf1 -all"),
        ("v=spf1 a/0 -all", "v=spf1 -all"),
        ("v=spf1 mx include:open.cz -all", "v=spf1 mx -all"),
        ("v=spf1 mx redirect=open.cz", "v=spf1 mx redirect=open.cz"),
    ],
)
def test_a_record_that_permits_everybody(spf: str, mended: str) -> None:
    found = judged(MX, f"firma.cz TXT {spf}", "firma.cz A 192.0.2.1", "open.cz TXT v=spf1 +all")
    assert "spf.allows-all" in codes(found, "warning") and "spf.ok" not in codes(found, "ok")
    if "redirect" not in spf:
        assert value(found, "spf.allows-all") == mended


def test_what_denies_everybody_permits_nobody() -> None:
    """An include of an open record behind a minus is no open record."""
    found = judged(MX, "firma.cz TXT v=spf1 -include:open.cz -ip4:0.0.0.0/0 mx -all", "open.cz TXT v=spf1 +all")
    assert not codes(found, "warning")


@pytest.mark.parametrize(
    ("spf", "mended"),
    [("v=spf1 mx ?all", "v=spf1 mx ~all"), ("v=spf1 mx", "v=spf1 mx ~all"), ("v=spf1 redirect=b.cz", None)],
)
def test_a_record_without_an_end(spf: str, mended: str | None) -> None:
    found = judged(MX, f"firma.cz TXT {spf}", "b.cz TXT v=spf1 a:mail.firma.cz")
    assert one(found, "spf.open-end").level == "hint" and value(found, "spf.open-end") == mended
    assert "spf.open-end" not in codes(judged(MX, "firma.cz TXT v=spf1 redirect=b.cz", "b.cz TXT v=spf1 -all"))


def test_ptr_is_a_hint_and_only_in_one_s_own_record() -> None:
    assert one(judged(MX, "firma.cz TXT v=spf1 ptr -all"), "spf.ptr").level == "hint"
    other = judged(MX, "firma.cz TXT v=spf1 include:o.cz -all", "o.cz TXT v=spf1 ptr -all")
    assert "spf.ptr" not in codes(other)


@pytest.mark.parametrize(
    ("spf", "more", "code"),
    [
        ("v=spf1 mx -all", "", "spf.sender-missing"),
        (
            "v=spf1 a mx include:o.cz ~all",
            "o.cz TXT v=spf1 ip4:198.51.100.0/24 -all\nfirma.cz A 192.0.2.1",
            "spf.sender-missing",
        ),
        ("v=spf1 include:o.cz -all", "o.cz TXT v=spf1 include:_spf.google.com -all", "spf.ok"),
        ("v=spf1 redirect=o.cz", "o.cz TXT v=spf1 include:_spf.google.com -all", "spf.ok"),
        ("v=spf1 ip4:74.125.0.0/17 ip4:74.125.128.0/17 ip6:2001:4860::/32 -all", "", "spf.ok"),
        ("v=spf1 ip4:74.125.0.0/16 -all", "", "spf.sender-unknown"),
        ("v=spf1 ip4:74.125.0.0/17 ip6:2001:4860::/32 -all", "", "spf.sender-unknown"),
        ("v=spf1 ip4:74.125.7.0/24 -all", "", "spf.sender-unknown"),
        ("v=spf1 exists:%{i}.o.cz -all", "", "spf.sender-unknown"),
        ("v=spf1 include:%{d}.o.cz -all", "", "spf.sender-unknown"),
        ("v=spf1 ptr -all", "", "spf.sender-unknown"),
        ("v=spf1 ?include:_spf.google.com -all", "", "spf.sender-unknown"),
    ],
)
def test_whether_the_sender_is_permitted(spf: str, more: str, code: str) -> None:
    found = judged(MX, f"firma.cz TXT {spf}", more, KEY, via="google")
    assert one(found, code).level == {"spf.ok": "ok", "spf.sender-unknown": "hint"}.get(code, "warning")
    assert ("spf.sender-missing" in codes(found)) == (code == "spf.sender-missing")


def test_the_record_that_is_there_is_merged_never_a_second() -> None:
    found = judged(MX, "firma.cz TXT v=spf1 a:mail.firma.cz mx -all", KEY, via="google")
    assert value(found, "spf.sender-missing") == "v=spf1 a:mail.firma.cz mx include:_spf.google.com -all"


@pytest.mark.parametrize("end", ["?all", ""])
def test_two_things_that_are_wrong_with_a_record_are_mended_by_one(end: str) -> None:
    found = judged(MX, f"firma.cz TXT v=spf1 mx {end}", KEY, via="google")
    assert value(found, "spf.open-end") == value(found, "spf.sender-missing")
    assert value(found, "spf.open-end") == "v=spf1 mx include:_spf.google.com ~all"


def test_no_record_is_offered_that_would_not_count() -> None:
    spf = " ".join(f"include:n{number}.cz" for number in range(10))
    found = judged(MX, f"firma.cz TXT v=spf1 {spf} -all", many(10), KEY, via="google")
    finding = one(found, "spf.sender-missing")
    assert finding.record is None and "11 look-ups" in finding.remedies[0]


def test_who_sends_is_not_judged_where_nobody_knows() -> None:
    found = judged(MX, "firma.cz TXT v=spf1 mx -all")
    assert found.via is None and codes(found, "warning") == []
    assert codes(judged(MX, "firma.cz TXT v=spf1 mx -all", via="mail.firma.cz"), "warning") == []


# -- DKIM -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "code", "level"),
    [
        (dkim(), "dkim.ok", "ok"),
        (dkim(1024), "dkim.key-short", "hint"),
        (dkim(512 + 256), "dkim.key-short", "warning"),
        ("v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", "dkim.ok", "ok"),
        ("v=DKIM1; p=", "dkim.revoked", "warning"),
        ("v=DKIM1; k=rsa; p=MIIBIjAN", "dkim.broken", "warning"),
        (f"{dkim()}; t=y", "dkim.testing", "hint"),
        ("v=spf1 -all", "dkim.missing", "warning"),  # a wildcard's record
    ],
)
def test_a_dkim_key(key: str, code: str, level: str) -> None:
    found = judged(MX, SPF, DMARC, f"google._domainkey.firma.cz TXT {key}", via="google")
    assert one(found, code).level == level
    assert one(found, code).record is None, "the provider makes it"


def test_no_dkim_key_where_its_name_is_known_says_where_the_switch_is() -> None:
    assert "admin.google.com" in one(judged(MX, SPF, via="google"), "dkim.missing").remedies[0]
    assert "security.microsoft.com" in one(judged(MX, SPF, via="microsoft"), "dkim.missing").remedies[0]


def test_one_of_two_selectors_that_works_is_enough() -> None:
    records = ["firma.cz TXT v=spf1 include:spf.protection.outlook.com -all", DMARC]
    for key in ("v=DKIM1; p=", f"v=DKIM1; t=y; {dkim()[9:]}", "v=DKIM1; p=????", dkim(768)):
        keys = [f"selector1._domainkey.firma.cz TXT {key}", f"selector2._domainkey.firma.cz TXT {dkim()}"]
        found = judged(MX, *records, *keys, via="microsoft")
        assert found.verdict == "good" and one(found, "dkim.ok").values["selector"] == "selector2"


def test_keys_of_hosters_may_have_other_names() -> None:
    for via in ("smtp.forpsi.com", "wes1-smtp.wedos.net", None):
        assert one(judged(MX, "firma.cz TXT v=spf1 mx -all", via=via), "dkim.selector-unknown").level == "hint"


def test_where_the_names_of_a_hoster_s_keys_are_not_known_none_is_looked_for() -> None:
    key = f"mail._domainkey.firma.cz TXT {dkim()}"
    finding = one(judged(MX, "firma.cz TXT v=spf1 mx -all", key, via="smtp.websupport.sk"), "dkim.selector-unknown")
    assert finding.level == "hint" and "cannot be told from outside" in finding.text
    assert "není známo" in finding.say("cs")


# -- DMARC ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dmarc", "code", "level"),
    [
        ("v=DMARC1; p=reject", "dmarc.ok", "ok"),
        ("v=DMARC1;p=quarantine;sp=none;np=reject", "dmarc.ok", "ok"),
        ("v=DMARC1; p=none; rua=mailto:d@firma.cz", "dmarc.none", "hint"),
        ("v=DMARC1", "dmarc.none", "hint"),
        ("v=DMARC1; p=reject; t=y", "dmarc.testing", "hint"),
        ("v=DMARC1; p=reject; pct=50", "dmarc.testing", "hint"),
        ("v=DMARC1; p=enforce", "dmarc.syntax", "warning"),
        ("v=DMARC; p=reject", "dmarc.syntax", "warning"),
        ("v=spf1 -all", "dmarc.missing", "hint"),
    ],
)
def test_a_dmarc_record(dmarc: str, code: str, level: str) -> None:
    found = judged(GOOD.replace(DMARC, f"_dmarc.firma.cz TXT {dmarc}"))
    assert one(found, code).level == level


def test_dmarc_records_are_mended_and_begun() -> None:
    def written(dmarc: str, code: str) -> str | None:
        return value(judged(GOOD.replace(DMARC, f"_dmarc.firma.cz TXT {dmarc}" if dmarc else "")), code)

    assert written("", "dmarc.missing") == "v=DMARC1; p=none"
    assert written("v=DMARC1; p=all; rua=mailto:a@b.cz", "dmarc.syntax") == "v=DMARC1; rua=mailto:a@b.cz"
    assert written("v=DMARC1; pct=10; p=reject", "dmarc.testing") == "v=DMARC1; p=reject"
    assert written("v=DMARC1; t=y; p=reject", "dmarc.testing") == "v=DMARC1; p=reject"


def test_several_dmarc_records() -> None:
    found = judged(GOOD, "_dmarc.firma.cz TXT v=DMARC1; p=reject")
    assert one(found, "dmarc.multiple").level == "warning"


def test_the_record_of_the_organisation_counts_for_its_subdomains() -> None:
    below = "mail.firma.cz MX 1 smtp.google.com\nmail.firma.cz TXT v=spf1 include:_spf.google.com ~all"
    key = f"google._domainkey.mail.firma.cz TXT {dkim()}"
    for dmarc, code in (("p=reject", "dmarc.ok"), ("p=reject; sp=none", "dmarc.none")):
        found = judged(below, key, f"_dmarc.firma.cz TXT v=DMARC1; {dmarc}", domain="mail.firma.cz")
        assert one(found, code).values["location"] == "_dmarc.firma.cz"


# -- what speaks for the domain ---------------------------------------------------------------------------------------


def test_neither_spf_nor_dkim_speaks_for_it() -> None:
    nothing = [MX, "firma.cz TXT v=spf1 mx -all"]
    assert one(judged(*nothing, via="google"), "dmarc.missing").level == "warning"
    found = judged(*nothing, DMARC, via="google")
    assert one(found, "dmarc.unaligned").level == "warning"
    assert one(judged(*nothing, DMARC, KEY, via="google"), "dmarc.ok").level == "ok", "DKIM does"
    assert one(judged(MX, SPF, DMARC, via="google"), "dmarc.ok").level == "ok", "SPF does"


def account(**settings: Any) -> franking.Account:
    given = {"host": "smtp.gmail.com", "port": 587, "username": "info@jina.cz", **settings}
    return franking.Account(**{"name": "shop", "provider": "smtp", "sender": "info@firma.cz", **given})


def test_the_login_is_of_another_domain() -> None:
    found = judged(MX, "firma.cz TXT v=spf1 mx -all", DMARC, account=account())
    assert one(found, "domain.other-than-account").level == "warning" and found.account == "shop"
    assert found.via == "google"
    assert "domain.other-than-account" not in codes(judged(GOOD, account=account())), "it is proved all the same"
    for login in ("info@firma.cz", "info@mail.firma.cz", "info", None):
        found = judged(MX, "firma.cz TXT v=spf1 mx -all", DMARC, account=account(username=login))
        assert "domain.other-than-account" not in codes(found)
    below = account(sender="info@mail.firma.cz", username="info@firma.cz")
    found = judged("mail.firma.cz MX 10 mail.firma.cz\nmail.firma.cz TXT v=spf1 mx -all", account=below)
    assert "spf.sender-missing" in codes(found) and "domain.other-than-account" not in codes(found)


def test_the_best_mail_server_is_named_first() -> None:
    found = judged("firma.cz MX 20 second.cz\nfirma.cz MX 10 first.cz\nfirma.cz MX 30 third.cz", SPF)
    assert one(found, "mx.ok").values["hosts"] == "first.cz, second.cz, third.cz"


def test_an_account_that_is_in_a_hurry_waits_no_longer_for_dns() -> None:
    given: list[float] = []

    class Asked:
        def resolve(self, *_: Any, lifetime: float, **__: Any) -> Any:
            given.append(lifetime)
            raise dns.resolver.NoAnswer

    check_account(account(timeout=0.5), resolver=Asked())
    assert given and max(given) <= 0.5


def test_a_mailbox_of_a_service_sent_through_another_one() -> None:
    other = account(sender="jan@seznam.cz", username="jan@firma.cz")
    assert codes(judged(MX, account=other)) == ["domain.other-than-account"]
    own = account(sender="jan@seznam.cz", host="smtp.seznam.cz", port=465, username="jan@seznam.cz")
    assert codes(judged(MX, account=own)) == []


@pytest.mark.parametrize(
    ("made", "via"),
    [
        (lambda: account(host="smtp.forpsi.com"), "smtp.forpsi.com"),
        (lambda: account(host="SMTP.Office365.com."), "microsoft"),
        (lambda: account(host="mail.firma.cz"), "google"),  # by the MX
        (lambda: account(host="127.0.0.1", security="starttls"), "google"),
        (lambda: account(host="smtp.sendgrid.net"), None),
        (lambda: franking.Account(name="g", provider="gmail", sender="a@firma.cz", client_secrets="x.json"), "google"),
        (lambda: franking.Account(name="o", provider="outlook", sender="a@firma.cz", client_id="x"), "microsoft"),
        (lambda: franking.Account(name="f", provider="file", sender="a@firma.cz", path="/tmp/x"), None),
    ],
)
def test_who_sends_for_an_account(made: Callable[[], franking.Account], via: str | None) -> None:
    assert judged(GOOD, account=made()).via == via
    assert judged(GOOD, account=made(), via="smtp.forpsi.com").via == "smtp.forpsi.com"


def test_a_word_behind_via_that_means_nobody() -> None:
    with pytest.raises(franking.SettingsError, match="google, microsoft"):
        judged(GOOD, via="gogle")


# -- words ------------------------------------------------------------------------------------------------------------


def templates(words: dict[str, Any]) -> list[str]:
    """Return every text of a finding, the choices of a list one by one."""
    texts = [words["text"], *words.get("remedies", ())]
    return [one for text in texts for one in ([text] if isinstance(text, str) else text)]


def test_every_finding_has_its_czech_twin_with_the_same_values() -> None:
    english, czech = (
        tomllib.loads((FOLDER / f"trust.{name}.toml").read_text(encoding="utf-8")) for name in ("en", "cs")
    )
    assert [*czech] == [*english]
    for code, words in english.items():
        ours, theirs = templates(words), templates(czech[code])
        assert len(ours) == len(theirs), code
        for one, twin in zip(ours, theirs, strict=True):
            assert sorted(re.findall(r"\{\??\w+\}", one)) == sorted(re.findall(r"\{\??\w+\}", twin)), twin
            assert not re.search(r"(?<![\w{])[kosuvzKOSUVZ] (?=\w)", twin), twin


def test_where_signing_is_switched_on_is_told_in_czech_too() -> None:
    facts = [each.facts.sending for each in providers()] + [service.sending for service in table().services]
    switches = [each.switch for each in facts if each and each.switch]
    assert len(switches) > 5 and all(said(text, "cs") != text for text in switches)
