"""What all tests share: programs they need, spoken test audio, a time limit, and a check that no task is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from ctypes.util import find_library
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

TIME_LIMIT = 120.0
REQUIRE_ALL = os.environ.get("ANTIPHON_REQUIRE_ALL") == "1"

# Their tests talk with real browsers, programs, connections and processes in real time, which a busy machine can stall: each gets a second
# try, and the report says so. Everything else is exact and gets one.
REAL_TIME = ("cli", "e2e", "plugins", "rooms", "server", "telephony", "worker")

# What `@pytest.mark.needs` accepts that is not a Python package: how to find it, and the Debian package that has it.
PROGRAMS: dict[str, tuple[Callable[[], object], str]] = {
    "chromium": (lambda: shutil.which("chromium"), "apt-get install chromium"),
    "flite": (lambda: shutil.which("flite"), "apt-get install flite"),
    "smart turn weights": (
        lambda: importlib.util.find_spec("pipecat"),
        "pip install --no-deps pipecat-ai",
    ),
    "portaudio": (lambda: find_library("portaudio"), "apt-get install libportaudio2"),
    "ffmpeg": (lambda: shutil.which("ffmpeg"), "apt-get install ffmpeg"),
    "java": (lambda: shutil.which("javac") and shutil.which("java"), "apt-get install default-jdk-headless"),
    "mvn": (lambda: shutil.which("mvn"), "apt-get install maven"),
    "sipp": (lambda: shutil.which("sipp"), "apt-get install sip-tester"),
    "raw sockets": (lambda: hasattr(os, "geteuid") and os.geteuid() == 0, "run as root: sipp plays captures"),
    "baresip": (lambda: shutil.which("baresip"), "apt-get install baresip-core"),
    "kamailio": (lambda: shutil.which("kamailio"), "apt-get install kamailio"),
    "tshark": (lambda: shutil.which("tshark"), "apt-get install tshark"),
    "sox": (lambda: shutil.which("sox"), "apt-get install sox"),
}


def _missing(name: str) -> str | None:
    """How to install `name` if it is missing: a program of `PROGRAMS`, or else an importable Python package."""
    if name in PROGRAMS:
        find, install = PROGRAMS[name]
        return None if find() else install
    return None if importlib.util.find_spec(name) else f"pip install {name}"


def _require(names: tuple[str, ...]) -> None:
    for name in names:
        if install := _missing(name):
            message = f"needs {name}: {install}"
            if REQUIRE_ALL:
                pytest.fail(message, pytrace=False)
            pytest.skip(message)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and item.path.relative_to(here).parts[0] in REAL_TIME:
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        _require(marker.args)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a test that takes too long, with the stacks of all threads in its output."""
    marker = item.get_closest_marker("time_limit")
    limit: float = marker.args[0] if marker else TIME_LIMIT
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        return (yield)

    def expired(_signal: int, _frame: FrameType | None) -> None:
        faulthandler.dump_traceback(sys.__stderr__)
        pytest.fail(f"took longer than {limit:g} s", pytrace=True)

    previous = signal.signal(signal.SIGALRM, expired)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


@pytest.fixture(scope="session")
def speak(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`speak(text, voice="slt", rate=48000, lead=0.5, tail=1.0)` -> a mono 16-bit WAV of flite saying it.

    `lead` and `tail` are seconds of silence around the speech. The same arguments give the same file.
    """
    folder = tmp_path_factory.mktemp("spoken")

    def speak(
        text: str, voice: str = "slt", rate: int = 48000, *, lead: float = 0.5, tail: float = 1.0
    ) -> Path:
        _require(("flite",))
        name = hashlib.sha256(repr((text, voice, rate, lead, tail)).encode()).hexdigest()[:16]
        path = folder / f"{name}.wav"
        if not path.exists():
            _flite(text, voice, rate, lead, tail, path)
        return path

    return speak


def _flite(text: str, voice: str, rate: int, lead: float, tail: float, path: Path) -> None:
    import wave

    import numpy as np

    spoken = path.with_suffix(".flite.wav")
    subprocess.run(
        ["flite", "-voice", voice, "-t", text, "-o", str(spoken)], check=True, timeout=60, capture_output=True
    )
    with wave.open(str(spoken)) as source:
        source_rate = source.getframerate()
        samples = np.frombuffer(source.readframes(source.getnframes()), dtype="<i2").astype(np.float64)
    spoken.unlink()
    # Band-limited interpolation: zero-pad the spectrum, which is exact for a whole file and needs no library.
    length = round(len(samples) * rate / source_rate)
    spectrum = np.fft.rfft(samples)
    bins = length // 2 + 1
    resized = np.zeros(bins, dtype=complex)
    kept = min(bins, len(spectrum))
    resized[:kept] = spectrum[:kept]
    speech = np.fft.irfft(resized, length) * (length / len(samples))
    padded = np.concatenate([np.zeros(round(lead * rate)), speech, np.zeros(round(tail * rate))])
    with wave.open(str(path), "wb") as target:
        target.setnchannels(1)
        target.setsampwidth(2)
        target.setframerate(rate)
        target.writeframes(np.clip(np.rint(padded), -32768, 32767).astype("<i2").tobytes())


@pytest.fixture
def run_clean() -> Callable[..., Any]:
    """`run_clean(coroutine, timeout=30.0)` runs it and fails if it leaves a task behind or an error that nobody saw."""

    def run_clean(coroutine: Coroutine[Any, Any, Any], *, timeout: float = 30.0) -> Any:
        unseen: list[str] = []

        async def main() -> Any:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _loop, context: unseen.append(str(context)))
            async with asyncio.timeout(timeout):
                result = await coroutine
            leaked = await _tasks_left()
            assert not leaked, f"left behind: {leaked}"
            return result

        result = asyncio.run(main())
        assert not unseen, f"errors that nobody saw: {unseen}"
        return result

    return run_clean


async def _tasks_left() -> list[str]:
    """The other tasks of this loop that are still there after cancellations in progress had a moment to finish."""
    own = asyncio.current_task()
    for _ in range(10):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        if not [task for task in asyncio.all_tasks() if task is not own]:
            break
    return [repr(task) for task in asyncio.all_tasks() if task is not own]
