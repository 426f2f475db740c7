"""Dovecot 2.3: a submission service that relays to another server, and the SASL socket that Postfix asks. Needs root.

Logs in by PLAIN, LOGIN and CRAM-MD5 with ``PASSWORDS``, by XOAUTH2 and OAUTHBEARER with ``token()``. Offers no
SMTPUTF8, no DSN.
"""

from __future__ import annotations

import base64
import time
from pathlib import Path

import jwt

from servers.daemon import Certificates, Daemon, directory, find, needs_root
from servers.ports import HOST

PASSWORDS = {
    "info@example.cz": "correct-horse-7",
    "jan": "Příliš žluťoučký  kůň ",  # blanks inside and at the end, letters that are not ASCII
}
KEY = b"a key that signs the tokens of these tests only"


def token(user: str, *, length: int = 2000, expires_in: float = 3600) -> str:
    """Make an access token of real ones' size (Microsoft's have about 2,000 characters)."""
    claims = {
        "sub": user,
        "email": user,
        "exp": int(time.time() + expires_in),
        "iat": int(time.time()) - 1,
        "iss": "https://issuer.test",
        "pad": "",
    }
    while len(made := jwt.encode(claims, KEY, algorithm="HS256")) < length:
        claims["pad"] += "x" * max(1, (length - len(made)) * 3 // 4)
    return made


class Dovecot:
    """One running Dovecot; ``auth_socket`` is what Postfix's ``smtpd_sasl_path`` wants."""

    def __init__(self, certificates: Certificates, *, submission: int, submissions: int, relay_port: int) -> None:
        needs_root("Dovecot")
        program = find("dovecot")
        find("submission", under="/usr/lib/dovecot")
        self.directory = directory("dovecot")
        self.port, self.tls_port = submission, submissions
        self.auth_socket = self.directory / "auth"
        (self.directory / "home").mkdir()
        keys = self.directory / "keys" / "default" / "HS256"
        keys.mkdir(parents=True)
        (keys / "default").write_bytes(base64.b64encode(KEY))
        (self.directory / "oauth2").write_text(
            f"introspection_mode = local\nlocal_validation_key_dict = fs:posix:prefix={self.directory}/keys/\n"
            "username_attribute = email\n"
        )
        (self.directory / "users").write_text(
            "".join(f"{user}:{{PLAIN}}{password}\n" for user, password in PASSWORDS.items())
        )
        for name in ("users", "oauth2"):
            (self.directory / name).chmod(0o644)  # throw-away secrets; read by Dovecot's unprivileged processes
        config = self.directory / "dovecot.conf"
        config.write_text(
            _CONFIG.format(d=self.directory, host=HOST, self=self, relay_port=relay_port, certificates=certificates)
        )
        self.daemon = Daemon(
            [program, "-F", "-c", config], ports=[submission, submissions], log=self.directory / "log", cwd=Path("/")
        )

    def stop(self) -> None:
        self.daemon.stop()


_CONFIG = """
base_dir = {d}/run
log_path = {d}/log
auth_verbose = yes
protocols = submission
listen = {host}
hostname = submission.franking.test
mail_location = maildir:{d}/home/Maildir
ssl = yes
ssl_cert = <{certificates.chain}
ssl_key = <{certificates.key}
disable_plaintext_auth = no
auth_mechanisms = plain login cram-md5 xoauth2 oauthbearer
auth_failure_delay = 0
auth_username_chars =
first_valid_uid = 1

submission_relay_host = {host}
submission_relay_port = {relay_port}
submission_relay_ssl = no
submission_max_mail_size = 15728640

passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {d}/oauth2
}}
passdb {{
  driver = passwd-file
  mechanisms = plain login cram-md5
  args = username_format=%u {d}/users
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={d}/home
}}

service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service auth {{
  unix_listener {self.auth_socket} {{
    mode = 0666
  }}
}}
service submission-login {{
  inet_listener submission {{
    port = {self.port}
  }}
  inet_listener submissions {{
    port = {self.tls_port}
    ssl = yes
  }}
}}
"""
