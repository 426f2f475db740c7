"""Health in Prometheus' text form (version 0.0.4): no addresses, no subjects; an account's name that is an address is
hashed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from franking.health.finding import LEVELS, Entry
from franking.health.look import Health

__all__ = ["family", "label", "metrics"]


def metrics(health: Health) -> str:
    """Return all that is known, as a scraper or node_exporter's textfile collector reads it."""
    entries = health.entries
    lines = [
        *family(
            "franking_account_level",
            "0 ok, 1 warning, 2 critical; the empty account is what belongs to none.",
            ((_account(entry), LEVELS.index(entry.level)) for entry in entries),
        ),
        *family("franking_finding", "1 for each thing that was looked at.", _findings(entries)),
        *family("franking_expires_timestamp_seconds", "When something ends.", _ends(entries)),
        *family(
            "franking_checked_timestamp_seconds",
            "When it was looked at.",
            ((_account(entry), f"{entry.checked_at:.3f}") for entry in entries),
        ),
    ]
    if health.outbox.counts:
        counts = (({"state": state}, number) for state, number in health.outbox.counts.items())
        oldest = f"{health.outbox.oldest:.1f}"
        lines += family("franking_outbox_messages", "Messages in the outbox by their state.", counts)
        lines += family("franking_outbox_oldest_seconds", "How long the oldest message waits.", [({}, oldest)])
    return "\n".join(lines) + "\n"


def family(
    name: str, words: str, samples: Iterable[tuple[dict[str, str], int | str]], kind: str = "gauge"
) -> Iterator[str]:
    """Return the lines of one metric."""
    yield f"# HELP {name} {words}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        yield f"{name}{{{inside}}} {value}" if inside else f"{name} {value}"


def label(account: str | None) -> str:
    """Return an account's name for a label; one that is an address is hashed."""
    if account is not None and "@" in account:
        return hashlib.sha256(account.encode()).hexdigest()[:12]
    return account or ""


def _account(entry: Entry) -> dict[str, str]:
    return {"account": label(entry.account)}


def _findings(entries: Iterable[Entry]) -> Iterator[tuple[dict[str, str], int]]:
    for entry in entries:
        for one in entry.findings:
            yield {**_account(entry), "code": one.code, "level": one.level}, 1


def _ends(entries: Iterable[Entry]) -> Iterator[tuple[dict[str, str], str]]:
    for entry in entries:
        for one in entry.findings:
            if one.expires_at:
                yield {**_account(entry), "what": one.what}, f"{one.expires_at:.0f}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
