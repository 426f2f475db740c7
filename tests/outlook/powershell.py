"""As much of PowerShell as our scripts for administrators are written in, read by PowerShell's own grammar
(tree-sitter): assignments, if, foreach, throw, pipelines, hash tables, splatting and strings with values in them.

It is not PowerShell: what it does not know, it refuses, so that a script that grows shows it. What the commands do is
the caller's (``fake_modules.py``); here are only those of the language itself.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any

import pytest

__all__ = ["Failed", "parsed", "run"]

Commands = Mapping[str, Callable[[dict[str, Any]], Any]]
_IGNORED = {"comment", "command_argument_sep", "{", "}", "(", ")", ";"}


class Failed(Exception):
    """What the script threw, or a command refused."""


def parsed(text: str) -> Any:
    """Return the tree of a script. Skips the test on a Python that the grammar has no wheel for."""
    tree_sitter = pytest.importorskip("tree_sitter")
    tree_sitter_powershell = pytest.importorskip("tree_sitter_powershell")
    language = tree_sitter.Language(tree_sitter_powershell.language())
    return tree_sitter.Parser(language).parse(text.encode()).root_node


def run(text: str, commands: Commands) -> list[str]:
    """Run a script by these commands; return its lines: what it gives out, and what it writes to the host."""
    root = parsed(text)
    assert not root.has_error
    shell = _Shell(commands)
    for each in _listed(shell.do(root)):
        shell.lines.append(_text(each))
    return shell.lines


def _listed(value: Any) -> list[Any]:
    """Return what a pipeline gets of a value."""
    if isinstance(value, list):
        return value
    return [] if value is None else [value]


def _one(values: list[Any]) -> Any:
    """Return what a pipeline leaves: nothing, the one value, or all."""
    return values[0] if len(values) == 1 else (values or None)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_text, value))
    return "" if value is None else str(value)


def _member(value: Any, name: str) -> Any:
    """Return a property; of a list that of each in it, and ``Count`` of anything."""
    if name == "Count":
        return len(_listed(value))
    if isinstance(value, list):
        return _one([found for each in value for found in _listed(_member(each, name))])
    if isinstance(value, dict):
        return next((found for key, found in value.items() if key.lower() == name.lower()), None)
    return None


_COMPARING: dict[str, Callable[[Any, Any], bool]] = {
    "-eq": lambda one, other: one == other,
    "-gt": lambda one, other: one > other,
    "-in": lambda one, other: one in _listed(other),
}


class _Shell:
    """One run: its variables and its lines."""

    def __init__(self, commands: Commands) -> None:
        self.lines: list[str] = []
        self._commands = commands
        self._values: dict[str, Any] = {"true": True, "false": False, "null": None}

    def do(self, node: Any) -> Any:
        """Return what a piece of the script gives; one that only wraps another gives that one's."""
        if known := getattr(self, f"_{node.type}", None):
            return known(node)
        inner = [each for each in node.named_children if each.type not in _IGNORED]
        if len(inner) == 1 and len([each for each in node.children if each.type not in _IGNORED]) == 1:
            return self.do(inner[0])
        raise NotImplementedError(f"{node.type}: {node.text.decode()}")

    # -- statements ----------------------------------------------------------------------------------------------------

    def _program(self, node: Any) -> Any:
        return _one([value for each in self._inner(node) for value in _listed(self.do(each))])

    _statement_list = _script_block = _script_block_body = _program

    def _statement_block(self, node: Any) -> Any:
        return self._program(node)

    def _assignment_expression(self, node: Any) -> None:
        place, _, value = self._inner(node)
        while place.type not in ("variable", "member_access"):
            (place,) = self._inner(place)
        found = self.do(value)
        if place.type == "variable":
            self._values[place.text.decode()[1:].lower()] = found
            return
        whose, name = self._inner(place)
        self.do(whose)[name.text.decode()] = found

    def _if_statement(self, node: Any) -> Any:
        condition, block, *rest = self._inner(node)
        if self.do(condition):
            return self.do(block)
        return self.do(rest[0]) if rest else None

    def _else_clause(self, node: Any) -> Any:
        (block,) = self._inner(node)
        return self.do(block)

    def _foreach_statement(self, node: Any) -> Any:
        variable, over, block = self._inner(node)
        given = []
        for each in _listed(self.do(over)):
            self._values[variable.text.decode()[1:].lower()] = each
            given += _listed(self.do(block))
        return _one(given)

    def _flow_control_statement(self, node: Any) -> None:
        assert node.children[0].type == "throw"
        raise Failed(_text(self.do(self._inner(node)[0])))

    # -- pipelines and commands ----------------------------------------------------------------------------------------

    def _pipeline_chain(self, node: Any) -> Any:
        first, *stages = self._inner(node)
        if not stages:
            return self.do(first)  # an array that stands alone stays one
        values = _listed(self.do(first))
        for stage in stages:
            values = self._stage(stage, values)
        return _one(values)

    def _stage(self, node: Any, values: list[Any]) -> list[Any]:
        name, _, arguments = self._words(node)
        if name in ("Out-Null", "Format-Table"):
            return values if name == "Format-Table" else []
        (block,) = arguments
        found: list[Any] = []
        for each in values:
            self._values["_"] = each
            given = self.do(block)
            if name == "ForEach-Object":
                found += _listed(given)
            elif name == "Where-Object":
                found += [each] * bool(given)
            else:
                raise NotImplementedError(name)
        return found

    def _command(self, node: Any) -> Any:
        name, given, arguments = self._words(node)
        if name in ("Write-Host", "Write-Warning"):
            self.lines.append("WARNING: " * (name == "Write-Warning") + _text(self._value(arguments[0])))
            return None
        assert not arguments, f"{name}: an argument without a name"
        if name == "Get-Date":
            return datetime.datetime.now(datetime.UTC)
        if name not in self._commands:
            raise Failed(f"The term '{name}' is not recognized as a name of a cmdlet.")
        return _one(_listed(self._commands[name](given)))

    def _words(self, node: Any) -> tuple[str, dict[str, Any], list[Any]]:
        """Return a command's name, its parameters with their values (a switch has True), and what has no name."""
        head, *more = [each for each in node.named_children if each.type not in _IGNORED]
        given: dict[str, Any] = {}
        arguments: list[Any] = []
        waiting = ""
        for each in [word for words in more for word in self._inner(words)]:
            if each.type == "command_parameter":
                waiting = each.text.decode()[1:]
                given[waiting] = True
            elif each.text.startswith(b"@") and each.text[1:].isalpha():
                given |= self._values[each.text.decode()[1:].lower()]
            elif waiting:
                given[waiting], waiting = self._value(each), ""
            else:
                arguments.append(each)
        return head.text.decode(), given, arguments

    def _value(self, node: Any) -> Any:
        return self.do(node)

    # -- values --------------------------------------------------------------------------------------------------------

    def _variable(self, node: Any) -> Any:
        name = node.text.decode()[1:].lower()
        if name not in self._values:
            raise Failed(f"The variable '${name}' cannot be retrieved because it has not been set.")
        return self._values[name]

    def _member_access(self, node: Any) -> Any:
        whose, name = self._inner(node)
        return _member(self.do(whose), name.text.decode())

    def _invokation_expression(self, node: Any) -> Any:
        whose, name, arguments = self._inner(node)
        (years,) = (self.do(each) for each in self._inner(arguments))
        assert name.text == b"AddYears"
        return self.do(whose) + datetime.timedelta(days=365 * years)

    def _element_access(self, node: Any) -> Any:
        whose, place = self._inner(node)
        return self.do(whose)[self.do(place)]

    def _comparison_expression(self, node: Any) -> Any:
        if len(self._inner(node)) == 1:
            return self.do(self._inner(node)[0])
        one, operator, other = self._inner(node)
        return _COMPARING[operator.text.decode()](self.do(one), self.do(other))

    def _logical_expression(self, node: Any) -> Any:
        one, *rest = self._inner(node)
        if not rest:
            return self.do(one)
        assert [each.type for each in node.children if not each.is_named] == ["-and"]
        return bool(self.do(one)) and bool(self.do(rest[0]))

    def _expression_with_unary_operator(self, node: Any) -> Any:
        assert node.children[0].type == "-not"
        return not self.do(self._inner(node)[0])

    def _array_expression(self, node: Any) -> list[Any]:
        return [value for each in self._inner(node) for value in _listed(self.do(each))]

    def _array_literal_expression(self, node: Any) -> Any:
        values = [self.do(each) for each in self._inner(node)]
        return values[0] if len(values) == 1 else values

    def _script_block_expression(self, node: Any) -> Any:
        return self.do(self._inner(node)[0])

    def _sub_expression(self, node: Any) -> Any:
        return self._program(node)

    def _hash_literal_expression(self, node: Any) -> dict[str, Any]:
        (body,) = self._inner(node)
        return {key.text.decode(): self.do(value) for key, value in map(self._inner, self._inner(body))}

    def _decimal_integer_literal(self, node: Any) -> int:
        return int(node.text)

    def _verbatim_string_characters(self, node: Any) -> str:
        return str(node.text.decode())[1:-1].replace("''", "'")

    def _expandable_string_literal(self, node: Any) -> str:
        text, at, found = node.text, 1, ""
        for each in node.named_children:
            begin = each.start_byte - node.start_byte
            found += text[at:begin].decode() + _text(self.do(each))
            at = each.end_byte - node.start_byte
        return found + str(text[at:-1].decode())

    @staticmethod
    def _inner(node: Any) -> list[Any]:
        return [each for each in node.named_children if each.type not in _IGNORED]
