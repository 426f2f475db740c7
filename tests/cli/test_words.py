"""The language that commands speak: what was asked for, else the locale's; never in JSON."""

from __future__ import annotations

import re
import tomllib

import pytest

from commandline import Franking
from franking_cli.words import FOLDER, language_of, languages

OTHERS = [name for name in languages() if name != "en"]
WRONG = (
    "send-test",
    "--provider",
    "smtp",
    "--from",
    "me@x.invalid",
    "--host",
    "smtp.x.invalid",
    "--no-auth",
    "--to",
    "me@x.cz",
)


def table(language: str) -> dict[str, str]:
    read = tomllib.loads((FOLDER / f"{language}.toml").read_text("utf-8"))
    return {f"{section}.{key}": text for section, texts in read.items() for key, text in texts.items()}


@pytest.mark.parametrize("language", OTHERS)
def test_the_same_keys_and_the_same_places(language: str) -> None:
    english, other = table("en"), table(language)
    assert set(other) == set(english)
    for key, text in english.items():
        assert sorted(re.findall(r"\{\w*\}", text)) == sorted(re.findall(r"\{\w*\}", other[key])), key


@pytest.mark.parametrize(
    ("option", "environ", "language"),
    [
        (None, {}, "en"),
        (None, {"LANG": "cs_CZ.UTF-8"}, "cs"),
        (None, {"LANG": "sk_SK.UTF-8"}, "cs"),
        (None, {"LC_ALL": "C", "LANG": "cs_CZ.UTF-8"}, "en"),
        (None, {"LC_MESSAGES": "cs_CZ", "LANG": "de_DE"}, "cs"),
        (None, {"FRANKING_LANGUAGE": "en", "LANG": "cs_CZ"}, "en"),
        ("cs", {"FRANKING_LANGUAGE": "en"}, "cs"),
        (None, {"FRANKING_LANGUAGE": "klingon", "LANG": "cs_CZ"}, "cs"),
    ],
)
def test_which_language(option: str | None, environ: dict[str, str], language: str) -> None:
    assert language_of(option, environ) == language


def test_a_failure_in_czech(franking: Franking) -> None:
    ended = franking(*WRONG, "--language", "cs")
    assert ended.code == 1
    assert "Takový server neexistuje" in ended.err and "Co s\u00a0tím (můžete to napravit sami)" in ended.err


def test_json_stays_english(franking: Franking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "cs_CZ.UTF-8")
    assert franking(*WRONG, "--json").json["diagnosis"]["title"] == "There is no such server"


def test_an_unknown_language(franking: Franking) -> None:
    ended = franking("check", "--language", "xx")
    assert ended.code == 2 and "en, cs" in ended.err
