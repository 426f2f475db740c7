"""What was typed → the value of an option, where there is nothing to convert: a text is a text. Whatever else (numbers,
paths) is Typer's, which imports pydantic for it; that takes as long as all the rest of a start.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

__all__ = ["as_typed"]


def as_typed(parameters: list[Any]) -> list[Any]:
    """Have parameters of Typer's take what needs no conversion as it is."""
    for parameter in parameters:
        if "get_runtime_param" not in vars(parameter):
            parameter.get_runtime_param = partial(_AsTyped, parameter.get_runtime_param)
    return parameters


class _AsTyped:
    """Stand in for what Typer converts a value with."""

    def __init__(self, converts: Callable[[], Any]) -> None:
        self._converts = converts

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        kind = param.type_descriptor.annotation
        several = param.multiple or param.nargs == -1
        if value is None:
            return () if several else None
        if kind == list[str] and several and not isinstance(value, str):
            return list(value)
        if (kind is str and isinstance(value, str)) or _is_converted(value, param):
            return value
        return self._converts().coerce(value, param=param, ctx=ctx)


def _is_converted(value: Any, param: Any) -> bool:
    return value is param.default or getattr(param, "count", False)
