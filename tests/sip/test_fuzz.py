"""Whatever is sent to it, the user agent neither fails nor keeps anything for long.

5,000 mutated messages by default; `ANTIPHON_SIP_FUZZ=100000` runs as many as it says.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

from antiphon.sip.errors import BadRequest, ParseError
from antiphon.sip.events import IncomingCall
from antiphon.sip.message import parse_message
from antiphon.sip.stream_framer import Ping, StreamFramer
from support.sip_wire import MEDIA, Caller, Wire, respond, sdp

COUNT = int(os.environ.get("ANTIPHON_SIP_FUZZ", "5000"))
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
        caller.request("INVITE", b"", Require="100rel"),
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
    layer = wire.ua._core.layer
    assert not wire.ua.calls
    assert not layer.clients
    assert not layer.servers
    assert not wire.ua._core.dialogs
    assert not wire.timers
    assert slowest < 0.5


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
