"""Certificates: browsers give a page the microphone only over https, or on the machine itself."""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..models.errors import ConfigurationError
from .settings import ServerSettings

if TYPE_CHECKING:
    from cryptography import x509

_LIFETIME = datetime.timedelta(days=397)
_RENEW_BEFORE = datetime.timedelta(days=30)


@dataclass(frozen=True)
class Certificate:
    """A certificate chain and its private key, as PEM files."""

    cert: Path
    key: Path
    self_signed: bool


def is_local(host: str) -> bool:
    """Whether `host` can be reached from this machine only, where browsers trust http."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def certificate_for(settings: ServerSettings) -> Certificate | None:
    """The certificate to listen with: the configured one, a self-signed one, or None for plain http.

    Raises:
        ConfigurationError: a configured file cannot be read, or a self-signed one cannot be stored.
    """
    if settings.tls is False:
        return None
    if settings.tls_cert is not None and settings.tls_key is not None:
        for option, path in (("--tls-cert", settings.tls_cert), ("--tls-key", settings.tls_key)):
            if not os.access(path, os.R_OK):
                raise ConfigurationError(f"{option} {path} cannot be read")
        return Certificate(settings.tls_cert, settings.tls_key, self_signed=False)
    if settings.tls is None and is_local(settings.host):
        return None
    return self_signed(settings.host)


def self_signed(host: str, folder: Path | None = None) -> Certificate:
    """A self-signed certificate for this machine's names and addresses.

    Kept in the user's data folder, the key readable by the user alone, and made anew when it is about to expire or an
    address is missing in it.

    Raises:
        ConfigurationError: the folder cannot be written.
    """
    folder = folder or data_folder() / "tls"
    certificate = Certificate(folder / "cert.pem", folder / "key.pem", self_signed=True)
    names = _names(host)
    if not _covers(certificate, names):
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _create(certificate, names)
        except OSError as error:
            raise ConfigurationError(
                f"a self-signed certificate cannot be stored in {folder}: {error.strerror or error}. "
                "Set ANTIPHON_DATA_DIR to a folder that can be written, or give --tls-cert and --tls-key."
            ) from error
    return certificate


def data_folder() -> Path:
    """Where Antiphon keeps data of this user: `ANTIPHON_DATA_DIR`, or what the operating system provides for it."""
    explicit = os.environ.get("ANTIPHON_DATA_DIR")
    if explicit:
        return Path(explicit)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "antiphon"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "antiphon"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "antiphon"


def _names(host: str) -> set[str]:
    """Every name and address under which a browser may reach us."""
    from aioice.ice import get_host_addresses

    names = {"localhost", "127.0.0.1", "::1", *get_host_addresses(use_ipv4=True, use_ipv6=True)}
    hostname = socket.gethostname()
    if hostname.isascii():
        names |= {hostname, f"{hostname}.local"} if "." not in hostname else {hostname}
    if host not in ("0.0.0.0", "::", ""):
        names.add(host)
    return names


def _general_names(names: set[str]) -> list[x509.GeneralName]:
    from cryptography import x509

    general: list[x509.GeneralName] = []
    for name in sorted(names):
        try:
            general.append(x509.IPAddress(ipaddress.ip_address(name.partition("%")[0])))
        except ValueError:
            general.append(x509.DNSName(name))
    return general


def _covers(certificate: Certificate, names: set[str]) -> bool:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        loaded = x509.load_pem_x509_certificate(certificate.cert.read_bytes())
        key = load_pem_private_key(certificate.key.read_bytes(), None)
        covered = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    now = datetime.datetime.now(datetime.UTC)
    return (
        loaded.public_key() == key.public_key()
        and loaded.not_valid_before_utc <= now < loaded.not_valid_after_utc - _RENEW_BEFORE
        and set(_general_names(names)) <= set(covered)
    )


def _create(certificate: Certificate, names: set[str]) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Antiphon on this machine")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectAlternativeName(_general_names(names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem_key = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(certificate.key, pem_key, 0o600)
    _write(certificate.cert, built.public_bytes(serialization.Encoding.PEM), 0o644)


def _write(path: Path, content: bytes, mode: int) -> None:
    """Replace a file at once, with its permissions right from the start."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(content)
    os.replace(unfinished, path)
