"""The state of a conversation, rebuilt from its log.

The model keeps nothing between replies: it plays the caller's turns through the policy again and corrects its own part
by what the log says was heard and done. So interruptions, hand-offs between agents and lost processes need no care.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ....models.chat_context import ChatMessage, ToolCall
from .answers import is_cancel, is_hold, is_noise, yes_or_no
from .dialogue import Dialogue
from .dialogue_state import UNHEARD, Question, State, Task, Turn
from .recognition import recognise_question
from .tokens import words

REPLY_INSTRUCTIONS = "reply_instructions"


def next_turn(dialogue: Dialogue, messages: Iterable[ChatMessage]) -> Turn:
    """The assistant's next turn in a conversation."""
    replay = _Replay(dialogue)
    for message in messages:
        replay.read(message)
    return replay.answer()


class _Replay:
    def __init__(self, dialogue: Dialogue) -> None:
        self._dialogue = dialogue
        self._state = State()
        self._before = State()
        self._planned: Turn | None = None  # the reply to the last thing that asked for one
        self._due = False  # whether that reply is still owed
        self._heard = 0  # words of it that the caller heard
        self._made_call = False
        self._tells_result = False  # whether the planned reply tells what a tool did
        self._calls: dict[str, ToolCall] = {}
        self._instructions: str | None = None

    def read(self, message: ChatMessage) -> None:
        if message.role == "user":
            self._user(message.content)
        elif message.role == "tool":
            self._tool_result(message)
        elif message.role == "assistant":
            self._assistant(message)
        elif message.extra.get("kind") == REPLY_INSTRUCTIONS:
            self._instructions = message.content

    def answer(self) -> Turn:
        if self._due and self._planned is not None:
            return self._planned
        if self._instructions is not None:
            return follow_instructions(self._dialogue, self._state, self._instructions)
        if self._state.turns == 0 and not self._state.said:
            return self._dialogue.greet(self._state)
        return self._dialogue.remind(self._settled())

    def _user(self, text: str) -> None:
        self._before = self._settled()
        again = self._untold_result(text)
        self._planned = again or self._dialogue.answer(self._before, text)
        self._state = self._planned.state
        self._due, self._heard, self._made_call, self._tells_result = True, 0, False, again is not None
        self._instructions = None

    def _untold_result(self, text: str) -> Turn | None:
        """What a tool did, if the caller talked over nearly all of it and asks for nothing else: "yes ... go ahead"."""
        planned = self._planned
        if planned is None or not self._tells_result or self._heard > len(planned.say.split()) // 3:
            return None
        waits = (yes_or_no(text) is True or is_noise(text)) and not (is_hold(text) or is_cancel(text))
        return planned if waits and len(words(text)) <= 4 else None

    def _settled(self) -> State:
        """The state as the caller knows it: without what was never heard or never done."""
        state, planned = self._state, self._planned
        if planned is None:
            return state
        if planned.call is not None and not self._made_call:
            # The call was dropped with the reply that it belonged to: nothing has happened yet.
            question = self._before.question if self._before.task else None
            return replace(
                self._before, turns=state.turns, task=state.task, question=question or _go_on(state.task)
            )
        state = replace(state, cut=self._heard < _words_that_ask(planned.say))
        question = state.question
        if question is None or (self._heard > 0 and self._heard >= question.heard_after):
            return state
        # Not asked as far as the caller knows: a value still counts, but a bare "yes" does not.
        if question.kind == "slot":
            return state
        if question.kind == "confirm":
            return replace(state, question=replace(question, name=UNHEARD))
        return replace(state, question=None)

    def _assistant(self, message: ChatMessage) -> None:
        if message.tool_calls:
            self._made_call = True
            self._calls.update((call.id, call) for call in message.tool_calls)
        text = message.content.strip()
        if not text:
            return
        self._instructions = None
        words = len(text.split())
        if self._planned is not None and _is_start_of(text, self._planned.say):
            self._heard += words if message.interrupted else max(words, len(self._planned.say.split()))
        elif (found := recognise_question(self._dialogue, text)) is not None:
            # Words of ours whose turn is not in the log, as when its beginning was cut off.
            task, question = found
            self._state = replace(self._state, task=task, question=question, said=text)
            self._heard += words
        else:
            self._state = replace(self._state, said=text)
            self._heard += words
        self._due = (
            self._due and self._planned is not None and self._planned.call is not None and not self._made_call
        )

    def _tool_result(self, message: ChatMessage) -> None:
        call = self._calls.get(message.tool_call_id or "")
        name = call.name if call else str(message.extra.get("name", ""))
        failed = bool(message.extra.get("is_error")) or bool(re.match(r"(?i)error\b", message.content))
        self._planned = self._dialogue.tool_result(
            self._state,
            name,
            _object(call.arguments if call else ""),
            _output(message.content),
            failed=failed,
        )
        self._state = self._planned.state
        if self._planned.call is not None:
            self._before = replace(self._state, task=None, question=None)
        self._due, self._heard, self._made_call, self._tells_result = True, 0, False, True


def _words_that_ask(say: str) -> int:
    """How many words of a reply must have been heard for its last sentence to have been said: half of that sentence's."""
    last = re.split(r"(?<=[.!?])\s+", say.strip())[-1]
    return len(say.split()) - len(last.split()) // 2


def _go_on(task: Task | None) -> Question | None:
    return Question("confirm", UNHEARD) if task else None


def follow_instructions(dialogue: Dialogue, state: State, instructions: str) -> Turn:
    """What to say when the application asks for a reply in its own words.

    Greetings are the script's; a quoted text is said as it is; "tell the user that ..." is passed on; anything else
    brings back the open question.
    """
    quoted = re.search(r"[\"“]([^\"”]{2,})[\"”]|(?<!\w)'([^']{4,})'(?!\w)", instructions)
    if quoted:
        return Turn(state, (quoted[1] or quoted[2]).strip())
    if re.search(
        r"\b(?:greet|welcome|hello|introduce|start the (?:call|conversation))", instructions, re.IGNORECASE
    ):
        return dialogue.greet(state)
    told = re.search(
        r"\b(?:tell|inform|say to|let) (?:the )?(?:user|caller|customer|them|him|her)(?: know)?,? (?:that )?(.+)",
        instructions,
        re.IGNORECASE | re.DOTALL,
    ) or re.search(r"\bsay(?: that)? (.+)", instructions, re.IGNORECASE | re.DOTALL)
    if told and not re.match(r"(?:goodbye|bye)\b", told[1], re.IGNORECASE):
        said = told[1].strip()
        return Turn(state, said[0].upper() + said[1:] + ("" if said[-1] in ".!?" else "."))
    if re.search(r"\b(?:goodbye|bye|farewell)\b", instructions, re.IGNORECASE):
        goodbye = dialogue.script.intents.get(dialogue.script.goodbye or "")
        said = dialogue.phrasing.pick(goodbye.say or goodbye.reply, state.turns) if goodbye else ""
        return Turn(state, said or "Goodbye!")
    if re.search(
        r"\b(?:still there|silent|silence|quiet|away|not (?:said|spoken|responded))\b",
        instructions,
        re.IGNORECASE,
    ):
        return Turn(state, f"Are you still there? {dialogue.remind(state).say}")
    if re.search(r"\bapologi[sz]e|\bsorry\b", instructions, re.IGNORECASE):
        return Turn(state, f"I am sorry about that. {dialogue.remind(state).say}")
    return dialogue.greet(state) if not state.turns and not state.said else dialogue.remind(state)


def _is_start_of(heard: str, planned: str) -> bool:
    """Whether a text is what we planned to say, or its beginning."""
    said, plan = (re.findall(r"\w+", text.lower()) for text in (heard, planned))
    if not said or not plan:
        return False
    common = min(len(said), len(plan))
    # The last word may be cut in the middle.
    return said[: common - 1] == plan[: common - 1] and (
        plan[common - 1].startswith(said[common - 1]) or common > 3
    )


def _object(text: str) -> Mapping[str, Any]:
    decoded = _output(text)
    return decoded if isinstance(decoded, Mapping) else {}


def _output(text: str) -> Any:
    """A tool's result: the fields of a JSON object, or the text."""
    try:
        decoded = json.loads(text)
    except ValueError:
        return text
    return decoded if isinstance(decoded, dict) else text
