"""Speech synthesis with espeak-ng, on this machine, without network or key.

`EspeakTTS` is the voice; the library and its data come with the `espeakng-loader` package (GPL-3.0-or-later).
"""

from __future__ import annotations

from .tts import EspeakTTS

__all__ = ["EspeakTTS"]
