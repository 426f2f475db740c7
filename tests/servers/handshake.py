"""The server's side of a TLS handshake, for servers of tests: nothing of a client that left in the middle stays."""

from __future__ import annotations

import socket
import ssl
import traceback

__all__ = ["shake_hands"]


def shake_hands(context: ssl.SSLContext, sock: socket.socket) -> ssl.SSLSocket:
    """Return the socket under TLS; where that fails nothing of it is open. Raises ``OSError`` or ``ValueError``."""
    try:
        return context.wrap_socket(sock, server_side=True)
    except (OSError, ValueError) as problem:
        sock.close()
        # of a client that was gone before it began, ssl leaves open what it made (SSLSocket._create, 3.11 to 3.13)
        for frame, _ in traceback.walk_tb(problem.__traceback__):
            half_made = frame.f_locals.get("self")
            if isinstance(half_made, ssl.SSLSocket):
                half_made.close()
        raise
