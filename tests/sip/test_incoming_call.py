"""Calls that come in: RFC 3261 sections 8.2, 9.2, 12, 13.3 and 15; RFC 3262; RFC 3581; RFC 4028; RFC 4475."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from antiphon.sip.errors import BadRequest, CallStateError, ParseError, UnsafeValue
from antiphon.sip.events import Answered, DigitReceived, EndCause, Ended, IncomingCall, MediaChanged
from antiphon.sip.message import Request, Response, parse_message
from antiphon.sip.offer_answer import LocalMedia
from antiphon.sip.sdp import parse_sdp
from support.sip_wire import MEDIA, PEER, Caller, Wire, respond, sdp

CORPUS = Path(__file__).parent / "rfc4475"


def ringing() -> tuple[Wire, Caller, int]:
    wire = Wire()
    caller = Caller(wire)
    caller.invite()
    (event,) = wire.happened()
    return wire, caller, event.call


def established(**options: object) -> tuple[Wire, Caller, int]:
    wire = Wire(options=dict(options))
    caller = Caller(wire)
    return wire, caller, caller.establish()


# -- setting up -----------------------------------------------------------------------------------------------------------------


def test_an_invite_is_confirmed_with_100_and_reported() -> None:
    """RFC 3261 sections 8.2.6.1 and 13.3.1.1."""
    wire = Wire()
    trying = Caller(wire).invite(P_Asserted_Identity="<tel:+4930123>")
    assert (trying.status, trying.to.tag) == (100, "")
    (event,) = wire.happened()
    assert isinstance(event, IncomingCall)
    assert event.from_.uri.number == "peer"
    assert event.headers.get("P-Asserted-Identity") == "<tel:+4930123>"
    assert event.offer is not None


def test_ringing_and_answering_share_a_tag_and_carry_what_a_dialog_needs() -> None:
    """RFC 3261 sections 12.1.1 and 13.3.1.4."""
    wire, caller, call = ringing()
    wire.perform(wire.ua.ring(call, wire.now))
    wire.perform(wire.ua.answer(call, MEDIA, wire.now))
    ring, answer = wire.take()
    assert isinstance(ring, Response)
    assert isinstance(answer, Response)
    assert (ring.status, answer.status) == (180, 200)
    assert ring.to.tag == answer.to.tag != ""
    assert answer.headers.get("Contact") == "<sip:bank@192.0.2.1:5060>"
    assert "INVITE" in (answer.headers.get("Allow") or "")
    parse_sdp(answer.body)
    caller.learn_tag(answer)
    caller.send("ACK")
    assert Answered(call) in wire.happened()


def test_responses_go_back_to_where_the_request_came_from() -> None:
    """RFC 3581 section 4: received and rport."""
    wire = Wire()
    request = Caller(wire).request("OPTIONS")
    request.headers.set("Via", "SIP/2.0/UDP 10.0.0.1:5099;branch=z9hG4bKnat;rport")
    wire.receive(request, host="198.51.100.7", port=41000)
    ((_, send, response),) = wire.sent
    assert (send.hop.host, send.hop.port) == ("198.51.100.7", 41000)
    assert response.via.params["received"] == "198.51.100.7"
    assert response.via.params["rport"] == "41000"


def test_without_rport_responses_go_to_the_port_of_via() -> None:
    """RFC 3261 section 18.2.2."""
    wire = Wire()
    request = Caller(wire).request("OPTIONS")
    request.headers.set("Via", "SIP/2.0/UDP 10.0.0.1:5099;branch=z9hG4bKnat")
    wire.receive(request, host="198.51.100.7", port=41000)
    assert (wire.sent[0][1].hop.host, wire.sent[0][1].hop.port) == ("198.51.100.7", 5099)


def test_the_2xx_is_sent_again_until_its_ack_comes() -> None:
    """RFC 3261 section 13.3.1.4."""
    wire, caller, call = ringing()
    wire.perform(wire.ua.answer(call, MEDIA, wire.now))
    answer = wire.sent[-1][2]
    wire.run(8.0)
    assert [at for at, _, m in wire.sent if isinstance(m, Response) and m.status == 200] == [
        0,
        0.5,
        1.5,
        3.5,
        7.5,
    ]
    wire.take()
    caller.learn_tag(answer)
    caller.send("ACK")
    wire.run(20)
    assert wire.take() == []
    assert Answered(call) in wire.happened()


def test_a_2xx_that_is_never_acknowledged_ends_in_a_bye() -> None:
    """RFC 3261 section 13.3.1.4: after 64 T1."""
    wire, _, call = ringing()
    wire.perform(wire.ua.answer(call, MEDIA, wire.now))
    wire.run(40)
    assert "BYE" in [request.method for request in wire.requests()]
    assert wire.happened()[-1] == Ended(call, EndCause.NOT_ACKNOWLEDGED, "our answer was never acknowledged")


def test_an_ack_that_repeats_the_branch_of_the_invite_is_one_all_the_same() -> None:
    """RFC 3261 section 17.2.3: peers of RFC 2543, and careless ones."""
    wire, caller, call = ringing()
    wire.perform(wire.ua.answer(call, MEDIA, wire.now))
    caller.learn_tag(wire.take()[-1])
    wire.receive(caller.request("ACK", cseq=1, branch=caller.invite_branch))
    assert Answered(call) in wire.happened()
    wire.run(20)
    assert wire.take() == []


def test_an_ack_with_another_number_acknowledges_nothing() -> None:
    """RFC 3261 section 17.1.1.3: the CSeq is that of the INVITE."""
    wire, caller, call = ringing()
    wire.perform(wire.ua.answer(call, MEDIA, wire.now))
    caller.learn_tag(wire.take()[-1])
    caller.send("ACK", cseq=7)
    caller.send("ACK", cseq=1, host="203.0.113.66")
    assert Answered(call) not in wire.happened()


def test_hanging_up_before_the_ack_waits_for_it() -> None:
    """RFC 3261 section 15: the callee sends no BYE before the ACK."""
    wire, caller, call = ringing()
    wire.perform(wire.ua.answer(call, MEDIA, wire.now))
    caller.learn_tag(wire.take()[-1])
    wire.perform(wire.ua.hang_up(call, wire.now))
    assert wire.requests() == []
    assert [message.method for message in caller.send("ACK")] == ["BYE"]
    ended = [event for event in wire.happened() if isinstance(event, Ended)]
    assert ended == [Ended(call, EndCause.LOCAL)]


def test_a_repeated_invite_is_answered_by_the_transaction() -> None:
    """RFC 3261 section 17.2.1."""
    wire, caller, call = ringing()
    wire.perform(wire.ua.ring(call, wire.now))
    wire.take()
    wire.receive(caller.request("INVITE", sdp(), cseq=1, branch=caller.invite_branch))
    assert wire.statuses() == [180]
    assert wire.happened() == []


def test_a_merged_request_gets_482() -> None:
    """RFC 3261 section 8.2.2.2."""
    wire, caller, _ = ringing()
    wire.receive(caller.request("INVITE", sdp(), cseq=1))
    assert wire.statuses() == [482]


@pytest.mark.parametrize(("code", "wanted"), [(480, 480), (486, 486), (503, 503), (603, 603)])
def test_a_call_is_refused(code: int, wanted: int) -> None:
    """RFC 3261 section 13.3.1.3; the final response is sent until its ACK."""
    wire, caller, call = ringing()
    wire.perform(wire.ua.hang_up(call, wire.now, code=code, headers={"Retry-After": "5"}))
    wire.run(0.6)
    assert wire.statuses() == [wanted, wanted]
    wire.receive(caller.request("ACK", cseq=1, branch=caller.invite_branch))
    wire.run(10)
    assert wire.statuses() == []
    assert wire.happened() == [Ended(call, EndCause.LOCAL)]
    assert wire.ua.calls == []


def test_an_offer_without_a_common_codec_gets_488_with_a_warning() -> None:
    """RFC 3261 section 13.3.1.3, RFC 3264 section 6."""
    wire = Wire()
    Caller(wire).invite(sdp(formats="18"))
    call = wire.happened()[-1].call
    wire.perform(wire.ua.answer(call, MEDIA, wire.now))
    (refusal,) = wire.take()
    assert isinstance(refusal, Response)
    assert refusal.status == 488
    assert "305" in (refusal.headers.get("Warning") or "")
    assert wire.happened()[-1].cause is EndCause.MEDIA_REFUSED


def test_an_invite_without_an_offer_gets_one_and_the_ack_answers_it() -> None:
    """RFC 3261 section 13.2.1, RFC 3264 section 5: delayed offer."""
    wire = Wire()
    caller = Caller(wire)
    caller.invite(b"")
    call = wire.happened()[-1].call
    wire.perform(wire.ua.answer(call, MEDIA, wire.now))
    (answer,) = wire.take()
    assert parse_sdp(answer.body).media[0].port == 20000
    assert wire.happened() == []
    caller.learn_tag(answer)
    caller.send("ACK", sdp(formats="8 101"))
    media, up = wire.happened()
    assert isinstance(media, MediaChanged)
    assert media.media.codec == "PCMA"
    assert up == Answered(call)


def test_a_delayed_offer_without_an_answer_ends_the_call() -> None:
    """RFC 3261 section 13.2.1: the answer has to be in the ACK."""
    wire = Wire()
    caller = Caller(wire)
    caller.invite(b"")
    call = wire.happened()[-1].call
    wire.perform(wire.ua.answer(call, MEDIA, wire.now))
    caller.learn_tag(wire.take()[-1])
    assert [message.method for message in caller.send("ACK")] == ["BYE"]
    assert wire.happened()[-1].cause is EndCause.MEDIA_REFUSED


def test_early_media() -> None:
    """RFC 3960 section 3.1: a 183 with the answer; the 200 repeats it."""
    wire, _, call = ringing()
    wire.perform(wire.ua.ring(call, wire.now, code=183, media=MEDIA))
    wire.perform(wire.ua.answer(call, MEDIA, wire.now))
    progress, answer = wire.take()
    assert isinstance(progress, Response)
    assert progress.status == 183
    assert progress.body == answer.body != b""


def test_a_description_within_a_multipart_body_is_found() -> None:
    """RFC 5621 section 3.1: carriers send ISUP beside it."""
    wire = Wire()
    body = b"--x\r\nContent-Type: application/isup\r\n\r\n\x01\x02\r\n--x\r\nContent-Type: application/sdp\r\n\r\n"
    body += sdp() + b"\r\n--x--\r\n"
    Caller(wire).invite(body, content_type='multipart/mixed;boundary="x"')
    (event,) = wire.happened()
    assert event.offer is not None
    assert event.offer.media[0].port == 30000


def test_ringing_is_repeated_every_minute() -> None:
    """RFC 3261 section 13.3.1.1: or proxies would take the call back."""
    wire, _, call = ringing()
    wire.perform(wire.ua.ring(call, wire.now))
    wire.run(130)
    assert wire.statuses() == [180, 180, 180]
    wire.perform(wire.ua.hang_up(call, wire.now))
    assert 180 not in wire.statuses()


def test_timestamp_is_repeated_in_the_100() -> None:
    """RFC 3261 section 8.2.6.1."""
    assert Caller(Wire()).invite(Timestamp="54.2").headers.get("Timestamp") == "54.2"


# -- cancelling -----------------------------------------------------------------------------------------------------------------


def test_cancel_gets_200_and_the_invite_487() -> None:
    """RFC 3261 section 9.2."""
    wire, caller, call = ringing()
    wire.receive(caller.request("CANCEL", cseq=1, branch=caller.invite_branch))
    assert wire.statuses() == [200, 487]
    assert wire.happened() == [Ended(call, EndCause.CANCELLED, "")]
    wire.receive(caller.request("CANCEL", cseq=1, branch=caller.invite_branch))
    assert 200 in wire.statuses()


def test_cancel_that_matches_nothing_gets_481() -> None:
    """RFC 3261 section 9.2."""
    wire = Wire()
    Caller(wire).send("CANCEL", cseq=1)
    wire2, caller, _ = ringing()
    wire2.receive(caller.request("CANCEL", cseq=1, branch="z9hG4bKother"))
    assert wire2.statuses() == [481]


def test_cancel_after_the_answer_changes_nothing() -> None:
    """RFC 3261 section 9.2."""
    wire, caller, call = ringing()
    wire.perform(wire.ua.answer(call, MEDIA, wire.now))
    wire.take()
    wire.receive(caller.request("CANCEL", cseq=1, branch=caller.invite_branch))
    assert wire.statuses() == [200]
    assert call in wire.ua.calls


def test_a_cancel_from_elsewhere_is_none() -> None:
    """Specification: a spoofed CANCEL must match the source."""
    wire, caller, call = ringing()
    wire.receive(caller.request("CANCEL", cseq=1, branch=caller.invite_branch), host="203.0.113.66")
    assert wire.statuses() == [481]
    assert call in wire.ua.calls


# -- requests that are answered with a fault -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "options", "status", "field", "contains"),
    [
        ("REGISTER", {}, 405, "Allow", "INVITE"),
        ("SUBSCRIBE", {}, 405, "Allow", "BYE"),
        ("NEWMETHOD", {}, 405, "Allow", "OPTIONS"),
        ("INVITE", {"body": b"x", "content_type": "application/unknown"}, 415, "Accept", "application/sdp"),
        ("INVITE", {"body": b"x", "Content_Encoding": "gzip"}, 415, "Accept-Encoding", "identity"),
        ("INVITE", {"body": sdp(), "Accept": "text/plain"}, 406, "", ""),
        ("INVITE", {"Require": "gruu, precondition"}, 420, "Unsupported", "gruu, precondition"),
        ("INVITE", {"body": b"nonsense"}, 400, "", ""),
        ("INVITE", {"uri": "im:bank@192.0.2.1"}, 416, "", ""),
        ("INVITE", {"Supported": "timer", "Session_Expires": "60"}, 422, "Min-SE", "90"),
        ("INVITE", {"Contact": "<tel:+123>"}, 400, "", ""),
        ("BYE", {}, 481, "", ""),
        ("UPDATE", {}, 481, "", ""),
        ("INFO", {}, 481, "", ""),
        ("PRACK", {"RAck": "1 1 INVITE"}, 481, "", ""),
        ("NOTIFY", {"Event": "refer"}, 481, "", ""),
    ],
)
def test_faults_outside_of_dialogs(
    method: str, options: dict[str, object], status: int, field: str, contains: str
) -> None:
    """RFC 3261 sections 8.2.1 to 8.2.3 and 12.2.2; RFC 4028 section 9."""
    wire = Wire()
    replies = Caller(wire).send(method, **options)
    last = replies[-1]
    assert isinstance(last, Response)
    assert last.status == status
    assert contains in (last.headers.get(field) or "") if field else True
    assert wire.ua.calls == []


def test_requests_for_an_unknown_dialog_get_481() -> None:
    """RFC 3261 section 12.2.2."""
    wire = Wire()
    caller = Caller(wire, to_tag="nobody")
    for method in ("INVITE", "BYE", "OPTIONS", "INFO"):
        assert [m.status for m in caller.send(method) if isinstance(m, Response)] == [481]
    assert caller.send("ACK") == []


def test_options_says_what_is_there_and_nothing_else() -> None:
    """RFC 3261 section 11.2."""
    wire = Wire()
    (answer,) = Caller(wire).send("OPTIONS")
    assert isinstance(answer, Response)
    assert answer.status == 200
    allowed = [name.strip() for name in (answer.headers.get("Allow") or "").split(",")]
    assert set(allowed) == {"INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "UPDATE", "PRACK", "INFO", "NOTIFY"}
    assert answer.headers.tokens("Supported") == {"100rel", "timer"}
    assert "application/sdp" in (answer.headers.get("Accept") or "")


def test_an_endpoint_takes_a_request_whose_max_forwards_is_zero() -> None:
    """RFC 4475 section 3.3.11; RFC 3261 section 8.2: only proxies answer 483."""
    wire = Wire()
    (answer,) = Caller(wire).send("OPTIONS", Max_Forwards="0")
    assert isinstance(answer, Response)
    assert answer.status == 200


def test_strangers_hear_nothing() -> None:
    """Specification, guard rails: requests of sources that may only answer get no reply outside of a call."""
    wire = Wire()
    caller = Caller(wire)
    for method in ("INVITE", "OPTIONS", "REGISTER", "BYE", "CANCEL"):
        wire.receive(caller.request(method, cseq=1), may_begin=False)
    with pytest.raises(BadRequest) as bad:
        parse_message((CORPUS / "TC_NCL_I.dat").read_bytes())
    wire.perform(wire.ua.receive_bad(bad.value, wire.source(may_begin=False), 0.0))
    assert wire.take() == []
    assert wire.happened() == []


STATUS_OF = {
    "TC_BADBRANCH_V.dat": 200, "TC_INSUF_I.dat": 400, "TC_UNKSCM_V.dat": 416, "TC_NOVELSC_V.dat": 416,
    "TC_UNKSM2_V.dat": 405, "TC_BEXT01_V.dat": 420, "TC_INVUT_V.dat": 415, "TC_REGAUT01_V.dat": 405,
    "TC_MULTI01_I.dat": 400, "TC_MCL01_I.dat": 400, "TC_ZEROMF_V.dat": 200, "TC_SEMIURI_V.dat": 200,
    "TC_TRANSPORTS_V.dat": 200, "TC_INTMETH.dat": 405, "TC_LWSDISP_V.dat": 200, "TC_MPART01.dat": 405,
    "TC_SDP01_V.dat": 406, "TC_ESC01_V.dat": 100, "TC_BCAST_V.dat": 0, "TC_NOREASON_V.dat": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    "row", json.loads((CORPUS / "verdicts.json").read_text()), ids=lambda row: row["file"]
)
def test_rfc4475_messages_get_the_right_response(row: dict[str, str]) -> None:
    """RFC 4475 section 3: what a user agent answers, 0 being nothing."""
    wire = Wire()
    try:
        message = parse_message((CORPUS / row["file"]).read_bytes())
    except BadRequest as fault:
        wire.perform(wire.ua.receive_bad(fault, wire.source(), 0.0))
        assert row["verdict"] == "reject"
    except ParseError:
        assert row["verdict"] == "reject"
    else:
        wire.perform(wire.ua.receive(message, wire.source(), 0.0))
        statuses = [*wire.statuses(), 0]
        assert statuses[0] == STATUS_OF.get(row["file"], statuses[0])


# -- in the dialog --------------------------------------------------------------------------------------------------------------


def test_the_peer_hangs_up() -> None:
    """RFC 3261 section 15.1.2."""
    wire, caller, call = established()
    (answer,) = caller.send("BYE", Reason="Q.850;cause=16")
    assert isinstance(answer, Response)
    assert answer.status == 200
    assert wire.happened() == [Ended(call, EndCause.PEER_HUNG_UP, "Q.850;cause=16")]
    assert [m.status for m in caller.send("INFO") if isinstance(m, Response)] == [481]


def test_we_hang_up() -> None:
    """RFC 3261 section 15.1.1: BYE to the Contact, tags swapped, sent until it is answered."""
    wire, caller, call = established()
    wire.perform(wire.ua.hang_up(call, wire.now, reason="Q.850;cause=16"))
    (bye,) = wire.requests()
    assert (bye.method, str(bye.uri), bye.from_.tag, bye.to.tag) == (
        "BYE",
        f"sip:peer@{PEER}",
        caller.to_tag,
        "peer",
    )
    assert bye.headers.get("Reason") == "Q.850;cause=16"
    wire.run(0.6)
    assert [again.method for again in wire.requests()] == ["BYE"]
    assert not wire.ua.is_idle
    wire.receive(respond(bye, 200))
    assert wire.happened() == [Ended(call, EndCause.LOCAL)]
    assert wire.ua.is_idle


def test_both_hang_up_at_once() -> None:
    """RFC 3261 section 15: each BYE gets its 200."""
    wire, caller, call = established()
    wire.perform(wire.ua.hang_up(call, wire.now))
    (bye,) = wire.requests()
    assert [m.status for m in caller.send("BYE") if isinstance(m, Response)] == [200]
    wire.receive(respond(bye, 481))
    assert [type(event) for event in wire.happened()] == [Ended]
    assert wire.ua.calls == []


def test_a_bye_that_nobody_answers_ends_the_call_all_the_same() -> None:
    """RFC 3261 section 15.1.1."""
    wire, _, call = established()
    wire.perform(wire.ua.hang_up(call, wire.now))
    wire.run(40)
    assert wire.ua.calls == []
    assert wire.ua.is_idle


@pytest.mark.parametrize("host", ["203.0.113.66", "192.0.2.10"])
def test_spoofed_requests_within_a_dialog_get_481(host: str) -> None:
    """Specification: BYE and re-INVITE must match both tags and the source."""
    wire, caller, call = established()
    for method in ("BYE", "INVITE", "INFO"):
        assert [m.status for m in caller.send(method, host=host) if isinstance(m, Response)] == [481]
    assert call in wire.ua.calls
    for wrong in (Caller(wire, tag="x", to_tag=caller.to_tag), Caller(wire, to_tag="x")):
        assert [m.status for m in wrong.send("BYE") if isinstance(m, Response)] == [481]
    assert call in wire.ua.calls


def test_another_address_of_the_same_trunk_may_speak_for_it() -> None:
    """Specification: carriers send from several addresses."""
    wire = Wire()
    caller = Caller(wire)
    caller.invite(trunk="carrier")
    call = wire.happened()[-1].call
    wire.perform(wire.ua.answer(call, MEDIA, 0.0))
    caller.learn_tag(wire.take()[-1])
    caller.send("ACK", host="192.0.2.77", trunk="carrier")
    assert Answered(call) in wire.happened()
    caller.send("BYE", host="192.0.2.78", trunk="carrier")
    assert wire.happened() == [Ended(call, EndCause.PEER_HUNG_UP, "")]


def test_requests_out_of_order_get_500() -> None:
    """RFC 3261 section 12.2.2."""
    wire, caller, call = established()
    caller.send("INFO", cseq=9)
    assert [m.status for m in caller.send("BYE", cseq=8) if isinstance(m, Response)] == [500]
    assert call in wire.ua.calls


def test_record_route_makes_the_way_back() -> None:
    """RFC 3261 sections 12.1.1 and 12.2.1.1: BYE goes to the proxy, not to the bare Contact."""
    wire = Wire()
    caller = Caller(wire, headers={"Record-Route": "<sip:198.51.100.1;lr>, <sip:198.51.100.2;lr>"})
    call = caller.establish()
    wire.perform(wire.ua.hang_up(call, wire.now))
    _, send, bye = wire.sent[-1]
    assert bye.headers.listed("Route") == ["<sip:198.51.100.1;lr>", "<sip:198.51.100.2;lr>"]
    assert str(bye.uri) == f"sip:peer@{PEER}"  # type: ignore[union-attr]
    assert send.hop.host == "198.51.100.1"


def test_a_strict_router_becomes_the_request_uri() -> None:
    """RFC 3261 section 12.2.1.1."""
    wire = Wire()
    caller = Caller(wire, headers={"Record-Route": "<sip:198.51.100.1>"})
    call = caller.establish()
    wire.perform(wire.ua.hang_up(call, wire.now))
    _, send, bye = wire.sent[-1]
    assert str(bye.uri) == "sip:198.51.100.1"  # type: ignore[union-attr]
    assert bye.headers.listed("Route") == [f"<sip:peer@{PEER}>"]
    assert send.hop.host == "198.51.100.1"


def test_a_reinvite_moves_the_target() -> None:
    """RFC 3261 section 12.2.2: target refresh."""
    wire, caller, call = established()
    caller.send("INVITE", sdp(version=2), Contact=f"<sip:moved@{PEER}:5099>")
    caller.send("ACK")
    wire.perform(wire.ua.hang_up(call, wire.now))
    _, send, bye = wire.sent[-1]
    assert str(bye.uri) == f"sip:moved@{PEER}:5099"  # type: ignore[union-attr]
    assert send.hop.port == 5099


@pytest.mark.parametrize(
    ("body", "kind", "digit", "duration"),
    [
        (b"Signal=5\r\nDuration=160\r\n", "application/dtmf-relay", "5", 0.16),
        (b"Signal= #\nDuration= 250", "application/dtmf-relay", "#", 0.25),
        (b"signal=10", "application/dtmf-relay", "*", 0.25),
        (b"Signal=D", "application/dtmf-relay", "D", 0.25),
        (b"7", "application/dtmf", "7", 0.25),
    ],
)
def test_digits_by_info(body: bytes, kind: str, digit: str, duration: float) -> None:
    """RFC 6086 and the `application/dtmf-relay` of the field."""
    wire, caller, call = established()
    (answer,) = caller.send("INFO", body, content_type=kind)
    assert isinstance(answer, Response)
    assert answer.status == 200
    assert wire.happened() == [DigitReceived(call, digit, duration)]


def test_other_info_bodies_get_415_and_empty_ones_200() -> None:
    """RFC 6086 section 4.2.2."""
    _, caller, _ = established()
    for body, kind, status in (
        (b"x", "application/other", 415),
        (b"", "", 200),
        (b"?", "application/dtmf", 400),
    ):
        assert [
            m.status for m in caller.send("INFO", body, content_type=kind) if isinstance(m, Response)
        ] == [status]


def test_options_within_a_dialog() -> None:
    """RFC 3261 section 11."""
    _, caller, _ = established()
    assert [m.status for m in caller.send("OPTIONS") if isinstance(m, Response)] == [200]


def test_refer_is_declined_unless_enabled() -> None:
    """Specification: REFER in refused with 603 unless enabled."""
    _, caller, _ = established()
    assert [m.status for m in caller.send("REFER", Refer_To="<sip:x@y>") if isinstance(m, Response)] == [603]


# -- reliable provisional responses ----------------------------------------------------------------------------------------------


def reliable_ring(body: bytes | None = None) -> tuple[Wire, Caller, int, Response]:
    wire = Wire()
    caller = Caller(wire)
    caller.invite(body, Require="100rel")
    call = wire.happened()[-1].call
    wire.perform(wire.ua.ring(call, wire.now, code=183, media=MEDIA))
    progress = wire.take()[-1]
    assert isinstance(progress, Response)
    caller.learn_tag(progress)
    return wire, caller, call, progress


def test_a_reliable_183_is_sent_until_its_prack() -> None:
    """RFC 3262 section 3."""
    wire, caller, call, progress = reliable_ring()
    assert progress.headers.tokens("Require") == {"100rel"}
    wire.run(2.0)
    assert wire.statuses() == [183, 183]
    answers = caller.send("PRACK", RAck=f"{progress.headers.get('RSeq')} 1 INVITE")
    assert [m.status for m in answers if isinstance(m, Response)] == [200]
    wire.run(10)
    assert wire.statuses() == []
    wire.perform(wire.ua.answer(call, MEDIA, wire.now))
    assert wire.statuses() == [200]


def test_the_answer_waits_for_the_prack() -> None:
    """RFC 3262 section 3: no 2xx while a reliable response with a description is open."""
    wire, caller, call, progress = reliable_ring()
    wire.perform(wire.ua.answer(call, MEDIA, wire.now))
    assert wire.statuses() == []
    answers = caller.send("PRACK", RAck=f"{progress.headers.get('RSeq')} 1 INVITE")
    assert [m.status for m in answers if isinstance(m, Response)] == [200, 200]


def test_a_prack_that_matches_nothing_gets_481() -> None:
    """RFC 3262 section 3."""
    _, caller, _, progress = reliable_ring()
    rseq = int(progress.headers.get("RSeq") or "0")
    for rack in (f"{rseq + 1} 1 INVITE", f"{rseq} 2 INVITE"):
        assert [m.status for m in caller.send("PRACK", RAck=rack) if isinstance(m, Response)] == [481]


def test_a_reliable_183_that_is_never_acknowledged_ends_the_call() -> None:
    """RFC 3262 section 3: a 5xx after 64 T1."""
    wire, _, _, _ = reliable_ring()
    wire.run(40)
    assert 504 in wire.statuses()
    assert wire.happened()[-1].cause is EndCause.NOT_ACKNOWLEDGED


def test_an_offer_in_a_reliable_183_is_answered_by_the_prack() -> None:
    """RFC 3262 section 5."""
    wire, caller, call, progress = reliable_ring(b"")
    assert progress.body
    caller.send("PRACK", sdp(formats="8 101"), RAck=f"{progress.headers.get('RSeq')} 1 INVITE")
    assert isinstance(wire.happened()[-1], MediaChanged)
    wire.perform(wire.ua.answer(call, MEDIA, wire.now))
    (answer,) = wire.take()
    assert answer.body == b""
    caller.send("ACK", cseq=1)
    assert Answered(call) in wire.happened()


# -- the user's mistakes ---------------------------------------------------------------------------------------------------------


def test_what_cannot_be_done_is_said() -> None:
    wire, _, call = established()
    with pytest.raises(CallStateError):
        wire.ua.answer(call, MEDIA, wire.now)
    with pytest.raises(CallStateError):
        wire.ua.ring(call, wire.now)
    with pytest.raises(CallStateError):
        wire.ua.transfer(99, parse_message(b"OPTIONS sip:a@b SIP/2.0\r\n\r\n").uri, wire.now)  # type: ignore[union-attr]
    with pytest.raises(UnsafeValue):
        wire.ua.send_digit(call, "x", wire.now)
    wire.perform(wire.ua.hang_up(99, wire.now))
    assert wire.take() == []


def test_a_refusal_cannot_carry_header_fields_in_its_phrase() -> None:
    wire, _, call = ringing()
    with pytest.raises(UnsafeValue):
        wire.ua.hang_up(call, wire.now, code=480, phrase="No\r\nX: y")
    with pytest.raises(UnsafeValue):
        wire.ua.ring(call, wire.now, headers={"X": "a\r\nb"})


def test_media_of_one_call_can_be_ipv6() -> None:
    """RFC 8866 section 5.7."""
    wire = Wire()
    caller = Caller(wire)
    caller.invite(sdp(address="2001:db8::9").replace(b"c=IN IP4", b"c=IN IP6"))
    call = wire.happened()[-1].call
    wire.perform(wire.ua.answer(call, LocalMedia("2001:db8::1", 20000), wire.now))
    (answer,) = wire.take()
    assert b"c=IN IP6 2001:db8::1" in answer.body


def test_a_change_without_a_session_timer_ends_the_timer() -> None:
    """RFC 4028 section 9: a 2xx without Session-Expires means that the session does not expire."""
    wire = Wire()
    caller = Caller(wire)
    timer = {"Supported": "timer", "Session_Expires": "90;refresher=uac"}
    call = caller.establish(sdp(), **timer)
    answer = caller.send("INVITE", sdp(version=2))[-1]
    caller.send("ACK")
    assert isinstance(answer, Response)
    assert answer.headers.get("Session-Expires") is None
    wire.run(600)
    assert call in wire.ua.calls


def test_requests_go_by_the_connection_that_the_peer_used_last() -> None:
    """RFC 3261 section 18.1.1: a peer that lost its connection opens another one."""
    wire = Wire(transport="TCP")
    caller = Caller(wire)
    call = caller.establish()
    request = caller.request("INFO")
    source = replace(wire.source(), connection=8)
    wire.perform(wire.ua.receive(parse_message(request.to_bytes()), source, wire.now))
    wire.take()
    wire.perform(wire.ua.hang_up(call, wire.now))
    (_, send, bye) = wire.sent[-1]
    assert isinstance(bye, Request)
    assert (bye.method, send.hop.connection) == ("BYE", 8)


def test_a_reliable_ringing_of_a_call_without_an_offer_carries_ours() -> None:
    """RFC 3262 section 5: the first reliable response must, and the PRACK answers it."""
    wire = Wire()
    caller = Caller(wire)
    caller.invite(b"", Require="100rel")
    call = wire.happened()[-1].call
    wire.perform(wire.ua.ring(call, wire.now, media=MEDIA))
    (ringing,) = wire.take()
    assert isinstance(ringing, Response)
    assert b"m=audio" in ringing.body
    caller.learn_tag(ringing)
    caller.send("PRACK", sdp(), RAck=f"{ringing.headers.get('RSeq')} 1 INVITE")
    assert [type(event) for event in wire.happened()] == [MediaChanged]
    wire.perform(wire.ua.answer(call, MEDIA, wire.now))
    (answer,) = wire.take()
    assert not answer.body


def test_an_invitation_that_expires_before_the_answer_is_over() -> None:
    """RFC 3261 section 13.3.1."""
    wire = Wire()
    caller = Caller(wire)
    caller.invite(Expires="5")
    wire.happened()
    wire.run(5.1)
    assert wire.statuses()[0] == 487
    assert [type(event) for event in wire.happened()] == [Ended]
    answered = Caller(wire, call_id="call-2")
    call = answered.establish(sdp(), Expires="5")
    wire.run(60)
    assert call in wire.ua.calls
