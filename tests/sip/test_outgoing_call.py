"""Calls that we place: RFC 3261 sections 9.1, 13.2, 14.1 and 22; RFC 3262 section 4; RFC 3515; RFC 4028; RFC 6026."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.sip.call import CallRequest
from antiphon.sip.digest import Credentials
from antiphon.sip.effects import Hop
from antiphon.sip.errors import UnsafeValue
from antiphon.sip.events import (
    Answered,
    EndCause,
    Ended,
    MediaChanged,
    MediaChangeRefused,
    PingAnswered,
    Progress,
    Rejected,
    TransferProgress,
    TransferRejected,
    TransferRequested,
    TransferSucceeded,
)
from antiphon.sip.headers import NameAddr
from antiphon.sip.message import Request, Response
from antiphon.sip.sdp import Direction, parse_sdp
from antiphon.sip.uri import address_uri
from support.sip_wire import MEDIA, PEER, Caller, Wire, respond, sdp

TARGET = address_uri(f"sip:+4930123@{PEER}")
ME = NameAddr(address_uri("sip:+4989456@example.com"), "Bank")


def call_request(**changes: Any) -> CallRequest:
    return CallRequest(**{"target": TARGET, "from_": ME, "media": MEDIA, **changes})


def dialling(options: dict[str, Any] | None = None, **changes: Any) -> tuple[Wire, int, Request]:
    wire = Wire(options=options or {})
    call, effects = wire.ua.place_call(call_request(**changes), wire.now)
    wire.perform(effects)
    (invite,) = wire.requests()
    return wire, call, invite


def established(options: dict[str, Any] | None = None, **answer: str) -> tuple[Wire, int, Request]:
    wire, call, invite = dialling(options)
    wire.receive(respond(invite, 200, sdp(), **answer))
    wire.take()
    wire.happened()
    return wire, call, invite


def peer_request(wire: Wire, invite: Request, method: str, body: bytes = b"", **options: Any) -> list[int]:
    """A request of the callee's within the dialog; returns the statuses it gets."""
    callee = Caller(wire, call_id=invite.call_id, tag="callee", to_tag=invite.from_.tag)
    callee.cseq = wire.__dict__.setdefault("peer_cseq", 0)
    message = callee.request(method, body, **options)
    wire.__dict__["peer_cseq"] = callee.cseq
    wire.receive(message)
    return wire.statuses()


# -- setting up -----------------------------------------------------------------------------------------------------------------


def test_the_invite_has_what_it_must() -> None:
    """RFC 3261 section 8.1.1."""
    _, _, invite = dialling(headers={"X-Account": "42"})
    assert str(invite.uri) == f"sip:+4930123@{PEER}"
    assert str(invite.to.uri) == str(invite.uri)
    assert invite.to.tag == ""
    assert invite.from_.display == "Bank"
    assert invite.from_.tag
    assert invite.via.branch.startswith("z9hG4bK")
    assert "rport" in invite.via.params
    assert invite.headers.get("Max-Forwards") == "70"
    assert invite.headers.get("Contact") == "<sip:+4989456@192.0.2.1:5060>"
    assert invite.headers.get("X-Account") == "42"
    assert invite.headers.tokens("Supported") == {"100rel", "timer"}
    assert parse_sdp(invite.body).media[0].formats == ("0", "8", "101")


def test_a_call_goes_to_the_trunk_and_through_its_routes() -> None:
    """RFC 3261 section 8.1.2: an outbound proxy."""
    wire = Wire()
    wanted = call_request(
        hop=Hop("TCP", "sip.carrier.example", 5070), routes=("<sip:edge.carrier.example;lr>",)
    )
    _, effects = wire.ua.place_call(wanted, 0.0)
    wire.perform(effects)
    _, send, invite = wire.sent[0]
    assert (send.hop.host, send.hop.port, send.hop.transport) == ("sip.carrier.example", 5070, "TCP")
    assert invite.headers.get("Route") == "<sip:edge.carrier.example;lr>"
    assert invite.via.transport == "TCP"
    assert "transport=tcp" in (invite.headers.get("Contact") or "")


@pytest.mark.parametrize(
    "changes",
    [
        {"headers": {"X-Evil": "a\r\nX: y"}},
        {"headers": {"X\r\nY": "a"}},
        {"headers": {"From": "<sip:other@example.com>"}},
        {"headers": {"Contact": "<sip:other@example.com>"}},
        {"routes": ("<sip:a>\r\nX: y",)},
        {"target": address_uri("tel:+4930123")},
        {"target": address_uri("sip:a@b;transport=sctp")},
    ],
)
def test_what_would_break_a_message_is_refused_before_anything_is_sent(changes: dict[str, Any]) -> None:
    """Specification: CR, LF and NUL refused in every user-supplied header, number and URI."""
    wire = Wire()
    with pytest.raises(UnsafeValue):
        wire.ua.place_call(call_request(**changes), 0.0)
    assert wire.ua.calls == []


def test_a_call_is_answered_and_acknowledged() -> None:
    """RFC 3261 section 13.2.2.4."""
    wire, call, invite = dialling()
    wire.receive(respond(invite, 100, tag=""))
    wire.receive(respond(invite, 180))
    wire.receive(respond(invite, 200, sdp()))
    (ack,) = wire.requests()
    assert ack.method == "ACK"
    assert (ack.cseq.number, ack.to.tag, str(ack.uri)) == (1, "callee", f"sip:callee@{PEER}")
    assert ack.via.branch != invite.via.branch
    ring, media, up = wire.happened()
    assert ring == Progress(call, 180, "Ringing")
    assert isinstance(media, MediaChanged)
    assert up == Answered(call)


def test_a_2xx_that_comes_again_is_acknowledged_again() -> None:
    """RFC 3261 section 13.2.2.4."""
    wire, call, invite = established()
    wire.run(10)
    wire.receive(respond(invite, 200, sdp()))
    assert [request.method for request in wire.requests()] == ["ACK"]
    assert wire.happened() == []
    assert call in wire.ua.calls


def test_ack_follows_the_record_route_and_not_the_contact() -> None:
    """RFC 3261 section 12.1.2: the route set is reversed."""
    wire, _, invite = dialling()
    wire.receive(respond(invite, 200, sdp(), Record_Route="<sip:198.51.100.2;lr>, <sip:198.51.100.1;lr>"))
    _, send, ack = wire.sent[0]
    assert ack.headers.listed("Route") == ["<sip:198.51.100.1;lr>", "<sip:198.51.100.2;lr>"]
    assert send.hop.host == "198.51.100.1"


@pytest.mark.parametrize("status", [302, 404, 480, 482, 483, 486, 488, 500, 503, 600, 603])
def test_a_call_that_is_refused(status: int) -> None:
    """RFC 3261 section 13.2.2.3: no redirection is followed."""
    wire, call, invite = dialling()
    wire.receive(respond(invite, status, Retry_After="5"))
    (ack,) = wire.requests()
    assert (ack.method, ack.via.branch) == ("ACK", invite.via.branch)
    (event,) = wire.happened()
    assert isinstance(event, Rejected)
    assert (event.call, event.code) == (call, status)
    assert event.headers.get("Retry-After") == "5"
    assert wire.ua.calls == []


def test_a_call_that_nobody_answers_is_a_408() -> None:
    """RFC 3261 sections 8.1.3.1 and 17.1.1.2."""
    wire, call, _ = dialling()
    wire.run(33)
    (event,) = wire.happened()
    assert (event.call, event.code) == (call, 408)
    assert wire.ua.is_idle


def test_a_call_that_cannot_be_sent_is_a_503() -> None:
    """RFC 3261 section 8.1.3.1."""
    wire = Wire()
    call, effects = wire.ua.place_call(call_request(), 0.0)
    key = effects[0].key  # type: ignore[union-attr]
    wire.perform(effects)
    wire.perform(wire.ua.transport_failed(key, 0.0))  # type: ignore[arg-type]
    (event,) = wire.happened()
    assert (event.call, event.code) == (call, 503)


def test_a_long_request_goes_by_tcp_and_falls_back() -> None:
    """RFC 3261 section 18.1.1."""
    wire = Wire()
    _, effects = wire.ua.place_call(call_request(headers={"X-Long": "x" * 1200}), 0.0)
    wire.perform(effects)
    _, send, invite = wire.sent.pop()
    assert send.hop.transport == invite.via.transport == "TCP"
    assert send.key is not None
    wire.perform(wire.ua.transport_failed(send.key, 0.0))
    _, send, invite = wire.sent.pop()
    assert send.hop.transport == invite.via.transport == "UDP"
    for later, transport in ((1.0, "UDP"), (700.0, "TCP")):  # nor is each call held up by trying
        _, effects = wire.ua.place_call(call_request(headers={"X-Long": "x" * 1200}), later)
        wire.perform(effects)
        assert wire.sent.pop()[1].hop.transport == transport


def test_delayed_offer() -> None:
    """RFC 3264 section 5: the 2xx offers, the ACK answers."""
    wire, call, invite = dialling(delayed_offer=True)
    assert invite.body == b""
    wire.receive(respond(invite, 200, sdp(formats="8 0 101")))
    (ack,) = wire.requests()
    assert parse_sdp(ack.body).media[0].formats == ("8", "101")
    assert isinstance(wire.happened()[0], MediaChanged)
    assert call in wire.ua.calls


@pytest.mark.parametrize("body", [b"", b"nonsense", sdp(formats="18"), sdp(port=0)])
def test_an_answer_without_usable_media_is_acknowledged_and_ended(body: bytes) -> None:
    """RFC 3261 section 13.2.2.4: if the answer is not acceptable, ACK and BYE."""
    wire, _, invite = dialling()
    wire.receive(respond(invite, 200, body))
    assert [request.method for request in wire.requests()] == ["ACK", "BYE"]
    assert wire.happened()[-1].cause is EndCause.MEDIA_REFUSED


def test_early_media_is_reported_before_the_answer() -> None:
    """RFC 3960: a 183 with a description."""
    wire, call, invite = dialling()
    wire.receive(respond(invite, 183, sdp()))
    media, progress = wire.happened()
    assert isinstance(media, MediaChanged)
    assert progress == Progress(call, 183, "Session Progress")
    wire.receive(respond(invite, 200, sdp()))
    assert wire.happened() == [Answered(call)]


def test_a_2xx_without_a_description_after_early_media_is_fine() -> None:
    """RFC 3261 section 13.2.1: the answer came in the provisional response."""
    wire, call, invite = dialling()
    wire.receive(respond(invite, 183, sdp()))
    wire.receive(respond(invite, 200))
    assert wire.happened()[-1] == Answered(call)


def test_a_session_interval_that_is_too_small_is_raised_once() -> None:
    """RFC 4028 section 7.3."""
    wire, call, invite = dialling({"session_expires": 120})
    assert invite.headers.get("Session-Expires") == "120"
    wire.receive(respond(invite, 422, Min_SE="600"))
    ack, again = wire.requests()
    assert ack.method == "ACK"
    assert (again.headers.get("Session-Expires"), again.headers.get("Min-SE")) == ("600", "600")
    assert again.cseq.number == 2
    wire.receive(respond(again, 200, sdp(), Session_Expires="600;refresher=uac"))
    assert Answered(call) in wire.happened()


# -- forking --------------------------------------------------------------------------------------------------------------------


def test_of_several_2xx_the_first_wins_and_the_others_are_ended() -> None:
    """RFC 3261 section 13.2.2.4."""
    wire, call, invite = dialling()
    wire.receive(respond(invite, 180, tag="one"))
    wire.receive(respond(invite, 180, tag="two"))
    wire.receive(respond(invite, 200, sdp(), tag="two"))
    assert [(r.method, r.to.tag) for r in wire.requests()] == [("ACK", "two")]
    wire.receive(respond(invite, 200, sdp(), tag="one"))
    assert [(r.method, r.to.tag) for r in wire.requests()] == [("ACK", "one"), ("BYE", "one")]
    wire.receive(respond(invite, 200, sdp(), tag="one"))
    assert [(r.method, r.to.tag) for r in wire.requests()] == [("ACK", "one")]
    assert call in wire.ua.calls
    assert [event for event in wire.happened() if isinstance(event, Ended)] == []


def test_the_fork_that_answers_brings_its_own_media() -> None:
    """RFC 3261 section 13.2.1: a 2xx without a description means that of its own dialog's reliable response (RFC 3262 section 5)."""
    wire, _, invite = dialling()
    for tag, port in (("one", 31000), ("two", 32000)):
        wire.receive(respond(invite, 183, sdp(port=port), tag=tag, Require="100rel", RSeq="5"))
    assert [request.to.tag for request in wire.requests()] == ["one", "two"]
    wire.happened()
    wire.receive(respond(invite, 200, tag="one"))
    media, up = wire.happened()
    assert media.media.port == 31000
    assert isinstance(up, Answered)


def test_each_fork_that_rings_has_a_dialog_of_its_own() -> None:
    """RFC 3261 sections 12.1.2 and 12.2.2, RFC 3311 section 5.1: all of them may speak until one answers."""
    wire, _, invite = dialling()
    forks = [Caller(wire, call_id=invite.call_id, tag=tag, to_tag=invite.from_.tag) for tag in ("one", "two")]
    for fork, port in zip(forks, (31000, 32000), strict=True):
        wire.receive(respond(invite, 183, sdp(port=port), tag=fork.tag))
    wire.happened()
    for fork, port in zip(forks, (31500, 32500), strict=True):
        wire.receive(fork.request("UPDATE", sdp(port=port, version=2)))
        wire.receive(fork.request("INFO"))
        assert wire.statuses() == [200, 200]
    assert [event.media.port for event in wire.happened()] == [31500, 32500]
    wire.receive(respond(invite, 200, tag="one"))
    assert [event.media.port for event in wire.happened() if isinstance(event, MediaChanged)] == [31500]
    wire.take()
    wire.receive(forks[1].request("INFO"))
    wire.receive(forks[0].request("INFO"))
    assert wire.statuses() == [481, 200]


# -- cancelling -----------------------------------------------------------------------------------------------------------------


def test_cancel_waits_for_a_provisional_response() -> None:
    """RFC 3261 section 9.1."""
    wire, call, invite = dialling()
    wire.perform(wire.ua.hang_up(call, wire.now))
    assert wire.requests() == []
    wire.receive(respond(invite, 100, tag=""))
    (cancel,) = wire.requests()
    assert (cancel.method, cancel.via.branch, cancel.cseq.number) == ("CANCEL", invite.via.branch, 1)
    wire.receive(respond(cancel, 200))
    wire.receive(respond(invite, 487))
    assert wire.happened() == [Ended(call, EndCause.LOCAL, "")]
    assert wire.ua.calls == []


def test_a_2xx_that_crosses_the_cancel_is_acknowledged_and_ended() -> None:
    """RFC 3261 sections 9.1 and 13.2.2.4."""
    wire, call, invite = dialling()
    wire.receive(respond(invite, 180))
    wire.perform(wire.ua.hang_up(call, wire.now))
    wire.take()
    wire.receive(respond(invite, 200, sdp()))
    assert [request.method for request in wire.requests()] == ["ACK", "BYE"]
    assert [type(event) for event in wire.happened()] == [Progress, Ended]
    wire.receive(respond(invite, 200, sdp()))
    assert [request.method for request in wire.requests()] == ["ACK"]


def test_a_cancelled_invite_that_stays_silent_is_given_up() -> None:
    """RFC 3261 section 9.1: after 64 T1."""
    wire, call, invite = dialling()
    wire.receive(respond(invite, 180))
    wire.perform(wire.ua.hang_up(call, wire.now))
    wire.run(33)
    assert wire.happened()[-1] == Ended(call, EndCause.LOCAL, "the peer never confirmed the cancellation")
    wire.run(40)
    assert wire.ua.is_idle
    assert not wire.timers


# -- reliable provisional responses ----------------------------------------------------------------------------------------------


def test_a_reliable_183_is_acknowledged_once() -> None:
    """RFC 3262 section 4."""
    wire, call, invite = dialling()
    progress = respond(invite, 183, sdp(), Require="100rel", RSeq="17")
    wire.receive(progress)
    (prack,) = wire.requests()
    assert (prack.method, prack.headers.get("RAck"), prack.cseq.number) == ("PRACK", "17 1 INVITE", 2)
    wire.receive(progress)
    assert wire.requests() == []
    wire.receive(respond(invite, 180, Require="100rel", RSeq="19"))
    assert wire.requests() == []
    wire.receive(respond(invite, 180, Require="100rel", RSeq="18"))
    assert [request.method for request in wire.requests()] == ["PRACK"]
    wire.receive(respond(invite, 200, sdp()))
    assert [(r.method, r.cseq.number) for r in wire.requests()] == [("ACK", 1)]
    assert Answered(call) in wire.happened()


def test_an_offer_in_a_reliable_183_is_answered_in_the_prack() -> None:
    """RFC 3262 section 5."""
    wire, _, invite = dialling(delayed_offer=True)
    wire.receive(respond(invite, 183, sdp(), Require="100rel", RSeq="1"))
    (prack,) = wire.requests()
    assert parse_sdp(prack.body).media[0].formats == ("0", "101")
    wire.receive(respond(invite, 200))
    (ack,) = wire.requests()
    assert ack.body == b""


# -- authentication ---------------------------------------------------------------------------------------------------------------

CHALLENGE = 'Digest realm="lab", nonce="{}", qop="auth", algorithm=MD5{}'


def test_a_challenged_invite_is_sent_again_with_credentials() -> None:
    """RFC 3261 section 22.2: same Call-ID and From, the next CSeq, a new branch."""
    wire, call, invite = dialling(credentials=Credentials("user", "secret"))
    wire.receive(respond(invite, 407, Proxy_Authenticate=CHALLENGE.format("n1", "")))
    ack, again = wire.requests()
    assert ack.method == "ACK"
    assert (again.call_id, again.from_, again.cseq.number) == (invite.call_id, invite.from_, 2)
    assert again.via.branch != invite.via.branch
    assert 'username="user"' in (again.headers.get("Proxy-Authorization") or "")
    wire.receive(respond(again, 200, sdp()))
    (ack,) = wire.requests()
    assert ack.cseq.number == 2
    assert ack.headers.get("Proxy-Authorization") == again.headers.get("Proxy-Authorization")
    assert Answered(call) in wire.happened()
    wire.perform(wire.ua.hang_up(call, wire.now))
    (bye,) = wire.requests()
    assert "nc=00000002" in (bye.headers.get("Proxy-Authorization") or "")
    wire.receive(respond(bye, 407, Proxy_Authenticate=CHALLENGE.format("n2", ", stale=true")))
    again, *_ = wire.requests()
    assert again.cseq.number == bye.cseq.number + 1
    assert 'nonce="n2"' in (again.headers.get("Proxy-Authorization") or "")


def test_a_wrong_password_is_refused_at_once() -> None:
    """RFC 3261 section 22.1: no third try with the same credentials."""
    wire, _, invite = dialling(credentials=Credentials("user", "wrong"))
    wire.receive(respond(invite, 401, WWW_Authenticate=CHALLENGE.format("n1", "")))
    _, again = wire.requests()
    wire.receive(respond(again, 401, WWW_Authenticate=CHALLENGE.format("n2", "")))
    assert [request.method for request in wire.requests()] == ["ACK"]
    assert wire.happened()[-1].code == 401


def test_without_credentials_a_challenge_is_a_refusal() -> None:
    """RFC 3261 section 22.2; and credentials of one realm go to no other."""
    for credentials in (None, Credentials("user", "secret", realm="other")):
        wire, _, invite = dialling(credentials=credentials)
        wire.receive(respond(invite, 407, Proxy_Authenticate=CHALLENGE.format("n1", "")))
        assert [request.method for request in wire.requests()] == ["ACK"]
        assert wire.happened()[-1].code == 407


# -- changing media -----------------------------------------------------------------------------------------------------------------


def test_we_hold_and_resume() -> None:
    """RFC 3264 section 8.4, RFC 3261 section 14.1: `sendonly`, the version of `o=` one higher."""
    wire, call, invite = established()
    first = parse_sdp(invite.body)
    wire.perform(wire.ua.hold(call, Direction.SENDONLY, wire.now))
    (hold,) = wire.requests()
    offer = parse_sdp(hold.body)
    assert offer.direction_of(offer.media[0]) is Direction.SENDONLY
    assert int(offer.origin.split()[2]) == int(first.origin.split()[2]) + 1
    assert hold.cseq.number == 2
    wire.receive(respond(hold, 200, sdp(direction="recvonly")))
    assert [request.method for request in wire.requests()] == ["ACK"]
    (held,) = wire.happened()
    assert held.media.direction is Direction.SENDONLY
    assert not held.media.on_hold
    wire.perform(wire.ua.hold(call, Direction.SENDRECV, wire.now))
    (resume,) = wire.requests()
    wire.receive(respond(resume, 200, sdp()))
    assert wire.happened()[-1].media.direction is Direction.SENDRECV


@pytest.mark.parametrize(("inbound", "earliest", "latest"), [(False, 2.1, 4.0), (True, 0.0, 2.0)])
def test_after_491_the_change_is_tried_again(inbound: bool, earliest: float, latest: float) -> None:
    """RFC 3261 section 14.1: the owner of the Call-ID waits longer."""
    if inbound:
        wire = Wire()
        call = Caller(wire).establish()
    else:
        wire, call, _ = established()
    wire.perform(wire.ua.hold(call, Direction.SENDONLY, wire.now))
    (change,) = wire.requests()
    wire.receive(respond(change, 491))
    wire.take()
    wire.run(max(earliest - 0.01, 0))
    assert wire.requests() == []
    wire.run(latest - max(earliest - 0.01, 0) + 0.01)
    (again, *_) = wire.requests()
    assert again.cseq.number == change.cseq.number + 1
    assert again.body == change.body


def test_a_change_of_the_peer_during_ours_gets_491() -> None:
    """RFC 3261 section 14.2: glare."""
    wire, call, invite = established()
    wire.perform(wire.ua.hold(call, Direction.SENDONLY, wire.now))
    wire.take()
    assert peer_request(wire, invite, "INVITE", sdp(version=2)) == [491]
    assert peer_request(wire, invite, "UPDATE", sdp(version=2)) == [491]
    assert peer_request(wire, invite, "UPDATE") == [200]


def test_a_refused_change_leaves_everything_as_it_was() -> None:
    """RFC 3261 section 14.1."""
    wire, call, _ = established()
    wire.perform(wire.ua.hold(call, Direction.INACTIVE, wire.now))
    (change,) = wire.requests()
    wire.receive(respond(change, 488))
    assert wire.happened() == [MediaChangeRefused(call, 488, "Not Acceptable Here")]
    assert call in wire.ua.calls


def test_a_change_that_gets_481_ends_the_call() -> None:
    """RFC 3261 section 12.2.1.2."""
    wire, call, _ = established()
    wire.perform(wire.ua.hold(call, Direction.INACTIVE, wire.now))
    (change,) = wire.requests()
    wire.receive(respond(change, 481))
    assert wire.happened()[-1].cause is EndCause.PEER_LOST


def test_a_change_that_nobody_answers_ends_in_a_bye() -> None:
    """RFC 3261 section 12.2.1.2."""
    wire, call, _ = established()
    wire.perform(wire.ua.hold(call, Direction.INACTIVE, wire.now))
    wire.run(33)
    assert wire.requests()[-1].method == "BYE"
    assert wire.happened()[-1].cause is EndCause.PEER_LOST


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_the_peer_holds_us_on_a_call_of_ours(method: str) -> None:
    """RFC 3264 section 8.4, RFC 3311 section 5.2."""
    wire, _, invite = established()
    assert peer_request(wire, invite, method, sdp(direction="sendonly", version=2)) == [200]
    (held,) = wire.happened()
    assert held.media.on_hold
    assert held.media.direction is Direction.RECVONLY


def test_media_may_change_before_the_answer_by_update_alone() -> None:
    """RFC 3311 section 5.1: once the early answer is there."""
    wire, _, invite = dialling()
    wire.receive(respond(invite, 180))
    assert peer_request(wire, invite, "UPDATE", sdp(version=2)) == [500]
    wire.receive(respond(invite, 183, sdp()))
    wire.happened()
    assert peer_request(wire, invite, "UPDATE", sdp(direction="sendonly", version=2)) == [200]
    (held,) = wire.happened()
    assert held.media.on_hold
    assert peer_request(wire, invite, "INVITE", sdp(version=3)) == [500]


def test_a_change_that_gets_100_and_nothing_more_is_given_up() -> None:
    """RFC 3261 section 17.1.1.2 sets no limit there, so we do: later changes must not wait for ever."""
    wire, call, _ = established()
    wire.perform(wire.ua.hold(call, Direction.INACTIVE, wire.now))
    (change,) = wire.requests()
    wire.receive(respond(change, 100, tag=""))
    wire.run(64.2)
    assert [request.method for request in wire.requests()] == ["CANCEL"]
    assert [event.code for event in wire.happened()] == [408]
    wire.perform(wire.ua.hold(call, Direction.SENDONLY, wire.now))
    assert wire.requests()[0].method == "INVITE"


# -- session timers -------------------------------------------------------------------------------------------------------------------


def test_we_refresh_by_update_at_half_the_interval() -> None:
    """RFC 4028 sections 7.2 and 10."""
    wire, call, _ = established(
        {"session_expires": 120}, Session_Expires="120;refresher=uac", Allow="INVITE, UPDATE"
    )
    for _ in range(5):
        wire.run(60.2)
        (update,) = wire.requests()
        assert update.method == "UPDATE"
        assert update.body == b""
        assert update.headers.get("Session-Expires") == "120;refresher=uac"
        wire.receive(respond(update, 200, Session_Expires="120;refresher=uac"))
    assert call in wire.ua.calls
    assert wire.happened() == []


def test_we_refresh_by_an_unchanged_reinvite_where_update_is_not_known() -> None:
    """RFC 4028 section 7.4: the description is repeated with the same version."""
    wire, call, invite = established(
        {"session_expires": 90}, Session_Expires="90;refresher=uac", Allow="INVITE, BYE"
    )
    wire.run(45.1)
    (refresh,) = wire.requests()
    assert refresh.method == "INVITE"
    assert refresh.body == invite.body
    wire.receive(respond(refresh, 200, sdp(), Session_Expires="90;refresher=uac"))
    assert [request.method for request in wire.requests()] == ["ACK"]
    assert wire.happened() == []
    wire.run(45.1)
    assert wire.requests()[0].method == "INVITE"
    assert call in wire.ua.calls


def test_a_peer_that_does_not_refresh_is_hung_up_on() -> None:
    """RFC 4028 section 10: at the interval less the smaller of 32 s and a third."""
    wire, _, _ = established({"session_expires": 90}, Session_Expires="90;refresher=uas", Require="timer")
    wire.run(59.9)
    assert wire.requests() == []
    wire.run(0.2)
    assert wire.requests()[0].method == "BYE"
    assert wire.happened()[-1].cause is EndCause.SESSION_EXPIRED


def test_a_call_with_a_timer_of_90_s_survives_10_minutes_on_the_peers_refreshes() -> None:
    """RFC 4028 section 9; gate 4 of the specification. A refresh without a body changes no media."""
    wire = Wire()
    caller = Caller(wire, headers={"Supported": "timer", "Session-Expires": "90;refresher=uac"})
    call = caller.establish(sdp(direction="sendonly"))
    for number in range(14):
        wire.run(45)
        method = "UPDATE" if number % 2 else "INVITE"
        answer = caller.send(method, b"" if method == "UPDATE" else sdp(direction="sendonly"))[-1]
        assert isinstance(answer, Response)
        assert answer.status == 200
        assert answer.headers.get("Session-Expires") == "90;refresher=uac"
        if method == "INVITE":
            caller.send("ACK")
    assert call in wire.ua.calls
    assert wire.happened() == []


def test_we_refresh_for_a_caller_that_wants_us_to() -> None:
    """RFC 4028 section 9: refresher=uas."""
    wire = Wire()
    caller = Caller(
        wire, headers={"Supported": "timer", "Session-Expires": "90;refresher=uas", "Allow": "UPDATE"}
    )
    caller.establish()
    wire.run(45.1)
    (update,) = wire.requests()
    assert update.method == "UPDATE"
    assert update.headers.get("Session-Expires") == "90;refresher=uac"


# -- transfer -------------------------------------------------------------------------------------------------------------------------


def notify(wire: Wire, invite: Request, line: str, state: str = "active") -> list[int]:
    return peer_request(
        wire,
        invite,
        "NOTIFY",
        line.encode(),
        content_type="message/sipfrag",
        Event="refer",
        Subscription_State=state,
    )


def test_a_transfer_is_followed_to_its_end() -> None:
    """RFC 3515 sections 2.1 and 2.4."""
    wire, call, invite = established()
    wire.perform(wire.ua.transfer(call, address_uri("sip:+4940@carrier.example"), wire.now))
    (refer,) = wire.requests()
    assert refer.headers.get("Refer-To") == "<sip:+4940@carrier.example>"
    assert refer.headers.get("Referred-By") == "<sip:+4989456@example.com>"
    wire.receive(respond(refer, 202))
    assert notify(wire, invite, "SIP/2.0 100 Trying") == [200]
    assert notify(wire, invite, "SIP/2.0 200 OK", "terminated;reason=noresource") == [200]
    assert wire.happened() == [TransferProgress(call, 100, "Trying"), TransferSucceeded(call)]
    assert call in wire.ua.calls


@pytest.mark.parametrize("line", ["SIP/2.0 486 Busy Here", "SIP/2.0 603 Decline"])
def test_a_transfer_that_fails_leaves_the_call(line: str) -> None:
    """RFC 3515 section 2.4.5."""
    wire, call, invite = established()
    wire.perform(wire.ua.transfer(call, address_uri("sip:x@carrier.example"), wire.now))
    wire.receive(respond(wire.requests()[0], 202))
    notify(wire, invite, line, "terminated")
    assert wire.happened() == [TransferRejected(call, int(line[8:11]), line[12:])]
    assert call in wire.ua.calls


def test_a_transfer_may_be_refused_or_never_heard_of_again() -> None:
    """RFC 3515 section 2.4.2; carriers that send no NOTIFY."""
    wire, call, _ = established()
    wire.perform(wire.ua.transfer(call, address_uri("sip:x@carrier.example"), wire.now))
    wire.receive(respond(wire.requests()[0], 405))
    assert wire.happened() == [TransferRejected(call, 405, "Method Not Allowed")]
    wire.perform(wire.ua.transfer(call, address_uri("sip:x@carrier.example"), wire.now))
    wire.receive(respond(wire.requests()[0], 202))
    wire.run(33)
    assert wire.happened() == [TransferRejected(call, 408, "No news of the transfer")]


def test_a_bye_after_the_transfer_was_accepted_means_that_it_worked() -> None:
    """RFC 5589 section 6: the transferee may hang up without a report."""
    wire, call, invite = established()
    wire.perform(wire.ua.transfer(call, address_uri("sip:x@carrier.example"), wire.now))
    wire.receive(respond(wire.requests()[0], 202))
    assert peer_request(wire, invite, "BYE") == [200]
    assert wire.happened() == [TransferSucceeded(call), Ended(call, EndCause.TRANSFERRED, "")]


def test_a_notify_without_a_transfer_is_refused() -> None:
    """RFC 3515 section 2.4.4, RFC 6665 section 4.1.3."""
    wire, _, invite = established()
    assert notify(wire, invite, "SIP/2.0 200 OK") == [481]
    assert peer_request(wire, invite, "NOTIFY", Event="presence") == [489]


def test_a_transfer_of_the_peer_is_reported_where_it_is_enabled() -> None:
    """RFC 3515 section 2.4.2 and 2.4.4."""
    wire, call, invite = established({"takes_transfers": True})
    target = address_uri("sip:+4940@carrier.example")
    message = Caller(wire, call_id=invite.call_id, tag="callee", to_tag=invite.from_.tag)
    wire.receive(message.request("REFER", Refer_To=f"<{target}>"))
    accepted, trying = wire.take()
    assert isinstance(accepted, Response)
    assert accepted.status == 202
    assert trying.body == b"SIP/2.0 100 Trying\r\n"
    assert wire.happened() == [TransferRequested(call, target, "")]
    wire.perform(wire.ua.report_transfer(call, 200, wire.now))
    (done,) = wire.requests()
    assert done.body == b"SIP/2.0 200 OK\r\n"
    assert (done.headers.get("Subscription-State") or "").startswith("terminated")


# -- digits and pings -----------------------------------------------------------------------------------------------------------------


def test_a_digit_goes_out_by_info() -> None:
    """RFC 6086, `application/dtmf-relay`."""
    wire, call, _ = established()
    wire.perform(wire.ua.send_digit(call, "#", wire.now))
    (info,) = wire.requests()
    assert (info.method, info.body) == ("INFO", b"Signal=#\r\nDuration=160\r\n")


@pytest.mark.parametrize("status", [200, 404, 503])
def test_a_ping_tells_whether_a_trunk_is_there(status: int) -> None:
    """RFC 3261 section 11.1."""
    wire = Wire()
    ping, effects = wire.ua.ping(TARGET, 0.0)
    wire.perform(effects)
    wire.receive(respond(wire.requests()[0], status))
    assert wire.happened() == [PingAnswered(ping, status)]


def test_a_ping_that_nobody_answers() -> None:
    """RFC 3261 section 8.1.3.1."""
    wire = Wire()
    ping, effects = wire.ua.ping(TARGET, 0.0)
    wire.perform(effects)
    wire.run(33)
    assert wire.happened() == [PingAnswered(ping, 408)]


def test_leaving_ends_everything() -> None:
    """Specification: hang-up always reaches the wire, at a drain too."""
    wire = Wire()
    up = Caller(wire, call_id="a").establish()
    Caller(wire, call_id="b").invite()
    _, effects = wire.ua.place_call(call_request(), 0.0)
    wire.perform(effects)
    invite = wire.take()[-1]
    assert isinstance(invite, Request)
    wire.receive(respond(invite, 180))
    wire.take()
    wire.perform(wire.ua.leave(wire.now))
    names = [getattr(m, "method", None) or m.status for m in wire.take()]  # type: ignore[union-attr]
    assert sorted(map(str, names)) == ["503", "BYE", "CANCEL"]
    assert Caller(wire, call_id="late").invite().status == 503
    wire.receive(respond(invite, 487))
    wire.run(100)
    assert wire.ua.is_idle
    assert up not in wire.ua.calls


def test_a_stray_response_does_nothing() -> None:
    """RFC 3261 sections 8.1.3.3 and 18.1.2."""
    wire, call, invite = dialling()
    stray = respond(invite, 200, sdp())
    stray.headers.set("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKother")
    wire.receive(stray)
    doubled = respond(invite, 200, sdp())
    doubled.headers.add("Via", "SIP/2.0/UDP 192.0.2.200;branch=z9hG4bK1")
    wire.receive(doubled)
    assert wire.take() == []
    assert wire.happened() == []
    assert call in wire.ua.calls


@pytest.mark.parametrize("status", [491, 500])
def test_a_refresh_that_is_refused_is_tried_again(status: int) -> None:
    """RFC 3311 section 5.1, RFC 4028 section 10: only a 408 or 481 ends the session."""
    wire = Wire()
    caller = Caller(wire, headers={"Allow": "INVITE, UPDATE"})
    call = caller.establish(sdp(), Supported="timer", Session_Expires="90;refresher=uas")
    wire.run(45.2)
    (refresh,) = wire.requests()
    wire.receive(respond(refresh, status))
    wire.run(10.5)
    again, *_ = wire.requests()
    assert again.method == "UPDATE"
    wire.receive(respond(again, 200, Session_Expires="90;refresher=uac"))
    wire.run(30)
    assert call in wire.ua.calls


def test_a_wrong_password_is_told_from_a_missing_one() -> None:
    """RFC 3261 section 22.2."""
    for credentials, refused in ((Credentials("me", "wrong"), True), (None, False)):
        wire, _, invite = dialling(credentials=credentials)
        challenge = 'Digest realm="r", nonce="%s", qop="auth"'
        wire.receive(respond(invite, 401, WWW_Authenticate=challenge % "n1"))
        if credentials is not None:
            again = [request for request in wire.requests() if request.method == "INVITE"][-1]
            wire.receive(respond(again, 401, WWW_Authenticate=challenge % "n2"))
        (rejected,) = [event for event in wire.happened() if isinstance(event, Rejected)]
        assert rejected.credentials_refused is refused
