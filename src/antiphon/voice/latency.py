"""Where the time of a reply goes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

# The stages of a reply in the order in which they end, when nothing is speculative.
STAGES = (
    "vad",
    "transcript",
    "turn_detector",
    "end_of_turn",
    "llm_first_token",
    "tts_first_audio",
    "first_audio_out",
)


@dataclass
class ModelRequest:
    """One request to a language model or a voice, with times in seconds of session time.

    Attributes:
        kind: `"llm"` or `"tts"`.
        label: which model, as in `"openai/gpt-4o-mini"`.
        started: when it was asked; for a voice, when it had its first text.
        first: its first token or audio.
        ended: the end of its answer; None while it runs, and of a voice that was cut off.
        error: what failed, as the name of an exception's class.
        prompt_tokens: as the model counts them; 0 when it does not say.
        completion_tokens: the same of its answer.
    """

    kind: Literal["llm", "tts"]
    label: str
    started: float
    first: float | None = None
    ended: float | None = None
    error: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass
class TurnLatency:
    """When each stage of answering one turn ended, in seconds of session time.

    Attributes:
        reply: the reply's identifier.
        end_of_speech: the last sample of the user's speech; None for a typed turn.
        marks: stage name to time. A stage of a speculative reply may end before the turn does.
        interrupted: the reply was cut short.
        answers_turn: somebody waited for it: it is no greeting or announcement.
        requests: what models were asked for it, in order.
    """

    reply: str
    end_of_speech: float | None = None
    marks: dict[str, float] = field(default_factory=dict)
    interrupted: bool = False
    answers_turn: bool = False
    requests: list[ModelRequest] = field(default_factory=list)

    def mark(self, stage: str, at: float) -> None:
        """Note the first time that a stage ended."""
        self.marks.setdefault(stage, at)

    def request(self, kind: Literal["llm", "tts"], label: str, at: float) -> ModelRequest:
        """Note that a model was asked."""
        request = ModelRequest(kind, label, at)
        self.requests.append(request)
        return request

    @property
    def start(self) -> float | None:
        """Where the listener's wait began: the end of speech, or the typed turn's commit."""
        return self.end_of_speech if self.end_of_speech is not None else self.marks.get("end_of_turn")

    @property
    def total(self) -> float | None:
        """Seconds from the start of the wait to the first audio heard."""
        out = self.marks.get("first_audio_out")
        return None if out is None or self.start is None else out - self.start

    def stages(self) -> list[tuple[str, float, float]]:
        """(name, from, to) of each stage, in seconds since the start of the wait.

        A stage begins where the one it waits for ended: the model waits for the transcript or, without
        speculation, for the end of the turn; the voice waits for the model.
        """
        origin = self.start
        if origin is None:
            return []
        rows: list[tuple[str, float, float]] = []
        previous = 0.0
        for name in STAGES:
            if (at := self.marks.get(name)) is None:
                continue
            end = max(0.0, at - origin)
            rows.append((name, min(previous, end), end))
            previous = max(previous, end)
        return rows

    def as_dict(self) -> dict[str, float]:
        """Stage name to seconds since the start of the wait."""
        return {name: round(end, 4) for name, _, end in self.stages()}
