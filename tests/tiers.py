"""Which rows of a large table are quick: one of each kind; all others are of the tier ``matrix``."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar

import pytest

Row = TypeVar("Row")


def one_of_each(rows: Iterable[Row], kind: Callable[[Row], Hashable]) -> list[Any]:
    """Return the rows as parameters; only the first of each kind is without the marker."""
    seen: set[Hashable] = set()
    parameters = []
    for row in rows:
        marks = [pytest.mark.matrix] if kind(row) in seen else []
        seen.add(kind(row))
        values = row if isinstance(row, tuple) else (row,)
        parameters.append(pytest.param(*values, marks=marks))
    return parameters
