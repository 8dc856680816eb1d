"""English speech recognition with the Moonshine tiny model, on this machine, without network or key.

`MoonshineSTT` is the recogniser; the weights come with the `moonshine-voice` package (MIT).
"""

from __future__ import annotations

from .stream import MoonshineStream
from .stt import MoonshineSTT

__all__ = ["MoonshineSTT", "MoonshineStream"]
