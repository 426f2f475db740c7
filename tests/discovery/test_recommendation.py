"""What a recommendation is to others: its JSON, its command, its words; how candidates are weighed."""

from __future__ import annotations

import json
import tomllib

import pytest

import franking
from franking.diagnosis.texts import FOLDER
from franking.discovery.input import parse_target
from franking.discovery.lookup import MAX_XML, LookupResult, LookupResults, Published, _autoconfig
from franking.discovery.recommend import _by_results
from franking.discovery.recommendation import Candidate, Recommender
from franking.registry import provider
from franking.smtp import services as known
from franking.smtp.services import Server, Service

NOTHING = LookupResult(problem="none")


def weighed(*candidates: Candidate, mx: LookupResult = NOTHING, srv: LookupResult = NOTHING) -> franking.Recommendation:
    results = LookupResults(mx=mx, srv=srv, autoconfig=NOTHING)
    return Recommender("me@firma.example", parse_target("me@firma.example"), "en").conclude([*candidates], results)


def service(source: str, name: str, *, certain: bool = False) -> Candidate:
    found = Service(name, (Server(f"smtp.{name.lower()}.example", 465, "tls"),))
    values = {"domain": "firma.example", "host": "smtp.example", "mx": "mx.example"}
    return Candidate(source, source, values, service=found, certain=certain)


def test_one_source_is_likely_two_that_agree_are_certain() -> None:
    assert weighed(service("srv", "A")).confidence == "likely"
    assert weighed(service("srv", "A"), service("srv", "A")).confidence == "likely", "the same source again"
    assert weighed(service("srv", "A"), service("autoconfig", "A")).confidence == "certain"
    assert weighed(service("srv", "A", certain=True)).confidence == "certain"


def test_the_first_is_recommended_and_another_makes_it_doubtful() -> None:
    found = weighed(service("srv", "A", certain=True), service("autoconfig", "A"), service("mx", "B"))
    assert (found.title, found.confidence) == ("A", "likely")
    assert found.settings["host"] == "smtp.a.example"
    assert len(found.warnings) == 1 and "B" in found.warnings[0]


@pytest.mark.parametrize("count", [8, 9, 12])
def test_eight_mx_names_are_shown_and_the_rest_is_counted(count: int) -> None:
    hosts = tuple(f"mx{number}.example" for number in range(count))
    shown = [finding.detail for finding in weighed(service("srv", "A"), mx=LookupResult(hosts=hosts)).evidence]
    assert [detail for detail in shown if detail.startswith("mx")] == [f"{host}: not known" for host in hosts[:8]]
    assert shown[8:] == ([f"and {count - 8} more"] if count > 8 else [])


def test_a_filter_beside_a_providers_mx_is_named_but_no_stranger() -> None:
    filtering = next(iter(known.table().filters)).lstrip(".")
    google = provider("gmail")
    mx = LookupResult(hosts=("aspmx.l.google.com", f"x.{filtering}"))
    found = weighed(Candidate("mx", "mx", {"domain": "firma.example", "mx": "x"}, google), mx=mx)
    assert [("filter" in warning, "belong" in warning) for warning in found.warnings] == [(True, False)]
    mixed = LookupResult(hosts=("aspmx.l.google.com", "mx.other.example"))
    found = weighed(Candidate("mx", "mx", {"domain": "firma.example", "mx": "x"}, google), mx=mixed)
    assert ["mx.other.example" in warning for warning in found.warnings] == [True]


def test_published_servers_are_told_with_their_port() -> None:
    srv = LookupResult(servers=(Published(Server("smtp.a.example", 465, "tls")),))
    details = [finding.detail for finding in weighed(service("srv", "A"), srv=srv).evidence]
    assert any(detail.startswith("smtp.a.example, port 465") for detail in details)


def test_the_json_has_the_keys_of_the_contract() -> None:
    for typed in ("me@gmail.com", "smtp.seznam.cz", "novak.cz", "10.0.0.1"):
        value = json.loads(json.dumps(franking.recommend(typed, offline=True).as_dict()))
        assert list(value) == ["input", "kind", "provider", "confidence", "reason", "evidence", "settings", "warnings"]
        assert list(value["settings"]) == ["route", "host", "port", "security", "username"]
        for clue in value["evidence"]:
            assert clue["source"] in ("host", "domain", "mx", "srv", "autoconfig", "known")


def test_the_command_is_quoted() -> None:
    assert franking.recommend("me@gmail.com", offline=True).command == "franking setup me@gmail.com"
    assert franking.recommend("o'hara;x@gmail.com", offline=True).command == "franking setup 'o'\"'\"'hara;x@gmail.com'"
    assert franking.recommend("smtp.gmail.com", offline=True).command == "franking setup --provider gmail"
    assert (
        franking.recommend("smtp.seznam.cz", offline=True).command
        == "franking setup --provider smtp --host smtp.seznam.cz"
    )


def test_every_text_is_used_and_every_remark_has_one() -> None:
    texts = tomllib.loads((FOLDER / "recommend.en.toml").read_text(encoding="utf-8"))
    remarks = {remark for service in known.table().services for remark in service.remarks}
    assert remarks <= set(texts["remark"])
    assert set(texts["remark"]) - remarks == {"oauth-possible"}


@pytest.mark.parametrize("language", ["xx", "EN", "en_GB", "", "../../etc/passwd", "\x00"])
def test_a_language_that_is_not_there_is_english(language: str) -> None:
    for typed in ("smtp.gmail.com", "me@seznam.cz", "me@nobody-knows.example"):
        assert franking.recommend(typed, offline=True, language=language) == franking.recommend(typed, offline=True)


def test_mx_is_trusted_more_than_srv_and_srv_more_than_published_settings() -> None:
    own = (Published(Server("smtp.own.example", 465, "tls")),)
    results = LookupResults(
        mx=LookupResult(hosts=("mx.other.example", "aspmx.l.google.com")),
        srv=LookupResult(servers=own),
        autoconfig=LookupResult(servers=own),
    )
    found = [*_by_results(parse_target("me@firma.example"), results)]
    assert [candidate.source for candidate in found] == ["mx", "srv", "autoconfig"]
    assert not found[0].certain, "one of the two servers is somebody else's"


def test_a_document_of_just_64_kib_is_read_and_a_longer_one_refused() -> None:
    start = (
        b"<clientConfig><outgoingServer type='smtp'><hostname>smtp.firma.example</hostname><port>465</port>"
        b"<socketType>SSL</socketType></outgoingServer><!--"
    )
    for size, problem in ((MAX_XML, ""), (MAX_XML + 1, "invalid")):
        document = start.ljust(size - 18, b"x") + b"--></clientConfig>"
        assert len(document) == size
        result = _autoconfig(lambda url, seconds, document=document: document, "https://x", "firma.example", 1.0)
        assert result.problem == problem
