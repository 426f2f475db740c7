"""What is shipped: the exact files of the wheel and of the source distribution, and the metadata that users see.

Builds both without the network; with FRANKING_DIST set (as .ci/run does) it looks at the ones built there.
"""

from __future__ import annotations

import configparser
import filecmp
import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import tomllib
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
    return built(ROOT, tmp_path_factory.mktemp("dist"))


def built(sources: Path, out: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(out)]
    made = {**os.environ, "SOURCE_DATE_EPOCH": "1796040000"}
    done = subprocess.run(
        command, cwd=sources, capture_output=True, text=True, timeout=100, stdin=subprocess.DEVNULL, env=made
    )
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


def shared() -> set[str]:
    """Return what is installed beside the packages: manual pages, and the files by which shells complete."""
    pages = {f"man/man1/{page.name}" for page in (ROOT / "docs" / "man").iterdir()}
    fish = "fish/vendor_completions.d/franking.fish"
    return pages | {fish, "bash-completion/completions/franking", "zsh/site-functions/_franking"}


def test_the_wheel_holds_the_two_packages_with_the_manual_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    info = next(name.partition("/")[0] for name in names if ".dist-info/" in name)
    metadata = {f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    assert names == sources() | metadata | {
        f"{info.removesuffix('dist-info')}data/data/share/{name}" for name in shared()
    }


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
        ".packaging",
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


def test_two_builds_elsewhere_and_later_are_the_same_files(tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(
        ROOT, copy, ignore=shutil.ignore_patterns(".venv*", ".git", "dist", "site", "__pycache__", ".*_cache")
    )
    for path in copy.rglob("*"):
        os.utime(path, (1, 1))
    first, second = built(ROOT, tmp_path / "first"), built(copy, tmp_path / "second")
    names = sorted(path.name for path in first.iterdir())
    assert len(names) == 2
    assert filecmp.cmpfiles(first, second, names, shallow=False) == (names, [], [])


def test_the_projects_address_is_made_from_one_place(wheel: zipfile.ZipFile) -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["franking"]
    addresses = runpy.run_path(str(ROOT / ".packaging" / "addresses.py"))["addresses"]
    metadata = HeaderParser().parsestr(
        wheel.read(next(n for n in wheel.namelist() if n.endswith("/METADATA"))).decode()
    )
    urls = dict(line.split(", ", 1) for line in metadata.get_all("Project-URL") or ())
    assert urls == addresses(**told)
    made = addresses(home="https://forge.example/franking/", documentation="https://franking.example")
    assert made["Issues"] == "https://forge.example/franking/issues"
    assert made["Documentation"] == "https://franking.example/"


def test_the_version_is_the_same_wherever_it_stands() -> None:
    from franking import __version__

    changelog = (ROOT / ".packaging" / "debian" / "changelog").read_text("utf-8")
    assert re.match(r"franking \((.*)-\d+\) ", changelog)[1] == __version__  # type: ignore[index]
    container = (ROOT / "docs" / "relay" / "Containerfile").read_text("utf-8")
    assert f'"franking[all]=={__version__}"' in container
    assert f"## {__version__}" in (ROOT / "docs" / "changelog.md").read_text("utf-8")


def test_what_the_bundle_carries_is_what_the_extras_ask_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = [
        *project["dependencies"],
        *(line for name in ("outlook", "keyring", "cli", "relay") for line in extras[name]),
    ]
    wanted = {re.split(r"[>=<\[]", line)[0].lower() for line in lines} - {"franking"}
    locked = (ROOT / ".packaging" / "bundle.txt").read_text("utf-8")
    pinned = set(re.findall(r"^([\w.-]+)==", locked, re.MULTILINE))
    assert wanted <= pinned
    assert not [name for name in pinned if name.startswith("google")]
    assert locked.count("--hash=sha256:") > len(pinned)


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "man").glob("*.1")), ids=lambda page: str(page.stem))
def test_a_manual_page_is_well_formed(page: Path) -> None:
    if shutil.which("man") is None or shutil.which("groff") is None:
        pytest.skip("man-db and groff are not installed")
    command = ["man", "--warnings=w", "--local-file", str(page)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, "LC_ALL": "C.UTF-8"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "SYNOPSIS" in done.stdout
