"""Where requests within a dialog go, behind a NAT and elsewhere: RFC 3261 section 12.2.1.1, RFC 6314 section 4.1."""

from __future__ import annotations

import pytest

from antiphon.sip.call import CallRequest
from antiphon.sip.effects import Hop
from antiphon.sip.headers import NameAddr
from antiphon.sip.message import Request, parse_message
from antiphon.sip.peer_address import is_behind_nat
from antiphon.sip.sdp import Direction
from antiphon.sip.uri import address_uri
from support.sip_wire import MEDIA, Caller, Wire, respond, sdp

OUTSIDE, INSIDE = "198.51.100.7", "192.168.1.50"


def called_by(
    *, source: str, contact: str, via: str = "", transport: str = "UDP", route: str = ""
) -> tuple[Wire, Caller, int]:
    """A call from `source` that was answered, with a Contact and a Via of the caller's choice."""
    wire = Wire(transport=transport)
    headers = {"Contact": f"<{contact}>", **({"Record-Route": route} if route else {})}
    caller = Caller(wire, headers=headers)

    def send(method: str, body: bytes = b"", cseq: int | None = None) -> None:
        request = caller.request(method, body, cseq=cseq)
        if via:
            request.headers.set("Via", f"SIP/2.0/{transport} {via};branch={wire.branch()};rport")
        message = parse_message(request.to_bytes())
        wire.perform(wire.ua.receive(message, wire.source(source, port=41000), wire.now))

    send("INVITE", sdp())
    call: int = wire.happened()[-1].call
    wire.perform(wire.ua.answer(call, MEDIA, wire.now))
    caller.learn_tag(wire.take()[-1])
    send("ACK", cseq=1)
    wire.take()
    return wire, caller, call


def goes_to(wire: Wire, method: str) -> tuple[Hop, Request]:
    """Where the last request went, which is of that method."""
    _, send, request = wire.sent[-1]
    assert isinstance(request, Request)
    assert request.method == method
    return send.hop, request


def test_a_telephone_behind_a_nat_is_hung_up_where_its_messages_come_from() -> None:
    """RFC 6314 section 4.1; the Request-URI stays its Contact (RFC 3261 section 12.2.1.1)."""
    wire, _, call = called_by(source=OUTSIDE, contact=f"sip:peer@{INSIDE}:5062")
    wire.perform(wire.ua.hang_up(call, wire.now))
    hop, bye = goes_to(wire, "BYE")
    assert (hop.transport, hop.host, hop.port) == ("UDP", OUTSIDE, 41000)
    assert str(bye.uri) == f"sip:peer@{INSIDE}:5062"


def test_changes_and_keys_go_there_as_well() -> None:
    """RFC 6314 section 4.1: every request within the dialog."""
    wire, _, call = called_by(source=OUTSIDE, contact=f"sip:peer@{INSIDE}")
    wire.perform(wire.ua.send_digit(call, "5", wire.now))
    assert goes_to(wire, "INFO")[0].host == OUTSIDE
    wire.perform(wire.ua.hold(call, Direction.INACTIVE, wire.now))
    assert goes_to(wire, "INVITE")[0] == Hop("UDP", OUTSIDE, 41000)


def test_the_ack_of_our_call_goes_to_where_its_answer_came_from() -> None:
    """RFC 3261 section 13.2.2.4 with RFC 6314 section 4.1: a callee behind a NAT, and its BYE."""
    wire = Wire()
    me = NameAddr(address_uri("sip:me@example.com"))
    call, effects = wire.ua.place_call(CallRequest(address_uri(f"sip:a@{OUTSIDE}:41000"), me, MEDIA), 0.0)
    wire.perform(effects)
    (invite,) = wire.requests()
    wire.receive(respond(invite, 200, sdp(), Contact=f"<sip:a@{INSIDE}>"), host=OUTSIDE, port=41000)
    assert goes_to(wire, "ACK")[0] == Hop("UDP", OUTSIDE, 41000)
    wire.perform(wire.ua.hang_up(call, wire.now))
    assert goes_to(wire, "BYE")[0] == Hop("UDP", OUTSIDE, 41000)


def test_a_flow_that_the_nat_moved_is_followed() -> None:
    """RFC 6314 section 4.1: the last request of the peer's says where it is now."""
    wire, caller, call = called_by(source=OUTSIDE, contact=f"sip:peer@{INSIDE}")
    wire.receive(caller.request("INFO"), host=OUTSIDE, port=42000)
    wire.perform(wire.ua.hang_up(call, wire.now))
    assert goes_to(wire, "BYE")[0].port == 42000


def test_the_flow_is_kept_open_while_the_call_is_on() -> None:
    """RFC 5626 section 3.5: or the NAT forgets it, and our BYE is lost."""
    wire, _, call = called_by(source=OUTSIDE, contact=f"sip:peer@{INSIDE}")
    sent: list[tuple[Hop, bytes]] = []
    for _ in range(3):
        timer = ("call", call, "keep open")
        wire.now = wire.timers.pop(timer)
        effects = wire.ua.timer_fired(timer, wire.now)
        sent += [(e.hop, e.data) for e in effects if hasattr(e, "hop")]
        wire.perform([effect for effect in effects if not hasattr(effect, "hop")])
    assert sent == [(Hop("UDP", OUTSIDE, 41000), b"\r\n\r\n")] * 3
    assert wire.now == 75.0
    wire.perform(wire.ua.hang_up(call, wire.now))
    assert ("call", call, "keep open") not in wire.timers
    public, _, other = called_by(source=OUTSIDE, contact=f"sip:peer@{OUTSIDE}")
    assert ("call", other, "keep open") not in public.timers


def test_a_connection_of_a_telephone_behind_a_nat_is_used_at_once() -> None:
    """RFC 5626 section 5.3: no attempt to connect to the Contact first."""
    wire, _, call = called_by(source=OUTSIDE, contact=f"sip:peer@{INSIDE};transport=tcp", transport="TCP")
    wire.perform(wire.ua.hang_up(call, wire.now))
    assert goes_to(wire, "BYE")[0] == Hop("TCP", OUTSIDE, 41000, 7)


@pytest.mark.parametrize(
    ("contact", "more", "goes"),
    [
        ("sip:peer@203.0.113.9:5062", {}, ("203.0.113.9", 5062)),  # another public address
        ("sip:peer@phone.example", {}, ("phone.example", 5060)),
        (f"sip:peer@{INSIDE}", {"route": "<sip:198.51.100.1;lr>"}, ("198.51.100.1", 5060)),
        (f"sip:peer@{OUTSIDE}:5099", {}, (OUTSIDE, 5099)),  # the same host: the port is the peer's business
        ("sip:peer@10.0.0.9", {"source": "10.0.0.7"}, ("10.0.0.9", 5060)),  # all in one network
        ("sip:peer@127.0.0.2:5071", {"source": "127.0.0.1", "via": "127.0.0.2"}, ("127.0.0.2", 5071)),
        ("sip:peer@203.0.113.9", {"source": "127.0.0.1", "via": "203.0.113.9"}, ("203.0.113.9", 5060)),
        (
            f"sip:peer@{INSIDE}",
            {"source": "127.0.0.1", "via": f"127.0.0.1;branch=z9hG4bKproxy, SIP/2.0/UDP {INSIDE}"},
            (INSIDE, 5060),
        ),
    ],
)
def test_a_contact_that_may_be_right_is_believed(
    contact: str, more: dict[str, str], goes: tuple[str, int]
) -> None:
    """RFC 3261 section 12.2.1.1."""
    wire, _, call = called_by(**{"source": OUTSIDE, "contact": contact, **more})
    wire.perform(wire.ua.hang_up(call, wire.now))
    hop, _ = goes_to(wire, "BYE")
    assert (hop.host, hop.port) == goes


@pytest.mark.parametrize("via", ["127.0.0.1", INSIDE])
def test_a_telephone_on_this_machine_that_states_another_address_is_found(via: str) -> None:
    """RFC 6314 section 4.1: it listens where it sends from."""
    wire, _, call = called_by(source="127.0.0.1", contact=f"sip:peer@{INSIDE}", via=via)
    wire.perform(wire.ua.hang_up(call, wire.now))
    assert goes_to(wire, "BYE")[0] == Hop("UDP", "127.0.0.1", 41000)


@pytest.mark.parametrize(
    ("contact", "source", "via", "behind"),
    [
        ("10.1.1.1", "203.0.113.1", "", True),
        ("100.64.3.4", "203.0.113.1", "", True),  # RFC 6598
        ("172.31.0.1", "::ffff:203.0.113.1", "", True),
        ("172.32.0.1", "203.0.113.1", "", False),
        ("127.0.0.1", "10.0.0.7", "", True),
        ("169.254.3.4", "10.0.0.7", "", True),
        ("0.0.0.0", "127.0.0.1", "", True),
        ("fd00::1", "2001:db8::1", "", True),
        ("2001:db8::2", "2001:db8::1", "2001:db8::2", False),
        ("172.17.0.2", "10.0.0.7", "172.17.0.2", True),  # a container, a telephone behind two NATs
        ("172.17.0.2", "10.0.0.7", "10.0.0.7", False),
        ("172.17.0.2", "10.0.0.7", "", False),
        ("203.0.113.1", "10.0.0.7", "203.0.113.1", False),
        ("10.0.0.7", "127.0.0.1", "", True),  # of a response
        ("10.0.0.7", "127.0.0.1", "127.0.0.1 10.0.0.7", False),  # by a proxy
    ],
)
def test_which_contacts_lead_nowhere(contact: str, source: str, via: str, behind: bool) -> None:
    """RFC 1918, RFC 6598, RFC 3927, RFC 4193."""
    assert is_behind_nat(contact, source, tuple(via.split())) is behind
