"""Dates and names from a certificate, whether or not anybody trusts it."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from lab.certificates import make_certificate

from ansible_collections.runbook.ops.plugins.module_utils.http.certificate import parse_certificate

UTC = dt.timezone.utc


def der_of(path: Path) -> bytes:
    first = path.read_text(encoding="ascii").split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
    return ssl.PEM_cert_to_DER_cert(first)


def make(subject: x509.Name, not_before: dt.datetime, not_after: dt.datetime) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Issuer \uac00")]))
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .sign(key, hashes.SHA256())
    )
    return built.public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize("days", [90, 10, -3])
def test_what_openssl_made(tmp_path: Path, days: int) -> None:
    made = make_certificate(tmp_path, days=days)
    certificate = parse_certificate(der_of(made.chain))
    assert certificate is not None
    assert certificate.not_after == made.not_after
    assert certificate.issuer == "runbook.ops lab authority"
    assert certificate.days_left(made.not_after - dt.timedelta(days=5, hours=6)) == 5.2
    assert certificate.days_left(made.not_after + dt.timedelta(days=2)) == -2.0


@pytest.mark.parametrize(
    ("not_before", "not_after"),
    [
        # UTCTime up to 2049, GeneralizedTime from 2050 (RFC 5280, 4.1.2.5).
        (dt.datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC), dt.datetime(2049, 12, 31, tzinfo=UTC)),
        (dt.datetime(2025, 1, 1, tzinfo=UTC), dt.datetime(2050, 1, 1, tzinfo=UTC)),
    ],
)
def test_both_forms_of_time(not_before: dt.datetime, not_after: dt.datetime) -> None:
    certificate = parse_certificate(make(x509.Name([]), not_before, not_after))
    assert certificate is not None
    assert (certificate.not_before, certificate.not_after) == (not_before, not_after)
    assert (certificate.subject, certificate.issuer) == ("", "Issuer \uac00")


def test_the_common_name_goes_before_the_organization() -> None:
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Org"),
            x509.NameAttribute(NameOID.COMMON_NAME, "www.example.com"),
        ]
    )
    moment = dt.datetime(2026, 1, 1, tzinfo=UTC)
    certificate = parse_certificate(make(name, moment, moment + dt.timedelta(days=1)))
    assert certificate is not None
    assert certificate.subject == "www.example.com"


@pytest.mark.parametrize("der", [None, b"", b"\x30", b"\x30\x05hello", b"not a certificate", b"\x30\x80\x00\x00"])
def test_what_is_no_certificate_has_no_dates(der: bytes | None) -> None:
    assert parse_certificate(der) is None


def test_a_cut_certificate_has_no_dates(tmp_path: Path) -> None:
    der = der_of(make_certificate(tmp_path).chain)
    assert [length for length in range(0, len(der), 7) if parse_certificate(der[:length]) is not None] == []
