"""The probe against real mail servers: what it says is what they offer."""

from __future__ import annotations

from franking.discovery.probe import advice, probe_ports
from servers.daemon import Certificates
from servers.dovecot import Dovecot
from servers.exim import Exim
from servers.opensmtpd import OpenSMTPD
from servers.postfix import SIZE_LIMIT, Postfix


def test_postfix(postfix: Postfix, certificates: Certificates) -> None:
    ports = ((postfix.plain_port, "starttls"), (postfix.port, "starttls"), (postfix.tls_port, "tls"))
    found = probe_ports("localhost", ports=ports, ca_file=str(certificates.ca))
    assert [(one.port, one.security, one.trusted) for one in found] == [
        (postfix.tls_port, "tls", True),
        (postfix.port, "starttls", True),
        (postfix.plain_port, "none", None),
    ]
    assert {one.size for one in found} == {SIZE_LIMIT}
    assert "PLAIN" in found[0].auth
    assert str(postfix.tls_port) in advice(found)


def test_dovecot(dovecot: Dovecot, certificates: Certificates) -> None:
    found = probe_ports(
        "localhost", ports=((dovecot.port, "starttls"), (dovecot.tls_port, "tls")), ca_file=str(certificates.ca)
    )
    assert [(one.port, one.usable) for one in found] == [(dovecot.tls_port, True), (dovecot.port, True)]
    assert {"PLAIN", "XOAUTH2", "OAUTHBEARER"} <= set(found[0].auth)


def test_exim(exim: Exim, certificates: Certificates) -> None:
    found = probe_ports(
        "localhost", ports=((exim.port, "starttls"), (exim.tls_port, "tls")), ca_file=str(certificates.ca)
    )
    assert [one.usable for one in found] == [True, True]
    assert found[0].size


def test_opensmtpd(opensmtpd: OpenSMTPD, certificates: Certificates) -> None:
    found = probe_ports("localhost", ports=((opensmtpd.port, "starttls"),), ca_file=str(certificates.ca))
    assert (found[0].usable, found[0].security) == (True, "none")  # it is set up without a certificate


def test_without_their_certificate_authority_none_is_trusted(postfix: Postfix) -> None:
    found = probe_ports("localhost", ports=((postfix.port, "starttls"), (postfix.tls_port, "tls")))
    assert [(one.answers, one.trusted, one.usable) for one in found] == [(True, False, False)] * 2
    assert "cannot be trusted" in found[0].problem
