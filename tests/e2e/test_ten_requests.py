"""`antiphon talk` on ten spoken requests that the bank's file does not list, in two voices: ten right answers each."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

AT_ONCE = 5  # conversations run in real time, and each needs a fraction of a core


@dataclass(frozen=True)
class Request:
    """What the caller says, the tool that must run (None: a question comes first) and words of the answer."""

    text: str
    tool: str | None
    answer: tuple[str, ...]


REQUESTS = [
    Request("How much cash have I got left in checking?", "get_balance", ("checking", "fifty dollars")),
    Request("Could you tell me what is left in my savings?", "get_balance", ("savings", "four hundred")),
    Request("My credit card was stolen, freeze it right away.", None, ("credit card", "?")),
    Request("Can you cancel my credit card for me?", None, ("credit card", "?")),
    Request("What time do you open on Friday morning?", "get_opening_hours", ("Friday", "nine")),
    Request("When does the bank close on Thursday?", "get_opening_hours", ("Thursday", "seven")),
    Request(
        "Please move two hundred dollars to my landlord.", None, ("two hundred dollars", "landlord", "?")
    ),
    Request("What are my latest transactions?", "list_transactions", ("latest payments",)),
    Request("I would rather speak with a real person.", "transfer_to_human", ("colleague",)),
    Request("Thanks, that is everything. Goodbye.", "end_conversation", ("oodbye",)),
]


async def talk(wav: Path, folder: Path) -> dict[str, Any]:
    report = folder / f"{wav.stem}.json"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "antiphon", "talk", "--assistant", "bank", "--quiet",
        "--wav", str(wav), "--report", str(report),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(90):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, output.decode()
    return dict(json.loads(report.read_text()))


@pytest.mark.slow
@pytest.mark.needs("flite")
@pytest.mark.time_limit(300)
@pytest.mark.parametrize("voice", ["slt", "awb"])
def test_ten_requests_get_ten_right_answers(voice: str, speak: Callable[..., Path], tmp_path: Path) -> None:
    async def all_of_them() -> list[dict[str, Any]]:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(request: Request) -> dict[str, Any]:
            async with gate:
                return await talk(speak(request.text, voice), tmp_path)

        return await asyncio.gather(*(one(request) for request in REQUESTS))

    wrong = []
    for request, report in zip(REQUESTS, asyncio.run(all_of_them()), strict=True):
        (turn, *more) = report["turns"]
        tools = [tool["name"] for tool in turn["tools"] if tool["ok"]]
        right = (
            not more
            and report["closed"] is True
            and tools == ([request.tool] if request.tool else [])
            and all(words in turn["agent_text"] for words in request.answer)
        )
        if not right:
            wrong.append((request.text, turn["user_text"], tools, turn["agent_text"]))
    assert wrong == []
