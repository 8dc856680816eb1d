"""Trunks as documents say them, and what each provider makes of numbers."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.sip.errors import UnsafeValue
from antiphon.sip.events import IncomingCall
from antiphon.sip.headers import Headers, parse_name_addr
from antiphon.sip.offer_answer import Srtp
from antiphon.telephony.phone_number import InvalidNumber
from antiphon.telephony.providers import PROVIDERS
from antiphon.telephony.sip_trunk import SipTrunk, read_trunk


def trunk(**fields: Any) -> SipTrunk:
    return read_trunk({"id": "t", "address": "sip.trunk.example", **fields})


@pytest.mark.parametrize(
    ("fields", "port"),
    [
        ({}, 0),
        ({"transport": "tls", "address": "192.0.2.1"}, 5061),
        ({"provider": "exotel", "transport": "tcp"}, 5070),
        ({"provider": "exotel", "transport": "tls"}, 443),
        ({"transport": "tcp", "port": 5090}, 5090),
    ],
)
def test_a_port_that_is_not_given_is_for_dns_to_tell_but_for_addresses_and_exotel(
    fields: dict[str, Any], port: int
) -> None:
    assert trunk(**fields).port == port


def test_a_trunk_with_everything_left_out() -> None:
    plain = trunk()
    assert (plain.provider, plain.transport, plain.srtp) == ("generic", "UDP", Srtp.OFF)
    assert (plain.tls_verify, plain.registration, plain.credentials, plain.active) == (
        True,
        False,
        None,
        True,
    )
    assert plain.tls_name == "sip.trunk.example"
    assert plain.sources == ()


def test_a_trunk_trusts_its_address_and_its_sources() -> None:
    known = trunk(address="192.0.2.1", allowed_sources=["198.51.100.0/24"])
    assert set(known.sources) == {"192.0.2.1", "198.51.100.0/24"}


def test_a_password_does_not_show_in_a_trunk() -> None:
    secret = trunk(auth={"username": "me", "password": "hidden-word"})
    assert secret.credentials is not None
    assert "hidden-word" not in repr(secret)


@pytest.mark.parametrize(
    ("fields", "number", "target"),
    [
        ({}, "+14155550100", "sip:+14155550100@sip.trunk.example"),
        ({"default_region": "US"}, "(415) 555-0100", "sip:+14155550100@sip.trunk.example"),
        (
            {"transport": "tls"},
            "+14155550100",
            "sip:+14155550100@sip.trunk.example;transport=tls",
        ),
        ({"address": "2001:db8::1"}, "+14155550100", "sip:+14155550100@[2001:db8::1]:5060"),
        ({}, "sip:desk@pbx.example", "sip:desk@pbx.example"),
    ],
)
def test_what_is_dialled(fields: dict[str, Any], number: str, target: str) -> None:
    assert str(PROVIDERS["generic"].target(trunk(**fields), number)) == target


@pytest.mark.parametrize(
    "number", ["", "12", "call me", "+1415555\r\nVia: x", "sip:", "sip:a@b\r\nVia: x", "sip:a@b>;tag=1"]
)
def test_what_cannot_be_dialled(number: str) -> None:
    with pytest.raises((InvalidNumber, UnsafeValue)):
        PROVIDERS["generic"].target(trunk(), number)


def test_exotel_shows_the_number_in_the_account_domain() -> None:
    line = trunk(
        provider="exotel", transport="tcp", from_domain="me.pstn.exotel.com", numbers=["+918047112233"]
    )
    exotel = PROVIDERS["exotel"]
    assert str(exotel.from_(line, "+918047119999")) == "<sip:+918047119999@me.pstn.exotel.com>"
    assert str(exotel.from_(line, "")) == "<sip:+918047112233@me.pstn.exotel.com>"
    assert exotel.headers(line, "+918047119999") == {
        "P-Asserted-Identity": "<sip:+918047119999@me.pstn.exotel.com>"
    }
    hop = exotel.hop(line)
    assert (hop.transport, hop.host, hop.port) == ("TCP", "sip.trunk.example", 5070)


@pytest.mark.parametrize(
    ("identity", "number"),
    [
        ('"x <sip:+15550000@evil.example>" <sip:+14155557777@carrier.example>', "+14155557777"),
        ('"Bob, the" <sip:alice@carrier.example>, <tel:+14155557778>', "+14155557778"),
        ("<sip:+14155557779@carrier.example;user=phone>", "+14155557779"),
        ("tel:+14155557780", "+14155557780"),
        ("<sip:unclosed", "+14155550111"),
    ],
)
def test_who_calls_is_read_from_the_address_and_not_from_a_name(identity: str, number: str) -> None:
    """RFC 3325 section 9.1: an asserted identity is one or two addresses; display names are anybody's."""
    from_ = parse_name_addr("<sip:+14155550111@carrier.example>;tag=1", "From")
    headers = Headers([("P-Asserted-Identity", identity)])
    call = IncomingCall(1, from_.uri, from_, from_, headers, None, "t", "192.0.2.1")
    assert PROVIDERS["generic"].calling_number(call) == number
