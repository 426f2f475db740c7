"""Files written whole or not at all, whatever fails meanwhile, and locks."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from franking.atomic import write_whole

posix = pytest.mark.skipif(os.name != "posix", reason="modes and owners are POSIX")
root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root")


@posix
def test_write_whole_keeps_mode(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    path.chmod(0o644)
    write_whole(path, b"new", like=path.stat())
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o644)
