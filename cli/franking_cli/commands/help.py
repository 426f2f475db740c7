"""``franking help``: another way to ``franking WORD --help``. What a help screen looks like is in ``../help.py``."""

from __future__ import annotations

from typing import Annotated

import typer

from franking_cli.command import command
from franking_cli.console import Console

__all__ = ["run"]


def _completed(incomplete: str) -> list[str]:
    from franking_cli.app import COMMANDS

    return [name for name in COMMANDS if name.startswith(incomplete)]


@command
def run(
    console: Console,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="WORD", help="A command, such as send-test or accounts add.", autocompletion=_completed),
    ] = None,
) -> int:
    """Show the help of a command.

    franking help send-test
    """
    from franking_cli.app import run as act

    return act([*(words or ()), "--help"])
