"""How the code is laid out and written: what ruff and import-linter have no rule for."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import commandline
from franking_cli.app import COMMANDS, load

ROOT = Path(__file__).parent.parent
LIBRARY = ROOT / "providers" / "franking"
SOURCES = {"franking": LIBRARY, "franking_cli": ROOT / "cli" / "franking_cli"}
FILES = sorted(path for root in SOURCES.values() for path in root.rglob("*.py"))
LONGEST = 450
"""Lines of a file."""
CONDITIONAL_EXPRESSIONS = 12
"""For each 1,000 lines."""
COMPLEXITY = 4
"""Mean of the command line's functions: one, and one more for each branch, loop, handler and further condition."""
_BRANCHES = (ast.If, ast.IfExp, ast.For, ast.While, ast.ExceptHandler, ast.comprehension, ast.Assert)
PUBLIC = {LIBRARY, *(LIBRARY / name for name in ("celery", "sending", "testing", "django", "web", "relay"))}
"""Packages whose ``__init__`` is a public path with names of its own."""


def name(path: Path) -> str:
    """Return a file's path for messages, and for pytest's ids."""
    return str(path.relative_to(ROOT))


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def conditional_expressions(path: Path) -> Iterator[ast.IfExp]:
    return (node for node in ast.walk(parse(path)) if isinstance(node, ast.IfExp))


def test_no_conditional_expression_stands_in_another() -> None:
    nested = [
        f"{name(path)}:{inner.lineno}"
        for path in FILES
        for outer in conditional_expressions(path)
        for inner in ast.walk(outer)
        if isinstance(inner, ast.IfExp) and inner is not outer
    ]
    assert nested == []


@pytest.mark.parametrize("package", SOURCES)
def test_conditional_expressions_are_few(package: str) -> None:
    files = [path for path in FILES if SOURCES[package] in path.parents]
    lines = sum(len(path.read_text("utf-8").splitlines()) for path in files)
    found = sum(len(list(conditional_expressions(path))) for path in files)
    assert found <= CONDITIONAL_EXPRESSIONS * lines / 1_000


def complexity(function: ast.AST) -> int:
    branches = sum(isinstance(node, _BRANCHES) for node in ast.walk(function))
    return 1 + branches + sum(len(node.values) - 1 for node in ast.walk(function) if isinstance(node, ast.BoolOp))


def test_the_command_line_s_functions_are_simple() -> None:
    functions = [
        complexity(node)
        for path in SOURCES["franking_cli"].rglob("*.py")
        for node in ast.walk(parse(path))
        if isinstance(node, ast.FunctionDef)
    ]
    assert sum(functions) < COMPLEXITY * len(functions)


def test_every_mutation_stands_in_the_code_once() -> None:
    """What ``tests/mutations`` quotes changes; a mutation of what is no more tells nothing."""
    for path in sorted((ROOT / "tests" / "mutations").glob("*.toml")):
        for entry in tomllib.loads(path.read_text("utf-8"))["mutation"]:
            assert (ROOT / entry["file"]).read_text("utf-8").count(entry["old"]) == 1, (path.name, entry["name"])
            assert all((ROOT / test.partition("::")[0]).exists() for test in entry["tests"].split()), entry["name"]


def test_no_file_is_too_long_to_read() -> None:
    lengths = {name(path): len(path.read_text("utf-8").splitlines()) for path in FILES}
    assert {file: length for file, length in lengths.items() if length > LONGEST} == {}


def test_a_reader_of_the_library_meets_few_names() -> None:
    modules = [path.stem for path in LIBRARY.glob("*.py") if path.stem != "__init__"]
    assert len(modules) <= 14, modules


def test_a_package_says_what_is_in_it_and_imports_nothing() -> None:
    more = [
        name(path)
        for path in FILES
        if path.name == "__init__.py" and path.parent not in PUBLIC
        if ast.get_docstring(parse(path)) is None or len(parse(path).body) != 1
    ]
    assert more == []


def test_every_file_says_what_it_is() -> None:
    assert [name(path) for path in FILES if ast.get_docstring(parse(path)) is None] == []


def module(path: Path) -> str:
    parts = next(
        (package, *path.relative_to(root).with_suffix("").parts)
        for package, root in SOURCES.items()
        if path.is_relative_to(root)
    )
    return ".".join(parts).removesuffix(".__init__")


def imports(path: Path, modules: set[str]) -> Iterator[str]:
    """Return every module of ours that a file imports, wherever the statement stands, but for type checkers alone."""
    typing = {
        inner
        for node in ast.walk(parse(path))
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(parse(path)):
        if node in typing:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module:
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from full & modules or {node.module} & modules


def test_no_file_imports_one_that_imports_it() -> None:
    """Late imports count, at whatever distance: a circle cannot be read from one end to the other."""
    modules = {module(path) for path in FILES}
    graph = {module(path): set(imports(path, modules)) for path in FILES}
    while True:  # take away what imports nothing of the rest, and what nothing of the rest imports
        imported = set[str]().union(*graph.values())
        inner = {one for one, others in graph.items() if others & graph.keys() and one in imported}
        if inner == graph.keys():
            break
        graph = {one: graph[one] & inner for one in inner}
    assert graph == {}


def test_every_module_of_the_library_has_its_layer() -> None:
    """Import-linter says nothing of a module that its list lacks."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    named = {one.strip() for layer in layers for one in layer.split("|")} - {"franking_cli"}
    listed = {".".join(one.split(".")[:2]) for one in named}  # a package may span several layers
    here = {path.stem for path in LIBRARY.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert listed == {f"franking.{one}" for one in here - {"__init__"}}


# --- help screens -----------------------------------------------------------------------------------------------------


def commands() -> list[tuple[str, Any]]:
    """Return every command with its words, those of groups too."""
    found = []
    for name in COMMANDS:
        made = load(name)
        inner = getattr(made, "commands", {})
        found += [(f"{name} {word}", each) for word, each in inner.items()] or [(name, made)]
    return found


ALL = commands()


@pytest.mark.parametrize(("words", "made"), ALL, ids=[words for words, _ in ALL])
def test_help_begins_with_an_example_and_five_usual_options(words: str, made: Any) -> None:
    """Examples are the lines of the docstring that begin with "franking"; an option has a ``rich_help_panel`` unless it
    is among the five that most people need.
    """
    done = commandline.franking(*words.split(), "-h")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"franking {words}"), "the docstring has no line with an example"
    usual = done.out.partition("Usual options:\n")[2].partition("\n\n")[0]
    assert len(re.findall(r"^  -", usual, re.MULTILINE)) <= 5, "give the rarer options a rich_help_panel"
    assert "<" not in done.out.partition("Usage:")[2].replace("<info@novak.cz>", ""), "a type where a word should stand"
    assert done.out == commandline.franking("help", *words.split()).out
