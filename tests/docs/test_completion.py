"""The files by which shells complete do so in real shells, at the first Tab: commands, accounts, words, files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from franking.account import config, editing

FILES = Path(__file__).parents[2] / "docs" / "completion"
PROGRAMS = str(Path(sys.executable).parent)
HERE = Path(__file__).parents[1]
ASKED = [
    ("franking se", {"send", "send-many", "send-test", "settings", "setup"}),
    ("franking send s", {"shop"}),
    ("franking accounts add x --security ", {"none", "starttls", "tls"}),
    (f"franking send shop --attach {HERE}/conf", {f"{HERE}/conftest.py"}),
]
BASH = """
source "$FILE"
COMP_WORDS=($LINE); [[ $LINE != *" " ]] || COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_franking_completion franking
((${#COMPREPLY[@]})) || mapfile -t COMPREPLY < <(compgen -o default -- "${COMP_WORDS[COMP_CWORD]}")
printf '%s\\n' "${COMPREPLY[@]}"
"""
# what the completion of zsh offers is what _arguments and _files are called with
ZSH = """
_arguments() { eval "offered=(${${1#*\\(\\(}%\\)\\)})"; print -l -- "${offered[@]}" }
_files() { print -l -- ${words[CURRENT]}*(N) }
words=(${(z)LINE}); [[ $LINE != *" " ]] || words+=("")
CURRENT=${#words}
source "$FILE"
"""
FISH = 'source "$FILE"; complete -C "$LINE"'
SHELLS = {
    "bash": ("franking.bash", ["--norc", "-c", BASH]),
    "zsh": ("_franking", ["-f", "-c", ZSH]),
    "fish": ("franking.fish", ["--no-config", "-c", FISH]),
}


@pytest.mark.process
@pytest.mark.parametrize("line, offered", ASKED, ids=[line for line, _ in ASKED])
@pytest.mark.parametrize("shell", SHELLS)
def test_what_a_shell_offers_at_the_first_tab(shell: str, line: str, offered: set[str], tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed; .ci/install-packaging does that")
    for name in ("shop", "office"):
        editing.save(config.load().build(name=name, provider="file", sender="a@b.cz", path=str(tmp_path)))
    file, arguments = SHELLS[shell]
    environ = {**os.environ, "PATH": f"{PROGRAMS}:{os.environ['PATH']}", "FILE": str(FILES / file), "LINE": line}
    done = subprocess.run([shell, *arguments], env=environ, capture_output=True, text=True, timeout=60, check=True)
    assert {each.partition("\t")[0].partition(":")[0] for each in done.stdout.splitlines()} == offered, done.stderr
