"""What is found that belongs to no account: how the relay is set up, the store, alerts that nobody got. The outbox
has a file of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from franking.auth.named_store import named_store
from franking.errors import FrankingError
from franking.health.deadlines import relay_certificate
from franking.health.finding import Finding

if TYPE_CHECKING:
    from franking.account.config import Config

__all__ = ["relay", "shared_store", "untold"]


def relay(config: Config, state: Path, now: float) -> Iterator[Finding]:
    """Return how long the certificates hold that ``[relay]`` names, and the one that was made here for it (the one that
    ends first, for all of them), and where it takes encryption that is broken.
    """
    if "relay" not in config.sections:
        return
    listen = config.sections["relay"].get("listen")
    tables = [entry for entry in listen if isinstance(entry, dict)] if isinstance(listen, list) else []
    folder = Path(config.location).parent
    named = (entry["certificate"] for entry in tables if isinstance(entry.get("certificate"), str))
    paths = [folder / Path(one).expanduser() for one in named]
    made = state / "relay.pem"
    found = [one for path in (*paths, made) if path.exists() and (one := relay_certificate(path, now)) is not None]
    if found:
        yield min(found, key=lambda one: one.expires_at)
    old = [str(entry.get("address")) for entry in tables if entry.get("legacy_tls") is True]
    yield Finding("relay.legacy-tls", "warning" if old else "ok", {"addresses": ", ".join(old)})


def shared_store(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Ask whether a shared store keeps what it is told; nothing where secrets lie on this machine. That it is away, or
    that the key does not fit, each account says whose sign-in lies there.
    """
    try:
        store = named_store(environ)
        concerns = [] if store is None else [hint.code for hint in store.concerns()]
    except FrankingError:
        return
    if store is not None:
        for code in ("store.not-durable", "store.evicts"):
            yield Finding(code, "warning" if code in concerns else "ok")


def untold(channels: Mapping[str, str]) -> Finding:
    """Return whether an alert could not be told: by which channels, and why."""
    if not channels:
        return Finding("alert.untold", "ok")
    return Finding("alert.untold", "critical", {"untold": tuple(sorted(channels.items()))})
