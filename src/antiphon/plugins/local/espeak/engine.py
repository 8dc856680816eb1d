"""espeak-ng through ctypes: one engine a process, used by one thread at a time.

Interface: `speak_lib.h` of espeak-ng 1.52, https://github.com/espeak-ng/espeak-ng.
"""

from __future__ import annotations

import ctypes
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ....audio.frame import Int16Array
from ....models.errors import ConfigurationError, ProviderError

PROVIDER = "local/espeak"

_SYNCHRONOUS = 2
_BUFFER_MS = 40
_DONT_EXIT = 0x8000
_UTF8 = 1
_RATE, _VOLUME, _PITCH = 1, 2, 3
_EVENT_END, _EVENT_WORD = 0, 1
_ALIASES = {"en-gb": "en", "en-uk": "en"}  # names people know, which the engine's list of names does not have
_IDLE_SECONDS = 10.0


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # in characters, from 1
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@dataclass(frozen=True)
class VoiceSettings:
    """How to speak.

    Attributes:
        voice: a language or voice of espeak-ng, with a variant after `+` if wanted: `"en-us"`, `"en-gb+f4"`.
        rate: words a minute, 80 to 450.
        pitch: 0 to 100.
        volume: 0 to 200; above 100 it may distort.
    """

    voice: str = "en-us"
    rate: int = 168
    pitch: int = 50
    volume: int = 100

    def __post_init__(self) -> None:
        for name, low, high in (("rate", 80, 450), ("pitch", 0, 100), ("volume", 0, 200)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigurationError(f"{PROVIDER}: {name} must lie between {low} and {high}, not {value}")


@dataclass
class Utterance:
    """A text to be spoken.

    Attributes:
        on_audio: called on the engine's thread with each block of samples and the words that begin since the last:
            (position in the text in characters, from 0; first sample). It returns False to stop.
        on_end: called on the engine's thread when all is out, with what went wrong or None.
    """

    text: str
    settings: VoiceSettings
    on_audio: Callable[[Int16Array, list[tuple[int, int]]], bool]
    on_end: Callable[[Exception | None], None]


class Engine:
    """The loaded library and the thread that works it."""

    def __init__(self, library: ctypes.CDLL, data_path: str) -> None:
        self._library = library
        library.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
        library.espeak_Synth.argtypes = [
            ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint, ctypes.c_uint,
            ctypes.c_void_p, ctypes.c_void_p,
        ]  # fmt: skip
        library.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
        library.espeak_SetParameter.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int]
        self.sample_rate: int = library.espeak_Initialize(
            _SYNCHRONOUS, _BUFFER_MS, data_path.encode(), _DONT_EXIT
        )
        if self.sample_rate <= 0:
            raise ConfigurationError(
                f"espeak-ng could not read its data in {data_path}; reinstall espeakng-loader"
            )
        self._callback = _Callback(self._on_block)  # the library keeps the pointer
        library.espeak_SetSynthCallback(self._callback)
        self._engine_lock = threading.Lock()
        self._queue: queue.SimpleQueue[Utterance] = queue.SimpleQueue()
        self._thread_lock = threading.Lock()
        self._running = False
        self._current: Utterance | None = None
        self._failure: Exception | None = None
        self._settings: VoiceSettings | None = None

    def check(self, settings: VoiceSettings) -> None:
        """See that there is such a voice.

        Raises:
            ConfigurationError: there is none.
        """
        with self._engine_lock:
            self._apply(settings)

    def speak(self, utterance: Utterance) -> None:
        """Queue an utterance; returns at once."""
        with self._thread_lock:
            self._queue.put(utterance)
            if not self._running:
                self._running = True
                threading.Thread(target=self._work, name="espeak", daemon=True).start()

    def _work(self) -> None:
        while True:
            try:
                utterance = self._queue.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                with self._thread_lock:
                    if self._queue.empty():
                        self._running = False
                        return
                continue
            error: Exception | None = None
            with self._engine_lock:
                try:
                    self._synthesize(utterance)
                except Exception as raised:
                    error = raised  # whoever waits for the audio is told
            utterance.on_end(error)

    def _synthesize(self, utterance: Utterance) -> None:
        self._apply(utterance.settings)
        text = utterance.text.replace("\0", " ").encode("utf-8", "replace")
        self._current, self._failure = utterance, None
        try:
            status = self._library.espeak_Synth(text, len(text) + 1, 0, 1, 0, _UTF8, None, None)
        finally:
            self._current = None
        if self._failure is not None:
            raise self._failure
        if status != 0:
            raise ProviderError(f"espeak-ng refused a text (status {status})", provider=PROVIDER)

    def _apply(self, settings: VoiceSettings) -> None:
        if settings == self._settings:
            return
        self._settings = None
        base, plus, variant = settings.voice.partition("+")
        name = _ALIASES.get(base.lower(), base) + plus + variant
        if self._library.espeak_SetVoiceByName(name.encode()) != 0:
            raise ConfigurationError(
                f"espeak-ng has no voice {settings.voice!r}. Use a language, as in en-us, en-gb, de or hi, "
                "with a variant if wanted, as in en-us+f3."
            )
        for parameter, value in (
            (_RATE, settings.rate),
            (_VOLUME, settings.volume),
            (_PITCH, settings.pitch),
        ):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._settings = settings

    def _on_block(
        self, samples: ctypes._Pointer[ctypes.c_short], count: int, events: ctypes._Pointer[_Event]
    ) -> int:
        """Called by the library for each block; an exception must not pass through it."""
        utterance = self._current
        if utterance is None:
            return 1
        try:
            words: list[tuple[int, int]] = []
            index = 0
            while events[index].type != _EVENT_END:
                if events[index].type == _EVENT_WORD:
                    words.append((events[index].text_position - 1, events[index].sample))
                index += 1
            audio = np.ctypeslib.as_array(samples, (count,)).copy() if count else np.zeros(0, dtype=np.int16)
            return 0 if utterance.on_audio(audio, words) else 1
        except Exception as error:
            self._failure = error
            return 1


_lock = threading.Lock()
_shared: Engine | None = None


def load() -> Engine:
    """The process's one engine; the first call takes a few milliseconds.

    Raises:
        ConfigurationError: the package is missing or broken.
    """
    global _shared
    with _lock:
        if _shared is None:
            _shared = _open()
        return _shared


def _open() -> Engine:
    try:
        import espeakng_loader

        return Engine(ctypes.CDLL(espeakng_loader.get_library_path()), espeakng_loader.get_data_path())
    except (ImportError, OSError, RuntimeError) as error:
        raise ConfigurationError(
            f'The voice {PROVIDER} needs the package espeakng-loader ({error}). Run: pip install "antiphon[local]"'
        ) from error
