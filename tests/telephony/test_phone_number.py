"""Numbers in their one written form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.telephony.phone_number import InvalidNumber, normalize_caller, normalize_number

pytestmark = pytest.mark.needs("phonenumbers")


@pytest.mark.parametrize(
    ("text", "region", "number"),
    [
        ("+1 (415) 555-0123", None, "+14155550123"),
        ("0091 98765 43210", None, "+919876543210"),
        ("tel:+919876543210", "US", "+919876543210"),
        ("98765 43210", "IN", "+919876543210"),
        ("098765-43210", "IN", "+919876543210"),
        ("+44 (0)20 7946 0123", None, "+442079460123"),
        ("020 7946 0123", "GB", "+442079460123"),
        ("06 6982 1234", "IT", "+390669821234"),  # Italy keeps its zero
    ],
)
def test_equal_numbers_are_equal_texts(text: str, region: str | None, number: str) -> None:
    assert normalize_number(text, region) == number
    assert normalize_number(number) == number


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("98765 43210", None),
        ("112", "IN"),
        ("+1415", None),
        ("+141555501234567890", None),
        ("+14155550123x5", None),
        ("", "IN"),
        ("hello", "IN"),
        ("sip:+14155550123@example.com", None),
        ("+14155550123\r\nX: y", None),
        ("+1415555\x000123", None),
        ("1" * 300, "IN"),
    ],
)
def test_what_cannot_be_dialled_is_refused(text: str, region: str | None) -> None:
    with pytest.raises(InvalidNumber, match=r"must be an international number|too long or too short"):
        normalize_number(text, region)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("98765 43210", "+919876543210"),
        ("sip:+919876543210@trunk.example", "+919876543210"),
        ("sip:anonymous@anonymous.invalid", "anonymous"),
        ("", "anonymous"),
        ("Restricted", "anonymous"),
        ("1001", "1001"),
        ("sip:alice%20b@x", "alice b"),
        ("10\r\n01", "1001"),
    ],
)
def test_a_caller_is_shown_as_well_as_can_be(text: str, shown: str) -> None:
    assert normalize_caller(text, "IN") == shown


@given(st.text(max_size=300), st.sampled_from([None, "IN", "US"]))
def test_any_text_is_a_number_or_refused(text: str, region: str | None) -> None:
    try:
        number = normalize_number(text, region)
    except InvalidNumber:
        pass
    else:
        assert number.isascii()
        assert number[0] == "+"
        assert number[1:].isdigit()
    assert "\n" not in normalize_caller(text, region)
