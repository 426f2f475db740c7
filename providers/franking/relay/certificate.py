"""The relay's certificate: the one that the settings name, else one made here, once, for this machine.

A device on the same network cannot get a certificate for its server from anybody, so a self-signed one is made (P-256,
10 years) with the machine's name and addresses in it; its fingerprint is shown, to be compared.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from franking.atomic import locked, make_private, write_whole
from franking.errors import Evidence, SettingsError
from franking.relay.interfaces import addresses_of_interfaces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from franking.relay.settings import Listen

__all__ = ["Certificate", "made_certificate"]

FILE = "relay.pem"
YEARS = 10


class Certificate:
    """A listen address's TLS context; read again when its file changes, for connections that come after."""

    def __init__(self, listen: Listen, path: Path, key: Path | None) -> None:
        """Raises ``SettingsError`` for a file that holds no chain and key."""
        self._path, self._key = path, key
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        if listen.legacy_tls:
            import warnings

            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # asked for, for old devices
                self.context.minimum_version = ssl.TLSVersion.TLSv1
            self.context.set_ciphers("DEFAULT:@SECLEVEL=0")
        self._seen: object = None
        self.load()

    def load(self) -> None:
        """Read the files. Raises ``SettingsError``; what was read before then stays."""
        try:
            self._seen = self._state()
            # tried elsewhere first: of a pair that does not fit the certificate would stay in the context
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._path, self._key)
            self.context.load_cert_chain(self._path, self._key)
            self.fingerprint = _fingerprint(self._path)
        except (OSError, ValueError) as problem:
            why = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
            path = getattr(problem, "filename", None) or self._path  # of two files the one that is not there
            raise SettingsError(
                f"relay.listen: the certificate {path} cannot be used: {why}. It holds the chain and the key "
                "(PEM), or name the key in key = …",
                field="certificate",
                evidence=Evidence("settings", text=why, reason="certificate", details={"path": str(path)}),
            ) from None

    @property
    def changed(self) -> bool:
        return self._seen != self._state()

    def _state(self) -> object:
        """Return what changes whenever a file is written anew, or goes."""
        found: list[tuple[int, ...]] = []
        for path in (self._path, self._key):
            with suppress(OSError):
                if path is not None:
                    told = path.stat()
                    found.append((told.st_mtime_ns, told.st_ino))
        return found


def _fingerprint(path: Path) -> str:
    import hashlib

    text = path.read_text("ascii", "replace")
    begin = text.find("-----BEGIN CERTIFICATE-----")
    end = text.find("-----END CERTIFICATE-----", begin)
    octets = ssl.PEM_cert_to_DER_cert(text[begin : end + len("-----END CERTIFICATE-----")])
    digest = hashlib.sha256(octets).hexdigest().upper()
    return "SHA256 " + ":".join(digest[place : place + 2] for place in range(0, len(digest), 2))


def made_certificate(directory: Path, hosts: Sequence[str]) -> Path:
    """Return the file of this machine's own certificate, made if it is not there. Raises ``SettingsError``."""
    path = directory / FILE
    if path.exists():
        return path
    make_private(directory)
    with locked(directory / f".{FILE}.lock", f"The certificate {path}", 30.0):
        if not path.exists():
            write_whole(path, _self_signed(hosts))
    return path


def _self_signed(hosts: Sequence[str]) -> bytes:
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID
    except ImportError:
        raise SettingsError(
            "A certificate cannot be made without a further package; run: pip install 'franking[relay]' "
            "(or name a certificate of your own in [[relay.listen]])",
            field="certificate",
            evidence=Evidence("settings", reason="extra", details={"extra": "relay"}),
        ) from None
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, socket.gethostname()[:64] or "localhost")])
    names: list[Any] = [x509.DNSName(host) for host in _names()]
    names += [x509.IPAddress(ip_address(host)) for host in _addresses(hosts)]
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # a device whose clock is slow
        .not_valid_after(now + timedelta(days=365 * YEARS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM) + private


def _names() -> list[str]:
    names = [socket.gethostname(), "localhost"]
    return [name for name in dict.fromkeys(names) if name and name.isascii() and " " not in name]


def _addresses(hosts: Sequence[str]) -> list[str]:
    """Return the addresses that the machine is reached by, as far as it knows them without asking anybody."""
    found = ["127.0.0.1", "::1", *hosts, *addresses_of_interfaces()]
    plain = [host.partition("%")[0] for host in found]
    return [host for host in dict.fromkeys(plain) if not ip_address(host).is_unspecified]
