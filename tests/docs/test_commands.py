"""Every franking command that stands in a console block of the documentation exists, with these very options."""

from __future__ import annotations

import itertools
import re
import shlex
from pathlib import Path

import pytest

from franking_cli.app import COMMANDS, load

ROOT = Path(__file__).parents[2]


def lines() -> list[str]:
    found = dict[str, None]()
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        if page.name == "commands.md":  # its usage lines have brackets
            continue
        for block in re.findall(r"```(?:console|sh|bash|shell)\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                if match := re.search(r"(?:^\$ |^|\| )(franking .*)", line):
                    words = shlex.shlex(match[1], posix=True, punctuation_chars=True)
                    words.whitespace_split = True
                    command = itertools.takewhile(lambda word: word[0] not in "|&;<>()", words)
                    found[shlex.join(command)] = None
    return list(found)


@pytest.mark.parametrize("line", lines())
def test_a_command_in_the_docs_is_real(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, word, *rest = shlex.split(line)
    if word == "--help" or word.startswith("--"):
        return
    assert word in COMMANDS, line
    assert load(word).main([*rest, "--help"], prog_name=f"franking {word}", standalone_mode=False) in (None, 0)
    assert "Usage" in capsys.readouterr().out


def test_there_are_some() -> None:
    assert len(lines()) > 10
