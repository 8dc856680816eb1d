"""A name with several servers: RFC 3263 section 4.3, RFC 3261 sections 8.1.3.1, 9.1 and 18.4."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.sip.admission import Admission
from antiphon.sip.call import CallRequest
from antiphon.sip.digest import Credentials
from antiphon.sip.effects import Avoid, Hop, Send
from antiphon.sip.events import Answered, EndCause, Ended, IncomingCall, PingAnswered, Rejected, SipEvent
from antiphon.sip.headers import NameAddr
from antiphon.sip.message import Message, Request, Response, parse_message
from antiphon.sip.offer_answer import LocalMedia
from antiphon.sip.registration import RegistrationRequest
from antiphon.sip.transaction import State
from antiphon.sip.transport import Listener, SipEndpoint
from antiphon.sip.transport import resolver as resolver_module
from antiphon.sip.uri import address_uri
from support.sip_wire import MEDIA, Wire, respond, sdp

TRUNK = Hop("UDP", "trunk.example", 0)
ONE, TWO, THREE = ("192.0.2.31", 5061), ("192.0.2.32", 5062), ("192.0.2.33", 5063)
ME = NameAddr(address_uri("sip:me@example.com"))


class Dialling:
    """A call that goes to a name, on a virtual clock."""

    def __init__(self, *servers: tuple[str, int], hop: Hop = TRUNK, **changes: Any) -> None:
        self.wire = Wire()
        wanted = CallRequest(address_uri("sip:a@trunk.example"), ME, MEDIA, hop=hop, **changes)
        self.call, effects = self.wire.ua.place_call(wanted, 0.0)
        self.wire.perform(effects)
        ((_, self.first, invite),) = self.wire.sent
        assert isinstance(invite, Request)
        self.invite = invite
        self.wire.sent.clear()
        self.find(self.first, servers)

    def find(self, send: Send, servers: tuple[tuple[str, int], ...]) -> None:
        assert send.key is not None
        self.wire.perform(self.wire.ua.servers_found(send.key, servers, self.wire.now))

    def sent(self) -> list[tuple[tuple[str, int] | None, Message]]:
        """What was sent since the last time, and to which server."""
        found, self.wire.sent = [(send.hop.server, m) for _, send, m in self.wire.sent], []
        return found

    def methods(self) -> list[tuple[tuple[str, int] | None, str]]:
        return [(server, m.method) for server, m in self.sent() if isinstance(m, Request)]


def test_the_whole_transaction_goes_to_one_server() -> None:
    """RFC 3263 section 4: retransmissions, the ACK of a refusal, and CANCEL too (RFC 3261 section 9.1)."""
    dialling = Dialling(ONE, TWO)
    dialling.wire.run(0.6)
    dialling.wire.receive(respond(dialling.invite, 100, tag=""))
    dialling.wire.perform(dialling.wire.ua.hang_up(dialling.call, dialling.wire.now))
    dialling.wire.receive(respond(dialling.invite, 487))
    assert dialling.methods() == [(ONE, "INVITE"), (ONE, "CANCEL"), (ONE, "ACK")]


def test_a_server_that_refuses_with_503_is_followed_by_the_next() -> None:
    """RFC 3263 section 4.3: a new transaction, otherwise the same request."""
    dialling = Dialling(ONE, TWO)
    dialling.wire.receive(respond(dialling.invite, 503, Retry_After="60 (busy);duration=5"))
    assert dialling.wire.avoided == [Avoid(ONE, 60)]
    (_, ack), (server, again) = dialling.sent()
    assert isinstance(ack, Request)
    assert isinstance(again, Request)
    assert (ack.method, server, again.method) == ("ACK", TWO, "INVITE")
    assert again.via.branch != dialling.invite.via.branch
    assert (again.call_id, again.cseq, again.from_) == (
        dialling.invite.call_id,
        dialling.invite.cseq,
        dialling.invite.from_,
    )
    dialling.wire.receive(respond(again, 200, sdp()))
    assert dialling.wire.happened()[-1] == Answered(dialling.call)


def test_the_last_refusal_is_the_one_that_is_told() -> None:
    """RFC 3263 section 4.3; another refusal than 503 is an answer, which no other server is asked about."""
    dialling = Dialling(ONE, TWO)
    dialling.wire.receive(respond(dialling.invite, 503))
    again = dialling.sent()[-1][1]
    assert isinstance(again, Request)
    dialling.wire.receive(respond(again, 503, Retry_After="7"))
    (event,) = dialling.wire.happened()
    assert (event.code, event.headers.get("Retry-After")) == (503, "7")
    busy = Dialling(ONE, TWO)
    busy.wire.receive(respond(busy.invite, 486))
    assert busy.methods() == [(ONE, "ACK")]
    assert busy.wire.happened()[-1].code == 486


def test_a_call_that_rang_is_not_placed_again() -> None:
    dialling = Dialling(ONE, TWO)
    dialling.wire.receive(respond(dialling.invite, 180))
    dialling.wire.receive(respond(dialling.invite, 503))
    assert dialling.methods() == [(ONE, "ACK")]
    assert isinstance(dialling.wire.happened()[-1], Rejected)


def test_servers_that_say_nothing_are_given_four_seconds_but_the_last() -> None:
    """RFC 3263 section 4.3: a time-out; all of timer B for each would be longer than callers wait."""
    dialling = Dialling(ONE, TWO, THREE)
    dialling.wire.run(8.5)
    times = [
        (at, send.hop.server) for at, send, m in dialling.wire.sent if getattr(m, "method", "") == "INVITE"
    ]
    firsts = {server: min(at for at, other in times if other == server) for _, server in times}
    assert firsts == {ONE: 0.5, TWO: 4.0, THREE: 8.0}
    dialling.wire.run(33)
    (event,) = dialling.wire.happened()
    assert (event.code, dialling.wire.now) == (408, 41.5)
    assert dialling.wire.ua.is_idle


def test_a_server_that_said_something_is_waited_for() -> None:
    """RFC 3261 section 17.1.1.2: no time-out once a provisional response came."""
    dialling = Dialling(ONE, TWO)
    dialling.wire.receive(respond(dialling.invite, 100, tag=""))
    dialling.wire.run(60)
    assert dialling.methods() == []


def test_a_server_that_wakes_late_is_asked_to_stop() -> None:
    """RFC 3261 section 9.1: or two telephones would ring."""
    dialling = Dialling(ONE, TWO)
    dialling.wire.run(4.1)
    dialling.sent()
    dialling.wire.receive(respond(dialling.invite, 180, tag="late"))
    dialling.wire.receive(respond(dialling.invite, 183, tag="late"))
    assert dialling.methods() == [(ONE, "CANCEL")]
    dialling.wire.receive(respond(dialling.invite, 487, tag="late"))
    assert dialling.methods() == [(ONE, "ACK")]
    assert dialling.wire.happened() == []


@pytest.mark.parametrize("provisional", [False, True])
def test_the_first_answer_counts_whoever_gives_it(provisional: bool) -> None:
    """RFC 3261 section 13.2.2.4: as with forks, the others are acknowledged and ended."""
    dialling = Dialling(ONE, TWO)
    dialling.wire.run(4.1)
    again = dialling.sent()[-1][1]
    assert isinstance(again, Request)
    if provisional:
        dialling.wire.receive(respond(again, 100, tag=""))
    dialling.wire.receive(respond(dialling.invite, 200, sdp(), tag="late"))
    assert dialling.wire.happened()[-1] == Answered(dialling.call)
    sent = [method for _, method in dialling.methods()]
    assert sent == (["CANCEL", "ACK"] if provisional else ["ACK"])
    dialling.wire.receive(respond(again, 200, sdp(), tag="second"))
    assert [method for _, method in dialling.methods()] == ["ACK", "BYE"]
    assert dialling.wire.happened() == []
    assert dialling.wire.ua.calls == [dialling.call]


def test_a_call_taken_back_meanwhile_goes_to_no_other_server() -> None:
    dialling = Dialling(ONE, TWO)
    dialling.wire.perform(dialling.wire.ua.hang_up(dialling.call, 0.0))
    dialling.wire.run(10)
    assert {server for server, _ in dialling.methods()} == {ONE}


def test_credentials_go_to_the_server_that_asked_for_them() -> None:
    """RFC 3261 section 22.2: its nonce means nothing to another."""
    dialling = Dialling(ONE, TWO, credentials=Credentials("me", "secret"))
    dialling.wire.receive(respond(dialling.invite, 503))
    second = dialling.sent()[-1][1]
    assert isinstance(second, Request)
    dialling.wire.receive(respond(second, 401, WWW_Authenticate='Digest realm="r", nonce="n"'))
    server, again = dialling.sent()[-1]
    assert isinstance(again, Request)
    assert (server, again.cseq.number) == (TWO, 2)
    assert "Authorization" in again.headers


def test_a_registration_keeps_the_flow_open_that_it_went_by() -> None:
    """RFC 5626 section 4.4.1, RFC 3263 section 4.3 for requests other than INVITE."""
    wire = Wire()
    wanted = RegistrationRequest(
        address_uri("sip:trunk.example"), address_uri("sip:me@trunk.example"), hop=TRUNK
    )
    _, effects = wire.ua.register(wanted, 0.0)
    wire.perform(effects)
    key = wire.sent[-1][1].key
    assert key is not None
    wire.perform(wire.ua.servers_found(key, [ONE, TWO], 0.0))
    wire.run(4.1)
    _, send, again = wire.sent[-1]
    assert isinstance(again, Request)
    assert (send.hop.server, again.method) == (TWO, "REGISTER")
    wire.receive(respond(again, 200))
    kept = next(key for key in wire.timers if key[0] == "keep-alive")
    alive = [e for e in wire.ua.timer_fired(kept, wire.timers.pop(kept)) if isinstance(e, Send)]
    assert [send.hop.server for send in alive] == [TWO]


def test_a_long_request_that_no_server_takes_by_tcp_goes_on_by_udp() -> None:
    """RFC 3261 section 18.1.1 and RFC 3263 section 4.3 together."""
    dialling = Dialling(ONE, TWO, headers={"X-Long": "x" * 1300})
    assert dialling.first.hop.transport == "TCP"
    dialling.wire.run(4.1)
    _, send, _ = dialling.wire.sent[-1]
    assert (send.hop.transport, send.hop.server) == ("UDP", None)
    dialling.find(send, (ONE, TWO))
    dialling.wire.run(4.1)
    _, send, _ = dialling.wire.sent[-1]
    assert (send.hop.transport, send.hop.server) == ("UDP", TWO)


# What may happen to a call to three servers: time passes, one of the INVITEs so far is answered or cannot be sent, we hang up.
HAPPENINGS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.sampled_from([0.1, 2.0, 4.1, 33.0])),
        st.tuples(st.just("answer"), st.integers(0, 3), st.sampled_from([100, 180, 200, 200, 486, 503])),
        st.tuples(st.just("fail"), st.integers(0, 3)),
        st.just(("hang up",)),
    ),
    max_size=12,
)


@given(HAPPENINGS)
@settings(max_examples=150, deadline=None)
def test_a_call_to_several_servers_ends_once_and_leaves_nobody_waiting(happenings: list[Any]) -> None:
    """RFC 3263 section 4.3 with RFC 3261 section 13.2.2.4: each 2xx is acknowledged, and ended unless it is the call's."""
    dialling = Dialling(ONE, TWO, THREE)
    wire, invites, answered, requests = dialling.wire, [dialling.first], set(), []

    def look() -> None:
        for _, send, message in wire.sent:
            if isinstance(message, Request):
                requests.append((message.method, message.to.tag))
                if message.method == "INVITE" and send.key not in [one.key for one in invites]:
                    invites.append(send)
        wire.sent.clear()

    for what, *more in happenings:
        match what, more:
            case "wait", [seconds]:
                wire.run(seconds)
            case "answer", [index, status] if index < len(invites):
                client = wire.ua._stack.layer._client_of(invites[index].key or ())
                if status == 200 and client is not None and client.machine.state is not State.COMPLETED:
                    answered.add(index)
                request = parse_message(invites[index].data)
                assert isinstance(request, Request)
                wire.receive(respond(request, status, sdp() if status == 200 else b"", tag=f"tag{index}"))
            case "fail", [index] if index < len(invites):
                wire.perform(wire.ua.transport_failed(invites[index].key or (), wire.now))
            case "hang up", _:
                wire.perform(wire.ua.hang_up(dialling.call, wire.now))
        look()
    up = [event for event in wire.events if isinstance(event, Answered)]
    assert len(up) <= 1
    wire.perform(wire.ua.hang_up(dialling.call, wire.now))
    look()
    for _ in range(20):
        wire.run(20.0)
        look()
    ends = [event for event in wire.events if isinstance(event, Ended | Rejected)]
    assert [event.call for event in ends] == [dialling.call]
    assert isinstance(wire.events[-1], Ended | Rejected)
    for index in answered:
        assert {("ACK", f"tag{index}"), ("BYE", f"tag{index}")} <= set(requests)
    assert wire.ua.is_idle
    assert not wire.ua._stack.layer.clients
    assert not wire.timers


# -- with sockets -------------------------------------------------------------------------------------------------------------------

HERE, NOBODY = "127.0.0.1", "127.0.0.77"


class Phone:
    """An endpoint and what happened on it; it answers calls, or refuses them."""

    def __init__(self) -> None:
        self.endpoint: SipEndpoint
        self.events: list[SipEvent] = []
        self.refuses = 0
        self._news = asyncio.Event()

    def happened(self, event: SipEvent) -> None:
        self.events.append(event)
        if isinstance(event, IncomingCall) and self.refuses:
            self.endpoint.hang_up(event.call, code=self.refuses)
        elif isinstance(event, IncomingCall):
            self.endpoint.answer(event.call, LocalMedia(HERE, 20000))
        self._news.set()

    async def until(self, kind: type[Any]) -> Any:
        async with asyncio.timeout(4.0):
            while not any(isinstance(event, kind) for event in self.events):
                self._news.clear()
                await self._news.wait()
        return next(event for event in self.events if isinstance(event, kind))


@contextlib.asynccontextmanager
async def phone(host: str = HERE, port: int = 0) -> AsyncIterator[Phone]:
    made = Phone()
    listeners = [Listener("UDP", host, port), Listener("TCP", host, port)]
    made.endpoint = await SipEndpoint.start(listeners, made.happened, admission=Admission(everyone=True))
    try:
        yield made
    finally:
        await made.endpoint.aclose(drain=1.0)


@pytest.fixture
def trunk(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses of trunk.example."""
    known: list[str] = []

    async def addresses(_host: str, _transport: str) -> list[str]:
        return known

    monkeypatch.setattr(resolver_module, "_addresses", addresses)
    return known


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
def test_a_server_that_is_not_there_costs_no_time(transport: str, trunk: list[str], run_clean: Any) -> None:
    """RFC 3261 section 18.4 (ICMP says that nobody listens) and RFC 3263 section 4.3."""
    trunk += [NOBODY, HERE]

    async def main() -> None:
        async with phone() as caller, phone() as callee:
            port = callee.endpoint.addresses[transport][1]
            hop = Hop(transport, "trunk.example", port)
            call = caller.endpoint.place_call(
                CallRequest(address_uri("sip:a@trunk.example"), ME, MEDIA, hop=hop)
            )
            assert await caller.until(Answered) == Answered(call)
            caller.endpoint.hang_up(call)
            assert (await callee.until(Ended)).cause is EndCause.PEER_HUNG_UP

    run_clean(main())


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
def test_a_server_that_failed_comes_last_for_a_while(
    transport: str, trunk: list[str], run_clean: Any
) -> None:
    """RFC 3261 section 21.5.4 (Retry-After): or every call would begin with it."""
    trunk += [NOBODY, HERE]

    async def main() -> None:
        async with phone() as caller, phone() as callee:
            port = callee.endpoint.addresses[transport][1]
            async with phone(NOBODY, port) as full:
                full.refuses = 503
                for _ in range(3):
                    hop = Hop(transport, "trunk.example", port)
                    caller.endpoint.place_call(
                        CallRequest(address_uri("sip:a@trunk.example"), ME, MEDIA, hop=hop)
                    )
                    await callee.until(Answered)
                    callee.events.clear()
                assert sum(isinstance(event, IncomingCall) for event in full.events) == 1

    run_clean(main())


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
def test_an_overloaded_server_is_followed_by_the_next(
    transport: str, trunk: list[str], run_clean: Any
) -> None:
    """RFC 3263 section 4.3: 503."""
    trunk += [NOBODY, HERE]

    async def main() -> None:
        async with phone() as caller, phone() as callee:
            port = callee.endpoint.addresses[transport][1]
            async with phone(NOBODY, port) as full:
                full.refuses = 503
                hop = Hop(transport, "trunk.example", port)
                caller.endpoint.place_call(
                    CallRequest(address_uri("sip:a@trunk.example"), ME, MEDIA, hop=hop)
                )
                await caller.until(Answered)
                assert full.events

    run_clean(main())


def test_addresses_of_a_version_that_is_not_listened_on_are_passed_over(
    trunk: list[str], run_clean: Any
) -> None:
    """RFC 3263 section 4.2: a name with AAAA and A records, here of the Contact that the ACK goes to."""
    trunk += ["2001:db8::9", HERE]

    async def main() -> None:
        async with phone() as caller, phone() as callee:
            port = callee.endpoint.addresses["UDP"][1]
            callee.endpoint.addresses["UDP"] = ("trunk.example", port)
            caller.endpoint.place_call(CallRequest(address_uri(f"sip:a@{HERE}:{port}"), ME, MEDIA))
            await callee.until(Answered)

    run_clean(main())


def test_nobody_at_an_address_is_told_at_once(run_clean: Any) -> None:
    """RFC 3261 sections 17.1.4 and 18.4: 503, not after half a minute; who is called meanwhile notices nothing."""

    async def main() -> None:
        async with phone() as caller, phone() as callee:
            free = callee.endpoint.addresses["UDP"][1]
            for _ in range(20):
                caller.endpoint.ping(address_uri(f"sip:a@{NOBODY}:{free}"))
                caller.endpoint.ping(address_uri(f"sip:a@{HERE}:{free}"))
            async with asyncio.timeout(4.0):
                while len(caller.events) < 40:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            statuses = [event.code for event in caller.events if isinstance(event, PingAnswered)]
            assert sorted(statuses) == [200] * 20 + [503] * 20

    run_clean(main())


def test_stray_responses_of_a_server_given_up_are_no_errors() -> None:
    """RFC 3261 section 17.1.2: a late final response to another request than INVITE counts, and only the first."""
    wire = Wire()
    ping, effects = wire.ua.ping(address_uri("sip:trunk.example"), 0.0, hop=TRUNK)
    wire.perform(effects)
    (_, send, first), *_ = wire.sent
    assert isinstance(first, Request)
    assert send.key is not None
    wire.perform(wire.ua.servers_found(send.key, [ONE, TWO], 0.0))
    wire.run(4.1)
    second = wire.sent[-1][2]
    assert isinstance(second, Request)
    late: Response = respond(first, 200)
    wire.receive(late)
    wire.receive(respond(second, 200))
    assert wire.happened() == [PingAnswered(ping, 200)]
