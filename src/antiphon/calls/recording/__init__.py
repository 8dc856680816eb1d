"""Recording of calls: stereo, the caller on the left and what the caller hears on the right, as Opus in Ogg.

`Recordings` owns it all and makes a `CallRecorder` for each call; `RecordingStorage` says where the files lie.
"""

from __future__ import annotations

from .info import (
    RecordingError,
    RecordingInfo,
    RecordingNotFound,
    RecordingNotReady,
    RecordingState,
    RecordingUnavailable,
)
from .recorder import CallRecorder
from .recordings import Recordings
from .storage import RecordingStorage
from .stored import StoredRecording

__all__ = [
    "CallRecorder",
    "RecordingError",
    "RecordingInfo",
    "RecordingNotFound",
    "RecordingNotReady",
    "RecordingState",
    "RecordingStorage",
    "RecordingUnavailable",
    "Recordings",
    "StoredRecording",
]
