"""What docs/gmail.md claims, compared with the code: codes, limits, scopes, settings and commands."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import franking
from franking.diagnosis.diagnosis import Diagnosis
from franking.gmail.facts import API, FACTS, SMTP
from franking.gmail.rules import RULES
from franking_cli.app import run

PAGE = (Path(__file__).parents[2] / "docs" / "gmail.md").read_text()


def test_every_code_of_google_is_listed_with_its_title() -> None:
    listed = dict(re.findall(r"^\| `(google\.[a-z-]+)` \| (.+) \|$", PAGE, re.MULTILINE))
    assert listed == {rule.code: Diagnosis(rule.code).title for rule in RULES if rule.code.startswith("google.")}


@pytest.mark.parametrize("route", [API, SMTP])
def test_limits_and_scopes(route: str) -> None:
    facts = FACTS.route(route)
    assert facts.size is not None
    assert f"{facts.size:,} bytes" in PAGE
    assert f"`{facts.scopes[-1]}`" in PAGE
    assert f"{facts.recipients} recipients per message" in PAGE
    assert f"{facts.per_day_personal} messages a day for gmail.com" in PAGE


def test_the_samples_are_accounts() -> None:
    samples = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert len(samples) == 2
    for sample in samples:
        for name, settings in tomllib.loads(sample)["accounts"].items():
            account = franking.Account(name=name, sender=settings.pop("from"), **settings)
            assert account.route == API


def test_the_commands_have_the_options_that_are_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = re.findall(r"^franking ([a-z-]+) ?([^#<>\n]*)", PAGE, re.MULTILINE) + re.findall(
        r"`franking ([a-z-]+) ?([^`]*)`", PAGE
    )
    assert len(shown) > 8
    for word, rest in shown:
        words = [word, *(rest.split()[:1] if word == "accounts" else [])]
        assert run([*words, "--help"]) == 0
        known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
        assert set(re.findall(r"--[a-z-]+", rest)) <= known, (word, rest)
