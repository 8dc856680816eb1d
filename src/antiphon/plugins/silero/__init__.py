"""Voice activity detection with Silero, on this machine. `silero.VAD.load()` gives the detector."""

from __future__ import annotations

from ...models.errors import ConfigurationError
from .tracker import SpeechSettings
from .vad import VAD, VADStream

__all__ = ["VAD", "SpeechSettings", "VADStream", "create_vad"]


def create_vad(model: str, voice: str | None = None) -> VAD:
    """The detector that the name `silero/<model>` stands for.

    Raises:
        ConfigurationError: an unknown name, or a missing package.
    """
    if model not in ("", "vad") or voice:
        asked = f"silero/{model}:{voice}" if voice else f"silero/{model}"
        raise ConfigurationError(f"There is no VAD {asked}. Known: silero/vad.")
    return VAD.load()
