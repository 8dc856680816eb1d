"""How a call begins, is answered and ends: exactly once.

Fed by whoever owns the call with what SIP, the room, the media, the agent and its controllers report, and by the
supervisor for calls whose owner died; the owner carries out the effects. Time comes in with the event, in seconds on any
one clock: a running call is best driven by a monotonic one, a call found in the store by that of its record.

Speech and recording wait for the answer. The start instruction waits for the answer, the media path and the agent,
in whatever order they come. An inbound call is answered when its agent is ready, so nobody pays to hear nothing. Every end
goes through `_end`, and nothing follows it: the leg is released first, and nothing waits for a webhook.

Source of the rules on SIP: RFC 3261 sections 9, 13 and 15.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import Enum

from .lifecycle_effects import (
    AllowSpeech,
    AnswerCall,
    CancelInvite,
    CancelTimer,
    CloseRoom,
    Commit,
    DeliverStartInstruction,
    Effect,
    FieldValue,
    HangUp,
    Outcome,
    SetTimer,
    StartRecording,
    StopRecording,
)
from .lifecycle_events import (
    AgentReady,
    Answered,
    CancelRequested,
    DialFailed,
    Dispatched,
    Errored,
    Event,
    FinalResponse,
    HangUpRequested,
    MediaPathReady,
    MediaReceived,
    NoPlace,
    PeerHungUp,
    ProcessLost,
    ProvisionalResponse,
    RoomClosed,
    RtpTimedOut,
    Shutdown,
    Superseded,
    TimerFired,
    TransferCompleted,
)
from .sip_status import rings, status_of_final_response
from .status import TERMINAL, CallDirection, CallStatus, EndReason

# Timers.
SETUP = "setup"  # an attempt that nobody answers, or an inbound call that we do not get to answer
NO_RTP = "no_rtp"  # answered, but no audio ever came
AGENT = "agent"  # answered, but there is no agent
MAX_DURATION = "max_duration"

WEBHOOK_AT_END = "call.ended"
_TEMPORARILY_UNAVAILABLE = 480
_SERVICE_UNAVAILABLE = 503


@dataclass(frozen=True, slots=True)
class CallLimits:
    """How long a call may take over what, in seconds.

    Attributes:
        setup: from dialling, or from the first ring of an inbound call, to the answer.
        agent: from the answer to the agent's readiness.
        no_rtp: from the answer to the first audio of the far end; None for a call without audio.
        max_duration: from the answer to the end. The agent announces the end earlier by itself; this is the hard limit.
    """

    setup: float = 60.0
    agent: float = 15.0
    no_rtp: float | None = 30.0
    max_duration: float = 1860.0


@dataclass(frozen=True, slots=True)
class CallPlan:
    """What is known of a call before it begins."""

    direction: CallDirection
    limits: CallLimits = field(default_factory=CallLimits)
    record: bool = True


class Part(Enum):
    """What has to be there before the agent opens the conversation."""

    AGENT = "agent"
    MEDIA_PATH = "media_path"


@dataclass(frozen=True, slots=True)
class CallState:
    """Where a call stands. `begin` makes one; the supervisor builds one from the record of a call that lost its owner.

    Attributes:
        ready: which parts are there.
        answered_at: when it was answered.
        media_at: when the first audio of the far end came.
        timers: name and deadline of each that is set.
        outcome: how it ended; None while it goes on, and when somebody else ended it.
    """

    plan: CallPlan
    status: CallStatus
    ready: frozenset[Part] = frozenset()
    answered_at: float | None = None
    media_at: float | None = None
    timers: tuple[tuple[str, float], ...] = ()
    outcome: Outcome | None = None


def begin(plan: CallPlan, now: float) -> tuple[CallState, list[Effect]]:
    """A new call: outbound in the queue, inbound ringing, web answered."""
    match plan.direction:
        case CallDirection.OUTBOUND:
            status = CallStatus.QUEUED
        case CallDirection.INBOUND:
            status = CallStatus.RINGING
        case CallDirection.WEB:
            status = CallStatus.ANSWERED
    transition = _Transition(CallState(plan, status), now)
    transition.effects.append(Commit(None, status, f"call.{status}", now, _times(status, now)))
    if status is CallStatus.RINGING:
        transition.set_timer(SETUP, plan.limits.setup)
    elif status is CallStatus.ANSWERED:
        transition.open()
    return transition.state, transition.effects


def refuse(
    status: CallStatus, now: float, *, sip_code: int, reason: EndReason | None = None, detail: str = ""
) -> Commit:
    """The whole record of an inbound call that was refused before it rang: it begins with its end.

    Args:
        status: the end.
        sip_code: the response that the caller's side got.
    """
    outcome = Outcome(
        status=status, end_reason=reason, ended_at=now, billed_seconds=0, sip_code=sip_code, detail=detail
    )
    return Commit(None, status, WEBHOOK_AT_END, now, _fields(outcome), webhook=WEBHOOK_AT_END)


def step(state: CallState, event: Event, now: float) -> tuple[CallState, list[Effect]]:
    """Take one event at time `now`; returns the new state and what to do, in order. After the end: nothing."""
    if state.status in TERMINAL:
        return state, []
    transition = _Transition(state, now)
    match event:
        case Dispatched() | DialFailed() | ProvisionalResponse() | FinalResponse() | Answered():
            _set_up(transition, event)
        case MediaPathReady() | AgentReady() | MediaReceived():
            _prepare(transition, event)
        case TimerFired(name):
            _time_out(transition, name)
        case Superseded(status):
            if status in TERMINAL:
                transition.abandon(status)
        case _:
            _finish(transition, event)
    return transition.state, transition.effects


def _set_up(
    call: _Transition, event: Dispatched | DialFailed | ProvisionalResponse | FinalResponse | Answered
) -> None:
    """An attempt goes on, fails or is answered."""
    status, outbound = call.state.status, call.state.plan.direction is CallDirection.OUTBOUND
    trying = status in (CallStatus.DIALING, CallStatus.RINGING)
    match event:
        case Dispatched() if status is CallStatus.QUEUED:
            call.move(CallStatus.DIALING)
            call.set_timer(SETUP, call.state.plan.limits.setup)
        case DialFailed(detail) if status is CallStatus.DIALING:
            call.requeue(detail)
        case ProvisionalResponse(code) if status is CallStatus.DIALING and rings(code):
            call.move(CallStatus.RINGING, sip_code=code)
        case FinalResponse(code, phrase, refused) if trying and outbound:
            ended = CallStatus.REJECTED if refused else status_of_final_response(code)
            call.end(ended, sip_code=code, detail=phrase, leg_gone=True)
        case Answered() if trying:
            call.move(CallStatus.ANSWERED)
            call.open()


def _prepare(call: _Transition, event: MediaPathReady | AgentReady | MediaReceived) -> None:
    """Something that the conversation needs is there."""
    match event:
        case MediaPathReady():
            call.add(Part.MEDIA_PATH)
        case AgentReady():
            call.add(Part.AGENT)
        case MediaReceived() if call.counts_media and call.state.media_at is None:
            call.cancel_timer(NO_RTP)
            call.change(media_at=call.now)
            call.note("call.media_received", media_at=call.now)


def _time_out(call: _Transition, name: str) -> None:
    """A timer that was cancelled, but fired while the cancellation was on its way, is nothing."""
    if all(timer != name for timer, _ in call.state.timers):
        return
    call.change(timers=tuple(timer for timer in call.state.timers if timer[0] != name))
    match name:
        case "setup":
            limit = call.state.plan.limits.setup
            call.end(
                CallStatus.TIMEOUT, detail=f"not answered within {limit:g} s", reject=_TEMPORARILY_UNAVAILABLE
            )
        case "no_rtp":
            call.complete(EndReason.NO_RTP_AFTER_ANSWER)
        case "agent":
            limit = call.state.plan.limits.agent
            call.end(CallStatus.FAILED, EndReason.ERROR, detail=f"the agent was not ready within {limit:g} s")
        case "max_duration":
            call.complete(EndReason.MAX_DURATION)


def _finish(call: _Transition, event: Event) -> None:
    """Somebody or something ends the call."""
    status = call.state.status
    if status is CallStatus.QUEUED:
        _finish_queued(call, event)
    elif status is CallStatus.ANSWERED:
        _finish_answered(call, event)
    else:
        _finish_attempt(call, event)


def _finish_queued(call: _Transition, event: Event) -> None:
    """Nothing was sent yet. A process that stops or dies leaves the call to the next dispatcher."""
    match event:
        case CancelRequested() | HangUpRequested():
            call.end(CallStatus.CANCELLED)
        case Errored(detail):
            call.end(CallStatus.FAILED, EndReason.ERROR, detail=detail)


def _finish_attempt(call: _Transition, event: Event) -> None:
    """Dialling or ringing."""
    inbound = call.state.plan.direction is CallDirection.INBOUND
    match event:
        case CancelRequested() | HangUpRequested():
            call.end(CallStatus.CANCELLED, reject=_TEMPORARILY_UNAVAILABLE)
        case PeerHungUp():
            ended = CallStatus.CANCELLED if inbound else CallStatus.REJECTED
            call.end(ended, EndReason.CALLER_HANGUP, leg_gone=True)
        case RoomClosed():
            call.end(CallStatus.FAILED, EndReason.ROOM_CLOSED, room_gone=True, reject=500)
        case NoPlace(detail) if inbound:
            call.end(
                CallStatus.BUSY, detail=detail, sip_code=_SERVICE_UNAVAILABLE, reject=_SERVICE_UNAVAILABLE
            )
        case Shutdown():
            call.end(CallStatus.CANCELLED, EndReason.SHUTDOWN, reject=_SERVICE_UNAVAILABLE)
        case Errored(detail, sip_code):
            call.end(CallStatus.FAILED, EndReason.ERROR, detail=detail, reject=sip_code)
        case ProcessLost(last_seen):
            call.lose(last_seen)


def _finish_answered(call: _Transition, event: Event) -> None:
    match event:
        case PeerHungUp():
            call.complete(EndReason.CALLER_HANGUP, leg_gone=True)
        case RoomClosed():
            call.complete(EndReason.ROOM_CLOSED, room_gone=True)
        case RtpTimedOut():
            call.complete(EndReason.RTP_TIMEOUT)
        case CancelRequested():
            call.complete(EndReason.AGENT_HANGUP)
        case HangUpRequested(EndReason.ERROR):
            call.end(CallStatus.FAILED, EndReason.ERROR)
        case HangUpRequested(reason):
            call.complete(reason)
        case TransferCompleted(target):
            call.complete(EndReason.TRANSFERRED, detail=target)
        case Shutdown():
            call.complete(EndReason.SHUTDOWN)
        case Errored(detail):
            call.end(CallStatus.FAILED, EndReason.ERROR, detail=detail)
        case ProcessLost(last_seen):
            call.lose(last_seen)


class _Transition:
    """The state as changed so far, and the effects so far."""

    def __init__(self, state: CallState, now: float) -> None:
        self.state = state
        self.now = now
        self.effects: list[Effect] = []

    def change(self, **fields: object) -> None:
        self.state = replace(self.state, **fields)  # type: ignore[arg-type]

    def set_timer(self, name: str, delay: float) -> None:
        self.change(timers=(*self.state.timers, (name, self.now + delay)))
        self.effects.append(SetTimer(name, self.now + delay))

    def cancel_timer(self, name: str) -> None:
        if any(timer == name for timer, _ in self.state.timers):
            self.change(timers=tuple(timer for timer in self.state.timers if timer[0] != name))
            self.effects.append(CancelTimer(name))

    def note(self, event: str, **fields: FieldValue) -> None:
        """Record something that leaves the status as it is."""
        status = self.state.status
        self.effects.append(Commit(status, status, event, self.now, fields))

    def move(self, status: CallStatus, **fields: FieldValue) -> None:
        """Go on to a status that is no end."""
        before = self.state.status
        self.change(status=status)
        fields = {**_times(status, self.now), **fields}
        event = f"call.{status}" if status is not CallStatus.QUEUED else "call.requeued"
        self.effects.append(Commit(before, status, event, self.now, fields))

    def requeue(self, detail: str) -> None:
        """Nothing was sent: back into the queue, as if it had never left."""
        self.cancel_timer(SETUP)
        self.effects.append(CloseRoom())
        self.change(ready=frozenset())
        self.move(CallStatus.QUEUED, detail=detail, dialing_at=None, agent_ready_at=None)

    def open(self) -> None:
        """The call is answered."""
        limits = self.state.plan.limits
        self.change(answered_at=self.now)
        self.cancel_timer(SETUP)
        self.effects.append(AllowSpeech())
        if self.state.plan.record:
            self.effects.append(StartRecording())
        self.set_timer(MAX_DURATION, limits.max_duration)
        if limits.no_rtp is not None and self.state.media_at is None:
            self.set_timer(NO_RTP, limits.no_rtp)
        if Part.AGENT not in self.state.ready:
            self.set_timer(AGENT, limits.agent)
        self._start_if_ready()

    def add(self, part: Part) -> None:
        if part in self.state.ready:
            return
        self.change(ready=self.state.ready | {part})
        self.note(f"call.{part.value}_ready", **{f"{part.value}_ready_at": self.now})
        if part is Part.AGENT:
            self.cancel_timer(AGENT)
            if self._rings_here:
                self.effects.append(AnswerCall())
        self._start_if_ready()

    def _start_if_ready(self) -> None:
        """Called once when answered and once for each part, so the last of them finds all there, and none does again."""
        if self.state.status is CallStatus.ANSWERED and self.state.ready == frozenset(Part):
            self.effects.append(DeliverStartInstruction())

    @property
    def _rings_here(self) -> bool:
        return self.state.status is CallStatus.RINGING and self.state.plan.direction is CallDirection.INBOUND

    @property
    def counts_media(self) -> bool:
        """A caller's audio may overtake his ACK; a callee's audio before his answer is a ringing tone."""
        return self.state.status is CallStatus.ANSWERED or self._rings_here

    def complete(
        self, reason: EndReason, *, detail: str = "", leg_gone: bool = False, room_gone: bool = False
    ) -> None:
        """End an answered call; one that no audio ever reached was none."""
        status = CallStatus.COMPLETED
        if self.state.plan.limits.no_rtp is not None and self.state.media_at is None:
            if reason is not EndReason.NO_RTP_AFTER_ANSWER:
                detail = f"{reason}; {detail}" if detail else str(reason)
            status, reason = CallStatus.FAILED, EndReason.NO_RTP_AFTER_ANSWER
        self.end(status, reason, detail=detail, leg_gone=leg_gone, room_gone=room_gone)

    def lose(self, last_seen: float) -> None:
        """The owner died at about `last_seen`, and leg and room with it, as far as anybody knows."""
        self.end(
            CallStatus.FAILED,
            EndReason.ERROR,
            detail="the process that ran the call died",
            ended_at=min(self.now, max(last_seen, self.state.answered_at or last_seen)),
        )

    def end(
        self,
        status: CallStatus,
        reason: EndReason | None = None,
        *,
        detail: str = "",
        sip_code: int | None = None,
        reject: int | None = None,
        leg_gone: bool = False,
        room_gone: bool = False,
        ended_at: float | None = None,
    ) -> None:
        """The one way to an end.

        Args:
            sip_code: the response that ended an attempt of ours.
            reject: the response to an inbound call that still rings.
            leg_gone: the far end's leg is over already.
            room_gone: so is the room.
            ended_at: when, if not now.
        """
        before = self.state.status
        why = str(reason or status)
        if not leg_gone:
            self._release_leg(reject, why)
        outcome = Outcome(
            status=status,
            end_reason=reason,
            ended_at=self.now if ended_at is None else ended_at,
            billed_seconds=self._billed(self.now if ended_at is None else ended_at),
            sip_code=sip_code,
            detail=detail,
        )
        self._release_rest(room_gone)
        self.change(status=status, outcome=outcome)
        self.effects.append(
            Commit(before, status, WEBHOOK_AT_END, self.now, _fields(outcome), webhook=WEBHOOK_AT_END)
        )

    def abandon(self, status: CallStatus) -> None:
        """Somebody else ended the call: let everything go and say nothing."""
        self._release_leg(_TEMPORARILY_UNAVAILABLE, str(status))
        self._release_rest(room_gone=False)
        self.change(status=status)

    def _release_leg(self, reject: int | None, why: str) -> None:
        match self.state.status:
            case CallStatus.ANSWERED:
                self.effects.append(HangUp(None, why))
            case CallStatus.RINGING | CallStatus.DIALING if not self._rings_here:
                self.effects.append(CancelInvite())
            case CallStatus.RINGING:
                self.effects.append(HangUp(reject or 500, why))

    def _release_rest(self, room_gone: bool) -> None:
        self.effects += [CancelTimer(name) for name, _ in self.state.timers]
        self.change(timers=())
        if self.state.status is CallStatus.ANSWERED and self.state.plan.record:
            self.effects.append(StopRecording())
        if self.state.status is not CallStatus.QUEUED and not room_gone:
            self.effects.append(CloseRoom())

    def _billed(self, ended_at: float) -> int:
        state = self.state
        if state.answered_at is None or state.media_at is None or Part.AGENT not in state.ready:
            return 0
        return max(0, math.ceil(ended_at - state.answered_at))


def _times(status: CallStatus, now: float) -> dict[str, FieldValue]:
    """Which time a status stamps on the record: `queued_at`, `dialing_at`, `ringing_at`, `answered_at`."""
    return {f"{status}_at": now}


def _fields(outcome: Outcome) -> dict[str, FieldValue]:
    return {
        "end_reason": outcome.end_reason,
        "ended_at": outcome.ended_at,
        "billed_seconds": outcome.billed_seconds,
        "sip_code": outcome.sip_code,
        "detail": outcome.detail,
    }
