"""Find the same place in an older tree whose files had other names and other line breaks."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

_TOKEN = re.compile(r"\w+|[^\w\s]")


class Older:
    """What the files of an older tree are called now.

    A layout file is JSON: a plain object of old → new paths, or one with such objects under ``move`` and ``merge`` and,
    under ``split``, old → {new: names}. A new path that ends in ``/`` keeps the file's name.
    """

    def __init__(self, layouts: list[Path]) -> None:
        self._old: dict[str, list[str]] = defaultdict(list)
        for layout in layouts:
            content: dict[str, Any] = json.loads(layout.read_text("utf-8"))
            if "move" not in content:
                content = {"move": content}
            for old, new in [*content["move"].items(), *content.get("merge", {}).items()]:
                self._add(old, new)
            for old, parts in content.get("split", {}).items():
                for new in parts:
                    self._add(old, new)

    def _add(self, old: str, new: str) -> None:
        if new.endswith("/"):
            new += Path(old).name
        self._old[new].append(old)

    def mutated(self, root: Path, file: str, text: str, new: str) -> tuple[str, str] | None:
        """Return the older file in which ``text`` stands once, and its content with ``new`` there."""
        # the formatter breaks lines elsewhere, and adds a comma where it does
        pattern = re.compile(r",?\s*".join(re.escape(token) for token in _TOKEN.findall(text)))
        for old in [*self._old[file], file]:
            path = root / old
            if not path.is_file():
                continue
            content = path.read_text("utf-8")
            hits = list(pattern.finditer(content))
            if len(hits) == 1:
                start, end = hits[0].span()
                head, tail = content[:start], content[end:]
                shift = _indent(head.rpartition("\n")[2]) - _indent(text)
                return old, head + _moved(new.strip(), shift) + tail
        return None

    def tests(self, root: Path, tests: tuple[str, ...]) -> tuple[str, ...]:
        """Return every older test file whose place is now in the folders of these tests."""
        folders = {str(Path(test.partition("::")[0]).parent) for test in tests}
        old = {one for new, files in self._old.items() if str(Path(new).parent) in folders for one in files}
        old |= {test.partition("::")[0] for test in tests}
        return tuple(sorted(one for one in old if (root / one).is_file()))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _moved(text: str, columns: int) -> str:
    """Return a text whose lines after the first are moved to the right, or to the left."""
    first, *others = text.split("\n")
    return "\n".join([first, *(" " * max(_indent(line) + columns, 0) + line.lstrip() for line in others)])
