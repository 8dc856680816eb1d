"""Offer and answer: RFC 3264, RFC 8866, RFC 4568, RFC 6337."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.sip.audio_formats import CODECS
from antiphon.sip.errors import MediaNotAcceptable, SdpError
from antiphon.sip.offer_answer import LocalMedia, MediaSession, NegotiatedMedia, Srtp
from antiphon.sip.sdes import SUITE
from antiphon.sip.sdp import Direction, MediaDescription, SessionDescription, parse_sdp
from support.sip_wire import sdp

KEY = base64.b64encode(bytes(range(30))).decode()
OTHER_KEY = bytes(range(100, 130))
CRYPTO = f"a=crypto:3 {SUITE} inline:{KEY}|2^31\r\n"
SENDRECV, SENDONLY, RECVONLY, INACTIVE = Direction


def session(**changes: object) -> MediaSession:
    local = LocalMedia(**{"address": "192.0.2.1", "port": 20000, **changes})  # type: ignore[arg-type]
    return MediaSession(local, 1000, lambda count: OTHER_KEY[:count])


def answered(body: bytes, **changes: object) -> tuple[SessionDescription, NegotiatedMedia]:
    answer, media = session(**changes).answer(parse_sdp(body))
    return parse_sdp(answer), media


def version_of(body: bytes) -> int:
    return int(parse_sdp(body).origin.split()[2])


# -- hold -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offer", "ours", "held"),
    [
        ({}, SENDRECV, False),
        ({"direction": "sendrecv"}, SENDRECV, False),
        ({"direction": "sendonly"}, RECVONLY, True),
        ({"direction": "inactive"}, INACTIVE, True),
        ({"direction": "recvonly"}, SENDONLY, False),
        ({"session": "sendonly"}, RECVONLY, True),
        ({"session": "inactive"}, INACTIVE, True),
        ({"session": "sendonly", "direction": "sendrecv"}, SENDRECV, False),
        ({"session": "sendrecv", "direction": "inactive"}, INACTIVE, True),
        ({"address": "0.0.0.0"}, RECVONLY, True),
        ({"address": "0.0.0.0", "direction": "inactive"}, INACTIVE, True),
        ({"address": "0.0.0.0", "direction": "sendonly"}, RECVONLY, True),
        ({"address": "0.0.0.0", "direction": "recvonly"}, INACTIVE, True),
    ],
)
def test_hold_in_every_form_is_answered_with_the_mirrored_direction(
    offer: dict[str, str], ours: Direction, held: bool
) -> None:
    """RFC 3264 sections 6.1 and 8.4."""
    answer, media = answered(sdp(**offer))  # type: ignore[arg-type]
    assert answer.direction_of(answer.media[0]) is ours
    assert media.direction is ours
    assert media.on_hold is held


@pytest.mark.parametrize("theirs", list(Direction))
@pytest.mark.parametrize("ours", list(Direction))
def test_our_own_direction_cuts_the_answer_down(theirs: Direction, ours: Direction) -> None:
    """RFC 3264 section 6.1; a peer that we hold stays held when it refreshes."""
    answer, media = answered(sdp(direction=theirs), direction=ours)
    stated = answer.direction_of(answer.media[0])
    assert stated is media.direction
    assert stated.sends == (ours.sends and theirs.receives)
    assert stated.receives == (ours.receives and theirs.sends)


def test_a_refresh_of_a_held_call_is_not_a_resume() -> None:
    """RFC 6337 section 5.3: nothing changes before the answer to our own offer is there."""
    media = session()
    media.answer(parse_sdp(sdp(direction="sendonly")))
    offer = media.offer()
    assert media.negotiated is not None
    assert media.negotiated.on_hold
    assert parse_sdp(offer).direction_of(parse_sdp(offer).media[0]) is SENDRECV
    media.abandon_offer()
    assert media.negotiated.on_hold
    media.offer()
    assert media.take_answer(parse_sdp(sdp(direction="sendonly"))).on_hold


# -- sections and codecs -----------------------------------------------------------------------------------------------------------


def test_every_section_is_answered_in_order_and_the_rest_refused() -> None:
    """RFC 3264 section 6."""
    body = (
        sdp()
        + b"m=video 4000 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\nm=audio 4002 RTP/AVP 0\r\nm=image 0 udptl t38\r\n"
    )
    answer, _ = answered(body)
    assert [(media.kind, media.port) for media in answer.media] == [
        ("audio", 20000),
        ("video", 0),
        ("audio", 0),
        ("image", 0),
    ]


@pytest.mark.parametrize(
    ("formats", "codecs", "own", "chosen"),
    [
        ("0 8", ("PCMA", "PCMU"), False, "PCMU"),
        ("0 8", ("PCMA", "PCMU"), True, "PCMA"),
        ("18 8", ("PCMU", "PCMA"), False, "PCMA"),
        ("9 0", ("PCMU", "G722"), False, "G722"),
    ],
)
def test_the_offerers_order_decides_unless_ours_is_to(
    formats: str, codecs: tuple[str, ...], own: bool, chosen: str
) -> None:
    """RFC 3264 section 6.1."""
    _, media = answered(sdp(formats=formats), codecs=codecs, prefer_own_order=own)
    assert media.codec == chosen


def test_the_answer_uses_the_offerers_payload_types() -> None:
    """RFC 3264 section 6.1, RFC 7587 section 7, RFC 4733 section 2.5.1.1."""
    extra = "a=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1;maxplaybackrate=16000\r\na=rtpmap:97 telephone-event/48000\r\n"
    answer, media = answered(sdp(formats="96 97 101", extra=extra), codecs=("OPUS", "PCMU"))
    assert answer.media[0].formats == ("96", "97")
    assert (media.codec, media.clock_rate, media.send_payload_type) == ("OPUS", 48000, 96)
    assert (media.dtmf_send_type, media.dtmf_receive_type, media.dtmf_clock_rate) == (97, 97, 48000)
    assert "maxplaybackrate=16000" in media.parameters
    assert b"opus/48000/2" in answer.to_bytes()


def test_a_dynamic_number_for_a_static_codec_is_understood() -> None:
    """RFC 8866 section 8.2.3: what counts is rtpmap."""
    answer, media = answered(sdp(formats="120", extra="a=rtpmap:120 pcma/8000\r\n"))
    assert (media.codec, media.send_payload_type) == ("PCMA", 120)
    assert answer.media[0].formats == ("120",)


def test_payload_types_may_differ_each_way() -> None:
    """RFC 3264 section 5.1: each side says what it wants to receive."""
    media = session(codecs=("OPUS",))
    media.offer()
    answer = sdp(
        formats="111 112", extra="a=rtpmap:111 opus/48000/2\r\na=rtpmap:112 telephone-event/48000\r\n"
    )
    agreed = media.take_answer(parse_sdp(answer))
    assert (agreed.send_payload_type, agreed.receive_payload_type) == (111, 107)
    assert (agreed.dtmf_send_type, agreed.dtmf_receive_type) == (112, 110)


def test_no_telephone_events_means_none() -> None:
    """RFC 4733 section 2.1."""
    answer, media = answered(sdp(formats="0"))
    assert media.dtmf_send_type is None
    assert answer.media[0].formats == ("0",)
    _, media = answered(sdp(), dtmf=False)
    assert media.dtmf_receive_type is None


def test_ptime_and_comfort_noise_and_rtcp_are_read() -> None:
    """RFC 8866 section 6.4, RFC 3389 section 5, RFC 3605."""
    answer, media = answered(sdp(formats="0 13 101", extra="a=ptime:30\r\na=rtcp:30009 IN IP4 192.0.2.9\r\n"))
    assert (media.ptime, media.comfort_noise, media.rtcp_port) == (30, True, 30009)
    assert answer.media[0].values("ptime") == ["30"]


@pytest.mark.parametrize(
    ("body", "changes", "why"),
    [
        (sdp(formats="18"), {}, "codecs"),
        (sdp(port=0), {}, "no audio"),
        (sdp(protocol="RTP/SAVP", extra=CRYPTO), {}, "encrypted"),
        (sdp(), {"srtp": Srtp.REQUIRED}, "requires"),
        (sdp(protocol="RTP/SAVP"), {"srtp": Srtp.OPTIONAL}, "encrypted"),
        (sdp(protocol="UDP/TLS/RTP/SAVPF"), {"srtp": Srtp.OPTIONAL}, "encrypted"),
    ],
)
def test_what_cannot_be_accepted_says_why(body: bytes, changes: dict[str, object], why: str) -> None:
    """RFC 3264 section 6, RFC 4568 section 6.6."""
    media = session(**changes)
    with pytest.raises(MediaNotAcceptable, match=why):
        media.answer(parse_sdp(body))
    assert media.negotiated is None


# -- versions ------------------------------------------------------------------------------------------------------------------------


def test_the_version_goes_up_by_one_when_something_changed_and_only_then() -> None:
    """RFC 3264 section 8, RFC 4028 section 7.4."""
    media = session()
    first, _ = media.answer(parse_sdp(sdp()))
    same, _ = media.answer(parse_sdp(sdp(version=2)))
    held, _ = media.answer(parse_sdp(sdp(direction="sendonly")))
    assert first == same
    assert version_of(held) == version_of(first) + 1
    assert len({parse_sdp(body).origin.split()[1] for body in (first, same, held)}) == 1


def test_a_later_offer_keeps_numbers_and_sections() -> None:
    """RFC 3264 section 8: the number of sections never shrinks, payload types keep their meaning."""
    media = session(codecs=("OPUS", "PCMU"))
    body = b"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=video 4000 RTP/AVP 96\r\n"
    body += b"m=audio 4002 RTP/AVP 98\r\na=rtpmap:98 opus/48000/2\r\n"
    media.answer(parse_sdp(body))
    offer = parse_sdp(media.offer(SENDONLY))
    assert [(line.kind, line.port) for line in offer.media] == [("video", 0), ("audio", 20000)]
    assert offer.media[1].formats[0] == "98"


# -- encryption ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "policy"),
    [("RTP/SAVP", Srtp.REQUIRED), ("RTP/SAVP", Srtp.OPTIONAL), ("RTP/AVP", Srtp.OPTIONAL)],
)
def test_keys_are_exchanged(protocol: str, policy: Srtp) -> None:
    """RFC 4568 section 5.1.2: the answer repeats the tag and has a key of its own."""
    weak = f"a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:{KEY}\r\na=crypto:2 {SUITE} inline:{KEY}|2^31|1:1\r\n"
    answer, media = answered(sdp(protocol=protocol, extra=weak + CRYPTO), srtp=policy)
    (crypto,) = answer.media[0].cryptos
    assert (crypto.tag, crypto.suite, base64.b64decode(crypto.key)) == (3, SUITE, OTHER_KEY)
    assert answer.media[0].protocol == protocol
    assert (media.send_key, media.receive_key) == (OTHER_KEY, bytes(range(30)))


@pytest.mark.parametrize(
    ("line", "tag", "mki"),
    [
        (f"1 AES_CM_128_HMAC_SHA1_32 inline:{KEY}", 1, 0),
        (f"2 {SUITE} inline:{KEY}|2^20|1:4", 2, 4),
        (f"2 {SUITE} inline:{KEY}|1048576", 2, 0),
        (f"7 {SUITE} inline:{KEY}|7:1", 7, 1),
        (f"3 {SUITE} inline:{KEY}|2^20|1:4;inline:{KEY}|2^20|2:4", 0, 0),
        (f"4 {SUITE} inline:{KEY} UNENCRYPTED_SRTP", 0, 0),
        (f"5 {SUITE} inline:{KEY}|2^20|1:400", 0, 0),
        (f"6 AES_256_CM_HMAC_SHA1_80 inline:{KEY}", 0, 0),
    ],
)
def test_which_keys_are_taken(line: str, tag: int, mki: int) -> None:
    """RFC 4568 sections 6.1 to 6.3: the shorter tag and a named key are fine, several keys and other ways are not."""
    body = sdp(protocol="RTP/SAVP", extra=f"a=crypto:{line}\r\n")
    if not tag:
        with pytest.raises(MediaNotAcceptable):
            answered(body, srtp=Srtp.REQUIRED)
        return
    answer, media = answered(body, srtp=Srtp.REQUIRED)
    (crypto,) = answer.media[0].cryptos
    assert (crypto.tag, crypto.suite) == (tag, line.split()[1])
    assert (media.suite, media.receive_mki) == (crypto.suite, mki)


def test_an_encrypted_section_comes_before_a_plain_one() -> None:
    """Specification: SDES required or optional per trunk; never less than both sides can."""
    body = sdp() + f"m=audio 4002 RTP/SAVP 0\r\n{CRYPTO}".encode()
    answer, media = answered(body, srtp=Srtp.OPTIONAL)
    assert [line.port for line in answer.media] == [0, 20000]
    assert media.port == 4002
    assert media.send_key


def test_an_offer_with_keys_and_its_answers() -> None:
    """RFC 4568 section 5.1.3: an answer never takes encryption away that was required."""
    required = session(srtp=Srtp.REQUIRED)
    offer = parse_sdp(required.offer())
    assert offer.media[0].protocol == "RTP/SAVP"
    assert offer.media[0].cryptos
    agreed = required.take_answer(parse_sdp(sdp(protocol="RTP/SAVP", extra=CRYPTO)))
    assert agreed.receive_key == bytes(range(30))
    for body in (sdp(), sdp(protocol="RTP/SAVP"), sdp(extra=CRYPTO)):
        refused = session(srtp=Srtp.REQUIRED)
        refused.offer()
        with pytest.raises(MediaNotAcceptable):
            refused.take_answer(parse_sdp(body))
    optional = session(srtp=Srtp.OPTIONAL)
    assert parse_sdp(optional.offer()).media[0].protocol == "RTP/AVP"
    assert optional.take_answer(parse_sdp(sdp())).send_key is None


def test_keys_stay_for_the_whole_call() -> None:
    """RFC 4568 section 7.1.4: an unchanged key goes on."""
    media = session(srtp=Srtp.REQUIRED)
    first, _ = media.answer(parse_sdp(sdp(protocol="RTP/SAVP", extra=CRYPTO)))
    again = media.offer()
    assert parse_sdp(first).media[0].cryptos[0].key == parse_sdp(again).media[0].cryptos[0].key


# -- reading ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"v=1\r\n",
        sdp(port=99999),
        sdp(address="x y"),
        b"v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nm=audio 1 RTP/AVP 0\r\n",
        b"v=0\r\no=- 1 1 IN IP4 h\r\nc=IN IP4 h\r\nm=audio x RTP/AVP 0\r\n",
        b"v=0\r\n" + b"a=x\r\n" * 600,
    ],
)
def test_malformed_descriptions(body: bytes) -> None:
    """RFC 8866 section 9."""
    with pytest.raises(SdpError):
        parse_sdp(body)


def test_bare_line_feeds_and_missing_lines_are_forgiven() -> None:
    """RFC 8866 section 5: parsers should accept a bare LF."""
    assert parse_sdp(sdp().replace(b"\r\n", b"\n")) == parse_sdp(sdp())
    assert parse_sdp(b"\r\n" + sdp().replace(b"o=peer 7", b"o=a peer 7")).media[0].port == 30000
    assert parse_sdp(sdp().replace(b"s=-\r\n", b"").replace(b"t=0 0\r\n", b"")).media[0].port == 30000


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_random_descriptions_raise_nothing_else(noise: bytes) -> None:
    for body in (
        noise,
        sdp()[:-2] + noise,
        b"v=0\r\no=- 1 1 IN IP4 h\r\nc=IN IP4 h\r\nm=audio 9 RTP/AVP 0\r\na=" + noise,
    ):
        try:
            session(srtp=Srtp.OPTIONAL, codecs=tuple(CODECS)).answer(parse_sdp(body))
        except (SdpError, MediaNotAcceptable):
            continue


DIRECTIONS = st.sampled_from(list(Direction))


@given(
    st.lists(st.sampled_from(list(CODECS)), min_size=1, unique=True),
    st.lists(st.sampled_from(list(CODECS)), min_size=1, unique=True),
    DIRECTIONS,
    DIRECTIONS,
    st.sampled_from(list(Srtp)),
    st.sampled_from(list(Srtp)),
)
@settings(max_examples=200, deadline=None)
def test_both_sides_agree_on_the_same(
    offered: list[str], known: list[str], one: Direction, other: Direction, policy: Srtp, counter: Srtp
) -> None:
    """RFC 3264: what one side sends is what the other receives, or both see that there is nothing in common."""
    caller = session(codecs=tuple(offered), direction=one, srtp=policy)
    callee = MediaSession(
        LocalMedia("192.0.2.2", 4000, tuple(known), direction=other, srtp=counter), 5, bytes
    )
    try:
        body, theirs = callee.answer(parse_sdp(caller.offer()))
    except MediaNotAcceptable:
        alien = not set(offered) & set(known)
        assert alien or Srtp.REQUIRED in (policy, counter)
        return
    ours = caller.take_answer(parse_sdp(body))
    assert ours.codec == theirs.codec
    assert ours.direction is theirs.direction.mirrored
    assert (ours.send_payload_type, ours.receive_payload_type) == (
        theirs.receive_payload_type,
        theirs.send_payload_type,
    )
    assert (ours.dtmf_send_type, ours.dtmf_receive_type) == (theirs.dtmf_receive_type, theirs.dtmf_send_type)
    assert (ours.send_key, ours.receive_key) == (theirs.receive_key, theirs.send_key)


def test_attributes_of_a_section_stay_with_it() -> None:
    line = MediaDescription("audio", 1, "RTP/AVP", ("0", "200", "x"), "", (("rtpmap", "0 PCMU/0"),))
    assert [payload.name for payload in line.payload_types] == ["PCMU"]


def test_a_peer_that_answers_with_several_codecs_may_use_each() -> None:
    """RFC 3264 section 7: no new offer is needed to change between the formats of the answer."""
    media = session(codecs=("G722", "PCMA", "PCMU", "OPUS"))
    media.offer()
    agreed = media.take_answer(parse_sdp(sdp(formats="8 0 9 96 101", extra="a=rtpmap:96 opus/48000/2\r\n")))
    assert (agreed.codec, agreed.receive_payload_type) == ("PCMA", 8)
    # Opus by the number of our offer, as the standard has it, and by the peer's own, as some telephones do.
    assert agreed.also_received == ((0, "PCMU"), (9, "G722"), (96, "OPUS"), (107, "OPUS"))
    assert answered(sdp(formats="8 0"))[1].also_received == ()


def test_a_later_offer_may_move_telephone_events_to_another_number() -> None:
    """RFC 3264 section 8.3.2: what the peer sends has the numbers of our answer, which are those of its offer."""
    media = session()
    media.offer()
    assert media.take_answer(parse_sdp(sdp())).dtmf_receive_type == 101
    moved = sdp(formats="0 96", version=2).replace(b"rtpmap:101", b"rtpmap:96")
    answer, agreed = media.answer(parse_sdp(moved))
    assert b"a=rtpmap:96 telephone-event/8000" in answer
    assert (agreed.dtmf_send_type, agreed.dtmf_receive_type) == (96, 96)


@pytest.mark.parametrize(
    "way", ["IP4 phone.example.com", "IP6 2001:db8::9", "IP4 224.2.1.1/127", "IP4 999.1.1.1"]
)
def test_media_goes_to_ip_addresses_of_our_kind_only(way: str) -> None:
    """RFC 8866 section 5.7 also allows names: one that is still there could not be looked up."""
    body = sdp().replace(b"c=IN IP4 192.0.2.9", f"c=IN {way}".encode())
    with pytest.raises(MediaNotAcceptable, match="address"):
        session().answer(parse_sdp(body))
    media = session()
    media.offer()
    with pytest.raises(MediaNotAcceptable, match="address"):
        media.take_answer(parse_sdp(body))


def test_a_repeated_description_is_told_from_a_new_one() -> None:
    """RFC 3264 section 8: the version of `o=` goes up when something changes, be it only the way of the packets."""
    media = session()
    rounds = [media.answer(parse_sdp(sdp(version=version)))[1].round for version in (1, 1, 2, 2)]
    assert rounds == [1, 1, 2, 2]


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ("", 20),
        ("a=maxptime:10\r\n", 10),
        ("a=ptime:40\r\na=maxptime:30\r\n", 30),
        ("a=maxptime:150\r\n", 20),
    ],
)
def test_packets_are_as_long_as_the_peer_wishes_and_may_take(lines: str, wanted: int) -> None:
    """RFC 8866 sections 6.4 and 6.5."""
    assert session().answer(parse_sdp(sdp(extra=lines)))[1].ptime == wanted


def test_audio_that_is_taken_away_is_a_hold_until_it_comes_back() -> None:
    """RFC 3264 sections 6 and 8.2: port 0 is answered with port 0; only at the beginning of a call it is nothing in common."""
    media = session()
    media.answer(parse_sdp(sdp()))
    answer, agreed = media.answer(parse_sdp(sdp(port=0, version=2)))
    assert parse_sdp(answer).media[0].port == 0
    assert (agreed.on_hold, agreed.direction, agreed.port) == (True, Direction.INACTIVE, 0)
    media.offer()  # a refresh of ours
    assert media.take_answer(parse_sdp(sdp(port=0, version=2))).on_hold
    answer, agreed = media.answer(parse_sdp(sdp(version=3)))
    assert parse_sdp(answer).media[0].port == 20000
    assert (agreed.on_hold, agreed.direction, agreed.port) == (False, Direction.SENDRECV, 30000)
    with pytest.raises(MediaNotAcceptable, match="no audio"):
        media.answer(
            parse_sdp(
                sdp().replace(b"m=audio 30000 RTP/AVP", b"m=image 30000 udptl").replace(b" 0 8 101", b" t38")
            )
        )


def test_reports_share_the_port_where_the_peer_wishes_it() -> None:
    """RFC 5761 sections 4 and 5.1.1: never offered by us, taken when offered, and kept in later offers."""
    media = session()
    assert b"rtcp-mux" not in media.offer()
    media = session()
    answer, agreed = media.answer(parse_sdp(sdp(extra="a=rtcp-mux\r\n")))
    assert agreed.rtcp_mux
    assert parse_sdp(answer).media[0].has("rtcp-mux")
    assert parse_sdp(media.offer()).media[0].has("rtcp-mux")
    assert not media.take_answer(parse_sdp(sdp(version=2))).rtcp_mux
    answer, agreed = media.answer(parse_sdp(sdp(version=3)))
    assert b"rtcp-mux" not in answer
    assert not agreed.rtcp_mux


def test_payload_types_that_look_like_reports_keep_ports_apart() -> None:
    """RFC 5761 section 4: 64 to 95 must not be used on a shared port."""
    body = sdp(formats="0 72", extra="a=rtcp-mux\r\na=rtpmap:72 PCMA/8000\r\n")
    answer, agreed = session().answer(parse_sdp(body))
    assert b"rtcp-mux" not in answer
    assert not agreed.rtcp_mux


def test_an_answer_cannot_ask_for_what_was_not_offered() -> None:
    """RFC 5761 section 5.1.1."""
    media = session()
    media.offer()
    assert not media.take_answer(parse_sdp(sdp(extra="a=rtcp-mux\r\n"))).rtcp_mux
