"""What the page on many machines shows of code stands in the example projects, which the tests start."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_every_line_of_code_is_an_example_s() -> None:
    blocks = re.findall(r"```py\n(.*?)```", (DOCS / "many-machines.md").read_text("utf-8"), re.DOTALL)
    sources = [path.read_text("utf-8") for path in (DOCS / "examples").rglob("*.py")]
    assert len(blocks) >= 5
    for block in blocks:
        wanted = [line for line in block.splitlines() if line]
        assert any(all(line in source.splitlines() for line in wanted) for source in sources), block


def test_every_example_is_linked() -> None:
    text = (DOCS / "many-machines.md").read_text("utf-8")
    linked = re.findall(r"\((examples/[^)]+)\)", text)
    assert len({name.split("/")[1] for name in linked}) == 5
    assert [name for name in linked if not (DOCS / name).is_file()] == []
