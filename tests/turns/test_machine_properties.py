"""Invariants of the turn-taking machine for any sequence of events, one test per invariant.

A small host plays the part of the session: it knows which replies exist, and only sends events that a session could send.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.turns import (
    AgentState,
    CancelTimer,
    Close,
    CommitRequested,
    CommitTurn,
    DropReply,
    Effect,
    EndOfTurnScored,
    Event,
    Final,
    Hold,
    Interim,
    InterruptionsAllowed,
    InterruptPlayout,
    InterruptRequested,
    PausePlayout,
    PlayoutFinished,
    PlayoutStarted,
    ReleaseReply,
    ReplyEnded,
    ReplyQueued,
    ReplyReady,
    ResumePlayout,
    ScoreEndOfTurn,
    SetTimer,
    SpeechContinues,
    SpeechEnded,
    SpeechStarted,
    TextInput,
    TimerFired,
    ToolFinished,
    ToolStarted,
    TurnOptions,
    TurnState,
    Weight,
    step,
)

WORDS = ["ok", "yes please", "what time is it", "stop that now", "and the date"]


@dataclass
class Host:
    """What a session would know: it keeps the books that the invariants are checked against."""

    state: TurnState
    now: float = 0.0
    timers: dict[str, float] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)
    audible: str | None = None
    started: bool = False
    paused: bool = False
    committed: list[str] = field(default_factory=list)
    owners: Counter[str] = field(default_factory=Counter)
    effects: list[tuple[float, Effect]] = field(default_factory=list)
    speaking_since: float | None = None
    queued: int = 0
    text: str = ""
    double_release: bool = False
    stray_timer: bool = False
    bad_pause: bool = False

    def send(self, event: Event) -> None:
        self.state, effects = step(self.state, event, self.now)
        for effect in effects:
            self.effects.append((self.now, effect))
            self.carry_out(effect)

    def carry_out(self, effect: Effect) -> None:
        match effect:
            case SetTimer(name, at):
                self.timers[name] = at
            case CancelTimer(name):
                self.stray_timer |= name not in self.timers
                self.timers.pop(name, None)
            case CommitTurn(_, reply, _):
                self.committed.append(reply)
                self.waiting.append(reply)
            case ReleaseReply(reply):
                self.double_release |= self.audible is not None
                self.audible, self.started = reply, False
                if reply in self.waiting:
                    self.waiting.remove(reply)
            case DropReply(reply, _):
                self.owners[reply] += 1
                if reply in self.waiting:
                    self.waiting.remove(reply)
            case InterruptPlayout(reply):
                self.owners[reply] += 1
                self.audible, self.paused = None, False
            case PausePlayout():
                self.bad_pause |= self.paused or self.audible is None
                self.paused = True
            case ResumePlayout():
                self.bad_pause |= not self.paused
                self.paused = False
            case ScoreEndOfTurn(text):
                self.text = text

    def advance(self, seconds: float) -> None:
        """Let time pass; timers fire when they are due, in order."""
        until = self.now + seconds
        while self.timers:
            name = min(self.timers, key=lambda key: self.timers[key])
            if self.timers[name] > until:
                break
            self.now = max(self.now, self.timers.pop(name))
            self.send(TimerFired(name))
        self.now = until

    def end_audible(self, more: bool) -> None:
        assert self.audible is not None
        reply, self.audible = self.audible, None
        if more:
            self.waiting.insert(0, reply)
        else:
            self.owners[reply] += 1
        self.send(PlayoutFinished(reply, 1.0, more))


# Random events seldom reach a pause by themselves: many examples begin in the middle of a conversation.
PLAYING = [(9, 0.0, "", 0.9), (10, 0.1, "", 0.0), (14, 0.1, "", 0.0)]
OVERLAP = [*PLAYING, (0, 1.0, "", 0.0), (1, 0.6, "", 0.9)]
TURN = [(0, 0.1, "", 0.0), (3, 1.0, "", 0.0), (6, 0.1, WORDS[2], 0.0)]
BEGINNINGS = [[], PLAYING, OVERLAP, TURN, [*TURN, (10, 0.6, "", 0.0), *TURN], [*OVERLAP, (3, 0.2, "", 0.0)]]
STEP = st.tuples(st.integers(0, 20), st.floats(0.0, 3.0), st.sampled_from(WORDS), st.floats(0, 1))
ACTIONS = st.builds(
    lambda beginning, rest: [*beginning, *rest], st.sampled_from(BEGINNINGS), st.lists(STEP, max_size=40)
)
OPTIONS = st.builds(
    TurnOptions,
    turn_detection=st.sampled_from(["vad", "stt", "manual"]),
    min_interruption_words=st.sampled_from([0, 0, 2]),
    allow_interruptions=st.booleans(),
    can_pause=st.booleans(),
    preemptive_generation=st.booleans(),
    user_away_timeout=st.sampled_from([None, 15.0]),
)


def weight_of(number: float) -> Weight:
    return list(Weight)[min(3, int(number * 4))]


def act(host: Host, action: int, word: str, number: float) -> None:
    """One thing that could happen in a session now; what could not is skipped."""
    match action:
        case 0 if host.speaking_since is None:
            host.speaking_since = host.now
            host.send(SpeechStarted(host.now))
        case 1 | 2 if host.speaking_since is not None:
            host.send(SpeechContinues(host.now - host.speaking_since, 0.0 if number > 0.3 else 0.1))
        case 3 | 4 if host.speaking_since is not None:
            host.speaking_since = None
            host.send(SpeechEnded(host.now))
        case 5:
            host.send(Interim(word, weight_of(number)))
        case 6 | 7:
            host.send(Final(word, weight=weight_of(number)))
        case 8 if host.text:
            host.send(EndOfTurnScored(number, host.text))
        case 9:
            host.queued += 1
            name = f"say_{host.queued}"
            host.waiting.append(name)
            host.send(ReplyQueued(name, number > 0.3, stopgap=number > 0.8))
        case 10 | 11 | 12 if host.waiting:
            host.send(ReplyReady(host.waiting[int(number * (len(host.waiting) - 1))]))
        case 13 if host.waiting:
            reply = host.waiting.pop(int(number * (len(host.waiting) - 1)))
            host.owners[reply] += 1
            host.send(ReplyEnded(reply, "failed"))
        case 14 if host.audible is not None and not host.started:
            host.started = True
            host.send(PlayoutStarted(host.audible))
        case 15 if host.audible is not None and not host.paused:
            host.end_audible(more=number > 0.7)
        case 16:
            host.send(ToolStarted(word) if number > 0.5 else ToolFinished(word))
        case 17:
            host.send(TextInput(word))
        case 18:
            host.send(CommitRequested() if number > 0.5 else InterruptRequested(force=number > 0.25))
        case 19 if number > 0.6:
            host.send(Hold(number > 0.8))
        case 20 if host.audible is not None:
            host.send(InterruptionsAllowed(host.audible, number > 0.5))


def play(options: TurnOptions, actions: list[tuple[int, float, str, float]]) -> Host:
    host = Host(TurnState(options=options))
    for action, pause, word, number in actions:
        host.advance(pause)
        act(host, action, word, number)
    return host


@given(OPTIONS, ACTIONS)
@settings(max_examples=400, deadline=None)
def test_no_two_replies_are_released_at_once(options: TurnOptions, actions: list) -> None:
    assert not play(options, actions).double_release


@given(OPTIONS, ACTIONS)
@settings(max_examples=400, deadline=None)
def test_every_commit_has_exactly_one_end(options: TurnOptions, actions: list) -> None:
    host = play(options, actions)
    host.send(Close())
    for reply in host.committed:
        assert host.owners[reply] == 1, f"{reply} ended {host.owners[reply]} times"
    assert all(count == 1 for count in host.owners.values())


@given(OPTIONS, ACTIONS)
@settings(max_examples=400, deadline=None)
def test_paused_always_ends(options: TurnOptions, actions: list) -> None:
    host = play(options, actions)
    assert not host.bad_pause
    assert host.paused == (host.state.agent is AgentState.PAUSED)
    host.advance(60.0)
    assert not host.paused, "a pause outlived all timers"


@given(OPTIONS, ACTIONS)
@settings(max_examples=400, deadline=None)
def test_every_timer_is_fired_or_cancelled(options: TurnOptions, actions: list) -> None:
    host = play(options, actions)
    assert not host.stray_timer
    assert dict(host.state.timers) == host.timers
    host.send(Close())
    assert host.timers == {}
    assert host.state.timers == ()


@given(OPTIONS, ACTIONS)
@settings(max_examples=200, deadline=None)
def test_ready_replies_are_heard_once_the_user_is_silent(options: TurnOptions, actions: list) -> None:
    host = play(options, actions)
    host.send(Hold(False))
    if host.speaking_since is not None:
        host.speaking_since = None
        host.send(SpeechEnded(host.now))
    for _ in range(200):
        host.advance(10.0)
        for reply in tuple(host.waiting):
            host.send(ReplyReady(reply))
        if host.audible is not None and not host.paused:
            host.end_audible(more=False)
        if not host.waiting and host.audible is None:
            break
    assert not host.waiting
    assert host.audible is None


@given(OPTIONS, ACTIONS)
@settings(max_examples=200, deadline=None)
def test_nothing_is_heard_on_hold(options: TurnOptions, actions: list) -> None:
    host = play(options, [])
    held_at = None
    for action, pause, word, number in actions:
        host.advance(pause)
        act(host, action, word, number)
        if host.state.phase == "held":
            held_at = host.now if held_at is None else held_at
            assert host.audible is None
            assert host.state.agent is AgentState.IDLE
        else:
            held_at = None
