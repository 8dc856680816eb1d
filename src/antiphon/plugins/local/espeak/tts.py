"""`EspeakTTS`: espeak-ng behind the `models.tts` interface."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np

from ....audio import AudioFrame
from ....audio.frame import Int16Array
from ....models.errors import ConfigurationError, ProviderError, ProviderTimeout
from ....models.stt import WordInfo
from ....models.tokenize import SentenceSplitter
from ....models.tts import TTS, ChunkedStream, SynthesizedAudio, SynthesizeStream, TTSCapabilities
from . import engine
from .engine import PROVIDER, Engine, Utterance, VoiceSettings
from .words import WordClock

_PIECE = 0.24  # seconds of audio handed over at a time, after the first block
_PATIENCE = 10.0  # seconds without audio; the engine needs some milliseconds


class EspeakTTS(TTS):
    """A plain but quick and tireless voice, in some hundred languages. Text comes out sentence by sentence."""

    def __init__(self, *, voice: str = "en-us", rate: int = 168, pitch: int = 50, volume: int = 100) -> None:
        """Load the engine, which takes a few milliseconds.

        Args:
            voice: a language or voice, with a variant after `+`: `"en-us"`, `"en-gb+f4"`, `"de"`.
            rate: words a minute, 80 to 450.
            pitch: 0 to 100.
            volume: 0 to 200; above 100 it may distort.

        Raises:
            ConfigurationError: the package is missing, or there is no such voice.
        """
        self._settings = VoiceSettings(voice, rate, pitch, volume)
        self._engine = engine.load()
        self._engine.check(self._settings)
        super().__init__(
            sample_rate=self._engine.sample_rate,
            capabilities=TTSCapabilities(streaming=True, word_timestamps=True),
        )

    @property
    def label(self) -> str:
        return PROVIDER

    def synthesize(self, text: str) -> EspeakChunkedStream:
        return EspeakChunkedStream(self._engine, self._settings, text)

    def stream(self) -> EspeakStream:
        return EspeakStream(self._engine, self._settings)

    async def update_options(self, *, voice: str | None = None, model: str | None = None) -> None:
        if model not in (None, "espeak"):
            raise ConfigurationError(f"There is no TTS local/{model}. Known: local/espeak.")
        if voice is not None:
            settings = replace(self._settings, voice=voice)
            self._engine.check(settings)
            self._settings = settings


class EspeakChunkedStream(ChunkedStream):
    """The audio of one text."""

    def __init__(self, voice: Engine, settings: VoiceSettings, text: str) -> None:
        splitter = SentenceSplitter()
        self._sentences = [*splitter.push(text), *splitter.flush()]
        self._speaker = _Speaker(voice, settings)

    async def __aiter__(self) -> AsyncIterator[SynthesizedAudio]:
        for sentence in self._sentences:
            async for piece in self._speaker.speak(sentence):
                yield piece

    async def aclose(self) -> None:
        self._speaker.close()


class EspeakStream(SynthesizeStream):
    """Text in as it is written, audio out sentence by sentence."""

    def __init__(self, voice: Engine, settings: VoiceSettings) -> None:
        self._splitter = SentenceSplitter()
        self._speaker = _Speaker(voice, settings)
        self._sentences: deque[str] = deque()
        self._changed = asyncio.Event()
        self._ended = self._closed = False

    def push_text(self, text: str) -> None:
        if not self._ended:
            self._add(self._splitter.push(text))

    def flush(self) -> None:
        if not self._ended:
            self._add(self._splitter.flush())

    def end_input(self) -> None:
        self.flush()
        self._ended = True
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[SynthesizedAudio]:
        while not self._closed:
            if self._sentences:
                async for piece in self._speaker.speak(self._sentences.popleft()):
                    yield piece
            elif self._ended:
                return
            else:
                self._changed.clear()
                await self._changed.wait()  # for the writer of the text, who ends or closes the stream

    async def aclose(self) -> None:
        self._closed = self._ended = True
        self._sentences.clear()
        self._speaker.close()
        self._changed.set()

    def _add(self, sentences: list[str]) -> None:
        self._sentences.extend(sentences)
        if sentences:
            self._changed.set()


class _Speaker:
    """Gets sentences spoken, one after the other; `close` stops it in the middle of one."""

    def __init__(self, voice: Engine, settings: VoiceSettings) -> None:
        self._engine = voice
        self._settings = settings
        self._closed = False
        self._sentence: _Sentence | None = None

    async def speak(self, text: str) -> AsyncIterator[SynthesizedAudio]:
        """The audio of a sentence; none of one without a letter or digit."""
        if self._closed or not any(character.isalnum() for character in text):
            return
        sentence = self._sentence = _Sentence(text, self._engine.sample_rate)
        self._engine.speak(Utterance(text, self._settings, sentence.on_audio, sentence.on_end))
        try:
            while (piece := await sentence.next_piece()) is not None:
                yield piece
        finally:
            sentence.stop()

    def close(self) -> None:
        self._closed = True
        if self._sentence is not None:
            self._sentence.stop()


class _Sentence:
    """One sentence on its way from the engine's thread to the event loop."""

    def __init__(self, text: str, sample_rate: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._pieces: asyncio.Queue[SynthesizedAudio | Exception | None] = asyncio.Queue()
        self._text = text
        self._rate = sample_rate
        self._clock = WordClock(text, sample_rate)
        self._blocks: list[Int16Array] = []
        self._words: list[WordInfo] = []
        self._held = 0
        self._samples = 0
        self._begun = False
        self._stopped = False

    def stop(self) -> None:
        """Want no more: the engine stops at its next block, and `next_piece` ends."""
        if not self._stopped:
            self._stopped = True
            self._pieces.put_nowait(None)

    async def next_piece(self) -> SynthesizedAudio | None:
        """Raises `ProviderError` if the engine failed or is stuck."""
        if self._stopped:
            return None
        try:
            async with asyncio.timeout(_PATIENCE):
                piece = await self._pieces.get()
        except TimeoutError as error:
            raise ProviderTimeout(
                f"espeak-ng gave no audio for {_PATIENCE:.0f} s", provider=PROVIDER
            ) from error
        if isinstance(piece, ProviderError):
            raise piece
        if isinstance(piece, Exception):
            raise ProviderError(f"espeak-ng failed: {piece}", provider=PROVIDER) from piece
        return None if self._stopped else piece

    def on_audio(self, samples: Int16Array, words: list[tuple[int, int]]) -> bool:
        """On the engine's thread."""
        if self._stopped:
            return False
        for position, sample in words:
            self._words += self._clock.begin(position, sample)
        if samples.size:
            # One block is always held back, for the end of the last word to go with.
            if self._held and (not self._begun or self._held >= _PIECE * self._rate):
                self._hand_over()
            self._blocks.append(samples)
            self._held += samples.size
            self._samples += samples.size
        return True

    def on_end(self, error: Exception | None) -> None:
        """On the engine's thread."""
        self._words += self._clock.end(self._samples)
        if self._held and not self._stopped and error is None:
            self._hand_over()
        self._post(error)

    def _hand_over(self) -> None:
        frame = AudioFrame(np.concatenate(self._blocks), self._rate)
        piece = SynthesizedAudio(frame, "" if self._begun else self._text, self._words or None)
        self._begun = True
        self._blocks, self._words, self._held = [], [], 0
        self._post(piece)

    def _post(self, item: SynthesizedAudio | Exception | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._pieces.put_nowait, item)
        except RuntimeError:  # the loop was closed: nobody waits any more
            self._stopped = True
