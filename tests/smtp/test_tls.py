"""TLS of a connection: certificates, handshakes that end early, and what may not follow in plain text."""

from __future__ import annotations

import ssl
import sys
from pathlib import Path
from typing import Any

import pytest

from franking.errors import (
    TLSError,
)
from franking.net.tcp import Place
from franking.smtp import tls
from servers.certificates import Certificates
from servers.smtp import (
    Fault,
    hangs_up,
    resets,
    says,
    sends,
    silence,
)
from smtp.sessions import (
    Start,
    facts,
    failure,
)

CERTIFICATES = [
    ("expired", 10, "127.0.0.1"),
    ("not-yet", 9, "127.0.0.1"),
    ("self-signed", 18, "127.0.0.1"),
    ("stranger", 20, "127.0.0.1"),
    ("wrong-host", 64, "127.0.0.1"),
    ("wrong-host", 62, "localhost"),
]


if sys.version_info >= (3, 13):
    CERTIFICATES.append(("no-aki", 85, "127.0.0.1"))


@pytest.mark.parametrize(("kind", "code", "host"), CERTIFICATES)
@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_certificate_that_cannot_be_trusted(
    smtp_server: Start, certificates: Certificates, kind: str, code: int, host: str, security: str
) -> None:
    server = smtp_server(users={"jana": "Canary7"}, context=certificates.context(kind), implicit_tls=security == "tls")
    error = failure(server, "Canary7", security=security, ca_file=certificates.ca_file, host=host)
    assert facts(error) == ("TLSError", "tls", "certificate", False)
    assert error.evidence is not None
    assert error.evidence.details["verify_code"] == code
    assert error.evidence.details["verify_message"]
    names = error.evidence.details["names"]
    assert names == (["mail.elsewhere.test"] if kind == "wrong-host" else ["localhost", "127.0.0.1", "0:0:0:0:0:0:0:1"])
    assert (error.evidence.details["host"], error.evidence.details["security"]) == (host, security)
    heard = server.wait()
    assert heard.inside == b""
    if security == "starttls":
        assert heard.lines == ["EHLO [127.0.0.1]", "STARTTLS"]


def test_a_ca_is_needed_for_a_private_certificate(smtp_server: Start, certificates: Certificates) -> None:
    server = smtp_server(context=certificates.context("good"))
    assert facts(failure(server, security="starttls"))[2] == "certificate"


def test_starttls_that_is_not_offered_lets_nothing_leave(smtp_server: Start) -> None:
    server = smtp_server(users={"jana": "Canary7"})
    assert facts(failure(server, "Canary7", security="starttls")) == ("TLSError", "tls", "starttls-not-offered", False)
    assert server.wait().plain == b"EHLO [127.0.0.1]\r\n"


def test_text_injected_before_the_handshake_is_refused(smtp_server: Start, certificates: Certificates) -> None:
    server = smtp_server(
        context=certificates.context("good"),
        faults=[Fault("starttls", says("220 go", "250-AUTH PLAIN", "250 injected"))],
    )
    assert facts(failure(server, security="starttls", ca_file=certificates.ca_file))[2] == "plaintext-injected"


def test_half_a_line_injected_before_the_handshake_is_refused(smtp_server: Start, certificates: Certificates) -> None:
    server = smtp_server(context=certificates.context("good"), faults=[Fault("starttls", sends(b"220 go\r\n250 half"))])
    assert facts(failure(server, security="starttls", ca_file=certificates.ca_file))[2] == "plaintext-injected"


def test_starttls_that_cannot_be_done_now(smtp_server: Start, certificates: Certificates) -> None:
    server = smtp_server(
        context=certificates.context("good"), faults=[Fault("starttls", says("454 4.7.0 TLS not available"))]
    )
    assert facts(failure(server, security="starttls")) == ("TLSError", "tls", "starttls-refused", True)


def test_tls_spoken_to_a_plain_port(smtp_server: Start) -> None:
    error = failure(smtp_server(), security="tls")
    assert isinstance(error, TLSError)
    assert facts(error)[2] in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")


def test_plain_text_spoken_to_a_tls_port(smtp_server: Start, certificates: Certificates) -> None:
    server = smtp_server(context=certificates.context("good"), implicit_tls=True)
    assert facts(failure(server, timeout=0.2)) == ("ConnectTimeout", "greet", "timeout", True)


def resets_after_hello(peer: Any, reply: str) -> None:
    peer.sock.recv(4096)
    resets(peer, reply)


@pytest.mark.parametrize(
    ("act", "kind"), [(hangs_up, "TLSError"), (resets_after_hello, "TLSError"), (silence, "ConnectTimeout")]
)
def test_a_handshake_that_ends_early(smtp_server: Start, certificates: Certificates, act: Any, kind: str) -> None:
    server = smtp_server(context=certificates.context("good"), implicit_tls=True, faults=[Fault("handshake", act)])
    error = failure(server, security="tls", timeout=0.3)
    assert facts(error)[0::3] == (kind, True)
    assert error.step == "tls"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_versions_are_refused(smtp_server: Start, tmp_path: Path) -> None:
    context = Certificates(tmp_path).context("good")
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("ALL:@SECLEVEL=0")
    server = smtp_server(context=context, implicit_tls=True)
    assert isinstance(failure(server, security="tls"), TLSError)


def test_what_cannot_be_a_servers_name_is_no_network_failure() -> None:
    place = Place("x.test", 465, "tls")
    error = tls.failure(ValueError("server_hostname cannot be an empty string"), place, None)
    assert facts(error) == ("TLSError", "tls", "bad-name", False)
    error = tls.failure(ConnectionResetError(104, "reset"), place, None)
    assert facts(error) == ("TLSError", "tls", "reset", True)
    assert error.evidence is not None
    assert error.evidence.details["errno"] == 104


def test_without_tls_and_without_an_end_there_is_nothing_to_describe() -> None:
    assert tls.summary(None, {}) == ""
    assert tls.summary("TLSv1.3", {}) == "TLS 1.3"
    assert (
        tls.summary("TLSv1.2", {"notAfter": "Jan  2 03:04:05 2030 GMT"})
        == "TLS 1.2, certificate valid until 2030-01-02"
    )
