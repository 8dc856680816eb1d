"""Voice activity detection: where speech starts and ends, on the audio clock."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from ..audio import AudioFrame
from .label import label_of


@dataclass(frozen=True)
class VADCapabilities:
    """`update_interval`: seconds between two `CONTINUES` events while speech lasts."""

    update_interval: float = 0.032


class VADEventType(StrEnum):
    START_OF_SPEECH = "START_OF_SPEECH"
    CONTINUES = "CONTINUES"
    END_OF_SPEECH = "END_OF_SPEECH"


@dataclass(frozen=True)
class VADEvent:
    """A change, or the going on, of speech.

    Attributes:
        type: start and end strictly alternate; `CONTINUES` comes for each window between them.
        at: when it happened, in seconds of audio pushed into the stream: for a start the first sample of
            speech, for an end the last one (not when it was noticed), for `CONTINUES` the end of the window.
        speech_duration: seconds from the start of this speech to its last sample that was speech.
        silence_duration: seconds from then to now.
        probability: of the last window.
    """

    type: VADEventType
    at: float
    speech_duration: float = 0.0
    silence_duration: float = 0.0
    probability: float = 0.0


class VAD(ABC):
    """A voice activity detector; one serves all the sessions of a process."""

    def __init__(self, *, capabilities: VADCapabilities | None = None) -> None:
        self._capabilities = capabilities or VADCapabilities()

    @property
    def capabilities(self) -> VADCapabilities:
        return self._capabilities

    @property
    def label(self) -> str:
        return label_of(self)

    @abstractmethod
    def stream(self, on_event: Callable[[VADEvent], None]) -> VADStream:
        """Open a stream.

        Args:
            on_event: called on the event loop with each event, in order. It must not block.
        """

    async def prewarm(self) -> None:
        """Load the model, so that the first call is as fast as the next."""

    async def aclose(self) -> None:
        """Free what the detector holds; safe to call twice."""


class VADStream(ABC):
    """The detector on one caller's audio."""

    @abstractmethod
    def push_frame(self, frame: AudioFrame) -> None:
        """Add audio of any rate and length; never blocks. Events may come during the call or soon after."""

    @abstractmethod
    def reset(self) -> None:
        """Forget the speech in progress without an event, as after a hold. The clock goes on."""

    @abstractmethod
    def close(self) -> None:
        """Stop: no event comes after this returns."""
