"""The addresses of this machine's network interfaces, asked of the system alone."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress

__all__ = ["addresses_of_interfaces"]

SIOCGIFADDR = 0x8915


def addresses_of_interfaces() -> list[str]:
    """Return the IPv4 address of each network interface, where Linux tells (netdevice(7))."""
    found: list[str] = []
    with suppress(ImportError, OSError, AttributeError):
        import fcntl

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for _, name in socket.if_nameindex():
                with suppress(OSError):
                    answer = fcntl.ioctl(sock, SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
                    found.append(socket.inet_ntoa(answer[20:24]))
    return found
