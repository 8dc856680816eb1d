"""The offline recogniser: its parts, its stream's events on a model that answers at once, and the real model."""

from __future__ import annotations

import asyncio
import functools
import threading
import wave
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from antiphon.audio import AudioFrame
from antiphon.audio.resample import resample
from antiphon.models.errors import ConfigurationError, ProviderError
from antiphon.models.registry import resolve_stt
from antiphon.models.stt import SpeechEvent, SpeechEventType
from antiphon.plugins.local.moonshine import MoonshineStream, MoonshineSTT, model
from antiphon.plugins.local.moonshine.gate import SpeechGate
from antiphon.plugins.local.moonshine.history import AudioHistory
from antiphon.plugins.local.moonshine.model import Cancelled, Hypothesis, Model
from antiphon.plugins.local.moonshine.tokenizer import Tokenizer
from antiphon.plugins.local.moonshine.transcriber import believable, is_steady
from antiphon.plugins.local.moonshine.worker import Job, Priority, Worker

RATE = 16000
START, INTERIM, FINAL, END = (
    SpeechEventType.START_OF_SPEECH,
    SpeechEventType.INTERIM,
    SpeechEventType.FINAL,
    SpeechEventType.END_OF_SPEECH,
)


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.rint(np.random.default_rng(seed).standard_normal(round(seconds * RATE)) * 33).astype(np.int16)


def sound(seconds: float) -> np.ndarray:
    """Something that the energy gate takes for speech."""
    time = np.arange(round(seconds * RATE)) / RATE
    wobble = 0.6 + 0.4 * np.sin(2 * np.pi * 4 * time)
    return np.rint(6000 * wobble * np.sin(2 * np.pi * 180 * time)).astype(np.int16)


# --- parts ----------------------------------------------------------------------------------------------------------


def entry(text: bytes) -> bytes:
    size = len(text)
    return (bytes([size]) if size < 128 else bytes([128 + size % 128, size // 128])) + text


def test_tokenizer_reads_lengths_spaces_and_split_characters(tmp_path: Path) -> None:
    long = b"x" * 300
    vocabulary = [b"<unk>", b"<s>", b"</s>", "\u2581Hello".encode(), b"\xc3", b"\xa9", b"<<ST_1>>", long]
    path = tmp_path / "tokenizer.bin"
    path.write_bytes(b"".join(map(entry, vocabulary)))
    tokenizer = Tokenizer.read(path)
    assert len(tokenizer) == len(vocabulary)
    assert tokenizer.decode([1, 3, 4, 5, 6, 2]) == "Helloé"
    assert tokenizer.decode([7]) == long.decode()
    assert tokenizer.decode([4]) == ""


@pytest.mark.parametrize("cut", [1, 5])
def test_tokenizer_refuses_a_broken_file(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "tokenizer.bin"
    path.write_bytes(entry(b"x" * 200)[:cut])
    with pytest.raises(ConfigurationError, match="reinstall"):
        Tokenizer.read(path)


@pytest.mark.parametrize(
    ("text", "confidence", "tokens", "seconds", "expected"),
    [
        ("It was the age of wisdom.", 0.9, 7, 1.2, True),
        ("Yes.", 0.7, 2, 0.3, True),
        ("You", 0.88, 1, 0.5, False),
        ("Pete.", 0.5, 3, 0.5, False),
        ("♪♪♪", 0.9, 3, 2.0, False),
        ("", 0.9, 0, 2.0, False),
        ("This is the first time I've ever seen this.", 0.6, 12, 0.3, False),
        ("The Lord, you bear.", 0.41, 6, 1.1, False),
        ("Thank you for watching!", 0.66, 5, 9.0, False),
        ("Thank you for waiting.", 0.66, 5, 2.0, True),
        ("2-3ตวบนลาง 01/02/2565", 0.72, 20, 9.0, False),
        ("It is 20% at the café.", 0.72, 9, 2.0, True),
    ],
)
def test_what_the_model_says_to_noise_is_dropped(
    text: str, confidence: float, tokens: int, seconds: float, expected: bool
) -> None:
    assert believable(Hypothesis(text, confidence, tokens), seconds) is expected


@pytest.mark.parametrize("level", [33, 1000, 8000])
def test_steady_sounds_are_told_from_changing_ones(level: int) -> None:
    time = np.arange(2 * RATE) / RATE
    tone = np.rint(level * np.sin(2 * np.pi * 440 * time)).astype(np.int16)
    loud_noise = np.clip(noise(2).astype(np.int32) * level // 100, -32768, 32767).astype(np.int16)
    assert is_steady(tone)
    assert is_steady(loud_noise)
    assert not is_steady(sound(2))
    assert not is_steady(loud_noise[: RATE // 5])


def test_gate_finds_the_borders_of_a_sound() -> None:
    gate = SpeechGate()
    for samples in (noise(0.5), sound(0.8), noise(0.5, 1)):
        for start in range(0, samples.size, 320):
            gate.push(samples[start : start + 320])
    assert gate.onset == pytest.approx(0.5 * RATE, abs=480)
    assert gate.last_active == pytest.approx(1.3 * RATE, abs=480)


def test_gate_ignores_clicks_and_steady_noise() -> None:
    gate = SpeechGate()
    samples = noise(3) * 5
    samples[16000::8000] = 20000
    gate.push(samples)
    assert gate.onset is None


def test_history_gives_back_any_range_it_still_has() -> None:
    history = AudioHistory()
    everything = np.arange(1000, dtype=np.int16)
    for start in range(0, 1000, 70):
        history.append(everything[start : start + 70])
    assert np.array_equal(history.between(123, 456), everything[123:456])
    history.drop_before(300)
    assert history.start == 280
    assert np.array_equal(history.between(0, 2000), everything[280:])
    assert history.between(0, 100).size == 0


def test_worker_does_finals_first_and_gives_up_what_is_cancelled() -> None:
    worker = Worker("test")
    gate = threading.Event()
    order: list[str] = []
    first = Job(Priority.FINAL, lambda cancelled: gate.wait(5))
    worker.submit(first)

    def note(name: str, cancelled: Callable[[], bool]) -> None:
        order.append(name)

    jobs = {name: Job(priority, functools.partial(note, name)) for name, priority in [
        ("interim", Priority.INTERIM), ("likely", Priority.LIKELY), ("final", Priority.FINAL), ("dropped", Priority.FINAL),
        ("hurried", Priority.INTERIM),
    ]}  # fmt: skip
    for job in jobs.values():
        worker.submit(job)
    jobs["dropped"].cancel()
    worker.submit(jobs["hurried"], Priority.FINAL)
    gate.set()
    for name in ("interim", "likely", "final", "hurried"):
        jobs[name].future.result(5)
    assert order == ["final", "hurried", "likely", "interim"]


def test_worker_passes_errors_on_and_lives() -> None:
    worker = Worker("test")

    def fail(cancelled: Callable[[], bool]) -> None:
        raise ValueError("broken")

    job = Job(Priority.FINAL, fail)
    worker.submit(job)
    with pytest.raises(ValueError, match="broken"):
        job.future.result(5)
    good = Job(Priority.FINAL, lambda cancelled: 7)
    worker.submit(good)
    assert good.future.result(5) == 7


# --- the stream, on a model that answers at once --------------------------------------------------------------------


class EchoModel(Model):
    """Says how long the audio was, in tenths of a second; counts how often it was asked."""

    def __init__(self, error: Exception | None = None) -> None:
        self.heard: list[float] = []
        self._error = error

    def transcribe(self, samples: np.ndarray, cancelled: Callable[[], bool] = lambda: False) -> Hypothesis:
        if self._error is not None:
            raise self._error
        if cancelled():
            raise Cancelled
        self.heard.append(samples.size / RATE - 0.3)
        return Hypothesis(f"Speech {self.heard[-1]:.1f}.", 0.95, 4)


async def converse(
    steps: Iterable[np.ndarray | Callable[[MoonshineStream], None]],
    hearing: Model | None = None,
    vad: object = None,
) -> list[SpeechEvent]:
    """Push audio in frames of 20 ms, call what is callable; the events until the stream ends."""
    stream = MoonshineStream(hearing or EchoModel(), Worker("test"), vad)  # type: ignore[arg-type]
    events: list[SpeechEvent] = []

    async def collect() -> None:
        events.extend([event async for event in stream])

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(collect())
        for step in steps:
            if callable(step):
                step(stream)
                await asyncio.sleep(0.02)
                continue
            for start in range(0, step.size, 320):
                stream.push_frame(AudioFrame(step[start : start + 320], RATE))
                await asyncio.sleep(0.001)
        stream.end_input()
    await stream.aclose()
    await stream.aclose()
    return events


def kinds(events: list[SpeechEvent]) -> list[SpeechEventType]:
    return [event.type for event in events if event.type is not INTERIM]


def texts(events: list[SpeechEvent], kind: SpeechEventType = FINAL) -> list[str]:
    return [event.text for event in events if event.type is kind]


def flush(stream: MoonshineStream) -> None:
    stream.flush()


def test_stands_alone_and_ends_utterances_itself() -> None:
    events = asyncio.run(converse([noise(1), sound(1), noise(1), sound(0.7), noise(1)]))
    assert kinds(events) == [START, FINAL, END] * 2
    assert texts(events) == ["Speech 1.3.", "Speech 1.0."]  # with 0.2 s before and 0.1 s after
    assert [event.end_at for event in events if event.type is FINAL] == pytest.approx([2.0, 3.7], abs=0.03)


def test_interim_texts_come_while_the_caller_speaks() -> None:
    events = asyncio.run(converse([noise(0.5), sound(2.2), noise(0.7)]))
    interim = texts(events, INTERIM)
    assert len(interim) >= 3
    assert interim == sorted(interim)
    assert [event.type for event in events][-2:] == [FINAL, END]


def test_flush_ends_an_utterance_at_once_and_uses_what_was_heard_in_the_pause() -> None:
    hearing = EchoModel()
    events = asyncio.run(converse([noise(0.5), sound(0.4), noise(0.2), flush], hearing))
    assert kinds(events) == [START, FINAL, END]
    assert len(hearing.heard) == 1


def test_what_was_heard_in_a_pause_is_thrown_away_when_the_caller_goes_on() -> None:
    events = asyncio.run(converse([noise(0.5), sound(0.4), noise(0.3), sound(0.6), noise(0.2), flush]))
    assert kinds(events) == [START, FINAL, END]
    assert texts(events) == ["Speech 1.6."]


def test_flush_in_silence_gives_an_end_and_no_final() -> None:
    assert kinds(asyncio.run(converse([noise(0.5), flush]))) == [END]


def test_the_end_of_input_finishes_the_utterance() -> None:
    assert kinds(asyncio.run(converse([noise(0.5), sound(0.5)]))) == [START, FINAL, END]


def test_hints_decide_where_speech_is() -> None:
    def started(stream: MoonshineStream) -> None:
        stream.speech_started(0.5)

    def ended(stream: MoonshineStream) -> None:
        stream.speech_ended(1.5)
        stream.flush()

    # Between the words lies a second; and after the first hint, sound without a hint is no speech.
    steps = [
        noise(0.5),
        sound(0.1),
        started,
        sound(0.3),
        noise(1),
        sound(0.3),
        noise(0.2),
        flush,
        sound(1),
        noise(1),
    ]
    events = asyncio.run(converse(steps))
    assert kinds(events) == [START, FINAL, END]
    assert texts(events) == ["Speech 2.0."]
    cut = asyncio.run(converse([noise(0.5), sound(0.2), started, sound(1.5), noise(0.2), ended]))
    assert texts(cut) == ["Speech 1.3."]


def test_a_long_utterance_is_recognised_in_pieces() -> None:
    hearing = EchoModel()
    speech = [part for _ in range(9) for part in (sound(2.6), noise(0.3))]
    events = asyncio.run(converse([noise(0.5), *speech, noise(0.7)], hearing))
    assert kinds(events) == [START, FINAL, END]
    assert len(texts(events)[0].split(".")) > 4  # "Speech 13.2. Speech 12.9."
    assert max(hearing.heard) < 21


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (48000, 2), (44100, 1)])
def test_other_rates_and_channels(rate: int, channels: int) -> None:
    samples = np.repeat(resample(np.concatenate([noise(0.5), sound(1), noise(0.8)]), RATE, rate), channels)

    async def scenario() -> list[SpeechEvent]:
        stream = MoonshineStream(EchoModel(), Worker("test"))
        stream.push_frame(AudioFrame(samples, rate, channels))
        stream.end_input()
        return [event async for event in stream]

    events = asyncio.run(scenario())
    assert texts(events) == ["Speech 1.3."]


def test_a_failing_model_is_an_error_of_the_provider() -> None:
    async def scenario() -> None:
        stream = MoonshineStream(EchoModel(RuntimeError("out of memory")), Worker("test"))
        stream.push_frame(AudioFrame(np.concatenate([noise(0.5), sound(0.5), noise(0.8)]), RATE))
        stream.end_input()
        async for _ in stream:
            pass

    with pytest.raises(ProviderError, match="out of memory"):
        asyncio.run(scenario())


def test_closing_while_work_is_under_way_ends_the_iteration() -> None:
    async def scenario() -> list[SpeechEvent]:
        stream = MoonshineStream(EchoModel(), Worker("test"))
        stream.push_frame(AudioFrame(np.concatenate([noise(0.5), sound(1)]), RATE))
        stream.flush()
        await stream.aclose()
        stream.push_frame(AudioFrame(sound(1), RATE))
        return [event async for event in stream]

    assert FINAL not in [event.type for event in asyncio.run(scenario())]


# --- the real model -------------------------------------------------------------------------------------------------

installed = pytest.mark.skipif(
    find_spec("onnxruntime") is None or find_spec("moonshine_voice") is None,
    reason='pip install "antiphon[local]"',
)


@functools.cache
def recording() -> np.ndarray:
    """Read speech at 16 kHz, from the wheel."""
    package = find_spec("moonshine_voice")
    assert package is not None
    assert package.origin is not None
    with wave.open(str(Path(package.origin).parent / "assets" / "two_cities.wav")) as file:
        rate = file.getframerate()
        samples = np.frombuffer(file.readframes(10 * rate), dtype="<i2").astype(np.int16)
    return resample(samples, rate, RATE)


def words(text: str) -> list[str]:
    return "".join(character for character in text.lower() if character.isalpha() or character == " ").split()


WISDOM = slice(round(4.9 * RATE), round(6.4 * RATE))


@installed
@pytest.mark.parametrize("padding", [0.0, 3.0])
@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_recognises_a_phrase(rate: int, padding: float) -> None:
    samples = np.concatenate([noise(padding), recording()[WISDOM], noise(padding)])
    frame = AudioFrame(resample(samples, RATE, rate), rate)
    assert words(asyncio.run(MoonshineSTT().recognize(frame))) == ["it", "was", "the", "age", "of", "wisdom"]


@installed
def test_streams_a_phrase() -> None:
    async def scenario() -> list[SpeechEvent]:
        stt = MoonshineSTT()
        await stt.prewarm()
        stream = stt.stream()
        stream.push_frame(AudioFrame(np.concatenate([noise(1), recording()[WISDOM], noise(1)]), RATE))
        stream.end_input()
        return [event async for event in stream]

    events = asyncio.run(scenario())
    (final,) = [event for event in events if event.type is FINAL]
    assert words(final.text) == ["it", "was", "the", "age", "of", "wisdom"]
    assert final.confidence > 0.6
    assert final.end_at == pytest.approx(1 + 1.4, abs=0.15)


@installed
def test_several_sentences_at_once() -> None:
    text = asyncio.run(MoonshineSTT().recognize(AudioFrame(recording(), RATE)))
    assert words(text)[:12] == [
        "it",
        "was",
        "the",
        "best",
        "of",
        "times",
        "it",
        "was",
        "the",
        "worst",
        "of",
        "times",
    ]


@installed
@pytest.mark.parametrize("level", [0, 33, 1000, 8000])
def test_silence_and_noise_are_no_words(level: int) -> None:
    samples = np.rint(np.random.default_rng(4).standard_normal(4 * RATE) * level).astype(np.int16)
    assert asyncio.run(MoonshineSTT().recognize(AudioFrame(samples, RATE))) == ""


@installed
def test_nothing_and_almost_nothing() -> None:
    stt = MoonshineSTT()
    assert asyncio.run(stt.recognize(AudioFrame(b"", RATE))) == ""
    assert asyncio.run(stt.recognize(AudioFrame(sound(0.03), RATE))) == ""


def test_other_languages_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="English"):
        MoonshineSTT(language="de")


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "_shared", None)
    monkeypatch.setattr(model, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r'pip install "antiphon\[local\]"'):
        model.load()


@pytest.mark.parametrize("name", ["local", "local/moonshine-tiny", "local/moonshine-tiny:en-GB"])
def test_found_by_name(name: str) -> None:
    assert isinstance(resolve_stt(name), MoonshineSTT)
