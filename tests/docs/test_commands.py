"""Every franking command that stands in the documentation exists, with these very options and values."""

from __future__ import annotations

import itertools
import re
import shlex
from pathlib import Path

import pytest

from franking_cli.app import build

ROOT = Path(__file__).parents[2]
PLACEHOLDERS = {"PORT": "587"}


def commands(text: str) -> set[str]:
    """Return the commands of console blocks and of inline code, without redirections and what comes after pipes."""
    found = set(re.findall(r"`(franking [^`\n]+)`", text))
    for block in re.findall(r"```(?:console|sh|bash|shell)\n(.*?)```", text, re.DOTALL):
        found |= set(re.findall(r"^(?:\$ |.*\| )?(franking .*)$", block.replace("\\\n", " "), re.MULTILINE))
    return {first(line) for line in found}


def first(line: str) -> str:
    words = shlex.shlex(line, posix=True, punctuation_chars="|&;<>()")
    words.whitespace_split = True
    return shlex.join(itertools.takewhile(lambda word: word[0] not in "|&;<>()", words))


def parse(line: str) -> None:
    """Parse a command as the command line does, every option's value too, but run nothing. Raises its usage errors."""
    if "--install-completion" in line or line == "franking --help":
        return  # it would
    _, *words = [PLACEHOLDERS.get(word, word) for word in shlex.split(line) if word != "…"]
    command = build()
    while words:
        context = command.context_class(command, info_name=command.name)
        values, rest, _ = command.make_parser(context).parse_args(words)
        for parameter in command.get_params(context):
            if parameter.name in values:
                parameter.process_value(context, values[parameter.name])
        if not hasattr(command, "resolve_command"):
            assert not rest, f"{rest} is too much"
            return
        if not rest:
            return
        _, command, words = command.resolve_command(context, rest)


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINES = sorted(set[str]().union(*(commands(page.read_text("utf-8")) for page in PAGES)))


@pytest.mark.parametrize("line", LINES)
def test_a_command_in_the_docs_is_real(line: str) -> None:
    parse(line)


def test_there_are_many() -> None:
    assert len(LINES) > 60


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("franking fly", "fly"),
        ("franking accounts fly", "fly"),
        ("franking send-test shop --fly", "--fly"),
        ("franking send-many shop letters.csv --limit many", "integer"),
        ("franking check shop and more", "and"),
    ],
)
def test_a_mistake_in_the_docs_would_be_seen(line: str, wrong: str) -> None:
    with pytest.raises(Exception, match=wrong):
        parse(line)


def test_every_flag_that_the_page_on_many_messages_names_is_one_of_send_many() -> None:
    page = (ROOT / "docs" / "many-messages.md").read_text("utf-8")
    flags = set(re.findall(r"`(--[a-z-]+)", page)) | set(re.findall(r" (--[a-z-]+) ", page))
    assert {"--limit", "--rate", "--per-day", "--connections", "--window", "--dry-run", "--resend-unknown"} <= flags
    group = build()
    _, command, _ = group.resolve_command(group.context_class(group), ["send-many"])
    assert flags <= {option for parameter in command.params for option in parameter.opts}
