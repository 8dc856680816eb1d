"""G.711 against the tables of the recommendation."""

from __future__ import annotations

import numpy as np
import pytest

from antiphon.audio import g711

CODES = np.arange(256, dtype=np.uint8)
EVERY = np.arange(65536, dtype=np.uint16).view(np.int16)


@pytest.mark.parametrize(
    ("decode", "known"),
    [
        (g711.decode_ulaw, {0xFF: 0, 0x7F: 0, 0x00: -32124, 0x80: 32124, 0xF0: 120, 0xEF: 132, 0xCE: 988}),
        (g711.decode_alaw, {0xD5: 8, 0x55: -8, 0xAA: 32256, 0x2A: -32256, 0xD4: 24, 0xC5: 264, 0x80: 5504}),
    ],
)
def test_known_values(decode: object, known: dict[int, int]) -> None:
    decoded = decode(CODES)  # type: ignore[operator]
    assert {code: int(decoded[code]) for code in known} == known


@pytest.mark.parametrize(
    ("encode", "decode"), [(g711.encode_ulaw, g711.decode_ulaw), (g711.encode_alaw, g711.decode_alaw)]
)
def test_every_sample_goes_to_a_near_code(encode: object, decode: object) -> None:
    back = decode(encode(EVERY)).astype(int)  # type: ignore[operator]
    step = np.maximum(np.abs(back) // 16, 16)
    clipped = np.clip(EVERY.astype(int), -32635, 32635)
    assert np.all(np.abs(back - clipped) <= step)
    # What was a code before is the same code again; there are two zeros in the one law.
    again = decode(encode(decode(CODES)))  # type: ignore[operator]
    assert np.array_equal(again, decode(CODES))  # type: ignore[operator]


def test_silence_is_silent_and_shapes_stay() -> None:
    assert g711.decode_ulaw(np.array([g711.ULAW_SILENCE], dtype=np.uint8))[0] == 0
    assert abs(g711.decode_alaw(np.array([g711.ALAW_SILENCE], dtype=np.uint8))[0]) <= 8
    stacked = np.zeros((3, 160), dtype=np.int16)
    assert g711.decode_ulaw(g711.encode_ulaw(stacked)).shape == (3, 160)
    assert g711.decode_alaw(g711.encode_alaw(stacked)).shape == (3, 160)
