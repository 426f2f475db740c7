"""A webhook is told: one request, whose address is a secret, within a time, through the proxy that HTTPS_PROXY names.
What it is told, and when, is decided in ``channels.py``.
"""

from __future__ import annotations

import base64
import http.client
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from franking.errors import ConnectError, Evidence, FrankingError, SendError
from franking.net import tcp, tls
from franking.redaction import Veiled

__all__ = ["post"]


def post(url: Veiled[str], body: bytes, *, ca_file: str | None, seconds: float) -> None:
    """Post a body. Raises ``FrankingError`` where it did not arrive within ``seconds``; no redirect is followed: only a
    2xx has arrived.
    """
    failed = None
    try:
        status = _status(url, body, ca_file, time.monotonic() + seconds)
        if not 200 <= status < 300:
            failed = SendError(f"The webhook answered with HTTP {status}.")
    except (OSError, http.client.HTTPException, ValueError) as problem:
        failed = SendError(f"The webhook could not be reached ({_reason(problem)}).")
    if failed is not None:  # out here, because a caught error may hold the address
        raise failed


def _status(url: Veiled[str], body: bytes, ca_file: str | None, until: float) -> int:
    parts = urlsplit(url.reveal())
    host, secure = parts.hostname or "", parts.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = kind(host, parts.port)
    connection.debuglevel = 0  # a program that sets http.client's own to 1 would see the address printed

    def left() -> float:
        remaining = until - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        return remaining

    def attach(sock: socket.socket) -> None:
        sock.settimeout(left())
        connection.sock = sock

    place = tcp.Place(host, connection.port, "tls" if secure else "none")
    proxy = _proxy(place) if secure else None  # in plain it is this machine, see settings.py
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"Content-Type": "application/json", "User-Agent": "franking", "Connection": "close"}
    try:
        if proxy is None:
            tcp.connect(place, tcp.resolve(place, timeout=left()), attach, timeout=left())
        else:
            connection.set_tunnel(place.name, place.port, headers=proxy[1])
            tcp.connect(proxy[0], tcp.resolve(proxy[0], timeout=left()), attach, timeout=left())
            with _broken_off(connection, left()):
                _lead_on(connection, proxy[0])
        if secure:
            connection.sock = tls.context(ca_file).wrap_socket(
                connection.sock, server_hostname=place.name, do_handshake_on_connect=False
            )
        with _broken_off(connection, left()):
            if isinstance(connection.sock, ssl.SSLSocket):
                connection.sock.do_handshake()
            connection.request("POST", path, body, headers)
            return connection.getresponse().status
    finally:
        connection.close()


def _proxy(place: tcp.Place) -> tuple[tcp.Place, dict[str, str]] | None:
    """Return the proxy on the way to a place, and what it is told of who asks; None where there is none.

    Raises ``ConnectError`` for one that is not spoken to.
    """
    named = getproxies().get("https")
    if not named or proxy_bypass(str(place)):
        return None
    parts = urlsplit(named if "://" in named else f"http://{named}")
    if parts.scheme != "http" or not parts.hostname:
        raise _not_through("HTTPS_PROXY must name an HTTP proxy: http://HOST:PORT")
    headers = {}
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
    return tcp.Place(parts.hostname, parts.port or 80), headers


def _lead_on(connection: http.client.HTTPConnection, proxy: tcp.Place) -> None:
    """Have a proxy lead on to the webhook. Raises ``ConnectError`` where it will not."""
    try:
        connection._tunnel()  # type: ignore[attr-defined]
    except TimeoutError:
        raise
    except OSError as problem:  # http.client's words end in the proxy's own
        code = re.search(r"failed: (\d{3})", str(problem))
        raise _not_through(f"the proxy {proxy} refused to help" + (f" (HTTP {code[1]})" if code else "")) from None


def _not_through(words: str) -> ConnectError:
    return ConnectError(words, step="connect", evidence=Evidence("connect", text=words))


@contextmanager
def _broken_off(connection: http.client.HTTPConnection, seconds: float) -> Iterator[None]:
    """Break a connection off when its time is over: one that drips would last for ever."""

    def break_off() -> None:
        with suppress(OSError, AttributeError):
            socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)

    timer = threading.Timer(seconds, break_off)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _reason(problem: Exception) -> str:
    if isinstance(problem, TimeoutError):
        return "it did not answer in time"
    if isinstance(problem, ConnectError) and problem.evidence is not None and problem.evidence.text:
        return problem.evidence.text
    if isinstance(problem, OSError) and not isinstance(problem, FrankingError) and problem.strerror:
        return problem.strerror
    return type(problem).__name__
