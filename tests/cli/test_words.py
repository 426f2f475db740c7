"""The language that commands speak: what was asked for, else the locale's; never in JSON."""

from __future__ import annotations

import email
import email.message
import email.policy
import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from commandline import Franking
from franking.diagnosis.texts import entries, said
from franking.registry import providers
from franking_cli.commands.status import age
from franking_cli.console import Console
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
        assert sorted(re.findall(r"\{(\w*)", text)) == sorted(re.findall(r"\{(\w*)", other[key])), key


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


def test_what_the_facts_say_is_there_in_every_language() -> None:
    for language in OTHERS:
        missing = [each for each in facts() if each and said(each, language) == each]
        assert not missing, language


def facts() -> Iterator[str]:
    for kind in providers():
        if not kind.__module__.startswith("franking."):
            continue
        yield from (route.why for route in kind.facts.routes)
        yield from (field.help for field in kind.fields if not field.choices and field.name != "password")
        for road in filter(None, (kind.facts.client, kind.facts.app_password)):
            yield road.price
            yield from (errand.do for errand in road.steps)
        if kind.facts.client is not None:
            yield kind.facts.client.letter


def test_a_sentence_with_values() -> None:
    found = said("Is the browser on another computer? Run there first: ssh -N -L 1:127.0.0.1:1 YOU@HERE", "cs")
    assert found == "Je prohlížeč na jiném počítači? Spusťte na něm nejprve: ssh -N -L 1:127.0.0.1:1 YOU@HERE"
    asked = (
        "a@x.cz signed in, but the account sends as b@x.cz. Microsoft takes that From only if a@x.cz may send as it."
    )
    assert said(asked, "cs").count("a@x.cz") == 2 and said(asked, "en") == asked
    assert said("nobody wrote this", "cs") == "nobody wrote this"


def test_the_same_places_in_what_the_facts_say() -> None:
    for language in OTHERS:
        tables = [*entries(language, "said.").values(), *entries(language, "errors.").values()]
        for english, other in (pair for table in tables for pair in table.items()):
            assert set(re.findall(r"\{\w+\}", english)) == set(re.findall(r"\{\w+\}", other)), english


def test_a_test_message_in_czech(franking: Franking) -> None:
    ended = franking("send-test", "--embedded", "--to", "me@x.cz", "--language", "cs")
    assert ended.code == 0
    assert "Zkušební zpráva od me@x.cz pro me@x.cz" in ended.err and "přijetí" in ended.err
    assert "Zpráva byla odeslána na adresu me@x.cz." in ended.err and "Message" not in ended.err
    assert "certifikát platí do" in ended.err and "pro 1 příjemce" in ended.err and "accepted as number 1" in ended.err


def test_the_state_of_accounts_in_czech(franking: Franking) -> None:
    assert "Zatím žádné účty nejsou" in franking("status", "--language", "cs").err
    added = franking("accounts", "add", "shop", "--from", "me@x.cz", "--host", "smtp.x.cz", "--language", "cs")
    assert "✓ Účet shop je uložen." in added.err
    assert "odesílatel" in franking("accounts", "list", "--language", "cs").out
    assert "heslo nepotřebuje" in franking("status", "--language", "cs").out


@pytest.mark.parametrize(
    ("hours", "words"),
    [(-1, "před 1 hodinou"), (-5 * 24, "před 5 dny"), (24, "za 1 den"), (49, "za 2 dny"), (5 * 24 + 1, "za 5 dní")],
)
def test_numbers_have_their_forms(hours: int, words: str) -> None:
    moment = datetime(2026, 11, 29, 12, tzinfo=UTC) + timedelta(hours=hours)
    now = datetime(2026, 11, 29, 12, tzinfo=UTC).timestamp()
    assert age(Console(language="cs"), moment.isoformat(), now) == words


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("send-test", "--tp", "x"), "Neznámá volba: --tp"),
        (("send-test",), "Chybná hodnota volby --to: uveďte, kam má zkušební zpráva přijít"),
        (("send-test", "--to", "x"), "to: Adresa 'x' nemá @."),
        (("accounts", "show", "nobody"), "Účet 'nobody' v"),
        (("health", "--output", "x"), "Chybná hodnota volby --output: patří k volbě --prometheus"),
        (("health", "--nagios", "--prometheus"), "zvolte jednu z voleb --json, --prometheus a --nagios"),
        (("settings", "--port", "x"), "Chybná hodnota volby '--port': má to být celé číslo"),
    ],
)
def test_mistakes_in_czech(
    arguments: tuple[str, ...], sentence: str, franking: Franking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRANKING_LANGUAGE", "cs")
    said = franking(*arguments).err.replace("\n  ", " ").replace("\N{NO-BREAK SPACE}", " ")
    assert sentence in said
    assert sentence not in franking(*arguments, "--json").out


def test_the_test_message_in_czech(franking: Franking) -> None:
    shown = franking("send-test", "--embedded", "--to", "me@x.cz", "--language", "cs", "--show-message").out
    message = email.message_from_string(shown, policy=email.policy.default)
    assert isinstance(message, email.message.EmailMessage)
    assert message["Subject"].startswith("Zkušební zpráva od Frankingu (")
    body = message.get_body(("plain",))
    assert body is not None
    assert "Odesílatel: me@x.cz\n" in body.get_content() and "odesílání funguje" in body.get_content()


def test_a_recommendation_in_czech(franking: Franking) -> None:
    ended = franking("recommend", "you@gmail.com", "--offline", "--language", "cs")
    said = ended.err.replace("\n  ", " ")  # where a line ends is another test's business
    assert "(jisté)" in said and "Žádá jen o\N{NO-BREAK SPACE}právo" in said and "doména" in said
    assert "\\x" not in ended.err
