"""What to answer: the pure policy of a scripted conversation.

`Dialogue.answer(state, text)` and `Dialogue.tool_result(state, ...)` give the next state and what to say or call. They
hold nothing and know no clock but "today", so that `replay.py` can rebuild the state of a conversation from its log.

A task is an intent with the slots known so far. It goes: ask for what is missing, confirm if the script says so, call
the tool. At any point the caller may correct a slot, call it off, ask something in between or want something else.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .answers import (
    begins_with_yes,
    declines,
    is_cancel,
    is_correction,
    is_hold,
    is_noise,
    is_only_cancel,
    refuses,
    without_stop,
    yes_or_no,
)
from .dialogue_state import UNHEARD, Call, Question, State, Task, Turn
from .matching import is_light
from .phrasing import Phrasing, without_last_question
from .requests import split_answer, split_requests
from .script import Intent, Script
from .slots import Extraction, Slot, Value
from .tokens import words
from .tool_calls import arguments_of, task_of_call

ACCEPT = 0.5
SWITCH = 0.58
SURE = 0.75
_QUESTION = re.compile(
    r"^(?:(?:and|so|ok|but|hang|on|wait|hold|sorry|well|um|uh) )*(?:what|how|when|where)\b(?! about)"
)
_LAST_QUESTION = re.compile(r"[^.!?]+\?\s*$")
_ELLIPSIS = re.compile(r"^(?:and|what about|how about|ok and|also|or|then|the same|same|now)\b")


class Dialogue:
    """The policy for one script.

    Args:
        script: what it knows.
        today: the date that "tomorrow" counts from.
        offered: the names of the tools that may be called; None for all.
    """

    def __init__(
        self,
        script: Script,
        *,
        today: Callable[[], dt.date] = dt.date.today,
        offered: Collection[str] | None = None,
    ) -> None:
        self.script = script
        self.phrasing = Phrasing(script)
        self._offered = offered
        self._today = today

    def read(self, text: str, names: Sequence[str], asked: str | None = None) -> Extraction:
        """What a text says about some slots."""
        return self.script.reader.read(text, tuple(names), asked, self._today())

    def answer(self, state: State, text: str) -> Turn:
        """The reply to what the caller said."""
        state = replace(state, turns=state.turns + 1)
        # A "please" that comes after its sentence answers no question for a value.
        late_please = words(text) == ("please",) and state.question and state.question.kind == "slot"
        if is_noise(text) or late_please:
            return self._ask_again(state) if state.question else self._miss(state)
        if state.question and state.question.kind in ("slot", "confirm") and state.task:
            turn = self._in_task(state, state.task, state.question, text)
        elif state.question and state.question.kind in ("offer", "resume"):
            turn = self._answer_offer(state, state.question, text)
        else:
            turn = self._open_floor(state, text)
        return replace(turn, state=replace(turn.state, said=turn.say or turn.state.said, cut=False))

    def tool_result(
        self, state: State, tool: str, arguments: Mapping[str, Any], output: Any, *, failed: bool
    ) -> Turn:
        """The reply to a tool's result; `output` is text, or a mapping with the fields of the reply."""
        intent, task = task_of_call(self.script, state, tool, arguments)
        state = replace(state, task=None, question=None, recent=task or state.recent, misses=0)
        fields = self.phrasing.fields(intent, task.slots if task else {}, output)
        turn_index = state.turns
        if failed:
            say = self.phrasing.failure(intent, fields, str(output), turn_index)
        else:
            say = self.phrasing.result(intent, fields, output, turn_index)
        outcome = str(output.get("outcome", "")) if isinstance(output, Mapping) else ""
        if intent and task and not failed and outcome in intent.retry:
            slot = intent.retry[outcome]
            left = {name: value for name, value in task.slots.items() if name != slot}
            state = replace(state, task=Task(intent.name, left), question=Question("slot", slot))
            return Turn(replace(state, said=say), say)
        done = not failed and outcome in ("", "ok", "done")
        return self._with_next_question(state, intent, say, done)

    def greet(self, state: State) -> Turn:
        """The first words."""
        say = self.phrasing.pick(self.script.greeting, state.turns)
        return Turn(replace(state, said=say), say)

    def remind(self, state: State) -> Turn:
        """Say again what the caller is being asked, or what the assistant can do."""
        if state.question:
            return self._ask_again(state)
        say = self.phrasing.pick(self.script.replies.how_can_i_help, state.turns)
        return Turn(replace(state, said=say), say)

    # Turns with a task under way

    def _in_task(self, state: State, task: Task, question: Question, text: str) -> Turn:
        intent = self.script.intents[task.intent]
        asked = question.name if question.kind == "slot" else None
        if more := split_answer(
            self.script, text, intent, lambda said: self._answers(question, intent, said)
        ):
            text, state = more[0], replace(state, later=more[1])
        slot = self.script.slots[asked] if asked else None
        if slot and len(slot.values) == 2 and "both" in words(text) and not intent.confirm:
            text, later = slot.values
            state = replace(state, later=later)
        found = self.read(text, intent.all_slots, asked)
        changes = {name: value for name, value in found.values.items() if task.slots.get(name) != value}
        if is_hold(text) and len(words(text)) <= 4 and not changes and yes_or_no(text) is not False:
            # Heard before: it need not be heard again.
            waiting = replace(state, question=replace(question, heard_after=0))
            return Turn(waiting, self.phrasing.pick(self.script.replies.take_your_time, state.turns))
        other = self._other_subject(text, intent, found, question)
        if other is not None:
            return self._change_subject(state, task, other, text)
        # A free text would swallow a "no, never mind".
        bare_no = yes_or_no(text) is False and len(words(text)) <= 2 and not _only_yes_or_no(slot)
        if is_only_cancel(text) or (asked and bare_no):
            return self._cancel(state, task)
        if changes:
            return self._advance(replace(state, misses=0), Task(task.intent, {**task.slots, **changes}))
        if is_cancel(text) or refuses(text):
            return self._cancel(state, task)
        if question.kind == "confirm":
            answer = yes_or_no(text)
            if answer is True and question.name == UNHEARD:
                return self._ask_again(state)
            if answer is True:
                return self._carry_out(replace(state, misses=0), task)
            if answer is False:
                return self._cancel(state, task)
            return self._ask_again(state, self._not_understood(state, question), missed=True)
        if found.values:
            return self._advance(replace(state, misses=0), Task(task.intent, {**task.slots, **found.values}))
        if yes_or_no(text) is False and len(words(text)) <= 4:
            return self._cancel(state, task)
        return self._ask_again(state, self._not_understood(state, question), missed=True)

    def _answers(self, question: Question, intent: Intent, text: str) -> bool:
        """Whether a text answers a question about a task, and does nothing else."""
        if question.kind == "confirm":
            return begins_with_yes(text) and len(words(text)) <= 4
        found = self.read(text, intent.all_slots, question.name)
        return question.name in found.values and all(is_light(word) for word in found.leftover)

    def _other_subject(
        self, text: str, intent: Intent, found: Extraction, question: Question
    ) -> Intent | None:
        """The intent that the caller has turned to, if what was said is no answer."""
        if is_only_cancel(text) or (yes_or_no(text) is not None and len(words(text)) <= 3):
            return None
        slot = self.script.slots[question.name] if question.kind == "slot" else None
        own_words = set(words(" ".join((*intent.examples, *intent.keywords, *self._questions(intent)))))
        rest = [word for word in found.leftover if not is_light(word)]
        free_text = slot is not None and slot.type == "text"
        question_of_theirs = bool(_QUESTION.match(" ".join(words(text))))
        if not rest and not free_text and not question_of_theirs:
            return None
        # The words of our own question and task make an answer, unless they say something else outright.
        is_answer = free_text or (
            found.values and not question_of_theirs and all(word in own_words for word in rest)
        )
        scores = {match.intent: match.score for match in self.script.matcher.rank(text)}
        best = self.best_intent(text, SURE if is_answer else SWITCH)
        if best is None or best.name == intent.name or scores.get(intent.name, 0.0) >= scores[best.name]:
            return None
        small_talk = not best.is_task and best.action is None
        if small_talk and question.kind == "confirm" and begins_with_yes(text):
            return None
        unsure = is_cancel(text) and scores[best.name] < SURE
        return None if unsure or (not best.is_task and found.values and not free_text) else best

    def _questions(self, intent: Intent) -> list[str]:
        return [
            sentence
            for slot in self.script.slots_of(intent)
            for sentence in (*slot.ask, *intent.ask.get(slot.name, ()))
        ]

    def _change_subject(self, state: State, task: Task, other: Intent, text: str) -> Turn:
        question = state.question
        if question is not None and other.action == "repeat":
            repeated = self._start(state, other, text)
            return replace(
                repeated, state=replace(state, misses=0, question=replace(question, name=_said(question)))
            )
        leaving = other.name in (self.script.human, self.script.goodbye)
        if other.action or not (other.is_task or leaving):
            lead = without_last_question(self._start(state, other, text).say)
            return self._ask_again(replace(state, misses=0), lead)
        kept = task if task.slots and not leaving else None
        return self._start(replace(state, task=None, question=None, suspended=kept, later=""), other, text)

    def _cancel(self, state: State, task: Task) -> Turn:
        intent = self.script.intents[task.intent]
        say = self.phrasing.pick(intent.cancelled or self.script.replies.cancelled, state.turns)
        more = self.phrasing.pick(self.script.replies.anything_else, state.turns)
        recent = task if task.slots else state.recent
        state = replace(state, task=None, question=None, recent=recent, misses=0, suspended=None, later="")
        return Turn(state, f"{say} {more}")

    # Turns without one

    def _answer_offer(self, state: State, question: Question, text: str) -> Turn:
        answer = yes_or_no(text)
        open_state = replace(state, question=None)
        # "no" alone is no reason to hang up.
        best = self.best_intent(text, SWITCH) if answer is None or len(words(text)) > 3 else None
        if answer is True and (best is None or not best.is_task or best.name == question.name):
            if question.kind == "resume" and state.suspended:
                return self._advance(replace(open_state, suspended=None, misses=0), state.suspended)
            offered = self.script.intents[question.name]
            return self._start(replace(open_state, misses=0), offered, text, self._shared(state, offered))
        if (answer is False or is_cancel(text)) and (best is None or not best.is_task):
            more = self.phrasing.pick(self.script.replies.how_can_i_help, state.turns)
            if question.kind == "resume" and state.suspended:
                return self._cancel(open_state, state.suspended)
            return Turn(replace(open_state, suspended=None, misses=0), f"Okay. {more}")
        if question.kind == "resume" and state.suspended:
            intent = self.script.intents[state.suspended.intent]
            found = self.read(text, intent.all_slots)
            if found.values and best is None:
                return self._advance(
                    replace(open_state, suspended=None),
                    Task(intent.name, {**state.suspended.slots, **found.values}),
                )
        return self._open_floor(replace(open_state, suspended=None), text)

    def _open_floor(self, state: State, text: str) -> Turn:
        state, text = replace(state, later=""), without_stop(text)
        requests = split_requests(self.script, text, self.read)
        first = self.best_intent(requests[0], ACCEPT) if requests else None
        if requests and first and self._can(first):
            return self._start(replace(state, misses=0, later=requests[1]), first, requests[0])
        best = None if is_only_cancel(text) else self.best_intent(text, ACCEPT)
        if refuses(text) and (best is None or best.is_task) and yes_or_no(text) is not True:
            return Turn(replace(state, misses=0), self._with_offer(self.script.replies.refused, state))
        again = self._same_again(state, text, best)
        if again is not None:
            return self._advance(replace(state, misses=0), again)
        if best is not None and not (declines(text) and not best.is_task):
            return self._start(replace(state, misses=0), best, text)
        return self._short_answer(state, text) or self._answer_to_own_words(state, text) or self._miss(state)

    def _answer_to_own_words(self, state: State, text: str) -> Turn | None:
        """A few words after a question that the application asked itself, as "Which city's weather would you like?"."""
        asked = _LAST_QUESTION.search(state.said)
        if asked is None or len(words(text)) > 4 or _QUESTION.match(" ".join(words(text))):
            return None
        intent = self.best_intent(asked[0], ACCEPT)
        if intent is None or not intent.slots or not self._can(intent):
            return None
        found = self.read(text, intent.all_slots, intent.slots[0])
        if not found.values:
            return None
        return self._advance(replace(state, misses=0), Task(intent.name, found.values))

    def _short_answer(self, state: State, text: str) -> Turn | None:
        """A yes, no, "never mind" or "hang on" that answers no question of ours."""
        replies = self.script.replies
        if len(words(text)) > 6 and not declines(text):
            return None
        answer = yes_or_no(text)
        calm = replace(state, misses=0)
        if is_hold(text):
            return Turn(calm, self.phrasing.pick(replies.take_your_time, state.turns))
        asked = state.turns > 1 and state.said.rstrip().endswith("?") and not state.cut
        if answer is False and asked and self.script.goodbye:
            return self._start(calm, self.script.intents[self.script.goodbye], text)
        if is_cancel(text) or answer is False:
            return Turn(calm, self._with_offer(replies.cancelled, state))
        if answer is True:
            return Turn(calm, self.phrasing.pick(replies.how_can_i_help, state.turns))
        return None

    def _with_offer(self, sentences: Sequence[str], state: State) -> str:
        more = self.phrasing.pick(self.script.replies.anything_else, state.turns)
        return f"{self.phrasing.pick(sentences, state.turns)} {more}"

    def _same_again(self, state: State, text: str, best: Intent | None) -> Task | None:
        """The last task with other values, as in "and on Sunday?" or "make it sixty"."""
        if state.recent is None:
            return None
        intent = self.script.intents[state.recent.intent]
        found = self.read(text, intent.all_slots)
        lead = _ELLIPSIS.match(" ".join(words(text)))
        if not found.values and len(intent.all_slots) == 1 and best is None:
            value = text.split()[len(lead[0].split()) :] if lead else []
            if 0 < len(value) <= 3:
                found = self.read(" ".join(value), intent.all_slots, intent.all_slots[0])
        said_anyway = ("same", "said", "meant", "wait", *(lead[0].split() if lead else ()))
        rest = [word for word in found.leftover if not is_light(word) and word not in said_anyway]
        elliptic = bool(lead) or is_correction(text) or len(words(text)) <= 3
        if not found.values or rest or not elliptic:
            return None
        again = Task(intent.name, {**state.recent.slots, **found.values})
        return again if is_correction(text) or self._missing(again) is None else None

    def _miss(self, state: State) -> Turn:
        """Not understood: say so, say what is possible, and after two in a row offer a person."""
        misses = state.misses + 1
        state = replace(state, misses=misses)
        replies = self.script.replies
        if misses >= 2 and self.script.human and self._can(self.script.intents[self.script.human]):
            say = self.phrasing.pick(replies.offer_human, misses)
            return Turn(replace(state, question=Question("offer", self.script.human)), say)
        if misses >= 3:
            return Turn(state, self.phrasing.pick(replies.say_again, misses))
        return Turn(
            state,
            f"{self.phrasing.pick(replies.fallback, state.turns)} {self.phrasing.help(state.turns)}".strip(),
        )

    # Steps of a task

    def best_intent(self, text: str, threshold: float) -> Intent | None:
        """The best intent above a threshold; in several sentences, small talk gives way to a goodbye, and both to a task."""
        tops = [matches[0] for matches in self.script.matcher.rank_segments(text) if matches]
        tops = sorted((top for top in tops if top.score >= threshold), key=lambda top: -top.score)
        intents = [self.script.intents[top.intent] for top in tops]
        farewells = [intent for intent in intents if intent.name == self.script.goodbye]
        tasks = [intent for intent in intents if intent.is_task and intent not in farewells]
        return next(iter([*tasks, *farewells, *intents]), None)

    def _can(self, intent: Intent) -> bool:
        return intent.tool is None or self._offered is None or intent.tool in self._offered

    def _shared(self, state: State, intent: Intent) -> dict[str, Value]:
        """What the last task found out that an intent needs too."""
        known = state.recent.slots if state.recent else {}
        return {name: value for name, value in known.items() if name in intent.all_slots}

    def _start(
        self, state: State, intent: Intent, text: str, known: Mapping[str, Value] | None = None
    ) -> Turn:
        if intent.action == "repeat":
            say = state.said or self.phrasing.pick(self.script.replies.nothing_to_repeat, state.turns)
            return Turn(state, say)
        if intent.action == "help":
            return Turn(
                state,
                f"{self.phrasing.pick(intent.say, state.turns)} {self.phrasing.help(state.turns)}".strip(),
            )
        if not self._can(intent):
            say = self.phrasing.pick(self.script.replies.unavailable, state.turns)
            return Turn(replace(state, task=None, question=None), say)
        found = self.read(text, intent.all_slots)
        return self._advance(state, Task(intent.name, {**(known or {}), **found.values}))

    def _advance(self, state: State, task: Task) -> Turn:
        """Ask for the first missing slot; with none missing confirm; with nothing to confirm do it."""
        intent = self.script.intents[task.intent]
        missing = self._missing(task)
        state = replace(state, task=task)
        if missing is not None:
            state = replace(state, question=Question("slot", missing))
        elif intent.confirm:
            state = replace(
                state, question=Question("confirm", heard_after=self._confirm_heard_after(state, task))
            )
        else:
            return self._carry_out(state, task)
        return Turn(state, self._question_text(state))

    def _missing(self, task: Task) -> str | None:
        """The first slot that has to be asked for."""
        intent = self.script.intents[task.intent]
        return next((s for s in intent.slots if s not in task.slots and s not in intent.defaults), None)

    def _confirm_heard_after(self, state: State, task: Task) -> int:
        intent = self.script.intents[task.intent]
        return self.phrasing.words_to_last_value(intent, task.slots, state.turns)

    def _question_text(self, state: State) -> str:
        if state.task is None or state.question is None:
            return ""
        intent = self.script.intents[state.task.intent]
        if state.question.kind == "slot":
            return self.phrasing.ask(intent, state.question.name, state.task.slots, state.turns)
        return self.phrasing.confirm(intent, state.task.slots, state.turns)

    def _ask_again(self, state: State, lead: str = "", *, missed: bool = False) -> Turn:
        """Repeat the open question after a few other words; after too many misses offer a person."""
        misses = state.misses + missed
        human = self.script.human
        if misses > 2 and human and self._can(self.script.intents[human]):
            state = replace(
                state, misses=misses, task=None, suspended=None, later="", question=Question("offer", human)
            )
            return Turn(state, self.phrasing.pick(self.script.replies.offer_human, misses))
        question = self._question_text(state) if state.task else state.said
        if state.question and state.question.kind == "confirm" and state.task:
            heard_after = self._confirm_heard_after(state, state.task) + len(lead.split())
            state = replace(state, question=Question("confirm", heard_after=heard_after))
        return Turn(replace(state, misses=misses), f"{lead} {question}".strip())

    def _not_understood(self, state: State, question: Question) -> str:
        """What was wrong about an answer."""
        if question.kind == "confirm":
            return self.phrasing.pick(self.script.replies.yes_or_no, state.misses + 1)
        hint = self.script.slots[question.name].hint
        return hint or self.phrasing.pick(self.script.replies.fallback, state.turns)

    def _carry_out(self, state: State, task: Task) -> Turn:
        intent = self.script.intents[task.intent]
        state = replace(state, task=task, question=None)
        slots = {**self._defaults(intent), **task.slots}
        if intent.tool is None:
            say = self.phrasing.own_answer(intent, slots, state.turns)
            state = replace(state, task=None, recent=task if intent.slots else state.recent)
            return self._with_next_question(state, intent, say, True)
        if not self._can(intent):
            say = self.phrasing.pick(self.script.replies.unavailable, state.turns)
            return Turn(replace(state, task=None), say)
        call = Call(intent.tool, arguments_of(intent, slots))
        return Turn(state, self.phrasing.own_answer(intent, slots, state.turns), call)

    def _defaults(self, intent: Intent) -> dict[str, Value]:
        return dict(intent.defaults)

    def _second_request(self, state: State, said: str) -> Turn:
        """Turn to the other thing that the caller asked for, after what there was to say about the first."""
        text, state = state.later, replace(state, later="", said=said)
        intent = self.best_intent(text, ACCEPT)
        if again := self._same_again(state, text, intent):
            turn = self._advance(state, again)
        elif intent is not None:
            shared = {name: v for name, v in self._shared(state, intent).items() if name in intent.slots}
            turn = self._start(state, intent, text, shared)
        else:
            return Turn(state, said)
        question = turn.state.question
        if question is not None and question.heard_after:
            question = replace(question, heard_after=question.heard_after + len(said.split()))
        say = f"{said} {turn.say}".strip()
        return replace(turn, state=replace(turn.state, question=question, said=say), say=say)

    def _with_next_question(self, state: State, intent: Intent | None, say: str, done: bool) -> Turn:
        """Go on to the second request, or add the follow-up of an intent, or the offer to go on with a suspended task."""
        if state.later:
            return self._second_request(state, without_last_question(say))
        if intent and intent.name in (self.script.human, self.script.goodbye):
            return Turn(replace(state, said=say or state.said, suspended=None), say)
        if intent and done and intent.follow_up and self._can(self.script.intents[intent.follow_up.intent]):
            ask, say = self.phrasing.pick(intent.follow_up.ask, state.turns), without_last_question(say)
            question = Question("offer", intent.follow_up.intent, heard_after=len(say.split()) + 2)
            say = f"{say} {ask}".strip()
            return Turn(replace(state, question=question, said=say), say)
        if state.suspended and intent and intent.is_task:
            title = self.script.intents[state.suspended.intent].title or "continue"
            ask = self.phrasing.pick(self.script.replies.resume, state.turns).replace("{task}", title)
            say = without_last_question(say)
            say, question = f"{say} {ask}".strip(), Question("resume", heard_after=len(say.split()) + 2)
            return Turn(replace(state, question=question, said=say), say)
        return Turn(replace(state, said=say or state.said), say)


def _only_yes_or_no(slot: Slot | None) -> bool:
    return slot is not None and slot.type == "yes_no"


def _said(question: Question) -> str:
    """The name of a question that is asked again in full."""
    return "" if question.kind == "confirm" else question.name
