"""A recogniser of whole utterances, made to take audio as it comes: a VAD says where an utterance begins and ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from ..audio import AudioFrame
from .audio_history import AudioHistory
from .deadlines import cancel_all
from .errors import ProviderTimeout
from .stt import STT, RecognizeStream, SpeechEvent, SpeechEventType, STTCapabilities
from .vad import VAD, VADEvent, VADEventType

PADDING = 0.3
MAX_UTTERANCE = 30.0
RECOGNIZE_TIMEOUT = 15.0

_LOOK_BACK = 2.0  # seconds kept outside of speech: the VAD notices a start only after it


class STTStreamAdapter(STT):
    """Recognises a stream utterance by utterance."""

    def __init__(
        self,
        stt: STT,
        vad: VAD,
        *,
        padding: float = PADDING,
        max_utterance: float = MAX_UTTERANCE,
        timeout: float = RECOGNIZE_TIMEOUT,
    ) -> None:
        """
        Args:
            stt: the recogniser.
            vad: finds the utterances.
            padding: seconds of audio kept before and after the speech that the VAD found.
            max_utterance: seconds after which speech that does not end is recognised in parts.
            timeout: seconds that one recognition may take.
        """
        given = stt.capabilities
        super().__init__(
            capabilities=STTCapabilities(
                streaming=True,
                interim_results=False,
                diarization=given.diarization,
                aligned_transcript=False,
                manual_flush=True,
            )
        )
        self._stt = stt
        self._vad = vad
        self._padding = padding
        self._max_utterance = max_utterance
        self._timeout = timeout

    @property
    def label(self) -> str:
        return self._stt.label

    async def recognize(self, audio: AudioFrame) -> str:
        return await self._stt.recognize(audio)

    def stream(self) -> RecognizeStream:
        return UtteranceStream(self._stt, self._vad, self._padding, self._max_utterance, self._timeout)

    async def prewarm(self) -> None:
        await asyncio.gather(self._stt.prewarm(), self._vad.prewarm())

    async def update_options(self, *, language: str | None = None, model: str | None = None) -> None:
        await self._stt.update_options(language=language, model=model)

    async def aclose(self) -> None:
        await self._stt.aclose()


class UtteranceStream(RecognizeStream):
    """Audio in; start, end and final transcript of each utterance out.

    Utterances are recognised one after the other, in order, while audio keeps coming. `flush` ends the one in
    progress without waiting for the VAD's silence.
    """

    def __init__(self, stt: STT, vad: VAD, padding: float, max_utterance: float, timeout: float) -> None:
        self._stt = stt
        self._padding = padding
        self._max_utterance = max_utterance
        self._timeout = timeout
        self._history = AudioHistory(max_utterance + padding + _LOOK_BACK)
        self._vad = vad.stream(self._on_vad_event)
        self._speech_from: float | None = None
        self._recognised_until = 0.0
        # None ends: the first queue when no more audio comes, the second when all events are out.
        self._utterances: asyncio.Queue[tuple[AudioFrame, float] | None] = asyncio.Queue()
        self._events: asyncio.Queue[SpeechEvent | None] = asyncio.Queue()
        self._recogniser: asyncio.Task[None] | None = None
        self._ended = False
        self._closed = False

    def push_frame(self, frame: AudioFrame) -> None:
        """
        Raises:
            ValueError: the frame's format is not that of the frames before.
        """
        if self._ended or self._closed:
            return
        self._history.push(frame)
        self._vad.push_frame(frame)
        if self._speech_from is None:
            self._history.forget_before(self._history.end - self._padding - _LOOK_BACK)
        elif self._history.end - self._speech_from > self._max_utterance - 1e-9:
            self._cut_utterance(self._history.end)
            self._speech_from = self._history.end

    def flush(self) -> None:
        if self._speech_from is None or self._closed:
            return
        self._vad.reset()
        self._end_speech(self._history.end, self._history.end)

    def end_input(self) -> None:
        if self._ended or self._closed:
            return
        self.flush()
        self._ended = True
        self._vad.close()
        self._utterances.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[SpeechEvent]:
        if self._recogniser is not None:
            raise RuntimeError("a recognition can be iterated once only")
        self._recogniser = asyncio.create_task(self._recognise(), name=f"stt {self._stt.label}")
        try:
            while (event := await self._events.get()) is not None:
                yield event
            if not self._closed:
                await self._recogniser  # raises what went wrong
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            self._vad.close()
            self._events.put_nowait(None)
        if self._recogniser is not None:
            await cancel_all([self._recogniser])

    def _on_vad_event(self, event: VADEvent) -> None:
        if self._ended or self._closed:
            return
        if event.type is VADEventType.START_OF_SPEECH and self._speech_from is None:
            self._speech_from = max(event.at - self._padding, self._recognised_until)
            self._events.put_nowait(SpeechEvent(SpeechEventType.START_OF_SPEECH))
        elif event.type is VADEventType.END_OF_SPEECH and self._speech_from is not None:
            self._end_speech(event.at, min(event.at + self._padding, self._history.end))

    def _end_speech(self, end_at: float, cut_at: float) -> None:
        self._events.put_nowait(SpeechEvent(SpeechEventType.END_OF_SPEECH, end_at=end_at))
        self._cut_utterance(cut_at, end_at)
        self._speech_from = None

    def _cut_utterance(self, until: float, end_at: float | None = None) -> None:
        assert self._speech_from is not None
        audio = self._history.cut(self._speech_from, until)
        self._recognised_until = until
        if audio is not None:
            self._utterances.put_nowait((audio, until if end_at is None else end_at))

    async def _recognise(self) -> None:
        try:
            while (utterance := await self._utterances.get()) is not None:
                audio, end_at = utterance
                text = (await self._transcribe(audio)).strip()
                if text:
                    self._events.put_nowait(SpeechEvent(SpeechEventType.FINAL, text, end_at=end_at))
        finally:
            self._events.put_nowait(None)

    async def _transcribe(self, audio: AudioFrame) -> str:
        scope = asyncio.timeout(self._timeout)
        try:
            async with scope:
                return await self._stt.recognize(audio)
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise ProviderTimeout(
                f"{self._stt.label} did not recognise {audio.duration:.1f} s of audio within {self._timeout:g} s",
                provider=self._stt.label,
            ) from error
