"""`MoonshineSTT`: the Moonshine tiny recogniser behind the `models.stt` interface."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable

import numpy as np

from ....audio import AudioFrame
from ....audio.frame import Int16Array
from ....audio.resample import resample
from ....models.errors import ConfigurationError, ProviderError
from ....models.stt import STT, STTCapabilities
from ....models.vad import VAD
from . import model
from .gate import BLOCK, SpeechGate
from .stream import AFTER, BEFORE, LONGEST, PROVIDER, MoonshineStream
from .transcriber import Transcript, transcribe
from .worker import Job, Priority, Worker

_worker = Worker("moonshine")


class MoonshineSTT(STT):
    """English, open vocabulary, with punctuation and case.

    All recognisers of a process share one copy of the weights (about 100 MB) and one thread, on which finals come
    before interim texts.
    """

    def __init__(self, *, vad: VAD | None = None, language: str = "en") -> None:
        """Does not load the model; `prewarm` or the first use does.

        Args:
            vad: finds the utterances of each stream, if nobody calls `flush` on it; without one the energy does.
            language: English is all there is.

        Raises:
            ConfigurationError: another language.
        """
        super().__init__(
            capabilities=STTCapabilities(streaming=True, interim_results=True, manual_flush=True)
        )
        _check_language(language)
        self._vad = vad

    @property
    def label(self) -> str:
        return PROVIDER

    async def recognize(self, audio: AudioFrame) -> str:
        loaded = await asyncio.to_thread(model.load)
        samples = resample(audio.to_mono().samples, audio.sample_rate, model.SAMPLE_RATE)
        jobs = [
            Job(Priority.FINAL, functools.partial(_transcribe_piece, loaded, piece, seconds))
            for piece, seconds in _pieces(samples)
        ]
        for job in jobs:
            _worker.submit(job)
        try:
            heard = [await asyncio.wrap_future(job.future) for job in jobs]
        except Exception as error:
            raise ProviderError(
                f"Moonshine could not recognise the audio: {error}", provider=PROVIDER
            ) from error
        finally:
            for job in jobs:
                job.cancel()
        return " ".join(transcript.text for transcript in heard if transcript.text)

    def stream(self) -> MoonshineStream:
        """Open a stream on the running event loop. Loads the model if `prewarm` was not awaited before."""
        return MoonshineStream(model.load(), _worker, self._vad)

    async def prewarm(self) -> None:
        """Load the model and, the first time in a process, run it once; off the event loop."""
        global _warmed
        loaded = await asyncio.to_thread(model.load)
        if _warmed is loaded:
            return
        _warmed = loaded
        job = Job(Priority.FINAL, functools.partial(_warm, loaded))
        _worker.submit(job)
        await asyncio.wrap_future(job.future)

    async def update_options(self, *, language: str | None = None, model: str | None = None) -> None:
        if language is not None:
            _check_language(language)
        if model not in (None, "moonshine-tiny"):
            raise ConfigurationError(f"There is no STT local/{model}. Known: local/moonshine-tiny.")


_warmed: model.Model | None = None


def _warm(loaded: model.Model, cancelled: Callable[[], bool]) -> None:
    loaded.transcribe(np.zeros(model.SAMPLE_RATE, dtype=np.float32), cancelled)


def _transcribe_piece(
    loaded: model.Model, samples: Int16Array, seconds: float, cancelled: Callable[[], bool]
) -> Transcript:
    return transcribe(loaded, samples, speech_seconds=seconds, cancelled=cancelled)


def _pieces(samples: Int16Array) -> list[tuple[Int16Array, float]]:
    """The sounding stretches of a recording, of at most 20 s each, cut at pauses, with their seconds of sound."""
    gate = SpeechGate()
    powers = gate.push(samples)
    if gate.onset is None:
        return []
    first, end = gate.onset, gate.last_active
    seconds = gate.active_blocks * BLOCK / model.SAMPLE_RATE
    pieces = []
    while end - first > LONGEST:
        window = range((first + LONGEST // 2) // BLOCK, (first + LONGEST) // BLOCK - 10)
        quietest = min(window, key=lambda block: sum(powers[block : block + 10]))
        cut = (quietest + 5) * BLOCK
        pieces.append((samples[max(0, first - BEFORE) : cut], seconds))
        first = cut + BEFORE
    pieces.append((samples[max(0, first - BEFORE) : end + AFTER], seconds))
    return pieces


def _check_language(language: str) -> None:
    if language.split("-")[0].lower() != "en":
        raise ConfigurationError(
            f"local/moonshine-tiny hears English only, not {language!r}; choose another stt."
        )
