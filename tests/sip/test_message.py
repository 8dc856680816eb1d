"""Reading and writing messages: RFC 3261 sections 7, 19, 20 and 25, and all of RFC 4475."""

from __future__ import annotations

import contextlib
import json
import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.sip.errors import BadRequest, FieldError, ParseError, UnsafeValue
from antiphon.sip.headers import (
    Headers,
    parse_cseq,
    parse_name_addr,
    parse_rack,
    parse_via,
)
from antiphon.sip.message import Request, Response, make_response, parse_message
from antiphon.sip.stream_framer import Ping, StreamFramer
from antiphon.sip.uri import SipUri, address_uri, parse_uri, user_uri

CORPUS = Path(__file__).parent / "rfc4475"
VERDICTS = json.loads((CORPUS / "verdicts.json").read_text())


def lines(*text: str, body: str = "") -> bytes:
    return ("\r\n".join(text) + "\r\n\r\n" + body).encode()


INVITE = (
    "INVITE sip:bank@192.0.2.1 SIP/2.0",
    "Via: SIP/2.0/UDP 192.0.2.2:5062;branch=z9hG4bK1;rport",
    "From: <sip:a@example.com>;tag=1",
    "To: <sip:bank@192.0.2.1>",
    "Call-ID: abc",
    "CSeq: 1 INVITE",
    "Max-Forwards: 70",
)


@pytest.mark.parametrize("row", VERDICTS, ids=lambda row: f"{row['section']} {row['file']}")
def test_rfc4475_verdicts(row: dict[str, str]) -> None:
    raw = (CORPUS / row["file"]).read_bytes()
    if row["verdict"] == "parse":
        parse_message(raw)
    else:
        with pytest.raises((BadRequest, ParseError)):
            parse_message(raw)


@pytest.mark.parametrize(
    ("file", "status"),
    [
        ("TC_BADINV01_I.dat", 400),
        ("TC_CLERR_I.dat", 400),
        ("TC_NCL_I.dat", 400),
        ("TC_SCALAR02_V.dat", 400),
        ("TC_QUOTBAL_I.dat", 400),
        ("TC_LTGTRURI_I.dat", 400),
        ("TC_LWSRURI_I.dat", 400),
        ("TC_ESCRURI_V.dat", 400),
        ("TC_MISMATCH01_V.dat", 400),
        ("TC_BADVERS_V.dat", 505),
    ],
)
def test_rfc4475_faults_that_are_answered(file: str, status: int) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_message((CORPUS / file).read_bytes())
    assert caught.value.status == status
    assert make_response(caught.value.request, status).to_bytes().startswith(b"SIP/2.0 %d " % status)


@pytest.mark.parametrize("file", ["TC_SCALARLG_V.dat", "TC_BIGCODE_V.dat", "TC_TEST_I.dat"])
def test_rfc4475_faults_that_are_dropped(file: str) -> None:
    with pytest.raises(ParseError):
        parse_message((CORPUS / file).read_bytes())


def test_the_short_tortuous_invite_is_understood() -> None:
    """RFC 4475 section 3.1.1.1."""
    message = parse_message((CORPUS / "TC_WSINV.dat").read_bytes())
    assert isinstance(message, Request)
    assert message.from_.display == 'J Rosenberg \\"'
    assert message.from_.tag == "98asjd8"
    assert message.to.tag == "1918181833n"
    assert message.cseq.number == 9
    assert [parse_via(text).branch for text in message.headers.listed("Via")] == [
        "390skdjuw",
        "z9hG4bK9ikj8",
        "z9hG4bK30239",
    ]
    assert len(message.body) == 150
    assert message.headers.get("NewFangledHeader") == "newfangled value continued newfangled value"


def test_a_forged_address_in_a_quoted_parameter_stays_a_parameter() -> None:
    """RFC 3261 section 25.1: the address is the first one in angle brackets outside quotes."""
    address = parse_name_addr('"a" <sip:real@x>;p="b <sip:forged@y>;tag=9"', "From")
    assert str(address.uri) == "sip:real@x"
    assert address.tag == ""
    with pytest.raises(FieldError):
        parse_name_addr('"a" <sip:evil@x>;p="b" <sip:c@d>', "From")


@pytest.mark.parametrize(
    "text",
    [
        "sip:alice@atlanta.example.com",
        "sip:alice:secret@atlanta.example.com;transport=tcp",
        "sips:alice@[2001:db8::9]:5061",
        "sip:+1-212-555-1212:1234@gateway.com;user=phone",
        "sip:atlanta.example.com;method=REGISTER?to=alice%40atlanta.com",
        "sip:alice;day=tuesday@atlanta.com",
        "sip:*98#@pbx_1.local",
        "tel:+49-30-123;phone-context=x",
    ],
)
def test_uris_survive_reading_and_writing(text: str) -> None:
    """RFC 3261 section 19.1.3."""
    assert str(parse_uri(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "alice", "sip:", "sip:@x", "sip:a b@x", "sip:a@b@c", "sip:a@x:99999", "sip:a@x;;", "sip:[::1"],
)
def test_what_is_no_uri_is_refused(text: str) -> None:
    """RFC 3261 section 25.1."""
    with pytest.raises(FieldError):
        parse_uri(text)


@pytest.mark.parametrize(
    ("text", "display", "uri"),
    [
        ("Jürgen Müller <sip:j@x>", "Jürgen Müller", "sip:j@x"),
        ("+1 (212) 555 <sip:j@x>", "+1 (212) 555", "sip:j@x"),
        ('"A \\"B\\" C" <sip:j@x>', 'A "B" C', "sip:j@x"),
        ("<sip:p.example;lr;ftag=a;vsf=AAA=>", "", "sip:p.example;lr;ftag=a;vsf=AAA="),
    ],
)
def test_addresses_of_the_field(text: str, display: str, uri: str) -> None:
    """RFC 3261 section 20.10, and what peers make of it."""
    address = parse_name_addr(text, "From")
    assert (address.display, str(address.uri)) == (display, uri)
    assert parse_name_addr(str(address), "From") == address


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp", True),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", True),
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP", False),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", False),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", False),
    ],
)
def test_comparison_of_uris(one: str, other: str, same: bool) -> None:
    """RFC 3261 section 19.1.4."""
    first = parse_uri(one)
    assert isinstance(first, SipUri)
    assert first.same_as(parse_uri(other)) is same


def test_compact_names_and_folded_lines_are_known() -> None:
    """RFC 3261 sections 7.3.1 and 7.3.3."""
    raw = lines("OPTIONS sip:x@y SIP/2.0", "v: SIP/2.0/UDP h;branch=z9hG4bK1", "f: <sip:a@b>;tag=1", "t: <sip:x@y>",
                "i: 1", "CSEQ: 1", " OPTIONS", "k: timer,", "\t100rel", "L: 0")  # fmt: skip
    message = parse_message(raw)
    assert isinstance(message, Request)
    assert message.headers.tokens("Supported") == {"timer", "100rel"}
    assert message.cseq.method == "OPTIONS"
    assert message.call_id == "1"


def test_a_datagram_may_hold_more_than_its_message() -> None:
    """RFC 3261 section 18.3."""
    message = parse_message(lines(*INVITE, "Content-Length: 4", body="bodyGARBAGE"))
    assert message.body == b"body"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n\r\n",
        b"\0" * 50,
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"SIP/2.0 99 x\r\n\r\n",
        b"SIP/2.0 700 x\r\n\r\n",
        lines("INVITE sip:a@b SIP/2.0", "X: " + "y" * 9000),
        lines("INVITE sip:a@b SIP/2.0", *["X: y"] * 101),
        b"INVITE sip:a@b SIP/2.0\r\nX: y\rz\r\n\r\n",
        b"x" * 70_000,
        b"SIP/2.0 200 OK\r\nVia: nonsense\r\n\r\n",
    ],
)
def test_what_is_dropped_without_an_answer(raw: bytes) -> None:
    """RFC 3261 section 18.3 and the limits of the parser."""
    with pytest.raises(ParseError):
        parse_message(raw)


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\rb", "a\0b"])
def test_nobody_can_slip_header_fields_in(value: str) -> None:
    """What users supply never changes the structure of a message."""
    with pytest.raises(UnsafeValue):
        Headers([("Subject", value)])
    with pytest.raises(UnsafeValue):
        Headers([(value, "x")])
    with pytest.raises(UnsafeValue):
        user_uri(value, "example.com")
    with pytest.raises(UnsafeValue):
        user_uri("a", value)
    with pytest.raises(UnsafeValue):
        address_uri(f"sip:{value}@example.com")


def test_a_user_part_is_escaped() -> None:
    """RFC 3261 section 19.1.2."""
    uri = user_uri("a b@c", "example.com")
    assert str(uri) == "sip:a%20b%40c@example.com"
    assert uri.number == "a b@c"
    with pytest.raises(UnsafeValue):
        address_uri("sip:a@example.com?Route=%3Csip:x%3E")


def test_a_response_repeats_what_it_must() -> None:
    """RFC 3261 section 8.2.6.2; Record-Route as section 12.1.1 has it."""
    request = parse_message(
        lines(*INVITE, "Via: SIP/2.0/UDP p", "Record-Route: <sip:p;lr>", "Route: <sip:q;lr>")
    )
    assert isinstance(request, Request)
    ringing = make_response(request, 180, to_tag="me")
    assert ringing.headers.get_all("Via") == request.headers.get_all("Via")
    assert ringing.to.tag == "me"
    assert ringing.headers.get_all("Record-Route") == ["<sip:p;lr>"]
    assert make_response(request, 180, to_tag="me").from_ == request.from_
    assert "Record-Route" not in make_response(request, 486).headers
    assert "Route" not in ringing.headers
    assert isinstance(parse_message(ringing.to_bytes()), Response)


@pytest.mark.parametrize(
    ("text", "number"), [("1 INVITE", 1), ("0009   INVITE", 9), ("2147483647 BYE", 2**31 - 1)]
)
def test_cseq(text: str, number: int) -> None:
    """RFC 3261 section 20.16."""
    assert parse_cseq(text).number == number


@pytest.mark.parametrize("text", ["INVITE", "-1 INVITE", "1", "1 2 3", "4294967296 INVITE", "٣ INVITE"])
def test_malformed_cseq(text: str) -> None:
    """RFC 3261 section 8.1.1.5."""
    with pytest.raises(FieldError):
        parse_cseq(text)


def test_rack() -> None:
    """RFC 3262 section 7.2."""
    assert parse_rack("776656 1 INVITE").rseq == 776656
    with pytest.raises(FieldError):
        parse_rack("1 INVITE")


def test_via_with_spaces_and_ipv6() -> None:
    """RFC 3261 section 20.42."""
    via = parse_via(
        "SIP / 2.0 / UDP first.example.com: 4000;ttl=16 ;maddr=224.2.0.1 ;branch=z9hG4bKa7c6a8dlze.1"
    )
    assert (via.transport, via.host, via.port, via.branch) == (
        "UDP",
        "first.example.com",
        4000,
        "z9hG4bKa7c6a8dlze.1",
    )
    assert parse_via("SIP/2.0/TLS [2001:db8::1]:5061;branch=z9hG4bK1").sent_by == ("[2001:db8::1]", 5061)


# -- streams --------------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 300), min_size=1, max_size=4), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_a_stream_is_cut_the_same_however_it_arrives(sizes: list[int], rng: random.Random) -> None:
    """RFC 3261 section 18.3: Content-Length alone says where a message ends."""
    wanted = [
        lines(*INVITE, f"Content-Length: {size}", body="\r\n" * (size // 2) + "x" * (size % 2))
        for size in sizes
    ]
    stream = b"".join(message + rng.choice([b"", b"\r\n\r\n"]) for message in wanted)
    framer, got = StreamFramer(), []
    while stream:
        cut = rng.randint(1, len(stream))
        got += framer.feed(stream[:cut])
        stream = stream[cut:]
    assert [item for item in got if not isinstance(item, Ping)] == wanted


def test_pings_between_messages() -> None:
    """RFC 5626 section 3.5.1."""
    framer = StreamFramer()
    assert framer.feed(b"\r\n") == []
    assert framer.feed(b"\r\n") == [Ping()]
    assert framer.feed(b"\r\n" + lines(*INVITE, "l: 0")) == [lines(*INVITE, "l: 0")]


@pytest.mark.parametrize(
    "raw",
    [
        lines(*INVITE, "Content-Length: 1", "l: 2"),
        lines(*INVITE, "Content-Length: -1"),
        lines(*INVITE, "Content-Length: 99999999"),
        b"x" * 70_000,
    ],
)
def test_a_stream_that_cannot_be_cut_is_given_up(raw: bytes) -> None:
    """RFC 3261 section 18.3."""
    with pytest.raises(ParseError):
        StreamFramer().feed(raw)


# -- whatever comes -------------------------------------------------------------------------------------------------------


def test_adversarial_headers_take_linear_time() -> None:
    """No pattern of a header makes the parser slow."""
    for value in [
        '"' * 8000,
        "<" * 8000,
        ";a" * 4000,
        "," * 8000,
        "\\" * 8000,
        "a " * 4000,
        "a@" * 4000,
        "=;" * 4000,
    ]:
        raw = lines(*INVITE, f"Contact: {value}", f"Route: {value}", f"Via: {value}")
        started = time.monotonic()
        with contextlib.suppress(BadRequest, ParseError):
            parse_message(raw)
        assert time.monotonic() - started < 1.0


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_random_octets_raise_nothing_else(data: bytes) -> None:
    for raw in (data, b"INVITE sip:a@b SIP/2.0\r\n" + data, b"SIP/2.0 200 OK\r\n" + data):
        with contextlib.suppress(BadRequest, ParseError):
            parse_message(raw)


@pytest.mark.parametrize(
    "row", [row for row in VERDICTS if row["verdict"] == "parse"], ids=lambda row: row["file"]
)
def test_what_is_read_can_be_written_and_read_again(row: dict[str, str]) -> None:
    message = parse_message((CORPUS / row["file"]).read_bytes())
    again = parse_message(message.to_bytes())
    known = [item for item in message.headers if item[0] != "Content-Length"]
    assert [item for item in again.headers if item[0] != "Content-Length"] == known
    assert again.body == message.body
