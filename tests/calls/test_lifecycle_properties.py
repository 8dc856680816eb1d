"""What holds for every call, whatever happens in whatever order."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.calls.lifecycle import CallLimits, CallPlan, CallState, begin, step
from antiphon.calls.lifecycle_effects import (
    AllowSpeech,
    CancelTimer,
    Commit,
    DeliverStartInstruction,
    Effect,
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
    TimerFired,
    TransferCompleted,
)
from antiphon.calls.status import TERMINAL, CallDirection, EndReason

Step = tuple[float, Event | None, CallState, list[Effect]]

EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.sampled_from([Dispatched(), Answered(), MediaPathReady(), AgentReady(), MediaReceived()]),
    st.sampled_from([PeerHungUp(), RoomClosed(), RtpTimedOut(), CancelRequested(), Shutdown()]),
    st.builds(ProvisionalResponse, st.sampled_from([100, 180, 183])),
    st.builds(FinalResponse, st.integers(300, 699)),
    st.builds(HangUpRequested, st.sampled_from(list(EndReason))),
    st.builds(ProcessLost, st.floats(0, 5000)),
    st.builds(TimerFired, st.sampled_from(["setup", "no_rtp", "agent", "max_duration"])),
    st.sampled_from([Errored("broken"), NoPlace("full"), TransferCompleted("+4930"), DialFailed("no trunk")]),
)
PLANS = st.builds(
    CallPlan,
    st.sampled_from(list(CallDirection)),
    st.sampled_from([CallLimits(), CallLimits(no_rtp=None), CallLimits(60, 5, 5, 20)]),
    st.booleans(),
)
# Many calls get through to a conversation, so that its ends are tried as much as those of attempts.
OPENINGS: st.SearchStrategy[list[Event]] = st.one_of(
    st.just([]),
    st.permutations([AgentReady(), MediaPathReady(), MediaReceived()]).map(
        lambda parts: [Dispatched(), Answered(), *parts]
    ),
    st.permutations([Answered(), AgentReady(), MediaPathReady()]).map(lambda parts: [Dispatched(), *parts]),
)
STORIES = st.tuples(OPENINGS, st.lists(st.tuples(EVENTS, st.floats(0, 40)), max_size=25), st.booleans())
Story = tuple[list[Event], list[tuple[Event, float]], bool]


def play(plan: CallPlan, story: Story) -> list[Step]:
    """Run a story; timers that are due fire first, when `punctual`; at last somebody cancels the call."""
    opening, rest, punctual = story
    now = 0.0
    state, effects = begin(plan, now)
    steps: list[Step] = [(now, None, state, effects)]

    def take(event: Event) -> None:
        nonlocal state
        state, effects = step(state, event, now)
        steps.append((now, event, state, effects))

    for event, pause in [*((event, 0.1) for event in opening), *rest]:
        target = now + pause
        while punctual and (due := sorted((at, name) for name, at in state.timers if at <= target)):
            now = due[0][0]
            take(TimerFired(due[0][1]))
        now = target
        take(event)
    take(CancelRequested())
    return steps


def all_effects(steps: list[Step]) -> list[Effect]:
    return [effect for _, _, _, effects in steps for effect in effects]


def commits(steps: list[Step]) -> list[Commit]:
    return [effect for effect in all_effects(steps) if isinstance(effect, Commit)]


@given(PLANS, STORIES)
@settings(deadline=None)
def test_exactly_one_terminal_event_and_one_webhook(plan: CallPlan, story: Story) -> None:
    done = commits(play(plan, story))
    assert sum(commit.status in TERMINAL for commit in done) == 1
    assert [commit.webhook for commit in done if commit.webhook] == ["call.ended"]
    assert done[-1].status in TERMINAL
    assert done[-1].webhook == "call.ended"


@given(PLANS, STORIES)
@settings(deadline=None)
def test_nothing_after_the_end(plan: CallPlan, story: Story) -> None:
    over = False
    final = None
    for _, _, state, effects in play(plan, story):
        if over:
            assert effects == []
            assert state == final
        over, final = state.status in TERMINAL, state


@given(PLANS, STORIES)
@settings(deadline=None)
def test_no_speech_and_no_recording_before_the_answer(plan: CallPlan, story: Story) -> None:
    for _, _, state, effects in play(plan, story):
        gated = [e for e in effects if isinstance(e, AllowSpeech | StartRecording | DeliverStartInstruction)]
        assert not gated or state.answered_at is not None


@given(PLANS, STORIES)
@settings(deadline=None)
def test_the_start_instruction_comes_at_most_once_and_only_when_all_is_there(
    plan: CallPlan, story: Story
) -> None:
    steps = play(plan, story)
    delivered = [state for _, _, state, effects in steps if DeliverStartInstruction() in effects]
    complete = any(len(state.ready) == 2 and state.answered_at is not None for _, _, state, _ in steps)
    assert len(delivered) == complete
    assert all(len(state.ready) == 2 and state.answered_at is not None for state in delivered)


@given(PLANS, STORIES)
@settings(deadline=None)
def test_nothing_is_billed_unless_media_came(plan: CallPlan, story: Story) -> None:
    final = play(plan, story)[-1][2]
    assert final.outcome is not None
    billed = final.outcome.billed_seconds
    assert billed >= 0
    if final.answered_at is None or final.media_at is None:
        assert billed == 0
    else:
        assert billed <= final.outcome.ended_at - final.answered_at + 1


@given(PLANS, STORIES)
@settings(deadline=None)
def test_every_timer_fires_or_is_cancelled(plan: CallPlan, story: Story) -> None:
    running: set[str] = set()
    for _, event, state, effects in play(plan, story):
        if isinstance(event, TimerFired):
            running.discard(event.name)
        for effect in effects:
            if isinstance(effect, SetTimer):
                assert effect.name not in running
                running.add(effect.name)
            elif isinstance(effect, CancelTimer):
                assert effect.name in running
                running.remove(effect.name)
        assert running == {name for name, _ in state.timers}
    assert running == set()


@given(PLANS, STORIES)
@settings(deadline=None)
def test_each_change_expects_the_status_before_it(plan: CallPlan, story: Story) -> None:
    stored = None
    for commit in commits(play(plan, story)):
        assert commit.expected == stored
        stored = commit.status


@given(PLANS, STORIES)
@settings(deadline=None)
def test_every_recording_that_starts_stops(plan: CallPlan, story: Story) -> None:
    effects = all_effects(play(plan, story))
    assert effects.count(StartRecording()) == effects.count(StopRecording()) <= 1


@given(PLANS, STORIES)
@settings(deadline=None)
def test_the_leg_is_released_before_the_end_is_written(plan: CallPlan, story: Story) -> None:
    for _, _, state, effects in play(plan, story):
        if state.status in TERMINAL and effects:
            assert isinstance(effects[-1], Commit)
