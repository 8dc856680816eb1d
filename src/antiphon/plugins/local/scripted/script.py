"""What a scripted assistant knows: intents, slots and replies.

Read from a file by `script_file.py`, or made from a conversation's tools by `tool_script.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from .calendar_words import DAY_WORDS
from .matching import Matcher, Phrases
from .slots import Slot, SlotReader
from .tokens import tokenize

ACTIONS = ("help", "repeat")


@dataclass(frozen=True)
class FollowUp:
    """A question after an intent is done, and the intent that "yes" starts."""

    ask: tuple[str, ...]
    intent: str


@dataclass(frozen=True)
class Intent:
    """Something that a caller may want.

    Attributes:
        name: as in the script.
        title: how to speak of it, as in "send money"; one with a title is offered as help.
        examples, keywords: see `matching.Phrases`.
        slots: the slots it needs, in the order in which they are asked for.
        optional: further slots it takes but does not ask for.
        defaults: values of slots that were not said.
        tool: the function it calls; None for an answer of its own.
        arguments: tool argument to slot, where the names differ or not all slots are passed on.
        say: the answer, or with a tool what is said while it runs.
        confirm: the question before the tool is called; none when there is nothing to lose.
        reply: the answer from the tool's result.
        replies: answers by the result's `outcome`.
        items: how to say each entry of a result's list, by the list's name.
        retry: outcome to the slot that is asked for again.
        ask: questions for slots, instead of the slots' own.
        cancelled: what to say when the caller calls it off.
        failed: what to say when the tool fails.
        follow_up: a question after it is done.
        action: one of `ACTIONS`, for what the model does itself.
    """

    name: str
    title: str = ""
    examples: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    slots: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    defaults: Mapping[str, str] = field(default_factory=dict)
    tool: str | None = None
    arguments: Mapping[str, str] = field(default_factory=dict)
    say: tuple[str, ...] = ()
    confirm: tuple[str, ...] = ()
    reply: tuple[str, ...] = ()
    replies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    items: Mapping[str, str] = field(default_factory=dict)
    retry: Mapping[str, str] = field(default_factory=dict)
    ask: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    cancelled: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    follow_up: FollowUp | None = None
    action: str | None = None

    @property
    def all_slots(self) -> tuple[str, ...]:
        return (*self.slots, *self.optional)

    @property
    def is_task(self) -> bool:
        """Whether it does something; small talk gives way to it."""
        return self.tool is not None or bool(self.slots)


@dataclass(frozen=True)
class Replies:
    """What the assistant says in every conversation; each is a choice of sentences, taken in turn."""

    fallback: tuple[str, ...] = (
        "Sorry, I did not get that.",
        "I am not sure what you mean.",
        "I did not quite catch that.",
    )
    can_do: tuple[str, ...] = ("I can {offers|list}.", "You can ask me to {offers|or}.")
    nothing_to_offer: tuple[str, ...] = ("I can only make a little small talk here.",)
    offer_human: tuple[str, ...] = ("I still did not get that. Would you like to talk to a person?",)
    say_again: tuple[str, ...] = ("Sorry, I still did not get that. Could you say it in other words?",)
    yes_or_no: tuple[str, ...] = ("Sorry, was that a yes or a no?", "I need a yes or a no.")
    how_can_i_help: tuple[str, ...] = ("What can I do for you?", "How can I help?")
    anything_else: tuple[str, ...] = ("Is there anything else I can do for you?",)
    take_your_time: tuple[str, ...] = ("Of course, take your time.", "Sure, I am here.")
    cancelled: tuple[str, ...] = ("Okay, I will leave it.", "All right, never mind.")
    resume: tuple[str, ...] = ("Shall we go on and {task}?",)
    refused: tuple[str, ...] = ("Okay, I will not do that.",)
    nothing_to_repeat: tuple[str, ...] = ("I have not said anything yet. How can I help?",)
    unavailable: tuple[str, ...] = ("I am sorry, I cannot do that right now.",)
    failed: tuple[str, ...] = ("I am sorry, something went wrong and I could not do that.",)
    refusal_reason: tuple[str, ...] = ("I am sorry, that did not work. {error}",)


@dataclass(frozen=True)
class Script:
    """Everything that a scripted assistant can understand and say.

    Attributes:
        name: shown in errors.
        greeting: the first words of a conversation.
        intents, slots: by name.
        synonyms: word to words and phrases that mean the same.
        replies: what is said in every conversation.
        human: the intent offered after two misunderstandings.
        goodbye: the intent that "no" to "anything else?" starts.
        currency: `"dollars"`, `"pounds"` or `"euros"`.
    """

    name: str
    greeting: tuple[str, ...] = ("Hello! How can I help you?",)
    intents: Mapping[str, Intent] = field(default_factory=dict)
    slots: Mapping[str, Slot] = field(default_factory=dict)
    synonyms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    replies: Replies = field(default_factory=Replies)
    human: str | None = None
    goodbye: str | None = None
    currency: str = "dollars"

    @cached_property
    def matcher(self) -> Matcher:
        """The matcher over the script's phrases; built once."""
        values: dict[str, Sequence[str]] = {
            slot.name: [phrase for phrase, _ in slot.phrases()]
            for slot in self.slots.values()
            if slot.type in ("choice", "money", "number")
        }
        values |= {slot.name: DAY_WORDS for slot in self.slots.values() if slot.type == "day"}
        return Matcher(
            {name: Phrases(intent.examples, intent.keywords) for name, intent in self.intents.items()},
            self.synonyms,
            values,
        )

    @cached_property
    def command_words(self) -> frozenset[str]:
        """The words of the examples and keywords, which no caller uses as a name."""
        texts = [text for intent in self.intents.values() for text in (*intent.examples, *intent.keywords)]
        return frozenset(token.text for text in texts for token in tokenize(text) if token.kind == "word")

    @cached_property
    def reader(self) -> SlotReader:
        """Reads the script's slots from sentences."""
        return SlotReader(self.slots, self.command_words)

    def slots_of(self, intent: Intent) -> list[Slot]:
        return [self.slots[name] for name in intent.all_slots]

    def offers(self) -> list[str]:
        """What the assistant can do, for help."""
        return [intent.title for intent in self.intents.values() if intent.title]
