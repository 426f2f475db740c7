"""TLS that fails, and what the server has heard by then: octet by octet, no address, no name and no secret."""

from __future__ import annotations

import socket
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

import franking
from franking.errors import FrankingError
from servers.certificates import Certificates
from servers.smtp import EXTENSIONS, Fault, Peer, SmtpServer, says, sends

pytestmark = pytest.mark.matrix

SECRET = "canary-password"
MAIL = {
    "from": "sender@canary.example",
    "to": "recipient@canary.example",
    "user": "user-canary",
    "subject": "subject-canary",
}
MESSAGE = franking.Message(to=[MAIL["to"]], subject=MAIL["subject"], text="text-canary")


def account(server: SmtpServer | int, **settings: Any) -> franking.Account:
    port = server if isinstance(server, int) else server.port
    given: dict[str, Any] = {
        "host": "localhost",
        "security": "starttls",
        "username": MAIL["user"],
        "timeout": 10.0,
        **settings,
    }
    return franking.Account(name="shop", provider="smtp", sender=MAIL["from"], port=port, **given)


def nothing_heard(server: SmtpServer) -> None:
    """Look at every octet that arrived, plain or encrypted."""
    assert server.sessions
    for session in server.sessions:
        assert session.ended.wait(10)
        octets = session.plain + session.inside
        assert b"canary" not in octets
        assert b"AUTH" not in octets
        assert b"MAIL" not in octets
    assert server.messages == []


def fails(given: franking.Account) -> FrankingError:
    with pytest.raises(FrankingError) as caught:
        franking.send(given, MESSAGE, secret=SECRET)
    assert not caught.value.possibly_sent
    assert caught.value.step == "tls"
    assert SECRET not in f"{caught.value} {caught.value.evidence} {caught.value.diagnosis}"
    return caught.value


def code(error: FrankingError) -> str:
    assert error.diagnosis is not None
    return error.diagnosis.code


def test_stripped_starttls_gets_nothing() -> None:
    with SmtpServer(users={MAIL["user"]: SECRET}) as server:
        assert code(fails(account(server))) == "tls.starttls-not-offered"
        nothing_heard(server)


@pytest.mark.parametrize("text", [b"220 go\r\n250 injected\r\n", b"220 go\r\n250-half", b"220 go\r\n\x16\x03"])
def test_injected_text_gets_nothing(certificates: Certificates, text: bytes) -> None:
    with SmtpServer(
        users={MAIL["user"]: SECRET}, context=certificates.context("good"), faults=[Fault("starttls", sends(text))]
    ) as server:
        assert code(fails(account(server, ca_file=certificates.ca_file))) == "tls.injected"
        nothing_heard(server)


@pytest.mark.parametrize("answer", ["250 ok", "454 4.7.0 later", "501 5.5.4 no", "220-go\r\n220 on"])
def test_a_server_that_only_pretends_gets_nothing(answer: str, certificates: Certificates) -> None:
    offers = (*EXTENSIONS, "STARTTLS")
    with SmtpServer(
        users={MAIL["user"]: SECRET}, extensions=offers, faults=[Fault("starttls", then_plain(answer))]
    ) as server:
        fails(account(server))
        nothing_heard(server)


def then_plain(answer: str) -> Callable[[Peer, str], None]:
    def act(peer: Peer, reply: str) -> None:
        says(answer)(peer, reply)
        if answer.startswith("220"):
            peer.send(b"220 still in plain\r\n" * 20)

    return act


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize(
    ("kind", "host", "expected"),
    [
        ("self-signed", "localhost", "tls.self-signed"),
        ("stranger", "localhost", "tls.unknown-issuer"),
        ("expired", "localhost", "tls.expired"),
        ("not-yet", "localhost", "tls.not-yet-valid"),
        ("wrong-host", "localhost", "tls.hostname"),
        ("wrong-host", "127.0.0.1", "tls.ip-address"),
    ],
)
def test_a_certificate_that_proves_nothing_gets_nothing(
    certificates: Certificates, security: str, kind: str, host: str, expected: str
) -> None:
    tls = {"context": certificates.context(kind), "implicit_tls": security == "tls"}
    with SmtpServer(users={MAIL["user"]: SECRET}, **tls) as server:  # type: ignore[arg-type]
        assert code(fails(account(server, security=security, host=host, ca_file=certificates.ca_file))) == expected
        nothing_heard(server)


def test_an_address_in_the_certificate_is_enough(certificates: Certificates) -> None:
    with SmtpServer(users={MAIL["user"]: SECRET}, context=certificates.context("good")) as server:
        franking.send(account(server, host="127.0.0.1", ca_file=certificates.ca_file), MESSAGE, secret=SECRET)
        assert b"canary" not in server.sessions[0].plain
        assert server.messages[0].tls


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_protocol_versions_get_nothing(certificates: Certificates, version: ssl.TLSVersion) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.load_cert_chain(_good(certificates))
    old.set_ciphers("DEFAULT@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = old.maximum_version = version
    with SmtpServer(users={MAIL["user"]: SECRET}, context=old) as server:
        assert code(fails(account(server, ca_file=certificates.ca_file))) == "tls.outdated"
        nothing_heard(server)


def _good(certificates: Certificates) -> str:
    certificates.context("good")
    return str(certificates.directory / "good.pem")


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_bundle_of_the_environment_does_not_replace_ca_file(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """Another authority in the environment neither keeps ours out nor makes a stranger's certificate good for a named
    host.
    """
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    monkeypatch.setenv(variable, str(other))
    with SmtpServer(users={MAIL["user"]: SECRET}, context=certificates.context("good")) as server:
        assert franking.send(account(server, ca_file=certificates.ca_file), MESSAGE, secret=SECRET).accepted
    with SmtpServer(users={MAIL["user"]: SECRET}, context=certificates.context("stranger")) as server:
        fails(account(server, ca_file=certificates.ca_file))
        nothing_heard(server)


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_bundle_of_the_environment_adds_no_trust(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, certificates.ca_file)
    with SmtpServer(users={MAIL["user"]: SECRET}, context=certificates.context("good")) as server:
        fails(account(server))
        nothing_heard(server)


@pytest.mark.parametrize("content", [b"", b"no certificate", None])
def test_a_ca_file_that_is_none_is_a_setting(certificates: Certificates, tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with SmtpServer(users={MAIL["user"]: SECRET}, context=certificates.context("good")) as server:
        with pytest.raises(franking.SettingsError) as caught:
            franking.send(account(server, ca_file=str(file)), MESSAGE, secret=SECRET)
        assert code(caught.value) == "settings.ca-file"
        assert server.sessions == []


def test_a_client_hello_to_a_plain_port() -> None:
    with SmtpServer(users={MAIL["user"]: SECRET}) as server:
        assert code(fails(account(server, security="tls"))) == "tls.wrong-port"
        nothing_heard(server)


@pytest.mark.parametrize("security", ["none", "starttls"])
def test_plain_text_to_a_tls_port_waits_and_says_nothing(certificates: Certificates, security: str) -> None:
    """The server waits for a ClientHello and the client for a greeting: whoever speaks first in plain would tell who
    sends.
    """
    settings = {"username": None} if security == "none" else {}
    with SmtpServer(context=certificates.context("good"), implicit_tls=True) as server:
        given = account(server, security=security, timeout=0.5, **settings)
        with pytest.raises(franking.ConnectError) as caught:
            franking.send(given, MESSAGE, secret=None if security == "none" else SECRET)
        assert (code(caught.value), caught.value.step, caught.value.possibly_sent) == ("greet.silent", "greet", False)
        assert server.wait().plain == b""


CUTS = {
    "greeting": b"",
    "EHLO": b"EHLO",
    "AUTH": b"AUTH",
    "MAIL": b"MAIL",
    "RCPT": b"RCPT",
    "DATA": b"DATA",
    "content": b"\r\n.\r\n",
}


@pytest.fixture
def abrupt(certificates: Certificates, request: pytest.FixtureRequest) -> Iterator[int]:
    """A server that ends TLS without close_notify where an answer is due."""
    listener = socket.create_server(("127.0.0.1", 0))
    cut = CUTS[request.param]

    def serve() -> None:
        sock, _ = listener.accept()
        with certificates.context("good").wrap_socket(sock, server_side=True, suppress_ragged_eofs=False) as line:
            heard = b""
            answers = {
                b"": b"220 mx\r\n",
                b"EHLO": b"250-mx\r\n250 AUTH PLAIN\r\n",
                b"AUTH": b"235 ok\r\n",
                b"MAIL": b"250 ok\r\n",
                b"RCPT": b"250 ok\r\n",
                b"DATA": b"354 go\r\n",
            }
            while not (heard[:4] == cut if len(cut) < 5 else heard.endswith(cut)):
                if (answer := answers.get(heard[:4])) is not None:
                    line.sendall(answer)
                heard = line.recv(65536)
            raw = socket.socket(fileno=line.detach())
            raw.close()  # FIN without close_notify: a truncation attack looks the same

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    thread.join(10)
    listener.close()


@pytest.mark.parametrize("abrupt", CUTS, indirect=True)
def test_an_end_without_notice_is_no_answer(
    abrupt: int, certificates: Certificates, request: pytest.FixtureRequest
) -> None:
    given = account(abrupt, security="tls", ca_file=certificates.ca_file)
    at = request.node.callspec.params["abrupt"]
    with pytest.raises(franking.OutcomeUnknown if at == "content" else franking.ConnectError) as caught:
        franking.send(given, MESSAGE, secret=SECRET)
    assert caught.value.possibly_sent == (at == "content")
    assert caught.value.step == {"greeting": "greet", "EHLO": "greet", "AUTH": "login", "content": "accepted"}.get(
        at, "message"
    )
    assert code(caught.value) in ("outcome.unknown", "greet.closed", "connect.lost")
