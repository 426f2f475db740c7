"""The systemd units that the page "Run it as a service" hands out: systemd itself reads them, and what they start is
what there is.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {"outbox": "service.md", "health": "health.md"}
UNITS = {path.name: path for folder in PAGES for path in (DOCS / folder).iterdir()}
NAMES = sorted(UNITS)
PROGRAM = Path(sys.executable).parent / "franking"

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(
        not shutil.which("systemd-analyze") and not os.environ.get("FRANKING_REQUIRE_SERVERS"),
        reason="systemd is not installed",
    ),
]


def lines(name: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", UNITS[name].read_text(), re.MULTILINE)


def analyze(*arguments: str | Path) -> str:
    environ = {**os.environ, "XDG_RUNTIME_DIR": os.environ["HOME"]}  # a user's manager wants one
    command = ["systemd-analyze", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environ, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout + done.stderr


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Put the units where systemd may read them, with this environment's program in them."""
    for name in NAMES:
        text = re.sub(r"^ExecStart=\S+", f"ExecStart={PROGRAM}", UNITS[name].read_text(), flags=re.MULTILINE)
        (tmp_path / name.replace("@.", "@www-data.")).write_text(text)
    return tmp_path


def test_all_of_them_are_on_the_page() -> None:
    assert len(NAMES) == 6
    for name, path in UNITS.items():
        folder = path.parent.name
        assert f"({folder}/{name})" in (DOCS / PAGES[folder]).read_text()


@pytest.mark.parametrize("name", NAMES)
def test_systemd_finds_nothing_wrong(name: str, installed: Path) -> None:
    if "@" in name:
        said = analyze("verify", installed / name.replace("@.", "@www-data."))
    else:
        said = analyze("--user", "verify", installed / name)
    assert "franking" not in said, said


def test_a_user_of_the_system_s_is_let_do_little(installed: Path) -> None:
    """The exposure that systemd itself computes: 0 nothing, 10 everything (a plain unit: 9.6)."""
    said = analyze("security", "--offline=true", "--threshold=20", installed / "franking-outbox@www-data.service")
    assert "OK" in said, said


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(".service")])
def test_what_is_started_is_there(name: str) -> None:
    (command,) = lines(name, "ExecStart")
    program, *words = shlex.split(command)
    assert Path(program).name == "franking"
    done = subprocess.run([PROGRAM, *words, "--help"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    if words[-1] == "--once":
        assert subprocess.run([PROGRAM, *words], capture_output=True, timeout=60, check=False).returncode == 0
