"""Postfix 3.7, the widest of the real servers: PIPELINING, CHUNKING, SMTPUTF8, STARTTLS, implicit TLS, SASL by Dovecot.
Needs root.

Takes mail for example.cz and example.com into ``inbox``; anything else needs a login and is then thrown away, so that
nothing leaves this machine. ``nobody@`` is refused, ``later@`` is refused for now; ``boss@example.cz`` belongs to
nobody who can log in.
"""

from __future__ import annotations

import os
import pwd
import time
from pathlib import Path

from servers.daemon import START, Certificates, Daemon, directory, find, in_use, needs_root
from servers.maildir import Maildir
from servers.ports import HOST

SIZE_LIMIT = 15 * 1024 * 1024


class Postfix:
    """One running Postfix. ``plain_port`` offers no TLS, ``port`` offers STARTTLS and takes a login only under it,
    ``tls_port`` begins with TLS.
    """

    def __init__(
        self,
        certificates: Certificates,
        *,
        plain: int,
        starttls: int,
        tls: int,
        auth_socket: Path | None = None,
        relay: int | None = None,
        settings: str = "",
    ) -> None:
        """``settings`` are further lines of main.cf, or other values of those that are there."""
        needs_root("Postfix")
        find("postfix")
        master = find("master", under="/usr/lib/postfix/sbin")
        self.directory = directory("postfix")
        self.plain_port, self.port, self.tls_port = plain, starttls, tls
        mail = self.directory / "mail"
        mail.mkdir()
        self.inbox = Maildir(mail)
        owner = _user("mail")
        os.chown(mail, *owner)
        _make_queue(self.directory / "spool", self.directory / "data")
        config = self.directory / "config"
        config.mkdir()
        values = {
            "d": self.directory,
            "host": HOST,
            "c": certificates,
            "uid": owner[0],
            "gid": owner[1],
            "limit": SIZE_LIMIT,
        }
        more = "" if auth_socket is None else _SASL.format(auth_socket=auth_socket)
        if relay is not None:
            more += f"transport_maps = static:{{smtp:[{HOST}]:{relay}}}\n"
        # never twice: each program would warn of it, postlogd too, which then waits for itself
        others = tuple(f"{line.partition('=')[0].strip()} =" for line in settings.splitlines())
        kept = [line for line in (_MAIN.format(**values) + more).splitlines() if not line.startswith(others or "\n")]
        (config / "main.cf").write_text("\n".join(kept) + "\n" + settings)
        (config / "master.cf").write_text(_MASTER.format(host=HOST, plain=plain, starttls=starttls, tls=tls))
        (config / "mailboxes").write_text("if !/^nobody@/\n/@example\\.(cz|com)$/ inbox/\nendif\n")
        (config / "recipients").write_text("/^later@/ 450 4.2.1 The mailbox is busy, try again later\n")
        (config / "owners").write_text("/^boss@/ boss@example.cz\n/./ info@example.cz, jan\n")
        for file in config.iterdir():
            # Postfix waits for seconds while a file is fresh: somebody may still be writing it
            os.utime(file, (1e9, 1e9))
        log = self.directory / "log"
        self.daemon = Daemon([master, "-c", config, "-d"], ports=[plain, starttls, tls], log=log, cwd=Path("/"))

    def stop(self) -> None:
        self.daemon.stop()

    def settle(self, *, maildrop: bool = False) -> None:
        """Wait until nobody is connected and everything that was accepted has been delivered: what is not in ``inbox``
        now never comes. ``maildrop``: what sendmail put down too.
        """
        spool = self.directory / "spool"
        deadline = time.monotonic() + START
        while in_use((self.plain_port, self.port, self.tls_port)) or any(
            path.is_file()
            for name in ("maildrop",) * maildrop + ("incoming", "active", "deferred")
            for path in (spool / name).rglob("*")
        ):
            assert time.monotonic() < deadline, "Postfix does not come to rest"
            time.sleep(0.01)


def _make_queue(spool: Path, data: Path) -> None:
    """Make what ``postfix check`` would make, in milliseconds."""
    postfix = _user("postfix")
    data.mkdir()
    os.chown(data, *postfix)
    spool.mkdir()
    (spool / "pid").mkdir()
    for name in [
        "active",
        "bounce",
        "corrupt",
        "defer",
        "deferred",
        "flush",
        "hold",
        "incoming",
        "maildrop",
        "private",
        "public",
        "saved",
        "trace",
    ]:
        (spool / name).mkdir(mode=0o700)
        os.chown(spool / name, *postfix)
    (spool / "public").chmod(0o755)


def _user(name: str) -> tuple[int, int]:
    entry = pwd.getpwnam(name)
    return entry.pw_uid, entry.pw_gid


_MAIN = """
compatibility_level = 3.6
queue_directory = {d}/spool
data_directory = {d}/data
maillog_file = {d}/log
maillog_file_prefixes = {d}
inet_interfaces = {host}
inet_protocols = ipv4
myhostname = postfix.franking.test
mydestination =
mynetworks =
alias_maps =
local_recipient_maps =
notify_classes =
local_transport = discard:
default_transport = discard:
relay_transport = discard:
virtual_transport = virtual
virtual_mailbox_domains = example.cz example.com
virtual_mailbox_base = {d}/mail
virtual_mailbox_maps = regexp:{d}/config/mailboxes
virtual_mailbox_limit = 0
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
mailbox_size_limit = 0
message_size_limit = {limit}
smtputf8_enable = yes
header_checks =
message_drop_headers =
smtpd_tls_chain_files = {c.key}, {c.chain}
smtpd_tls_security_level = may
smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination
smtpd_recipient_restrictions = check_recipient_access regexp:{d}/config/recipients
smtpd_sender_restrictions = reject_authenticated_sender_login_mismatch
smtpd_sender_login_maps = regexp:{d}/config/owners
smtpd_delay_reject = yes
smtpd_peername_lookup = no
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 1000
smtpd_hard_error_limit = 1000
smtpd_client_connection_count_limit = 0
smtpd_tls_session_cache_database =
in_flow_delay = 0
"""
_SASL = """
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {auth_socket}
smtpd_sasl_security_options = noanonymous
"""
_MASTER = """
{host}:{plain} inet n - n - - smtpd
  -o smtpd_tls_security_level=none
{host}:{starttls} inet n - n - - smtpd
  -o smtpd_tls_auth_only=yes
{host}:{tls} inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
  -o smtpd_tls_security_level=encrypt
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
smtp unix - - n - - smtp
virtual unix - n n - - virtual
pickup unix n - n 60 1 pickup
showq unix n - n - - showq
flush unix n - n 1000? 0 flush
scache unix - - n - 1 scache
verify unix - - n - 1 verify
postlog unix-dgram n - n - 1 postlogd
"""
