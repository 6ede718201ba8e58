"""What a server's certificate says of itself, for sentences to a person. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from brokers.rabbitmq.errors import clipped


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate's own words, untrusted; `names` are the host names and addresses that it is for."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    self_signed: bool
    starts: datetime
    ends: datetime
    fingerprint: str

    def days_left(self, now: datetime) -> int:
        """Return whole days until it expires; negative since it has."""
        return (self.ends - now).days

    def shown_names(self, most: int = 4) -> str:
        """Return the names for a sentence."""
        if not self.names:
            return "no host at all"
        more = f" and {len(self.names) - most} more" if len(self.names) > most else ""
        return clipped(", ".join(self.names[:most]), 200) + more


def read(der: bytes) -> Certificate | None:
    """Return what a certificate says; None where it can't be read."""
    try:
        found = x509.load_der_x509_certificate(der)
        subject, issuer = _name(found.subject), _name(found.issuer)
        names = _hosts(found)
        starts, ends = found.not_valid_before_utc, found.not_valid_after_utc
    except (ValueError, x509.UnsupportedGeneralNameType):
        return None
    fingerprint = found.fingerprint(SHA256()).hex(":").upper()
    return Certificate(subject, issuer, names, found.subject == found.issuer, starts, ends, fingerprint)


def _hosts(found: x509.Certificate) -> tuple[str, ...]:
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return (*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress)))


def _name(name: x509.Name) -> str:
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME) or name.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return clipped(str(common[0].value) if common else name.rfc4514_string(), 120)
