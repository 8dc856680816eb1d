"""The espeak-ng voice: audio, word timings, streaming by sentence, cancelling, errors."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import threading
from collections.abc import Callable

import numpy as np
import pytest

from antiphon.models.errors import ConfigurationError, ProviderError
from antiphon.models.registry import resolve_llm, resolve_stt, resolve_tts, resolve_vad
from antiphon.models.stt import WordInfo
from antiphon.models.tts import SynthesizedAudio

pytest.importorskip("espeakng_loader", reason='pip install "antiphon[local]"')

from antiphon.plugins.local.espeak import EspeakTTS, engine
from antiphon.plugins.local.espeak.words import WordClock


async def spoken(tts: EspeakTTS, text: str) -> list[SynthesizedAudio]:
    async with asyncio.timeout(10):
        return [piece async for piece in tts.synthesize(text)]


def seconds(pieces: list[SynthesizedAudio]) -> float:
    return sum(piece.frame.duration for piece in pieces)


def test_speaks_a_text_with_the_time_of_each_word() -> None:
    pieces = asyncio.run(spoken(EspeakTTS(), "Your balance is 1,250 dollars."))
    assert 1.5 < seconds(pieces) < 5
    assert {piece.frame.sample_rate for piece in pieces} == {EspeakTTS().sample_rate}
    assert np.abs(pieces[1].frame.samples).max() > 1000
    words = [word for piece in pieces for word in piece.word_info or []]
    assert [word.text for word in words] == ["Your", "balance", "is", "1,250", "dollars."]
    assert all(0 <= word.start < word.end for word in words)
    assert all(earlier.end <= later.start for earlier, later in itertools.pairwise(words))
    assert words[-1].end <= seconds(pieces) + 1e-6
    assert words[3].end - words[3].start > words[2].end - words[2].start  # a long number takes its time


def test_the_first_piece_of_each_sentence_carries_its_text() -> None:
    pieces = asyncio.run(spoken(EspeakTTS(), "This is the first sentence. And this is another one."))
    assert [piece.text for piece in pieces if piece.text] == [
        "This is the first sentence.",
        "And this is another one.",
    ]
    assert pieces[0].text
    assert pieces[0].frame.duration < 0.1


@pytest.mark.parametrize("text", ["", "   ", "...", "?!", "—"])
def test_nothing_to_say_ends_without_audio(text: str) -> None:
    assert asyncio.run(spoken(EspeakTTS(), text)) == []


@pytest.mark.parametrize("text", ["naïve café, 世界", "a\0b", "<b>bold</b> & more", "😀 hello"])
def test_odd_characters_do_no_harm(text: str) -> None:
    assert seconds(asyncio.run(spoken(EspeakTTS(), text))) > 0.2


def test_streams_sentences_as_they_are_written() -> None:
    async def scenario() -> tuple[list[str], list[str]]:
        stream = EspeakTTS().stream()
        texts: list[str] = []
        heard = asyncio.Event()

        async def collect() -> None:
            async for piece in stream:
                if piece.text:
                    texts.append(piece.text)
                    heard.set()

        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            tasks.create_task(collect())
            for token in ["Your ", "balance ", "is low. ", "Please "]:
                stream.push_text(token)
            await heard.wait()
            early = list(texts)
            stream.push_text("pay in some money")
            stream.end_input()
            stream.push_text("This is too late.")
        return early, texts

    early, texts = asyncio.run(scenario())
    assert early == ["Your balance is low."]
    assert texts == ["Your balance is low.", "Please pay in some money"]


def test_flush_speaks_an_unfinished_sentence() -> None:
    async def scenario() -> str:
        stream = EspeakTTS().stream()
        stream.push_text("One moment please")
        stream.flush()
        async with asyncio.timeout(10):
            piece = await anext(aiter(stream))
        await stream.aclose()
        return piece.text

    assert asyncio.run(scenario()) == "One moment please"


def test_closing_stops_in_the_middle_and_wakes_who_waits() -> None:
    async def scenario() -> float:
        tts = EspeakTTS()
        stream = tts.stream()
        stream.push_text("This is a sentence that goes on and on and on. " * 3)
        received = 0.0
        async with asyncio.timeout(10):
            async for piece in stream:
                received += piece.frame.duration
                await stream.aclose()
            idle = tts.stream()
            waiting = asyncio.ensure_future(anext(aiter(idle), None))
            await asyncio.sleep(0.01)
            await idle.aclose()
            assert await waiting is None
        return received

    assert asyncio.run(scenario()) < 0.5


def test_voices_speak_at_once_without_mixing() -> None:
    async def scenario() -> list[float]:
        voices = [EspeakTTS(rate=rate) for rate in (120, 240) for _ in range(3)]
        async with asyncio.timeout(20):
            return [
                seconds(each)
                for each in await asyncio.gather(*(spoken(v, "Good morning to you all.") for v in voices))
            ]

    slow, fast = np.split(np.array(asyncio.run(scenario())), 2)
    assert slow == pytest.approx(slow[0], rel=0.02)
    assert fast == pytest.approx(fast[0], rel=0.02)
    assert slow[0] > 1.3 * fast[0]


def test_the_event_loop_may_end_while_the_engine_speaks() -> None:
    tts = EspeakTTS()

    async def leave_early() -> None:
        async for _ in tts.synthesize("A long sentence for nobody to hear, and it does not end. " * 5):
            return

    asyncio.run(leave_early())
    assert seconds(asyncio.run(spoken(tts, "Hello again."))) > 0.3


def test_options_change_later_requests() -> None:
    async def scenario() -> tuple[float, float]:
        tts = EspeakTTS()
        before = seconds(await spoken(tts, "Where are you?"))
        await tts.update_options(voice="de")
        return before, seconds(await spoken(tts, "Where are you?"))

    before, after = asyncio.run(scenario())
    assert before != after


@pytest.mark.parametrize("voice", ["en-us", "en-gb", "en-gb+f4", "de"])
def test_voices_that_exist(voice: str) -> None:
    assert seconds(asyncio.run(spoken(EspeakTTS(voice=voice), "Hello."))) > 0.2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"voice": "klingon-deluxe"}, "no voice"),
        ({"rate": 5}, "rate"),
        ({"pitch": 101}, "pitch"),
        ({"volume": -1}, "volume"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        EspeakTTS(**options)  # type: ignore[arg-type]


def test_a_failing_engine_is_an_error_of_the_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    tts = EspeakTTS()
    monkeypatch.setattr(tts._engine, "_apply", lambda settings: 1 / 0)
    with pytest.raises(ProviderError, match="espeak-ng failed"):
        asyncio.run(spoken(tts, "Hello there, you."))


def test_one_thread_serves_all() -> None:
    asyncio.run(spoken(EspeakTTS(), "Hello there, you."))
    asyncio.run(spoken(EspeakTTS(), "Hello there, you."))
    assert [thread.name for thread in threading.enumerate()].count("espeak") == 1


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_shared", None)
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(ConfigurationError, match=r'pip install "antiphon\[local\]"'):
        EspeakTTS()


def test_parts_of_an_expanded_word_belong_to_it() -> None:
    clock = WordClock("Pay 1,250 - now!", 1000)
    done = [*clock.begin(0, 0), *clock.begin(4, 300), *clock.begin(5, 500), *clock.begin(7, 800)]
    done += [*clock.begin(12, 1000), *clock.end(1400)]
    assert done == [WordInfo("Pay", 0.0, 0.3), WordInfo("1,250", 0.3, 1.0), WordInfo("now!", 1.0, 1.4)]


@pytest.mark.parametrize("name", ["local", "local/espeak", "local/espeak:en-gb"])
def test_found_by_name(name: str) -> None:
    assert isinstance(resolve_tts(name), EspeakTTS)


@pytest.mark.parametrize("resolve", [resolve_stt, resolve_tts, resolve_llm, resolve_vad])
def test_an_unknown_name_lists_the_known_ones(resolve: Callable[[str], object]) -> None:
    with pytest.raises(ConfigurationError, match="Known: local/"):
        resolve("local/parrot")


def test_importing_the_folder_loads_no_engine() -> None:
    code = "import sys, antiphon.plugins.local; print(sorted({'onnxruntime', 'espeakng_loader'} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )
