"""Telephone numbers in their one written form, `+` and digits, so that equal numbers are equal texts.

What people type and what trunks send differ: `98765 43210` on an Indian trunk is `+919876543210`. The trunk's default region
says which country a number without one belongs to; without a region such a number is refused, because guessing dials
somebody else.

Sources: ITU-T E.164 (11/2010) section 6; Google's libphonenumber for the plans of the countries.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote

from ..models.errors import AntiphonError

LONGEST_TEXT = 200
_ANONYMOUS = frozenset({"", "anonymous", "unavailable", "restricted", "private", "unknown"})
_SIP_USER = re.compile(r"sips?:([^@;?>]+)@", re.IGNORECASE)
_NOT_SHOWN = re.compile(r"[\x00-\x1f\x7f]")


class InvalidNumber(AntiphonError):
    """A text is no telephone number that can be dialled; the message says what one looks like."""


@lru_cache(maxsize=1)
def regions() -> frozenset[str]:
    """The two-letter codes of ISO 3166 that may be a trunk's default region."""
    import phonenumbers

    return frozenset(phonenumbers.SUPPORTED_REGIONS)


def normalize_number(text: str, region: str | None = None) -> str:
    """The E.164 form of a number.

    Args:
        text: as somebody wrote it or a trunk sent it; blanks and punctuation do not matter.
        region: two letters of ISO 3166: the country of numbers that do not name one; None: such numbers are refused.

    Raises:
        InvalidNumber: it is no number, or too long or too short for its country.
    """
    import phonenumbers

    wanted = "an international number with its country code, as +14155550123"
    if region is not None:
        wanted += f", or one of {region}"
    if len(text) > LONGEST_TEXT or not text.isprintable() or not any(sign.isdigit() for sign in text):
        raise InvalidNumber(f"must be {wanted}")
    number = text.strip()
    if number.startswith("00"):
        number = f"+{number[2:]}"
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        raise InvalidNumber(f"must be {wanted}") from None
    if parsed.extension or not phonenumbers.is_possible_number(parsed):
        raise InvalidNumber(
            f"is too long or too short for its country, or has an extension; it must be {wanted}"
        )
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def normalize_caller(text: str, region: str | None = None) -> str:
    """Who calls, for the record: E.164 where it is a number, else the text as it came, without what cannot be shown.

    Callers who withhold their number are `"anonymous"`. A caller is never refused for his number.
    """
    match = _SIP_USER.match(text.strip())
    name = unquote(match[1]) if match else text.strip()
    if name.lower() in _ANONYMOUS:
        return "anonymous"
    try:
        return normalize_number(name, region)
    except InvalidNumber:
        return _NOT_SHOWN.sub("", name)[:LONGEST_TEXT]
