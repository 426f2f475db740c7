"""Every Python block of the documentation runs as it stands, page by page, with accounts "shop" and "example" that
write their mail to a directory.

What an example takes from its reader's program (``messages``, ``put_back`` …) stands in ``SURROUNDINGS``; settings
files and reports of failures need no more.
"""

from __future__ import annotations

import ast
import asyncio
import builtins
import inspect
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import franking
import franking.testing
from franking import errors
from franking.sending.journal import MemoryJournal

ROOT = Path(__file__).parents[2]
PAGES = [
    page
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    if "```python" in page.read_text(encoding="utf-8")
]
# at least
SENDS = {"README.md": 1, "index.md": 1, "quick-start.md": 1, "many-messages.md": 3, "async.md": 3, "errors.md": 1}


def letter(number: int = 0) -> franking.Message:
    return franking.Message(to=f"to{number}@example.com", subject="x", text="x")


class Application:
    """Something with a logger, such as Flask's ``app``."""

    logger = logging.getLogger("an application of the docs")


def surroundings() -> dict[str, Any]:
    def order(to: str) -> None:
        franking.send("shop", franking.Message(to=to, subject="Faktura", text="x"))

    def nothing(*args: Any) -> None: ...

    return {
        "franking": franking,
        "pytest": pytest,
        "asyncio": asyncio,
        "message": letter(),
        "messages": [letter(number) for number in range(3)],
        "order": order,
        "app": Application(),
        "MyProvider": object,
        "journal": MemoryJournal(),
        **dict.fromkeys(("ask_somebody", "put_back", "give_up", "alarm"), nothing),
    }


@pytest.fixture(autouse=True)
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An account "shop" whose mail lands in a directory, and the files that the examples attach."""
    path = tmp_path / "mail"
    path.mkdir()
    account = f'provider = "file"\nfrom = "Jan Novák <info@novak.cz>"\npath = {str(path)!r}\n'
    table = f'default = "shop"\n[accounts.shop]\n{account}[accounts.example]\n{account}'
    Path(os.environ["FRANKING_CONFIG"]).write_text(table, encoding="utf-8")
    monkeypatch.setenv("MAIL_PASSWORD", "x")
    monkeypatch.chdir(tmp_path)
    for name in ("faktura.pdf", "faktura č. 114.pdf", "logo.png"):
        (tmp_path / name).write_bytes(b"%PDF")
    handlers = {logger: list(logger.handlers) for logger in (logging.getLogger(), Application.logger)}
    yield path
    for logger, before in handlers.items():
        for handler in set(logger.handlers) - set(before):
            logger.removeHandler(handler)
            handler.close()


async def run(name: str, text: str) -> None:
    names = surroundings()
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", text, re.DOTALL), 1):
        code = compile(block, f"{name}, block {number}", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if code.co_flags & inspect.CO_COROUTINE:
            await eval(code, names)
        else:
            await asyncio.to_thread(exec, code, names)  # as in a program of its own, without a loop


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_examples_run(page: Path, shop: Path) -> None:
    asyncio.run(run(page.name, page.read_text(encoding="utf-8")))
    assert len(list(shop.iterdir())) >= SENDS.get(page.name, 0)


def test_the_table_of_errors_has_them_all() -> None:
    table = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8").partition("## What an application should do")[2]
    rows = dict(re.findall(r"^\| `(\w+)` \|([^|]*)\|", table, re.MULTILINE))
    kinds = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.FrankingError)
    }
    assert set(rows) == set(kinds) - {"FrankingError", "SendError"}
    for name, kin in rows.items():
        builtin = re.findall(r"`(\w+)`", kin)
        assert all(issubclass(kinds[name], getattr(builtins, kind)) for kind in builtin), name
