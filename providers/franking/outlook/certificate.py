"""The certificate of an account that signs in without a person: read, and when it ends. It signs nothing itself."""

from __future__ import annotations

import re
from pathlib import Path

from franking.account.account import Account
from franking.errors import Evidence, SettingsError

__all__ = ["certificate_end"]

_BLOCK = re.compile(r"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)


def pem(account: Account) -> tuple[str, str]:
    """Read private key and certificate, the first PEM block of each, and check that they belong together."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    path = Path(account.certificate).expanduser()

    def wrong(why: str) -> SettingsError:
        evidence = Evidence("settings", reason="certificate", details={"path": str(path)})
        return SettingsError(f"certificate: {str(path)!r} {why}", field="certificate", evidence=evidence)

    try:
        text = path.read_text("ascii")
    except OSError as problem:
        raise wrong(f"cannot be read: {problem.strerror}.") from None
    except UnicodeError:
        raise wrong("is no PEM file; it must be text that begins with -----BEGIN.") from None
    blocks = {match[1]: match[0] for match in reversed(list(_BLOCK.finditer(text)))}
    key = next((block for label, block in blocks.items() if label.endswith("PRIVATE KEY")), None)
    certificate = blocks.get("CERTIFICATE")
    if not key or not certificate:
        raise wrong("must hold both, the private key and the certificate, as PEM blocks.")
    if "ENCRYPTED" in key:
        raise wrong("holds a key that is protected by a password; take it off with: openssl pkey -in FILE -out NEW")
    try:
        loaded = load_pem_private_key(key.encode(), None)
        public = x509.load_pem_x509_certificate(certificate.encode()).public_key()
    except ValueError:
        raise wrong("is damaged: its PEM blocks cannot be read.") from None
    if not isinstance(loaded, RSAPrivateKey):
        raise wrong("holds no RSA key, and Microsoft Entra takes RSA keys only.")
    if loaded.public_key() != public:
        raise wrong("holds a key and a certificate that do not belong together.")
    return key, certificate


def certificate_end(account: Account) -> float:
    """Return the last moment of the account's certificate, in seconds since the epoch. Raises ``SettingsError``."""
    from cryptography import x509

    return x509.load_pem_x509_certificate(pem(account)[1].encode()).not_valid_after_utc.timestamp()
