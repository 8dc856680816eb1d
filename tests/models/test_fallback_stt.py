"""Recognisers that stand in for each other in the middle of an utterance."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.audio import AudioFrame
from antiphon.models.errors import AllProvidersFailed, ConfigurationError, ProviderError, ProviderTimeout
from antiphon.models.fallback import (
    AvailabilityChanged,
    BackOff,
    FallbackAdapter,
    StreamLimits,
    STTFallbackAdapter,
)
from antiphon.models.stt import (
    STT,
    RecognizeStream,
    SpeechEvent,
    SpeechEventType,
    STTCapabilities,
    WordInfo,
)
from antiphon.models.vad import VAD

RATE = 1000
FRAME = 0.1
BOOM = ProviderError("boom")
QUICK = StreamLimits(answer_timeout=0.03, retry_interval=0.001)


@dataclass
class Ear(STT):
    """Hears each run of one sample value as a word, reports it at `flush` or the end of the input.

    Attributes:
        dies_after: for each stream opened, the number of frames after which it raises; None is never.
        deaf: it reports nothing at all.
        knows_times: events carry `end_at` and words.
        marks: it reports start and end of speech.
        own_end: it reports a word at the first silence by itself.
    """

    name: str
    dies_after: Sequence[int | None] = ()
    deaf: bool = False
    knows_times: bool = True
    marks: bool = False
    own_end: bool = False
    act: Callable[[], Any] | None = None

    def __post_init__(self) -> None:
        super().__init__(
            capabilities=STTCapabilities(streaming=True, interim_results=True, manual_flush=True)
        )
        self.streams: list[EarStream] = []
        self.open = 0

    @property
    def label(self) -> str:
        return self.name

    async def recognize(self, audio: AudioFrame) -> str:
        if self.act is not None:
            await self.act()
        return self.name

    def stream(self) -> RecognizeStream:
        if self.act is not None:
            self.act()
        index = len(self.streams)
        self.open += 1
        self.streams.append(EarStream(self, self.dies_after[index] if index < len(self.dies_after) else None))
        return self.streams[-1]


class EarStream(RecognizeStream):
    def __init__(self, ear: Ear, dies_after: int | None) -> None:
        self.ear, self.dies_after = ear, dies_after
        self.events: asyncio.Queue[SpeechEvent | Exception | None] = asyncio.Queue()
        self.now = 0.0
        self.values: list[int] = []
        self.words: list[int] = []
        self.word_end = 0.0
        self.closed = False
        self.say_if_dead(0)

    def say_if_dead(self, frames: int) -> None:
        if self.dies_after is not None and frames >= self.dies_after:
            self.events.put_nowait(BOOM)

    def say(self, type_: SpeechEventType, text: str = "") -> None:
        if self.ear.deaf:
            return
        end = self.word_end if self.ear.knows_times else None
        words = [WordInfo(text, 0.0, self.word_end)] if text and self.ear.knows_times else None
        self.events.put_nowait(SpeechEvent(type_, text, words=words, end_at=end))

    def push_frame(self, frame: AudioFrame) -> None:
        assert not self.closed
        self.now += frame.duration
        value = int(frame.samples[0])
        self.values.append(value)
        if value:
            if not self.words and self.ear.marks:
                self.say(SpeechEventType.START_OF_SPEECH)
            if not self.words or self.words[-1] != value:
                self.words.append(value)
                self.say(SpeechEventType.INTERIM, " ".join(map(str, self.words)))
            self.word_end = self.now
        elif self.words and self.ear.own_end:
            self.flush()
        self.say_if_dead(len(self.values))

    def flush(self) -> None:
        if self.words:
            if self.ear.marks:
                self.say(SpeechEventType.END_OF_SPEECH)
            self.say(SpeechEventType.FINAL, " ".join(map(str, self.words)))
            self.words.clear()

    def end_input(self) -> None:
        self.flush()
        if not self.ear.deaf:
            self.events.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[SpeechEvent]:
        while (event := await self.events.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event

    async def aclose(self) -> None:
        if not self.closed:
            self.closed = True
            self.ear.open -= 1


def frame(value: int) -> AudioFrame:
    return AudioFrame(np.full(round(FRAME * RATE), value, np.int16), RATE)


FLUSH, WAIT = "flush", "wait"


async def run(
    stt: STT, steps: Sequence[Any], *, end: bool = True
) -> tuple[list[SpeechEvent], Exception | None]:
    """Push a frame for each number, flush or wait (longer than the answer timeout); then end."""
    stream = stt.stream()
    events: list[SpeechEvent] = []

    async def read() -> None:
        async for event in stream:
            events.append(event)  # noqa: PERF401 - what came before an error counts

    reading = asyncio.create_task(read())
    await asyncio.sleep(0)
    for step in steps:
        if step == FLUSH:
            stream.flush()
        elif step == WAIT:
            await asyncio.sleep(0.05)
        else:
            stream.push_frame(frame(step))
        await asyncio.sleep(0)
    if end:
        stream.end_input()
    else:
        await stream.aclose()
    try:
        await asyncio.wait_for(reading, 5)
    except ProviderError as error:
        return events, error
    finally:
        await stream.aclose()
    return events, None


def finals(events: list[SpeechEvent]) -> list[str]:
    return [event.text for event in events if event.type is SpeechEventType.FINAL]


def adapter(*ears: STT, limits: StreamLimits = QUICK, **options: Any) -> STTFallbackAdapter:
    return STTFallbackAdapter(ears, limits=limits, **options)


ROWS: list[tuple[str, list[Ear], list[Any], list[str]]] = [
    ("all is well", [Ear("a"), Ear("b")], [0, 1, 1, 2, FLUSH, 0, 3, FLUSH], ["1 2", "3"]),
    ("dies in the middle", [Ear("a", [3]), Ear("b")], [0, 1, 1, 2, 2, FLUSH, 0, 3, FLUSH], ["1 2", "3"]),
    ("dies between two utterances", [Ear("a", [5]), Ear("b")], [1, FLUSH, 0, 0, 0, 0, 2, FLUSH], ["1", "2"]),
    ("never opens", [Ear("a", [0]), Ear("b")], [1, 2, FLUSH], ["1 2"]),
    ("does not know times", [Ear("a", [3], knows_times=False), Ear("b", knows_times=False)], [1, FLUSH, 0, 2, 2, FLUSH], ["1", "2"]),
    ("both die in one utterance", [Ear("a", [2]), Ear("b", [4]), Ear("c")], [1, 2, 3, 4, 5, FLUSH], ["1 2 3 4 5"]),
    ("one alone is opened again", [Ear("a", [2, None])], [1, 2, 3, FLUSH], ["1 2 3"]),
    ("the last is opened again", [Ear("a", [1, 1]), Ear("b", [2, None])], [1, 2, 3, FLUSH], ["1 2 3"]),
    ("does not answer", [Ear("a", deaf=True), Ear("b")], [1, 2, FLUSH, WAIT, 0, 3, FLUSH], ["1 2", "3"]),
    ("does not answer while the caller goes on", [Ear("a", deaf=True), Ear("b")], [1, FLUSH, 0, 2, WAIT, 2, FLUSH], ["1", "2"]),
    ("does not end", [Ear("a", deaf=True), Ear("b")], [1, 2], ["1 2"]),
    ("finds the end by itself", [Ear("a", own_end=True), Ear("b")], [1, 0, FLUSH, WAIT, 2, 0, FLUSH, WAIT], ["1", "2"]),
]  # fmt: skip


@pytest.mark.parametrize(("ears", "steps", "texts"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_every_word_is_heard_once(ears: list[Ear], steps: list[Any], texts: list[str]) -> None:
    events, error = asyncio.run(run(adapter(*ears), steps))
    assert error is None
    assert finals(events) == texts
    assert all(ear.open == 0 for ear in ears)


def test_a_healthy_recogniser_is_never_changed_for_one_that_found_the_end_before_the_caller() -> None:
    first, second = Ear("a", own_end=True), Ear("b")
    asyncio.run(run(adapter(first, second), [1, 0, FLUSH, WAIT, 2, 0, FLUSH, WAIT]))
    assert (len(first.streams), len(second.streams)) == (1, 0)


def test_noise_condemns_nobody() -> None:
    events: list[AvailabilityChanged] = []
    first, second = Ear("a"), Ear("b")
    stt = adapter(first, second, on_availability_changed=events.append)
    steps = [0, 0, FLUSH, WAIT, WAIT, WAIT, 0, 1, FLUSH]
    heard, error = asyncio.run(run(stt, steps))
    assert (finals(heard), error, events) == (["1"], None, [])


def test_who_did_not_hear_what_another_heard_has_failed() -> None:
    events: list[AvailabilityChanged] = []
    stt = adapter(Ear("a", deaf=True), Ear("b"), on_availability_changed=events.append)
    asyncio.run(run(stt, [1, FLUSH, WAIT]))
    assert [(event.provider, event.available) for event in events] == [("a", False)]
    assert isinstance(events[0].error, ProviderTimeout)


def test_times_are_those_of_the_whole_stream() -> None:
    events, _ = asyncio.run(run(adapter(Ear("a", [8]), Ear("b")), [0, 0, 1, FLUSH, 0, 0, 0, 0, 2, FLUSH]))
    told = [event for event in events if event.type is SpeechEventType.FINAL]
    assert [event.end_at for event in told] == [pytest.approx(0.3), pytest.approx(0.8)]
    assert told[1].words
    assert told[1].words[0].end == pytest.approx(0.8)


def test_start_and_end_of_speech_alternate_across_a_failure() -> None:
    ears = [Ear("a", [3], marks=True), Ear("b", marks=True)]
    events, _ = asyncio.run(run(adapter(*ears), [0, 1, 1, 2, FLUSH, 0, 3, FLUSH]))
    kinds = [event.type for event in events if event.type is not SpeechEventType.INTERIM]
    start, end, final = SpeechEventType.START_OF_SPEECH, SpeechEventType.END_OF_SPEECH, SpeechEventType.FINAL
    assert kinds == [start, end, final, start, end, final]


def test_the_audio_given_again_is_bounded() -> None:
    second = Ear("b")
    limits = StreamLimits(answer_timeout=0.03, max_replay=1.0)
    asyncio.run(run(adapter(Ear("a", [50]), second, limits=limits), [0] * 50 + [1, FLUSH]))
    assert 10 <= len(second.streams[0].values) <= 13


def test_a_final_transcript_that_comes_twice_is_passed_on_once() -> None:
    class Stuttering(EarStream):
        def say(self, type_: SpeechEventType, text: str = "") -> None:
            for _ in range(2 if type_ is SpeechEventType.FINAL else 1):
                super().say(type_, text)

    class Stutterer(Ear):
        def stream(self) -> RecognizeStream:
            self.open += 1
            return Stuttering(self, None)

    events, _ = asyncio.run(run(adapter(Stutterer("a")), [1, FLUSH, 0, 2, FLUSH]))
    assert finals(events) == ["1", "2"]


def test_an_error_when_pushing_counts_as_a_failure() -> None:
    class Picky(Ear):
        def stream(self) -> RecognizeStream:
            stream = super().stream()

            def push_frame(frame: AudioFrame) -> None:
                raise ValueError("unsupported rate")

            stream.push_frame = push_frame  # type: ignore[method-assign]
            return stream

    events, error = asyncio.run(run(adapter(Picky("a"), Ear("b")), [1, 2, FLUSH]))
    assert (finals(events), error) == (["1 2"], None)


def test_a_stream_that_ends_too_early_is_a_failure() -> None:
    class Hasty(Ear):
        def stream(self) -> RecognizeStream:
            stream = super().stream()
            assert isinstance(stream, EarStream)
            stream.events.put_nowait(None)
            return stream

    events, error = asyncio.run(run(adapter(Hasty("a"), Ear("b")), [1, 2, FLUSH]))
    assert (finals(events), error) == (["1 2"], None)


def test_when_all_fail_again_and_again_the_causes_are_told() -> None:
    def refuse() -> None:
        raise ProviderError("no key")

    stt = adapter(Ear("a", [1, 1, 1]), Ear("b", act=refuse), back_off=BackOff(jitter=0))
    events, error = asyncio.run(run(stt, [1, WAIT, 2, WAIT]))
    assert finals(events) == []
    assert isinstance(error, AllProvidersFailed)
    assert [str(cause) for cause in error.causes] == ["boom", "no key"] * (1 + QUICK.max_retry)


def test_closing_ends_the_iteration_and_leaves_no_task() -> None:
    async def main() -> None:
        before = asyncio.all_tasks()
        ear = Ear("a")
        _, error = await run(adapter(ear), [1, 1], end=False)
        assert error is None
        assert ear.open == 0
        assert asyncio.all_tasks() == before

    asyncio.run(main())


def test_whole_utterances_go_to_the_next_recogniser_too() -> None:
    async def fail() -> None:
        raise BOOM

    async def main() -> None:
        audio = frame(1)
        hangs, fails = Ear("hangs", act=asyncio.Event().wait), Ear("fails", act=fail)
        stt = adapter(fails, hangs, Ear("works"), attempt_timeout=0.02)
        assert await stt.recognize(audio) == "works"
        with pytest.raises(AllProvidersFailed, match=r"boom; hangs did not answer within 0\.02 s"):
            await adapter(fails, hangs, attempt_timeout=0.02).recognize(audio)

    asyncio.run(main())


def test_capabilities_are_what_all_can_do() -> None:
    server_side = Ear("b")
    server_side._capabilities = STTCapabilities(streaming=True, interim_results=True)
    assert adapter(Ear("a"), server_side).capabilities == STTCapabilities(
        streaming=True, interim_results=True
    )


def test_a_recogniser_that_does_not_stream_needs_a_vad() -> None:
    class Silent(VAD):
        def stream(self, on_event: Any) -> Any:
            raise NotImplementedError

    batch = Ear("batch")
    batch._capabilities = STTCapabilities()
    with pytest.raises(ConfigurationError, match="batch recognises whole utterances only"):
        FallbackAdapter([batch])
    assert FallbackAdapter([batch], vad=Silent()).capabilities.streaming


UTTERANCES = st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=6), min_size=1, max_size=5)
DEATHS = st.lists(st.lists(st.integers(0, 15), max_size=2), min_size=1, max_size=3)


@settings(max_examples=150, deadline=None)
@given(UTTERANCES, DEATHS, st.booleans(), st.integers(1, 3))
def test_whoever_dies_whenever_each_utterance_is_reported_once(
    utterances: list[list[int]], deaths: list[list[int]], knows_times: bool, frames_a_word: int
) -> None:
    ears = [Ear(f"ear {i}", [*dies, None], knows_times=knows_times) for i, dies in enumerate(deaths)]
    ears.append(Ear("sound", knows_times=knows_times))
    steps: list[Any] = []
    expected: list[str] = []
    for words in utterances:
        heard = [word for i, word in enumerate(words) if i == 0 or word != words[i - 1]]
        expected.append(" ".join(map(str, heard)))
        steps += [0, *(word for word in words for _ in range(frames_a_word)), FLUSH, 0, 0, 0]
    events, error = asyncio.run(run(adapter(*ears), steps))
    assert error is None
    assert " ".join(finals(events)).split() == " ".join(expected).split()
