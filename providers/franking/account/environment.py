"""The environment variables that belong to accounts, and what a program that is started must not get of them; where
programs keep what they remember; what a relative path is meant from.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping

from franking.errors import Evidence, SettingsError

__all__ = ["absolute", "secret_names", "secret_variable", "setting_variable", "state_folder", "user_folder"]

_FREEDESKTOP = {"config": ("XDG_CONFIG_HOME", ".config"), "state": ("XDG_STATE_HOME", ".local/state")}
_SECRETS = ("FRANKING_SECRET_", "FRANKING_STORE_KEY")


def secret_variable(name: str) -> str:
    """Return the variable that may hold an account's secret: ``FRANKING_SECRET_MY_SHOP`` for ``my-shop``."""
    return "FRANKING_SECRET_" + re.sub("[^A-Z0-9]", "_", name.upper())


def setting_variable(provider: str, key: str) -> str:
    """Return the variable that may hold a default for all accounts of a provider: ``FRANKING_OUTLOOK_CLIENT_ID``."""
    return f"FRANKING_{provider}_{key}".upper()


def secret_names(environ: Mapping[str, str]) -> list[str]:
    """Return the variables that hold secrets: they are no business of any program that is started."""
    found = [name for name in environ if name.startswith(_SECRETS)]
    if "://" in environ.get("FRANKING_STORE", ""):  # a server's address, with its password
        found.append("FRANKING_STORE")
    return found


def absolute(path: str) -> str:
    """Return a path from the root, by the working directory where it is relative; one that was removed in the meantime
    is a ``SettingsError``.
    """
    if os.path.isabs(path):
        return path
    try:
        return os.path.join(os.getcwd(), path)
    except FileNotFoundError:
        raise SettingsError(
            f"{path} is looked for in the folder that you are in, and that one was removed.",
            evidence=Evidence("settings", reason="no-directory", details={"path": path}),
        ) from None


def state_folder(environ: Mapping[str, str]) -> str:
    """Return where programs of this user keep what they remember: ``$FRANKING_STATE_DIR``, else the system's place."""
    if named := environ.get("FRANKING_STATE_DIR"):
        # no pathlib: a program that only sends does without its 3 ms
        return absolute(os.path.expanduser(named))
    return user_folder("state")


def user_folder(kind: str) -> str:
    """Return the system's place for a user's settings (``config``), or for what programs remember (``state``)."""
    if sys.platform == "linux" and not hasattr(sys, "getandroidapilevel"):
        # what platformdirs says there, without it: it took a fifth of what a first message costs
        variable, usual = _FREEDESKTOP[kind]
        base = os.environ.get(variable) or os.path.join(os.environ.get("HOME", "").rstrip("/"), usual)
        if os.path.isabs(base) and base == base.strip():
            return os.path.join(base, "franking")
    import platformdirs

    found: str = getattr(platformdirs, f"user_{kind}_dir")("franking", appauthor=False)
    return found
