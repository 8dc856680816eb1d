"""PCM audio: frames, framing, resampling, mixing, WAV files and simple DSP.

Pure numpy; nothing here knows about asyncio, providers or rooms.
"""

from .byte_stream import AudioByteStream
from .filters import Biquad, HighPass
from .frame import AudioFrame, Int16Array, combine_frames
from .level import SILENCE_DBFS, peak, peak_dbfs, rms_dbfs
from .mixer import AudioMixer, mix, soft_limit
from .processor import FrameProcessor, NoiseCancellation
from .resample import Resampler, resample
from .wav import AudioFileError, WavWriter, read_wav, write_wav

__all__ = [
    "SILENCE_DBFS",
    "AudioByteStream",
    "AudioFileError",
    "AudioFrame",
    "AudioMixer",
    "Biquad",
    "FrameProcessor",
    "HighPass",
    "Int16Array",
    "NoiseCancellation",
    "Resampler",
    "WavWriter",
    "combine_frames",
    "mix",
    "peak",
    "peak_dbfs",
    "read_wav",
    "resample",
    "rms_dbfs",
    "soft_limit",
    "write_wav",
]
