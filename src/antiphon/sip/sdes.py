"""Keys for SRTP in descriptions: which `a=crypto` lines we can use, and what they say.

Source: RFC 4568 sections 6.1 (key parameters), 6.2 (suites) and 6.3 (session parameters, which we do not do); RFC 3711 section 3.1
(the MKI).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable

from .sdp import Crypto

SUITE = "AES_CM_128_HMAC_SHA1_80"
SUITES = (SUITE, "AES_CM_128_HMAC_SHA1_32")  # the stronger first
KEY_OCTETS = 30  # 128 bits of key and 112 of salt (section 6.2)
_MOST_MKI_OCTETS = 128
_PARAMETERS = re.compile(r"(?:\|(?:2\^)?\d{1,16})?(?:\|\d{1,39}:(\d{1,3}))?\Z")


def best_crypto(cryptos: Iterable[Crypto]) -> Crypto | None:
    """The line to use: the strongest suite, without an MKI if there is a choice, else in the peer's order."""
    usable = [crypto for crypto in cryptos if _is_usable(crypto)]
    rank = {suite: number for number, suite in enumerate(SUITES)}
    return min(usable, key=lambda crypto: (rank[crypto.suite], mki_octets(crypto) > 0), default=None)


def key_of(crypto: Crypto) -> bytes:
    """Master key and salt of a usable line."""
    return base64.b64decode(crypto.key)


def mki_octets(crypto: Crypto) -> int:
    """How many octets of each packet of the peer's name its key; 0: none."""
    match = _PARAMETERS.match(crypto.lifetime_and_mki)
    return int(match[1]) if match and match[1] else 0


def _is_usable(crypto: Crypto) -> bool:
    if crypto.suite not in SUITES or crypto.session_params:
        return False
    match = _PARAMETERS.match(crypto.lifetime_and_mki)
    if match is None or (match[1] and not 1 <= int(match[1]) <= _MOST_MKI_OCTETS):
        return False  # among others: several keys, which the peer would change between
    try:
        return len(base64.b64decode(crypto.key, validate=True)) == KEY_OCTETS
    except ValueError:
        return False
