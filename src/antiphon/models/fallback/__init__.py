"""Several providers of one kind as one: who answers when the first cannot.

`FallbackAdapter([first, second])` picks the adapter for recognisers, language models or voices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

from ..errors import ConfigurationError
from ..llm import LLM
from ..stt import STT
from ..tts import TTS
from .chain import AvailabilityChanged, BackOff
from .llm import LLMFallbackAdapter
from .stt import STTFallbackAdapter
from .stt_stream import StreamLimits
from .tts import TTSFallbackAdapter

__all__ = [
    "AvailabilityChanged",
    "BackOff",
    "FallbackAdapter",
    "LLMFallbackAdapter",
    "STTFallbackAdapter",
    "StreamLimits",
    "TTSFallbackAdapter",
]


@overload
def FallbackAdapter(providers: Sequence[STT], **options: Any) -> STTFallbackAdapter: ...
@overload
def FallbackAdapter(providers: Sequence[LLM], **options: Any) -> LLMFallbackAdapter: ...
@overload
def FallbackAdapter(providers: Sequence[TTS], **options: Any) -> TTSFallbackAdapter: ...
def FallbackAdapter(  # noqa: N802 - reads as a class
    providers: Sequence[STT] | Sequence[LLM] | Sequence[TTS], **options: Any
) -> STTFallbackAdapter | LLMFallbackAdapter | TTSFallbackAdapter:
    """Make one of several providers.

    Args:
        providers: all recognisers, all language models or all voices, in order of preference.
        options: of `STTFallbackAdapter`, `LLMFallbackAdapter` or `TTSFallbackAdapter`.

    Raises:
        ConfigurationError: no providers, or of different kinds.
    """
    given = list(providers)
    recognisers = [each for each in given if isinstance(each, STT)]
    models = [each for each in given if isinstance(each, LLM)]
    voices = [each for each in given if isinstance(each, TTS)]
    if given and len(recognisers) == len(given):
        return STTFallbackAdapter(recognisers, **options)
    if given and len(models) == len(given):
        return LLMFallbackAdapter(models, **options)
    if given and len(voices) == len(given):
        return TTSFallbackAdapter(voices, **options)
    kinds = ", ".join(type(provider).__name__ for provider in given) or "nothing"
    raise ConfigurationError(f"FallbackAdapter needs providers of one kind (STT, LLM or TTS), got {kinds}")
