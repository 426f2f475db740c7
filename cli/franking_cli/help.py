"""What ``--help`` shows: an example first, what the command does, its usual options, the rest in panels. The texts
stand beside their command: the lines of its docstring that begin with ``franking`` are the examples, and an option
without a panel is a usual one.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from typer.core import TyperCommand, TyperGroup

from franking_cli.conversion import as_typed

__all__ = ["EVERY", "Command", "Group", "divided", "metavar", "spelled"]

USUAL = "Usual options"
EVERY = "Every command"
_ORDER = {"Arguments": 0, USUAL: 1, EVERY: 3}  # all others stand between, as they come
_WORDS = {int: "NUMBER", float: "NUMBER", Path: "FILE"}
_COLUMN = 30  # an option that is longer has a line of its own


@contextmanager
def _told_where(ctx: Any) -> Iterator[None]:
    """Let the error of a parser say whose it is: of an option without its value, it does not know."""
    try:
        yield
    except Exception as error:
        if getattr(error, "ctx", ctx) is None:
            error.ctx = ctx  # type: ignore[attr-defined]
        raise


class Command(TyperCommand):
    """A command that explains itself in this program's way."""

    def get_params(self, ctx: Any) -> Any:
        return as_typed(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with _told_where(ctx):
            return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the whole help screen."""
        _write(self, ctx, formatter)


class Group(TyperGroup):
    """A group of commands that explains itself in this program's way."""

    def get_params(self, ctx: Any) -> Any:
        return as_typed(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with _told_where(ctx):
            return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the whole help screen; ``panels`` says which command stands under which heading."""
        _write(self, ctx, formatter)

    def panels(self) -> dict[str, list[str]]:
        """Return the names of its commands by heading."""
        return {"Commands": list(self.commands)}


def _write(command: Any, ctx: Any, formatter: Any) -> None:
    width = max(20, min(100, shutil.get_terminal_size().columns))
    examples, prose = divided(command.help)
    blocks = list(map(_bold, examples))
    for paragraph in prose:
        blocks += ["", *_wrapped(paragraph, width)]
    parameters = [one for one in command.get_params(ctx) if not getattr(one, "hidden", False)]
    blocks += ["", *_wrapped(_usage(command, ctx, parameters), width, hang="       ")]
    for heading, rows in _headed(command, parameters):
        blocks += ["", _bold(f"{heading}:"), *_table(rows, width)]
    blocks += ["", *_wrapped(command.epilog or "", width)]
    formatter.write("\n".join(blocks).strip("\n"))


def _usage(command: Any, ctx: Any, parameters: list[Any]) -> str:
    words = [metavar(one) for one in parameters if one.param_type_name == "argument"]
    words.append("COMMAND …" if hasattr(command, "panels") else "[OPTIONS]")
    return " ".join(("Usage:", ctx.command_path, *words))


def _headed(command: Any, parameters: list[Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return what stands under which heading, in order: a group's commands come before its options."""
    panels: dict[str, list[tuple[str, str]]] = {}
    order = dict(_ORDER)
    if hasattr(command, "panels"):
        order[USUAL] = 3
        for heading, names in command.panels().items():
            panels[heading] = [(name, _first_sentence(command.commands[name])) for name in names]
    for parameter in parameters:
        panels.setdefault(_panel(parameter), []).append((spelled(parameter), _meaning(parameter)))
    return sorted(panels.items(), key=lambda panel: order.get(panel[0], 2))


def divided(text: str | None) -> tuple[list[str], list[str]]:
    """Return the examples of a command's help and its paragraphs, each in one line."""
    lines = (text or "").splitlines()
    examples = [line.strip() for line in lines if line.strip().startswith("franking ")]
    rest = "\n".join(line.strip() for line in lines if line.strip() not in examples)
    return examples, [" ".join(part.split()) for part in rest.split("\n\n") if part.strip()]


def _first_sentence(command: Any) -> str:
    _, prose = divided(command.help)
    return "".join(prose[:1]).partition(". ")[0].removesuffix(".") + "."


def _panel(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return "Arguments"
    if "--help" in parameter.opts:
        return EVERY
    return getattr(parameter, "rich_help_panel", None) or USUAL


def spelled(parameter: Any) -> str:
    """Return how an argument or an option is written: ``--to ADDRESS…``, ``--queue, --no-queue``."""
    if parameter.param_type_name == "argument":
        return metavar(parameter).strip("[]")
    if parameter.secondary_opts:
        return f"{parameter.opts[0]}, {parameter.secondary_opts[0]}"
    flags = ", ".join(sorted(parameter.opts, key=len))
    if parameter.is_flag or parameter.count:
        return flags
    return f"{flags} {metavar(parameter)}"


def metavar(parameter: Any) -> str:
    """Return the word that stands for a value: its own, else one made of its type; with … where there may be several.
    An argument that may be left out has brackets.
    """
    argument = parameter.param_type_name == "argument"
    word = parameter.metavar or _own_word(parameter, argument=argument)
    if getattr(parameter, "multiple", False) or parameter.nargs != 1:
        word = word.removesuffix("…") + "…"
    if argument and not parameter.required:
        return f"[{word}]"
    return str(word)


def _own_word(parameter: Any, *, argument: bool) -> str:
    if argument:
        return str(parameter.name.upper())
    descriptor = getattr(parameter, "type_descriptor", None)
    return _WORDS.get(getattr(descriptor, "annotation", str), "TEXT")


def _meaning(parameter: Any) -> str:
    text = str(parameter.help or "").strip()
    shown = getattr(parameter, "show_default", False)
    if shown and type(parameter.default) in (int, float) and parameter.default and not parameter.is_flag:
        text += f" Default: {parameter.default:g}."
    return text


def _stacked(rows: Iterable[tuple[str, str]], width: int) -> list[str]:
    lines = []
    for name, text in rows:
        lines += _wrapped(name, width, lead="  ", hang="  ")
        lines += _wrapped(text, width, lead="      ", hang="      ")
    return lines


def _table(rows: Iterable[tuple[str, str]], width: int) -> list[str]:
    rows = list(rows)
    if width < 60:  # no room for two columns
        return _stacked(rows, width)
    column = max((len(name) for name, _ in rows if len(name) <= _COLUMN), default=0)
    lines = []
    for name, text in rows:
        told = textwrap.wrap(text, width - column - 4, break_long_words=False, break_on_hyphens=False) or [""]
        if len(name) > column:
            lines.append(f"  {name}")
        else:
            lines.append(f"  {name:<{column}}  {told.pop(0)}".rstrip())
        lines += [f"{'':<{column + 4}}{line}" for line in told]
    return lines


def _wrapped(text: str, width: int, *, lead: str = "", hang: str = "") -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=lead, subsequent_indent=hang, break_long_words=False, break_on_hyphens=False
    )


def _bold(text: str) -> str:
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb":
        return f"\x1b[1m{text}\x1b[0m"
    return text
