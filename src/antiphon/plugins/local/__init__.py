"""Models that run on this machine, without a network and without a key: `local/moonshine-tiny` hears English,
`local/scripted[:script]` answers by script, `local/espeak[:voice]` speaks, `local/silero` detects speech.

Each is imported when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...models.errors import ConfigurationError

if TYPE_CHECKING:
    from ...models.llm import LLM
    from ...models.stt import STT
    from ...models.tts import TTS
    from ...models.vad import VAD
    from .espeak import EspeakTTS
    from .moonshine import MoonshineSTT
    from .scripted import ScriptedLLM

__all__ = ["EspeakTTS", "MoonshineSTT", "ScriptedLLM", "create_llm", "create_stt", "create_tts", "create_vad"]


def create_stt(model: str, voice: str | None = None) -> STT:
    """`local/moonshine-tiny[:language]`.

    Raises:
        ConfigurationError: an unknown name, another language than English, or a missing package.
    """
    if model not in ("", "moonshine-tiny"):
        raise _unknown("speech recogniser", model, "local/moonshine-tiny")
    from .moonshine import MoonshineSTT

    return MoonshineSTT(language=voice or "en")


def create_tts(model: str, voice: str | None = None) -> TTS:
    """`local/espeak[:voice]`, as in `local/espeak:en-gb`.

    Raises:
        ConfigurationError: an unknown name or voice, or a missing package.
    """
    if model not in ("", "espeak"):
        raise _unknown("voice", model, "local/espeak, local/espeak:en-gb, local/espeak:en-us+f3, ...")
    from .espeak import EspeakTTS

    return EspeakTTS(voice=voice) if voice else EspeakTTS()


def create_vad(model: str, voice: str | None = None) -> VAD:
    """`local/silero`, the same as `silero`.

    Raises:
        ConfigurationError: an unknown name, or a missing package.
    """
    if model not in ("", "silero") or voice:
        raise _unknown("voice activity detector", f"{model}:{voice}" if voice else model, "local/silero")
    from .. import silero

    return silero.create_vad("")


def create_llm(model: str, voice: str | None = None) -> LLM:
    """`local/scripted[:script]`: the script of a built-in assistant, or the path of a script file.

    Raises:
        ConfigurationError: an unknown name, or a script with a mistake.
    """
    name, _, script = model.partition(":")
    if name not in ("", "scripted"):
        raise _unknown("language model", model, "local/scripted, local/scripted:bank, local/scripted:<path>")
    from .scripted import ScriptedLLM

    return ScriptedLLM.from_name(script or voice or None)


def _unknown(what: str, model: str, known: str) -> ConfigurationError:
    return ConfigurationError(f"There is no {what} local/{model}. Known: {known}.")


def __getattr__(name: str) -> Any:
    if name == "EspeakTTS":
        from .espeak import EspeakTTS

        return EspeakTTS
    if name == "MoonshineSTT":
        from .moonshine import MoonshineSTT

        return MoonshineSTT
    if name == "ScriptedLLM":
        from .scripted import ScriptedLLM

        return ScriptedLLM
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
