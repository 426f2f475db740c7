"""The command line stands on what the library lists as public: read from the source, late imports included."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "cli").rglob("*.py"))


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def source(module: str) -> Path | None:
    """Return the file of one of the library's modules, or None."""
    path = ROOT.joinpath("providers", *module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


@cache
def listed(module: str) -> frozenset[str]:
    """Return what a module's ``__all__`` lists; that of ``franking`` itself is made of a table."""
    path = source(module)
    assert path is not None, module
    assigned = {
        target.id: node.value
        for node in parsed(path).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    names: set[str] = set()
    for node in ast.walk(assigned.get("__all__", ast.Tuple([]))):
        if isinstance(node, ast.Starred):
            assert isinstance(node.value, ast.Name)
            names |= set(ast.literal_eval(assigned[node.value.id]))
        elif isinstance(node, ast.Constant):
            names.add(node.value)
    return frozenset(names)


def uses(path: Path) -> Iterator[tuple[str, str]]:
    """Yield each name of the library that a file uses, with its module: imported, or an attribute of what is."""
    tree = parsed(path)
    modules = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "franking":
            for alias in node.names:
                if source(whole := f"{node.module}.{alias.name}") is None:
                    yield str(node.module), alias.name
                else:
                    modules[alias.asname or alias.name] = whole
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == "franking":
                    modules[alias.asname or alias.name] = alias.name
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            yield modules[node.value.id], node.attr


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT / "cli")))
def test_it_uses_only_what_a_module_lists(path: Path) -> None:
    hidden = {f"{module}.{name}" for module, name in uses(path) if name not in listed(module)}
    assert hidden == set(), "list the name in __all__ if it is meant for others"


def test_uses_are_seen_wherever_they_stand(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text(
        "import franking\nfrom franking.account import config as c\n\n"
        "def act():\n    from franking.errors import SettingsError as E, _hidden\n    c.load()\n    franking.connect\n"
    )
    assert set(uses(file)) == {
        ("franking.errors", "SettingsError"),
        ("franking.errors", "_hidden"),
        ("franking.account.config", "load"),
        ("franking", "connect"),
    }
    assert {"SettingsError", "FrankingError"} <= listed("franking.errors")
    assert "_hidden" not in listed("franking.errors")
    assert {"connect", "__version__"} <= listed("franking")
