"""The document that says which assistant answers a telephone number."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field

from .document import Document, Name

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_DECORATION = re.compile(r"[\s().\-/\u00a0\u2010-\u2015]")


def normalize_e164(text: str) -> str:
    """A telephone number in its one written form, `+` and digits, so that equal numbers are equal texts.

    Blanks, dashes, dots, slashes and parentheses are dropped; a leading 00 is an international prefix. A number without a
    country is refused, because guessing the country dials somebody else.

    Raises:
        ValueError: it is not an international number.

    Source: ITU-T E.164 (11/2010), section 6: at most 15 digits, country code first.
    """
    number = _DECORATION.sub("", text.strip()).removeprefix("tel:")
    if number.startswith("00"):
        number = f"+{number[2:]}"
    if not _E164.fullmatch(number):
        raise ValueError("must be an international number with its country code, as +14155550123")
    return number


def _normalize(value: object) -> object:
    return normalize_e164(value) if isinstance(value, str) else value


PhoneNumber = Annotated[str, BeforeValidator(_normalize), Field(max_length=16)]


class NumberMapping(Document):
    """Who answers a number.

    Attributes:
        number: the number that is called, in E.164; one mapping a number.
        assistant_id: who answers; null: the mapping is detached, and calls are refused with 480.
        trunk_id: the trunk whose calls it is for; null: any.
        inbound_context_strategy_id: what is asked about the caller while the call rings; null: nothing.
        active: whether calls are answered at all.
    """

    number: PhoneNumber
    assistant_id: Name | None = None
    trunk_id: Name | None = None
    inbound_context_strategy_id: Name | None = None
    active: bool = True
