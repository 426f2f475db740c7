"""The page about many messages says what the code does: the limits of each route, the flags, the exit codes."""

from __future__ import annotations

import re
from pathlib import Path

from franking.registry import provider
from franking_cli.app import load

PAGE = (Path(__file__).parents[2] / "docs" / "many-messages.md").read_text(encoding="utf-8")


def number(value: int | None) -> str:
    return f"{value:,}" if value else "–"


def test_the_limits_are_the_facts() -> None:
    rows = {
        row[0]: row[1:] for row in re.findall(r"^  \| `([a-z-]+)` \| (.+?) \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)
    }
    expected = {}
    for name in ("smtp", "gmail", "outlook"):
        found = provider(name)
        for route in found.facts.routes:
            day = number(route.per_day)
            if route.per_day_personal:
                day += f"; {number(route.per_day_personal)} for {found.facts.mail_domains[0]}"
            expected[route.name] = (number(route.per_minute), day, number(route.connections))
    assert rows == expected


def test_every_flag_that_is_named_exists() -> None:
    flags = {option for parameter in load("send-many").params for option in parameter.opts}
    named = set(re.findall(r"`(--[a-z-]+)", PAGE)) | set(re.findall(r" (--[a-z-]+) ", PAGE))
    assert named <= flags
    assert {"--limit", "--rate", "--per-day", "--connections", "--window", "--dry-run", "--resend-unknown"} <= named
