"""The words of findings: each code has them in every language, with the same values and commands."""

from __future__ import annotations

import re

import pytest

from franking.diagnosis import texts
from franking.diagnosis.diagnosis import Diagnosis
from franking.health.finding import Finding, worst

ENGLISH = texts.entries("en", "health.")
OTHERS = [name for name in texts.languages() if name != "en"]
PLACES = """
account host why critical until over disuse testing fallback reason minutes number percent path channels level was code
addresses unkept
"""


@pytest.mark.parametrize("language", OTHERS)
def test_every_text_has_its_twin(language: str) -> None:
    other = texts.entries(language, "health.")
    assert list(other) == list(ENGLISH)
    for code, words in ENGLISH.items():
        assert list(other[code]) == list(words)
        for key, text in words.items():
            ours, theirs = (_flat(text), _flat(other[code][key]))
            assert len(ours) == len(theirs), code
            for one, twin in zip(ours, theirs, strict=True):
                assert sorted(re.findall(r"\{\??\w+\}", one)) == sorted(re.findall(r"\{\??\w+\}", twin)), twin
                assert one.split("`")[1::2] == twin.split("`")[1::2], twin
                assert not re.search(r"(?<![\w{])[kosuvzKOSUVZ] (?=\w)", " ".join(twin.split("`")[::2])), twin


def _flat(text: object) -> list[str]:
    if isinstance(text, str):
        return [text]
    assert isinstance(text, list)
    return [one for part in text for one in _flat(part)]


def test_what_is_asked_for_is_known() -> None:
    for words in ENGLISH.values():
        for text in words.values():
            for one in _flat(text):
                assert set(texts.names(one)) <= set(PLACES.split()), one


@pytest.mark.parametrize("code", [code for code in ENGLISH if code != "alert"])
@pytest.mark.parametrize("language", texts.languages())
def test_whatever_is_not_well_has_a_remedy_and_no_gap(code: str, language: str) -> None:
    values = dict.fromkeys(PLACES.split(), "7")
    for level in ("ok", "warning", "critical")[: 1 if code.endswith(".ok") else 3]:
        for known in (values, {"account": "shop", "until": "x", "number": 1, "minutes": 1, "percent": 1, "path": "p"}):
            known = {"host": "h", "fallback": "f", "reason": "r", "channels": "c", "addresses": "a", **known}
            found = Finding(code, level, known, Diagnosis("login.refused") if "why" in known else None)
            text = found.text(language)
            assert text and "{" not in text and ".." not in text, text
            assert text[0].isupper() or text.startswith(("shop", "7", "f ", "h ")), text
            assert bool(found.remedies(language)) == (level != "ok"), code


def test_the_remedies_of_what_was_met_come_first() -> None:
    met = Diagnosis("login.refused", {"username": "info"})
    found = Finding("password.refused", "critical", {"account": "shop"}, met)
    assert found.remedies()[: len(met.remedies)] == met.remedies
    assert len(found.remedies()) > len(met.remedies)
    assert found.remedies("cs")[0] == met.in_language("cs").remedies[0]


def test_no_command_is_told_twice() -> None:
    found = Finding("signin.dead", "critical", {"account": "shop"}, Diagnosis("login.required", {"account": "shop"}))
    assert [text.count("`franking login shop`") for text in found.remedies()] == [1]


def test_the_worst_of_none_is_ok() -> None:
    assert (worst([]), worst(["ok", "critical", "warning"])) == ("ok", "critical")
