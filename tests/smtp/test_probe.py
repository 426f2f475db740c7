"""Looking at a server without logging in."""

from __future__ import annotations

import pytest

from franking.errors import ConnectError
from franking.smtp.probe import probe
from servers.certificates import Certificates
from smtp.sessions import Start, found


def test_probe_looks_and_logs_in_nowhere(smtp_server: Start, certificates: Certificates) -> None:
    server = smtp_server(users={"jana": "pw"}, context=certificates.context("good"), plain_auth=False)
    seen = probe(
        "localhost", server.port, "starttls", ca_file=certificates.ca_file, resolver=found(("127.0.0.1", server.port))
    )
    assert seen.auth == ("PLAIN", "LOGIN")
    assert seen.size == 52428800
    assert seen.tls.startswith("TLS 1.3")
    assert seen.greeting == "mx.example.test ESMTP"
    assert [line.split()[0] for line in server.wait().lines] == ["EHLO", "STARTTLS", "EHLO", "QUIT"]


def test_a_probe_that_fails_says_nothing_more(smtp_server: Start) -> None:
    server = smtp_server(greeting="554 5.7.1 no service")
    with pytest.raises(ConnectError, match="no service"):
        probe("127.0.0.1", server.port, "none")
    assert server.wait().lines == []
