"""The life of a call: one row for each transition and each race."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from antiphon.calls.lifecycle import CallLimits, CallPlan, CallState, begin, step
from antiphon.calls.lifecycle_effects import (
    AllowSpeech,
    AnswerCall,
    CancelInvite,
    CancelTimer,
    CloseRoom,
    Commit,
    DeliverStartInstruction,
    Effect,
    HangUp,
    SetTimer,
    StartRecording,
    StopRecording,
)
from antiphon.calls.lifecycle_events import (
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
from antiphon.calls.sip_status import rings, status_of_final_response
from antiphon.calls.status import TERMINAL, CallDirection, CallStatus, EndReason

OUT, IN, WEB = CallDirection.OUTBOUND, CallDirection.INBOUND, CallDirection.WEB
LIMITS = CallLimits(setup=60.0, agent=15.0, no_rtp=30.0, max_duration=600.0)

# Where a call can stand: direction, and the events that lead there, one a second from 1 on.
SETTING_UP: list[Event] = [Dispatched(), ProvisionalResponse(180)]
THERE: list[Event] = [AgentReady(), MediaPathReady(), MediaReceived()]
PATHS: dict[str, tuple[CallDirection, list[Event]]] = {
    "queued": (OUT, []),
    "dialing": (OUT, [Dispatched()]),
    "ringing": (OUT, SETTING_UP),
    "ringing, agent there": (OUT, [*SETTING_UP, AgentReady()]),
    "ringing, all there": (OUT, [*SETTING_UP, AgentReady(), MediaPathReady()]),
    "answered": (OUT, [*SETTING_UP, Answered()]),
    "answered, agent there": (OUT, [*SETTING_UP, Answered(), AgentReady()]),
    "answered, path there": (OUT, [*SETTING_UP, Answered(), MediaPathReady()]),
    "answered, media came": (OUT, [*SETTING_UP, Answered(), MediaReceived()]),
    "talking": (OUT, [*SETTING_UP, Answered(), *THERE]),
    "inbound": (IN, []),
    "inbound, answering": (IN, [AgentReady()]),
    "inbound, early audio": (IN, [AgentReady(), MediaReceived()]),
    "inbound, answered": (IN, [AgentReady(), Answered()]),
    "inbound, talking": (IN, [AgentReady(), MediaPathReady(), Answered(), MediaReceived()]),
    "web": (WEB, []),
    "web, talking": (WEB, THERE),
    "completed": (OUT, [*SETTING_UP, Answered(), *THERE, PeerHungUp()]),
    "busy": (OUT, [*SETTING_UP, FinalResponse(486)]),
}


def play(where: str) -> tuple[CallState, list[Effect]]:
    direction, events = PATHS[where]
    state, effects = begin(CallPlan(direction, LIMITS), 0.0)
    for second, event in enumerate(events, start=1):
        state, more = step(state, event, float(second))
        effects += more
    return state, effects


def brief(effect: Effect) -> str:
    match effect:
        case Commit(before, status, event, _, _, webhook):
            return f"{before or 'new'}>{status} {event}" + (" +webhook" if webhook else "")
        case HangUp(code, reason):
            return f"hang up {code or 'bye'} {reason}"
        case SetTimer(name, at):
            return f"set {name} {at:g}"
        case CancelTimer(name):
            return f"stop {name}"
        case AnswerCall():
            return "answer"
        case CancelInvite():
            return "cancel"
        case AllowSpeech():
            return "speech"
        case StartRecording():
            return "record"
        case StopRecording():
            return "stop recording"
        case DeliverStartInstruction():
            return "start instruction"
        case CloseRoom():
            return "close room"


@dataclass(frozen=True)
class Row:
    """`event` at second 100 of a call that stands at `where` has these effects, in this order."""

    where: str
    event: Event
    effects: list[str]

    def __str__(self) -> str:
        return f"{self.where}: {self.event}"


def ended(before: str, status: str) -> str:
    return f"{before}>{status} call.ended +webhook"


STOP_ALL = ["stop max_duration", "stop no_rtp", "stop agent", "stop recording", "close room"]
OPEN = ["stop setup", "speech", "record", "set max_duration 700"]

ROWS = [
    # out of the queue
    Row("queued", Dispatched(), ["queued>dialing call.dialing", "set setup 160"]),
    Row("queued", CancelRequested(), [ended("queued", "cancelled")]),
    Row("queued", HangUpRequested(), [ended("queued", "cancelled")]),
    Row("queued", Errored("no such trunk"), [ended("queued", "failed")]),
    Row("queued", Shutdown(), []),
    Row("queued", ProcessLost(50.0), []),
    Row("queued", DialFailed("no trunk"), []),
    Row("queued", Answered(), []),
    Row("queued", PeerHungUp(), []),
    # dialling
    Row("dialing", ProvisionalResponse(100), []),
    Row("dialing", ProvisionalResponse(180), ["dialing>ringing call.ringing"]),
    Row("dialing", ProvisionalResponse(183), ["dialing>ringing call.ringing"]),
    Row("dialing", ProvisionalResponse(199), []),
    Row("dialing", Dispatched(), []),
    Row("dialing", MediaReceived(), []),
    Row("dialing", DialFailed("no trunk"), ["stop setup", "close room", "dialing>queued call.requeued"]),
    Row("dialing", Answered(), ["dialing>answered call.answered", *OPEN, "set no_rtp 130", "set agent 115"]),
    Row("dialing", FinalResponse(486), ["stop setup", "close room", ended("dialing", "busy")]),
    Row("dialing", CancelRequested(), ["cancel", "stop setup", "close room", ended("dialing", "cancelled")]),
    Row("dialing", TimerFired("setup"), ["cancel", "close room", ended("dialing", "timeout")]),
    Row("dialing", Errored("gone"), ["cancel", "stop setup", "close room", ended("dialing", "failed")]),
    Row("dialing", ProcessLost(50.0), ["cancel", "stop setup", "close room", ended("dialing", "failed")]),
    # ringing at the far end
    Row("ringing", ProvisionalResponse(180), []),
    Row("ringing", DialFailed("no trunk"), []),
    Row("ringing", FinalResponse(486), ["stop setup", "close room", ended("ringing", "busy")]),
    Row("ringing", FinalResponse(480), ["stop setup", "close room", ended("ringing", "no_answer")]),
    Row("ringing", FinalResponse(603), ["stop setup", "close room", ended("ringing", "rejected")]),
    Row("ringing", FinalResponse(404), ["stop setup", "close room", ended("ringing", "unreachable")]),
    Row("ringing", FinalResponse(503), ["stop setup", "close room", ended("ringing", "failed")]),
    Row("ringing", CancelRequested(), ["cancel", "stop setup", "close room", ended("ringing", "cancelled")]),
    Row("ringing", HangUpRequested(), ["cancel", "stop setup", "close room", ended("ringing", "cancelled")]),
    Row("ringing", Shutdown(), ["cancel", "stop setup", "close room", ended("ringing", "cancelled")]),
    Row("ringing", PeerHungUp(), ["stop setup", "close room", ended("ringing", "rejected")]),
    Row("ringing", RoomClosed(), ["cancel", "stop setup", ended("ringing", "failed")]),
    Row("ringing", TimerFired("setup"), ["cancel", "close room", ended("ringing", "timeout")]),
    Row("ringing", RtpTimedOut(), []),
    Row("ringing", TransferCompleted(), []),
    Row("ringing", AgentReady(), ["ringing>ringing call.agent_ready"]),
    Row("ringing", MediaPathReady(), ["ringing>ringing call.media_path_ready"]),
    Row("ringing", Answered(), ["ringing>answered call.answered", *OPEN, "set no_rtp 130", "set agent 115"]),
    Row("ringing, agent there", AgentReady(), []),
    Row("ringing, agent there", Answered(), ["ringing>answered call.answered", *OPEN, "set no_rtp 130"]),
    Row(
        "ringing, all there",
        Answered(),
        ["ringing>answered call.answered", *OPEN, "set no_rtp 130", "start instruction"],
    ),
    # answered: the start instruction goes out when the last part is there
    Row("answered", AgentReady(), ["answered>answered call.agent_ready", "stop agent"]),
    Row("answered", MediaPathReady(), ["answered>answered call.media_path_ready"]),
    Row("answered", MediaReceived(), ["stop no_rtp", "answered>answered call.media_received"]),
    Row("answered", Answered(), []),
    Row("answered", FinalResponse(486), []),
    Row("answered", ProvisionalResponse(180), []),
    Row("answered", TimerFired("setup"), []),
    Row(
        "answered, agent there",
        MediaPathReady(),
        ["answered>answered call.media_path_ready", "start instruction"],
    ),
    Row(
        "answered, path there",
        AgentReady(),
        ["answered>answered call.agent_ready", "stop agent", "start instruction"],
    ),
    Row("talking", MediaPathReady(), []),
    Row("talking", MediaReceived(), []),
    # answered, but nobody is heard, or no agent comes
    Row(
        "answered",
        TimerFired("no_rtp"),
        [
            "hang up bye no_rtp_after_answer",
            *(line for line in STOP_ALL if line != "stop no_rtp"),
            ended("answered", "failed"),
        ],
    ),
    Row("answered", PeerHungUp(), [*STOP_ALL, ended("answered", "failed")]),
    Row(
        "answered", RtpTimedOut(), ["hang up bye no_rtp_after_answer", *STOP_ALL, ended("answered", "failed")]
    ),
    Row("answered, media came", TimerFired("no_rtp"), []),
    Row(
        "answered, media came",
        TimerFired("agent"),
        [
            "hang up bye error",
            "stop max_duration",
            "stop recording",
            "close room",
            ended("answered", "failed"),
        ],
    ),
    # the ends of a conversation
    *(
        Row(
            "talking",
            event,
            [
                *([f"hang up bye {reason}"] if reason else []),
                "stop max_duration",
                "stop recording",
                *([] if isinstance(event, RoomClosed) else ["close room"]),
                ended("answered", status),
            ],
        )
        for event, reason, status in [
            (PeerHungUp(), "", "completed"),
            (RoomClosed(), "room_closed", "completed"),
            (RtpTimedOut(), "rtp_timeout", "completed"),
            (CancelRequested(), "agent_hangup", "completed"),
            (HangUpRequested(), "agent_hangup", "completed"),
            (HangUpRequested(EndReason.SILENCE_TIMEOUT), "silence_timeout", "completed"),
            (HangUpRequested(EndReason.MAX_DURATION), "max_duration", "completed"),
            (HangUpRequested(EndReason.ERROR), "error", "failed"),
            (TransferCompleted("+4930"), "transferred", "completed"),
            (Shutdown(), "shutdown", "completed"),
            (Errored("model gone"), "error", "failed"),
            (ProcessLost(50.0), "error", "failed"),
        ]
    ),
    Row(
        "talking",
        TimerFired("max_duration"),
        ["hang up bye max_duration", "stop recording", "close room", ended("answered", "completed")],
    ),
    Row(
        "talking",
        Superseded(CallStatus.FAILED),
        ["hang up bye failed", "stop max_duration", "stop recording", "close room"],
    ),
    Row("talking", Superseded(CallStatus.ANSWERED), []),
    # inbound: answered when the agent is there
    Row("inbound", AgentReady(), ["ringing>ringing call.agent_ready", "answer"]),
    Row("inbound", FinalResponse(486), []),
    Row("inbound", PeerHungUp(), ["stop setup", "close room", ended("ringing", "cancelled")]),
    Row(
        "inbound",
        TimerFired("setup"),
        ["hang up 480 timeout", "close room", ended("ringing", "timeout")],
    ),
    Row(
        "inbound",
        Errored("no mapping", 480),
        ["hang up 480 error", "stop setup", "close room", ended("ringing", "failed")],
    ),
    Row("inbound", RoomClosed(), ["hang up 500 room_closed", "stop setup", ended("ringing", "failed")]),
    Row(
        "inbound",
        Shutdown(),
        ["hang up 503 shutdown", "stop setup", "close room", ended("ringing", "cancelled")],
    ),
    Row("inbound", NoPlace(), ["hang up 503 busy", "stop setup", "close room", ended("ringing", "busy")]),
    Row("inbound, talking", NoPlace(), []),
    Row("ringing", NoPlace(), []),
    Row(
        "inbound",
        CancelRequested(),
        ["hang up 480 cancelled", "stop setup", "close room", ended("ringing", "cancelled")],
    ),
    Row("inbound", MediaReceived(), ["ringing>ringing call.media_received"]),
    Row("inbound, answering", Answered(), ["ringing>answered call.answered", *OPEN, "set no_rtp 130"]),
    Row("inbound, early audio", Answered(), ["ringing>answered call.answered", *OPEN]),
    Row("inbound, answering", PeerHungUp(), ["stop setup", "close room", ended("ringing", "cancelled")]),
    Row(
        "inbound, answered",
        MediaPathReady(),
        ["answered>answered call.media_path_ready", "start instruction"],
    ),
    Row(
        "inbound, talking",
        PeerHungUp(),
        ["stop max_duration", "stop recording", "close room", ended("answered", "completed")],
    ),
    # web
    Row("web", AgentReady(), ["answered>answered call.agent_ready", "stop agent"]),
    Row(
        "web", RoomClosed(), ["hang up bye no_rtp_after_answer", *STOP_ALL[:-1], ended("answered", "failed")]
    ),
    Row(
        "web, talking",
        PeerHungUp(),
        ["stop max_duration", "stop recording", "close room", ended("answered", "completed")],
    ),
    # races: whoever comes second finds the call over
    *(
        Row(where, event, [])
        for where in ("completed", "busy")
        for event in [
            PeerHungUp(),
            RoomClosed(),
            RtpTimedOut(),
            CancelRequested(),
            HangUpRequested(),
            Answered(),
            FinalResponse(487),
            Shutdown(),
            ProcessLost(50.0),
            Errored("late"),
            Superseded(CallStatus.FAILED),
            TimerFired("max_duration"),
        ]
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_transition(row: Row) -> None:
    before, _ = play(row.where)
    _, effects = step(before, row.event, 100.0)
    assert [brief(effect) for effect in effects] == row.effects


@pytest.mark.parametrize(
    ("direction", "effects"),
    [
        (OUT, ["new>queued call.queued"]),
        (IN, ["new>ringing call.ringing", "set setup 60"]),
        (
            WEB,
            [
                "new>answered call.answered",
                "speech",
                "record",
                "set max_duration 600",
                "set no_rtp 30",
                "set agent 15",
            ],
        ),
    ],
)
def test_begin(direction: CallDirection, effects: list[str]) -> None:
    assert [brief(effect) for effect in begin(CallPlan(direction, LIMITS), 0.0)[1]] == effects


@pytest.mark.parametrize(
    ("where", "event", "status", "reason", "billed"),
    [
        # Answered at second 3 with audio and an agent: 97 seconds up to second 100.
        ("talking", PeerHungUp(), "completed", "caller_hangup", 97),
        ("talking", CancelRequested(), "completed", "agent_hangup", 97),
        ("talking", Errored("x"), "failed", "error", 97),
        ("talking", ProcessLost(50.0), "failed", "error", 47),
        ("talking", ProcessLost(1.0), "failed", "error", 0),
        ("talking", ProcessLost(500.0), "failed", "error", 97),
        ("web, talking", RoomClosed(), "completed", "room_closed", 100),
        ("inbound, talking", PeerHungUp(), "completed", "caller_hangup", 97),
        # Not answered, no audio, or no agent: nothing.
        ("answered", PeerHungUp(), "failed", "no_rtp_after_answer", 0),
        ("answered", TimerFired("no_rtp"), "failed", "no_rtp_after_answer", 0),
        ("answered", HangUpRequested(), "failed", "no_rtp_after_answer", 0),
        ("answered", Shutdown(), "failed", "no_rtp_after_answer", 0),
        ("answered", ProcessLost(50.0), "failed", "error", 0),
        ("answered, media came", TimerFired("agent"), "failed", "error", 0),
        ("ringing", FinalResponse(486), "busy", None, 0),
        ("ringing", TimerFired("setup"), "timeout", None, 0),
        ("ringing", PeerHungUp(), "rejected", "caller_hangup", 0),
        ("inbound", PeerHungUp(), "cancelled", "caller_hangup", 0),
        ("queued", CancelRequested(), "cancelled", None, 0),
    ],
)
def test_outcome(where: str, event: Event, status: str, reason: str | None, billed: int) -> None:
    state, effects = step(play(where)[0], event, 100.0)
    assert state.outcome is not None
    assert (state.outcome.status, state.outcome.end_reason) == (status, reason)
    assert state.outcome.billed_seconds == billed
    assert state.timers == ()
    last = effects[-1]
    assert isinstance(last, Commit)
    assert last.fields["billed_seconds"] == billed
    assert last.fields["end_reason"] == reason


def test_a_call_without_audio_completes_and_costs_nothing() -> None:
    limits = CallLimits(no_rtp=None)
    state, effects = begin(CallPlan(WEB, limits, record=False), 0.0)
    assert "record" not in [brief(effect) for effect in effects]
    state, _ = step(state, AgentReady(), 1.0)
    state, effects = step(state, PeerHungUp(), 20.0)
    assert "stop recording" not in [brief(effect) for effect in effects]
    assert state.outcome is not None
    assert (state.outcome.status, state.outcome.billed_seconds) == ("completed", 0)


def test_the_supervisor_ends_a_call_it_found_in_the_store() -> None:
    found = CallState(CallPlan(OUT, LIMITS), CallStatus.ANSWERED, answered_at=1000.0, media_at=1001.0)
    state, effects = step(found, ProcessLost(last_seen=1050.0), 2000.0)
    assert state.outcome is not None
    assert state.outcome.ended_at == 1050.0
    assert [brief(effect) for effect in effects][-1] == ended("answered", "failed")


def test_how_it_ended_otherwise_is_kept_when_no_audio_came() -> None:
    state, _ = step(play("answered")[0], TransferCompleted("+4930"), 100.0)
    assert state.outcome is not None
    assert state.outcome.detail == "transferred; +4930"


@pytest.mark.parametrize(
    ("codes", "status"),
    [
        ([486, 600], "busy"),
        ([408, 480], "no_answer"),
        ([403, 603], "rejected"),
        ([487], "cancelled"),
        ([404, 410, 484], "unreachable"),
        ([302, 400, 401, 407, 488, 500, 503, 604, 606, 699], "failed"),
    ],
)
def test_final_responses(codes: list[int], status: str) -> None:
    assert {status_of_final_response(code) for code in codes} == {status}


@pytest.mark.parametrize("code", [0, 100, 180, 200, 299, 700])
def test_what_is_no_failure(code: int) -> None:
    with pytest.raises(ValueError, match=str(code)):
        status_of_final_response(code)


def test_every_final_response_is_an_end() -> None:
    assert {status_of_final_response(code) for code in range(300, 700)} <= TERMINAL
    assert [code for code in range(100, 200) if rings(code)] == [180, 181, 182, 183]


def test_a_wrong_password_is_rejected() -> None:
    state, _ = play("dialing")
    ended, _ = step(state, FinalResponse(407, "Proxy Authentication Required", credentials_refused=True), 1.0)
    assert ended.outcome is not None
    assert (ended.outcome.status, ended.outcome.sip_code) == ("rejected", 407)
