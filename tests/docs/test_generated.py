"""The generated pages say what the code says: change the code, then run ``python docs/generate.py``."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", list(generator().PAGES))
def test_a_page_is_up_to_date(name: str) -> None:
    assert (DOCS / name).read_text("utf-8") == generator().PAGES[name](), "run: python docs/generate.py"


def test_every_code_stands_in_one_chapter_and_has_its_anchor() -> None:
    generate = generator()
    page, table = generate.troubleshooting(), generate.codes()
    for code, _ in generate._diagnoses():
        assert page.count(f"\n`{code}`: ") == 1, code
    anchors = re.findall(r"\{ #([\w-]+) \}", page)
    assert len(anchors) == len(set(anchors))
    assert set(re.findall(r"troubleshooting\.md#([\w-]+)\)", table)) == set(anchors)


def test_every_diagnosis_has_a_rule() -> None:
    generate = generator()
    ruled = {rule.code for rule in generate._rules()}
    assert {code for code, _ in generate._diagnoses()} == ruled
