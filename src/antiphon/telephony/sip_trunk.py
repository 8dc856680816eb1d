"""What the telephony layer must know of a trunk, read from its document."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..sip.digest import Credentials
from ..sip.offer_answer import Srtp
from ..sip.transport.resolver import usual_port

SIP_PROVIDERS = frozenset({"generic", "exotel"})
_EXOTEL_PORTS = {"UDP": 5070, "TCP": 5070, "TLS": 443}  # Exotel's pages on SIP trunking


@dataclass(frozen=True, slots=True)
class SipTrunk:
    """A line to a SIP provider. The fields are those of the trunk document, `calls.trunk.Trunk`.

    Attributes:
        port: 0: the address is a name without one, so DNS tells.
    """

    id: str
    provider: str
    address: str
    port: int
    transport: str  # UDP, TCP or TLS
    from_domain: str = ""
    numbers: tuple[str, ...] = ()
    default_region: str | None = None
    codecs: tuple[str, ...] = ("PCMA", "PCMU")
    srtp: Srtp = Srtp.OFF
    credentials: Credentials | None = None
    registration: bool = False
    tls_verify: bool = True
    tls_server_name: str = ""
    allowed_sources: tuple[str, ...] = ()
    media_networks: tuple[str, ...] = ()
    active: bool = True

    @property
    def tls_name(self) -> str:
        """The name that the far end's certificate must carry."""
        return self.tls_server_name or self.address

    @property
    def sources(self) -> tuple[str, ...]:
        """Networks that its messages come from, as far as they are known without a look-up."""
        return (*self.allowed_sources, *([self.address] if _is_address(self.address) else []))


def read_trunk(document: Mapping[str, Any]) -> SipTrunk:
    """A trunk from its document, with its secrets revealed."""
    auth = document.get("auth") or {}
    transport = str(document.get("transport") or "udp").upper()
    provider = str(document.get("provider") or "generic")
    credentials = None
    if auth.get("username") and auth.get("password"):
        credentials = Credentials(auth["username"], auth["password"])
    return SipTrunk(
        id=str(document["id"]),
        provider=provider,
        address=str(document.get("address") or ""),
        port=int(document.get("port") or _port_of(provider, transport, str(document.get("address") or ""))),
        transport=transport,
        from_domain=str(document.get("from_domain") or ""),
        numbers=tuple(document.get("numbers") or ()),
        default_region=document.get("default_region"),
        codecs=tuple(name.upper() for name in document.get("codecs") or ("pcma", "pcmu")),
        srtp=Srtp(document.get("srtp") or "off"),
        credentials=credentials,
        registration=bool(document.get("registration")),
        tls_verify=document.get("tls_verify", True) is not False,
        tls_server_name=str(document.get("tls_server_name") or ""),
        allowed_sources=tuple(document.get("allowed_sources") or ()),
        media_networks=tuple(document.get("media_networks") or ()),
        active=document.get("active", True) is not False,
    )


def _port_of(provider: str, transport: str, address: str) -> int:
    if provider == "exotel":
        return _EXOTEL_PORTS[transport]
    return usual_port(transport) if _is_address(address) else 0


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
