"""The certificates of a cluster: who they are for, who signed them, and that they are made once."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from lab.region.certificates import Authority, api_hosts


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path / "pki", "region-a")
    made.ensure()
    return made


def _load(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


def test_a_certificate_is_signed_by_its_authority(authority: Authority) -> None:
    certificate, _ = authority.issue("kubelet", "system:node:region-a")
    _load(certificate).verify_directly_issued_by(_load(authority.certificate))


def test_groups_become_organizations(authority: Authority) -> None:
    certificate, _ = authority.issue("kubelet", "system:node:region-a", groups=["system:nodes"])
    subject = _load(certificate).subject
    assert [item.value for item in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == ["system:nodes"]
    assert [item.value for item in subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["system:node:region-a"]


def test_the_api_server_is_called_by_address_and_by_name(authority: Authority) -> None:
    hosts = api_hosts(IPv4Address("10.201.0.2"), IPv4Address("10.96.0.1"))
    certificate, _ = authority.issue("apiserver", "kube-apiserver", hosts=hosts)
    names = _load(certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"127.0.0.1", "10.96.0.1", "10.201.0.2"} == set(map(str, names.get_values_for_type(x509.IPAddress)))
    assert "kubernetes.default.svc" in names.get_values_for_type(x509.DNSName)


def test_what_is_there_is_kept(authority: Authority) -> None:
    certificate, _ = authority.issue("admin", "admin")
    before = certificate.read_bytes()
    authority.ensure()
    authority.issue("admin", "admin")
    assert certificate.read_bytes() == before


def test_a_new_authority_leaves_no_certificate_of_the_old_one(authority: Authority) -> None:
    certificate, _ = authority.issue("admin", "admin")
    authority.certificate.unlink()
    authority.ensure()
    authority.issue("admin", "admin")
    _load(certificate).verify_directly_issued_by(_load(authority.certificate))


def test_private_keys_are_for_their_owner_alone(authority: Authority) -> None:
    _, key = authority.issue("admin", "admin")
    assert {file.stat().st_mode & 0o777 for file in (key, authority.key)} == {0o600}
