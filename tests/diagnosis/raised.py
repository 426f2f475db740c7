"""The sentences of every error that the code makes, read from the code itself: a value is ``VALUE``, what a variable, a
condition, a function of the same module or its callers say is followed. Not what an error's class or evidence is.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

from franking import errors

ROOT = Path(__file__).parents[2]
VALUE = "VALUE"
MOST, DEEPEST = 60, 10

KINDS = {name for name in errors.__all__ if name not in ("Evidence", "discreet")}

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Raised(NamedTuple):
    """One sentence, and where it is made."""

    where: str
    sentence: str


def raised() -> list[Raised]:
    """Return every sentence, each once for each place."""
    found: dict[Raised, None] = {}
    for path, module in modules().items():
        for line, sentence in module.sentences():
            found[Raised(f"{path}:{line}", sentence)] = None
    return list(found)


@cache
def modules() -> dict[str, Module]:
    """Return every file of the library and the command line, by its path."""
    paths = [path for root in ("providers", "cli") for path in sorted((ROOT / root).rglob("*.py"))]
    return {str(path.relative_to(ROOT)): Module(ast.parse(path.read_text("utf-8"))) for path in paths}


def called(call: ast.Call) -> str:
    """Return the name of what is called, without what it belongs to."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


@dataclass
class Module:
    """One file, looked through."""

    tree: ast.Module
    _tables: dict[Function | None, dict[str, list[ast.expr]]] = field(default_factory=dict, repr=False)

    @cached_property
    def calls(self) -> list[tuple[ast.Call, Function | None]]:
        """Return every call and the function that it stands in."""

        def below(node: ast.AST, inside: Function | None) -> Iterator[tuple[ast.Call, Function | None]]:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.Call):
                    yield child, inside
                yield from below(child, child if isinstance(child, Function) else inside)

        return list(below(self.tree, None))

    @cached_property
    def functions(self) -> dict[str, Function]:
        return {node.name: node for node in ast.walk(self.tree) if isinstance(node, Function)}

    def sentences(self) -> Iterator[tuple[int, str]]:
        for call, inside in self.calls:
            # a class in a variable shows by what errors alone are given
            if call.args and (called(call) in KINDS or any(each.arg == "evidence" for each in call.keywords)):
                for sentence in self.said(call.args[0], inside):
                    yield call.lineno, sentence

    def said(self, node: ast.expr, inside: Function | None, depth: int = 0) -> list[str]:
        """Return what an expression may say."""
        found = [VALUE] if depth > DEEPEST else self._said(node, inside, depth + 1)
        return list(dict.fromkeys(found))[:MOST] or [VALUE]

    def _said(self, node: ast.expr, inside: Function | None, depth: int) -> list[str]:
        match node:
            case ast.Constant(value=str(text)):
                return [text]
            case ast.JoinedStr():
                found = [""]
                for part in node.values:
                    found = [before + text for before in found for text in self._part(part, inside, depth)][:MOST]
                return found
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                ends = self.said(right, inside, depth)
                return [text + end for text in self.said(left, inside, depth) for end in ends]
            case ast.IfExp():
                return [*self.said(node.body, inside, depth), *self.said(node.orelse, inside, depth)]
            case ast.BoolOp():
                return [text for one in node.values for text in self.said(one, inside, depth)]
            case ast.Name():
                return self._variable(node.id, inside, depth)
            case ast.Call() if (function := self.functions.get(called(node))) is not None:
                returned = (each.value for each in ast.walk(function) if isinstance(each, ast.Return))
                return [text for value in returned if value is not None for text in self.said(value, function, depth)]
            case _:
                return [VALUE]

    def _part(self, part: ast.expr, inside: Function | None, depth: int) -> list[str]:
        if isinstance(part, ast.FormattedValue):
            plain = part.conversion == -1 and part.format_spec is None
            return self.said(part.value, inside, depth) if plain else [VALUE]
        return self.said(part, inside, depth)

    def _variable(self, name: str, inside: Function | None, depth: int) -> list[str]:
        """Return what is assigned to a name in its function, given to it by the function's callers, or written above
        all functions.
        """
        found = [text for value in self._assigned(inside).get(name, ()) for text in self.said(value, inside, depth)]
        if inside is not None and name in parameters(inside):
            found += self._given(name, inside, depth)
        if not found and inside is not None:
            found = self._variable(name, None, depth)
        return found

    def _given(self, name: str, to: Function, depth: int) -> list[str]:
        known = parameters(to)
        found: list[str] = []
        for call, inside in self._calls_of.get(to.name, ()):
            values = dict(zip(known, call.args, strict=False))
            values |= {each.arg: each.value for each in call.keywords if each.arg}
            if name in values:
                found += self.said(values[name], inside, depth)
        return found

    @cached_property
    def _calls_of(self) -> dict[str, list[tuple[ast.Call, Function | None]]]:
        found: dict[str, list[tuple[ast.Call, Function | None]]] = {}
        for call, inside in self.calls:
            found.setdefault(called(call), []).append((call, inside))
        return found

    def _assigned(self, inside: Function | None) -> dict[str, list[ast.expr]]:
        """Return what is assigned to each name in a function, or above all functions."""
        if inside not in self._tables:
            table = self._tables[inside] = {}
            for each in self.tree.body if inside is None else ast.walk(inside):
                if isinstance(each, ast.Assign):
                    for name, value in given(each):
                        table.setdefault(name, []).append(value)
        return self._tables[inside]


def parameters(function: Function) -> list[str]:
    """Return the names of a function's parameters, without that of the object itself."""
    names = [each.arg for each in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
    return [name for name in names if name not in ("self", "cls")]


def given(assignment: ast.Assign) -> Iterator[tuple[str, ast.expr]]:
    """Return the names that something is assigned to, alone or as one of several, each with what it gets."""
    for target in assignment.targets:
        if isinstance(target, ast.Name):
            yield target.id, assignment.value
        elif isinstance(target, ast.Tuple) and isinstance(assignment.value, ast.Tuple):
            pairs = zip(target.elts, assignment.value.elts, strict=True)
            yield from ((each.id, value) for each, value in pairs if isinstance(each, ast.Name))
