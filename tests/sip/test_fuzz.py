"""Whatever is sent to it, the user agent neither fails nor keeps anything for long.

5,000 mutated messages by default; `ANTIPHON_SIP_FUZZ=100000` runs as many as it says.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from pathlib import Path

import pytest

from antiphon.sip.call import CallRequest
from antiphon.sip.digest import Credentials
from antiphon.sip.errors import BadRequest, CallStateError, ParseError
from antiphon.sip.events import Answered, IncomingCall
from antiphon.sip.headers import NameAddr
from antiphon.sip.message import Request, parse_message
from antiphon.sip.registration import RegistrationRequest
from antiphon.sip.sdp import Direction
from antiphon.sip.stream_framer import Ping, StreamFramer
from antiphon.sip.uri import address_uri
from support.sip_wire import MEDIA, PEER, Caller, Wire, respond, sdp

COUNT = int(os.environ.get("ANTIPHON_SIP_FUZZ", "5000"))
pytestmark = pytest.mark.time_limit(max(120.0, COUNT / 100))
CORPUS = Path(__file__).parent / "rfc4475"
WORDS = [
    b"\r\n", b"\r\n\r\n", b"\0", b'"', b"<", b">", b";", b",", b":", b"=", b"@", b"%00", b"\xff\xfe", b" ", b"\t",
    b"sip:", b"SIP/2.0", b"z9hG4bK", b";tag=", b"Content-Length: 99999", b"4294967296", b"-1", b"0", b"m=audio 0",
    b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:", b"Require: 100rel\r\n", b"Via: ", b"ACK", b"CANCEL", b"INVITE", b"BYE",
]  # fmt: skip


def seeds() -> list[bytes]:
    """The messages of RFC 4475, and one of each kind that the user agent takes."""
    wire = Wire()
    caller = Caller(wire)
    requests = [
        caller.request(
            "INVITE", sdp(direction="sendonly"), Supported="timer, 100rel", Session_Expires="90;refresher=uac"
        ),
        caller.request("INVITE", b"", Require="100rel", Accept='application/sdp;q="1", */*'),
        caller.request("BYE"),
        caller.request("CANCEL"),
        caller.request("OPTIONS"),
        caller.request("UPDATE", sdp()),
        caller.request("PRACK", RAck="1 1 INVITE"),
        caller.request("INFO", b"Signal=5\r\nDuration=160", content_type="application/dtmf-relay"),
        caller.request("REFER", Refer_To="<sip:x@y>"),
        caller.request("NOTIFY", b"SIP/2.0 200 OK", content_type="message/sipfrag", Event="refer"),
        caller.request("REGISTER"),
    ]
    challenge = 'Digest realm="a", nonce="b", qop="auth", algorithm=SHA-256'
    responses = [
        respond(requests[0], 200, sdp()),
        respond(requests[0], 183, sdp(), Require="100rel", RSeq="1"),
        respond(requests[0], 407, Proxy_Authenticate=challenge),
        respond(requests[0], 486),
    ]
    return [path.read_bytes() for path in sorted(CORPUS.glob("*.dat"))] + [
        message.to_bytes() for message in (*requests, *responses)
    ]


def mutate(raw: bytes, rng: random.Random, corpus: list[bytes]) -> bytes:
    """One to three changes: octets, words, lines, cuts and splices."""
    data = bytearray(raw)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(8):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                data[at:at] = rng.choice(WORDS)
            case 2:
                del data[at : at + rng.randint(1, 20)]
            case 3:
                data[at:at] = data[at : at + rng.randint(1, 40)] * rng.randint(1, 30)
            case 4:
                other = rng.choice(corpus)
                cut = rng.randrange(len(other))
                data[at:at] = other[cut : cut + rng.randint(1, 80)]
            case 5:
                start, *lines = data.split(b"\r\n")
                rng.shuffle(lines)
                data = bytearray(b"\r\n".join([start, *lines]))
            case 6:
                lines = data.split(b"\r\n")
                lines.insert(1, rng.choice(lines))
                data = bytearray(b"\r\n".join(lines))
            case 7:
                data = data[:at]
    return bytes(data)


def test_mutated_messages_do_no_harm() -> None:
    """RFC 4475's purpose: no message makes the user agent fail, stall or grow."""
    rng = random.Random(4475)
    corpus = seeds()
    wire = Wire(options={"takes_transfers": True})
    caller = Caller(wire, call_id="abc-established")
    caller.establish()
    slowest = 0.0
    for number in range(COUNT):
        raw = mutate(rng.choice(corpus), rng, corpus)
        if rng.random() < 0.3:
            raw = raw.replace(b"call-1", b"abc-established").replace(
                b"To: <sip:bank@192.0.2.1>", b"To: <sip:bank@192.0.2.1>;tag=" + caller.to_tag.encode()
            )
        started = time.perf_counter()
        try:
            message = parse_message(raw, stream=rng.random() < 0.3)
        except ParseError:
            continue
        except BadRequest as fault:
            wire.perform(wire.ua.receive_bad(fault, wire.source(), wire.now))
        else:
            wire.perform(wire.ua.receive(message, wire.source(), wire.now))
        for event in wire.happened():
            if isinstance(event, IncomingCall) and event.call in wire.ua.calls and rng.random() < 0.7:
                wire.perform(wire.ua.answer(event.call, MEDIA, wire.now))
        slowest = max(slowest, time.perf_counter() - started)
        wire.take()
        wire.run(0.05)
        if number % 500 == 499:
            wire.run(60.0)
            wire.take()
    for call in wire.ua.calls:
        wire.perform(wire.ua.hang_up(call, wire.now))
    wire.run(200.0)
    layer = wire.ua._stack.layer
    assert not wire.ua.calls
    assert not layer.clients
    assert not layer.servers
    assert not wire.ua._stack.dialogs
    assert not wire.timers
    assert slowest < 0.5


def replies(request: Request, rng: random.Random) -> list[bytes]:
    """What a peer may answer to a request of ours."""
    digest = rng.choice(["MD5", "SHA-256", "SHA-256-sess"])
    challenge = f'Digest realm="a", nonce="{rng.random()}", qop="auth", algorithm={digest}, stale={rng.choice(["true", "false"])}'
    routes = {"Record_Route": "<sip:192.0.2.50;lr>, <sip:192.0.2.9;lr>"}
    timer = {
        "Session_Expires": "90;refresher=uac",
        "Require": "timer",
        "Allow": rng.choice(["UPDATE", "INVITE"]),
    }
    tag = rng.choice(["one", "two"])
    choices = [
        respond(request, 100, tag=""),
        respond(request, 183, sdp(), tag=tag, Require="100rel", RSeq=str(rng.randint(1, 4))),
        respond(request, 180, tag=tag),
        respond(request, 200, sdp(), tag=tag, **routes, **timer),
        respond(request, 200, sdp(direction="sendonly"), tag=tag),
        respond(request, 202, tag=tag, Expires="60"),
        respond(request, 401, WWW_Authenticate=challenge),
        respond(request, 407, Proxy_Authenticate=challenge),
        respond(request, 422, Min_SE="120"),
        respond(request, 423, Min_Expires="120"),
        respond(request, rng.choice([302, 404, 481, 486, 487, 491, 500, 603])),
    ]
    return [response.to_bytes() for response in rng.choices(choices, k=rng.randint(1, 3))]


def test_mutated_responses_do_no_harm() -> None:
    """What trunks answer to our calls, registrations, changes and transfers, garbled or in the wrong place."""
    rng = random.Random(3261)
    corpus = seeds()
    wire = Wire(options={"session_expires": 90})
    here = address_uri(f"sip:a@{PEER}")
    secret = Credentials("u", "p")
    answered = 0
    for _ in range(COUNT // 10):
        now = wire.now
        if rng.random() < 0.7:
            wanted = CallRequest(
                here, NameAddr(here), MEDIA, credentials=secret, delayed_offer=rng.random() < 0.3
            )
            _, effects = wire.ua.place_call(wanted, now)
        else:
            _, effects = wire.ua.register(RegistrationRequest(here, here, secret), now)
        wire.perform(effects)
        for _ in range(12):
            sent = [message for message in wire.requests() if message.method not in ("ACK", "CANCEL")]
            for request in sent:
                for raw in replies(request, rng):
                    garbled = mutate(raw, rng, corpus) if rng.random() < 0.4 else raw
                    with contextlib.suppress(ParseError, BadRequest):
                        wire.perform(wire.ua.receive(parse_message(garbled), wire.source(), wire.now))
            for call in wire.ua.calls:
                with contextlib.suppress(CallStateError):
                    match rng.randrange(6):
                        case 0:
                            wire.perform(wire.ua.hold(call, rng.choice(list(Direction)), wire.now))
                        case 1:
                            wire.perform(wire.ua.transfer(call, here, wire.now))
                        case 2:
                            wire.perform(wire.ua.hang_up(call, wire.now))
            answered += sum(isinstance(event, Answered) for event in wire.happened())
            wire.run(rng.choice([0.0, 0.1, 3.0, 20.0]))
        wire.perform(wire.ua.leave(wire.now))
        wire.run(150.0)
        wire.take()
        assert wire.ua.is_idle
        assert not wire.ua._stack.layer.clients
        assert not wire.timers
    assert answered > COUNT // 100


def test_mutated_streams_are_cut_or_given_up() -> None:
    """A stream of garbage ends in messages or in `ParseError`, and never grows beyond its limit."""
    rng = random.Random(18)
    corpus = seeds()
    for _ in range(min(COUNT, 20_000) // 10):
        framer = StreamFramer()
        try:
            for _ in range(3):
                for item in framer.feed(mutate(rng.choice(corpus), rng, corpus)):
                    assert isinstance(item, Ping | bytes)
        except ParseError:
            continue
        assert len(framer._buffer) <= 66_000
