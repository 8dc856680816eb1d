"""A voice of whole texts, spoken by sentence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from antiphon.audio import AudioFrame
from antiphon.models.deadlines import GuardedSynthesizeStream
from antiphon.models.errors import ProviderError, ProviderTimeout
from antiphon.models.stream_adapter_tts import TTSStreamAdapter
from antiphon.models.tokenize import CallableSplitter
from antiphon.models.tts import TTS, ChunkedStream, SynthesizedAudio


def audio(value: int, samples: int = 240) -> SynthesizedAudio:
    return SynthesizedAudio(AudioFrame(np.full(samples, value, np.int16), 24000))


@dataclass
class Voice(TTS):
    """Gives `pieces` frames for each text, holding the sample value of its request number; scripted by text."""

    pieces: int = 2
    delay: float = 0.0
    scripts: dict[str, Callable[[], AsyncIterator[SynthesizedAudio]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.log: list[str] = []
        self.closed = 0

    def synthesize(self, text: str) -> ChunkedStream:
        self.asked.append(text)
        self.log.append(f"ask {len(self.asked)}")
        return Speech(self, text, len(self.asked))


class Speech(ChunkedStream):
    def __init__(self, voice: Voice, text: str, number: int) -> None:
        self.voice, self.text, self.number = voice, text, number

    async def __aiter__(self) -> AsyncIterator[SynthesizedAudio]:
        script = self.voice.scripts.get(self.text)
        if script is not None:
            async for piece in script():
                yield piece
            return
        for _ in range(self.voice.pieces):
            await asyncio.sleep(self.voice.delay)
            self.voice.log.append(f"give {self.number}")
            yield audio(self.number)

    async def aclose(self) -> None:
        self.voice.closed += 1


async def read(stream: AsyncIterable[SynthesizedAudio], into: list[SynthesizedAudio]) -> None:
    async for piece in stream:
        into.append(piece)  # noqa: PERF401 - what came before an error counts


async def speak(tts: TTS, *texts: str) -> list[tuple[str, int]]:
    stream = TTSStreamAdapter(tts).stream()
    for text in texts:
        stream.push_text(text)
    stream.end_input()
    return [(piece.text, int(piece.frame.samples[0])) async for piece in stream]


def test_sentences_are_spoken_in_order_and_the_first_piece_of_each_carries_its_text() -> None:
    assert asyncio.run(speak(Voice(), "This is the first. And thi", "s the second. 👍")) == [
        ("This is the first.", 1),
        ("", 1),
        ("And this the second.", 2),
        ("", 2),
    ]


def test_the_next_sentence_is_asked_for_while_the_last_is_received_but_no_more() -> None:
    voice = Voice(pieces=3, delay=0.001)
    asyncio.run(speak(voice, "Here is number one. Here is number two. Here is number three."))
    log = voice.log
    assert log.index("ask 2") == log.index("give 1") + 1  # not before the first audio, which matters most
    assert log.index("ask 2") < len(log) - 1 - log[::-1].index("give 1")
    assert log.index("ask 3") > len(log) - 1 - log[::-1].index("give 1")


def test_text_may_come_while_the_audio_is_read() -> None:
    async def main() -> list[str]:
        stream = TTSStreamAdapter(Voice()).stream()
        got: list[SynthesizedAudio] = []
        reading = asyncio.create_task(read(stream, got))
        await asyncio.sleep(0)
        stream.push_text("Good morning to you.")
        await asyncio.sleep(0.01)
        early = [piece.text for piece in got]
        stream.push_text("Short")
        stream.flush()
        await asyncio.sleep(0.01)
        flushed = [piece.text for piece in got]
        stream.end_input()
        await reading
        return [*early, "|", *flushed]

    assert asyncio.run(main()) == [
        "Good morning to you.",
        "",
        "|",
        "Good morning to you.",
        "",
        "Short",
        "",
    ]


def test_errors_come_out_of_the_iteration_after_the_audio_before_them() -> None:
    async def breaks() -> AsyncIterator[SynthesizedAudio]:
        yield audio(7)
        raise ProviderError("gone")

    async def main() -> list[int]:
        voice = Voice(scripts={"The second one fails.": breaks})
        stream = TTSStreamAdapter(voice).stream()
        stream.push_text("The first one works. The second one fails. The third one is lost.")
        stream.end_input()
        heard: list[SynthesizedAudio] = []
        with pytest.raises(ProviderError, match="gone"):
            await read(stream, heard)
        assert voice.closed == len(voice.asked)
        return [int(piece.frame.samples[0]) for piece in heard]

    assert asyncio.run(main()) == [1, 1, 7]


@pytest.mark.parametrize("samples", [None, 0])
def test_no_audio_for_words_is_an_error(samples: int | None) -> None:
    async def nothing() -> AsyncIterator[SynthesizedAudio]:
        if samples is not None:
            yield audio(0, samples)

    with pytest.raises(ProviderError, match="gave no audio for a text of 14 characters"):
        asyncio.run(speak(Voice(scripts={"Where are you?": nothing}), "Where are you?"))


def test_closing_stops_the_requests_at_once_and_ends_the_iteration() -> None:
    async def hangs() -> AsyncIterator[SynthesizedAudio]:
        yield audio(1)
        await asyncio.Event().wait()

    async def main() -> None:
        before = asyncio.all_tasks()
        voice = Voice(scripts={"This one hangs now.": hangs})
        stream = TTSStreamAdapter(voice).stream()
        stream.push_text("This one hangs now. This one waits.")
        stream.flush()
        got: list[SynthesizedAudio] = []
        reading = asyncio.create_task(read(stream, got))
        await asyncio.sleep(0.01)
        await stream.aclose()
        await stream.aclose()
        await asyncio.wait_for(reading, 1)
        stream.push_text("ignored")
        assert len(got) == 1
        assert voice.closed == len(voice.asked) == 2
        assert asyncio.all_tasks() == before

    asyncio.run(main())


def test_cancelling_the_reader_leaves_no_task() -> None:
    async def main() -> None:
        before = asyncio.all_tasks()
        stream = TTSStreamAdapter(Voice(delay=60)).stream()
        stream.push_text("Good morning to you.")
        reading = asyncio.create_task(read(stream, []))
        await asyncio.sleep(0.01)
        reading.cancel()
        await asyncio.wait([reading])
        assert asyncio.all_tasks() == before

    asyncio.run(main())


def test_nothing_to_say_is_no_error() -> None:
    assert asyncio.run(speak(Voice(), "  ", "...")) == []


def test_misuse_is_refused() -> None:
    async def main() -> None:
        stream = TTSStreamAdapter(Voice()).stream()
        stream.end_input()
        assert [piece async for piece in stream] == []
        with pytest.raises(RuntimeError, match="once only"):
            await anext(aiter(stream))
        other = TTSStreamAdapter(Voice()).stream()
        other.end_input()
        with pytest.raises(RuntimeError, match="after end_input"):
            other.push_text("late")

    asyncio.run(main())


def test_a_splitter_of_ones_own() -> None:
    async def main() -> list[str]:
        adapter = TTSStreamAdapter(Voice(pieces=1), lambda: CallableSplitter(lambda text: text.split("|")))
        stream = adapter.stream()
        stream.push_text("a|b")
        stream.end_input()
        return [piece.text async for piece in stream]

    assert asyncio.run(main()) == ["a", "b"]


async def guarded(voice: Voice, act: Callable[[GuardedSynthesizeStream], None], until: float = 0.2) -> str:
    stream = GuardedSynthesizeStream(TTSStreamAdapter(voice).stream(), 0.02, 0.02, provider="acme/one")
    got: list[SynthesizedAudio] = []
    reading = asyncio.create_task(read(stream, got))
    await asyncio.sleep(0.005)
    act(stream)
    try:
        await asyncio.wait_for(reading, until)
    except ProviderTimeout as error:
        return str(error)
    except TimeoutError:
        return f"waits, {len(got)} heard"
    finally:
        await stream.aclose()
    return f"ended, {len(got)} heard"


def never() -> AsyncIterator[SynthesizedAudio]:
    async def wait() -> AsyncIterator[SynthesizedAudio]:
        await asyncio.Event().wait()
        yield audio(0)

    return wait()


def begins_only() -> AsyncIterator[SynthesizedAudio]:
    async def wait() -> AsyncIterator[SynthesizedAudio]:
        yield audio(0)
        await asyncio.Event().wait()

    return wait()


def say(text: str, *, flush: bool = False, end: bool = False) -> Callable[[GuardedSynthesizeStream], None]:
    def act(stream: GuardedSynthesizeStream) -> None:
        stream.push_text(text)
        if flush:
            stream.flush()
        if end:
            stream.end_input()

    return act


@pytest.mark.parametrize(
    ("script", "act", "outcome"),
    [
        (never, say("A whole sentence."), "acme/one gave no audio within 0.02 s"),
        (never, say("half a"), "waits, 0 heard"),
        (never, say("half a", flush=True), "acme/one gave no audio within 0.02 s"),
        (never, say("half a", end=True), "acme/one gave no audio within 0.02 s"),
        (begins_only, say("A whole sentence.", end=True), "acme/one stalled: no more audio within 0.02 s"),
        (begins_only, say("A whole sentence."), "waits, 1 heard"),
        (None, say("A whole sentence.", end=True), "ended, 2 heard"),
        (None, say("A whole sentence."), "waits, 2 heard"),
        (None, say("", end=True), "ended, 0 heard"),
    ],
)
def test_a_guard_blames_the_voice_only_for_audio_that_it_owes(
    script: Callable[[], AsyncIterator[SynthesizedAudio]] | None,
    act: Callable[[GuardedSynthesizeStream], None],
    outcome: str,
) -> None:
    scripts = {} if script is None else dict.fromkeys(["A whole sentence.", "half a"], script)
    assert asyncio.run(guarded(Voice(scripts=scripts), act)) == outcome


def test_a_text_that_comes_with_every_piece_is_said_once() -> None:
    async def again() -> AsyncIterator[SynthesizedAudio]:
        for value in (1, 2, 3):
            yield replace(audio(value), text="Hello there.")

    spoken = asyncio.run(speak(Voice(scripts={"Hello there.": again}), "Hello there. Hello there. Bye."))
    assert [text for text, _ in spoken] == ["Hello there.", "", "", "Hello there.", "", "", "Bye.", ""]
