"""HTTP as Franking wants it: our TLS, one attempt, no redirects, proxies from the environment; and what an HTTP failure means for a message."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import requests

__all__ = ["session"]


def session(ca_file: str | None, *, timeout: float) -> requests.Session:
    """Make a requests session: ``tls.context(ca_file)``, no retries, no redirects, ``trust_env`` off but HTTPS_PROXY/NO_PROXY honoured.

    Every request has ``timeout`` unless it names its own. The environment's CA bundle variables do not replace our context.
    """
    raise NotImplementedError
