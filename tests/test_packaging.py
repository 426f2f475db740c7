"""What is shipped: the exact files of the wheel and of the source distribution, and the metadata that users see.

Builds both without the network; with FRANKING_DIST set (as .ci/run does) it looks at the ones built there.
"""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
import tarfile
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).parent.parent
BUILT = os.environ.get("FRANKING_DIST")  # read before the tests' environment is cleaned
SOURCES = {"franking": ROOT / "providers" / "franking", "franking_cli": ROOT / "cli" / "franking_cli"}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if BUILT:
        return Path(BUILT)
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def wheel(dist: Path) -> zipfile.ZipFile:
    (path,) = dist.glob("franking-*-py3-none-any.whl")
    return zipfile.ZipFile(path)


def sources() -> set[str]:
    code = {
        f"{package}/{path.relative_to(root)}"
        for package, root in SOURCES.items()
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    docs = ROOT / "docs"
    pages = [*docs.glob("*.md"), *docs.glob("outbox/*"), *docs.glob("health/*"), *docs.glob("relay/*")]
    return code | {f"franking_cli/manual/{page.relative_to(docs).as_posix()}" for page in pages}


def test_the_wheel_holds_the_two_packages_with_the_manual_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    info = next(name.partition("/")[0] for name in names if ".dist-info/" in name)
    metadata = {f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    assert names == sources() | metadata


def test_the_wheel_holds_what_is_easily_forgotten(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    assert {"franking/py.typed", "franking_cli/py.typed", "franking/diagnosis/texts/en.toml"} <= names
    assert not [name for name in names if name.startswith(("tests", "docs", "providers", "cli/"))]


def test_the_wheel_says_what_it_needs(wheel: zipfile.ZipFile) -> None:
    info = next(name for name in wheel.namelist() if name.endswith("/METADATA"))
    metadata = HeaderParser().parsestr(wheel.read(info).decode())
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT"
    assert {"gmail", "outlook", "keyring", "cli", "web", "relay", "celery", "redis", "postgres", "all", "test"} == set(
        metadata.get_all("Provides-Extra") or ()
    )
    base = {line.split(">")[0] for line in metadata.get_all("Requires-Dist") or () if "extra ==" not in line}
    assert not base & {
        "msal",
        "google-auth",
        "google-auth-oauthlib",
        "google-api-python-client",
        "requests",
        "typer",
        "rich",
    }


def test_the_wheel_installs_its_programs(wheel: zipfile.ZipFile) -> None:
    points = configparser.ConfigParser()
    points.read_string(
        wheel.read(next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))).decode()
    )
    assert dict(points["console_scripts"]) == {
        "franking": "franking_cli.__main__:main",
        "franking-sendmail": "franking_cli.sendmail.main:main",
    }
    for target in points["console_scripts"].values():
        module, _, function = target.partition(":")
        assert hasattr(__import__(module, fromlist=[function]), function)


def test_the_source_distribution_holds_the_project_and_nothing_else(dist: Path) -> None:
    (path,) = dist.glob("franking-*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tops = {name.partition("/")[0] for name in names}
    assert tops == {
        "providers",
        "cli",
        "tests",
        "docs",
        "README.md",
        "LICENSE",
        "pyproject.toml",
        "PKG-INFO",
        ".gitignore",
    }
    assert {"tests/conftest.py", "docs/index.md"} <= names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc") or "/.venv" in name]
