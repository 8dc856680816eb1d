"""The four transactions: a request, its retransmissions and its responses as one thing.

Everything that decides what a transaction does lives in this file. `TABLES` has a row for each state and input that mean
something; a pair without a row is ignored. `TIMERS` says which timers run in which state: entering a state stops those
that do not belong there and starts those that do. Over a reliable transport nothing is retransmitted and nobody waits
for stragglers. Times are seconds; no clock is read here, timers go out as outputs and come back as inputs.

Source: RFC 3261 section 17 and its figures 5 to 8; RFC 6026 for the Accepted states and timers L and M.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from .message import Message, Request, Response


@dataclass(frozen=True, slots=True)
class Timing:
    """The base values of RFC 3261 section 17.1.1.1, in seconds.

    Attributes:
        t1: the expected round trip.
        t2: the longest pause between two retransmissions.
        t4: how long a message may stay in the network.
        d: how long responses to an INVITE are still acknowledged.
    """

    t1: float = 0.5
    t2: float = 4.0
    t4: float = 5.0
    d: float = 32.0

    @property
    def give_up(self) -> float:
        """64 T1: when a peer is held to be gone."""
        return 64 * self.t1


class Kind(Enum):
    """Which of the four."""

    INVITE_CLIENT = "INVITE client"
    CLIENT = "non-INVITE client"
    INVITE_SERVER = "INVITE server"
    SERVER = "non-INVITE server"


class State(Enum):
    """Where a transaction stands; each kind uses some of them."""

    CALLING = "calling"
    TRYING = "trying"
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    ACCEPTED = "accepted"
    TERMINATED = "terminated"


class Input(Enum):
    """What can happen. Responses come from the wire to a client, and from the user to a server."""

    PROVISIONAL = "1xx"
    SUCCESS = "2xx"
    FAILURE = "300-699"
    REQUEST = "request again"
    ACK = "ACK"
    TRANSPORT_FAILED = "transport failed"
    A = "timer A"
    B = "timer B"
    D = "timer D"
    E = "timer E"
    F = "timer F"
    G = "timer G"
    H = "timer H"
    I = "timer I"  # noqa: E741 the name of the RFC
    J = "timer J"
    K = "timer K"
    L = "timer L"
    M = "timer M"


class Do(Enum):
    """What a row has done."""

    SEND = "send this response"
    RESEND = "send the last message again"
    ACK = "acknowledge the response"
    DELIVER = "hand the message to the user"
    TIMED_OUT = "tell the user that nobody answered"
    FAILED = "tell the user that the transport failed"


Row = tuple[State, tuple[Do, ...]]
_END, _FINAL = State.TERMINATED, (Input.SUCCESS, Input.FAILURE)

TABLES: dict[Kind, dict[tuple[State, Input], Row]] = {
    Kind.INVITE_CLIENT: {
        (State.CALLING, Input.A): (State.CALLING, (Do.RESEND,)),
        (State.CALLING, Input.B): (_END, (Do.TIMED_OUT,)),
        (State.CALLING, Input.TRANSPORT_FAILED): (_END, (Do.FAILED,)),
        (State.CALLING, Input.PROVISIONAL): (State.PROCEEDING, (Do.DELIVER,)),
        (State.CALLING, Input.SUCCESS): (State.ACCEPTED, (Do.DELIVER,)),
        (State.CALLING, Input.FAILURE): (State.COMPLETED, (Do.ACK, Do.DELIVER)),
        (State.PROCEEDING, Input.PROVISIONAL): (State.PROCEEDING, (Do.DELIVER,)),
        (State.PROCEEDING, Input.SUCCESS): (State.ACCEPTED, (Do.DELIVER,)),
        (State.PROCEEDING, Input.FAILURE): (State.COMPLETED, (Do.ACK, Do.DELIVER)),
        (State.COMPLETED, Input.FAILURE): (State.COMPLETED, (Do.ACK,)),
        (State.COMPLETED, Input.TRANSPORT_FAILED): (_END, ()),
        (State.COMPLETED, Input.D): (_END, ()),
        (State.ACCEPTED, Input.SUCCESS): (State.ACCEPTED, (Do.DELIVER,)),
        (State.ACCEPTED, Input.M): (_END, ()),
    },
    Kind.CLIENT: {
        (State.TRYING, Input.E): (State.TRYING, (Do.RESEND,)),
        (State.TRYING, Input.F): (_END, (Do.TIMED_OUT,)),
        (State.TRYING, Input.TRANSPORT_FAILED): (_END, (Do.FAILED,)),
        (State.TRYING, Input.PROVISIONAL): (State.PROCEEDING, (Do.DELIVER,)),
        **{(State.TRYING, final): (State.COMPLETED, (Do.DELIVER,)) for final in _FINAL},
        (State.PROCEEDING, Input.E): (State.PROCEEDING, (Do.RESEND,)),
        (State.PROCEEDING, Input.F): (_END, (Do.TIMED_OUT,)),
        (State.PROCEEDING, Input.TRANSPORT_FAILED): (_END, (Do.FAILED,)),
        (State.PROCEEDING, Input.PROVISIONAL): (State.PROCEEDING, (Do.DELIVER,)),
        **{(State.PROCEEDING, final): (State.COMPLETED, (Do.DELIVER,)) for final in _FINAL},
        (State.COMPLETED, Input.K): (_END, ()),
    },
    Kind.INVITE_SERVER: {
        (State.PROCEEDING, Input.REQUEST): (State.PROCEEDING, (Do.RESEND,)),
        (State.PROCEEDING, Input.PROVISIONAL): (State.PROCEEDING, (Do.SEND,)),
        (State.PROCEEDING, Input.SUCCESS): (State.ACCEPTED, (Do.SEND,)),
        (State.PROCEEDING, Input.FAILURE): (State.COMPLETED, (Do.SEND,)),
        (State.PROCEEDING, Input.TRANSPORT_FAILED): (State.PROCEEDING, (Do.FAILED,)),
        (State.COMPLETED, Input.REQUEST): (State.COMPLETED, (Do.RESEND,)),
        (State.COMPLETED, Input.G): (State.COMPLETED, (Do.RESEND,)),
        (State.COMPLETED, Input.ACK): (State.CONFIRMED, ()),
        (State.COMPLETED, Input.H): (_END, (Do.TIMED_OUT,)),
        (State.COMPLETED, Input.TRANSPORT_FAILED): (State.COMPLETED, (Do.FAILED,)),
        (State.CONFIRMED, Input.I): (_END, ()),
        (State.ACCEPTED, Input.SUCCESS): (State.ACCEPTED, (Do.SEND,)),
        (State.ACCEPTED, Input.ACK): (State.ACCEPTED, (Do.DELIVER,)),
        (State.ACCEPTED, Input.TRANSPORT_FAILED): (State.ACCEPTED, (Do.FAILED,)),
        (State.ACCEPTED, Input.L): (_END, ()),
    },
    Kind.SERVER: {
        (State.TRYING, Input.PROVISIONAL): (State.PROCEEDING, (Do.SEND,)),
        **{(State.TRYING, final): (State.COMPLETED, (Do.SEND,)) for final in _FINAL},
        (State.PROCEEDING, Input.REQUEST): (State.PROCEEDING, (Do.RESEND,)),
        (State.PROCEEDING, Input.PROVISIONAL): (State.PROCEEDING, (Do.SEND,)),
        **{(State.PROCEEDING, final): (State.COMPLETED, (Do.SEND,)) for final in _FINAL},
        (State.PROCEEDING, Input.TRANSPORT_FAILED): (_END, (Do.FAILED,)),
        (State.COMPLETED, Input.REQUEST): (State.COMPLETED, (Do.RESEND,)),
        (State.COMPLETED, Input.TRANSPORT_FAILED): (_END, (Do.FAILED,)),
        (State.COMPLETED, Input.J): (_END, ()),
    },
}

TIMERS: dict[tuple[Kind, State], tuple[Input, ...]] = {
    (Kind.INVITE_CLIENT, State.CALLING): (Input.A, Input.B),
    (Kind.INVITE_CLIENT, State.COMPLETED): (Input.D,),
    (Kind.INVITE_CLIENT, State.ACCEPTED): (Input.M,),
    (Kind.CLIENT, State.TRYING): (Input.E, Input.F),
    (Kind.CLIENT, State.PROCEEDING): (Input.E, Input.F),
    (Kind.CLIENT, State.COMPLETED): (Input.K,),
    (Kind.INVITE_SERVER, State.COMPLETED): (Input.G, Input.H),
    (Kind.INVITE_SERVER, State.CONFIRMED): (Input.I,),
    (Kind.INVITE_SERVER, State.ACCEPTED): (Input.L,),
    (Kind.SERVER, State.COMPLETED): (Input.J,),
}
RETRANSMIT = frozenset({Input.A, Input.E, Input.G})  # not needed over a reliable transport
LINGER = frozenset({Input.D, Input.I, Input.J, Input.K})  # zero over a reliable transport
INITIAL = {
    Kind.INVITE_CLIENT: State.CALLING,
    Kind.CLIENT: State.TRYING,
    Kind.INVITE_SERVER: State.PROCEEDING,
    Kind.SERVER: State.TRYING,
}


@dataclass(frozen=True, slots=True)
class Transmit:
    """Put this on the wire."""

    message: Message


@dataclass(frozen=True, slots=True)
class Deliver:
    """Hand this to the user; None: the acknowledgement that was fed."""

    message: Message | None


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Feed the input after `delay` seconds; replaces the timer of that name."""

    name: Input
    delay: float


@dataclass(frozen=True, slots=True)
class StopTimer:
    """The timer is not needed any more."""

    name: Input


@dataclass(frozen=True, slots=True)
class TimedOut:
    """Nobody answered, or nobody acknowledged."""


@dataclass(frozen=True, slots=True)
class TransportFailed:
    """The message could not be sent."""


@dataclass(frozen=True, slots=True)
class Terminated:
    """The transaction is over: forget it. Comes exactly once, last."""


Output = Transmit | Deliver | StartTimer | StopTimer | TimedOut | TransportFailed | Terminated


def input_of(status: int) -> Input:
    """The input that a response is."""
    if status < 200:
        return Input.PROVISIONAL
    return Input.SUCCESS if status < 300 else Input.FAILURE


def kind_of(method: str, *, client: bool) -> Kind:
    """The transaction that a method has."""
    if method == "INVITE":
        return Kind.INVITE_CLIENT if client else Kind.INVITE_SERVER
    return Kind.CLIENT if client else Kind.SERVER


class Transaction:
    """One transaction. Call `start` once, then `feed` with whatever happens; carry out the outputs in order."""

    __slots__ = ("_interval", "_last", "_running", "kind", "reliable", "request", "state", "timing")

    def __init__(self, kind: Kind, request: Request, *, reliable: bool, timing: Timing) -> None:
        self.kind = kind
        self.request = request
        self.reliable = reliable
        self.timing = timing
        self.state = INITIAL[kind]
        self._last: Message | None = request if kind in (Kind.INVITE_CLIENT, Kind.CLIENT) else None
        self._interval = timing.t1
        self._running: tuple[Input, ...] = ()

    @property
    def is_answered(self) -> bool:
        """Whether the final response is there, so that only stragglers are waited for."""
        return self.state in (State.COMPLETED, State.ACCEPTED, State.CONFIRMED, State.TERMINATED)

    def start(self) -> list[Output]:
        """A client's request goes out; a server waits for its user."""
        outputs: list[Output] = []
        if self._last is not None:
            outputs.append(Transmit(self._last))
        self._enter(self.state, outputs)
        return outputs

    def feed(self, happened: Input, message: Message | None = None) -> list[Output]:
        """Take one input; what the present state has no row for is ignored."""
        row = TABLES[self.kind].get((self.state, happened))
        if row is None:
            return []
        state, actions = row
        outputs: list[Output] = []
        for action in actions:
            self._carry_out(action, message, outputs)
        if happened in RETRANSMIT:
            self._interval = self._next_interval(happened)
            outputs.append(StartTimer(happened, self._interval))
        if state is not self.state:
            self._enter(state, outputs)
        return outputs

    def _carry_out(self, action: Do, message: Message | None, outputs: list[Output]) -> None:
        match action:
            case Do.SEND if message is not None:
                self._last = message
                outputs.append(Transmit(message))
            case Do.RESEND if self._last is not None:
                outputs.append(Transmit(self._last))
            case Do.ACK if isinstance(message, Response):
                outputs.append(Transmit(make_ack(self.request, message)))
            case Do.DELIVER:
                outputs.append(Deliver(message))
            case Do.TIMED_OUT:
                outputs.append(TimedOut())
            case Do.FAILED:
                outputs.append(TransportFailed())

    def _next_interval(self, timer: Input) -> float:
        """Doubling; E and G up to T2, E at T2 once a provisional response came (RFC 3261 sections 17.1.2.2, 17.2.1)."""
        if timer is Input.A:
            return self._interval * 2
        if timer is Input.E and self.state is State.PROCEEDING:
            return self.timing.t2
        return min(self._interval * 2, self.timing.t2)

    def _enter(self, state: State, outputs: list[Output]) -> None:
        self.state = state
        wanted = TIMERS.get((self.kind, state), ())
        if self.reliable:
            if any(timer in LINGER for timer in wanted):
                self._enter(State.TERMINATED, outputs)
                return
            wanted = tuple(timer for timer in wanted if timer not in RETRANSMIT)
        outputs += [StopTimer(timer) for timer in self._running if timer not in wanted]
        outputs += [StartTimer(timer, self._delay(timer)) for timer in wanted if timer not in self._running]
        self._running = wanted
        if state is State.TERMINATED:
            outputs.append(Terminated())

    def _delay(self, timer: Input) -> float:
        match timer:
            case Input.A | Input.E | Input.G:
                self._interval = self.timing.t1
                return self.timing.t1
            case Input.D:
                return self.timing.d
            case Input.I | Input.K:
                return self.timing.t4
            case _:
                return self.timing.give_up


def make_ack(invite: Request, response: Response) -> Request:
    """The ACK to a response other than 2xx, which belongs to the transaction (RFC 3261 section 17.1.1.3)."""
    ack = Request("ACK", invite.uri)
    ack.headers.add("Via", str(invite.via))
    ack.headers.copy_from(invite.headers, "Max-Forwards")
    ack.headers.copy_from(invite.headers, "Route")
    ack.headers.copy_from(invite.headers, "From")
    ack.headers.copy_from(response.headers, "To")
    ack.headers.copy_from(invite.headers, "Call-ID")
    ack.headers.add("CSeq", f"{invite.cseq.number} ACK")
    return ack


def make_cancel(invite: Request) -> Request:
    """The CANCEL of an INVITE (RFC 3261 section 9.1)."""
    cancel = Request("CANCEL", invite.uri)
    cancel.headers.add("Via", str(invite.via))
    cancel.headers.copy_from(invite.headers, "Max-Forwards", "Route", "From", "To", "Call-ID")
    cancel.headers.add("CSeq", f"{invite.cseq.number} CANCEL")
    return cancel
