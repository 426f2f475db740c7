"""``franking version``, and what ``franking --version`` prints."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution, metadata

from franking import __version__
from franking_cli.command import command
from franking_cli.console import Console

__all__ = ["installed_extras", "run", "told"]

_ASKED = re.compile(r"([\w.-]+).*\bextra\s*==\s*['\"]([\w-]+)['\"]")


@command
def run(console: Console) -> None:
    """Show the version, that of Python, and which extras are installed.

    franking version
    """
    if console.json_output:
        extras = installed_extras()
        console.answer({"version": __version__, "python": platform.python_version(), "extras": extras})
    else:
        console.data(told())


def told() -> str:
    """Return what a report of a mistake has to say, in one line."""
    extras = ", ".join(installed_extras()) or "none"
    return f"franking {__version__}, Python {platform.python_version()}, extras: {extras}"


def installed_extras() -> list[str]:
    """Return the extras whose packages are all there."""
    try:
        found = metadata("franking")
    except PackageNotFoundError:  # run from its sources, never installed
        return []
    asked = _asked(found.get_all("Requires-Dist") or ())
    names = found.get_all("Provides-Extra") or ()
    return [name for name in names if name in asked and all(map(_installed, asked[name]))]


def _asked(requirements: Iterable[str]) -> dict[str, list[str]]:
    """Return the packages of each extra."""
    asked: dict[str, list[str]] = {}
    for line in requirements:
        if (wanted := _ASKED.match(line)) and wanted[1] != "franking":
            asked.setdefault(wanted[2], []).append(wanted[1])
    return asked


def _installed(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True
