"""Exim 4.96 with GnuTLS: CRAM-MD5, PLAIN and LOGIN, PIPELINING, CHUNKING, SMTPUTF8, STARTTLS and implicit TLS. Needs
root.

Takes mail for example.cz and example.com into ``inbox``; refuses to relay, and throws away what a login sends
elsewhere. ``nobody@`` is refused, ``later@`` is refused for now.
"""

from __future__ import annotations

import base64
import os
import pwd
from pathlib import Path

from servers.daemon import Certificates, Daemon, directory, find, needs_root
from servers.maildir import Maildir
from servers.ports import HOST

PASSWORDS = {
    "info@example.cz": "correct-horse-7",
    "jan": "Příliš žluťoučký  kůň ",
}
SIZE_LIMIT = 15 * 1024 * 1024


class Exim:
    """One running Exim; ``port`` offers STARTTLS (and AUTH without TLS too), ``tls_port`` begins with TLS."""

    def __init__(self, certificates: Certificates, *, plain: int, tls: int) -> None:
        needs_root("Exim")
        program = find("exim4")
        self.directory = directory("exim")
        self.port, self.tls_port = plain, tls
        owner = pwd.getpwnam("mail")
        for name in ("spool", "log", "mail"):
            (self.directory / name).mkdir()
            os.chown(self.directory / name, owner.pw_uid, owner.pw_gid)
        self.inbox = Maildir(self.directory / "mail")
        users = self.directory / "users"
        users.write_text(
            "".join(
                f'"{user}": {base64.b64encode(password.encode()).decode()}\n' for user, password in PASSWORDS.items()
            )
        )
        key, chain = self.directory / "key.pem", self.directory / "chain.pem"
        key.write_bytes(certificates.key.read_bytes())  # Exim reads them as its own user
        chain.write_bytes(certificates.chain.read_bytes())
        config = self.directory / "exim.conf"
        config.write_text(
            _CONFIG.format(
                d=self.directory,
                host=HOST,
                program=program,
                user=owner.pw_uid,
                group=owner.pw_gid,
                self=self,
                limit=SIZE_LIMIT,
            )
        )
        self.daemon = Daemon(
            [program, "-C", config, "-bdf", "-q1h"], ports=[plain, tls], log=self.directory / "out", cwd=Path("/")
        )

    def log(self) -> str:
        """Return what Exim wrote about the messages that it took."""
        return (self.directory / "log" / "mainlog").read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        self.daemon.stop()


_CONFIG = """
exim_path = {program}
exim_user = {user}
exim_group = {group}
spool_directory = {d}/spool
log_file_path = {d}/log/%slog
pid_file_path = {d}/spool/exim.pid
keep_environment =
primary_hostname = exim.franking.test
local_interfaces = {host}
daemon_smtp_ports = {self.port} : {self.tls_port}
tls_on_connect_ports = {self.tls_port}
tls_advertise_hosts = *
tls_certificate = {d}/chain.pem
tls_privatekey = {d}/key.pem
auth_advertise_hosts = *
smtputf8_advertise_hosts = *
allow_utf8_domains = true
message_size_limit = {limit}
smtp_accept_max = 100
smtp_accept_max_per_connection = 0
smtp_accept_queue_per_connection = 0
smtp_enforce_sync = false
host_lookup =
rfc1413_query_timeout = 0s
dns_again_means_nonexist = *
domainlist local = example.cz : example.com
acl_smtp_rcpt = recipients
acl_smtp_data = accept
never_users =

begin acl
recipients:
  deny    local_parts = nobody
          message     = 5.1.1 <$local_part@$domain> does not live here
  defer   local_parts = later
          message     = 4.2.1 The mailbox is busy, try again later
  accept  domains     = +local
  accept  authenticated = *
  deny    message     = 5.7.1 relay not permitted

begin routers
inbox:
  driver = accept
  domains = +local
  transport = inbox
elsewhere:
  driver = redirect
  data = :blackhole:

begin transports
inbox:
  driver = appendfile
  directory = {d}/mail/inbox
  maildir_format
  create_directory
  user = {user}
  group = {group}
  delivery_date_add = false
  envelope_to_add = false
  return_path_add = false

begin authenticators
cram:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = ${{lookup{{$auth1}}lsearch{{{d}/users}}{{${{base64d:$value}}}}fail}}
  server_set_id = $auth1
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if eq{{${{base64:$auth3}}}}{{${{lookup{{$auth2}}lsearch{{{d}/users}}{{$value}}fail}}}}}}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${{if eq{{${{base64:$auth2}}}}{{${{lookup{{$auth1}}lsearch{{{d}/users}}{{$value}}fail}}}}}}
  server_set_id = $auth1
"""
