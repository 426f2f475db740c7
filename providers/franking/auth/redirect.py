"""The browser's way back from a sign-in: one loopback listener for both OAuth providers, and the pasted redirect URL.

The listener runs in the thread that waits, without threads of its own: browsers open spare connections and ask for
icons, and none of that may block or end the sign-in. Only a GET or POST that carries the right ``state`` counts (RFC
8252 §7.3 and §8.9); all else is answered and forgotten. No OAuth library here, and nothing of any provider.
"""

from __future__ import annotations

import hmac
import os
import re
import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from franking.account.environment import secret_names
from franking.errors import Evidence, LoginRequired
from franking.provider import AsksAgain, LoginUI

__all__ = ["SIGN_IN_SECONDS", "Listener", "authorization_response", "open_in_background", "open_page", "pasted"]

BROWSER_SECONDS = 3.0
"""How long the start of a browser may take before it counts as one that runs in the foreground."""

SIGN_IN_SECONDS = 300.0
"""How long a person may take in the browser."""

_FORM = b"application/x-www-form-urlencoded"
_REQUEST_LIMIT = 64 * 1024  # real ones are 1 to 4 KiB; Microsoft's codes and id tokens are long
_PASTES = 3  # wrong ones, the last of which ends the sign-in
_PIECES = 50  # lines of an address that was pasted with line breaks
_CONNECTIONS = 32  # a browser opens at most a handful
_TICK = 0.5  # a blocked select() does not see Ctrl-C on Windows

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:18vh auto;padding:0 1rem;
color:#222;background:#fff}}
@media(prefers-color-scheme:dark){{body{{color:#eee;background:#181818}}}}</style></head>
<body><h1>{title}</h1><p>{text}</p></body></html>
"""
_DONE = _PAGE.format(
    title="Thank you", text="You can close this page. Franking goes on in the window where you started it."
)
_DECLINED = _PAGE.format(
    title="Not signed in",
    text="You can close this page. Franking says what happened in the window where you started it.",
)
_OTHER = _PAGE.format(
    title="Not this page", text="Franking waits for a sign-in here, and this address does not belong to it."
)


class Listener(AbstractContextManager["Listener"]):
    """Listen on 127.0.0.1, a free port, for the one GET or POST that carries the right ``state``; ignore all else."""

    def __init__(self, *, host: str = "127.0.0.1", path: str = "/") -> None:
        """``host`` is the name in the redirect URI (``localhost`` for Microsoft); the socket is always 127.0.0.1."""
        self._path = path
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self.redirect_uri = f"http://{host}:{self.port}{path}"

    def wait(self, state: str, *, timeout: float) -> Mapping[str, str]:
        """Return the parameters (``code`` or ``error`` …) that came with this ``state``.

        ``timeout`` is in seconds. Raises ``LoginRequired`` with ``Evidence("oauth", reason="sign-in-timeout")`` when
        nothing came in time.
        """
        end = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            visits: dict[socket.socket, _Visit] = {}
            try:
                while (left := end - time.monotonic()) > 0:
                    for key, _ in selector.select(min(left, _TICK)):
                        if key.fileobj is self._socket:
                            self._accept(selector, visits)
                            continue
                        peer = key.fileobj
                        assert isinstance(peer, socket.socket)
                        visit = visits.get(peer)
                        # it may just have made room for a newer one, whose arrival was heard of in the same breath
                        if visit is None or not visit.read(peer):
                            continue
                        found = visit.parameters(self._path, state)
                        _reply(peer, found)
                        selector.unregister(peer)
                        del visits[peer]
                        peer.close()
                        if found is not None:
                            return found
            finally:
                for peer in visits:
                    peer.close()
        raise LoginRequired(
            f"Nobody finished the sign-in in the browser within {timeout:g} seconds.",
            evidence=Evidence("oauth", reason="sign-in-timeout", details={"seconds": timeout}),
        )

    def _accept(self, selector: selectors.BaseSelector, visits: dict[socket.socket, _Visit]) -> None:
        try:
            peer, _ = self._socket.accept()
        except OSError:  # gone again before we looked
            return
        peer.setblocking(False)
        if len(visits) >= _CONNECTIONS:  # the oldest is a spare connection that says nothing
            oldest = next(iter(visits))
            selector.unregister(oldest)
            del visits[oldest]
            oldest.close()
        visits[peer] = _Visit()
        selector.register(peer, selectors.EVENT_READ)

    def close(self) -> None:
        """Stop listening; what comes now is refused at once."""
        self._socket.close()

    def __exit__(self, *error: object) -> None:
        self.close()


@dataclass(slots=True)
class _Visit:
    """One browser connection: the bytes of its one request, until they are complete."""

    data: bytearray = field(default_factory=bytearray, repr=False)
    ended: bool = False

    def read(self, peer: socket.socket) -> bool:
        """Take what has come; True when the request is complete, too long, or cut off."""
        try:
            chunk = peer.recv(16384)
        except BlockingIOError:
            return False
        except OSError:
            chunk = b""
        self.data += chunk
        self.ended = not chunk
        return self.ended or len(self.data) > _REQUEST_LIMIT or self._complete()

    def _complete(self) -> bool:
        head, separator, body = bytes(self.data).partition(b"\r\n\r\n")
        length = _header(head, b"content-length")
        return bool(separator) and (not length.isdigit() or len(body) >= int(length[:9]))

    def parameters(self, path: str, state: str) -> Mapping[str, str] | None:
        """Return the request's parameters if it is the one that is waited for, else None."""
        if self.ended or len(self.data) > _REQUEST_LIMIT:
            return None
        head, _, body = bytes(self.data).partition(b"\r\n\r\n")
        method, _, rest = head.partition(b"\r\n")[0].partition(b" ")
        target = _target(rest.partition(b" ")[0].decode("latin-1"))
        if target is None or target[0] != path:
            return None
        query = ""
        if method == b"GET":
            query = target[1]
        elif method == b"POST" and _header(head, b"content-type").lower().startswith(_FORM):
            query = body.decode("latin-1")
        return _matching(query, state)


def _target(text: str) -> tuple[str, str] | None:
    """Return path and query of a request target, or None where it is no URL."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    return parts.path, parts.query


def _header(head: bytes, name: bytes) -> bytes:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip()
    return b""


def _matching(query: str, state: str) -> Mapping[str, str] | None:
    parameters = _parameters(query)
    if parameters.keys() & {"code", "error"} and _same(parameters.get("state", ""), state):
        return parameters
    return None


def _parameters(query: str) -> Mapping[str, str]:
    """Read a query; nothing of one that repeats a name, as no authorisation server does (RFC 6749 §3.1)."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=50)
    except ValueError:
        return {}
    parameters = dict(pairs)
    return parameters if len(parameters) == len(pairs) else {}


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _reply(peer: socket.socket, found: Mapping[str, str] | None) -> None:
    status, page = "404 Not Found", _OTHER
    if found is not None:
        status, page = "200 OK", _DONE if "code" in found else _DECLINED
    body = page.encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n"
        "Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n"
        "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n\r\n"
    )
    with suppress(OSError):  # the browser did not wait for its page; what it brought counts all the same
        peer.settimeout(2)  # the page is small enough for the kernel's buffer
        peer.sendall(head.encode() + body)
        peer.shutdown(socket.SHUT_WR)


def pasted(text: str, state: str) -> Mapping[str, str]:
    """Read what a person pasted: the whole redirect URL, its query, or the bare code; an error in it is understood too.

    Raises ``LoginRequired`` (with evidence) for another login's ``state`` or for something that is neither.
    """
    words = _clean(text)
    split = _split(words)
    parameters = _parameters(split) if split is not None else {}
    if "code" in parameters or "error" in parameters:
        if not _same(parameters.get("state", ""), state):
            raise LoginRequired(
                "What was pasted belongs to another sign-in (its state differs). "
                "Open the address shown last and paste its answer.",
                evidence=Evidence("oauth", reason="state-mismatch"),
            )
        return parameters
    if split is None and re.fullmatch(r"[!-~]{8,4096}", words) and not re.search(r"[<>\"'{}@]", words):
        return {"code": unquote(words)}
    raise LoginRequired(
        "That is neither the address that the browser ended at nor a code. "
        "Copy the whole address line of the page that would not load.",
        evidence=Evidence("oauth", reason="paste-not-understood"),
    )


def _cut(text: str, state: str) -> bool:
    """Return whether this looks like the beginning of an address: terminals hand what is pasted over line by line."""
    words = _clean(text)
    split = _split(words)
    if split is None or not re.match(r"(https?://)?(127\.0\.0\.1|localhost)(:\d+)?/?[?#]", words):
        return False
    parameters = _parameters(split)
    came = parameters.get("state", "")
    if not _same(came, state):
        return state.startswith(came)
    if "error" in parameters:
        return False
    return "code" not in parameters or split.rpartition("&")[2].partition("=")[0] == "code"


def _clean(text: str) -> str:
    text = re.sub("[\ud800-\udfff]", "\ufffd", text)  # octets of a terminal that are no UTF-8
    return re.sub(r"[\s\x00-\x1f\x7f]", "", text).strip("\"'<>`")  # terminals wrap long lines


def _split(words: str) -> str | None:
    """Find the query in what was pasted; None where it can only be a bare code."""
    if "://" in words or words.startswith(("localhost", "127.0.0.1")):
        try:
            parts = urlsplit(words if "://" in words else f"http://{words}")
        except ValueError:
            return ""
        return parts.query or parts.fragment
    if re.match(r"[/?#&]*(\w+=[^&]*&)*(code|error|state)=", words):
        return words.lstrip("/?#&").partition("#")[0]
    return None


def open_in_background(open_browser: Callable[[str], bool], url: str) -> bool:
    """Call ``webbrowser.open`` for a login's user interface; return False where there is no browser.

    A browser of the terminal (w3m, lynx, what $BROWSER names) runs until its person leaves it, and waits meanwhile for
    the page that this side shows at the end: nobody waits for it here. It inherits our environment without the secrets
    in it; while it starts they are out of ``os.environ``, so this is for programs that do nothing else meanwhile.
    """
    return url.startswith(("https://", "http://127.0.0.1", "http://localhost")) and open_page(open_browser, url)


def open_page(open_browser: Callable[[str], bool], url: str) -> bool:
    """Do the same for an address that is our own."""
    opened: list[bool] = []

    def run() -> None:
        import webbrowser

        try:
            opened.append(open_browser(url))
        except webbrowser.Error:
            opened.append(False)

    thread = threading.Thread(target=run, name="franking browser", daemon=True)
    secrets = {name: os.environ.pop(name) for name in secret_names(os.environ)}
    try:
        thread.start()
        thread.join(BROWSER_SECONDS)
    finally:
        os.environ.update(secrets)
    return opened[0] if opened else True


def authorization_response(
    ui: LoginUI, listener: Listener, url: str, state: str, *, timeout: float = SIGN_IN_SECONDS
) -> Mapping[str, str]:
    """Lead the person to ``url`` and return the parameters that come back, by the browser or from the clipboard.

    ``code`` or ``error`` is in them. ``timeout`` is in seconds. Raises ``LoginRequired`` with evidence:
    ``sign-in-timeout``, ``state-mismatch`` or ``paste-not-understood``.
    """
    if ui.no_browser:
        listener.close()  # so that the browser's last page fails at once, with everything in its address line
        ui.show(
            f"Open this address in a browser, on any computer:\n\n{url}\n\n"
            "After the sign-in the browser ends at a page that does not load. That is expected: "
            "copy the whole address of that page."
        )
        return _pasted_by(ui, state)
    if not ui.open_url(url):
        ui.show(
            f"Open this address in a browser on this computer:\n\n{url}\n\n"
            "Is the browser on another computer? Run there first: "
            f"ssh -N -L {listener.port}:127.0.0.1:{listener.port} USER@THIS-COMPUTER\n"
            "or stop here and sign in with --no-browser."
        )
    return listener.wait(state, timeout=timeout)


def _pasted_by(ui: LoginUI, state: str) -> Mapping[str, str]:
    """Ask for what the browser ended at; what is nothing of the kind is asked for again, with the reason."""
    for _ in range(_PASTES - 1):
        try:
            return pasted(_whole_paste(ui, state), state)
        except LoginRequired as wrong:
            if not (isinstance(ui, AsksAgain) and ui.asks_again):
                raise
            ui.show(str(wrong))
    return pasted(_whole_paste(ui, state), state)


def _whole_paste(ui: LoginUI, state: str) -> str:
    text = ui.ask("Paste the address (or the code in it)")
    for _ in range(_PIECES):
        if not _cut(text, state):
            break
        more = ui.ask("That ends early. If there is more, paste the rest (else press Enter)")
        if not more.strip():
            break
        text += more
    return text
