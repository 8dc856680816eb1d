"""A conversation by script: a user who speaks at given times, and providers that answer after given times."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from antiphon.audio import AudioFrame
from antiphon.models.chat_context import ToolCall
from antiphon.models.llm import LLM, ChatChunk, LLMCapabilities, LLMStream
from antiphon.models.realtime import RealtimeModel
from antiphon.models.stt import STT, RecognizeStream, SpeechEvent, SpeechEventType, STTCapabilities
from antiphon.models.tts import TTS, ChunkedStream, SynthesizedAudio
from antiphon.models.vad import VAD, VADEvent, VADEventType, VADStream
from antiphon.rooms import AudioOutput
from antiphon.rooms.playback import PlaybackBuffer
from antiphon.voice import Agent, AgentSession, SessionEvent

RATE = 24000
TICK = 0.005


@dataclass
class Speech:
    """The user speaks from `start` to `end`; a final transcript comes at `final_at`, if there are words."""

    start: float
    end: float
    text: str = ""
    final_at: float | None = None
    interims: Sequence[tuple[float, str]] = ()


class ScriptedVAD(VAD):
    """Reports scripted speech as a detector would: late, but with true times."""

    def __init__(self, speeches: Sequence[Speech], *, start_lag: float = 0.05, end_lag: float = 0.2) -> None:
        super().__init__()
        self.speeches, self.start_lag, self.end_lag = list(speeches), start_lag, end_lag

    def stream(self, on_event: Callable[[VADEvent], None]) -> VADStream:
        return _ScriptedVADStream(self, on_event)


class _ScriptedVADStream(VADStream):
    def __init__(self, vad: ScriptedVAD, on_event: Callable[[VADEvent], None]) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._now = self._pushed_at = loop.time()
        self._unheard = 0.0
        self._handles: list[asyncio.TimerHandle] = []
        for speech in vad.speeches:
            self._plan(speech, vad, loop, on_event)

    def _plan(
        self, speech: Speech, vad: ScriptedVAD, loop: Any, on_event: Callable[[VADEvent], None]
    ) -> None:
        def report(event: VADEvent) -> None:
            on_event(replace(event, at=event.at - self._unheard))

        def at(when: float, event: VADEvent) -> None:
            self._handles.append(loop.call_at(self._now + when, report, event))

        length = speech.end - speech.start
        at(speech.start + vad.start_lag, VADEvent(VADEventType.START_OF_SPEECH, at=speech.start))
        steps = int(length / 0.032)
        for step in range(2, steps + 1):
            when = speech.start + step * 0.032
            at(when, VADEvent(VADEventType.CONTINUES, at=when, speech_duration=step * 0.032))
        for step in range(1, int(vad.end_lag / 0.032) + 1):
            when = speech.end + step * 0.032
            at(
                when,
                VADEvent(
                    VADEventType.CONTINUES, at=when, speech_duration=length, silence_duration=step * 0.032
                ),
            )
        at(
            speech.end + vad.end_lag,
            VADEvent(
                VADEventType.END_OF_SPEECH,
                at=speech.end,
                speech_duration=length,
                silence_duration=vad.end_lag,
            ),
        )

    def push_frame(self, frame: AudioFrame) -> None:
        gap = self._loop.time() - self._pushed_at - frame.duration
        if gap > 0.1:  # positions count the audio that was pushed, not the time that went by
            self._unheard += gap
        self._pushed_at = self._loop.time()

    def reset(self) -> None: ...

    def close(self) -> None:
        for handle in self._handles:
            handle.cancel()


class ScriptedSTT(STT):
    """Emits scripted transcripts at their times, in whatever stream is open then."""

    def __init__(self, events: Sequence[tuple[float, SpeechEvent | BaseException]]) -> None:
        super().__init__(capabilities=STTCapabilities(streaming=True, interim_results=True))
        self.events = sorted(events, key=lambda item: item[0])
        self.origin: float | None = None
        self.streams: list[_ScriptedSTTStream] = []

    async def recognize(self, audio: AudioFrame) -> str:
        raise NotImplementedError

    def stream(self) -> RecognizeStream:
        if self.origin is None:
            self.origin = asyncio.get_running_loop().time()
        stream = _ScriptedSTTStream(self)
        self.streams.append(stream)
        return stream


class _ScriptedSTTStream(RecognizeStream):
    def __init__(self, stt: ScriptedSTT) -> None:
        self._stt = stt
        self.seconds = 0.0

    def push_frame(self, frame: AudioFrame) -> None:
        self.seconds += frame.duration

    def end_input(self) -> None: ...

    async def __aiter__(self) -> AsyncIterator[SpeechEvent]:
        loop = asyncio.get_running_loop()
        assert self._stt.origin is not None
        while self._stt.events:
            when, event = self._stt.events[0]
            await asyncio.sleep(self._stt.origin + when - loop.time())
            self._stt.events.pop(0)
            if isinstance(event, BaseException):
                raise event
            yield event
        await asyncio.Event().wait()


def transcripts(speeches: Sequence[Speech]) -> list[tuple[float, SpeechEvent | BaseException]]:
    events: list[tuple[float, SpeechEvent | BaseException]] = []
    for speech in speeches:
        events += [(when, SpeechEvent(SpeechEventType.INTERIM, text)) for when, text in speech.interims]
        if speech.final_at is not None:
            events.append((speech.final_at, SpeechEvent(SpeechEventType.FINAL, speech.text)))
    return events


@dataclass
class Answer:
    """What the model says: the first token after `first`, all of it by `whole`; then it may call tools."""

    text: str = "This is the whole answer to what you said."
    first: float = 0.1
    whole: float = 0.3
    calls: Sequence[ToolCall] = ()
    error: BaseException | None = None


class ScriptedLLM(LLM):
    """Answers by the last message: a user's text, or `"tool:<name>"` after that tool's result."""

    def __init__(self, answers: dict[str, Answer] | Answer | None = None) -> None:
        self.answers = answers if isinstance(answers, dict) else {}
        self.default = answers if isinstance(answers, Answer) else Answer()
        self.requests: list[tuple[float, list[Any], str]] = []

    @property
    def capabilities(self) -> LLMCapabilities:
        return LLMCapabilities(function_calling=True)

    def chat(
        self, chat_ctx: Any, tools: Any = None, temperature: float = 0.7, *, tool_choice: Any = "auto"
    ) -> Any:
        messages = list(chat_ctx)
        self.requests.append((asyncio.get_running_loop().time(), messages, tool_choice))
        last = messages[-1]
        key = f"tool:{last.extra['name']}" if last.role == "tool" else last.content
        if tool_choice == "none" and "no tools" in self.answers:
            key = "no tools"
        return _ScriptedLLMStream(self.answers.get(key, self.default))


class _ScriptedLLMStream(LLMStream):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[ChatChunk]:
        answer = self._answer
        words = answer.text.split()
        await asyncio.sleep(answer.first)
        if answer.error is not None:
            raise answer.error
        for index, word in enumerate(words):
            yield ChatChunk(delta=word if index == 0 else " " + word)
            if len(words) > 1:
                await asyncio.sleep(
                    (answer.whole - answer.first) / (len(words) - 1) if index < len(words) - 1 else 0
                )
        if answer.calls:
            yield ChatChunk(tool_calls=list(answer.calls))


class ScriptedTTS(TTS):
    """Speaks any text in `length` seconds, first audio after `first`; a falling ramp, so that lost frames show."""

    def __init__(self, *, first: float = 0.2, length: float = 3.0) -> None:
        super().__init__(sample_rate=RATE)
        self.first, self.length = first, length
        self.texts: list[tuple[float, str]] = []
        self.audio = (np.arange(round(length * RATE)) % 30000 + 1).astype(np.int16)

    def synthesize(self, text: str) -> ChunkedStream:
        return _ScriptedSpeech(self, text)


class _ScriptedSpeech(ChunkedStream):
    def __init__(self, tts: ScriptedTTS, text: str) -> None:
        self._tts, self._text = tts, text

    async def __aiter__(self) -> AsyncIterator[SynthesizedAudio]:
        self._tts.texts.append((asyncio.get_running_loop().time(), self._text))
        await asyncio.sleep(self._tts.first)
        step = RATE // 10
        for start in range(0, self._tts.audio.size, step):
            frame = AudioFrame(self._tts.audio[start : start + step], RATE)
            yield SynthesizedAudio(frame, self._text if start == 0 else "")
            await asyncio.sleep(0.001)


class Speaker:
    """Plays an output in (virtual) real time and keeps what was heard, with the time of each change."""

    def __init__(self, output: PlaybackBuffer) -> None:
        self.output = output
        self.heard: list[np.ndarray[Any, Any]] = []
        self.spans: list[list[float]] = []
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name="speaker")

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        count = round(TICK * RATE)
        tick = 0
        while True:
            tick += 1
            await asyncio.sleep(max(0.0, start + tick * TICK - loop.time()))
            samples = self.output.pull(count)
            now = loop.time() - start
            if samples.any():
                self.heard.append(samples[samples != 0])
                if not self.spans or now - self.spans[-1][1] > 2 * TICK:
                    self.spans.append([now, now])
                self.spans[-1][1] = now

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    @property
    def audio(self) -> np.ndarray[Any, Any]:
        return np.concatenate(self.heard) if self.heard else np.zeros(0, np.int16)


@dataclass
class Recording:
    """All that happened in a scripted conversation, with times since its start."""

    events: list[tuple[float, str, Any]] = field(default_factory=list)
    session: AgentSession[Any] | None = None
    llm: ScriptedLLM | None = None
    tts: ScriptedTTS | None = None
    stt: ScriptedSTT | None = None
    speaker: Speaker | None = None
    history: list[Any] = field(default_factory=list)

    def times(self, name: str) -> list[float]:
        return [when for when, event, _ in self.events if event == name]

    def all(self, name: str) -> list[tuple[float, Any]]:
        return [(when, payload) for when, event, payload in self.events if event == name]

    @property
    def commits(self) -> list[float]:
        """When the user's turns entered the log."""
        return [when for when, item in self.all("conversation_item_added") if item.item.role == "user"]

    @property
    def playouts(self) -> list[list[float]]:
        """When the listener heard something: [from, to]."""
        assert self.speaker is not None
        return self.speaker.spans

    @property
    def agent_states(self) -> list[tuple[float, str]]:
        return [(when, str(event.new_state)) for when, event in self.all("agent_state_changed")]

    def log(self) -> list[tuple[str, str]]:
        """The conversation as (role, text); a call reads `call:<name>`, its result `result:<text>`."""
        rows: list[tuple[str, str]] = []
        for item in self.history:
            if item.tool_calls:
                rows.append(("assistant", f"call:{item.tool_calls[0].name}"))
            elif item.role == "tool":
                rows.append(("tool", f"result:{item.content}"))
            else:
                rows.append((item.role, item.content))
        return rows


async def _microphone(session: AgentSession[Any]) -> None:
    """Silent frames every 20 ms: the audio clock runs, the scripted detector says what is speech."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    frame = AudioFrame(np.zeros(320, np.int16), 16000)
    count = 0
    while True:
        count += 1
        await asyncio.sleep(max(0.0, start + count * 0.02 - loop.time()))
        session.push_audio(frame)


Script = Sequence[tuple[float, Callable[[AgentSession[Any]], Any]]]


async def converse(
    speeches: Sequence[Speech] = (),
    *,
    until: float,
    llm: LLM | None = None,
    tts: ScriptedTTS | None = None,
    stt: STT | None = None,
    agent: Agent | None = None,
    can_pause: bool = True,
    script: Script = (),
    vad: VAD | None = None,
    close: bool = True,
    realtime: RealtimeModel | None = None,
    **options: Any,
) -> Recording:
    """Play a script against a real session on the running loop and record what happens.

    With a realtime model there is no recogniser and no language model, and only the voice and the detector that are given.
    Silence alone ends a turn, unless `turn_detection` is given.
    """
    loop = asyncio.get_running_loop()
    record = Recording()
    record.llm = llm if isinstance(llm, ScriptedLLM) else ScriptedLLM()
    record.tts = tts or ScriptedTTS()
    record.stt = stt if isinstance(stt, ScriptedSTT) else ScriptedSTT(transcripts(speeches))
    options.setdefault("user_away_timeout", None)
    options.setdefault("turn_detection", "vad")
    models: dict[str, Any] = {"realtime": realtime, "tts": tts, "vad": vad}
    if realtime is None:
        models = {
            "stt": stt or record.stt,
            "vad": vad or ScriptedVAD(speeches),
            "llm": llm or record.llm,
            "tts": record.tts,
        }
    session: AgentSession[Any] = AgentSession(**models, can_pause=can_pause, **options)
    record.session = session
    output: AudioOutput = PlaybackBuffer(RATE)
    assert isinstance(output, PlaybackBuffer)
    record.speaker = Speaker(output)
    origin = loop.time()
    for name in SessionEvent:
        session.on(
            name, lambda event, name=str(name): record.events.append((loop.time() - origin, name, event))
        )
    record.speaker.start()
    await session.start(agent or Agent(instructions="Be brief."), audio_output=output)
    microphone = loop.create_task(_microphone(session), name="microphone")
    for when, action in sorted(script, key=lambda item: item[0]):
        await asyncio.sleep(max(0.0, origin + when - loop.time()))
        result = action(session)
        if asyncio.iscoroutine(result):
            await result
    await asyncio.sleep(max(0.0, origin + until - loop.time()))
    record.history = list(session.history)
    if close:
        await session.aclose()
    microphone.cancel()
    await asyncio.wait([microphone])
    await record.speaker.stop()
    return record
