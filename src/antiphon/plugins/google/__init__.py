"""Google: `google/gemini-…[:voice]` of the Gemini Live API listens and speaks, or writes if the model can.

Needs the extra `google` and a key: `GOOGLE_API_KEY`, or one of the assistant's own.
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
    try:
        found = importlib.util.find_spec("google.genai") is not None
    except ModuleNotFoundError:  # not even the namespace package
        found = False
    if not found:
        raise ConfigurationError('google needs the package "google-genai": pip install "antiphon[google]"')
    if not os.environ.get("GOOGLE_API_KEY"):
        raise ConfigurationError("GOOGLE_API_KEY is not set")


def create_realtime(
    model: str,
    voice: str | None = None,
    *,
    api_key: str | None = None,
    modalities: Sequence[str] = ("audio",),
    language: str | None = None,
    temperature: float | None = None,
) -> AnyRealtimeModel:
    """`google/<model>[:voice]`. See `RealtimeModel` for the settings.

    Raises:
        ConfigurationError: no key, or a setting that does not exist or that the model does not take.
    """
    from .realtime_model import DEFAULT_MODEL, RealtimeModel

    return RealtimeModel(
        model or DEFAULT_MODEL,
        voice=voice,
        api_key=api_key,
        modalities=modalities,
        language=language,
        temperature=temperature,
    )


def __getattr__(name: str) -> Any:
    if name == "RealtimeModel":
        from .realtime_model import RealtimeModel

        return RealtimeModel
    raise missing_name("google", name, has="RealtimeModel")
