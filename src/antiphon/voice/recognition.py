"""The caller's audio to events: speech started and ended, transcripts."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Protocol

from ..audio import AudioFrame, Resampler
from ..models.stt import RecognizeStream, SpeechEvent, SpeechEventType
from ..models.vad import VAD, VADEvent, VADEventType, VADStream
from ..turns import Final, Interim, SpeechContinues, SpeechEnded, SpeechStarted
from .events import SessionEvent, UserInputTranscribed
from .realtime_listener import RealtimeListener
from .session_clock import SessionClock
from .transcriber import Transcriber

if TYPE_CHECKING:
    from .agent_session import AgentSession
    from .conversation import Conversation

logger = logging.getLogger(__name__)

SAMPLE_RATE = 16000
SILENT_STREAM = 1.0  # seconds without any audio after which speech that was going on counts as ended


class NoiseFilter(Protocol):
    """Takes noise out of one caller's audio, frame by frame."""

    def process(self, frame: AudioFrame) -> AudioFrame: ...


class Recognition:
    """Listens to one caller.

    Every frame goes through here on the event loop, so the way is short: filter, resample to 16 kHz, VAD, recogniser.
    """

    def __init__(self, session: AgentSession[Any], conversation: Conversation, clock: SessionClock) -> None:
        self._session = session
        self._conversation = conversation
        self._driver = conversation.driver
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._resampler: Resampler | None = None
        self._filter: NoiseFilter | None = None
        self._vad: VADStream | None = None
        self._transcriber: Transcriber | RealtimeListener | None = None
        self._watchdog: asyncio.TimerHandle | None = None
        self._late_final: asyncio.TimerHandle | None = None
        self._interim = ""
        self._last_frame_at = 0.0
        self._speaking = False
        self._deaf = False

    # -- life ------------------------------------------------------------------------------------------------------

    def start(self, vad: VAD | None, noise_filter: NoiseFilter | None) -> None:
        """Open the streams of the detector and the recogniser."""
        self._filter = noise_filter or self._filter
        if vad is not None:
            self._vad = vad.stream(self._on_vad)
        if self._session.realtime is not None:
            self._transcriber = RealtimeListener(self._session, self._conversation, self._session.realtime)
            self._transcriber.start()
        elif self._session.stt is not None:
            self._transcriber = Transcriber(self._session, self._conversation, self._on_transcript)
            self._transcriber.start()

    async def restart_transcriber(self) -> None:
        """Another agent is in charge; its stt node takes over if it has one of its own."""
        if self._transcriber is not None:
            await self._transcriber.change_node()

    async def aclose(self) -> None:
        self._deaf = True
        for timer in (self._watchdog, self._late_final):
            if timer is not None:
                timer.cancel()
        if self._vad is not None:
            self._vad.close()
        if self._transcriber is not None:
            await self._transcriber.aclose()

    def use_stream(self, stream: RecognizeStream) -> None:
        """The recogniser's stream that ends of speech are passed to."""
        if self._transcriber is not None:
            self._transcriber.stream = stream

    def use_filter(self, noise_filter: NoiseFilter) -> None:
        """Clean the caller's audio with `noise_filter` from now on."""
        self._filter = noise_filter

    def ignore(self, deaf: bool) -> None:
        """Stop listening, as on hold, or listen again. What comes meanwhile has no place in the audio of the detectors."""
        self._clock.interrupt()
        if deaf and self._vad is not None:
            self._vad.reset()
            self._speaking = False
            self._conversation.answers.end_of_turn.turn_over()
            if isinstance(self._transcriber, RealtimeListener):
                self._transcriber.discard()
        self._deaf = deaf

    # -- audio in --------------------------------------------------------------------------------------------------

    def push_frame(self, frame: AudioFrame) -> None:
        """Take the caller's next audio, of any rate and length."""
        if frame.num_channels != 1:
            frame = frame.to_mono()
        if self._filter is not None:
            frame = self._filter.process(frame)
        if frame.sample_rate != SAMPLE_RATE:
            if self._resampler is None or self._resampler.input_rate != frame.sample_rate:
                self._resampler = Resampler(frame.sample_rate, SAMPLE_RATE)
            frame = self._resampler.push(frame)
        self._last_frame_at = self._loop.time()
        if self._deaf:
            return
        self._clock.audio_received(frame.samples.size / SAMPLE_RATE)
        if self._transcriber is not None:
            self._transcriber.push_frame(frame)
        if self._vad is not None:
            self._conversation.answers.end_of_turn.hear(frame)
            self._vad.push_frame(frame)

    # -- voice activity --------------------------------------------------------------------------------------------

    def _on_vad(self, event: VADEvent) -> None:
        if self._deaf:
            return
        if event.type is VADEventType.CONTINUES:
            state = self._driver.state
            if state.floor_is_wanted:
                self._driver.dispatch(SpeechContinues(event.speech_duration, event.silence_duration))
        elif event.type is VADEventType.START_OF_SPEECH:
            self._speech_started(event.at)
            if self._driver.state.floor_is_wanted:
                self._driver.dispatch(SpeechContinues(event.speech_duration))
        else:
            self._speech_ended(event.at)

    def _speech_started(self, position: float) -> None:
        self._speaking = True
        self._conversation.answers.interjections.speech_started()
        self._cancel_late_final()
        self._driver.dispatch(SpeechStarted(self._clock.at(position)))
        self._conversation.answers.end_of_turn.speech_started(position)
        if self._transcriber is not None:
            self._transcriber.speech_started(position)
        if self._watchdog is None:
            self._watchdog = self._loop.call_later(SILENT_STREAM, self._check_stream)

    def _speech_ended(self, position: float) -> None:
        self._speaking = False
        self._conversation.answers.marks["vad"] = self._clock.now()
        self._driver.dispatch(SpeechEnded(self._clock.at(position)))
        self._conversation.answers.end_of_turn.speech_ended(position)
        if self._transcriber is not None:
            self._transcriber.speech_ended(position)
            if self._interim:
                limit = self._session.options.transcription_timeout
                self._late_final = self._loop.call_later(limit, self._take_interim)

    def _check_stream(self) -> None:
        """Speech that the network cut off has ended: a muted microphone sends nothing at all."""
        self._watchdog = None
        if not self._speaking:
            return
        missing = self._loop.time() - self._last_frame_at
        if missing >= SILENT_STREAM:
            if self._vad is not None:
                self._vad.reset()
            self._speech_ended(self._clock.received)
        else:
            self._watchdog = self._loop.call_later(SILENT_STREAM - missing, self._check_stream)

    # -- transcripts -----------------------------------------------------------------------------------------------

    def _on_transcript(self, event: SpeechEvent) -> None:
        if self._deaf:
            return
        text = event.text.strip()
        if event.language is not None:
            self._conversation.answers.end_of_turn.language = event.language
        match event.type:
            case SpeechEventType.INTERIM if text:
                self._interim = text
                self._announce(text, is_final=False, language=event.language)
                self._driver.dispatch(Interim(text, self._conversation.answers.interjections.weigh(text)))
            case SpeechEventType.FINAL if text:
                self._cancel_late_final()
                self._conversation.answers.marks["transcript"] = self._clock.now()
                self._announce(text, is_final=True, language=event.language)
                end_at = None if event.end_at is None else self._clock.at(event.end_at)
                weight = self._conversation.answers.interjections.weigh(text)
                self._driver.dispatch(Final(text, end_at, weight))
            case SpeechEventType.FINAL:
                self._cancel_late_final()

    def _take_interim(self) -> None:
        """The recogniser owes a final transcript: what it had is better than nothing."""
        text, self._interim, self._late_final = self._interim, "", None
        logger.warning("no final transcript came; the interim one is taken")
        self._on_transcript(SpeechEvent(SpeechEventType.FINAL, text))

    def _cancel_late_final(self) -> None:
        self._interim = ""
        if self._late_final is not None:
            self._late_final.cancel()
            self._late_final = None

    def _announce(self, text: str, *, is_final: bool, language: str | None) -> None:
        self._session.emit(
            SessionEvent.USER_INPUT_TRANSCRIBED,
            UserInputTranscribed(text, is_final=is_final, language=language),
        )
