"""An HTTP proxy that leads on to ports of this machine (CONNECT), itself behind TLS where there is a context.

with Tunnel(seen) as port:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}") …
"""

from __future__ import annotations

import socket
import ssl
import threading

__all__ = ["Tunnel"]


class Tunnel:
    """The proxy; gives its port. ``seen`` gets the first line of what it is asked, ``heads`` the whole."""

    def __init__(self, seen: list[str], *, refuse: bool = False, context: ssl.SSLContext | None = None) -> None:
        self._seen, self._refuse, self._context = seen, refuse, context
        self.heads: list[str] = []
        self._server = socket.create_server(("127.0.0.1", 0))

    def __enter__(self) -> int:
        threading.Thread(target=self._run, daemon=True).start()
        return int(self._server.getsockname()[1])

    def __exit__(self, *exc: object) -> None:
        self._server.close()

    def _run(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            if self._context is not None:
                client = self._context.wrap_socket(client, server_side=True)
            with client:
                head = client.recv(65536).decode()
                self.heads.append(head)
                self._seen.append(head.splitlines()[0])
                if self._refuse:
                    client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                    continue
                port = int(head.split()[1].rpartition(":")[2])
                with socket.create_connection(("127.0.0.1", port)) as target:
                    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                    other = threading.Thread(target=_pump, args=(target, client), daemon=True)
                    other.start()
                    _pump(client, target)
                    other.join(5)


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass
