"""What tests of the page share: the page of this user, served by the command's own server, and a browser on it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from franking.web.local import LocalPage
from franking_cli.settings_server import SettingsServer
from servers.smtp import SmtpServer
from servers.web import Authority
from web.browser import Browser


class Served:
    """A page, the port that it is served at, and as many browsers as one wants."""

    def __init__(self, page: Any, port: int) -> None:
        self.page, self.port = page, port

    def browser(self, **options: Any) -> Browser:
        """Return a browser that has opened the page by its address."""
        made = Browser(self.port, **options)
        made.open(self.page.url)
        return made


def end(server: SettingsServer) -> None:
    """Let a server end at once: by itself it looks for that twenty times a second, and after each request."""
    ending = threading.Thread(target=server.shutdown)
    ending.start()
    with suppress(OSError), socket.create_connection(("127.0.0.1", server.server_port)):
        ending.join(10)


@pytest.fixture
def served() -> Iterator[Callable[..., Served]]:
    """Serve the page of this user: ``served(account="shop")``."""
    with ExitStack() as stack:

        def start(**options: Any) -> Served:
            server = stack.enter_context(SettingsServer(0))
            page = LocalPage(server.server_port, **options)
            thread = threading.Thread(target=server.serve, args=(page.wsgi,))
            thread.start()
            stack.callback(thread.join, 10)
            stack.callback(end, server)
            return Served(page, server.server_port)

        yield start


@pytest.fixture
def browser(served: Callable[..., Served]) -> Browser:
    return served().browser()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def mailbox(smtp_server: Callable[..., SmtpServer]) -> SmtpServer:
    """A mail server with one user."""
    return smtp_server(users={"info@novak.cz": "correct-horse"})


def settings(server: SmtpServer, **changed: str) -> dict[str, str]:
    """Return what a person types for this server."""
    return {
        "from": "Jan Novák <info@novak.cz>",
        "host": "127.0.0.1",
        "port": str(server.port),
        "security": "none",
        "authentication": "on",
        "username": "info@novak.cz",
        "password": "correct-horse",
        "to": "me@example.cz",
        **changed,
    }
