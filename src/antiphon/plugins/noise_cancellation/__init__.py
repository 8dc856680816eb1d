"""Noise filters that cost little: `BVC()` for microphones, `BVCTelephony()` for telephone lines.

Signal processing in numpy, no model and no key. They take steady noise away, not other people's voices.
"""

from .bvc import BVC, BVCTelephony, NoiseFilter
from .suppressor import NoiseSuppressor, SuppressorSettings

__all__ = ["BVC", "BVCTelephony", "NoiseFilter", "NoiseSuppressor", "SuppressorSettings"]
