"""What watches over a conversation from outside: hold, silence, keys, late replies, noise, length, background sound.

Each attaches to a started session, acts through its public events and methods only, and ends with it.
"""

from .background_audio import BackgroundAudio, BackgroundAudioOptions
from .controller import Controller
from .end_phrase import EndPhraseController, EndPhraseOptions
from .filler import FillerController, FillerOptions
from .hang_up import HangUp
from .hold import HoldController
from .input_guard import InputGuard, InputGuardOptions
from .keys import KeysController, KeysOptions
from .max_duration import MaxDurationController, MaxDurationOptions
from .silence_watchdog import SilenceWatchdog, SilenceWatchdogOptions

__all__ = [
    "BackgroundAudio",
    "BackgroundAudioOptions",
    "Controller",
    "EndPhraseController",
    "EndPhraseOptions",
    "FillerController",
    "FillerOptions",
    "HangUp",
    "HoldController",
    "InputGuard",
    "InputGuardOptions",
    "KeysController",
    "KeysOptions",
    "MaxDurationController",
    "MaxDurationOptions",
    "SilenceWatchdog",
    "SilenceWatchdogOptions",
]
