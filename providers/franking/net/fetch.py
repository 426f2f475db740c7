"""Get one small document from the public internet, over HTTPS from first to last; by the standard library, so that
no extra is needed.

Whoever chose the address may be a stranger (a mail domain that somebody typed names it, and a redirect any other), so
nothing is asked on this computer or in a private network: what counts is the address that a name leads to, at the
moment of connecting. What the APIs are asked goes through ``http.py``.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from typing import Any

from franking.net import tcp

__all__ = ["MAX_DOCUMENT", "fetch_https"]

MAX_DOCUMENT = 64 * 1024
"""Octets; more are not read."""

MAX_REDIRECTS = 3


def fetch_https(
    url: str, seconds: float, *, ca_file: str | None = None, reachable: Callable[[str], bool] = tcp.is_public
) -> bytes:
    """Get a document: our TLS, at most three redirects and a little over 64 KiB, ``HTTPS_PROXY`` honoured.

    ``reachable`` says of an IP address whether it may be connected to. Behind a proxy it is the proxy that looks names
    up; an address is looked at all the same. Raises ``OSError`` (``TimeoutError`` after ``seconds`` altogether).
    """
    import http.client
    import urllib.request
    from urllib.error import HTTPError

    from franking.net import tls
    from franking.net.response import BoundedResponse

    deadline = time.monotonic() + seconds
    context = tls.context(ca_file)

    def left() -> float:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("the document did not arrive in time")
        return remaining

    class Response(BoundedResponse):
        patience = seconds

    class Connection(http.client.HTTPSConnection):
        response_class = Response

        def connect(self) -> None:
            tunnel: str | None = getattr(self, "_tunnel_host", None)
            place = tcp.Place(self.host, self.port, "tls")
            name = place.name
            if tunnel:
                name = tcp.Place(tunnel, 443).name
                _refuse_literal(name, reachable)
            found = tcp.resolve(place, timeout=left())
            if not tunnel:
                found = [each for each in found if reachable(str(each[4][0]))]
                if not found:
                    raise _inside(name)
            tcp.connect(place, found, self._own, timeout=left())
            if tunnel:
                self._tunnel()  # type: ignore[attr-defined]
            self.sock = context.wrap_socket(self.sock, server_hostname=name)

        def _own(self, sock: socket.socket) -> None:
            sock.settimeout(left())
            self.sock = sock

    class Https(urllib.request.HTTPSHandler):
        def https_open(self, req: Any) -> Any:
            return self.do_open(Connection, req, context=context)

    class Redirect(urllib.request.HTTPRedirectHandler):
        max_redirections = MAX_REDIRECTS

        def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
            if not newurl.lower().startswith("https://"):
                raise HTTPError(newurl, code, "a redirect away from HTTPS is not followed", headers, fp)
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    opener = urllib.request.OpenerDirector()  # not build_opener: that one would also open http:, ftp: and file:
    for handler in (
        urllib.request.ProxyHandler(),
        Https(context=context),
        urllib.request.HTTPDefaultErrorHandler(),
        Redirect(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    # no handler for anything but HTTPS
    request = urllib.request.Request(url, headers={"User-Agent": "franking"})  # noqa: S310
    try:
        with opener.open(request, timeout=seconds) as response:
            document = bytearray()
            while len(document) <= MAX_DOCUMENT and (chunk := response.read1(16 * 1024)):
                document += chunk
                left()
            return bytes(document)
    except HTTPError as problem:
        problem.close()
        raise


def _inside(name: str) -> OSError:
    return OSError(
        f"{name} leads to this computer or into a private network, where no published settings are asked for"
    )


def _refuse_literal(name: str, reachable: Callable[[str], bool]) -> None:
    """Refuse what is plainly an address inside, in any way of writing one (``127.1``, ``2130706433``)."""
    address = "127.0.0.1" if name == "localhost" or name.endswith(".localhost") else name
    with contextlib.suppress(OSError):
        address = socket.inet_ntoa(socket.inet_aton(address))
    try:
        allowed = reachable(address)
    except ValueError:  # a name, then
        return
    if not allowed:
        raise _inside(name)
