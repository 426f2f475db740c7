"""TLS that fails on the way to Gmail, Graph and their sign-in servers: nothing of a message, a name or a secret has
left by then.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme

import franking
from faults.test_http import REFRESH, SECRET, TOKEN, Place
from franking.errors import FrankingError
from franking.registry import provider
from franking.sending.explain import explain
from servers.certificates import Certificates
from servers.rawweb import RawServer, reply

pytestmark = pytest.mark.matrix

PLACES = ("gmail", "graph", "google token", "service account", "openid token", "openid app token")
SECRETS = [word.encode() for word in (TOKEN, SECRET, REFRESH, "jana@example.cz", "Faktura")]


def answer(server: RawServer, name: str, head: str) -> bytes:
    url = f"{server.url}/contoso"
    if head.startswith("GET"):
        return reply(
            200, {"issuer": url, "authorization_endpoint": f"{url}/authorize", "token_endpoint": f"{url}/token"}
        )
    if "token" in head.split()[1]:
        return reply(200, {"access_token": "new", "expires_in": 3600, "token_type": "Bearer"})
    return reply(200, {"id": "1"}) if name == "gmail" else reply(202)


class Server(RawServer):
    """A server with a certificate of a kind; ``place`` is what is asked of it."""

    def __init__(self, name: str, context: ssl.SSLContext, trust: Any, key: Mapping[str, str], file: Path) -> None:
        super().__init__(otherwise=lambda head: answer(self, name, head), context=context)
        self.place = Place(name, self, trust, key, file)

    def fails(self) -> str:
        """Ask, and give the diagnosis of the failure; nothing has been heard."""
        with pytest.raises(FrankingError) as caught:
            self.place.ask()
        error = caught.value
        assert not error.possibly_sent
        assert isinstance(error, franking.TLSError), repr(error)
        assert self.requests == []
        assert not [word for word in SECRETS if word.decode() in f"{error} {error.evidence}"]
        return explain(error, self.place.account, provider(self.place.account.provider)).code


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("kind", ["self-signed", "stranger", "expired", "not-yet", "wrong-host"])
def test_a_certificate_that_proves_nothing(
    certificates: Certificates, service_key: Mapping[str, str], tmp_path: Path, name: str, kind: str
) -> None:
    with Server(name, certificates.context(kind), certificates, service_key, tmp_path / "key.json") as server:
        assert server.fails() == "https.untrusted"


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_protocol_versions(
    certificates: Certificates, service_key: Mapping[str, str], tmp_path: Path, name: str, version: ssl.TLSVersion
) -> None:
    certificates.context("good")
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.load_cert_chain(certificates.directory / "good.pem")
    old.set_ciphers("DEFAULT@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = old.maximum_version = version
    with Server(name, old, certificates, service_key, tmp_path / "key.json") as server:
        assert server.fails() == "https.unreachable"


class _Trust:
    """Another authority than the server's, or none beside the system's."""

    def __init__(self, ca_file: str | None) -> None:
        self.ca_file = ca_file


@pytest.fixture
def other(tmp_path: Path) -> str:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    return str(tmp_path / "other.pem")


@pytest.mark.parametrize("name", PLACES)
def test_another_ca_file_is_no_key_to_a_server(
    certificates: Certificates, service_key: Mapping[str, str], tmp_path: Path, other: str, name: str
) -> None:
    with Server(name, certificates.context("good"), _Trust(other), service_key, tmp_path / "key.json") as server:
        assert server.fails() == "https.untrusted"


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTPLIB2_CA_CERTS"])
def test_a_bundle_of_the_environment_does_not_replace_ca_file(
    certificates: Certificates,
    service_key: Mapping[str, str],
    tmp_path: Path,
    other: str,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    name: str,
) -> None:
    monkeypatch.setenv(variable, other)
    with Server(name, certificates.context("good"), certificates, service_key, tmp_path / "key.json") as server:
        server.place.ask()
    with Server(name, certificates.context("stranger"), certificates, service_key, tmp_path / "key.json") as server:
        server.fails()


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTPLIB2_CA_CERTS"])
def test_a_bundle_of_the_environment_adds_no_trust(
    certificates: Certificates,
    service_key: Mapping[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    name: str,
) -> None:
    monkeypatch.setenv(variable, certificates.ca_file)
    with Server(name, certificates.context("good"), _Trust(None), service_key, tmp_path / "key.json") as server:
        server.fails()


@pytest.fixture
def plain() -> Iterator[tuple[int, list[bytes]]]:
    """A port that speaks HTTP without TLS, and what it heard."""
    listener = socket.create_server(("127.0.0.1", 0))
    heard: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock, contextlib.suppress(OSError):
                heard.append(sock.recv(65536))
                sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                sock.shutdown(socket.SHUT_WR)
                while more := sock.recv(65536):
                    heard.append(more)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1], heard
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)


@pytest.mark.parametrize("name", PLACES)
def test_a_client_hello_to_a_plain_port(
    certificates: Certificates,
    service_key: Mapping[str, str],
    tmp_path: Path,
    plain: tuple[int, list[bytes]],
    name: str,
) -> None:
    port, heard = plain
    with Server(name, certificates.context("good"), certificates, service_key, tmp_path / "key.json") as server:
        server.url = f"https://localhost:{port}"
        server.place = Place(name, server, certificates, service_key, tmp_path / "key.json")
        server.fails()
    octets = b"".join(heard)
    assert octets.startswith(b"\x16\x03")  # a ClientHello and nothing else
    assert not [word for word in SECRETS if word in octets]
