"""The one TLS context of every transport: the system's trust, the account's ``ca_file`` on top, nothing weaker."""

from __future__ import annotations

import ssl

from franking.errors import Evidence, SettingsError

__all__ = ["context"]


def context(ca_file: str | None = None) -> ssl.SSLContext:
    """Make a verifying client context (TLS 1.2 or newer, host names checked).

    ``ca_file`` adds CA certificates (PEM) to the system's. Raises ``SettingsError`` where it cannot be read. The
    environment's CA bundles add trust only as OpenSSL itself reads them (SSL_CERT_FILE); nothing in the environment
    turns verification off.
    """
    made = ssl.create_default_context()
    made.minimum_version = max(made.minimum_version, ssl.TLSVersion.TLSv1_2)  # Debian's Python leaves it to openssl.cnf
    if ca_file:
        try:
            made.load_verify_locations(cafile=ca_file)
        except OSError as problem:
            why = (not isinstance(problem, ssl.SSLError) and problem.strerror) or "it holds no PEM certificate"
            raise SettingsError(
                f"ca_file: {ca_file!r} cannot be used: {why}. Give a PEM file with the CA's certificate.",
                field="ca_file",
                evidence=Evidence("settings", text=why, reason="ca-file", details={"path": ca_file}),
            ) from None
    return made
