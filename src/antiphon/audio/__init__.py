"""PCM audio: frames, framing, resampling, mixing, WAV files and simple DSP.

Pure numpy; nothing here knows about asyncio, providers or rooms.
"""

from .frame import AudioFrame, combine_frames

__all__ = ["AudioFrame", "combine_frames"]
