"""OpenSMTPD 6.8, the plainest of the real servers: no PIPELINING, no CHUNKING, and (with Debian 12's OpenSSL) no TLS.
Needs root.

Takes mail for example.cz and example.com into ``inbox``; refuses to relay. ``nobody@`` is refused. Its spool and
control socket have fixed paths, so one runs at a time, and none where OpenSMTPD is really in use.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
from pathlib import Path

from servers.daemon import UNPACKED, Daemon, Unavailable, directory, needs_root
from servers.maildir import Maildir
from servers.ports import HOST

SPOOL = Path("/var/spool/smtpd")
MARK = SPOOL / "made-by-franking-tests"
EMPTY = Path("/var/lib/opensmtpd/empty")  # where its processes are locked in
DELIVER = Path("/usr/libexec/opensmtpd/mail.maildir")  # the only path where it looks
USERS = ("opensmtpd", "opensmtpq")


class OpenSMTPD:
    """One running OpenSMTPD on ``port``."""

    def __init__(self, *, port: int) -> None:
        needs_root("OpenSMTPD")
        program = UNPACKED / "usr/sbin/smtpd"
        if not program.is_file() or not DELIVER.is_file():
            raise Unavailable("OpenSMTPD is not unpacked (.ci/install-servers fetches it)")
        self.port = port
        self._lock = (UNPACKED / "opensmtpd.lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.directory = directory("opensmtpd")
        self._make_spool()
        owner = pwd.getpwnam("mail")
        mail = self.directory / "mail"
        mail.mkdir()
        os.chown(mail, owner.pw_uid, owner.pw_gid)
        self.inbox = Maildir(mail)
        config = self.directory / "smtpd.conf"
        config.write_text(_CONFIG.format(host=HOST, port=port, mail=mail))
        config.chmod(0o600)
        try:
            self.daemon = Daemon([program, "-d", "-f", config], ports=[port], log=self.directory / "log", cwd=Path("/"))
        except BaseException:
            self._clean()
            raise

    def stop(self) -> None:
        self.daemon.stop()
        self._clean()

    def _make_spool(self) -> None:
        for user in USERS:
            try:
                pwd.getpwnam(user)
            except KeyError:
                raise Unavailable(f"there is no user {user} (.ci/install-servers makes it)") from None
        if SPOOL.exists() and not MARK.exists():
            raise Unavailable(f"{SPOOL} belongs to an OpenSMTPD that is in use here")
        shutil.rmtree(SPOOL, ignore_errors=True)
        SPOOL.mkdir(mode=0o711)
        MARK.touch()
        EMPTY.mkdir(parents=True, exist_ok=True)

    def _clean(self) -> None:
        shutil.rmtree(SPOOL, ignore_errors=True)
        self._lock.close()


_CONFIG = """
table everybody {{ "@example.cz" = "mail", "@example.com" = "mail" }}
listen on {host} port {port} hostname opensmtpd.franking.test
action inbox maildir "{mail}/inbox" virtual <everybody>
match from any for rcpt-to {{ "nobody@example.cz", "nobody@example.com" }} reject
match from any for domain {{ "example.cz", "example.com" }} action inbox
"""
