"""Has a client that closed its sending side heard the reply? ``printf … | nc -N`` has; who hung up has not."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys

__all__ = ["has_heard"]

LOOKS, PAUSE_SECONDS = 20, 0.05


async def has_heard(transport: asyncio.Transport) -> bool:
    """Return whether all that was written has come to the other side; what the system cannot tell has not."""
    if sys.platform != "linux":
        return False
    import fcntl
    import termios

    sock: socket.socket = transport.get_extra_info("socket")
    for _ in range(LOOKS):
        if transport.is_closing():
            return False
        (waiting,) = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):  # nobody is there any more: it was reset
            return False
        if not waiting:
            return True
        await asyncio.sleep(PAUSE_SECONDS)
    return False
