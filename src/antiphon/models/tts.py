"""Text to speech: whole texts to audio, and streams of text to streams of audio."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass

from ..audio import AudioFrame, combine_frames
from .label import label_of
from .stt import WordInfo


@dataclass(frozen=True)
class TTSCapabilities:
    streaming: bool = False
    word_timestamps: bool = False


@dataclass(frozen=True)
class SynthesizedAudio:
    """A piece of synthesised speech.

    Attributes:
        frame: the audio.
        text: the text that begins to be spoken with this piece; empty for the pieces that go on with it.
        word_info: word timings in seconds from the start of that text's audio, when the voice gives them.
    """

    frame: AudioFrame
    text: str = ""
    word_info: list[WordInfo] | None = None


class TTS(ABC):
    """A voice."""

    def __init__(
        self,
        *,
        sample_rate: int = 24000,
        num_channels: int = 1,
        capabilities: TTSCapabilities | None = None,
    ) -> None:
        self._sample_rate = sample_rate
        self._num_channels = num_channels
        self._capabilities = capabilities or TTSCapabilities()

    @property
    def sample_rate(self) -> int:
        return self._sample_rate

    @property
    def num_channels(self) -> int:
        return self._num_channels

    @property
    def capabilities(self) -> TTSCapabilities:
        return self._capabilities

    @property
    def label(self) -> str:
        """The name shown in errors and metrics, as in `"cartesia/sonic-3"`."""
        return label_of(self)

    @abstractmethod
    def synthesize(self, text: str) -> ChunkedStream:
        """Speak one text. The request starts when the stream is first iterated."""

    def stream(self) -> SynthesizeStream:
        """Open a stream: text in as it is written, audio out as it is spoken.

        Raises:
            NotImplementedError: the voice takes whole texts only; wrap it in `models.TTSStreamAdapter`.
        """
        raise NotImplementedError(f"{self.label} does not stream; wrap it in TTSStreamAdapter")

    async def prewarm(self) -> None:
        """Load the voice or open the connection, so that the first reply is as fast as the next."""

    async def update_options(self, *, voice: str | None = None, model: str | None = None) -> None:
        """Change options for requests made from now on."""

    async def aclose(self) -> None:
        """Free what the voice holds; safe to call twice."""


class ChunkedStream(ABC):
    """The audio of one text, in pieces."""

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[SynthesizedAudio]: ...

    async def collect(self) -> AudioFrame:
        """All the audio as one frame.

        Raises:
            ProviderError: the provider failed, or gave no audio.
        """
        from .errors import ProviderError

        frames = [piece.frame async for piece in self]
        if not frames:
            raise ProviderError("the voice gave no audio")
        return combine_frames(frames)

    async def aclose(self) -> None:
        """Stop and free; safe to call twice."""


class SynthesizeStream(ABC):
    """A running synthesis. Iterate it for audio; it ends after `end_input` once all is out."""

    @abstractmethod
    def push_text(self, text: str) -> None:
        """Add text; never blocks."""

    def flush(self) -> None:
        """Speak what has been pushed so far without waiting for the end of a sentence."""

    @abstractmethod
    def end_input(self) -> None:
        """No more text will come."""

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[SynthesizedAudio]: ...

    async def aclose(self) -> None:
        """Stop and free; safe to call twice and while being iterated."""
