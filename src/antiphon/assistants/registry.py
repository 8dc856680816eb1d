"""The built-in assistants by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..models.errors import ConfigurationError

if TYPE_CHECKING:
    from ..voice import Agent


@dataclass(frozen=True)
class AssistantDefinition:
    """An assistant that can be talked with.

    Attributes:
        name: as in `--assistant bank`.
        title: for people.
        description: what it does, in a sentence.
        examples: things to say to it.
        create_agent: makes a fresh agent for one conversation.
        stt, llm, tts: the models that it runs on, as in `"local/moonshine-tiny"`; all work without a network.
        vad: the voice activity detector.
    """

    name: str
    title: str
    description: str
    examples: tuple[str, ...]
    create_agent: Callable[[], Agent]
    stt: str = "local/moonshine-tiny"
    llm: str = "local/scripted"
    tts: str = "local/espeak"
    vad: str = "silero/vad"


def assistant_names() -> list[str]:
    """The names that `load_assistant` knows."""
    return sorted(_ASSISTANTS)


def load_assistant(name: str) -> AssistantDefinition:
    """The assistant of a name.

    Raises:
        ConfigurationError: there is none of that name; the message lists those there are.
    """
    definition = _ASSISTANTS.get(name)
    if definition is None:
        known = ", ".join(assistant_names())
        raise ConfigurationError(f"There is no assistant {name!r}. Known assistants: {known}.")
    return definition


def _bank_agent() -> Agent:
    from .bank.agent import BankAgent

    return BankAgent()


_ASSISTANTS = {
    "bank": AssistantDefinition(
        name="bank",
        title="Bank",
        description="Tells your balance, sends money, blocks a card and gives opening hours, over a made-up bank.",
        examples=(
            "What's my savings balance?",
            "Send fifty dollars to Alice.",
            "I've lost my debit card.",
            "When are you open on Saturday?",
            "Can I talk to a person?",
        ),
        create_agent=_bank_agent,
        llm="local/scripted:bank",
    ),
}
