"""The user's voice over the agent's: when it pauses a reply, stops it, or lets it go on.

What counts is decided by `interruption.judge`; here it is done, at its time.
"""

from __future__ import annotations

from dataclasses import replace

from .effects import LogBackchannel, PausePlayout
from .floor import FloorTransition
from .interjections import Weight
from .interruption import Overlap, Verdict, count_words, judge
from .state import Free, Paused, Playing, Released
from .transition import AWAY, BARGE_IN, RESUME, TEXT_END


class BargeInTransition(FloorTransition):
    """What speech and words do to a reply that is being heard."""

    def consider_barge_in(self, silence: float) -> None:
        """Interrupt when the speech has lasted long enough, to the moment: not at the next update after it."""
        options = self.state.options
        overlap = self.state.overlap
        assert overlap is not None
        if self.overlap_is_noise(overlap):
            return
        if judge(overlap, options) is not Verdict.CARRY_ON:
            self.cancel_timer(BARGE_IN)
            self.apply_verdict(overlap)
            return
        missing = options.interrupting_duration - overlap.duration
        if silence > 0:
            self.cancel_timer(BARGE_IN)
        elif 0 < missing <= options.speech_update_interval + options.output_frame:
            self.set_timer(BARGE_IN, overlap.started + options.interrupting_duration)

    def speech_lasted(self) -> None:
        """The speech that was going on at the last update has by now lasted long enough."""
        overlap = self.state.overlap
        if overlap is not None and overlap.active and self.floor_interruptible():
            # The timer says so, not the clock, which some event loops keep in whole milliseconds.
            lasted = self.state.options.interrupting_duration
            overlap = replace(overlap, duration=max(overlap.duration, lasted))
            self.change(overlap=overlap)
            self.apply_verdict(overlap)

    def overlap_interrupts(self) -> bool:
        """Whether words, which have come, stop what is being heard."""
        overlap = self.state.overlap
        if overlap is None or not self.floor_interruptible():
            return False
        if isinstance(self.state.floor, Paused):
            enough = max(1, self.state.options.min_interruption_words)
            return overlap.words >= enough and not overlap.weight.yields
        return judge(overlap, self.state.options) is Verdict.INTERRUPT

    def apply_verdict(self, overlap: Overlap) -> None:
        match judge(overlap, self.state.options), self.state.floor:
            case Verdict.INTERRUPT, _:
                self.interrupt()
            case Verdict.PAUSE, Playing(reply) | Released(reply):
                self.change(floor=Paused(reply))
                self.effects.append(PausePlayout())
                self.limit_pause(overlap)

    def limit_pause(self, overlap: Overlap) -> None:
        """Speech whose end is never reported must not keep a reply paused."""
        options = self.state.options
        patience = options.noise_timeout + options.false_interruption_timeout
        self.set_timer(RESUME, overlap.started + patience)

    def carry_on_over_noise(self) -> None:
        """Endless sound without a word must not silence the agent."""
        if isinstance(self.state.floor, Paused):
            self.resume()
        else:
            self.release_next()

    def note_words(self, text: str, weight: Weight) -> None:
        """Count words within one overlap; a transcript without voice activity begins one."""
        overlap = self.state.overlap
        recent = overlap is not None and (
            overlap.active or self.now - (overlap.ended or 0) <= self.state.options.noise_timeout
        )
        if overlap is None or not recent:
            overlap = Overlap(started=self.now, by_text=True)
            self.set_timer(TEXT_END, self.now + self.state.options.max_endpointing_delay)
            self.cancel_timer(AWAY)
        words = max(overlap.words, count_words(text))
        self.change(overlap=replace(overlap, words=words, weight=weight), user_is_away=False)

    def counted(self, weight: Weight) -> Weight:
        """The weight of words, where it is not the application that ends turns: then all words are meant for it."""
        return Weight.PLAIN if self.state.options.turn_detection == "manual" else weight

    def leaves_the_floor(self, weight: Weight) -> bool:
        """Whether words take no turn although nothing is heard that they could stop."""
        state = self.state
        if not weight.yields or state.pending.finals:
            return False
        if not isinstance(state.floor, Free):
            return True
        return bool(state.replies) and (weight is Weight.COURTESY or state.replies[0].announced)

    def backchannel(self, text: str) -> None:
        """Keep words that take no turn for the record. What they paused, or held back, goes on once their speaker is silent."""
        self.change_pending(interim="", speech_end=None)
        self.effects.append(LogBackchannel(text))
        overlap = self.state.overlap
        if overlap is not None and overlap.by_text and overlap.active:
            self.change(overlap=replace(overlap, ended=self.now))  # nothing else would end it
        if self.user_speaks():
            return
        self.cancel_timer(RESUME)
        if isinstance(self.state.floor, Paused):
            self.resume()
        else:
            self.release_next()
