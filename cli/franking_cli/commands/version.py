"""``franking version``."""

from __future__ import annotations

from franking import __version__
from franking_cli.command import command
from franking_cli.console import Console

__all__ = ["run"]


@command
def run(console: Console) -> None:
    """Show the version.

    franking version
    """
    if console.json_output:
        console.answer({"version": __version__})
    else:
        console.data(f"franking {__version__}")
