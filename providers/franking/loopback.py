"""The browser's way back from a sign-in: one loopback listener for both OAuth providers, and the pasted redirect URL. No OAuth library here."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

__all__ = ["Listener", "pasted"]


class Listener:
    """Listen on 127.0.0.1, a free port, for the one GET or POST that carries the right ``state``; ignore everything else."""

    def __init__(self, *, host: str = "127.0.0.1", path: str = "/") -> None:
        """``host`` is the name to put into the redirect URI (``localhost`` for Microsoft); the socket is always 127.0.0.1."""
        raise NotImplementedError

    @property
    def redirect_uri(self) -> str:
        raise NotImplementedError

    @property
    def port(self) -> int:
        raise NotImplementedError

    def wait(self, state: str, *, timeout: float) -> Mapping[str, str]:
        """Give the parameters (``code`` or ``error`` …) that came with this ``state``.

        Raises ``LoginRequired`` with ``Evidence("oauth", reason="sign-in-timeout")`` when nothing came in time.
        """
        raise NotImplementedError

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        raise NotImplementedError


def pasted(text: str, state: str) -> Mapping[str, str]:
    """Read what a person pasted: the whole redirect URL, its query, or the bare code; an error in it is understood too.

    Raises ``LoginRequired`` (with evidence) for another login's ``state`` or for something that is neither.
    """
    raise NotImplementedError
