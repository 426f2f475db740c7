"""Every franking command that a remedy or hint names exists, with these very options."""

from __future__ import annotations

import shlex

import pytest

from franking.diagnosis import texts
from franking_cli.app import load

SAMPLES = {"port": 587, "recommended": "gmail"}


def commands() -> list[str]:
    found = set[str]()
    for words in texts.entries().values():
        for text in [words["text"]] if "text" in words else words["remedies"]:
            for template in [text] if isinstance(text, str) else text:
                values = {name: SAMPLES.get(name, "x") for name in texts.names(template)}
                found |= {line for line in texts.commands(template, values) if line.startswith("franking ")}
    return sorted(found)


@pytest.mark.parametrize("line", commands())
def test_a_command_is_real(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, word, *rest = shlex.split(line)
    # options are parsed before --help answers: an unknown one is an error
    assert load(word).main([*rest, "--help"], prog_name=f"franking {word}", standalone_mode=False) in (None, 0)
    assert "Usage" in capsys.readouterr().out


def test_an_option_that_does_not_exist_would_be_seen() -> None:
    with pytest.raises(Exception, match="no-such-option"):
        load("send-test").main(["x", "--no-such-option", "--help"], standalone_mode=False)


def test_every_remedy_names_a_command_somewhere() -> None:
    assert any(line.startswith("franking send-test x --to x --route ") for line in commands())
