"""The turn-taking machine, row by row: events with their times, and the effects that must come, with theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from antiphon.turns import (
    CancelSpeculation,
    Close,
    CommitRequested,
    CommitTurn,
    DropReply,
    DropTurn,
    Effect,
    EndOfTurnScored,
    Event,
    Final,
    Hold,
    Interim,
    InterruptPlayout,
    LogBackchannel,
    PausePlayout,
    PlayoutFinished,
    PlayoutStarted,
    ReleaseReply,
    ReplyEnded,
    ReplyQueued,
    ReplyReady,
    ResumePlayout,
    Speculate,
    SpeechContinues,
    SpeechEnded,
    SpeechStarted,
    SynthesizeSpeculation,
    TextInput,
    TimerFired,
    ToolStarted,
    TurnOptions,
    TurnState,
    Weight,
    step,
)
from antiphon.turns.effects import CancelTimer, ScoreEndOfTurn, SetTimer, StateChanged

TEXT = "what time is it"


PLAIN, ACKNOWLEDGED, COURTEOUS, INSISTENT = Weight


def said(
    start: float, end: float, text: str, final_at: float, weight: Weight = PLAIN
) -> list[tuple[float, Event]]:
    return [(start, SpeechStarted(start)), (end, SpeechEnded(end)), (final_at, Final(text, weight=weight))]


def playing(reply: str = "a", at: float = 0.0, *, interruptible: bool = True) -> list[tuple[float, Event]]:
    return [(at, ReplyQueued(reply, interruptible)), (at, ReplyReady(reply)), (at, PlayoutStarted(reply))]


@dataclass(frozen=True)
class Row:
    """`effects` lists all but timers, states and scores."""

    name: str
    events: Sequence[tuple[float, Event]]
    effects: Sequence[tuple[float, Effect]]
    options: dict[str, Any] = field(default_factory=dict)


NO_SPECULATION = {"preemptive_generation": False}
TURN = said(0.5, 2.5, TEXT, 2.7)
ROWS = [
    Row("a turn commits half a second after speech", TURN, [(2.7, Speculate(TEXT)), (3.0, CommitTurn(TEXT, "turn_1", 2.5))]),
    Row("a late transcript commits on arrival", [*said(0.5, 2.5, TEXT, 3.7), (3.7, EndOfTurnScored(None, TEXT))], [(3.7, CommitTurn(TEXT, "turn_1", 2.5))], NO_SPECULATION),
    Row("a late transcript waits a moment for the detector", [*said(0.5, 2.5, TEXT, 3.7), (3.72, EndOfTurnScored(0.6, TEXT))], [(3.72, CommitTurn(TEXT, "turn_1", 2.5))], NO_SPECULATION),
    Row("and longer when it says so", [*said(0.5, 2.5, TEXT, 3.7), (3.72, EndOfTurnScored(0.2, TEXT))], [(5.5, CommitTurn(TEXT, "turn_1", 2.5))], NO_SPECULATION),
    Row("but no longer than that moment", said(0.5, 2.5, TEXT, 3.7), [(3.8, CommitTurn(TEXT, "turn_1", 2.5))], NO_SPECULATION),
    Row("nothing is sure while words are owed", [*TURN, (2.72, SpeechStarted(2.71)), (2.75, EndOfTurnScored(0.95, TEXT)), (3.6, SpeechEnded(3.4)), (3.7, Final("in Rome")), (3.72, EndOfTurnScored(0.95, "what time is it in Rome"))],
        [(3.72, CommitTurn("what time is it in Rome", "turn_1", 3.4))], NO_SPECULATION),
    Row("an interim text after the final one is words owed", [(0.5, SpeechStarted(0.5)), (2.0, Final(TEXT)), (2.1, EndOfTurnScored(0.95, TEXT)), (2.3, Interim("in")), (2.6, SpeechEnded(2.5))],
        [(3.0, CommitTurn(TEXT, "turn_1", 2.5))], NO_SPECULATION),
    Row("a sure end may be known before speech has ended", [(0.5, SpeechStarted(0.5)), (2.5, Final(TEXT)), (2.52, EndOfTurnScored(0.95, TEXT)), (2.7, SpeechEnded(2.5))],
        [(2.7, CommitTurn(TEXT, "turn_1", 2.5))], NO_SPECULATION),
    Row("speech without words makes an unlikely end less so", [*TURN, (2.75, EndOfTurnScored(0.2, TEXT)), (3.5, SpeechStarted(3.5)), (4.1, SpeechEnded(4.0))],
        [(5.25, CommitTurn(TEXT, "turn_1", 4.0))], NO_SPECULATION),
    Row("until its words come", [*TURN, (2.75, EndOfTurnScored(0.2, TEXT)), (3.5, SpeechStarted(3.5)), (4.1, SpeechEnded(4.0)), (4.8, Final("in")), (4.82, EndOfTurnScored(0.2, "what time is it in"))],
        [(7.0, CommitTurn("what time is it in", "turn_1", 4.0))], NO_SPECULATION),
    Row("a sure end commits at once", [*TURN, (2.75, EndOfTurnScored(0.95, TEXT))], [(2.75, CommitTurn(TEXT, "turn_1", 2.5))], NO_SPECULATION),
    Row("an unlikely end waits", [*TURN, (2.75, EndOfTurnScored(0.2, TEXT))], [(5.5, CommitTurn(TEXT, "turn_1", 2.5))], NO_SPECULATION),
    Row("a score of other words counts for nothing", [*TURN, (2.75, EndOfTurnScored(0.2, "what"))], [(3.0, CommitTurn(TEXT, "turn_1", 2.5))], NO_SPECULATION),
    Row("a likely end synthesises early", [*TURN, (2.75, EndOfTurnScored(0.8, TEXT)), (2.9, Close())],
        [(2.7, Speculate(TEXT)), (2.75, SynthesizeSpeculation()), (2.9, CancelSpeculation()), (2.9, DropTurn(TEXT, "closed"))]),
    Row("more words cancel the speculation", [*TURN, (2.8, SpeechStarted(2.8)), (2.9, Interim("and the date")), (2.95, Close())],
        [(2.7, Speculate(TEXT)), (2.9, CancelSpeculation()), (2.95, DropTurn(TEXT, "closed"))]),
    Row("no speculation while a tool runs", [(0.1, ToolStarted("t")), *TURN], [(3.0, CommitTurn(TEXT, "turn_1", 2.5))]),
    Row("a ready reply is heard", [*TURN, (3.2, ReplyReady("turn_1"))], [(3.0, CommitTurn(TEXT, "turn_1", 2.5)), (3.2, ReleaseReply("turn_1"))], NO_SPECULATION),
    Row("not while the user speaks", [(0.0, SpeechStarted(0.0)), (0.1, ReplyQueued("a")), (0.2, ReplyReady("a")), (0.3, SpeechEnded(0.3))],
        [(0.8, ReleaseReply("a"))]),
    Row("replies are heard one after the other", [*playing("a"), (0.1, ReplyQueued("b")), (0.2, ReplyReady("b")), (1.0, PlayoutFinished("a"))],
        [(0.0, ReleaseReply("a")), (1.0, ReleaseReply("b"))]),
    Row("a reply may go on after a tool", [*playing("a"), (1.0, PlayoutFinished("a", 1.0, more=True)), (2.0, ReplyReady("a"))],
        [(0.0, ReleaseReply("a")), (2.0, ReleaseReply("a"))]),
    Row("a stopgap goes ahead of the reply it waits for", [*TURN, (4.0, ReplyQueued("hm", stopgap=True)), (4.1, ReplyReady("hm")), (4.2, ReplyReady("turn_1")), (4.2, PlayoutStarted("hm")), (5.0, PlayoutFinished("hm"))],
        [(3.0, CommitTurn(TEXT, "turn_1", 2.5)), (4.1, ReleaseReply("hm")), (5.0, ReleaseReply("turn_1"))], NO_SPECULATION),
    Row("a stopgap that is late is dropped", [*TURN, (4.0, ReplyQueued("hm", stopgap=True)), (4.1, ReplyReady("turn_1")), (4.2, ReplyReady("hm"))],
        [(3.0, CommitTurn(TEXT, "turn_1", 2.5)), (4.1, DropReply("hm", "superseded")), (4.1, ReleaseReply("turn_1"))], NO_SPECULATION),
    Row("a stopgap with nothing to wait for is heard", [(0.0, ReplyQueued("hm", stopgap=True)), (0.1, ReplyReady("hm"))], [(0.1, ReleaseReply("hm"))]),
    Row("a reply without a word makes room", [(0.0, ReplyQueued("a")), (0.0, ReplyQueued("b")), (0.1, ReplyReady("b")), (0.2, ReplyEnded("a"))],
        [(0.2, ReleaseReply("b"))]),
    Row("speech pauses a reply that can pause", [*playing("a"), (1.0, SpeechStarted(1.0)), (1.49, SpeechContinues(0.49))],
        [(0.0, ReleaseReply("a")), (1.49, PausePlayout()), (8.0, ResumePlayout())]),
    Row("the limit is met between two updates", [*playing("a"), (1.0, SpeechStarted(1.0)), (1.47, SpeechContinues(0.47)), (1.5, Close())],
        [(0.0, ReleaseReply("a")), (1.49, PausePlayout()), (1.5, InterruptPlayout("a"))]),
    Row("silence between two updates does not count", [*playing("a"), (1.0, SpeechStarted(1.0)), (1.47, SpeechContinues(0.45, 0.02)), (1.6, Close())],
        [(0.0, ReleaseReply("a")), (1.6, InterruptPlayout("a"))]),
    Row("noise is resumed from", [*playing("a"), (1.0, SpeechStarted(1.0)), (1.5, SpeechContinues(0.5)), (2.2, SpeechEnded(2.0))],
        [(0.0, ReleaseReply("a")), (1.5, PausePlayout()), (4.0, ResumePlayout())]),
    Row("words end a pause", [*playing("a"), (1.0, SpeechStarted(1.0)), (1.5, SpeechContinues(0.5)), (1.7, Interim("stop"))],
        [(0.0, ReleaseReply("a")), (1.5, PausePlayout()), (1.7, InterruptPlayout("a"))]),
    Row("output that cannot pause is interrupted", [*playing("a"), (1.0, SpeechStarted(1.0)), (1.5, SpeechContinues(0.5))],
        [(0.0, ReleaseReply("a")), (1.5, InterruptPlayout("a"))], {"can_pause": False}),
    Row("a short word is a backchannel", [*playing("a"), *said(1.0, 1.3, "ok", 1.5)], [(0.0, ReleaseReply("a")), (1.5, LogBackchannel("ok"))]),
    Row("a short command is none", [*playing("a"), *said(1.0, 1.3, "stop", 1.5, INSISTENT)],
        [(0.0, ReleaseReply("a")), (1.5, InterruptPlayout("a")), (1.8, CommitTurn("stop", "turn_1", 1.3))], NO_SPECULATION),
    Row("its beginning is not yet a command", [*playing("a"), (1.0, SpeechStarted(1.0)), (1.2, Interim("no", INSISTENT)), (1.4, SpeechEnded(1.3)), (1.5, Final("nobody", weight=PLAIN))],
        [(0.0, ReleaseReply("a")), (1.5, LogBackchannel("nobody"))]),
    Row("an acknowledgement pauses at most", [*playing("a"), (1.0, SpeechStarted(1.0)), (1.4, Interim("right", ACKNOWLEDGED)), (1.5, SpeechContinues(0.5)), (1.6, Interim("right", ACKNOWLEDGED)), (1.85, SpeechEnded(1.6)), (1.95, Final("Right.", weight=ACKNOWLEDGED))],
        [(0.0, ReleaseReply("a")), (1.5, PausePlayout()), (1.95, LogBackchannel("Right.")), (1.95, ResumePlayout())]),
    Row("in time even if its end comes after its words", [*playing("a"), (1.0, SpeechStarted(1.0)), (1.5, SpeechContinues(0.5)), (1.6, Final("Right.", weight=ACKNOWLEDGED)), (1.85, SpeechEnded(1.6))],
        [(0.0, ReleaseReply("a")), (1.5, PausePlayout()), (1.6, LogBackchannel("Right.")), (2.1, ResumePlayout())]),
    Row("and where nothing can pause, not even that", [*playing("a"), (1.0, SpeechStarted(1.0)), (1.4, Interim("right", ACKNOWLEDGED)), (1.5, SpeechContinues(0.5)), (1.85, SpeechEnded(1.6)), (1.95, Final("Right.", weight=ACKNOWLEDGED))],
        [(0.0, ReleaseReply("a")), (1.95, LogBackchannel("Right."))], {"can_pause": False}),
    Row("more words after it are an interruption", [*playing("a"), (1.0, SpeechStarted(1.0)), (1.5, SpeechContinues(0.5)), (1.6, Interim("okay", ACKNOWLEDGED)), (1.9, Interim("okay stop", INSISTENT)), (2.2, SpeechEnded(2.0)), (2.3, Final("Okay, stop.", weight=INSISTENT))],
        [(0.0, ReleaseReply("a")), (1.5, PausePlayout()), (1.9, InterruptPlayout("a")), (2.5, CommitTurn("Okay, stop.", "turn_1", 2.0))], NO_SPECULATION),
    Row("a word in a pause ends it", [*playing("a"), (1.0, SpeechStarted(1.0)), (1.5, SpeechContinues(0.5)), (1.85, SpeechEnded(1.6)), *said(2.5, 2.8, "Bob", 3.0)],
        [(0.0, ReleaseReply("a")), (1.5, PausePlayout()), (3.0, InterruptPlayout("a")), (3.3, CommitTurn("Bob", "turn_1", 2.8))], NO_SPECULATION),
    Row("a short noise in a pause does not prolong it", [*playing("a"), (1.0, SpeechStarted(1.0)), (1.5, SpeechContinues(0.5)), (1.85, SpeechEnded(1.6)), (2.5, SpeechStarted(2.5)), (3.0, SpeechEnded(2.8))],
        [(0.0, ReleaseReply("a")), (1.5, PausePlayout()), (4.8, ResumePlayout())]),
    Row("an acknowledgement of what is announced does not replace it", [*playing("a"), (1.0, PlayoutFinished("a", 1.0, more=True)), *said(1.5, 2.2, "okay", 2.4, ACKNOWLEDGED), (3.0, ReplyReady("a"))],
        [(0.0, ReleaseReply("a")), (2.4, LogBackchannel("okay")), (3.0, ReleaseReply("a"))]),
    Row("nor of what a stopgap filled the time for", [*TURN, (4.0, ReplyQueued("hm", stopgap=True)), (4.0, ReplyReady("hm")), (4.0, PlayoutStarted("hm")), (5.0, PlayoutFinished("hm")), *said(5.1, 5.5, "okay", 5.7, ACKNOWLEDGED), (6.0, ReplyReady("turn_1"))],
        [(3.0, CommitTurn(TEXT, "turn_1", 2.5)), (4.0, ReleaseReply("hm")), (5.7, LogBackchannel("okay")), (6.0, ReleaseReply("turn_1"))], NO_SPECULATION),
    Row("before anything was heard it is a turn", [*TURN, *said(3.1, 3.6, "okay", 3.8, ACKNOWLEDGED)],
        [(3.0, CommitTurn(TEXT, "turn_1", 2.5)), (3.8, DropReply("turn_1", "superseded")), (4.1, CommitTurn("okay", "turn_2", 3.6))], NO_SPECULATION),
    Row("a courtesy does not replace the answer that it is waiting for", [*TURN, *said(3.1, 3.5, "please", 3.7, COURTEOUS), (3.8, ReplyReady("turn_1"))],
        [(3.0, CommitTurn(TEXT, "turn_1", 2.5)), (3.7, LogBackchannel("please")), (3.8, ReleaseReply("turn_1"))], NO_SPECULATION),
    Row("nor does it stop it", [*playing("a"), *said(1.0, 1.7, "thank you", 1.9, COURTEOUS), (2.0, PlayoutFinished("a"))],
        [(0.0, ReleaseReply("a")), (1.9, LogBackchannel("thank you"))]),
    Row("an acknowledgement of what must be heard is no turn", [*playing("a", interruptible=False), *said(1.0, 1.7, "okay", 1.9, ACKNOWLEDGED), (3.0, PlayoutFinished("a"))],
        [(0.0, ReleaseReply("a")), (1.9, LogBackchannel("okay"))]),
    Row("after a request over it, it belongs to the request",
        [*playing("a", interruptible=False), *said(1.0, 1.7, TEXT, 1.9), *said(2.0, 2.4, "please", 2.6, COURTEOUS), (4.0, PlayoutFinished("a"))],
        [(0.0, ReleaseReply("a")), (2.9, CommitTurn(f"{TEXT} please", "turn_1", 2.4))], NO_SPECULATION),
    Row("where the application ends turns, all words count", [*playing("a"), *said(1.0, 1.7, "okay", 1.9, ACKNOWLEDGED), (2.0, CommitRequested())],
        [(0.0, ReleaseReply("a")), (1.9, InterruptPlayout("a")), (2.0, CommitTurn("okay", "turn_1", 1.7))], {"turn_detection": "manual"}),
    Row("alone it is a turn", said(0.5, 1.0, "thank you", 1.2, COURTEOUS), [(1.5, CommitTurn("thank you", "turn_1", 1.0))], NO_SPECULATION),
    Row("an acknowledgement without voice activity leaves the user silent", [*playing("a"), (1.0, Interim("okay", ACKNOWLEDGED)), (1.2, Final("okay", weight=ACKNOWLEDGED)), (2.0, PlayoutFinished("a")), *playing("b", 3.0)],
        [(0.0, ReleaseReply("a")), (1.2, LogBackchannel("okay")), (3.0, ReleaseReply("b"))], {"turn_detection": "stt"}),
    Row("too few words are a backchannel", [*playing("a"), (1.0, SpeechStarted(1.0)), (2.0, SpeechContinues(1.0)), (2.1, SpeechEnded(2.0)), (2.2, Final("oh yes"))],
        [(0.0, ReleaseReply("a")), (2.2, LogBackchannel("oh yes"))], {"min_interruption_words": 3}),
    Row("what must be heard is not interrupted, and the turn is answered after it",
        [*playing("a", interruptible=False), *said(1.0, 2.0, TEXT, 2.2), (2.7, ReplyReady("turn_1")), (3.0, PlayoutFinished("a"))],
        [(0.0, ReleaseReply("a")), (2.5, CommitTurn(TEXT, "turn_1", 2.0)), (3.0, ReleaseReply("turn_1"))]),
    Row("a newer turn supersedes the older one's answer", [*TURN, *said(3.1, 4.0, "and the date", 4.2)],
        [(3.0, CommitTurn(TEXT, "turn_1", 2.5)), (4.2, DropReply("turn_1", "superseded")), (4.5, CommitTurn("and the date", "turn_2", 4.0))], NO_SPECULATION),
    Row("pauses in one turn merge", [*said(0.5, 2.0, "I would like", 2.1), *said(2.3, 3.0, "a table", 3.1)],
        [(3.5, CommitTurn("I would like a table", "turn_1", 3.0))], NO_SPECULATION),
    Row("a transcript that is repeated is no new turn", [*TURN, (2.8, Final(TEXT)), (3.4, Final("What time is it?"))],
        [(3.0, CommitTurn(TEXT, "turn_1", 2.5))], NO_SPECULATION),
    Row("text alone starts and ends a turn", [(1.0, Interim("what")), (2.0, Final(TEXT))], [(2.5, CommitTurn(TEXT, "turn_1", 2.0))], NO_SPECULATION),
    Row("an interim text that nothing follows counts", [(1.0, Interim(TEXT))], [(4.5, CommitTurn(TEXT, "turn_1", 4.0))], NO_SPECULATION),
    Row("typed text interrupts and is answered", [*playing("a"), (1.0, TextInput(TEXT))],
        [(0.0, ReleaseReply("a")), (1.0, InterruptPlayout("a")), (1.0, CommitTurn(TEXT, "turn_1", None))]),
    Row("manual turns end on request", [*TURN, (9.0, CommitRequested())], [(9.0, CommitTurn(TEXT, "turn_1", 2.5))], {"turn_detection": "manual"}),
    Row("on hold nothing is heard and nothing counts",
        [*playing("a"), (1.0, Hold(True)), *said(2.0, 3.0, "music", 3.1), (4.0, ReplyQueued("b")), (5.0, TextInput("hm"))],
        [(0.0, ReleaseReply("a")), (1.0, InterruptPlayout("a")), (4.0, DropReply("b", "held")), (5.0, DropTurn("hm", "held"))]),
    Row("endless noise does not silence the agent",
        [(0.0, SpeechStarted(0.0)), (1.0, ReplyQueued("a")), (1.5, ReplyReady("a")), (5.0, SpeechContinues(5.0))], [(5.0, ReleaseReply("a"))]),
    Row("a closed machine refuses", [(1.0, Close()), (2.0, ReplyQueued("a")), (3.0, SpeechStarted(3.0))], [(2.0, DropReply("a", "closed"))]),
]  # fmt: skip


def play(row: Row) -> list[tuple[float, Effect]]:
    """Run the events, and the timers between them, and thirty seconds more."""
    state = TurnState(options=TurnOptions(user_away_timeout=None, **row.options))
    timers: dict[str, float] = {}
    seen: list[tuple[float, Effect]] = []

    def take(event: Event, now: float) -> None:
        nonlocal state
        state, effects = step(state, event, now)
        for effect in effects:
            match effect:
                case SetTimer(name, at):
                    timers[name] = at
                case CancelTimer(name):
                    timers.pop(name)
                case StateChanged() | ScoreEndOfTurn():
                    pass
                case _:
                    seen.append((round(now, 6), effect))

    for when, event in [*sorted(row.events, key=lambda item: item[0]), (30.0, None)]:
        while timers and min(timers.values()) <= when:
            name = min(timers, key=lambda key: timers[key])
            take(TimerFired(name), timers.pop(name))
        if event is not None:
            take(event, when)
    return seen


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_machine(row: Row) -> None:
    assert play(row) == [(round(when, 6), effect) for when, effect in row.effects]
