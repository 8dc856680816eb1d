"""A conversation in which everything goes wrong leaves no word of it in the log, unless the level is debug."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest

from antiphon.models.chat_context import ToolCall
from antiphon.models.errors import ProviderError, ToolError
from antiphon.models.tools import RunContext, function_tool
from antiphon.observability import bind, log_handler
from antiphon.voice import Agent, SessionEvent
from support import virtual_time
from support.scripted import Answer, ScriptedLLM, ScriptedTTS, Speech, converse

# Words that occur in the conversation alone, and nowhere in the code.
PROMPT = "marzipan"
USER = ["walrus xylophone", "quokka", "axolotl", "narwhal tapir"]
AGENT = ["zeppelin", "gondola", "farthing"]
ARGUMENT = "platypus"
WORDS = re.compile("|".join([PROMPT, *" ".join([*USER, *AGENT]).split(), ARGUMENT]), re.IGNORECASE)


@function_tool
async def fails(animal: str, context: RunContext) -> str:
    """Raises what quotes its argument."""
    raise ValueError(f"no such animal: {animal}")


@function_tool
async def refuses(animal: str, context: RunContext) -> str:
    """Tells the model."""
    raise ToolError(f"{animal} is not for sale")


class BrokenAgent(Agent):
    async def on_user_turn_completed(self, _context: Any, message: Any) -> None:
        if "quokka" in message.content:
            raise KeyError(message.content)


class BrokenTTS(ScriptedTTS):
    def synthesize(self, text: str) -> Any:
        if "farthing" in text:
            raise RuntimeError(f"cannot say {text}")
        return super().synthesize(text)


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = log_handler("json", stream)
    logging.root.addHandler(handler)
    level = logging.root.level
    yield stream
    logging.root.removeHandler(handler)
    logging.root.setLevel(level)


async def misfortunes() -> None:
    bind(call_id="call_1")
    calls = [
        ToolCall("1", "fails", json.dumps({"animal": ARGUMENT})),
        ToolCall("2", "refuses", json.dumps({"animal": ARGUMENT})),
        ToolCall("3", ARGUMENT, f"{ARGUMENT}, not JSON"),
        ToolCall("4", "fails", f"{ARGUMENT}, not JSON"),
    ]
    llm = ScriptedLLM(
        {
            USER[0]: Answer(AGENT[0], calls=calls),
            USER[1]: Answer(AGENT[1], error=ProviderError("the model is overloaded")),
            USER[2]: Answer(AGENT[1], error=ValueError(f"cannot answer {USER[2]}")),
            USER[3]: Answer(AGENT[2]),
        }
    )
    speeches = [
        Speech(1 + 8 * i, 2.5 + 8 * i, text, 2.8 + 8 * i, interims=[(2 + 8 * i, text)])
        for i, text in enumerate(USER)
    ]

    def listener(event: Any) -> None:
        raise RuntimeError(f"a listener chokes on {event}")

    await converse(
        speeches,
        until=36,
        llm=llm,
        tts=BrokenTTS(length=1.0),
        agent=BrokenAgent(instructions=f"Say {PROMPT}.", tools=[fails, refuses]),
        script=[
            (0.1, lambda session: session.on(SessionEvent.CONVERSATION_ITEM_ADDED, listener)),
            (0.1, lambda session: session.on(SessionEvent.USER_INPUT_TRANSCRIBED, listener)),
            (33, lambda session: session.say(AGENT[0])),
        ],
        max_unrecoverable_errors=9,
    )


def test_at_level_info_no_word_of_the_conversation_is_logged(stream: io.StringIO) -> None:
    logging.root.setLevel(logging.INFO)
    virtual_time.run(misfortunes())
    entries = [json.loads(line) for line in stream.getvalue().splitlines()]
    said = "\n".join(f"{entry['message']} {entry.get('exception', '')}" for entry in entries)
    for expected in (
        "tool fails failed",
        "llm failed",
        "tts failed",
        "on_user_turn_completed failed",
        "a listener for",
    ):
        assert expected in said
    assert [line for line in stream.getvalue().splitlines() if WORDS.search(without_source(line))] == []
    assert {entry["fields"]["call_id"] for entry in entries if entry["logger"].startswith("antiphon")} == {
        "call_1"
    }


def test_at_level_debug_errors_show_their_words(stream: io.StringIO) -> None:
    logging.root.setLevel(logging.DEBUG)
    virtual_time.run(misfortunes())
    assert f"no such animal: {ARGUMENT}" in stream.getvalue()


def without_source(line: str) -> str:
    """A record without the lines of this file that its traceback shows."""
    entry = json.loads(line)
    lines = entry.get("exception", "").splitlines()
    quoted = {number + 1 for number, text in enumerate(lines) if __file__ in text}
    entry["exception"] = "\n".join(text for number, text in enumerate(lines) if number not in quoted)
    return json.dumps(entry)
