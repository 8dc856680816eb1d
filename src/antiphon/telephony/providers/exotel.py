"""Exotel's SIP trunks.

Known by the address list, without registration; SIP over TCP port 5070 or TLS port 443 with SRTP; From must be of the account's domain,
`<account>.pstn.exotel.com`; audio in A-law or mu-law, from other addresses than the signalling. Source: Exotel's pages on SIP trunking.
"""

from __future__ import annotations

from collections.abc import Mapping

from ...sip.headers import NameAddr
from ...sip.uri import user_uri
from ..sip_trunk import SipTrunk
from .provider import Provider


class Exotel(Provider):
    """The caller's number goes into From and P-Asserted-Identity."""

    name = "exotel"

    def dialled(self, trunk: SipTrunk, number: str) -> str:
        return number

    def headers(self, trunk: SipTrunk, caller_number: str) -> Mapping[str, str]:
        number = caller_number or (trunk.numbers[0] if trunk.numbers else "")
        if not number:
            return {}
        identity = NameAddr(user_uri(number, trunk.from_domain or trunk.address))
        return {"P-Asserted-Identity": str(identity)}
