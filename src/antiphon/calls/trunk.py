"""The document of a trunk: over which line calls are placed and taken, how many at once, and whom to trust."""

from __future__ import annotations

import ipaddress
import re
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from ..telephony.phone_number import regions
from .document import SECRET, Document, Name, Secret
from .number_mapping import PhoneNumber

_HOST = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*\.?"
)


class Provider(StrEnum):
    """Whose line it is, which decides who dials."""

    GENERIC = "generic"
    EXOTEL = "exotel"
    LOOPBACK = "loopback"


class Transport(StrEnum):
    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


class Srtp(StrEnum):
    """Whether audio is encrypted (SDES, RFC 4568)."""

    OFF = "off"
    OPTIONAL = "optional"
    REQUIRED = "required"


class Codec(StrEnum):
    OPUS = "opus"
    G722 = "g722"
    PCMA = "pcma"
    PCMU = "pcmu"


def _host(text: str) -> str:
    if text == "":
        return text
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        pass
    if not _HOST.fullmatch(text):
        raise ValueError("must be a host name or an IP address, without scheme and port")
    return text


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise ValueError("must be a network as 10.20.0.0/16, or one address") from None


def _region(text: str) -> str:
    code = text.upper()
    if code not in regions():
        raise ValueError("must be two letters of ISO 3166, as IN or GB")
    return code


def _user(text: str) -> str:
    if any(ord(sign) < 32 or ord(sign) == 127 for sign in text):
        raise ValueError("must not contain line breaks or control characters")
    return text


Host = Annotated[str, Field(max_length=255), AfterValidator(_host)]
Network = Annotated[str, Field(max_length=50), AfterValidator(_network)]
Region = Annotated[str, AfterValidator(_region)]


class TrunkAuth(Document):
    """How we prove to the trunk who we are (digest, RFC 8760). Both empty: it knows us by our address.

    Attributes:
        username: the account.
        password: its password; only ever sent, as a digest, to this trunk.
        token: an access token for a provider that wants one in place of a password.
    """

    username: Annotated[str, Field(max_length=256), AfterValidator(_user)] = ""
    password: Annotated[Secret | None, SECRET] = None
    token: Annotated[Secret | None, SECRET] = None


class Trunk(Document):
    """A trunk as it is stored and as the REST interface takes it.

    Attributes:
        provider: `generic` and `exotel` are SIP; `loopback` dials numbers that this platform answers itself.
        address: the host of the far end; empty for `loopback`.
        port: null: what DNS says of the address (RFC 3263), else the usual one of the provider and transport.
        transport: of SIP messages.
        from_domain: the domain in From, where the trunk wants one; empty: the address.
        auth: digest credentials.
        registration: register with the trunk, so that it knows where to send calls (RFC 3261 section 10).
        numbers: ours on this trunk; callees are shown the first unless a call says otherwise.
        default_region: the country of numbers that do not name one, as `"IN"`; null: they are refused.
        codecs: offered in this order.
        srtp: whether audio is encrypted.
        tls_verify: whether the far end's certificate is checked.
        tls_server_name: the name in that certificate; empty: the address.
        allowed_sources: networks from which calls of this trunk are taken, beside its address; others get no reply.
        media_networks: networks its audio may come from; empty: those of `allowed_sources` and of its SDP.
        max_concurrent: calls at once, both directions together; null: no limit of its own.
        calls_per_second: how fast calls are placed, over all processes together.
        active: inactive: no call is placed or taken, and queued ones wait.
    """

    name: Name
    provider: Provider = Provider.GENERIC
    address: Host = ""
    port: int | None = Field(default=None, ge=1, le=65535)
    transport: Transport = Transport.UDP
    from_domain: Host = ""
    auth: TrunkAuth = Field(default_factory=TrunkAuth)
    registration: bool = False
    numbers: list[PhoneNumber] = Field(default_factory=list, max_length=1000)
    default_region: Region | None = None
    codecs: list[Codec] = Field(default=[Codec.G722, Codec.PCMA, Codec.PCMU], min_length=1, max_length=4)
    srtp: Srtp = Srtp.OFF
    tls_verify: bool = True
    tls_server_name: Host = ""
    allowed_sources: list[Network] = Field(default_factory=list, max_length=200)
    media_networks: list[Network] = Field(default_factory=list, max_length=200)
    max_concurrent: int | None = Field(default=None, ge=1, le=100_000)
    calls_per_second: float = Field(default=3.0, ge=0.01, le=1000)
    active: bool = True

    @field_validator("address")
    @classmethod
    def _address_of_provider(cls, address: str, info: ValidationInfo) -> str:
        match info.data.get("provider"):
            case Provider.LOOPBACK if address:
                raise ValueError("a loopback trunk has no address; leave it out")
            case Provider.GENERIC | Provider.EXOTEL if not address:
                raise ValueError("this field is required: the host name or IP address of the trunk")
        return address

    @field_validator("codecs")
    @classmethod
    def _each_codec_once(cls, codecs: list[Codec]) -> list[Codec]:
        if len(set(codecs)) < len(codecs):
            raise ValueError("must not name a codec twice")
        return codecs

    @property
    def service(self) -> Literal["generic", "exotel", "loopback"]:
        """What calls over this trunk are filed under."""
        return self.provider.value
