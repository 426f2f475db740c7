"""Users of this machine who have no home and no settings of their own, and send by the system's: www-data, nobody."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

__all__ = ["CHILD", "shared"]

CHILD = """
import io, os, platformdirs.unix, pwd, sys
from franking.account import config
from franking_cli.sendmail.main import main

def run(*arguments):
    sys.argv = ["franking-sendmail", *arguments]
    sys.stdin = io.TextIOWrapper(io.BytesIO(b"To: root\\nSubject: x\\n\\nx\\n"))
    try:
        main()
    except SystemExit as ended:
        return ended.code

here, user, home = sys.argv[1:]
config.SYSTEM = f"{here}/etc/accounts.toml"
# what is imported late must be while this user may: the checkout may lie in a home that is closed to others
run("-C", config.SYSTEM, "-t", "--aliases", f"{here}/etc/aliases")
found = pwd.getpwnam(user)
os.setgroups([]); os.setgid(found.pw_gid); os.setuid(found.pw_uid)
for name in ("FRANKING_CONFIG", "FRANKING_STATE_DIR", "HOME", "XDG_CONFIG_HOME", "USER", "LOGNAME"):
    os.environ.pop(name, None)
if home:
    os.environ["HOME"] = home
sys.exit(run("-t"))
"""


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that every user may walk through; pytest's own are closed."""
    with tempfile.TemporaryDirectory(prefix="franking-") as name:
        path = Path(name)
        path.chmod(0o755)
        (path / "closed").mkdir(mode=0o700)
        yield path
