"""OpenAI: `openai/gpt-realtime[:voice]` listens and answers, in speech or in text.

Needs the extra `openai` and a key: `OPENAI_API_KEY`, or one of the assistant's own.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...models.errors import ConfigurationError
from ...models.registry import missing_name

if TYPE_CHECKING:
    from ...models.realtime import RealtimeModel as AnyRealtimeModel
    from .realtime_model import RealtimeModel

__all__ = ["RealtimeModel", "check", "create_realtime"]


def check() -> None:
    """
    Raises:
        ConfigurationError: the package or the key is missing.
    """
    if importlib.util.find_spec("openai") is None:
        raise ConfigurationError('openai needs the package "openai": pip install "antiphon[openai]"')
    if not os.environ.get("OPENAI_API_KEY"):
        raise ConfigurationError("OPENAI_API_KEY is not set")


def create_realtime(
    model: str,
    voice: str | None = None,
    *,
    api_key: str | None = None,
    modalities: Sequence[str] = ("audio",),
    language: str | None = None,
    transcription_model: str | None = None,
    noise_reduction: str | None = None,
) -> AnyRealtimeModel:
    """`openai/gpt-realtime[:voice]`. See `RealtimeModel` for the settings.

    Raises:
        ConfigurationError: no key, or a setting that does not exist.
    """
    from .realtime_model import DEFAULT_MODEL, TRANSCRIPTION_MODEL, RealtimeModel

    return RealtimeModel(
        model or DEFAULT_MODEL,
        voice=voice,
        api_key=api_key,
        modalities=modalities,
        language=language,
        transcription_model=transcription_model or TRANSCRIPTION_MODEL,
        noise_reduction=noise_reduction,
    )


def __getattr__(name: str) -> Any:
    if name == "RealtimeModel":
        from .realtime_model import RealtimeModel

        return RealtimeModel
    raise missing_name("openai", name, has="RealtimeModel")
