"""Settings files that a test writes."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def path() -> Path:
    return Path(os.environ["FRANKING_CONFIG"])


@pytest.fixture
def write(path: Path) -> Callable[[str], Path]:
    def put(text: str) -> Path:
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return put
