import numpy as np
import pytest

from antiphon.audio import SILENCE_DBFS, AudioFrame, peak, peak_dbfs, rms_dbfs

SINE = np.rint(32_767 * np.sin(np.arange(8_000) * 2 * np.pi / 80)).astype(np.int16)

ROWS = [
    ("full-scale sine", SINE, -3.01, 0.0),
    ("half-scale square", np.tile(np.array([16_384, -16_384], dtype=np.int16), 100), -6.02, -6.02),
    ("one negative full-scale sample", np.array([-32_768], dtype=np.int16), 0.0, 0.0),
    ("silence", np.zeros(160, dtype=np.int16), SILENCE_DBFS, SILENCE_DBFS),
    ("no samples", np.zeros(0, dtype=np.int16), SILENCE_DBFS, SILENCE_DBFS),
]


@pytest.mark.parametrize(
    ("name", "samples", "rms", "top"), ROWS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_levels(name: str, samples: np.ndarray, rms: float, top: float):
    frame = AudioFrame(samples, 8_000)
    assert float(rms_dbfs(frame)) == pytest.approx(rms, abs=0.01)
    assert float(peak_dbfs(frame)) == pytest.approx(top, abs=0.01)


def test_batches_keep_their_leading_axes():
    stack = np.stack([SINE, SINE // 2, np.zeros_like(SINE)])[None]
    assert rms_dbfs(stack).shape == (1, 3)
    assert rms_dbfs(stack)[0, 0] == rms_dbfs(SINE)
    assert peak(stack).tolist() == [[32_767 / 32_768, 16_384 / 32_768, 0.0]]
