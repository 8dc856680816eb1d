"""Voices that take text as it is written, standing in for each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import pytest

from antiphon.audio import AudioFrame
from antiphon.models.errors import AllProvidersFailed, ProviderError, ProviderTimeout
from antiphon.models.fallback import TTSFallbackAdapter
from antiphon.models.tts import TTS, ChunkedStream, SynthesizedAudio, SynthesizeStream, TTSCapabilities

BOOM = ProviderError("boom")
HANG = object()
REFUSE = "refuse"
RATE = 8000


class Voice(TTS):
    """Speaks each word in 10 samples of `value`, as soon as it has it; `fails` says after how many words, once each."""

    def __init__(
        self, name: str, value: int, fails: Sequence[tuple[int, Any]] = (), *, names: bool = True
    ) -> None:
        super().__init__(sample_rate=RATE, capabilities=TTSCapabilities(streaming=True))
        self.name, self.value, self.fails, self.names = name, value, list(fails), names
        self.asked: list[str] = []
        self.open = 0

    @property
    def label(self) -> str:
        return self.name

    def synthesize(self, text: str) -> ChunkedStream:
        raise AssertionError("streaming voices are streamed into")

    def stream(self) -> SynthesizeStream:
        self.asked.append("")
        self.open += 1
        return Speaking(self, self.fails.pop(0) if self.fails else None)


class Speaking(SynthesizeStream):
    def __init__(self, voice: Voice, fails: tuple[int, Any] | None) -> None:
        self.voice, self.fails, self.closed = voice, fails, False
        self.words: asyncio.Queue[str | None] = asyncio.Queue()
        self.rest = ""

    def push_text(self, text: str) -> None:
        if self.fails is not None and self.fails[1] is REFUSE and self.voice.asked[-1]:
            raise RuntimeError("the connection is closed")
        self.voice.asked[-1] += text
        *words, self.rest = (self.rest + text).split(" ")
        for word in words:
            self.words.put_nowait(word)

    def end_input(self) -> None:
        self.words.put_nowait(self.rest or None)
        self.words.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[SynthesizedAudio]:
        count = 0
        while (word := await self.words.get()) is not None:
            if self.fails is not None and count == self.fails[0] and self.fails[1] is not REFUSE:
                if self.fails[1] is HANG:
                    await asyncio.Event().wait()
                raise self.fails[1]
            count += 1
            samples = np.full(10, self.voice.value, np.int16)
            yield SynthesizedAudio(AudioFrame(samples, RATE), word if self.voice.names else "")

    async def aclose(self) -> None:
        if not self.closed:
            self.closed = True
            self.voice.open -= 1
            self.words.put_nowait(None)


class Reader(TTS):
    """Takes whole texts only."""

    def __init__(self, value: int) -> None:
        super().__init__(sample_rate=RATE)
        self.value = value
        self.asked: list[str] = []

    def synthesize(self, text: str) -> ChunkedStream:
        self.asked.append(text)
        return Read(self.value)


class Read(ChunkedStream):
    def __init__(self, value: int) -> None:
        self.value = value

    async def __aiter__(self) -> AsyncIterator[SynthesizedAudio]:
        yield SynthesizedAudio(AudioFrame(np.full(10, self.value, np.int16), RATE))


def adapter(*voices: TTS) -> TTSFallbackAdapter:
    return TTSFallbackAdapter(voices, attempt_timeout=0.03, stall_timeout=0.03)


async def speak(tts: TTS, text: str, *, pace: float = 0.0) -> list[Any]:
    """(text, sample value, samples) of each piece, and the error if there was one."""
    stream = tts.stream()

    async def write() -> None:
        for word in text.split(" "):
            stream.push_text(word + " ")
            await asyncio.sleep(pace)
        stream.end_input()

    writing = asyncio.create_task(write())
    heard: list[Any] = []
    try:
        async for piece in stream:
            samples = piece.frame.samples
            heard.append((piece.text, int(samples[0]), samples.size))
    except ProviderError as error:
        heard.append(error)
    await writing
    return heard


WORDS = "one two three four."
SPOKEN = ["one", "two", "three", "four."]


def test_text_reaches_the_voice_as_it_is_written() -> None:
    async def main() -> None:
        voice = Voice("first", 1)
        stream = adapter(voice, Voice("second", 2)).stream()
        pieces = aiter(stream)
        stream.push_text("one ")
        assert (await anext(pieces)).text == "one"
        stream.push_text("two ")
        stream.flush()
        assert (await anext(pieces)).text == "two"
        stream.end_input()
        assert [piece.text async for piece in pieces] == []
        assert voice.open == 0

    asyncio.run(main())


@pytest.mark.parametrize("pace", [0.0, 0.002])
@pytest.mark.parametrize("failure", [BOOM, ValueError("bug"), HANG], ids=["error", "other error", "hangs"])
def test_before_its_first_audio_another_voice_hears_it_all(failure: Any, pace: float) -> None:
    first, second = Voice("first", 1, [(0, failure)]), Voice("second", 2)
    heard = asyncio.run(speak(adapter(first, second), WORDS, pace=pace))
    assert heard == [(word, 2, 10) for word in SPOKEN]
    assert first.open == second.open == 0


@pytest.mark.parametrize("pace", [0.0, 0.002])
def test_afterwards_the_voice_goes_on_where_it_broke_off(pace: float) -> None:
    first, second = Voice("first", 1, [(2, BOOM)]), Voice("second", 2)
    heard = asyncio.run(speak(adapter(first, second), WORDS, pace=pace))
    assert heard == [(word, 1, 10) for word in SPOKEN]
    assert first.asked[1].strip() == "two three four.", "from the last word that it named"
    assert second.asked == []


def test_a_voice_that_names_nothing_starts_over_and_what_was_heard_is_left_out() -> None:
    first = Voice("first", 1, [(2, BOOM)], names=False)
    heard = asyncio.run(speak(adapter(first, Voice("second", 2)), WORDS))
    assert heard == [("", 1, 10)] * 4
    assert first.asked[1].strip() == WORDS


def test_a_voice_that_refuses_text_has_failed() -> None:
    first, second = Voice("first", 1, [(0, REFUSE)]), Voice("second", 2)
    heard = asyncio.run(speak(adapter(first, second), WORDS, pace=0.002))
    assert heard == [(word, 1, 10) for word in SPOKEN]
    assert len(first.asked) == 2


def test_if_it_fails_again_at_the_same_place_the_reply_fails() -> None:
    first, second = Voice("first", 1, [(2, BOOM), (1, BOOM), (1, BOOM)]), Voice("second", 2)
    heard = asyncio.run(speak(adapter(first, second), WORDS))
    assert heard == [("one", 1, 10), ("two", 1, 10), BOOM]
    assert second.asked == []
    stalled = asyncio.run(speak(adapter(Voice("first", 1, [(1, HANG), (1, HANG)]), second), WORDS))
    assert stalled[0] == ("one", 1, 10)
    assert isinstance(stalled[1], ProviderTimeout)


def test_a_voice_of_whole_texts_stands_in_by_sentence() -> None:
    reader = Reader(3)
    heard = asyncio.run(speak(adapter(Voice("first", 1, [(0, BOOM)]), reader), "This is one. This is two."))
    assert heard == [("This is one.", 3, 10), ("This is two.", 3, 10)]
    assert reader.asked == ["This is one.", "This is two."]


def test_silence_of_the_writer_is_no_failure_of_the_voice() -> None:
    first, second = Voice("first", 1), Voice("second", 2)
    heard = asyncio.run(speak(adapter(first, second), "one two", pace=0.08))
    assert heard == [("one", 1, 10), ("two", 1, 10)]
    assert second.asked == []


def test_when_all_fail_the_causes_are_told_in_order() -> None:
    (failure,) = asyncio.run(speak(adapter(Voice("a", 1, [(0, BOOM)]), Voice("b", 2, [(0, HANG)])), WORDS))
    assert isinstance(failure, AllProvidersFailed)
    assert [str(cause) for cause in failure.causes] == ["boom", "b gave no audio within 0.03 s"]


def test_closing_ends_the_speech() -> None:
    async def main() -> None:
        first, second = Voice("first", 1, [(1, HANG)]), Voice("second", 2)
        stream = TTSFallbackAdapter([first, second]).stream()
        stream.push_text("one two three")
        heard: list[SynthesizedAudio] = []

        async def read() -> None:
            heard.extend([piece async for piece in stream])

        reading = asyncio.create_task(read())
        await asyncio.sleep(0.01)
        await stream.aclose()
        await asyncio.wait_for(reading, 1)
        assert len(heard) == 1
        assert (first.open, second.asked) == (0, [])

    asyncio.run(main())
