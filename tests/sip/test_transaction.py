"""The four transactions: RFC 3261 section 17 and RFC 6026, by table and by property."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.sip.message import Request, Response, make_response, parse_message
from antiphon.sip.transaction import (
    TABLES,
    TIMERS,
    Deliver,
    Input,
    Kind,
    Output,
    StartTimer,
    State,
    StopTimer,
    Terminated,
    TimedOut,
    Timing,
    Transaction,
    Transmit,
    TransportFailed,
    make_ack,
    make_cancel,
)

RAW = (
    b"%s sip:bob@biloxi.example.com SIP/2.0\r\nVia: SIP/2.0/UDP pc33.example.com;branch=z9hG4bKkjshdyff\r\n"
    b"To: Bob <sip:bob@biloxi.example.com>\r\nFrom: Alice <sip:alice@atlanta.example.com>;tag=88sja8x\r\n"
    b"Max-Forwards: 70\r\nRoute: <sip:p1;lr>\r\nCall-ID: 987asjd97y7atg\r\nCSeq: 986759 %s\r\n\r\n"
)


def request(method: str) -> Request:
    message = parse_message(RAW % (method.encode(), method.encode()))
    assert isinstance(message, Request)
    return message


def response(status: int, method: str = "INVITE") -> Response:
    return make_response(request(method), status, to_tag="99sa0xk")


@dataclass
class Played:
    """A transaction on a virtual clock: what it did, each with its time."""

    machine: Transaction
    now: float = 0.0

    def __post_init__(self) -> None:
        self.log: list[tuple[float, str]] = []
        self.timers: dict[Input, float] = {}
        self.ended = 0
        self._perform(self.machine.start())

    def _perform(self, outputs: list[Output]) -> None:
        for output in outputs:
            assert not self.ended, "something came after the end"
            match output:
                case Transmit(message):
                    self.log.append(
                        (self.now, getattr(message, "method", "") or str(getattr(message, "status", "")))
                    )
                case Deliver(message):
                    self.log.append((self.now, f"deliver {getattr(message, 'status', 'ACK')}"))
                case StartTimer(name, delay):
                    assert delay >= 0
                    self.timers[name] = self.now + delay
                case StopTimer(name):
                    self.timers.pop(name, None)
                case TimedOut():
                    self.log.append((self.now, "timed out"))
                case TransportFailed():
                    self.log.append((self.now, "failed"))
                case Terminated():
                    self.ended += 1
                    self.log.append((self.now, "end"))

    def feed(self, happened: Input, message: Request | Response | None = None) -> None:
        self._perform(self.machine.feed(happened, message))

    def run(self, until: float) -> None:
        while self.timers:
            name = min(self.timers, key=lambda timer: self.timers[timer])
            if self.timers[name] > until:
                break
            self.now = self.timers.pop(name)
            self.feed(name)
        self.now = until


def played(kind: Kind, method: str, *, reliable: bool = False) -> Played:
    return Played(Transaction(kind, request(method), reliable=reliable, timing=Timing()))


def times_of(transaction: Played, what: str) -> list[float]:
    return [at for at, name in transaction.log if name == what]


def test_invite_is_retransmitted_at_doubling_intervals_until_timer_b() -> None:
    """RFC 3261 section 17.1.1.2, timers A and B."""
    client = played(Kind.INVITE_CLIENT, "INVITE")
    client.run(100)
    assert times_of(client, "INVITE") == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert times_of(client, "timed out") == times_of(client, "end") == [32]


def test_other_requests_are_retransmitted_up_to_t2_until_timer_f() -> None:
    """RFC 3261 section 17.1.2.2, timers E and F."""
    client = played(Kind.CLIENT, "BYE")
    client.run(100)
    assert times_of(client, "BYE") == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert times_of(client, "timed out") == [32]


def test_a_provisional_response_slows_retransmission_to_t2() -> None:
    """RFC 3261 section 17.1.2.2, timer E in Proceeding."""
    client = played(Kind.CLIENT, "BYE")
    client.feed(Input.PROVISIONAL, response(100, "BYE"))
    client.run(13)
    assert times_of(client, "BYE") == [0, 0.5, 4.5, 8.5, 12.5]


def test_a_provisional_response_ends_retransmission_of_invite() -> None:
    """RFC 3261 section 17.1.1.2: no timer runs in Proceeding."""
    client = played(Kind.INVITE_CLIENT, "INVITE")
    client.feed(Input.PROVISIONAL, response(180))
    client.run(500)
    assert times_of(client, "INVITE") == [0]
    assert client.machine.state is State.PROCEEDING
    assert not client.timers


def test_a_failure_is_acknowledged_each_time_it_comes_until_timer_d() -> None:
    """RFC 3261 section 17.1.1.2, timer D."""
    client = played(Kind.INVITE_CLIENT, "INVITE")
    for _ in range(3):
        client.feed(Input.FAILURE, response(486))
    client.run(100)
    assert len(times_of(client, "ACK")) == 3
    assert len(times_of(client, "deliver 486")) == 1
    assert times_of(client, "end") == [32]


def test_every_2xx_is_handed_up_until_timer_m() -> None:
    """RFC 6026 section 7.2: forks and retransmissions are for the user, who sends the ACKs."""
    client = played(Kind.INVITE_CLIENT, "INVITE")
    for _ in range(3):
        client.feed(Input.SUCCESS, response(200))
    client.feed(Input.FAILURE, response(486))
    client.run(100)
    assert len(times_of(client, "deliver 200")) == 3
    assert times_of(client, "ACK") == []
    assert times_of(client, "end") == [32]


def test_timer_k_absorbs_late_responses() -> None:
    """RFC 3261 section 17.1.2.2, timer K."""
    client = played(Kind.CLIENT, "BYE")
    client.feed(Input.SUCCESS, response(200, "BYE"))
    client.feed(Input.SUCCESS, response(200, "BYE"))
    client.run(100)
    assert len(times_of(client, "deliver 200")) == 1
    assert times_of(client, "end") == [5]


def test_failure_response_is_retransmitted_until_its_ack() -> None:
    """RFC 3261 section 17.2.1, timers G, H and I."""
    server = played(Kind.INVITE_SERVER, "INVITE")
    server.feed(Input.FAILURE, response(486))
    server.run(4)
    assert times_of(server, "486") == [0, 0.5, 1.5, 3.5]
    server.feed(Input.ACK)
    server.feed(Input.REQUEST)
    server.run(100)
    assert len(times_of(server, "486")) == 4
    assert times_of(server, "end") == [9]


def test_failure_response_that_is_never_acknowledged_ends_at_timer_h() -> None:
    """RFC 3261 section 17.2.1, timer H."""
    server = played(Kind.INVITE_SERVER, "INVITE")
    server.feed(Input.FAILURE, response(486))
    server.run(100)
    assert times_of(server, "486") == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert times_of(server, "timed out") == times_of(server, "end") == [32]


def test_a_repeated_invite_gets_the_last_provisional_response() -> None:
    """RFC 3261 section 17.2.1, Proceeding."""
    server = played(Kind.INVITE_SERVER, "INVITE")
    server.feed(Input.PROVISIONAL, response(100))
    server.feed(Input.PROVISIONAL, response(180))
    server.feed(Input.REQUEST)
    assert [name for _, name in server.log] == ["100", "180", "180"]


def test_after_a_2xx_repeated_invites_are_absorbed_until_timer_l() -> None:
    """RFC 6026 section 7.1."""
    server = played(Kind.INVITE_SERVER, "INVITE")
    server.feed(Input.SUCCESS, response(200))
    server.feed(Input.REQUEST)
    server.feed(Input.SUCCESS, response(200))
    server.feed(Input.ACK, request("ACK"))
    server.run(100)
    assert [name for _, name in server.log] == ["200", "200", "deliver ACK", "end"]
    assert times_of(server, "end") == [32]


def test_a_repeated_request_gets_the_same_final_response_until_timer_j() -> None:
    """RFC 3261 section 17.2.2, timer J."""
    server = played(Kind.SERVER, "BYE")
    server.feed(Input.REQUEST)
    server.feed(Input.SUCCESS, response(200, "BYE"))
    server.feed(Input.REQUEST)
    server.run(100)
    assert len(times_of(server, "200")) == 2
    assert times_of(server, "end") == [32]


@pytest.mark.parametrize(
    ("kind", "method", "happened"),
    [
        (Kind.INVITE_CLIENT, "INVITE", Input.FAILURE),
        (Kind.CLIENT, "BYE", Input.SUCCESS),
        (Kind.SERVER, "BYE", Input.SUCCESS),
    ],
)
def test_over_a_reliable_transport_nobody_lingers(kind: Kind, method: str, happened: Input) -> None:
    """RFC 3261 sections 17.1 and 17.2: timers D, J and K are zero."""
    transaction = played(kind, method, reliable=True)
    transaction.feed(happened, response(486 if happened is Input.FAILURE else 200, method))
    assert transaction.ended == 1
    assert not transaction.timers


def test_over_a_reliable_transport_nothing_is_retransmitted() -> None:
    """RFC 3261 section 17.1.1.2; timers B, F and H hold all the same."""
    for kind, method in ((Kind.INVITE_CLIENT, "INVITE"), (Kind.CLIENT, "BYE")):
        client = played(kind, method, reliable=True)
        client.run(100)
        assert times_of(client, method) == [0]
        assert times_of(client, "timed out") == [32]


def test_a_transport_failure_ends_a_client_at_once() -> None:
    """RFC 3261 section 17.1.4."""
    client = played(Kind.INVITE_CLIENT, "INVITE")
    client.feed(Input.TRANSPORT_FAILED)
    assert [name for _, name in client.log] == ["INVITE", "failed", "end"]


def test_ack_to_a_failure_is_built_from_the_invite() -> None:
    """RFC 3261 section 17.1.1.3, with its example."""
    invite = request("INVITE")
    ack = make_ack(invite, response(486))
    assert ack.headers.get_all("Via") == invite.headers.get_all("Via")
    assert ack.to.tag == "99sa0xk"
    assert (ack.from_, ack.call_id, ack.uri) == (invite.from_, invite.call_id, invite.uri)
    assert (ack.cseq.number, ack.cseq.method) == (986759, "ACK")
    assert ack.headers.get("Route") == "<sip:p1;lr>"


def test_cancel_is_built_from_the_invite() -> None:
    """RFC 3261 section 9.1."""
    invite = request("INVITE")
    cancel = make_cancel(invite)
    assert cancel.headers.get_all("Via") == invite.headers.get_all("Via")
    assert (cancel.cseq.number, cancel.cseq.method) == (986759, "CANCEL")
    assert cancel.to == invite.to
    assert "Require" not in cancel.headers


def test_the_tables_name_only_states_and_timers_that_exist() -> None:
    for kind, table in TABLES.items():
        for (state, happened), (after, _) in table.items():
            assert state is not State.TERMINATED
            timer = len(happened.name) == 1
            assert not timer or happened in TIMERS.get((kind, state), ()), (kind, state, happened)
            assert after is State.TERMINATED or any(one is after for one, _ in table), (kind, after)


INPUTS = [Input.PROVISIONAL, Input.SUCCESS, Input.FAILURE, Input.REQUEST, Input.ACK, Input.TRANSPORT_FAILED]
STATUS = {Input.PROVISIONAL: 180, Input.SUCCESS: 200, Input.FAILURE: 486}


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(list(Kind)),
    reliable=st.booleans(),
    steps=st.lists(st.tuples(st.sampled_from(INPUTS), st.floats(0, 40)), max_size=12),
)
def test_every_transaction_ends_exactly_once(
    kind: Kind, reliable: bool, steps: list[tuple[Input, float]]
) -> None:
    """Whatever comes in whatever order, a transaction that has its final response, or hears nothing, ends by itself."""
    method = "INVITE" if "INVITE" in kind.value else "BYE"
    method = "BYE" if kind in (Kind.CLIENT, Kind.SERVER) else "INVITE"
    transaction = played(kind, method, reliable=reliable)
    for happened, wait in steps:
        status = STATUS.get(happened)
        transaction.feed(happened, response(status, method) if status else request(method))
        transaction.run(transaction.now + wait)
    waits_for_user = (Kind.INVITE_CLIENT, Kind.INVITE_SERVER, Kind.SERVER)
    undecided = transaction.machine.state in (State.TRYING, State.PROCEEDING) and kind in waits_for_user
    transaction.run(transaction.now + 1000)
    if undecided:
        assert transaction.ended == 0
        assert not transaction.timers
    else:
        assert transaction.ended == 1
        assert not transaction.timers
    finals = sum(name.startswith("deliver") and name[8:] >= "200" for _, name in transaction.log)
    assert kind is Kind.INVITE_CLIENT or kind is Kind.INVITE_SERVER or finals <= 1
