"""Several recognisers as one that fails less often."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from ...audio import AudioFrame
from ..errors import ConfigurationError, ProviderTimeout
from ..stream_adapter_stt import STTStreamAdapter
from ..stt import STT, RecognizeStream, STTCapabilities
from ..vad import VAD
from .chain import BackOff, OnAvailabilityChanged, ProviderChain, as_provider_error
from .stt_stream import StreamLimits, STTFallbackStream

ATTEMPT_TIMEOUT = 10.0


class STTFallbackAdapter(STT):
    """Recognises with the next recogniser when one fails, ends or does not answer.

    A stream goes on across failures: the audio since the last final transcript is kept and given to the recogniser that
    takes over, so that an utterance is neither lost nor reported twice. A single provider is worth wrapping too: its
    stream is opened again when it breaks.
    """

    def __init__(
        self,
        providers: Sequence[STT],
        *,
        vad: VAD | None = None,
        attempt_timeout: float = ATTEMPT_TIMEOUT,
        limits: StreamLimits | None = None,
        back_off: BackOff | None = None,
        on_availability_changed: OnAvailabilityChanged | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """
        Args:
            providers: in order of preference.
            vad: finds the utterances for those that do not stream.
            attempt_timeout: seconds that `recognize` may take.
            limits: of streams.
            back_off: how long a recogniser that failed is left out.
            on_availability_changed: called when one fails and when it works again; it must not block.
            clock: seconds, instead of the event loop's.

        Raises:
            ConfigurationError: no providers were given, or one that does not stream without a VAD.
        """
        self._chain: ProviderChain[STT] = ProviderChain(
            [_streaming(provider, vad) for provider in providers],
            attempt_timeout=attempt_timeout,
            back_off=back_off,
            on_availability_changed=on_availability_changed,
            clock=clock,
        )
        every = [provider.capabilities for provider in self._chain.providers]
        super().__init__(
            capabilities=STTCapabilities(
                streaming=True,
                interim_results=all(each.interim_results for each in every),
                diarization=all(each.diarization for each in every),
                aligned_transcript=all(each.aligned_transcript for each in every),
                manual_flush=all(each.manual_flush for each in every),
            )
        )
        self._limits = limits or StreamLimits()

    @property
    def label(self) -> str:
        return self._chain.label

    async def recognize(self, audio: AudioFrame) -> str:
        """
        Raises:
            AllProvidersFailed: none could recognise it.
        """
        causes: list[BaseException] = []
        for attempt in self._chain.attempts():
            provider = attempt.provider
            scope = asyncio.timeout(attempt.timeout)
            try:
                async with scope:
                    text = await provider.recognize(audio)
            except Exception as error:  # whatever a vendor's code raises, the next vendor may do better
                failure: Exception = error
                if scope.expired():
                    failure = ProviderTimeout(
                        f"{provider.label} did not answer within {attempt.timeout:g} s",
                        provider=provider.label,
                    )
                self._chain.failed(provider, failure)
                causes.append(as_provider_error(failure, provider.label))
            else:
                self._chain.worked(provider)
                return text
        raise self._chain.all_failed("could recognise the audio", causes)

    def stream(self) -> RecognizeStream:
        return STTFallbackStream(self._chain, self._limits)

    async def prewarm(self) -> None:
        await self._chain.prewarm()

    async def update_options(self, *, language: str | None = None, model: str | None = None) -> None:
        """Change the language of all, and the model of the first: the names of models mean nothing to the others."""
        for index, provider in enumerate(self._chain.providers):
            await provider.update_options(language=language, model=model if index == 0 else None)

    async def aclose(self) -> None:
        await self._chain.aclose()


def _streaming(provider: STT, vad: VAD | None) -> STT:
    if provider.capabilities.streaming:
        return provider
    if vad is None:
        raise ConfigurationError(
            f"{provider.label} recognises whole utterances only: give the fallback adapter a vad, "
            "as in vad=silero.VAD.load()"
        )
    return STTStreamAdapter(provider, vad)
