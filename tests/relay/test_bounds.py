"""What is bounded, and what the relay says when something is full, gone or broken."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import smtplib
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

import franking
from franking.errors import SettingsError
from franking.health.look import look
from franking.relay import Relay
from franking.relay.certificate import made_certificate
from franking.relay.users import hashed
from franking.sending import last_failures
from relay.conftest import HEADER, MESSAGE, Watched, said, save
from servers.smtp import SmtpServer, wait_until

Start = Callable[..., Watched]
USERS = {"printer": {"password": hashed("tajne", chosen=True)}}


def raw(box: Watched, octets: bytes = b"") -> socket.socket:
    sock = socket.create_connection(box.address, timeout=20)
    sock.sendall(octets)
    return sock


def rest(sock: socket.socket) -> bytes:
    """Return all that comes until the connection ends."""
    found = b""
    while piece := sock.recv(65536):
        found += piece
    sock.close()
    return found


def test_who_says_nothing_is_closed(relay: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("franking.relay.server.TICK_SECONDS", 0.05)
    save(1)
    box = relay(settings={"login_timeout": 1, "idle_timeout": 1})
    silent = raw(box)
    within = raw(box, b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.cz>\r\nDATA\r\nSubject: x\r\n")
    assert rest(silent).endswith(b"421 4.4.2 too long a silence; good-bye\r\n")
    assert rest(within).endswith(b"421 4.4.2 too long a silence; good-bye\r\n")
    assert franking.Outbox().counts()["queued"] == 0
    wait_until(lambda: list((franking.Outbox().directory / "bodies").iterdir()) == [])


def test_too_many_connections(relay: Start) -> None:
    save(1)
    box = relay(settings={"max_connections": 2, "max_connections_per_address": 1})
    first, second = raw(box), raw(box)  # loopback has no limit of its own
    assert first.recv(100)[:3] == second.recv(100)[:3] == b"220"
    assert rest(raw(box)).startswith(b"421 4.3.2 too many connections")
    for sock in (first, second):
        sock.close()
    wait_until(lambda: rest(raw(box, b"QUIT\r\n")).startswith(b"220"))
    wait_until(lambda: not box.relay._server._per_address)  # who left is counted no more
    assert box.told("refused")[0]["stage"] == "connect"


def test_without_a_login_and_outside_of_allow_nothing_can_be_sent(relay: Start) -> None:
    save(1)
    box = relay("shop", allow=[], users=USERS)
    with box.client() as client:
        assert client.mail("shop@example.cz")[0] == 530
        assert client.noop()[0] == 250
        client.login("printer", "tajne")
        assert client.mail("shop@example.cz")[0] == 250


def test_no_password_is_taken_unencrypted_beyond_loopback(relay: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("franking.relay.settings.Listen.loopback", property(lambda self: False))
    monkeypatch.setattr("franking.relay.connection.is_near", lambda host: False)
    save(1)
    box = relay("shop", listen=[{"address": "127.0.0.1:0", "tls": "starttls"}], users=USERS)
    with box.client() as client:
        assert "auth" not in client.esmtp_features
        assert client.docmd("AUTH PLAIN", "AAA=")[0] == 538
        client.starttls(context=ssl._create_unverified_context())
        client.ehlo()
        assert "auth" in client.esmtp_features


def test_a_tls_hello_on_a_plain_port_is_told(relay: Start) -> None:
    save(1)
    box = relay("shop")
    assert rest(raw(box, b"\x16\x03\x01\x02\x00")).startswith(b"220")
    assert rest(raw(box, b"GET / HTTP/1.1\r\n")).startswith(b"220")
    wait_until(lambda: len(box.told("refused")) == 2)
    assert "begins TLS" in box.told("refused")[0]["reply"]


def test_a_handshake_that_fails(relay: Start) -> None:
    save(1)
    box = relay("shop", listen=[{"address": "127.0.0.1:0", "tls": "starttls"}])
    sock = raw(box, b"EHLO x\r\nSTARTTLS\r\n")
    wait_until(lambda: sock.recv(1000).endswith(b"220 2.0.0 go on\r\n"))
    sock.sendall(b"MAIL FROM:<a@b.cz>\r\n" * 10)
    wait_until(lambda: box.told("refused"))
    assert box.told("refused")[0]["stage"] == "tls"
    sock.close()


def test_who_goes_on_sending_what_is_too_large_is_cut_off(relay: Start) -> None:
    save(1)
    box = relay(settings={"max_message_size": 1000})
    sock = raw(box, b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.cz>\r\nDATA\r\n")
    with sock:
        assert sock.recv(100)  # it has been let in
        with contextlib.suppress(OSError):  # what it still sends when the connection is gone resets it
            for _ in range(100):
                sock.sendall((b"x" * 998 + b"\r\n") * 10)
        wait_until(lambda: not box.relay._server.connections)  # ended from that side
        with contextlib.suppress(OSError):
            assert b"421 4.3.4" in rest(sock)
    assert franking.Outbox().counts()["queued"] == 0


def test_a_full_disk_is_said_before_the_data_and_after(relay: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    save(1)
    box = relay("shop", wait=0)
    with box.client() as client:
        monkeypatch.setattr("franking.relay.acceptance.ROOM", 1 << 60)
        assert client.mail("shop@example.cz")[0] == 452
        monkeypatch.setattr("franking.relay.acceptance.ROOM", 0)
        assert client.mail("shop@example.cz")[0] == 250
        client.rcpt("a@b.cz")
        monkeypatch.setattr("franking.relay.acceptance.ROOM", 1 << 60)
        assert client.docmd("DATA")[0] == 452


def test_an_outbox_that_takes_no_more(relay: Start) -> None:
    """The database is at its end: nothing is accepted, and later all is well again."""
    save(1)
    box = relay("shop", wait=0, run=False)
    with box.client() as client:
        assert said(client, "shop@example.cz", "a@b.cz", MESSAGE).startswith("250")
        database = box.relay._intake.store.database
        before = database.rows("PRAGMA page_count")[0][0]
        database.rows(f"PRAGMA max_page_count={before}")
        words = [said(client, "shop@example.cz", "a@b.cz", MESSAGE + b"x" * 50_000) for _ in range(3)]
        assert words[-1].startswith("452 4.3.1")
        database.rows("PRAGMA max_page_count=1000000")
        assert said(client, "shop@example.cz", "a@b.cz", MESSAGE).startswith("250")


def test_a_certificate_of_ones_own_is_read_again(relay: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("franking.relay.server.TICK_SECONDS", 0.05)
    save(1)
    home = Path(os.environ["HOME"])
    first, second = (made_certificate(home / name, []) for name in ("a", "b"))
    pem = home / "mine.pem"
    pem.write_bytes(first.read_bytes())
    listen = [{"address": "127.0.0.1:0", "tls": "implicit", "certificate": str(pem)}]
    box = relay(settings={"listen": listen})

    def served() -> str:
        sock = socket.create_connection(box.address, timeout=20)
        with ssl._create_unverified_context().wrap_socket(sock) as inside:
            inside.recv(100)
            return ssl.DER_cert_to_PEM_cert(inside.getpeercert(binary_form=True) or b"")

    assert first.read_text().startswith(served())
    pem.write_bytes(second.read_bytes())
    wait_until(lambda: second.read_text().startswith(served()))
    pem.write_text("nothing")
    wait_until(lambda: box.told("warning"))
    assert second.read_text().startswith(served())
    with pytest.raises(SettingsError, match="cannot be used"):
        Relay("shop", listen=listen).start()
    with pytest.raises(SettingsError, match="cannot be used"):
        Relay("shop", listen=[{**listen[0], "certificate": "/nowhere.pem"}]).start()


def ask(box: Watched, path: str, verb: str = "GET") -> tuple[str, str]:
    address = box.relay.health_address
    assert address is not None
    with socket.create_connection(address, timeout=20) as sock:
        sock.sendall(f"{verb} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head, _, body = rest(sock).decode().partition("\r\n\r\n")
    return head.split("\r\n")[0].partition(" ")[2], body


def test_monitoring(relay: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    with SmtpServer() as server:
        save(server.port)
        save(1, more="[relay]\naccount = 'shop'\n", name="spare")
        box = relay(settings={"health": "127.0.0.1:0"})
        with box.client() as client:
            assert said(client, "shop@example.cz", "a@b.cz", MESSAGE).startswith("250")
        assert ask(box, "/healthz") == ("200 OK", "ok\n")
        status, body = ask(box, "/readyz?x")
        found: dict[str, Any] = json.loads(body)
        assert (status, found["level"]) == ("200 OK", "ok")
        (account,) = found["accounts"]
        assert (account["account"], account["level"], account["route"]) == ("shop", "ok", "smtp")
        assert {one["code"]: one["level"] for one in account["findings"]} == {"send.failing": "ok", "outbox.held": "ok"}
        assert {one["level"] for one in found["outbox"]["findings"]} == {"ok"}
        assert found["outbox"]["messages"]["accepted"] == 1
        metrics = ask(box, "/metrics")[1]
        assert 'franking_relay_messages_total{outcome="accepted"} 1' in metrics
        assert 'franking_account_level{account="shop"} 0' in metrics
        assert list(text_string_to_metric_families(metrics))
        assert "example" not in metrics
        assert ask(box, "/other")[0].startswith("404")
        assert ask(box, "/metrics", "POST")[0].startswith("405")
        monkeypatch.setattr("franking.relay.acceptance.ROOM", 1 << 60)
        assert ask(box, "/healthz") == ("503 Service Unavailable", "the disk is full\n")


def test_an_account_that_cannot_send_is_critical(relay: Start) -> None:
    save(1, enabled=False)
    box = relay(settings={"health": "127.0.0.1:0"})
    status, body = ask(box, "/readyz")
    assert status.startswith("503")
    assert json.loads(body)["accounts"][0]["findings"][0]["code"] == "account.disabled"
    assert 'franking_account_level{account="shop"} 2' in ask(box, "/metrics")[1]


def test_what_health_has_seen_is_told(relay: Start) -> None:
    """A sign-in that died in the night, and who does not answer: the relay asks nobody, and knows."""
    save(1)
    box = relay("shop", settings={"health": "127.0.0.1:0"})
    assert json.loads(ask(box, "/readyz")[1])["level"] == "ok"
    look()
    status, body = ask(box, "/readyz")
    assert (status, json.loads(body)["level"]) == ("200 OK", "warning")
    assert "server.unreachable" in body
    look(clock=lambda: time.time() + 2 * 86400)
    state = Path(os.environ["FRANKING_STATE_DIR"])
    last_failures.note(state / "health.json", "shop", franking.Diagnosis("login.refused"))
    status, body = ask(box, "/readyz")
    assert status.startswith("503")
    codes = {one["code"]: one["level"] for one in json.loads(body)["accounts"][0]["findings"]}
    assert codes["send.failing"] == "critical"


def test_outdated_encryption_is_told(relay: Start) -> None:
    save(1, more="[relay]\naccount = 'shop'\n[[relay.listen]]\naddress = '127.0.0.1:0'\nlegacy_tls = true\n")
    listen = {"address": "127.0.0.1:0", "tls": "starttls", "legacy_tls": True}
    box = relay(settings={"health": "127.0.0.1:0", "listen": [listen]})
    found = json.loads(ask(box, "/readyz")[1])
    assert found["level"] == "warning"
    assert {one["code"]: one["level"] for one in found["outbox"]["findings"]}["relay.legacy-tls"] == "warning"
    assert ["TLS 1.0" in one["text"] for one in box.told("warning")] == [True]


def test_a_message_without_a_header_and_a_client_of_half_a_connection(relay: Start) -> None:
    """``printf … | nc``: it closes its sending side and reads on."""
    with SmtpServer() as server:
        save(server.port)
        box = relay("shop")
        start = b"HELO x\nMAIL FROM:shop@example.cz\nRCPT TO: a@b.cz\nDATA\n"
        sock = raw(box, start + HEADER.replace(b"\r", b"") + b"\n.\n")
        sock.shutdown(socket.SHUT_WR)
        assert b"\r\n250 2.0.0 " in rest(sock)
        wait_until(lambda: server.messages)
    mended = box.told("message")[0]["mended"]
    assert {"bare-lf", "no-brackets", "space-after-colon", "date", "message-id"} <= set(mended)


def test_the_full_received_field_names_the_client(relay: Start) -> None:
    with SmtpServer() as server:
        save(server.port)
        box = relay(settings={"received": "full"})
        with box.client() as client:
            client.ehlo("my<printer>.local")
            assert said(client, "shop@example.cz", "a@b.cz", MESSAGE).startswith("250")
    assert server.messages[0].data.startswith(b"Received: from myprinter.local ([127.0.0.1])\r\n\tby localhost (")


def test_a_header_that_never_ends(relay: Start) -> None:
    save(1)
    with relay("shop").client() as client:
        assert said(client, "shop@example.cz", "a@b.cz", b"X: y\r\n" * 60_000).startswith("552 5.3.4 the header")


def test_settings_that_became_wrong_are_said(relay: Start) -> None:
    """An account that went away between the reading and the mail; the old settings stay, its mail cannot be sent."""
    save(1)
    save(1, "office", more='[routes]\n"@novak.cz" = "office"\n')
    box = relay("shop")
    access = box.relay._access
    object.__setattr__(access, "config", replace(access.config, tables={"shop": access.config.tables["shop"]}))
    with box.client() as client:
        assert client.mail("info@novak.cz")[0] == 554


def test_monitoring_is_asked_by_nobody_else_and_patiently(relay: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("franking.relay.monitor.SECONDS", 0.1)
    save(1, '"a@b"')
    made = relay(settings={"health": "127.0.0.1:0", "account": "a@b"})
    assert made.relay.health_address is not None
    with socket.create_connection(made.relay.health_address, timeout=20) as sock:
        sock.sendall(b"GET")
        assert rest(sock) == b""
    with socket.create_connection(made.relay.health_address, timeout=20) as sock:
        sock.sendall(b"GET /" + b"x" * 20_000)
        assert rest(sock) == b""
    assert 'account="a@b"' not in ask(made, "/metrics")[1]
    monkeypatch.setattr("franking.relay.monitor.plain_address", lambda text: ipaddress.ip_address("10.0.0.1"))
    assert ask(made, "/healthz")[0].startswith("403")


def test_an_outbox_that_breaks_is_not_healthy(relay: Start) -> None:
    save(1)
    box = relay(settings={"health": "127.0.0.1:0"}, run=False)
    box.relay._acceptance.reading.close()
    path = franking.Outbox().directory / "outbox.sqlite3"
    path.rename(path.with_name("away"))
    path.mkdir()
    assert ask(box, "/healthz")[0].startswith("503")
    assert ask(box, "/readyz")[0].startswith("503")


def test_monitoring_on_an_address_that_is_taken() -> None:
    save(1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match="health"):
            Relay.of_settings({"listen": ["127.0.0.1:0"], "health": f"127.0.0.1:{port}"}).start()


def test_a_mistake_of_ours_ends_one_connection(relay: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    save(1)
    box = relay("shop", wait=0)
    with box.client() as other:
        for place in ("at_mail", "_received"):
            with monkeypatch.context() as patch:
                patch.setattr(f"franking.relay.acceptance.Acceptance.{place}", lambda *_: 1 / 0)
                client = box.client()
                with contextlib.suppress(smtplib.SMTPServerDisconnected):
                    assert said(client, "shop@example.cz", "a@b.cz", MESSAGE).startswith("421")
                client.close()
        assert said(other, "shop@example.cz", "a@b.cz", MESSAGE).startswith("250")
    assert len(box.told("warning")) == 2


def test_the_package_has_one_name() -> None:
    import franking.relay

    with pytest.raises(AttributeError):
        franking.relay.nothing  # noqa: B018


OPEN_RELAY_TRICKS = [
    b"MAIL FROM:<>", b"MAIL FROM:<shop@example.cz>", b"MAIL FROM:<shop@localhost>", b"MAIL FROM:<root@[127.0.0.1]>",
    b'MAIL FROM:<"x@y.cz"@example.cz>', b"MAIL FROM:<@example.cz:a@b.cz>", b"MAIL FROM:<shop@example.cz> AUTH=<>",
    b"MAIL FROM:<x%y.cz@example.cz>", b"mail from: shop@example.cz", b"MAIL FROM:<shop@example.cz> AUTH=a@b.cz",
]  # fmt: skip


@pytest.mark.parametrize("before", [b"", b"HELO x", b"EHLO localhost", b"EHLO x\r\nRSET", b"EHLO x\r\nAUTH PLAIN AAA="])
def test_an_open_relay_scan_finds_nothing(before: bytes, relay: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is neither allowed nor logged in: no sender, however it is written, gets as far as a recipient."""
    monkeypatch.setattr("franking.relay.logins.FREE", 100)
    monkeypatch.setattr("franking.relay.logins.MOST", 100)
    save(1)
    box = relay("shop", allow=[], users=USERS)
    for trick in OPEN_RELAY_TRICKS:
        lines = [*filter(None, [before]), trick, b"RCPT TO:<victim@example.net>", b"DATA", b"QUIT"]
        heard = rest(raw(box, b"\r\n".join(lines) + b"\r\n")).split(b"\r\n")
        assert [line[:3] for line in heard[-5:]] == [b"530", b"503", b"503", b"221", b""], (trick, heard)
    assert franking.Outbox().counts()["queued"] == 0


def test_a_turn_comes_back_after_a_minute_and_no_moment_later(relay: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    save(1)
    server = relay(settings={"messages_per_minute": 2}).relay._server
    assert server is not None
    for moment, has_one in ((0.0, True), (1.0, True), (59.5, False), (60.0, True), (60.5, False), (61.0, True)):
        monkeypatch.setattr(server, "now", lambda moment=moment: moment)
        assert server.has_turn("fax") is has_one
