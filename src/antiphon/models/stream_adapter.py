"""Adapters that make models of whole texts or utterances work as streams; `StreamAdapter` picks the one that fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, overload

from .errors import ConfigurationError
from .stream_adapter_stt import STTStreamAdapter
from .stream_adapter_tts import TTSStreamAdapter
from .stt import STT
from .tokenize import CallableSplitter, SentenceSplitter, Splitter
from .tts import TTS
from .vad import VAD

__all__ = ["STTStreamAdapter", "StreamAdapter", "TTSStreamAdapter"]

SentenceTokenizer = Callable[[str], list[str]] | type[Splitter]


@overload
def StreamAdapter(
    tts: TTS,
    sentence_tokenizer: SentenceTokenizer | None = None,
    *,
    tokenizer: SentenceTokenizer | None = None,
) -> TTSStreamAdapter: ...
@overload
def StreamAdapter(*, stt: STT, vad: VAD) -> STTStreamAdapter: ...
def StreamAdapter(  # noqa: N802
    tts: TTS | None = None,
    sentence_tokenizer: SentenceTokenizer | None = None,
    *,
    tokenizer: SentenceTokenizer | None = None,
    stt: STT | None = None,
    vad: VAD | None = None,
) -> TTSStreamAdapter | STTStreamAdapter:
    """Make a model stream: `StreamAdapter(tts=...)` a voice, `StreamAdapter(stt=..., vad=...)` a recogniser.

    Args:
        tts: the voice.
        sentence_tokenizer: a function from a text to its sentences, the last of which may be unfinished; or a class
            with `push` and `flush`, such as `SentenceSplitter`, which is the default.
        tokenizer: the same.
        stt: the recogniser.
        vad: finds the recogniser's utterances.

    Raises:
        ConfigurationError: neither or both were given, or a recogniser without a VAD.
    """
    if (tts is None) == (stt is None):
        raise ConfigurationError("StreamAdapter adapts one model: give it tts=..., or stt=... and vad=...")
    if tts is not None:
        return TTSStreamAdapter(tts, _splitter_factory(sentence_tokenizer or tokenizer))
    if stt is None or vad is None:
        raise ConfigurationError(
            "StreamAdapter(stt=...) needs vad=... to know where an utterance ends, as in vad=silero.VAD.load()"
        )
    return STTStreamAdapter(stt, vad)


def _splitter_factory(tokenizer: Any) -> Callable[[], Splitter]:
    if tokenizer is None:
        return SentenceSplitter
    if isinstance(tokenizer, type):
        return tokenizer
    return lambda: CallableSplitter(tokenizer)
