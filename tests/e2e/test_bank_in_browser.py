"""A person in a real browser talks with the bank: asks aloud, hears the answer, talks over it.

Chromium's microphone is a file spoken by flite; the server is the `antiphon demo` command.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs("chromium", "flite", "playwright"),
    pytest.mark.time_limit(150),
]

CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]
GREETING = 9.5  # seconds in which the bank says hello

# Notes the levels of the microphone and of what the page plays, every 10 ms.
METER = """
(() => {
  window.levels = [];
  const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  const context = new AudioContext();
  const meter = (stream) => {
    const analyser = context.createAnalyser();
    analyser.fftSize = 512;
    context.createMediaStreamSource(stream).connect(analyser);
    const samples = new Float32Array(512);
    return () => {
      analyser.getFloatTimeDomainData(samples);
      return Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / 512);
    };
  };
  let microphone = null, speaker = null;
  navigator.mediaDevices.getUserMedia = async (constraints) => {
    const stream = await open(constraints);
    microphone = meter(stream);
    await context.resume();
    return stream;
  };
  const Original = RTCPeerConnection;
  window.RTCPeerConnection = class extends Original {
    constructor(...options) {
      super(...options);
      this.addEventListener("track", (event) => { speaker = meter(new MediaStream([event.track])); });
    }
  };
  setInterval(() => {
    window.levels.push([performance.now() / 1000, microphone ? microphone() : 0, speaker ? speaker() : 0]);
  }, 10);
})();
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The running demo."""
    port = free_port()
    data = tmp_path_factory.mktemp("data")
    demo = subprocess.Popen(
        [sys.executable, "-m", "antiphon", "demo", "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "ANTIPHON_DATA_DIR": str(data)},
    )
    assert demo.stdout is not None
    try:
        for line in demo.stdout:
            if found := re.search(r"https?://\S+", line):
                yield found.group()
                break
        else:
            pytest.fail("antiphon demo ended before it printed its address")
    finally:
        demo.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            demo.wait(10)
        demo.kill()
        demo.wait()


def samples_of(path: Path) -> np.ndarray[Any, Any]:
    with wave.open(str(path)) as source:
        return np.frombuffer(source.readframes(source.getnframes()), dtype="<i2")


def microphone(path: Path, parts: list[np.ndarray[Any, Any] | float]) -> Path:
    """A 48 kHz WAV of recordings and, for numbers, seconds of silence."""
    audio = np.concatenate(
        [np.zeros(round(part * 48000), "<i2") if isinstance(part, float) else part for part in parts]
    )
    with wave.open(str(path), "wb") as target:
        target.setnchannels(1)
        target.setsampwidth(2)
        target.setframerate(48000)
        target.writeframes(audio.tobytes())
    return path


@contextlib.contextmanager
def browser_page(address: str, recording: Path) -> Iterator[Any]:
    """The demo's page, with `recording` as its microphone and the call begun."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=[*CHROMIUM, f"--use-file-for-fake-audio-capture={recording}%noloop"],
        )
        page = browser.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.add_init_script(METER)
        page.goto(address)
        page.get_by_role("button", name=re.compile("start", re.IGNORECASE)).click()
        yield page
        assert problems == []
        browser.close()


def test_a_spoken_question_is_answered_aloud(
    address: str, speak: Callable[..., Path], tmp_path: Path
) -> None:
    question = samples_of(speak("How much money do I have in my savings account?", lead=0.0, tail=0.0))
    recording = microphone(tmp_path / "question.wav", [GREETING, question, 20.0])
    with browser_page(address, recording) as page:
        page.get_by_text("eight thousand four hundred dollars").first.wait_for(timeout=40_000)
        text = page.inner_text("body")
        assert re.search("savings account", text, re.IGNORECASE)
        assert "get_balance" in text
        page.wait_for_timeout(3000)
        levels = np.array(page.evaluate("window.levels"))
    spoke = levels[levels[:, 1] > 0.02]
    answered = levels[(levels[:, 0] > spoke[-1, 0]) & (levels[:, 2] > 0.01)]
    assert len(answered) > 100, "the page played the answer"
    assert answered[0, 0] - spoke[-1, 0] < 1.5


def test_talking_over_the_answer_stops_it(address: str, speak: Callable[..., Path], tmp_path: Path) -> None:
    question = samples_of(speak("What are my latest transactions?", lead=0.0, tail=0.0))
    barge_in = samples_of(speak("Stop please, when are you open on Friday?", lead=0.0, tail=0.0))
    recording = microphone(tmp_path / "barge_in.wav", [GREETING, question, 4.0, barge_in, 20.0])
    with browser_page(address, recording) as page:
        page.locator("span.mark:visible", has_text="interrupted").wait_for(timeout=40_000)
        page.get_by_text("We are open on Fridays").wait_for(timeout=20_000)
        levels = np.array(page.evaluate("window.levels"))
        assert "list_transactions" in page.inner_text("body")
    loud = levels[levels[:, 1] > 0.02, 0]
    onset = next(now for before, now in itertools.pairwise(loud) if now - before > 2.0)
    heard = levels[levels[:, 2] > 0.005, 0]
    assert np.any((heard > onset - 0.5) & (heard < onset)), "the bank was speaking when it was interrupted"
    after = heard[heard >= onset]
    gaps = np.flatnonzero(np.diff(after) > 0.3)
    stopped = after[gaps[0]] if gaps.size else after[-1]
    # 0.6 s, and what the browser's jitter buffer still holds.
    assert stopped - onset < 0.6 + 0.2


def test_an_assistant_made_over_rest_is_chosen_and_talked_with(
    speak: Callable[..., Path], tmp_path: Path
) -> None:
    import httpx

    from support.platform_process import running

    store = f"sqlite:{tmp_path / 'store.db'}"
    command = [sys.executable, "-m", "antiphon", "keys", "create", "--name", "test", "--store", store]
    key = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
    desk = {
        "name": "Reception",
        "description": "Answers for the bank around the corner.",
        "prompt": "You are at the reception.",
        "public": True,
        "examples": ["When are you open?"],
        "stt": {"provider": "local", "model": "moonshine-tiny"},
        "llm": {"provider": "local", "model": "scripted:bank"},
        "tts": {"provider": "local", "model": "espeak"},
    }
    balance = {
        "name": "get_balance",
        "description": "Look up how much money is in an account.",
        "function": {"name": "bank/get_balance"},
    }
    question = samples_of(speak("How much money do I have in my savings account?", lead=0.0, tail=0.0))
    recording = microphone(tmp_path / "question.wav", [GREETING, question, 20.0])
    with (
        running("--port", "0", "--store", store, folder=tmp_path) as served,
        httpx.Client(base_url=served.url, headers={"Authorization": f"Bearer {key}"}, timeout=20) as client,
    ):
        tool = client.post("/tools", json=balance).json()["id"]
        first = client.post("/assistants", json={**desk, "name": "First"})
        second = client.post("/assistants", json={**desk, "tools": [tool]})
        assert (first.status_code, second.status_code) == (201, 201), second.text
        with browser_page(f"{served.url}/?agent=Reception", recording) as page:
            page.get_by_text("Answers for the bank around the corner.").wait_for(timeout=10_000)
            page.get_by_text("eight thousand four hundred dollars").first.wait_for(timeout=40_000)
            assert "get_balance" in page.inner_text("body")
        query = {"assistant_id": second.json()["id"]}
        for _ in range(200):
            (call,) = client.get("/calls", params=query).json()["items"]
            if call["status"] == "completed":
                break
            time.sleep(0.1)
        assert (call["status"], call["end_reason"]) == ("completed", "caller_hangup")
        transcript = client.get(f"/calls/{call['id']}/transcript").json()["items"]
        spoken = [entry["text"] for entry in transcript if entry["role"] == "user"]
        assert any("savings" in text.lower() for text in spoken)
        assert call["metrics"]["turns"]
        assert client.get(f"/calls/{call['id']}/recording").content[:4] == b"OggS"


def test_a_tab_that_is_closed_in_the_middle_of_a_reply_ends_its_call(address: str, tmp_path: Path) -> None:
    import json
    from urllib.request import urlopen

    def calls() -> int:
        with urlopen(f"{address.rstrip('/')}/healthz", timeout=5) as answer:
            return int(json.load(answer)["calls"])

    with browser_page(address, microphone(tmp_path / "silence.wav", [20.0])) as page:
        page.get_by_text("Hello, this is").wait_for(timeout=20_000)
        assert calls() >= 1  # and perhaps one of a browser that went away a moment ago
        page.close()
        deadline = time.monotonic() + 25
        while calls() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert calls() == 0
