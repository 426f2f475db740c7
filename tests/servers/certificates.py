"""Certificates for TLS on loopback, good and bad ones, made once per run. All are for ``localhost``, 127.0.0.1 and ::1
unless their name says otherwise.

``good`` · ``expired`` · ``not-yet`` (valid from tomorrow) · ``wrong-host`` (mail.elsewhere.test) · ``self-signed`` ·
``no-aki`` (lacks the key identifiers that Python 3.13 demands) · ``stranger`` (good, but by a CA that nobody trusts).
"""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

KINDS = ("good", "expired", "not-yet", "wrong-host", "self-signed", "no-aki", "stranger")
DAY = datetime.timedelta(days=1)
Key = ec.EllipticCurvePrivateKey


class Certificates:
    """A certificate authority in ``directory``: ``ca_file`` is what a client trusts, ``context(kind)`` what a server
    shows.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._stranger = ec.generate_private_key(ec.SECP256R1())
        self._ca = _authority("Franking test CA", self._key)
        self.ca_file = str(directory / "ca.pem")
        Path(self.ca_file).write_bytes(self._ca.public_bytes(serialization.Encoding.PEM))
        self.context = cache(self._context)

    def _context(self, kind: str = "good") -> ssl.SSLContext:
        assert kind in KINDS
        path = self.directory / f"{kind}.pem"
        key = ec.generate_private_key(ec.SECP256R1())
        path.write_bytes(
            self._leaf(kind, key).public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _leaf(self, kind: str, key: Key) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        begins = now + DAY if kind == "not-yet" else now - 30 * DAY
        ends = now - DAY if kind == "expired" else now + 60 * DAY
        host = "mail.elsewhere.test" if kind == "wrong-host" else "localhost"
        names: list[x509.GeneralName] = [x509.DNSName(host)]
        if kind != "wrong-host":
            names += [x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "::1")]
        signer = {"self-signed": key, "stranger": self._stranger}.get(kind, self._key)
        issuer = (
            _name(host) if kind == "self-signed" else _name("Nobody's CA") if kind == "stranger" else self._ca.subject
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(host))
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.1")]), critical=False)
        )
        if kind != "no-aki":
            builder = builder.add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            ).add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        return builder.sign(signer, hashes.SHA256())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _authority(common: str, key: Key) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    usage = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(_name(common))
        .issuer_name(_name(common))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 60 * DAY)
        .not_valid_after(now + 365 * DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
