"""The relay's units and its container recipe: systemd takes them, and they give little away."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from franking_cli.app import build

FILES = Path(__file__).parents[2] / "docs" / "relay"


def systemd(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60)


@pytest.mark.process
def test_systemd_takes_the_units() -> None:
    done = systemd("verify", *map(str, sorted(FILES.glob("franking-relay.*"))))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.process
def test_the_service_is_exposed_little() -> None:
    done = systemd("security", "--offline=true", str(FILES / "franking-relay.service"))
    level = re.search(r"Overall exposure level for franking-relay\.service: (\d+\.\d+)", done.stdout)
    assert level is not None, done.stderr
    assert float(level[1]) <= 2


def test_what_the_files_start_is_a_command() -> None:
    service = (FILES / "franking-relay.service").read_text()
    words = re.search(r"^ExecStart=/usr/bin/env franking (.*)$", service, re.MULTILINE)
    entry = re.search(r"^ENTRYPOINT (.*)$", (FILES / "Containerfile").read_text(), re.MULTILINE)
    assert words is not None
    assert entry is not None
    for line in (words[1].split(), json.loads(entry[1])[1:]):
        group = build()
        _, relay, rest = group.resolve_command(group.context_class(group, info_name="franking"), line)
        _, run, flags = relay.resolve_command(relay.context_class(relay, info_name="relay"), rest)
        _, left, _ = run.make_parser(run.context_class(run, info_name="run")).parse_args(flags)
        assert left == []
