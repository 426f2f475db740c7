"""The generated pages say what the code says: change the code, then run ``python docs/generate.py``."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@cache
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", list(generator().PAGES))
def test_a_page_is_up_to_date(name: str) -> None:
    assert (DOCS / name).read_text("utf-8") == generator().PAGES[name](), "run: python docs/generate.py"


def test_every_code_stands_on_one_page_and_has_its_anchor() -> None:
    failures = generator().FAILURES
    pages = {part.page: failures["PAGES"][part.page]() for part in failures["PARTS"]}
    table = failures["codes"]()
    for code, _ in failures["diagnoses"]():
        page = failures["part_of"](code).page
        assert [name for name, text in pages.items() if f"\n`{code}`: " in text] == [page], code
    anchors = {(name, anchor) for name, text in pages.items() for anchor in re.findall(r"\{ #([\w-]+) \}", text)}
    assert len({anchor for _, anchor in anchors}) == len(anchors) == len(failures["diagnoses"]())
    assert set(re.findall(r"\((troubleshooting-[\w-]+\.md)#([\w-]+)\)", table)) == anchors


def test_every_diagnosis_has_a_rule() -> None:
    failures = generator().FAILURES
    assert {code for code, _ in failures["diagnoses"]()} == {rule.code for rule in failures["rules"]()}
