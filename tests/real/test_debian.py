"""The Debian package in a clean Debian, booted by systemd in namespaces of its own that reach nothing but their own
loopback: installed, set up, a relay for cron, upgraded, purged. ``.ci/run`` builds the package (FRANKING_DEB) and the
clean system (``.ci/install-packaging``); the tests of this file go on from one another.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PACKAGE = os.environ.get("FRANKING_DEB", "")  # read before the tests' environment is cleaned
CLEAN = Path(os.environ.get("FRANKING_SERVERS", "/nonexistent")) / "debian"
CANARY = "canary-of-the-mailbox-7731"
PATIENCE = 240.0
SINK = """
import sys, time
sys.path.insert(0, "/usr/lib/franking/lib")
from pathlib import Path
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

class Sink:
    async def handle_DATA(self, server, session, envelope):
        path = Path("/var/sink", str(time.monotonic_ns()) + ".part")
        path.write_bytes(envelope.content)
        path.rename(path.with_suffix(".eml"))
        return "250 2.0.0 ok"

def login(server, session, envelope, mechanism, data):
    return AuthResult(success=data.password.decode() == Path("/srv/password").read_text())

Path("/var/sink").mkdir(exist_ok=True)
Controller(Sink(), "127.0.0.1", 2500, authenticator=login, auth_required=True, auth_require_tls=False).start()
Path("/var/sink/ready").touch()
time.sleep(1e6)
"""
FILES = {
    "/srv/sink.py": SINK,
    "/srv/password": CANARY,
    "/etc/systemd/system/sink.service": "[Service]\nExecStart=/usr/bin/python3 -I /srv/sink.py\n",
    "/etc/cron.d/hello": "MAILTO=jana@example.com\n* * * * * www-data echo good morning from cron\n",
}
OTHERS = """[accounts.relay]
provider = "smtp"
from = "info@novak.cz"
host = "127.0.0.1"
port = 2525
security = "none"
rewrite_from = true
"""
AS_THE_RELAY = ("runuser", "-u", "franking", "--", "env", "HOME=/var/lib/franking")  # as sudo -u franking -H does
SECRET = "/var/lib/franking/.local/state/franking/office.json"


class Machine:
    """What runs in the namespaces of the clean system."""

    def __init__(self, packages: Path, log: Path) -> None:
        self.log = log
        command = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network", "--boot"]
        command += ["--volatile=overlay", "--console=pipe", f"--directory={CLEAN}", f"--bind-ro={packages}:/packages"]
        with log.open("wb") as out:
            self.host = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)

    def boot(self) -> None:
        """Wait until all of it has started."""
        # what is bound exists in there only: until then it is another's namespaces that are looked into
        self.wait("test -e /packages/franking.deb && systemctl is-system-running | grep -qE '^(running|degraded)$'")

    def run(self, *command: str, stdin: str = "", code: int | None = 0) -> str:
        """Run a command as root in there and return what it prints."""
        enter = ("nsenter", f"--target={self._leader()}", "--mount", "--uts", "--ipc", "--net", "--pid", "--root")
        clean = ("env", "--ignore-environment", "--chdir=/", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8")
        done = subprocess.run(
            [*enter, "--", *clean, *command], input=stdin, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert code is None or done.returncode == code, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def wait(self, command: str) -> None:
        """Wait until a line of shell succeeds."""
        self._until(lambda: self.run("sh", "-c", f"{command} && echo .", code=None), command)

    def write(self, path: str, text: str) -> None:
        self.run("sh", "-c", f"cat >{path}", stdin=text)

    def stop(self) -> None:
        self.host.terminate()
        try:
            self.host.wait(30)
        except subprocess.TimeoutExpired:
            self.host.kill()
            self.host.wait()

    def _leader(self) -> int:
        """Return the process that is 1 in there; while it starts, another takes that place for a moment."""
        children = Path(f"/proc/{self.host.pid}/task/{self.host.pid}/children").read_text().split()
        return int(children[-1]) if children else self.host.pid

    def _until(self, look: Callable[[], str], what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not look():
            assert self.host.poll() is None, self.log.read_text("utf-8", "replace")
            assert time.monotonic() < end, f"in vain: {what}\n{self.log.read_text('utf-8', 'replace')}"
            time.sleep(0.2)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    if not PACKAGE:
        pytest.skip("FRANKING_DEB names no package; .ci/run builds one")
    if not (CLEAN / "etc").is_dir() or shutil.which("systemd-nspawn") is None:
        pytest.skip("there is no clean Debian: .ci/install-packaging makes one")
    packages = tmp_path_factory.mktemp("packages")
    shutil.copy(PACKAGE, packages / "franking.deb")
    opened = tmp_path_factory.mktemp("opened")
    subprocess.run(["dpkg-deb", "--raw-extract", PACKAGE, str(opened)], check=True)
    control = opened / "DEBIAN" / "control"
    control.write_text(control.read_text("utf-8").replace("\nVersion: 0", "\nVersion: 1:0"), "utf-8")
    subprocess.run(["dpkg-deb", "-Znone", "--build", str(opened), str(packages / "newer.deb")], check=True, stdout=-3)
    started = Machine(packages, tmp_path_factory.mktemp("log") / "console")
    try:
        started.boot()
        yield started
    finally:
        started.stop()


def test_it_installs_and_starts_nothing(machine: Machine) -> None:
    machine.run("dpkg", "--install", "/packages/franking.deb")
    assert machine.run("franking", "--version").startswith("franking 0.2.")
    assert machine.run("readlink", "-f", "/usr/sbin/sendmail") == "/usr/lib/franking/bin/franking-sendmail"
    assert machine.run("stat", "-c", "%U %a", "/var/lib/franking") == "franking 711"
    for unit in ("franking-relay.service", "franking-relay.socket"):
        assert machine.run("systemctl", "is-active", unit, code=None) == "inactive"
    assert machine.run("systemctl", "--failed", "--plain", "--no-legend") == ""


def test_a_mailbox_is_set_up_by_the_relays_own_user(machine: Machine) -> None:
    for path, text in FILES.items():
        machine.write(path, text)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "sink")
    machine.wait("test -e /var/sink/ready")
    words = "setup info@novak.cz --name office --provider smtp --host 127.0.0.1 --port 2500 --security none --offline"
    words += " --username info@novak.cz --default --password-stdin"
    machine.run(*AS_THE_RELAY, "franking", *words.split(), stdin=f"{CANARY}\n")
    machine.wait("ls /var/sink/*.eml")
    assert machine.run("runuser", "-u", "www-data", "--", "cat", SECRET, code=1) == ""


def test_cron_of_another_user_mails_through_the_relay(machine: Machine) -> None:
    machine.write("/etc/franking/accounts.toml", OTHERS)
    machine.run("systemctl", "enable", "--now", "franking-relay.socket", "franking-relay.service")
    machine.wait("grep -q 'good morning from cron' /var/sink/*.eml")
    message = machine.run("sh", "-c", "cat $(grep -l 'good morning from cron' /var/sink/*.eml | head -1)")
    assert "\nFrom: info@novak.cz" in f"\n{message}"
    assert "jana@example.com" in message


def test_an_upgrade_leaves_the_relay_running(machine: Machine) -> None:
    before = machine.run("systemctl", "show", "--property=MainPID", "franking-relay.service")
    machine.run("dpkg", "--install", "/packages/newer.deb")
    machine.wait("systemctl --quiet is-active franking-relay.service")
    assert machine.run("systemctl", "show", "--property=MainPID", "franking-relay.service") != before
    letter = "Subject: after the upgrade\n\nstill here\n"
    machine.run("runuser", "-u", "www-data", "--", "sendmail", "-i", "jana@example.com", stdin=letter)
    machine.wait("grep -q 'after the upgrade' /var/sink/*.eml")


def test_a_purge_leaves_nothing_secret_and_nothing_broken(machine: Machine) -> None:
    machine.run("systemctl", "stop", "sink")
    machine.run("rm", "-r", "/var/sink", *FILES)
    places = ("/etc", "/var", "/root", "/home", "/tmp", "/run/log", "/usr/lib", "/opt")
    assert machine.run("grep", "-rlaF", CANARY, *places, code=None) == SECRET
    machine.run("dpkg", "--purge", "franking")
    for path in ("/var/lib/franking", "/etc/franking", "/usr/lib/franking", "/usr/sbin/sendmail", "/usr/bin/mailq"):
        machine.run("test", "!", "-e", path)
    assert machine.run("pgrep", "-u", "franking", code=None) == ""
    assert machine.run("grep", "-rlaF", CANARY, *places, code=None) == ""
    assert machine.run("sh", "-c", "find /etc/systemd /usr/sbin /usr/bin /etc/alternatives -name '*franking*'") == ""
    assert machine.run("systemctl", "--failed", "--plain", "--no-legend") == ""
    assert machine.run("dpkg", "--audit") == ""
