"""The questions of one check: each asked once, at most thirty, and in time whatever the name servers do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dns.nameserver
import dns.resolver
import pytest

from franking.discovery import domain_check
from franking.discovery.domain_check import check_domain
from franking.discovery.lookup import Resolver
from franking.discovery.trust import questions
from franking.discovery.trust.questions import Answer, Questions
from servers.dns import DnsServer
from servers.zones import PROVIDERS, dkim, zone

DEEP = f"""
firma.cz MX 1 smtp.google.com
firma.cz TXT v=spf1 include:a.cz -all
a.cz TXT v=spf1 include:b.cz -all
b.cz TXT v=spf1 include:c.cz -all
c.cz TXT v=spf1 include:_spf.google.com -all
google._domainkey.firma.cz TXT {dkim()}
_dmarc.firma.cz TXT v=DMARC1; p=reject
"""


@pytest.fixture
def living() -> Iterator[DnsServer]:
    with DnsServer(zone(PROVIDERS, DEEP)) as server:
        yield server


@pytest.fixture
def dead() -> Iterator[DnsServer]:
    """A name server that says nothing to any question."""
    with DnsServer(zone("x.cz A 192.0.2.1")) as server:
        server.mute = True
        yield server


def both(*servers: DnsServer) -> dns.resolver.Resolver:
    """Return a resolver that knows several name servers, as from a system's settings."""
    made = dns.resolver.Resolver(configure=False)
    made.nameservers = [dns.nameserver.Do53Nameserver("127.0.0.1", server.port) for server in servers]
    return made


def test_one_dead_name_server_of_two_costs_a_moment_once(
    living: DnsServer, dead: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check needs five rounds of questions here: with each of them waiting for the dead one nothing would be known
    when its time is up.
    """
    monkeypatch.setattr(questions, "HEAD_START", 1.5)  # a busy machine answers within that too
    found = check_domain("firma.cz", resolver=both(dead, living), timeout=60.0)
    assert found.verdict == "good" and [finding.level for finding in found.findings] == ["ok"] * 4
    assert 0 < len(set(dead.asked)) < len(set(living.asked)), "asked once, and not again"


def test_the_second_is_not_asked_where_the_first_lives(living: DnsServer, dead: DnsServer) -> None:
    assert check_domain("firma.cz", resolver=both(living, dead), timeout=60.0).verdict == "good"
    assert questions.HEAD_START * 5 < domain_check.TIMEOUT == 3.0


def test_one_that_refuses_gives_way_at_once(living: DnsServer) -> None:
    names = {"firma.cz", "_dmarc.firma.cz", "_dmarc.cz", "google._domainkey.firma.cz", "a.cz"}
    with DnsServer(zone("x.cz A 192.0.2.1"), broken=names) as broken:
        found = check_domain("firma.cz", resolver=both(broken, living), timeout=60.0)
    assert found.verdict == "good"


def test_nobody_answers(dead: DnsServer) -> None:
    found = check_domain("firma.cz", resolver=both(dead, dead), timeout=0.2)
    assert found.verdict == "unknown"
    assert [finding.code for finding in found.findings if finding.level == "unknown"] == ["dns.unavailable"]
    assert not [finding for finding in found.findings if finding.level == "warning"]


def test_a_slow_one_is_waited_for_until_the_time_is_up(living: DnsServer) -> None:
    class Slow:
        """Answers nobody who waits for less than a second."""

        def resolve(self, name: str, kind: str, *, lifetime: float, search: bool) -> Any:
            if lifetime < 1.0:
                raise dns.resolver.LifetimeTimeout(timeout=lifetime, errors=[])
            return living.resolver.resolve(name, kind, lifetime=60, search=False)

    slow = Slow()
    asked = Questions(lambda: slow, timeout=60.0)
    assert asked.texts("firma.cz")[0].values
    asked = Questions(lambda: slow, timeout=0.5)
    assert asked.texts("firma.cz") == [Answer(problem="timeout")]
    assert asked.failed == ("firma.cz",)


def test_no_name_server_at_all() -> None:
    def none() -> Resolver:
        raise dns.resolver.NoResolverConfiguration

    asked = Questions(none, timeout=60.0)
    (answer,) = asked.texts("firma.cz")
    assert answer.unknown and asked.failed == ("firma.cz",)


def test_thirty_questions_and_no_more(living: DnsServer) -> None:
    asked = Questions(lambda: living.resolver, timeout=60.0, limit=3)
    names = ("a.cz", "b.cz", "a.cz", "c.cz", "firma.cz")
    answers = asked.texts(*names)
    assert [bool(answer.values) for answer in answers] == [True, True, True, True, False]
    assert answers[-1].problem == "unasked" and "firma.cz" not in asked.failed
    assert asked.texts("a.cz")[0].values, "known already"
    assert {name for name, _ in living.asked} == {"a.cz", "b.cz", "c.cz"}


@pytest.mark.parametrize("mechanism", ["a", "mx", "include", "exists", "ptr", "redirect"])
def test_a_record_that_would_ask_for_hundreds_of_names(mechanism: str) -> None:
    sign = "=" if mechanism == "redirect" else ":"
    terms = " ".join(f"{mechanism}{sign}n{number}.firma.cz" for number in range(1 if sign == "=" else 200))
    hosts = [f"n{number}.firma.cz MX {host} h{host}.n{number}.firma.cz" for number in range(10) for host in range(9)]
    with DnsServer(zone(PROVIDERS, f"firma.cz MX 1 m.cz\nfirma.cz TXT v=spf1 {terms} -all", *hosts)) as server:
        check_domain("firma.cz", via="google", resolver=server.resolver, timeout=60.0)
        assert len(set(server.asked)) <= 30


def test_mx_hosts_that_are_too_many_to_ask_for_are_not_understood() -> None:
    hosts = [f"firma.cz MX {host} h{host}.cz\nh{host}.cz A 192.0.2.{host}" for host in range(40)]
    with DnsServer(zone(PROVIDERS, "firma.cz TXT v=spf1 mx -all", *hosts)) as server:
        found = check_domain("firma.cz", via="google", resolver=server.resolver, timeout=60.0)
        assert len(set(server.asked)) <= 30
    told = [finding.code for finding in found.findings]
    assert "spf.sender-unknown" in told and "dns.unavailable" not in told


def test_names_that_no_name_can_be() -> None:
    long = ".".join(["x" * 63] * 4) + ".cz"
    with DnsServer(zone(f"firma.cz TXT v=spf1 include:{long} include:a..b -all")) as server:
        found = check_domain("firma.cz", resolver=server.resolver, timeout=60.0)
    assert "spf.syntax" in [finding.code for finding in found.findings]
