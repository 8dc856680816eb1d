"""G.711: telephone audio as one byte a sample, by tables over whole arrays.

Source: ITU-T G.711 (11/1988), tables 1 and 2. A value that lies between two steps goes to the one nearer to silence.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .frame import Int16Array

Uint8Array = NDArray[np.uint8]

ULAW_SILENCE = 0xFF
ALAW_SILENCE = 0xD5


def decode_ulaw(codes: Uint8Array) -> Int16Array:
    """uint8 array of any shape to int16 of the same shape."""
    samples: Int16Array = _ulaw_values()[codes]
    return samples


def encode_ulaw(samples: Int16Array) -> Uint8Array:
    """int16 array of any shape to uint8 of the same shape."""
    codes: Uint8Array = _ulaw_codes()[samples.view(np.uint16)]
    return codes


def decode_alaw(codes: Uint8Array) -> Int16Array:
    """uint8 array of any shape to int16 of the same shape."""
    samples: Int16Array = _alaw_values()[codes]
    return samples


def encode_alaw(samples: Int16Array) -> Uint8Array:
    """int16 array of any shape to uint8 of the same shape."""
    codes: Uint8Array = _alaw_codes()[samples.view(np.uint16)]
    return codes


@lru_cache(maxsize=1)
def _ulaw_values() -> Int16Array:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    exponent, mantissa = (code >> 4) & 7, code & 15
    magnitude = (((mantissa << 3) + 0x84) << exponent) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


@lru_cache(maxsize=1)
def _alaw_values() -> Int16Array:
    code = np.arange(256, dtype=np.int32) ^ 0x55
    exponent, mantissa = (code >> 4) & 7, code & 15
    low = (mantissa << 4) + 8
    magnitude = np.where(exponent == 0, low, (low + 0x100) << np.maximum(exponent - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


@lru_cache(maxsize=1)
def _ulaw_codes() -> Uint8Array:
    """By the bit pattern of the sample."""
    sample = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)
    biased = np.minimum(np.abs(sample), 32635) + 0x84
    exponent = np.maximum(_bit_length(biased) - 8, 0)
    mantissa = (biased >> (exponent + 3)) & 15
    sign = np.where(sample < 0, 0x80, 0)
    codes: Uint8Array = (~(sign | (exponent << 4) | mantissa) & 0xFF).astype(np.uint8)
    return codes


@lru_cache(maxsize=1)
def _alaw_codes() -> Uint8Array:
    """By the bit pattern of the sample."""
    sample = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32) >> 3
    # Negative values count from -1 down, as in the reference code.
    magnitude = np.where(sample < 0, -sample - 1, sample)
    exponent = np.maximum(_bit_length(magnitude) - 5, 0)
    mantissa = np.where(exponent > 1, magnitude >> exponent, magnitude >> 1) & 15
    sign = np.where(sample < 0, 0, 0x80)
    codes: Uint8Array = ((sign | (exponent << 4) | mantissa) ^ 0x55).astype(np.uint8)
    return codes


def _bit_length(values: NDArray[np.int32]) -> NDArray[np.int32]:
    exponents: NDArray[np.int32] = np.frexp(values.astype(np.float64))[1]
    return exponents
