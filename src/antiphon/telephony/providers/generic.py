"""Any SIP trunk that does as the RFCs say."""

from __future__ import annotations

from ..sip_trunk import SipTrunk
from .provider import Provider


class Generic(Provider):
    """Numbers are E.164 with the plus sign."""

    name = "generic"

    def dialled(self, trunk: SipTrunk, number: str) -> str:
        return number
