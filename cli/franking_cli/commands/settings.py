"""``franking settings``: the settings and the test in a browser, on this computer alone."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from franking.account.config import load
from franking.auth.redirect import open_page
from franking.auth.store import state_directory
from franking.errors import SettingsError
from franking_cli.command import command
from franking_cli.console import Console
from franking_cli.options import AccountName, NoBrowser

if TYPE_CHECKING:
    from franking.web.local import LocalPage

__all__ = ["run"]

_UNITS = {"s": 1, "m": 60, "h": 3600}


@command
def run(
    console: Console,
    account: AccountName = None,
    *,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to serve at; 0 takes a free one.")] = 0,
    idle: Annotated[
        str, typer.Option("--idle", metavar="TIME", help="End when unused so long: 30s, 60m, 2h; 0 never.")
    ] = "60m",
    no_browser: NoBrowser = False,
) -> int:
    """Set accounts up and test them in a browser.

    franking settings shop

    Serves the page on this computer only and prints its address; ends with Ctrl-C, or when nobody has used it for a
    while.
    """
    from franking.web.local import LocalPage, write_door
    from franking_cli.settings_server import SettingsServer

    seconds = _seconds(idle)
    try:
        server = SettingsServer(port)
    except OSError as problem:
        said = console.words("settings.port", port=port, why=problem.strerror)
        raise SettingsError(said) from None
    door = None
    with server:
        page = LocalPage(server.server_port, account=account or _first(), idle=seconds, language=console.asked_language)
        page.look  # noqa: B018  (a missing package is told before anything is served)
        serving = threading.Thread(target=server.serve, args=(page.wsgi,), name="franking settings", daemon=True)
        serving.start()
        try:
            _show_address(console, page)
            if not no_browser:
                door = write_door(page.url, state_directory(os.environ))
            if door is None or not _opened(door):
                _say_how(console, page.port)
            while not seconds or time.monotonic() - page.used < seconds:
                time.sleep(0.2)
        except KeyboardInterrupt:
            return 130
        finally:
            server.shutdown()
            if door is not None:
                door.unlink(missing_ok=True)
    return 0


def _show_address(console: Console, page: LocalPage) -> None:
    if console.json_output:
        console.answer({"url": page.url, "port": page.port, "pid": os.getpid()})
    else:
        console.data(page.url)


def _seconds(text: str) -> float:
    """Read a length of time; 0 is for ever."""
    found = re.fullmatch(r"(\d{1,6})([smh])|0", text.strip())
    if found is None:
        raise typer.BadParameter(f"--idle: {text!r} is not a time such as 30s, 60m or 2h")
    return float(found[1] or 0) * _UNITS.get(found[2], 0)


def _first() -> str | None:
    """Return the account that is shown first; a settings file that cannot be read is told on the page."""
    try:
        return load().chosen
    except SettingsError:
        return None


def _opened(door: Path) -> bool:
    """Open the browser on a file that leads to the page: an address in its arguments would be seen by all."""
    import webbrowser

    return open_page(webbrowser.open, door.as_uri())


def _say_how(console: Console, port: int) -> None:
    """Say how a browser, also one on another computer, gets here."""
    if not console.json_output:
        console.say(console.words("settings.open"))
        console.raw(f"  ssh -L {port}:127.0.0.1:{port} {socket.gethostname()}")
