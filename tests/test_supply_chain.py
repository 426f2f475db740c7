"""What Franking is made of: lower bounds that can be installed, licences that are listed, and a security page whose
claims are tests.
"""

from __future__ import annotations

import ast
import re
import runpy
import tomllib
from importlib.metadata import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LISTED = dict(
    re.findall(r"^\| ([\w.-]+) \| .* \| ([^|]+) \|$", (ROOT / "docs" / "licences.md").read_text("utf-8"), re.MULTILINE)
)


def test_every_dependency_has_a_lower_bound_and_a_licence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asked = {re.split(r"[>=<\[]", line)[0].lower() for line in project["dependencies"]}
    for name, lines in project["optional-dependencies"].items():
        asked |= {re.split(r"[>=<\[]", line)[0].lower() for line in lines if name != "test"} - {"franking"}
    pins = runpy.run_path(str(ROOT / ".ci" / "lowest"))["lowest"](project)
    assert set(pins) == asked
    assert {name.lower() for name in LISTED if name != "package"} == asked


@pytest.mark.parametrize("name", [name for name in LISTED if name != "package"])
def test_a_licence_is_what_the_package_says(name: str) -> None:
    found = metadata(name)
    said = " ".join(
        [str(found.get("License-Expression")), str(found.get("License")), *found.get_all("Classifier", [])]
    ).lower()
    family = LISTED[name].split("-")[0].lower()
    assert family in said
    assert "gpl" not in said


def test_every_claim_of_the_security_page_names_a_test() -> None:
    page = (ROOT / "docs" / "security.md").read_text("utf-8")
    claims = re.findall(r"`([\w/]+\.py)::(test_\w+)`", page)
    assert len(claims) > 20
    for file, name in claims:
        tree = ast.parse((ROOT / "tests" / file).read_text("utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{file} has no {name}"


def test_the_page_on_reporting_says_how() -> None:
    text = (ROOT / ".github" / "SECURITY.md").read_text("utf-8")
    assert "Report a vulnerability" in text
