"""Voices that stand in for each other, but never in the middle of a reply."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import pytest

from antiphon.audio import AudioFrame
from antiphon.models.deadlines import guard_tts_stream
from antiphon.models.errors import AllProvidersFailed, ProviderError, ProviderTimeout
from antiphon.models.fallback import FallbackAdapter, TTSFallbackAdapter
from antiphon.models.tts import TTS, ChunkedStream, SynthesizedAudio, TTSCapabilities

HANG = object()
BOOM = ProviderError("boom")


class Voice(TTS):
    """Plays one script for each request; a number is that many samples of `value`."""

    def __init__(
        self, name: str, value: int, *scripts: Sequence[Any], rate: int = 8000, channels: int = 1
    ) -> None:
        super().__init__(
            sample_rate=rate, num_channels=channels, capabilities=TTSCapabilities(word_timestamps=True)
        )
        self.name, self.value = name, value
        self.scripts = list(scripts) or [[160]]
        self.asked: list[str] = []
        self.open = 0

    @property
    def label(self) -> str:
        return self.name

    def synthesize(self, text: str) -> ChunkedStream:
        script = self.scripts[min(len(self.asked), len(self.scripts) - 1)]
        self.asked.append(text)
        return Speech(self, script)


class Speech(ChunkedStream):
    def __init__(self, voice: Voice, script: Sequence[Any]) -> None:
        self.voice, self.script, self.closed = voice, script, False
        voice.open += 1

    async def __aiter__(self) -> AsyncIterator[SynthesizedAudio]:
        for step in self.script:
            if step is HANG:
                await asyncio.Event().wait()
            elif isinstance(step, Exception):
                raise step
            else:
                samples = np.full(step * self.voice.num_channels, self.voice.value, np.int16)
                yield SynthesizedAudio(AudioFrame(samples, self.voice.sample_rate, self.voice.num_channels))

    async def aclose(self) -> None:
        if not self.closed:
            self.closed = True
            self.voice.open -= 1


def adapter(*voices: Voice, **options: Any) -> TTSFallbackAdapter:
    return TTSFallbackAdapter(voices, attempt_timeout=0.03, stall_timeout=0.03, **options)


async def listen(pieces: Any) -> list[Any]:
    """(text, sample value, samples) of each piece, and the error if there was one."""
    heard: list[Any] = []
    try:
        async for piece in pieces:
            samples = piece.frame.samples
            assert piece.frame.num_channels == 1
            heard.append((piece.text, int(samples[0]), samples.size))
    except ProviderError as error:
        heard.append(error)
    return heard


async def speak(tts: TTS, text: str) -> list[Any]:
    stream = tts.stream()
    stream.push_text(text)
    stream.end_input()
    return await listen(stream)


ONE, TWO, THREE = "This is number one.", "This is number two.", "This is number three."


@pytest.mark.parametrize(
    "script",
    [[BOOM], [ValueError("bug")], [HANG], [], [0, 0], [0, HANG]],
    ids=["error", "other error", "hangs", "nothing", "empty audio", "empty audio, then hangs"],
)
def test_the_next_voice_speaks_if_the_first_gives_no_audio(script: list[Any]) -> None:
    first, second = Voice("first", 1, script), Voice("second", 2)
    heard = asyncio.run(speak(adapter(first, second), f"{ONE} {TWO}"))
    assert heard == [(ONE, 2, 160), (TWO, 2, 160)]
    assert first.asked == [ONE]
    assert first.open == second.open == 0


def test_no_second_voice_in_the_middle_of_a_reply() -> None:
    first, second = Voice("first", 1, [160], [BOOM], [160]), Voice("second", 2)
    heard = asyncio.run(speak(adapter(first, second), f"{ONE} {TWO} {THREE}"))
    assert heard == [(ONE, 1, 160), (TWO, 1, 160), (THREE, 1, 160)]
    assert first.asked == [ONE, TWO, TWO, THREE]
    assert second.asked == []


def test_a_sentence_that_broke_off_goes_on_where_it_did() -> None:
    first, second = Voice("first", 1, [100, BOOM], [80, 80]), Voice("second", 2)
    heard = asyncio.run(speak(adapter(first, second), ONE))
    assert heard == [(ONE, 1, 100), ("", 1, 60)]
    assert second.asked == []


def test_if_the_voice_of_the_reply_fails_twice_the_reply_fails() -> None:
    first, second = Voice("first", 1, [160], [BOOM]), Voice("second", 2)
    heard = asyncio.run(speak(adapter(first, second), f"{ONE} {TWO}"))
    assert heard == [(ONE, 1, 160), BOOM]
    assert first.asked == [ONE, TWO, TWO]
    stalled = asyncio.run(speak(adapter(Voice("first", 1, [160, HANG]), second), ONE))
    assert stalled[0] == (ONE, 1, 160)
    assert isinstance(stalled[1], ProviderTimeout)
    assert second.asked == []


def test_the_reply_after_a_failure_is_spoken_by_the_other_voice() -> None:
    async def main() -> list[Any]:
        tts = adapter(Voice("first", 1, [BOOM]), Voice("second", 2))
        return [*await speak(tts, ONE), *await listen(tts.synthesize(TWO))]

    assert asyncio.run(main()) == [(ONE, 2, 160), ("", 2, 160)]


def test_when_all_fail_the_causes_are_told_in_order() -> None:
    (failure,) = asyncio.run(speak(adapter(Voice("a", 1, [BOOM]), Voice("b", 2, [])), ONE))
    assert isinstance(failure, AllProvidersFailed)
    assert [str(cause) for cause in failure.causes] == [
        "boom",
        f"b gave no audio for a text of {len(ONE)} characters",
    ]


@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (24000, 2), (8000, 2), (44100, 1)])
def test_all_voices_come_out_in_one_format(rate: int, channels: int) -> None:
    first, second = (
        Voice("first", 1, [BOOM]),
        Voice("second", 500, [rate // 50] * 5, rate=rate, channels=channels),
    )
    tts = adapter(first, second)
    heard = asyncio.run(speak(tts, ONE))
    assert tts.sample_rate == 8000
    assert sum(samples for _, _, samples in heard) == pytest.approx(800, abs=40)
    assert adapter(first, sample_rate=16000).sample_rate == 16000


def test_nothing_to_say_is_no_failure() -> None:
    voice = Voice("a", 1, [])
    assert asyncio.run(listen(adapter(voice).synthesize("..."))) == []


def test_closing_ends_the_speech_and_starts_no_other() -> None:
    async def main() -> None:
        first, second = Voice("first", 1, [160, HANG]), Voice("second", 2)
        tts = TTSFallbackAdapter([first, second])
        for stream in (tts.stream(), tts.synthesize(ONE)):
            if hasattr(stream, "push_text"):
                stream.push_text(ONE)
            reading = asyncio.create_task(listen(stream))
            await asyncio.sleep(0.01)
            await stream.aclose()
            assert len(await asyncio.wait_for(reading, 1)) == 1
        assert (first.open, second.asked) == (0, [])

    asyncio.run(main())


def test_capabilities_are_what_all_can_do() -> None:
    plain = Voice("b", 1)
    plain._capabilities = TTSCapabilities()
    assert adapter(Voice("a", 1), plain).capabilities == TTSCapabilities(
        streaming=True, word_timestamps=False
    )
    assert isinstance(FallbackAdapter([plain]), TTSFallbackAdapter)


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ([160], [("", 1, 160)]),
        ([HANG], "a did not answer within 0.02 s"),
        ([160, HANG], "a stalled: it did not go on within 0.02 s"),
    ],
)
def test_a_guard_puts_deadlines_on_one_voice(script: list[Any], outcome: Any) -> None:
    async def main() -> Any:
        voice = Voice("a", 1, script)
        heard = await listen(guard_tts_stream(voice.synthesize(ONE), 0.02, 0.02, provider="a"))
        assert voice.open == 0
        return str(heard[-1]) if isinstance(heard[-1], Exception) else heard

    assert asyncio.run(main()) == outcome
