"""The shared fixtures do what tests rely on: time limits fail, leaks are seen, missing programs are named."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest_plugins = ["pytester"]

CONFTEST = (Path(__file__).parent / "conftest.py").read_text()
MARKERS = "[pytest]\nmarkers =\n  needs: x\n  time_limit: x\n"


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.delenv("ANTIPHON_REQUIRE_ALL", raising=False)
    pytester.makeconftest(CONFTEST)
    pytester.makeini(MARKERS)
    return pytester


def test_a_test_over_its_time_limit_fails_and_the_next_one_runs(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import asyncio, pytest
        @pytest.mark.time_limit(0.3)
        def test_slow(): asyncio.run(asyncio.sleep(60))
        def test_next(): pass
        """
    )
    result = project.runpytest_subprocess()
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["*took longer than 0.3 s*"])


def test_a_missing_program_skips_and_says_what_to_install(project: pytest.Pytester) -> None:
    project.makepyfile("import pytest\n@pytest.mark.needs('no_such_thing')\ndef test(): pass")
    result = project.runpytest_subprocess("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*needs no_such_thing: pip install no_such_thing*"])


def test_a_missing_program_fails_where_all_are_required(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTIPHON_REQUIRE_ALL", "1")
    project.makepyfile("import pytest\n@pytest.mark.needs('no_such_thing')\ndef test(): pass")
    result = project.runpytest_subprocess()
    assert result.parseoutcomes().keys() <= {"failed", "error", "errors"}


def test_run_clean_returns_the_result(run_clean: Callable[..., object]) -> None:
    async def answer() -> int:
        await asyncio.create_task(asyncio.sleep(0))
        return 42

    assert run_clean(answer()) == 42


def test_run_clean_sees_a_task_left_behind(run_clean: Callable[..., object]) -> None:
    kept = []

    async def leak() -> None:
        kept.append(asyncio.create_task(asyncio.sleep(60)))

    with pytest.raises(AssertionError, match="left behind"):
        run_clean(leak())


def test_run_clean_sees_an_error_that_nobody_saw(run_clean: Callable[..., object]) -> None:
    async def fail_in_a_callback() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(0.01)

    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        run_clean(fail_in_a_callback())


@pytest.mark.needs("flite")
@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_speak_gives_speech_between_silences(speak: Callable[..., Path], rate: int) -> None:
    path = speak("hello there", rate=rate, lead=0.5, tail=0.5)
    assert speak("hello there", rate=rate, lead=0.5, tail=0.5) == path
    with wave.open(str(path)) as wav:
        assert (wav.getframerate(), wav.getnchannels(), wav.getsampwidth()) == (rate, 1, 2)
        samples = np.frombuffer(wav.readframes(wav.getnframes()), dtype="<i2").astype(float)
    middle = samples[rate // 2 : -rate // 2]
    assert np.abs(samples[: rate // 2 - rate // 50]).max() < 100
    assert np.sqrt(np.mean(middle**2)) > 500
