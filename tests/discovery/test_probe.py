"""The probe against scripted servers: what answers, how it is ranked, and what it says in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from franking.discovery.probe import PORTS, Probed, advice, probe_ports, rank
from franking.errors import SettingsError
from servers.ports import closed_port
from servers.smtp import Fault, SmtpServer, silence
from servers.web import Authority

USERS = {"jana": "secret"}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def closed() -> int:
    return closed_port()


def test_all_ports_are_tried_and_ranked(authority: Authority, closed: int) -> None:
    context = authority.context("localhost")
    with (
        SmtpServer(users=USERS, context=context, implicit_tls=True) as tls,
        SmtpServer(users=USERS, context=context, plain_auth=False) as starttls,
        SmtpServer() as plain,
    ):
        ports = ((plain.port, "starttls"), (closed, "starttls"), (starttls.port, "starttls"), (tls.port, "tls"))
        found = probe_ports("localhost", ports=ports, ca_file=authority.ca_file)
        heard = [
            line.upper() for server in (tls, starttls, plain) for session in server.sessions for line in session.lines
        ]
    assert [(one.port, one.security) for one in found] == [
        (tls.port, "tls"),
        (starttls.port, "starttls"),
        (plain.port, "none"),
        (closed, "starttls"),
    ]
    assert [one.answers for one in found] == [True, True, True, False]
    assert [one.trusted for one in found] == [True, True, None, None]
    assert found[0].auth == ("PLAIN", "LOGIN")
    assert found[0].size == 52428800
    assert found[0].tls.startswith("TLS 1.")
    assert "refused" in found[3].problem
    assert (
        advice(found)
        == f"Use port {tls.port} with TLS from the first byte (often called SSL); it takes a login with PLAIN, LOGIN."
    )
    assert not [line for line in heard if line.split()[0] not in ("EHLO", "STARTTLS", "QUIT")], "a probe only greets"


@pytest.mark.parametrize("case", ["stranger", "expired", "unknown CA"])
def test_a_certificate_that_is_not_to_be_trusted(case: str, authority: Authority, tmp_path: Path) -> None:
    context = (
        authority.context("stranger.example")
        if case == "stranger"
        else authority.context("localhost", expired=case == "expired")
    )
    with SmtpServer(users=USERS, context=context, implicit_tls=True) as tls, SmtpServer(users=USERS) as plain:
        ca_file = None if case == "unknown CA" else authority.ca_file
        found = probe_ports("localhost", ports=((tls.port, "tls"), (plain.port, "starttls")), ca_file=ca_file)
    bad = next(one for one in found if one.port == tls.port)
    assert (bad.answers, bad.trusted, bad.usable) == (True, False, False)
    assert bad.problem
    assert found[0].port == plain.port
    assert "without encryption" in advice(found)
    assert "not so that it can be used" in advice([bad])


def test_nothing_answers(closed: int) -> None:
    found = probe_ports("localhost", ports=((closed, "tls"),))
    assert not found[0].usable
    assert "None of the ports answered" in advice(found)


def test_a_server_that_says_nothing_ends_at_the_deadline() -> None:
    with SmtpServer(faults=[Fault("greet", silence)]) as mute:
        found = probe_ports("localhost", ports=((mute.port, "starttls"),), timeout=0.3)
    assert not found[0].answers
    assert found[0].problem


def test_plain_speech_on_a_port_for_tls(authority: Authority) -> None:
    with SmtpServer() as plain:
        found = probe_ports("localhost", ports=((plain.port, "tls"),), ca_file=authority.ca_file)
    assert not found[0].usable


def test_no_login_is_said(authority: Authority) -> None:
    with SmtpServer(context=authority.context("localhost"), implicit_tls=True) as tls:
        found = probe_ports("localhost", ports=((tls.port, "tls"),), ca_file=authority.ca_file)
    assert advice(found).endswith("it offers no login.")


@pytest.mark.parametrize("host", ["me@example.com", "a b", "evil\r\nhost", "me@smtp.example.com"])
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(SettingsError):
        probe_ports(host)


def test_a_typed_port_is_tried_too() -> None:
    with SmtpServer() as plain:
        found = probe_ports(f"127.0.0.1:{plain.port}", timeout=5)
    assert {one.port for one in found} == {plain.port, *dict(PORTS)}
    assert next(one for one in found if one.port == plain.port).answers


@pytest.mark.parametrize("implicit", [False, True])
def test_an_unusual_port_is_tried_both_ways_and_told_once(implicit: bool, authority: Authority) -> None:
    with SmtpServer(users=USERS, context=authority.context("localhost"), implicit_tls=implicit) as server:
        found = probe_ports(f"localhost:{server.port}", ca_file=authority.ca_file, timeout=2.0)
    assert [(one.security, one.usable) for one in found if one.port == server.port] == [
        ("tls" if implicit else "starttls", True)
    ]


def test_the_order_of_equals() -> None:
    found = [
        Probed(2525, "starttls", True, True, ("PLAIN",)),
        Probed(25, "none", True),
        Probed(25, "starttls", True, True),
        Probed(587, "starttls", True, True, ("PLAIN",)),
        Probed(465, "tls", True, True, ("PLAIN",)),
        Probed(465, "tls", True, False, problem="expired"),
        Probed(587, "starttls", False, problem="refused"),
    ]
    ranked = [(one.port, one.security, one.trusted) for one in sorted(found, key=rank)]
    assert ranked == [
        (465, "tls", True),
        (587, "starttls", True),
        (2525, "starttls", True),
        (25, "starttls", True),
        (25, "none", None),
        (465, "tls", False),
        (587, "starttls", None),
    ]


def test_the_json() -> None:
    value = Probed(465, "tls", True, True, ("PLAIN",), 100, "TLSv1.3").as_dict()
    assert value == {
        "port": 465,
        "security": "tls",
        "answers": True,
        "trusted": True,
        "auth": ["PLAIN"],
        "size": 100,
        "tls": "TLSv1.3",
        "problem": "",
    }


def test_encryption_counts_more_than_a_login() -> None:
    plain, encrypted = Probed(587, "none", True, None, ("PLAIN",)), Probed(465, "tls", True, True)
    assert sorted([plain, encrypted], key=rank) == [encrypted, plain]
