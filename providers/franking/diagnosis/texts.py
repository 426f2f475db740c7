"""The words of diagnoses and hints: one TOML file per language, chosen and filled here. No codes and no rules are known
here.

A text is a template or a list of templates, of which the first whose values are all known is used. ``{host}`` prints a
value, ``{?host}`` prints nothing but asks that the value be known. What stands between backticks is a command: its
values are quoted for a POSIX shell, and a value that is a tuple is several words, of which the options that the command
itself gives are left out.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from franking.diagnosis.languages import base_language, in_folder
from franking.text import visible

__all__ = ["FOLDER", "Text", "commands", "entries", "entry", "fill", "languages", "names", "said", "step_said"]

Text = str | list[str]

FOLDER = Path(__file__).with_name("texts")  # where the languages lie; a wheel carries them beside this module

_PLACE = re.compile(r"\{(\??)(\w+)\}")
_CONDITION = re.compile(r"\{\?\w+\}")
_OPTION = re.compile(r"--[a-z-]+")


@lru_cache(maxsize=16)
def entries(language: str = "en", prefix: str = "") -> Mapping[str, Mapping[str, Any]]:
    """Return a language's texts by code: ``title``, ``cause`` and ``remedies`` of a diagnosis, ``text`` of a hint; with
    a ``prefix`` of the file's name those of another subject.

    ``cs-CZ``, ``cs_CZ`` and ``sk`` are read as ``cs``; a language that is not there is empty, its readers get
    English.
    """
    base = base_language(language) or "en"
    import tomllib  # most programs never need a word

    file = FOLDER / f"{prefix}{base}.toml"
    return tomllib.loads(file.read_text("utf-8")) if file.is_file() else {}


def said(sentence: str, language: str, section: str = "sentences") -> str:
    """Return a sentence that stands beside its fact in English (a provider's steps, a setting's help, a step's name) or
    that an error says in a language, from ``said.<language>.toml`` and ``errors.<language>.toml``; as it is where they
    lack it. A key with ``{places}`` is a template; what stands at ``{reason}``, ``{hint}`` and ``{size}`` is such a
    sentence itself. The section ``details`` has what steps tell.
    """
    return _said(sentence, language, section, _DEEPEST)


def _said(sentence: str, language: str, section: str, depth: int) -> str:
    table = _said_table(language, section)
    if sentence in table or not depth:
        return str(table.get(sentence, sentence))
    for parts, template in _said_templates(language, section):
        if (places := _values_in(sentence, parts)) is not None:
            for name in _SENTENCES.intersection(places):
                places[name] = _said(places[name], language, section, depth - 1)
            return template.format(**places)
    return sentence


def step_said(name: str, status: str, detail: str, language: str) -> str:
    """Return what a step of a send tells in a language; the server's own words are told as they are."""
    if status == "failed":
        return said(detail, language)
    return detail if name in ("greet", "accepted") else said(detail, language, "details")


_DEEPEST = 4  # sentences within sentences: a line, its field, what is wrong with it, and why
_SENTENCES = frozenset({"reason", "hint", "size"})


@lru_cache(maxsize=16)
def _said_table(language: str, section: str) -> Mapping[str, Any]:
    files = (entries(language, prefix) for prefix in ("said.", "errors."))
    return {key: text for file in files for key, text in file.get(section, {}).items()}


@lru_cache(maxsize=16)
def _said_templates(language: str, section: str) -> tuple[tuple[list[str], str], ...]:
    """Return each English template, words and names in turn, and its twin in the language."""
    table = _said_table(language, section)
    return tuple((re.split(r"\{(\w+)\}", english), str(text)) for english, text in table.items() if "{" in english)


def _values_in(sentence: str, parts: list[str]) -> dict[str, str] | None:
    """Return what stands at a template's places in a sentence, each as short as can be, what is quoted whole; None
    where it does not fit.

    By hand, for it takes time in proportion to the length whatever a server wrote, which a regular expression does not.
    """
    end = len(sentence) - len(parts[-1])
    if not (sentence.startswith(parts[0]) and sentence.endswith(parts[-1])):
        return None
    values: dict[str, str] = {}
    at = len(parts[0])
    for name, words in zip(parts[1::2], parts[2::2], strict=True):
        last = words is parts[-1]
        quoted = sentence.find(sentence[at], at + 1) if sentence[at : at + 1] in ("'", '"') else at
        found = end if last else sentence.find(words, max(quoted, at) + 1, end)
        if found <= at:
            return None
        value = sentence[at:found]
        if values.setdefault(name, value) != value:
            return None
        at = found + len(words)
    return values


def languages() -> tuple[str, ...]:
    """Return the languages in which diagnoses can be read."""
    return in_folder(FOLDER)


def entry(code: str, language: str = "en") -> Mapping[str, Any]:
    """Return the texts of one code, in English where the language lacks it; those of ``unknown`` for a code that nobody
    described.
    """
    return entries(language).get(code) or entries().get(code) or entry("unknown", language)


def fill(text: Text, values: Mapping[str, Any]) -> str | None:
    """Fill the first template whose values are all known; None where none is. Values are never looked at for further
    places.
    """
    parts = _filled(text, values)
    return None if parts is None else "`".join(parts)


def commands(text: Text, values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the commands that a text names, filled and quoted as they stand in what ``fill`` returns."""
    return tuple((_filled(text, values) or ())[1::2])


def names(text: Text) -> Iterable[str]:
    """Return the names of all values that a text mentions."""
    return [name for template in _templates(text) for _, name in _PLACE.findall(template)]


def _templates(text: Text) -> list[str]:
    return [text] if isinstance(text, str) else text


def _known(value: Any) -> bool:
    return value is not None and value != "" and value is not False


def _filled(text: Text, values: Mapping[str, Any]) -> list[str] | None:
    """Return the words and the commands of the first template that fits, in turn, beginning with words."""
    for template in _templates(text):
        if all(_known(values.get(name)) for _, name in _PLACE.findall(template)):
            parts = _CONDITION.sub("", template).split("`")
            return [_put(part, values, quote=index % 2 == 1) for index, part in enumerate(parts)]
    return None


def _put(part: str, values: Mapping[str, Any], *, quote: bool) -> str:
    def shown(place: re.Match[str]) -> str:
        value = values[place[2]]
        words = _without(value, _OPTION.findall(part)) if isinstance(value, tuple) else [visible(str(value))]
        return shlex.join(words) if quote else " ".join(words)

    return _PLACE.sub(shown, part)


def _without(words: tuple[str, ...], options: list[str]) -> list[str]:
    """Leave options out, each with its value, and the one that a login name contradicts."""
    kept: list[str] = []
    dropping = False
    for word in words:
        if word.startswith("--"):
            dropping = word in options or (word == "--no-auth" and "--username" in options)
        if not dropping:
            kept.append(word)
    return kept
