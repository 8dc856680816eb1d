"""The words of a reply: which sentence of the script, with which values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from .script import Intent, Script
from .slots import Value
from .speech import spoken_list, spoken_money, spoken_number
from .templates import MissingField, fields_of, render, sentence_case

_MAX_OFFERS = 4


class Phrasing:
    """Chooses and fills in a script's sentences. The choice depends on a number only, so that it can be repeated."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def pick(self, sentences: Sequence[str], turn: int) -> str:
        """One of some sentences, in turn."""
        return sentences[turn % len(sentences)] if sentences else ""

    def help(self, turn: int) -> str:
        """What the assistant can do; long lists are given in parts."""
        offers = self._script.offers()
        if not offers:
            return self.pick(self._script.replies.nothing_to_offer, turn)
        if len(offers) > _MAX_OFFERS:
            start = (turn * 2) % len(offers)
            offers = [offers[(start + i) % len(offers)] for i in range(_MAX_OFFERS)]
        return render(self.pick(self._script.replies.can_do, turn), {"offers": offers})

    def spoken(self, slot_name: str, value: Value) -> str:
        """A slot's value as it is said."""
        slot = self._script.slots[slot_name]
        if slot.type == "money":
            return spoken_money(Decimal(str(value)), self._script.currency)
        if slot.type == "number":
            return spoken_number(Decimal(str(value)))
        if slot.type in ("date", "time"):
            try:
                return render(f"{{value|{slot.type}}}", {"value": value})
            except MissingField:
                return str(value)
        text = str(value)
        return slot.labels.get(text, text.replace("_", " "))

    def fields(self, intent: Intent | None, slots: Mapping[str, Value], output: Any) -> dict[str, Any]:
        """The fields of a reply: the tool's result first, then the slots as they are said."""
        spoken: dict[str, Any] = {}
        if intent:
            known = {**intent.defaults, **slots}
            spoken = {
                name: self.spoken(name, value) for name, value in known.items() if name in self._script.slots
            }
        if not isinstance(output, Mapping):
            return {**spoken, "result": str(output)}
        items = intent.items if intent else {}
        listed = {
            name: [self._item(items[name], entry) for entry in entries]
            for name, entries in output.items()
            if name in items and isinstance(entries, list)
        }
        # A result's value that a slot can say is said the slot's way: "your mum", not "mum".
        labels = {
            name: self.spoken(name, value)
            for name, value in output.items()
            if isinstance(value, str)
            and name in self._script.slots
            and value in self._script.slots[name].values
        }
        return {**spoken, **output, **labels, **listed}

    def _item(self, sentence: str, entry: Any) -> str:
        fields = entry if isinstance(entry, Mapping) else {"item": entry}
        try:
            return render(sentence, fields, self._script.currency, capital=False)
        except MissingField:
            return _readable(entry)

    def ask(self, intent: Intent, slot_name: str, slots: Mapping[str, Value], turn: int) -> str:
        """The question for a slot."""
        sentences = intent.ask.get(slot_name) or self._script.slots[slot_name].ask
        return self._first_that_fits(sentences, self.fields(intent, slots, {}), turn)

    def confirm(self, intent: Intent, slots: Mapping[str, Value], turn: int) -> str:
        """The question whether to do it."""
        return self._first_that_fits(intent.confirm, self.fields(intent, slots, {}), turn)

    def words_to_last_value(self, intent: Intent, slots: Mapping[str, Value], turn: int) -> int:
        """How many words of the confirmation it takes to have heard every value in it."""
        question = self.confirm(intent, slots, turn).lower()
        spoken = [str(value).lower() for value in self.fields(intent, slots, {}).values()]
        ends = [question.rfind(value) + len(value) for value in spoken if value and value in question]
        return len(question[: max(ends)].split()) if ends else len(question.split()) // 2

    def own_answer(self, intent: Intent, slots: Mapping[str, Value], turn: int) -> str:
        """What the script says itself, without or before a tool."""
        return self._first_that_fits(intent.say, self.fields(intent, slots, {}), turn)

    def result(self, intent: Intent | None, fields: Mapping[str, Any], output: Any, turn: int) -> str:
        """The answer from a tool's result."""
        if intent:
            outcome = str(output.get("outcome", "")) if isinstance(output, Mapping) else ""
            sentences = intent.replies.get(outcome) or intent.reply
            if sentences:
                said = self._first_that_fits(sentences, fields, turn)
                if said or "" in sentences:
                    return said
        return self._plain(output)

    def failure(self, intent: Intent | None, fields: Mapping[str, Any], error: str, turn: int) -> str:
        """What to say when a tool failed; a reason that reads like a sentence is passed on."""
        if intent and intent.failed:
            return self._first_that_fits(intent.failed, {**fields, "error": error}, turn)
        reason = error.removeprefix("Error:").removeprefix("error:").strip()
        told_to_model = re.search(r"\b(?:tell|ask|inform) the (?:user|caller)\b", reason, re.IGNORECASE)
        if (
            not told_to_model
            and " " in reason
            and reason[-1:] in ".!"
            and not any(mark in reason for mark in "{}<>_\n")
        ):
            return self._first_that_fits(
                self._script.replies.refusal_reason, {"error": sentence_case(reason)}, turn
            )
        return self.pick(self._script.replies.failed, turn)

    def _first_that_fits(self, sentences: Sequence[str], fields: Mapping[str, Any], turn: int) -> str:
        """The sentence whose turn it is, or the next one whose fields are all there."""
        for offset in range(len(sentences)):
            sentence = sentences[(turn + offset) % len(sentences)]
            try:
                return render(sentence, fields, self._script.currency)
            except MissingField:
                continue
        # Better a sentence less than a gap in it.
        return next((s for s in sentences if not fields_of(s)), "")

    def _plain(self, output: Any) -> str:
        """A result that no sentence of the script fits."""
        if isinstance(output, Mapping):
            parts = [f"{str(key).replace('_', ' ')}: {_readable(value)}" for key, value in output.items()]
            return sentence_case(". ".join(parts) + ".") if parts else ""
        text = str(output).strip()
        if text in ("done", "null", ""):
            return "Done."
        return text if text[-1] in ".!?" else text + "."


def _readable(value: Any) -> str:
    if isinstance(value, list):
        return spoken_list([_readable(item) for item in value])
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_readable(item)}" for key, item in value.items())
    return str(value)


def without_last_question(text: str) -> str:
    """A reply without the question at its end, so that another can follow."""
    return re.sub(r"(^|(?<=[.!?]) )[^.!?]+\?$", "", text.strip()).strip()
