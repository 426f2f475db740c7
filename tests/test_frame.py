"""The frame of the project holds: its top level, its public names, what importing it costs, what the README promises,
and that tests stay here.
"""

from __future__ import annotations

import ast
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import franking
from servers.smtp import SmtpServer

ROOT = Path(__file__).parent.parent
SDKS = {
    "msal",
    "google",
    "google_auth_oauthlib",
    "googleapiclient",
    "httplib2",
    "requests",
    "oauthlib",
    "requests_oauthlib",
    "urllib3",
}
LATE = {"keyring", "cryptography", "jwt", "jinja2", "aiosmtpd", "dns", "rich", "django", "pytest", "asyncio"}


def python(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def roots(modules: str) -> set[str]:
    return {name.partition(".")[0] for name in modules.split()}


@pytest.mark.process
def test_top_level() -> None:
    known = {"pyproject.toml", "README.md", "LICENSE", "providers", "cli", "tests", "docs"}
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a checkout")
    top = {line.partition("/")[0] for line in listed.stdout.splitlines()}
    assert {name for name in top if not name.startswith(".")} == known
    for source, package in (("providers", "franking"), ("cli", "franking_cli")):
        assert {line.split("/")[1] for line in listed.stdout.splitlines() if line.startswith(f"{source}/")} == {package}


def test_public_names_are_exactly_all() -> None:
    for name in franking.__all__:
        assert getattr(franking, name) is not None, name
    lazily = {name for name in dir(franking) if not name.startswith("_") and name[0].isupper()}
    assert lazily - set(franking.__all__) == set()
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = franking.no_such_name


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(franking.__file__).read_text(encoding="utf-8"))
    seen = {
        alias.asname
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for line in node.body
        if isinstance(line, ast.ImportFrom) and (line.module or "").startswith("franking")
        for alias in line.names
    }
    assert seen == set(franking.__all__) - {"__version__"}


@pytest.mark.process
def test_import_franking_loads_next_to_nothing() -> None:
    loaded = roots(
        python(
            "-c", "import sys; before = set(sys.modules); import franking; print(*sorted(set(sys.modules) - before))"
        )
    )
    assert "franking" in loaded
    assert loaded & (SDKS | LATE | {"typer", "email", "ssl", "smtplib", "tomlkit"}) == set()


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere platformdirs knows the places")
def test_a_first_message_loads_what_a_message_needs(
    smtp_server: Callable[..., SmtpServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FRANKING_CONFIG", "FRANKING_STATE_DIR"):
        monkeypatch.delenv(name)
    code = (
        "import sys; before = set(sys.modules); import franking\n"
        "account = franking.Account(name='a', provider='smtp', sender='a@x.cz', host='127.0.0.1', port=sys.argv[1], "
        "security='none')\n"
        "with franking.connect(account) as mailer:\n"
        "    mailer.send(b'From: a@x.cz\\r\\nTo: b@y.cz\\r\\n\\r\\nx\\r\\n')\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    loaded = roots(python("-c", code, str(smtp_server().port)))
    assert "franking" in loaded
    unneeded = {"platformdirs", "pathlib", "tempfile", "shutil", "random", "urllib", "ssl", "logging", "email"}
    assert loaded & (SDKS | LATE | unneeded) == set()


@pytest.mark.process
def test_no_module_of_the_library_loads_an_sdk() -> None:
    package = Path(franking.__file__).parent
    names = [
        ".".join(("franking", *path.relative_to(package).with_suffix("").parts)).removesuffix(".__init__")
        for path in sorted(package.rglob("*.py"))
        # these belong to Django, Celery and pytest, which their users have loaded
        if not {"django", "celery", "testing", "contracts"} & {*path.parts, path.stem}
    ]
    code = (
        "import sys, importlib; [importlib.import_module(name) for name in sys.argv[1:]]; print(*sorted(sys.modules))"
    )
    loaded = roots(python("-c", code, *names))
    assert "franking" in loaded
    assert loaded & (SDKS | (LATE - {"asyncio"})) == set()  # aio is asyncio's


@pytest.mark.process
def test_help_loads_no_sdk_and_no_command() -> None:
    code = (
        "import sys\nfrom franking_cli.app import run\ncode = run(['--help'])\n"
        "print('LOADED', *sorted(sys.modules))\nsys.exit(code)"
    )
    shown, _, modules = python("-c", code).partition("LOADED")
    assert "send-test" in shown
    assert roots(modules) & (SDKS | LATE) == set()
    commands = {name for name in modules.split() if name.startswith("franking_cli.")}
    assert commands <= {"franking_cli.app", "franking_cli.help", "franking_cli.console", "franking_cli.conversion"}


def test_the_readme_has_the_commands_that_the_checks_run() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    for wanted in (
        'pipx install "franking[all]"',
        "franking setup you@example.com",
        (
            'python3 -m venv .venv && .venv/bin/pip install ".[all]" && .venv/bin/franking send-test --embedded '
            "--to you@example.com"
        ),
        'python3 -m venv .venv && .venv/bin/pip install -e ".[all,test]" && .venv/bin/pytest',
    ):
        assert lines.count(wanted) == 1, wanted


def test_every_docs_page_is_in_the_navigation() -> None:
    settings = (ROOT / ".mkdocs.yml").read_text(encoding="utf-8")
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert pages == set(re.findall(r"[\w/-]+\.md\b", settings.partition("\nnav:")[2]))


def test_the_navigation_has_six_groups() -> None:
    navigation = (ROOT / ".mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    assert re.findall(r"^  - ([^:]+):$", navigation, re.MULTILINE) == [
        "Start here", "Send", "Sign in", "When it fails", "For administrators", "For developers",
    ]  # fmt: skip


def test_this_process_reaches_loopback_only() -> None:
    with socket.socket() as elsewhere, pytest.raises(RuntimeError, match="only loopback"):
        elsewhere.connect(("192.0.2.1", 25))
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as elsewhere,
        pytest.raises(RuntimeError, match="only loopback"),
    ):
        elsewhere.sendto(b"", ("192.0.2.1", 53))
    with pytest.raises(RuntimeError, match="only loopback"):
        socket.getaddrinfo("mail.example.com", 25)
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("mail.invalid", 25)
    with socket.create_server(("127.0.0.1", 0)) as here, socket.create_connection(("localhost", here.getsockname()[1])):
        pass


@pytest.mark.process
@pytest.mark.parametrize("call", ["create_connection(('192.0.2.1', 25), 1)", "getaddrinfo('mail.example.com', 25)"])
def test_subprocesses_reach_loopback_only(call: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import socket; socket.{call}"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "only loopback is allowed" in done.stderr


def test_the_tests_environment_is_clean() -> None:
    assert not [name for name in os.environ if name.lower().endswith("_proxy")]
    assert os.environ["HOME"] != str(Path("~root").expanduser())
