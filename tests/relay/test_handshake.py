"""TLS with devices: a handshake that fails is told in words, counts while it lasts, and is forgotten then."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from franking.relay.certificate import made_certificate
from relay.conftest import Watched, save
from servers.smtp import wait_until

Start = Callable[..., Watched]
RESET = struct.pack("ii", 1, 0)  # closing sends a RST


def listening(tls: str) -> dict[str, Any]:
    return {"address": "127.0.0.1:0", "tls": tls}


def begun(box: Watched, place: int = 0) -> socket.socket:
    """Return a connection on which the relay waits for a handshake."""
    sock = socket.create_connection(box.relay.addresses[place], timeout=20)
    if place == 0:
        sock.sendall(b"EHLO x\r\nSTARTTLS\r\n")
        wait_until(lambda: sock.recv(1000).endswith(b"220 2.0.0 go on\r\n"))
    return sock


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize("end", ["reset", "silence", "closed", "plain"])
def test_a_handshake_that_fails_is_told_and_forgotten(
    tls: str, end: str, relay: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(1)
    if end == "silence":
        monkeypatch.setattr("franking.relay.handshake.HANDSHAKE_SECONDS", 0.2)
    box = relay("shop", listen=[listening("starttls"), listening("implicit")])
    sock = begun(box, ("starttls", "implicit").index(tls))
    connections = box.relay._server.connections  # type: ignore[union-attr]
    wait_until(lambda: len(connections) == 1)
    if end == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    if end == "plain":
        sock.sendall(b"EHLO printer\r\n")
    if end in ("reset", "closed"):
        sock.close()
    wait_until(lambda: box.told("refused") and not connections)
    sock.close()
    (told,) = box.told("refused")
    assert told["stage"] == "tls"
    assert told["reply"]
    if end == "plain":
        assert told["reply"].startswith("the client speaks without TLS where TLS begins")


def test_a_device_that_knows_only_outdated_tls_is_named(relay: Start) -> None:
    save(1)
    box = relay("shop", listen=[listening("implicit")])
    context = ssl._create_unverified_context(ssl.PROTOCOL_TLS_CLIENT)
    with pytest.warns(DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with socket.create_connection(box.address, timeout=20) as sock, pytest.raises((ssl.SSLError, OSError)):
        context.wrap_socket(sock)
    wait_until(lambda: box.told("refused"))
    assert "legacy_tls" in box.told("refused")[0]["reply"]


def test_who_says_nothing_where_tls_begins_counts_too(relay: Start) -> None:
    save(1)
    box = relay(settings={"listen": [listening("implicit")], "max_connections": 1})
    silent = socket.create_connection(box.address, timeout=20)
    wait_until(lambda: len(box.relay._server.connections) == 1)  # type: ignore[union-attr]
    with socket.create_connection(box.address, timeout=20) as more:
        more.sendall(b"\x16\x03\x01")
        with suppress(ConnectionResetError):
            assert more.recv(1) == b""
    wait_until(lambda: box.told("refused"))
    assert box.told("refused")[0]["reply"] == "421 4.3.2 too many connections; try again later"
    box.relay.stop()  # waits for nobody who is silent
    assert box.told("stopped") == [{}]
    silent.close()


def test_a_renewal_that_is_half_done_changes_nothing(relay: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Certificate and key are two files for certbot and others, and one of them is written first."""
    monkeypatch.setattr("franking.relay.server.TICK_SECONDS", 0.05)
    save(1)
    home = Path(os.environ["HOME"])
    first, second = (made_certificate(home / name, []).read_text().partition("-----BEGIN PRIVATE") for name in "ab")
    chain, key = home / "mine.crt", home / "mine.key"

    def write(path: Path, text: str) -> None:
        new = path.with_suffix(".new")
        new.write_text(text)
        new.replace(path)

    write(chain, first[0])
    write(key, first[1] + first[2])
    box = relay(
        settings={"listen": [listening("none"), {**listening("implicit"), "certificate": str(chain), "key": str(key)}]}
    )

    def served() -> str:
        with ssl._create_unverified_context().wrap_socket(begun(box, 1)) as inside:
            return ssl.DER_cert_to_PEM_cert(inside.getpeercert(binary_form=True) or b"")

    write(chain, second[0])
    wait_until(lambda: box.told("warning"))
    assert served() == first[0]
    write(key, second[1] + second[2])
    wait_until(lambda: served() == second[0])
    chain.unlink()
    wait_until(lambda: len(box.told("warning")) == 2)
    ticks = [served() for _ in range(3)]
    assert ticks == [second[0]] * 3
    assert str(chain) in box.told("warning")[1]["text"]
    assert len(box.told("warning")) == 2  # once, not with each tick


def test_an_idle_client_inside_tls_keeps_no_relay_from_stopping(relay: Start) -> None:
    """It says nothing more, not even that TLS ends; asyncio waits 30 seconds for that."""
    save(1)
    box = relay("shop", listen=[listening("implicit")])
    context = ssl._create_unverified_context()
    with socket.create_connection(box.address, timeout=20) as sock, context.wrap_socket(sock) as inside:
        assert inside.recv(100).startswith(b"220 ")
        stopping = threading.Thread(target=box.relay.stop)
        stopping.start()
        wait_until(lambda: not stopping.is_alive())
