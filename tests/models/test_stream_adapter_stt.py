"""A recogniser of whole utterances, fed a stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from antiphon.audio import AudioFrame
from antiphon.models.errors import ConfigurationError, ProviderError, ProviderTimeout
from antiphon.models.stream_adapter import StreamAdapter, STTStreamAdapter, TTSStreamAdapter
from antiphon.models.stt import STT, SpeechEvent, SpeechEventType
from antiphon.models.tokenize import SentenceSplitter
from antiphon.models.tts import TTS
from antiphon.models.vad import VAD, VADEvent, VADEventType, VADStream

RATE = 1000
FRAME = 50  # samples, 0.05 s


class LoudnessVAD(VAD):
    """Speech is what is not zero; 0.2 s of zeros end it."""

    def stream(self, on_event: Callable[[VADEvent], None]) -> VADStream:
        return LoudnessStream(on_event)


class LoudnessStream(VADStream):
    def __init__(self, on_event: Callable[[VADEvent], None]) -> None:
        self.on_event = on_event
        self.now = 0.0
        self.last: float | None = None

    def push_frame(self, frame: AudioFrame) -> None:
        start, self.now = self.now, self.now + frame.duration
        if frame.samples.any():
            if self.last is None:
                self.on_event(VADEvent(VADEventType.START_OF_SPEECH, start))
            self.last = self.now
        elif self.last is not None and self.now - self.last >= 0.2 - 1e-9:
            self.on_event(VADEvent(VADEventType.END_OF_SPEECH, self.last))
            self.last = None

    def reset(self) -> None:
        self.last = None

    def close(self) -> None:
        self.on_event = lambda event: None


class Recogniser(STT):
    """Says how long the audio is and how much of it is speech."""

    def __init__(self, act: Callable[[], Any] | None = None) -> None:
        super().__init__()
        self.act = act

    async def recognize(self, audio: AudioFrame) -> str:
        if self.act is not None:
            await self.act()
        speech = np.count_nonzero(audio.samples)
        return f"{audio.duration:.2f} with {speech / RATE:.2f}" if speech else " "


def frames(*parts: float) -> list[AudioFrame]:
    """Silence, speech, silence, speech ... in seconds."""
    made = []
    for index, seconds in enumerate(parts):
        value = index % 2
        made += [
            AudioFrame(np.full(FRAME, value, np.int16), RATE) for _ in range(round(seconds * RATE / FRAME))
        ]
    return made


def show(event: SpeechEvent) -> str:
    name = {SpeechEventType.START_OF_SPEECH: "start", SpeechEventType.END_OF_SPEECH: "end"}.get(
        event.type, event.text
    )
    return name if event.end_at is None else f"{name} @{event.end_at:.2f}"


async def recognise(stt: STT, audio: list[AudioFrame], **options: float) -> list[str]:
    stream = STTStreamAdapter(stt, LoudnessVAD(), **options).stream()
    for frame in audio:
        stream.push_frame(frame)
    stream.end_input()
    return [show(event) async for event in stream]


ROWS = [
    ("one utterance, padded on both sides", (1, 1, 1), ["start", "end @2.00", "1.50 with 1.00 @2.00"]),
    (
        "two utterances",
        (1, 1, 1, 0.5, 1),
        ["start", "end @2.00", "start", "end @3.50", "1.50 with 1.00 @2.00", "1.00 with 0.50 @3.50"],
    ),
    ("speech from the first sample", (0, 1, 1), ["start", "end @1.00", "1.20 with 1.00 @1.00"]),
    ("the input ends in speech", (1, 1), ["start", "end @2.00", "1.30 with 1.00 @2.00"]),
    ("silence", (3,), []),
    ("nothing", (), []),
]


@pytest.mark.parametrize(("parts", "events"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_utterances(parts: tuple[float, ...], events: list[str]) -> None:
    assert asyncio.run(recognise(Recogniser(), frames(*parts))) == events


def test_speech_without_end_is_recognised_in_parts_that_do_not_overlap() -> None:
    events = asyncio.run(recognise(Recogniser(), frames(1, 2.5, 1), max_utterance=1.3, padding=0.3))
    assert [event for event in events if "with" in event] == [
        "1.30 with 1.00 @2.00",
        "1.30 with 1.30 @3.30",
        "0.40 with 0.20 @3.50",
    ]
    assert events.count("start") == events.count("end @3.50") == 1


def test_flush_finishes_at_once_and_once_only() -> None:
    async def main() -> list[str]:
        stream = STTStreamAdapter(Recogniser(), LoudnessVAD()).stream()
        events: list[str] = []

        async def read() -> None:
            events.extend([show(event) async for event in stream])

        reading = asyncio.create_task(read())
        stream.flush()  # no speech: nothing
        for frame in frames(1, 1):
            stream.push_frame(frame)
        stream.flush()
        for frame in frames(1):
            stream.push_frame(frame)
        stream.end_input()
        await reading
        return events

    assert asyncio.run(main()) == ["start", "end @2.00", "1.30 with 1.00 @2.00"]


def test_events_come_while_an_utterance_is_being_recognised() -> None:
    async def main() -> list[str]:
        release = asyncio.Event()
        stream = STTStreamAdapter(Recogniser(release.wait), LoudnessVAD()).stream()
        events: list[str] = []

        async def read() -> None:
            async for event in stream:
                events.append(show(event))  # noqa: PERF401 - looked at while it grows

        reading = asyncio.create_task(read())
        for frame in frames(1, 1, 1, 1):
            stream.push_frame(frame)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        early = list(events)
        release.set()
        stream.end_input()
        await reading
        assert len(events) == 6
        return early

    assert asyncio.run(main()) == ["start", "end @2.00", "start"]


def test_errors_come_out_of_the_iteration() -> None:
    async def fail() -> None:
        raise ProviderError("no recogniser today")

    with pytest.raises(ProviderError, match="no recogniser today"):
        asyncio.run(recognise(Recogniser(fail), frames(1, 1, 1)))
    with pytest.raises(ProviderTimeout, match=r"did not recognise 1.5 s of audio within 0.01 s"):
        asyncio.run(recognise(Recogniser(asyncio.Event().wait), frames(1, 1, 1), timeout=0.01))


def test_closing_while_iterated_leaves_nothing() -> None:
    async def main() -> None:
        before = asyncio.all_tasks()
        stream = STTStreamAdapter(Recogniser(asyncio.Event().wait), LoudnessVAD()).stream()
        for frame in frames(1, 1, 1):
            stream.push_frame(frame)

        async def read() -> list[str]:
            return [show(event) async for event in stream]

        reading = asyncio.create_task(read())
        await asyncio.sleep(0.01)
        await stream.aclose()
        await stream.aclose()
        assert await asyncio.wait_for(reading, 1) == ["start", "end @2.00"]
        stream.push_frame(frames(1)[0])
        stream.flush()
        stream.end_input()
        assert asyncio.all_tasks() == before

    asyncio.run(main())


class Voice(TTS):
    def synthesize(self, text: str) -> Any:
        raise NotImplementedError


def test_stream_adapter_picks_the_adapter() -> None:
    assert isinstance(StreamAdapter(Voice()), TTSStreamAdapter)
    assert isinstance(StreamAdapter(tts=Voice(), sentence_tokenizer=lambda text: [text]), TTSStreamAdapter)
    assert isinstance(StreamAdapter(tts=Voice(), tokenizer=SentenceSplitter), TTSStreamAdapter)
    adapter = StreamAdapter(stt=Recogniser(), vad=LoudnessVAD())
    assert isinstance(adapter, STTStreamAdapter)
    assert adapter.capabilities.streaming
    assert adapter.capabilities.manual_flush


@pytest.mark.parametrize("given", [{}, {"tts": Voice(), "stt": Recogniser()}, {"stt": Recogniser()}])
def test_stream_adapter_says_what_is_missing(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="StreamAdapter"):
        StreamAdapter(**given)
