"""A provider: the small differences between one SIP trunk and another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from ...sip.effects import Hop
from ...sip.errors import FieldError
from ...sip.events import IncomingCall
from ...sip.headers import NameAddr, parse_name_addr
from ...sip.uri import Uri, address_uri, user_uri
from ..phone_number import normalize_number
from ..sip_trunk import SipTrunk


class Provider(ABC):
    """One kind of trunk. Stateless; asked for every call."""

    name: str

    def target(self, trunk: SipTrunk, number: str) -> Uri:
        """The Request-URI of a call to `number`, in E.164 or a SIP address.

        Raises:
            InvalidNumber: it is no number.
            UnsafeValue: it is no SIP address.
        """
        if number.startswith(("sip:", "sips:")):
            return address_uri(number)
        user = self.dialled(trunk, normalize_number(number, trunk.default_region))
        parameters = {} if trunk.transport == "UDP" else {"transport": trunk.transport.lower()}
        return user_uri(user, _bracketed(trunk.address), trunk.port or None, **parameters)

    def from_(self, trunk: SipTrunk, caller_number: str) -> NameAddr:
        """Who calls: the number that the callee is shown."""
        number = caller_number or (trunk.numbers[0] if trunk.numbers else "antiphon")
        domain = trunk.from_domain or trunk.address
        return NameAddr(user_uri(self.dialled(trunk, number), _bracketed(domain)))

    def hop(self, trunk: SipTrunk) -> Hop:
        """Where the messages of this trunk go."""
        return Hop(trunk.transport, trunk.address, trunk.port)

    def headers(self, trunk: SipTrunk, caller_number: str) -> Mapping[str, str]:
        """Further headers of an INVITE."""
        return {}

    @abstractmethod
    def dialled(self, trunk: SipTrunk, number: str) -> str:
        """An E.164 number as this provider wants it in a SIP address."""

    def called_number(self, call: IncomingCall) -> str:
        """What was dialled, as it came: the user of the Request-URI, or of To where that names none."""
        for uri in (call.request_uri, call.to.uri):
            if number := uri.number:
                return number
        return ""

    def calling_number(self, call: IncomingCall) -> str:
        """Who calls, as it came: P-Asserted-Identity, which the network vouches for (RFC 3325), before From."""
        try:
            texts = call.headers.listed("P-Asserted-Identity")
            identities = [parse_name_addr(text, "P-Asserted-Identity").uri for text in texts]
        except FieldError:
            identities = []
        # Beside the SIP address there may be a telephone number.
        identities.sort(key=lambda uri: uri.scheme != "tel")
        return next((uri.number for uri in identities if uri.number), call.from_.uri.number)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
