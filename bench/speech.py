"""The recogniser and the voice that run on this machine: how soon they answer, alone and several at once."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from antiphon.audio import AudioFrame
from antiphon.models.registry import resolve_stt, resolve_tts
from antiphon.models.stt import STT, SpeechEventType
from antiphon.models.tts import TTS

from .measurement import Plan, Row, StallWatch, percentile
from .signals import RATE, frames, quiet_line, utterances

HANGOVER = 0.2  # seconds of silence after which a session's VAD flushes the recogniser
SENTENCES = (
    "Your current account has forty two pounds and ten pence.",
    "We are open from nine to five on weekdays.",
    "I have blocked your card, and a new one is on its way.",
)


async def _final_after_flush(stt: STT, pcm: NDArray[np.int16]) -> float:
    """Seconds from the flush to the last final transcript, the utterance coming in at the pace of speech.

    Raises:
        RuntimeError: no final transcript came.
    """
    stream = stt.stream()
    last = 0.0

    async def listen() -> None:
        nonlocal last
        async for event in stream:
            if event.type is SpeechEventType.FINAL:
                last = time.perf_counter()

    async with asyncio.TaskGroup() as group:
        listener = group.create_task(listen())
        tick = asyncio.get_running_loop().time()
        for frame in frames(np.concatenate([quiet_line(0.5), pcm, quiet_line(HANGOVER)])):
            stream.push_frame(frame)
            tick += frame.duration
            await asyncio.sleep(max(0.0, tick - asyncio.get_running_loop().time()))
        flushed = time.perf_counter()
        stream.flush()
        stream.end_input()
        await asyncio.wait_for(listener, 20)
    await stream.aclose()
    if not last:
        raise RuntimeError("the recogniser gave no final transcript")
    return max(0.0, last - flushed)


async def _first_audio(tts: TTS, sentence: str) -> float:
    """Seconds from the request to its first audio."""
    started = time.perf_counter()
    stream = tts.synthesize(sentence)
    async for _ in stream:
        break
    waited = time.perf_counter() - started
    await stream.aclose()
    return waited


async def _speed(tts: TTS, sentence: str) -> float:
    """Seconds of speech made in a second."""
    started = time.perf_counter()
    frame = await tts.synthesize(sentence).collect()
    return frame.duration / (time.perf_counter() - started)


async def _at_once(
    once: Callable[[int], Awaitable[float]], count: int, rounds: int
) -> tuple[list[float], float]:
    """The results of `rounds` rounds of `count` concurrent calls, and the longest stall of the loop meanwhile."""
    results: list[float] = []
    async with StallWatch() as watch:
        for k in range(rounds):
            results += await asyncio.gather(*(once(k * count + i) for i in range(count)))
        return results, watch.take()


async def _recogniser(plan: Plan, spoken: Sequence[NDArray[np.int16]]) -> list[Row]:
    stt = resolve_stt("local/moonshine-tiny")
    await stt.prewarm()
    rows = []
    for count in (1, 4):
        waits, stall = await _at_once(
            lambda k: _final_after_flush(stt, spoken[k % len(spoken)]),
            count,
            3 if plan.quick else len(spoken),
        )
        what = f"recogniser, {count} at once: final after end of speech was noticed"
        rows.append(Row(f"{what}, p50", "ms", round(percentile(waits, 50) * 1000, 1)))
        rows.append(
            Row(f"{what}, p95", "ms", round(percentile(waits, 95) * 1000, 1), 150 if count == 1 else None)
        )
        rows.append(Row(f"recogniser, {count} at once: event-loop stall", "ms", round(stall * 1000, 1), 20))
    pcm = max(spoken, key=len)
    audio = AudioFrame(pcm, RATE)
    times = []
    for _ in range(3 if plan.quick else 10):
        started = time.perf_counter()
        await stt.recognize(audio)
        times.append(time.perf_counter() - started)
    what = f"recogniser: a whole utterance of {audio.duration:.1f} s"
    rows.append(Row(what, "ms", round(statistics.median(times) * 1000, 1)))
    await stt.aclose()
    return rows


async def _voice(plan: Plan) -> list[Row]:
    tts = resolve_tts("local/espeak")
    await tts.prewarm()
    rows = []
    for count in (1, 4):
        waits, stall = await _at_once(
            lambda k: _first_audio(tts, SENTENCES[k % len(SENTENCES)]), count, 5 if plan.quick else 30
        )
        rows.append(
            Row(f"voice, {count} at once: first audio p95", "ms", round(percentile(waits, 95) * 1000, 1), 20)
        )
        rows.append(Row(f"voice, {count} at once: event-loop stall", "ms", round(stall * 1000, 1), 20))
    speeds = [await _speed(tts, sentence) for sentence in SENTENCES]
    rows.append(
        Row(
            "voice: seconds of speech per second",
            "",
            round(statistics.median(speeds), 0),
            higher_is_better=True,
        )
    )
    await tts.aclose()
    return rows


def measure(plan: Plan) -> list[Row]:
    spoken = utterances(plan.rig)
    return asyncio.run(_recogniser(plan, spoken)) + asyncio.run(_voice(plan))
