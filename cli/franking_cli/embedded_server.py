"""A built-in mail server for ``send-test --embedded``: a real SMTP server on loopback with STARTTLS and a login, and a
throw-away CA.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from franking.account.account import Account
from franking.errors import SettingsError

__all__ = ["MailServer", "Received"]


@dataclass(frozen=True)
class Received:
    """One message as the server got it."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes


class MailServer:
    """Run aiosmtpd on 127.0.0.1, a free port; ``account`` gives the settings to reach it, ``received`` what it got."""

    def __init__(self, *, sender: str) -> None:
        self.sender = sender
        self.username = "franking"
        self.password = secrets.token_urlsafe(12)
        self.received: list[Received] = []
        self.port = 0
        self._directory = tempfile.TemporaryDirectory(prefix="franking-")
        self._thread = threading.Thread(target=self._run, name="embedded mail server", daemon=True)
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._ended: asyncio.Event

    def account(self, settings: Mapping[str, Any], *, password_stdin: bool = False) -> Account:
        """Make the account that reaches this server; flags given by hand win, so that one can see what a wrong one
        does.
        """
        from franking_cli.options import as_flags

        own = {key: value for key, value in settings.items() if key not in ("provider", "sender", "no_auth")}
        made = {
            "host": "localhost",
            "port": self.port,
            "security": "starttls",
            "username": self.username,
            "ca_file": str(self._ca),
            **own,
        }
        if settings.get("no_auth"):
            made.pop("username")
        account = Account(name="embedded", provider="smtp", sender=self.sender, **made)
        # it ends with the command: nothing can be stored for it
        return account.referred_to_as("", ("--embedded", *as_flags(settings, password_stdin=password_stdin)))

    @property
    def _ca(self) -> Path:
        return Path(self._directory.name) / "ca.pem"

    def __enter__(self) -> MailServer:
        try:
            from aiosmtpd.smtp import SMTP, AuthResult
        except ImportError:
            raise SettingsError('The built-in server needs one more package: pip install "franking[cli]"') from None
        logging.getLogger("mail.log").addFilter(lambda record: False)  # what its library logs is for its developers
        context = self._certificates()

        def allow(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> Any:
            typed = (getattr(data, "login", b""), getattr(data, "password", b""))
            return AuthResult(success=typed == (self.username.encode(), self.password.encode()), handled=False)

        self._protocol = partial(
            SMTP,
            self,
            hostname="localhost",
            ident="Franking's built-in server",
            tls_context=context,
            require_starttls=True,
            auth_required=False,
            authenticator=allow,
            enable_SMTPUTF8=True,
        )
        self._thread.start()
        self._started.wait()
        return self

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        server = await self._loop.create_server(lambda: self._protocol(loop=self._loop), "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._ended.wait()
        server.close()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802  (aiosmtpd's name)
        """Keep a message."""
        message = Received(envelope.mail_from or "", tuple(envelope.rcpt_tos), bytes(envelope.content))
        self.received.append(message)
        return f"250 2.0.0 accepted as number {len(self.received)}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(5)
        self._directory.cleanup()

    def _certificates(self) -> ssl.SSLContext:
        """Make a CA and a certificate for localhost, good for a day; only the CA's public part stays on disk, until the
        server ends.
        """
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

        now = datetime.now(UTC)

        def name(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        def begin(subject: str, key: Any) -> x509.CertificateBuilder:
            return (
                x509.CertificateBuilder()
                .subject_name(name(subject))
                .issuer_name(name("Franking throw-away CA"))
                .public_key(key.public_key())
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - timedelta(minutes=5))
                .not_valid_after(now + timedelta(days=1))
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
                .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
            )

        ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        usage = {
            "digital_signature": True,
            "content_commitment": False,
            "key_encipherment": False,
            "data_encipherment": False,
            "key_agreement": False,
            "encipher_only": False,
            "decipher_only": False,
        }
        ca = (
            begin("Franking throw-away CA", ca_key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.KeyUsage(**usage, key_cert_sign=True, crl_sign=True), critical=True)
            .sign(ca_key, hashes.SHA256())
        )
        certificate = (
            begin("localhost", key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(**usage, key_cert_sign=False, crl_sign=False), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(ca_key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        self._ca.write_bytes(ca.public_bytes(pem))
        chain = Path(self._directory.name) / "server.pem"
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        chain.touch(0o600)
        chain.write_bytes(private + certificate.public_bytes(pem))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        chain.unlink()
        return context
