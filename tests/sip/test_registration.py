"""Registrations: RFC 3261 section 10.2, RFC 5626 section 4.5."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.sip.digest import Credentials
from antiphon.sip.effects import Send
from antiphon.sip.errors import UnsafeValue
from antiphon.sip.events import Registered, RegistrationFailed, Unregistered
from antiphon.sip.message import Request
from antiphon.sip.registration import RegistrationRequest
from antiphon.sip.uri import address_uri
from support.sip_wire import PEER, Wire, respond

WANTED = RegistrationRequest(
    address_uri(f"sip:{PEER}"),
    address_uri("sip:bank@example.com"),
    Credentials("bank", "secret"),
    user="bank",
    expires=600,
)


def registering(**changes: Any) -> tuple[Wire, int, Request]:
    wire = Wire()
    handle, effects = wire.ua.register(WANTED, 0.0)
    wire.perform(effects)
    (register,) = wire.requests()
    return wire, handle, register


def test_a_registration_is_made_and_refreshed() -> None:
    """RFC 3261 sections 10.2.1 and 10.2.4: same Call-ID, rising CSeq, at four fifths of what was granted."""
    wire, handle, register = registering()
    assert (str(register.uri), register.headers.get("Expires")) == (f"sip:{PEER}", "600")
    assert register.to.uri == register.from_.uri
    contact = register.headers.get("Contact") or ""
    others = f"<sip:bank@198.51.100.1:5060>;expires=9000, {contact.replace('600', '300')}"
    wire.receive(respond(register, 200, Contact=others))
    assert wire.happened() == [Registered(handle, 300.0)]
    wire.run(239)
    assert wire.requests() == []
    wire.run(1.5)
    (again, *_) = wire.requests()
    assert again.call_id == register.call_id
    assert again.cseq.number == register.cseq.number + 1
    assert not wire.ua.is_idle


def test_the_flow_of_a_registration_is_kept_alive() -> None:
    """RFC 5626 section 4.4.1: line breaks, which a registrar drops."""
    wire, handle, register = registering()
    wire.receive(respond(register, 200))
    sent: list[tuple[float, bytes]] = []
    perform = wire.perform

    def note(effects: list[Any]) -> None:
        sent.extend((wire.now, effect.data) for effect in effects if isinstance(effect, Send))
        perform(effects)

    wire.perform = note  # type: ignore[method-assign]
    wire.run(80)
    assert sent == [(25.0, b"\r\n\r\n"), (50.0, b"\r\n\r\n"), (75.0, b"\r\n\r\n")]
    wire.perform(wire.ua.unregister(handle, wire.now))
    sent.clear()
    wire.run(60)
    assert b"\r\n\r\n" not in [data for _, data in sent]


def test_a_challenge_is_answered_and_its_nonce_used_again() -> None:
    """RFC 3261 section 22.2."""
    wire, _, register = registering()
    wire.receive(respond(register, 401, WWW_Authenticate='Digest realm="r", nonce="n", qop="auth"'))
    (again,) = wire.requests()
    assert "nc=00000001" in (again.headers.get("Authorization") or "")
    wire.receive(respond(again, 200, Expires="100"))
    wire.run(80.1)
    assert "nc=00000002" in (wire.requests()[0].headers.get("Authorization") or "")


def test_a_longer_interval_is_asked_for_where_the_registrar_wants_it() -> None:
    """RFC 3261 section 10.2.8."""
    wire, handle, register = registering()
    wire.receive(respond(register, 423, Min_Expires="1800"))
    (again,) = wire.requests()
    assert again.headers.get("Expires") == "1800"
    wire.receive(respond(again, 200))
    assert wire.happened() == [Registered(handle, 1800.0)]


@pytest.mark.parametrize("status", [403, 404])
def test_what_is_hopeless_is_not_tried_again(status: int) -> None:
    """Specification: a wrong password fails at once."""
    wire, handle, register = registering()
    wire.receive(respond(register, status))
    (event,) = wire.happened()
    assert (event.registration, event.code, event.retry_after) == (handle, status, None)
    wire.run(10_000)
    assert wire.requests() == []
    assert wire.ua.is_idle


def test_other_failures_are_tried_again_ever_less_often() -> None:
    """RFC 5626 section 4.5."""
    wire, _, register = registering()
    waits = []
    for _ in range(8):
        wire.receive(respond(register, 503))
        (event,) = wire.happened()
        assert isinstance(event, RegistrationFailed)
        assert event.retry_after is not None
        waits.append(event.retry_after)
        wire.run(event.retry_after + 0.01)
        (register,) = wire.requests()
    limits = [30, 60, 120, 240, 480, 960, 1800, 1800]
    assert all(limit / 2 <= wait <= limit for wait, limit in zip(waits, limits, strict=True))


def test_a_silent_registrar_counts_as_a_failure() -> None:
    """RFC 3261 section 8.1.3.1."""
    wire, _, _ = registering()
    wire.run(33)
    assert wire.happened()[-1].code == 408


def test_a_registration_is_taken_back() -> None:
    """RFC 3261 section 10.2.2."""
    wire, handle, register = registering()
    wire.receive(respond(register, 200))
    wire.perform(wire.ua.unregister(handle, wire.now))
    (last,) = wire.requests()
    assert last.headers.get("Expires") == "0"
    wire.receive(respond(last, 200))
    assert wire.happened()[-1] == Unregistered(handle)
    assert wire.ua.is_idle
    wire.run(10_000)
    assert wire.requests() == []


def test_a_registrar_that_leads_nowhere_is_said_at_once() -> None:
    wire = Wire()
    with pytest.raises(UnsafeValue):
        wire.ua.register(RegistrationRequest(address_uri("tel:1"), address_uri("sip:a@b")), 0.0)
