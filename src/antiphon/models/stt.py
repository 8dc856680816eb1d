"""Speech to text: what a recogniser offers, and how a stream of audio becomes a stream of events."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import StrEnum

from ..audio import AudioFrame
from .label import label_of


@dataclass(frozen=True)
class STTCapabilities:
    """What a recogniser can do.

    `manual_flush`: `RecognizeStream.flush()` makes it finish the utterance at once, so that the session's VAD
    decides where an utterance ends.
    """

    streaming: bool = False
    interim_results: bool = False
    diarization: bool = False
    aligned_transcript: bool = False
    manual_flush: bool = False


class SpeechEventType(StrEnum):
    INTERIM = "interim"
    FINAL = "final"
    START_OF_SPEECH = "start_of_speech"
    END_OF_SPEECH = "end_of_speech"


@dataclass(frozen=True)
class WordInfo:
    """One recognised or spoken word; `start` and `end` in seconds from the start of the stream."""

    text: str
    start: float
    end: float
    confidence: float = 1.0
    speaker: str | None = None


@dataclass(frozen=True)
class SpeechEvent:
    """A step of recognition.

    `end_at` is where the recognised speech ended, in seconds of audio pushed into the stream, when the
    recogniser knows.
    """

    type: SpeechEventType
    text: str = ""
    confidence: float = 1.0
    language: str | None = None
    words: list[WordInfo] | None = field(default=None)
    end_at: float | None = None


class STT(ABC):
    """A speech recogniser."""

    def __init__(self, *, capabilities: STTCapabilities | None = None) -> None:
        self._capabilities = capabilities or STTCapabilities()

    @property
    def capabilities(self) -> STTCapabilities:
        return self._capabilities

    @property
    def label(self) -> str:
        """The name shown in errors and metrics, as in `"deepgram/nova-3"`."""
        return label_of(self)

    @abstractmethod
    async def recognize(self, audio: AudioFrame) -> str:
        """Recognise one complete utterance.

        Raises:
            ProviderError: the provider failed; `retryable` says whether another try can help.
        """

    def stream(self) -> RecognizeStream:
        """Open a stream: frames in, events out.

        Raises:
            NotImplementedError: the recogniser is batch-only; wrap it in `models.STTStreamAdapter`.
        """
        raise NotImplementedError(f"{self.label} does not stream; wrap it in STTStreamAdapter")

    async def prewarm(self) -> None:
        """Load the model or open the connection, so that the first call is as fast as the next."""

    async def update_options(self, *, language: str | None = None, model: str | None = None) -> None:
        """Change options for streams opened from now on."""

    async def aclose(self) -> None:
        """Free what the recogniser holds; safe to call twice."""


class RecognizeStream(ABC):
    """A running recognition. Iterate it for events; it ends after `end_input` once all are out."""

    @abstractmethod
    def push_frame(self, frame: AudioFrame) -> None:
        """Add audio; never blocks."""

    def flush(self) -> None:
        """The caller stopped speaking: finish the utterance now, if the recogniser can."""

    def speech_started(self, at: float) -> None:
        """A hint: speech began `at` seconds into the audio of this stream, says the session's VAD."""

    def speech_ended(self, at: float) -> None:
        """A hint: it ended there. `flush` follows at once."""

    @abstractmethod
    def end_input(self) -> None:
        """No more audio will come."""

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[SpeechEvent]: ...

    async def aclose(self) -> None:
        """Stop and free; safe to call twice and while being iterated."""
