"""How turns are taken, with the defaults. All durations in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TurnDetection = Literal["vad", "stt", "manual"]


@dataclass(frozen=True)
class TurnOptions:
    """Settings of the turn-taking machine.

    Attributes:
        turn_detection: what ends a turn: `"vad"` (silence after speech), `"stt"` (a final transcript, for sessions
            without voice activity detection) or `"manual"` (only `CommitRequested`).
        min_endpointing_delay: from end of speech to commit when the turn looks finished.
        max_endpointing_delay: the same when the detector says "not finished".
        unheard_words_delay: the same when it said so of words after which there was speech that was not recognised.
        end_of_turn_threshold: probability from which a turn looks finished.
        immediate_threshold: probability from which the turn commits as soon as silence is confirmed.
        detector_patience: how long a turn that is due waits for the detector's answer about its last words.
        min_interruption_duration: speech this long over the agent interrupts it.
        min_interruption_words: when above 0, so many words in one overlap are needed as well.
        allow_interruptions: default for replies.
        false_interruption_timeout: after speech without words ended, resume.
        resume_false_interruption: pause first, decide when words come.
        can_pause: whether the output can pause and go on without loss.
        preemptive_generation: ask the model on the final transcript, before the commit.
        preemptive_tts: also synthesise the first sentence early, from `preemptive_tts_threshold` on.
        max_speculations: speculative replies tried per turn.
        user_away_timeout: silence of both sides after which the user counts as away; None: never.
        noise_timeout: sound that counts as speech, but brings no word for so long, holds no reply back.
        speech_update_interval: seconds between two `SpeechContinues` events.
        output_frame: audio leaves in frames this long: a stop takes effect at the end of one, so it is decided half a
            frame early.
    """

    turn_detection: TurnDetection = "vad"
    min_endpointing_delay: float = 0.5
    max_endpointing_delay: float = 3.0
    unheard_words_delay: float = 1.25
    end_of_turn_threshold: float = 0.25
    immediate_threshold: float = 0.9
    detector_patience: float = 0.1
    min_interruption_duration: float = 0.5
    min_interruption_words: int = 0
    allow_interruptions: bool = True
    false_interruption_timeout: float = 2.0
    resume_false_interruption: bool = True
    can_pause: bool = True
    preemptive_generation: bool = True
    preemptive_tts: bool = True
    preemptive_tts_threshold: float = 0.7
    max_speculations: int = 3
    user_away_timeout: float | None = 15.0
    noise_timeout: float = 5.0
    speech_update_interval: float = 0.032
    output_frame: float = 0.02

    @property
    def interrupting_duration(self) -> float:
        """Speech this long, over the agent, makes it stop at `min_interruption_duration`."""
        return max(0.0, self.min_interruption_duration - self.output_frame / 2)

    @property
    def pauses(self) -> bool:
        """Whether an interruption pauses first."""
        return self.can_pause and self.resume_false_interruption
