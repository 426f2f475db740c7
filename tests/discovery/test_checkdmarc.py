"""200 zones on a name server on loopback, judged beside checkdmarc: whether there is SPF and whether it is valid, its
look-ups and void ones, where DMARC was found, whether it is valid and what it asks for, and MX. Where the two differ
the reason stands in ``DIFFERENT``.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from franking.discovery.domain_check import check_domain
from franking.discovery.trust import dmarc
from franking.discovery.trust.questions import Questions
from franking.discovery.trust.spf import MAX_VOIDS, follow
from servers.dns import DnsServer
from servers.zones import PROVIDERS, dkim, zone

pytestmark = pytest.mark.matrix

checkdmarc = pytest.importorskip("checkdmarc", reason="needs checkdmarc: pip install 'franking[test]'")

SPF = (
    "v=spf1 -all",
    "v=spf1 mx ~all",
    "v=spf1 a mx -all",
    "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 ?all",
    "v=spf1 include:_spf.google.com ~all",
    "v=spf1 a mx include:_spf.forpsi.com -all",
    "v=spf1 a include:_spf.we.wedos.net include:_spf.google.com -all",
    "v=spf1 redirect=_spf.DOMAIN",
    "v=spf1 include:two.DOMAIN -all",
    "v=spf1 a:gone1.DOMAIN a:gone2.DOMAIN -all",
    "v=spf1 a:gone1.DOMAIN a:gone2.DOMAIN mx:gone3.DOMAIN -all",
    "v=spf1 include:gone.DOMAIN -all",
    "v=spf1 include:empty.DOMAIN -all",
    "v=spf1 include:loop.DOMAIN -all",
    "v=spf1 +all",
    "v=spf1 all",
    "v=spf1 exists:%{i}._spf.DOMAIN -all",
    "v=spf1 ptr -all",
    "v=spf1 a:mail.DOMAIN/24 mx/24 -all",
    "v=spf1 ip4:192.0.2 -all",
    "v=spf1 ip4:192.0.2.0/33 -all",
    "v=spf1 inlcude:_spf.google.com -all",
    "v=spf1 a redirect=one.DOMAIN redirect=two.DOMAIN",
    "v=spf1 exists:%{y} -all",
    "v=spf1 " + " ".join(f"include:n{number}.DOMAIN" for number in range(10)) + " -all",
    "v=spf1 " + " ".join(f"include:n{number}.DOMAIN" for number in range(11)) + " -all",
    "v=spf1 include:two.DOMAIN include:two.DOMAIN include:two.DOMAIN a mx ptr -all",
    "v=spf1 include:deep.DOMAIN ~all",
    "v=spf1 foo=bar exp=explain.%{d} -all",
    "v=spf1 -all nonsense",
    "v=spf1",
    "v=spf10 -all",
    "",
)
DMARC = (
    "v=DMARC1; p=none",
    "v=DMARC1; p=quarantine; sp=reject",
    "v=DMARC1; p=reject; np=none; t=y",
    "v=DMARC1;p=reject;pct=50",
    "v=DMARC1",
    "v=DMARC1; p=enforce",
    "v=DMARC1; p=none; sp=some",
    "v=DMARC1; p=none | v=DMARC1; p=reject",
    "",
    "parent: v=DMARC1; p=reject; sp=quarantine",
)
MX = ("10 mail.DOMAIN", "20 b.DOMAIN\n10 mail.DOMAIN", "0 .", "1 smtp.google.com", "")

DIFFERENT = {
    ("valid", "v=spf1 -all nonsense"): "an error anywhere in the record is one (RFC 7208 §4.6), behind all too",
    ("voids", "0 ."): "a null MX is a record, so the look-up is not void (RFC 7208 §4.6.4)",
}
"""What differs, and why ours is right."""


def below(domain: str) -> str:
    """Return what the records of a domain lead to."""
    many = "\n".join(f"n{number}.DOMAIN TXT v=spf1 ip4:192.0.2.{number} -all" for number in range(11))
    text = f"""
    DOMAIN A 192.0.2.10
    mail.DOMAIN A 192.0.2.25
    b.DOMAIN AAAA 2001:db8::25
    one.DOMAIN TXT v=spf1 a:mail.DOMAIN -all
    two.DOMAIN TXT v=spf1 include:one.DOMAIN -all
    deep.DOMAIN TXT v=spf1 include:two.DOMAIN a:gone.DOMAIN -all
    loop.DOMAIN TXT v=spf1 include:DOMAIN -all
    empty.DOMAIN TXT hello
    _spf.DOMAIN TXT v=spf1 mx:DOMAIN a:mail.DOMAIN ~all
    {many}
    """
    return text.replace("DOMAIN", domain)


def zones() -> list[tuple[str, str, str, str, str]]:
    """Return 200 zones: each SPF record six times, with whatever else; always the same ones."""
    chance = random.Random(7208)
    made = []
    for number in range(200):
        spf, mx = SPF[number % len(SPF)], MX[number % len(MX)]
        asked = DMARC[number % len(DMARC)] if number < 100 else chance.choice(DMARC)
        domain = f"d{number}.test" if not asked.startswith("parent") else f"mail{number}.d{number}.test"
        records = [below(domain)]
        if spf:
            records.append(f"{domain} TXT {spf.replace('DOMAIN', domain)}")
        if number % 40 == 39:
            records.append(f"{domain} TXT v=spf1 a -all")  # a second one
        records += [f"{domain} MX {line}" for line in mx.replace("DOMAIN", domain).splitlines()]
        at = domain.partition(".")[2] if asked.startswith("parent") else domain
        texts = asked.removeprefix("parent: ").split(" | ") if asked else []
        records += [f"_dmarc.{at} TXT {text}" for text in texts]
        if number % 3 == 0:
            records.append(f"google._domainkey.{domain} TXT {dkim()}")
        made.append((domain, spf, asked, mx, "\n".join(records)))
    return made


def ours(domain: str, server: DnsServer) -> dict[str, Any]:
    questions = Questions(lambda: server.resolver, timeout=60.0, limit=30)
    mx, texts = questions.ask((domain, "MX"), (domain, "TXT"))
    spf = follow(domain, texts, questions)
    names = dmarc.names(domain)
    found = dmarc.find(domain, dict(zip(names, questions.texts(*(f"_dmarc.{name}" for name in names)), strict=True)))
    told: dict[str, Any] = {
        "present": bool(spf.texts),
        "valid": not spf.problem,
        "dmarc": found.problem not in ("missing", "multiple"),
        "location": found.location if found.problem not in ("missing", "multiple") else None,
        "dmarc valid": not found.problem,
        "p": (found.tags or {}).get("p", "none").lower() if not found.problem else None,
        "mx": sorted(filter(None, mx.values)),  # a null MX names nobody
    }
    if not spf.problem:
        told |= {"lookups": spf.lookups, "voids": spf.voids}
    assert spf.problem != "void-lookups" or spf.voids > MAX_VOIDS
    return told


def theirs(domain: str, server: DnsServer) -> dict[str, Any]:
    options: dict[str, Any] = {"resolver": server.resolver, "timeout": 30.0, "retries": 0}
    spf = checkdmarc.spf.check_spf(domain, **options)
    found = checkdmarc.dmarc.check_dmarc(domain, ignore_unrelated_records=True, **options)
    mx = checkdmarc.utils.get_mx_records(domain, **options)
    told: dict[str, Any] = {
        "present": spf["record"] is not None or "multiple" in str(spf.get("error", "")),
        "valid": spf["valid"],
        "dmarc": found["record"] is not None,
        "location": found["location"],
        "dmarc valid": found["valid"],
        "p": found["tags"]["p"]["value"] if found["valid"] else None,
        "mx": sorted(host["hostname"].rstrip(".") for host in mx),
    }
    if spf["valid"]:
        told |= {"lookups": spf["dns_lookups"], "voids": spf["void_dns_lookups"]}
    return told


def test_200_zones_beside_checkdmarc() -> None:
    different: dict[str, list[str]] = {}
    every = zones()
    with DnsServer(zone(PROVIDERS, *(records for *_, records in every))) as server:
        for domain, spf, asked, mx, _ in every:
            mine, other = ours(domain, server), theirs(domain, server)
            for key in mine:
                if mine[key] != other.get(key) and not {(key, spf), (key, asked), (key, mx)} & DIFFERENT.keys():
                    different.setdefault(key, []).append(
                        f"{domain} {spf!r} {asked!r}: {mine[key]!r}, {other.get(key)!r}"
                    )
    assert len(every) == 200
    assert not different, "\n".join(line for key, found in different.items() for line in (key, *found[:6]))


def test_the_check_itself_asks_at_most_thirty_questions_in_each_zone() -> None:
    every = zones()
    with DnsServer(zone(PROVIDERS, *(records for *_, records in every))) as server:
        for domain, *_ in every:
            server.asked.clear()
            found = check_domain(domain, via="google", resolver=server.resolver, timeout=60.0)
            assert len(set(server.asked)) <= 30
            for finding in found.findings:
                assert finding.level != "warning" or finding.remedies
