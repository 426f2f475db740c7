"""What every test has: a clean environment, state in a temporary directory, and sockets that reach loopback only."""

from __future__ import annotations

import gc
import itertools
import logging
import os
import runpy
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.resolver
import pytest
from hypothesis import settings

pytest_plugins = ["servers.fixtures"]

# started in the background of a script, or by nohup: what is ignored here would be ignored in every program that a test
# starts
for name, handler in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
    if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) == signal.SIG_IGN:
        signal.signal(getattr(signal, name), handler)

# quick: the same every time, for each change; explore (--hypothesis-profile explore, or FRANKING_FUZZ=explore) goes
# where nobody was, for a minute or two
settings.register_profile("quick", max_examples=150, deadline=None, derandomize=True, database=None)
settings.register_profile(
    "explore", max_examples=3_000, stateful_step_count=80, deadline=None, database=None, print_blob=True
)
settings.load_profile(os.environ.get("FRANKING_FUZZ", "quick"))

LOOPBACK = Path(__file__).parent / "loopback"
# this process; the environment below is for subprocesses
runpy.run_path(str(LOOPBACK / "sitecustomize.py"))["install"]()


STARTED: list[str] = []
"""Programs that the test at work has started; a fork counts as one."""
SMALL = {"cat", "echo", "false", "printf", "sh", "true"}
"""Where passwords come from in tests: done in a millisecond."""


class WatchedPopen(subprocess.Popen[Any]):
    """Note what is started."""

    def __init__(self, args: Any, *more: Any, **options: Any) -> None:
        super().__init__(args, *more, **options)
        program = args
        if options.get("shell"):
            program = "sh"
        elif not isinstance(args, str | bytes | os.PathLike):
            program = args[0]
        STARTED.append(Path(os.fsdecode(program)).name)


subprocess.Popen = WatchedPopen  # type: ignore[misc]
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=lambda: STARTED.append("a fork"))


@pytest.fixture(autouse=True)
def programs_are_marked(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test of the quick tier that starts a program: which tests are quick is never a guess."""
    STARTED.clear()
    yield
    markers = {marker.name for marker in request.node.iter_markers()}
    if markers.isdisjoint({"process", "matrix", "slow", "real"}) and not SMALL.issuperset(STARTED):
        pytest.fail(f"it starts {', '.join(STARTED)}, so it is marked process: @pytest.mark.process")


def pytest_configure(config: pytest.Config) -> None:
    """Load the library's own plugin where the command line kept it out (``-p no:franking``): what is loaded that early
    is not seen by coverage.
    """
    if not config.pluginmanager.hasplugin("franking"):
        config.pluginmanager.import_plugin("franking.testing.capture")


def out_of_sight() -> None:
    """Take what stays out of the garbage collector's sight: many tests make it run, and each time it would look at half
    a million objects, the modules, the collected tests, the reports of those that have run.
    """
    gc.collect()
    gc.freeze()


def pytest_collection_finish() -> None:
    out_of_sight()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    if nextitem is not None and nextitem.path != item.path:
        out_of_sight()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[Any]:
    """Spell lone surrogates out in what a test printed and logged: with xdist a report travels as UTF-8, which has
    none.
    """
    report = yield
    report.sections = [(title, text.encode("utf-8", "backslashreplace").decode()) for title, text in report.sections]
    return report


@pytest.fixture(scope="session")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a directory for each test. pytest's own looks through those of all tests before, which takes 4 ms at the
    end of a long run.
    """
    base = tmp_path_factory.getbasetemp()
    return (base / f"{number}" for number in itertools.count())


@pytest.fixture
def tmp_path(paths: Iterator[Path]) -> Path:
    path = next(paths)
    path.mkdir()
    return path


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Start each test without anybody's settings, proxies or CA bundles, and with a home of its own."""
    # here, where coverage sees it, and not by its name in a string, which costs a look-up each time
    from franking.account import config

    for name in list(os.environ):
        if (
            name.startswith("FRANKING_")
            or name.upper().endswith("_PROXY")
            or name
            in (
                "REQUESTS_CA_BUNDLE",
                "CURL_CA_BUNDLE",
                "SSL_CERT_DIR",
                "HTTPLIB2_CA_CERTS",
                "NO_COLOR",
                "FORCE_COLOR",
            )
        ):
            monkeypatch.delenv(name)
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")
    # every authority is a test's own; reading the system's would cost 15 ms for each TLS context
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "no-authorities.pem"))
    monkeypatch.setenv("PYTHONPATH", str(LOOPBACK))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)  # meant for this run, not for one that a test starts
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / ".local" / "state"))
    monkeypatch.setenv("FRANKING_CONFIG", str(home / "accounts.toml"))
    monkeypatch.setenv("FRANKING_STATE_DIR", str(home / "state"))
    monkeypatch.setattr(config, "SYSTEM", str(tmp_path / "etc" / "accounts.toml"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")


class NoNetwork:
    """A resolver that reaches nobody."""

    def resolve(self, qname: str, rdtype: str, *, lifetime: float, search: bool) -> Any:
        raise dns.resolver.NoNameservers


@pytest.fixture(autouse=True)
def no_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse to ask the system's name server: a test hands its own resolver in."""

    def refuse() -> Any:
        raise RuntimeError("a test tried to ask the system's name server")

    from franking.discovery import domain_check, lookup

    monkeypatch.setattr(lookup, "system_resolver", refuse)
    # beside each test message DNS is asked: here as on a computer without a network
    monkeypatch.setattr(domain_check, "system_resolver", NoNetwork)


@pytest.fixture
def loud(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Turn every library's logger to its loudest and give what is logged; afterwards each is as it was, for the tests
    that follow in this process.
    """
    caplog.set_level(logging.DEBUG)
    every = [logging.getLogger(name) for name in list(logging.root.manager.loggerDict)]
    # the others are as loud as the root; setting one costs
    loggers = [logger for logger in every if logger.level or not logger.propagate]
    before = [(logger, logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.propagate = True
    yield caplog
    for logger, level, propagate in before:
        logger.setLevel(level)
        logger.propagate = propagate
