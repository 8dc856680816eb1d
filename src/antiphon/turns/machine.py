"""Who may speak: the turn-taking machine.

Fed by `voice/recognition.py` with what the user does, by `voice/conversation.py` with what the
replies do, and by timers; `voice/turn_driver.py` carries out the effects. Time is the session's audio clock, in seconds,
and comes in with the call.

The floor is `Free`, `Released` (a reply may be heard, its first sample is on its way), `Playing` or `Paused`. Replies wait in
order; the first is released when it is ready, the floor is free and the user is silent. A user's turn gathers
transcripts until its commit, which creates the reply that answers it; a newer turn supersedes unheard answers to
older ones. What the user and the agent appear to be doing is derived, never stored.
"""

from __future__ import annotations

from dataclasses import replace

from . import endpointing
from .barge_in import BargeInTransition
from .effects import (
    CommitTurn,
    DropReply,
    DropTurn,
    Effect,
    InterruptPlayout,
    ScoreEndOfTurn,
    Speculate,
    StateChanged,
    SynthesizeSpeculation,
)
from .events import (
    Close,
    CommitRequested,
    EndOfTurnScored,
    Event,
    Final,
    Hold,
    Interim,
    InterruptionsAllowed,
    InterruptRequested,
    PlayoutFinished,
    PlayoutStarted,
    ReplyEnded,
    ReplyQueued,
    ReplyReady,
    SpeechContinues,
    SpeechEnded,
    SpeechStarted,
    TextInput,
    TimerFired,
    ToolFinished,
    ToolStarted,
)
from .interjections import Weight
from .interruption import Overlap
from .state import Free, LastFinal, Paused, PendingTurn, Playing, Released, Reply, TurnState
from .transition import AWAY, BARGE_IN, COMMIT, RESUME, TEXT_END, WORDS

REPEAT_WINDOW = 1.0  # seconds within which a recogniser repeats itself rather than the user


def step(state: TurnState, event: Event, now: float) -> tuple[TurnState, list[Effect]]:
    """Take one event at time `now`; returns the new state and what to do, in order."""
    if state.phase == "closed":
        return state, _refuse(event, "closed")
    transition = _Step(state, now)
    transition.take(event)
    after = transition.state
    if (after.agent, after.user) != (state.agent, state.user):
        transition.effects.append(StateChanged(after.agent, after.user))
    return after, transition.effects


def _refuse(event: Event, reason: str) -> list[Effect]:
    """What a machine that takes no turns answers to those who wait for an answer."""
    match event:
        case ReplyQueued(reply, _) | ReplyReady(reply):
            return [DropReply(reply, reason)]
        case TextInput(text):
            return [DropTurn(text, reason)]
    return []


def _words_of(text: str) -> str:
    """The words alone, so that punctuation and case make no difference."""
    return " ".join("".join(char if char.isalnum() else " " for char in text.casefold()).split())


class _Step(BargeInTransition):
    """The user's side of the machine, and the way in for every event."""

    def take(self, event: Event) -> None:
        if self.state.phase == "held" and not isinstance(
            event, Hold | Close | ReplyEnded | ToolStarted | ToolFinished
        ):
            self.effects += _refuse(event, "held")
            return
        match event:
            case SpeechContinues(duration, silence):
                self.speech_continues(duration, silence)
            case SpeechStarted(at):
                self.speech_started(at)
            case SpeechEnded(at):
                self.speech_ended(at)
            case Interim(text, weight):
                self.interim(text.strip(), self.counted(weight))
            case Final(text, end_at, weight):
                self.final(text.strip(), end_at, self.counted(weight))
            case EndOfTurnScored(probability, text):
                self.scored(probability, text)
            case ReplyQueued():
                self.reply_queued(event)
            case ReplyReady(reply):
                self.reply_ready(reply)
            case ReplyEnded(reply):
                self.reply_ended(reply)
            case PlayoutStarted(reply):
                self.playout_started(reply)
            case PlayoutFinished(reply, _, more):
                self.playout_finished(reply, more)
            case ToolStarted(call):
                self.change(running_tools=self.state.running_tools | {call})
                self.cancel_speculation()
            case ToolFinished(call):
                self.change(running_tools=self.state.running_tools - {call})
            case TimerFired(name):
                self.timer_fired(name)
            case Hold(on):
                self.hold(on)
            case TextInput(text):
                self.text_input(text.strip())
            case CommitRequested():
                self.commit_pending(force=True)
            case InterruptRequested(force):
                self.interrupt(force=force)
                self.arm_away()
            case InterruptionsAllowed(reply, allowed):
                self.allow_interruptions(reply, allowed)
            case Close():
                self.close()

    # -- what the user does ----------------------------------------------------------------------------------------

    def speech_started(self, at: float) -> None:
        for name in (COMMIT, RESUME, WORDS, AWAY, TEXT_END):
            self.cancel_timer(name)
        overlap = Overlap(started=at)
        self.change(overlap=overlap, user_is_away=False)
        self.change_pending(speech_end=None, words_owed=True)
        if isinstance(self.state.floor, Paused):
            self.limit_pause(overlap)

    def speech_continues(self, duration: float, silence: float) -> None:
        overlap = self.state.overlap
        if overlap is None or not overlap.active:
            return
        self.change(overlap=replace(overlap, duration=max(overlap.duration, duration), by_text=False))
        match self.state.floor:
            case Playing(reply) | Released(reply) if reply.interruptible:
                self.consider_barge_in(silence)
        if overlap.words == 0 and duration >= self.state.options.noise_timeout:
            self.carry_on_over_noise()

    def speech_ended(self, at: float) -> None:
        overlap = self.state.overlap
        if overlap is None or not overlap.active:
            return
        self.cancel_timer(BARGE_IN)
        duration = max(overlap.duration, at - overlap.started)
        self.change(overlap=replace(overlap, ended=at, duration=duration))
        paused = isinstance(self.state.floor, Paused)
        if self.floor_interruptible() and not paused and duration < self.state.options.interrupting_duration:
            self.change_pending(interim="")
            return  # too short to be more than a backchannel, unless its words say so
        self.change_pending(speech_end=at, interim="")
        if self.state.pending.finals:
            self.turn_may_be_over()
            return
        patience = self.state.options.false_interruption_timeout
        self.set_timer(WORDS, at + patience)
        if paused:
            self.set_timer(RESUME, at + (self.patience_after_words() or patience))
        elif self.state.replies:
            self.set_timer(RESUME, at + self.patience_for_words(duration))

    def patience_for_words(self, duration: float) -> float:
        """How long an unheard reply waits after sound that may still turn out to be words."""
        options = self.state.options
        if duration < options.min_interruption_duration:
            return options.min_endpointing_delay
        return options.false_interruption_timeout

    def patience_after_words(self) -> float | None:
        """How long a reply stays paused after speech whose words are all known; None if they are not."""
        overlap = self.state.overlap
        if overlap is None or overlap.words == 0 or self.state.pending.words_owed:
            return None
        return self.state.options.min_endpointing_delay

    def interim(self, text: str, weight: Weight) -> None:
        if not text or self.is_repeated(text):
            return
        # The beginning of a word is no "no".
        self.note_words(text, Weight.PLAIN if weight is Weight.INSISTENT else weight)
        self.change_pending(interim=text, words_owed=True)
        if self.overlap_interrupts():
            self.interrupt()
        if self.state.speculation is not None and self.user_speaks():
            self.cancel_speculation()

    def final(self, text: str, end_at: float | None, weight: Weight) -> None:
        self.change_pending(words_owed=False)
        if not text or self.is_repeated(text):
            return
        self.note_words(text, weight)
        overlap = self.state.overlap
        self.change(last_final=LastFinal(_words_of(text), overlap.started if overlap else None, self.now))
        self.cancel_timer(TEXT_END)
        self.cancel_timer(WORDS)
        if not isinstance(self.state.floor, Free) and self.floor_interruptible():
            if not self.overlap_interrupts():
                self.backchannel(text)
                return
            self.interrupt()
        elif self.leaves_the_floor(weight):
            self.backchannel(text)
            return
        elif self.state.replies and self.state.options.turn_detection != "manual":
            self.drop_waiting("superseded", lambda reply: reply.interruptible)
        self.cancel_timer(RESUME)
        self.gather(text, end_at)

    def gather(self, text: str, end_at: float | None) -> None:
        """Add a final transcript to the pending turn."""
        self.cancel_speculation()
        pending = self.state.pending
        self.change_pending(finals=(*pending.finals, text), interim="", probability=None, scored="")
        overlap = self.state.overlap
        if overlap is not None and overlap.active:
            if not overlap.by_text and self.state.options.turn_detection != "stt":
                self.prepare_for_end_of_turn()
                return
            # Text began this turn, so text ends it.
            ended = self.now if end_at is None else min(end_at, self.now)
            self.change(overlap=replace(overlap, ended=ended))
            self.change_pending(speech_end=ended)
        elif self.state.pending.speech_end is None:
            known = end_at if end_at is not None else overlap.ended if overlap is not None else None
            self.change_pending(speech_end=self.now if known is None else min(known, self.now))
        self.turn_may_be_over()

    def is_repeated(self, text: str) -> bool:
        """Recognisers finalise the same words twice; without new speech that is no new turn."""
        last, overlap = self.state.last_final, self.state.overlap
        if last is None or overlap is None or last.overlap_started != overlap.started:
            return False
        if last.words != _words_of(text):
            return False
        return self.now - last.at <= REPEAT_WINDOW or not (overlap.active or overlap.by_text)

    # -- the end of the user's turn --------------------------------------------------------------------------------

    def turn_may_be_over(self) -> None:
        """The user is silent and has said something: commit it in due time."""
        if self.state.options.turn_detection != "manual":
            self.prepare_for_end_of_turn()
            self.arm_commit()

    def prepare_for_end_of_turn(self) -> None:
        """A final transcript often is the last one: score it and begin the reply to it."""
        if self.state.options.turn_detection == "manual":
            return
        pending = self.state.pending
        if pending.scored != pending.text:
            self.change_pending(
                scored=pending.text, answer_due=self.now + self.state.options.detector_patience
            )
            self.effects.append(ScoreEndOfTurn(pending.text))
        self.speculate()

    def speculate(self) -> None:
        state = self.state
        if (
            not state.options.preemptive_generation
            or state.speculation is not None
            or state.running_tools
            or not isinstance(state.floor, Free)
            or state.replies
            or state.pending.speculations >= state.options.max_speculations
        ):
            return
        text = state.pending.text
        self.change(speculation=text)
        self.change_pending(speculations=state.pending.speculations + 1)
        self.effects.append(Speculate(text))
        self.synthesize_speculation()

    def synthesize_speculation(self) -> None:
        probability = self.state.pending.probability
        options = self.state.options
        if (
            self.state.speculation is not None
            and options.preemptive_tts
            and probability is not None
            and probability >= options.preemptive_tts_threshold
        ):
            self.effects.append(SynthesizeSpeculation())

    def scored(self, probability: float | None, text: str) -> None:
        if text != self.state.pending.text or not text:
            return
        self.change_pending(probability=probability, answer_due=None)
        self.synthesize_speculation()
        if not self.user_speaks():
            self.arm_commit()

    def arm_commit(self) -> None:
        pending = self.state.pending
        if pending.speech_end is None or not pending.finals:
            return
        options = self.state.options
        delay = endpointing.delay(pending.probability, options, words_owed=pending.words_owed)
        due = max(pending.speech_end + delay, pending.answer_due or 0.0)
        if due <= self.now:
            self.commit_pending()
        else:
            self.set_timer(COMMIT, due)

    def commit_pending(self, *, force: bool = False) -> None:
        pending = self.state.pending
        text = " ".join((*pending.finals, pending.interim)).strip() if force else pending.text
        if text:
            self.change(pending=PendingTurn())
            self.commit(text, pending.speech_end)

    def commit(self, text: str, spoken_end: float | None) -> None:
        """Give the floor's next place to the answer to `text`; answers to older turns yield."""
        for name in (COMMIT, WORDS, AWAY, TEXT_END):
            self.cancel_timer(name)
        overlap = self.state.overlap
        if overlap is not None and overlap.by_text and overlap.active:
            self.change(overlap=replace(overlap, ended=self.now))  # nothing else would end it
        if self.state.speculation != text:
            self.cancel_speculation()
        self.drop_waiting("superseded", lambda reply: reply.answers_turn)
        number = self.state.commits + 1
        reply = Reply(f"turn_{number}", self.state.options.allow_interruptions, answers_turn=True)
        self.change(commits=number, replies=(*self.state.replies, reply), speculation=None)
        self.effects.append(CommitTurn(text, reply.id, spoken_end))
        self.release_next()

    def text_input(self, text: str) -> None:
        if not text:
            return
        self.change(user_is_away=False)
        self.interrupt()
        self.cancel_speculation()
        self.commit(text, None)

    # -- playout, timers, hold and the end ----------------------------------------------------------------------------------

    def playout_finished(self, reply: str, more: bool) -> None:
        match self.state.floor:
            case Released(current) | Playing(current) | Paused(current) if current.id == reply:
                self.cancel_timer(RESUME)
                self.cancel_timer(BARGE_IN)
                waiting = (current, *self.state.replies) if more else self.state.replies
                if more or current.stopgap:
                    waiting = tuple(replace(reply, announced=True) for reply in waiting)
                self.change(floor=Free(), replies=waiting)
                if self.state.pending.finals and not self.user_speaks():
                    self.turn_may_be_over()
                self.release_next()
                self.arm_away()

    def timer_fired(self, name: str) -> None:
        if self.state.timer(name) is None:
            return
        self.change(timers=tuple(timer for timer in self.state.timers if timer[0] != name))
        match name:
            case "commit":
                self.commit_pending()
            case "barge_in":
                self.speech_lasted()
            case "resume":
                self.resume()
                self.release_next()
            case "words":
                self.change_pending(speech_end=None)
                self.arm_away()
            case "away":
                self.change(user_is_away=True)
            case "text_end":
                self.text_ended()

    def text_ended(self) -> None:
        """A turn began with an interim transcript and no final one came: take what there is."""
        overlap = self.state.overlap
        if overlap is None or not overlap.by_text or not overlap.active:
            return
        interim = self.state.pending.interim
        self.change(overlap=replace(overlap, ended=self.now))
        self.change_pending(speech_end=self.now, interim="")
        if interim and isinstance(self.state.floor, Free):
            self.gather(interim, None)
        elif isinstance(self.state.floor, Paused):
            self.resume()

    def hold(self, on: bool) -> None:
        if on and self.state.phase == "open":
            self.silence("held")
            self.change(phase="held")
        elif not on and self.state.phase == "held":
            self.change(phase="open")
            self.arm_away()

    def close(self) -> None:
        self.silence("closed")
        self.change(phase="closed")

    def silence(self, reason: str) -> None:
        """Stop all: what is heard, what waits, what the user was saying."""
        self.cancel_speculation()
        match self.state.floor:
            case Released(reply) | Playing(reply) | Paused(reply):
                self.effects.append(InterruptPlayout(reply.id))
        self.change(floor=Free(), overlap=None)
        self.drop_waiting(reason, lambda reply: True)
        if self.state.pending.text:
            self.effects.append(DropTurn(self.state.pending.text, reason))
        self.change(pending=PendingTurn())
        for name, _ in self.state.timers:
            self.cancel_timer(name)
