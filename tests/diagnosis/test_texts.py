"""What texts of diagnoses may say: no place that is not there, no command that cannot be run, no advice to do what was
just done, no key of the settings without the word that it is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from franking.diagnosis import texts
from franking.diagnosis.diagnosis import Diagnosis
from franking.registry import providers

ENTRIES = {code: words for code, words in texts.entries().items() if "title" in words}
KEYS = sorted({field.name for one in providers() for field in one.fields if "_" in field.name})


def _templates() -> Iterator[str]:
    for words in ENTRIES.values():
        for text in (words["title"], words["cause"], *words["remedies"]):
            yield from [text] if isinstance(text, str) else text


def test_no_command_has_a_gap_and_no_text_points_below() -> None:
    for template in _templates():
        assert not re.search(r"\b(?:words|see|stands?) (?:\w+ )?below\b", template), template
        for command in template.split("`")[1::2]:
            assert "…" not in command, template


def test_a_setting_is_called_one() -> None:
    for template in _templates():
        for words in template.split("`")[::2]:
            for key in KEYS:
                for found in re.finditer(rf"(?<![\w{{?.]){key}(?![\w}}])", words):
                    before, after = words[: found.start()], words[found.end() :]
                    named = re.search(r"\bsettings? (?:[\w-]+(?:,| and| or) )*$", before) or before.endswith("(")
                    assert named or after.startswith(" = "), template


def test_a_test_does_not_end_with_the_advice_to_make_the_same_test() -> None:
    """With another port or route it is another test; ``--transcript`` shows what this one did not."""
    known = {"testing": True, "again": ("shop",), "account": "shop", "to": "me@example.cz", "saved": True}
    for code in ENTRIES:
        assert "franking send-test shop --to me@example.cz" not in Diagnosis(code, known).commands, code


def test_an_unknown_outcome_promises_a_sent_folder_only_where_there_is_one() -> None:
    assert "Sent folder" in " ".join(Diagnosis("outcome.unknown", {"sent_folder": True}).remedies)
    assert "Sent folder" not in " ".join(Diagnosis("outcome.unknown", {"sent_folder": False}).remedies)


def test_nobody_is_led_from_one_failure_into_the_next() -> None:
    assert "IPv4 address" not in " ".join(Diagnosis("connect.unreachable").remedies)  # leads into tls.ip-address
    assert "--export" not in " ".join(Diagnosis("microsoft.device-policy").remedies)  # an unmanaged computer


@pytest.mark.parametrize("value", [None, "", False])
def test_a_template_whose_value_is_not_there_gives_way_to_the_next(value: object) -> None:
    text = ["Show it to the provider of {host}.", "Show it to its provider."]
    assert texts.fill(text, {"host": value}) == texts.fill(text, {}) == "Show it to its provider."
    assert texts.fill(text, {"host": 0}) == "Show it to the provider of 0."
