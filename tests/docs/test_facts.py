"""What pages state of a provider is what its facts say: limits, scopes, codes, samples of settings."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import franking
from franking.diagnosis.diagnosis import Diagnosis
from franking.gmail.facts import API, FACTS, SMTP
from franking.gmail.rules import RULES
from franking.registry import provider

DOCS = Path(__file__).parents[2] / "docs"
GMAIL = (DOCS / "gmail.md").read_text("utf-8")
MANY = (DOCS / "many-messages.md").read_text("utf-8")


def test_every_code_of_google_is_listed_with_its_title() -> None:
    listed = dict(re.findall(r"^\| `(google\.[a-z-]+)` \| (.+) \|$", GMAIL, re.MULTILINE))
    assert listed == {rule.code: Diagnosis(rule.code).title for rule in RULES if rule.code.startswith("google.")}


@pytest.mark.parametrize("route", [API, SMTP])
def test_the_limits_and_scopes_of_gmail(route: str) -> None:
    facts = FACTS.route(route)
    assert facts.size is not None
    assert f"{facts.size:,} bytes" in GMAIL
    assert f"`{facts.scopes[-1]}`" in GMAIL
    assert f"{facts.recipients} recipients per message" in GMAIL
    assert f"{facts.per_day_personal} messages a day for gmail.com" in GMAIL


def test_the_samples_for_gmail_are_accounts() -> None:
    samples = re.findall(r"```toml\n(.*?)```", GMAIL, re.DOTALL)
    assert len(samples) == 2
    for sample in samples:
        for name, settings in tomllib.loads(sample)["accounts"].items():
            account = franking.Account(name=name, sender=settings.pop("from"), **settings)
            assert account.route == API


def number(value: int | None) -> str:
    if not value:
        return "–"
    return f"{value:,}"


def test_the_limits_of_every_route() -> None:
    rows = {
        name: cells
        for name, *cells in re.findall(r"^  \| `([a-z-]+)` \| (.+?) \| (.+?) \| (.+?) \|$", MANY, re.MULTILINE)
    }
    expected = {}
    for facts in (provider(name).facts for name in ("smtp", "gmail", "outlook")):
        for route in facts.routes:
            day = number(route.per_day)
            if route.per_day_personal:
                day += f"; {number(route.per_day_personal)} for {facts.mail_domains[0]}"
            expected[route.name] = [number(route.per_minute), day, number(route.connections)]
    assert rows == expected
