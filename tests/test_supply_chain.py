"""What Franking is made of: lower bounds that can be installed, licences that are listed, and a security page whose
claims are tests.
"""

from __future__ import annotations

import ast
import re
import runpy
import tomllib
from importlib.metadata import metadata, version
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


UNDER_LGPL = {"psycopg"}
"""Used as it is, by those who ask for it (an extra, not in ``all``); nothing of it is in Franking."""

ADVISORIES = tomllib.loads((ROOT / "tests" / "advisories.toml").read_text("utf-8"))["advisory"]


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition(".post")[0]))


@pytest.mark.parametrize("hole", ADVISORIES, ids=lambda hole: f"{hole['package']}-{hole['id']}")
def test_no_version_with_a_known_hole_is_allowed_or_installed(hole: dict[str, str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    pins = runpy.run_path(str(ROOT / ".ci" / "lowest"))["lowest"](project)
    name, fixed = hole["package"].lower(), _number(hole["fixed"])
    assert name in pins or hole["via"] in pins
    if name in pins:
        assert (*_number(pins[name]), 0, 0) >= fixed, f"{hole['id']}: {name} {hole['fixed']} is the first without it"
    assert _number(version(name)) >= fixed, f"{hole['id']}: {hole['what']}"


def test_each_extra_that_asks_for_a_package_asks_for_a_version_without_holes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    bounds = [re.fullmatch(r"([\w.-]+)>=([\d.]+)", line) for line in lines]
    asked = [(bound[1].lower(), _number(bound[2])) for bound in bounds if bound]
    for hole in ADVISORIES:
        for name, lowest in asked:
            assert name != hole["package"].lower() or (*lowest, 0, 0) >= _number(hole["fixed"]), (name, hole["id"])


def test_the_list_of_holes_is_well_written() -> None:
    assert len({hole["id"] for hole in ADVISORIES}) == len(ADVISORIES)
    for hole in ADVISORIES:
        assert re.fullmatch(r"GHSA(-[23456789cfghjmpqrvwx]{4}){3}", hole["id"])
        assert re.fullmatch(r"CVE-20\d\d-\d{4,}", hole["cve"])


@pytest.mark.parametrize("name", [name for name in LISTED if name != "package"])
def test_a_licence_is_what_the_package_says(name: str) -> None:
    found = metadata(name)
    said = " ".join(
        [str(found.get("License-Expression")), str(found.get("License")), *found.get_all("Classifier", [])]
    ).lower()
    family = LISTED[name].split("-")[0].lower()
    assert family in said
    assert "gpl" not in said or name in UNDER_LGPL


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
    named = re.findall(r"`(tests/[\w/]+\.py)`", text)
    assert len(named) > 10 and [file for file in named if not (ROOT / file).is_file()] == []
