"""Certificates of a lab's cluster: one authority a region and a client certificate for each component.

Elliptic-curve keys (P-256), made once; a later call keeps what is there and still valid for a month.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab.machine.files import write

_PEM = serialization.Encoding.PEM
_VALID = dt.timedelta(days=365)
_RENEW_BEFORE = dt.timedelta(days=30)


@dataclass(frozen=True)
class Authority:
    """A certificate authority in a folder, and what it has signed there."""

    directory: Path
    name: str

    @property
    def certificate(self) -> Path:
        """The authority's own certificate."""
        return self.directory / "ca.crt"

    @property
    def key(self) -> Path:
        """The authority's private key."""
        return self.directory / "ca.key"

    def ensure(self) -> None:
        """Make the authority and the key pair that signs service account tokens, if they are not there."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if not _is_fresh(self.certificate):
            for signed in self.directory.glob("*.crt"):
                signed.unlink()  # nobody trusts what an authority that is gone has signed
            key, name = _new_key(self.key), _name(self.name, ())
            builder = _builder(name, name, key).add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
            write(self.certificate, builder.sign(key, hashes.SHA256()).public_bytes(_PEM))
        if not (self.directory / "sa.pub").exists():
            public = _new_key(self.directory / "sa.key").public_key()
            write(self.directory / "sa.pub", public.public_bytes(_PEM, serialization.PublicFormat.SubjectPublicKeyInfo))

    def issue(
        self, file_name: str, common_name: str, *, groups: Sequence[str] = (), hosts: Sequence[str] = ()
    ) -> tuple[Path, Path]:
        """A certificate for servers and clients, signed by this authority.

        Args:
            file_name: name of the files, without suffix.
            common_name: the user's name to Kubernetes.
            groups: the user's groups to Kubernetes.
            hosts: DNS names and addresses that it serves under.

        Returns:
            The certificate's file and the key's.
        """
        certificate, key_file = self.directory / f"{file_name}.crt", self.directory / f"{file_name}.key"
        if _is_fresh(certificate):
            return certificate, key_file
        authority = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        signer = serialization.load_pem_private_key(self.key.read_bytes(), password=None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        key = _new_key(key_file)
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = _builder(_name(common_name, groups), authority.subject, key).add_extension(usage, False)
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), False)
        write(certificate, builder.sign(signer, hashes.SHA256()).public_bytes(_PEM))
        return certificate, key_file


def _is_fresh(certificate: Path) -> bool:
    if not certificate.exists():
        return False
    expires = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    return expires - dt.datetime.now(dt.UTC) > _RENEW_BEFORE


def _name(common_name: str, groups: Sequence[str]) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + _VALID)
    )


def _new_key(file: Path) -> ec.EllipticCurvePrivateKey:
    key = ec.generate_private_key(ec.SECP256R1())
    form = serialization.PrivateFormat.TraditionalOpenSSL
    write(file, key.private_bytes(_PEM, form, serialization.NoEncryption()))
    return key


def api_hosts(node: IPv4Address, service: IPv4Address) -> list[str]:
    """The names and addresses that a region's API server is called by."""
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
    return [*names, "localhost", "127.0.0.1", str(service), str(node)]
