"""The assistant document: who answers a call, with which models, and how it behaves.

It checks itself as far as its own text goes; whether the models it names can be used here is `assistant_check`'s business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from .document import SECRET, Document, Name, Secret, SecretHeaders, SigningSecret, Url

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_SECRET_NAME = re.compile(r"api[-_]?key|secret|password|token$|authorization", re.IGNORECASE)

Text = Annotated[str, Field(max_length=2000)]
Example = Annotated[str, Field(max_length=200)]
Level = Annotated[float, Field(ge=-90, le=-6)]
# A bare name: a path would let whoever may write assistants read files of the server.
SoundName = Annotated[str, Field(pattern=r"^(room_tone|typing|[A-Za-z0-9][A-Za-z0-9_-]{0,95}\.wav)$")]


def _check_language(tag: str) -> str:
    if not _LANGUAGE.fullmatch(tag):
        raise ValueError('must be a language tag, as "en", "en-GB" or "hi-IN"')
    return tag


def _check_texts(texts: list[str]) -> list[str]:
    if any(not text.strip() for text in texts):
        raise ValueError("must not hold an empty text")
    return texts


def _check_options(options: dict[str, Any]) -> dict[str, Any]:
    """Only `api_key` is encrypted and masked, so a key must not hide among the options."""
    for name in _names(options):
        if _SECRET_NAME.search(name):
            raise ValueError(f"{name!r} looks like a secret; put the key into api_key, where it is encrypted")
    return options


def _names(value: Any) -> Iterator[str]:
    """The names of all members, at any depth."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield from item
        if isinstance(item, dict | list):
            waiting += item.values() if isinstance(item, dict) else item


Texts = Annotated[list[Text], Field(max_length=20), AfterValidator(_check_texts)]


Destinations = Annotated[
    dict[
        Annotated[str, Field(pattern=r"^[\w .-]{1,64}$")],
        Annotated[str, Field(pattern=r"^(\+[1-9][0-9]{6,14}|sips?:[^\s@]+@[^\s@]+)$", max_length=256)],
    ],
    Field(max_length=50),
]


class Mode(StrEnum):
    """How speech becomes speech.

    `cascade`: recogniser, language model, voice. `pipeline`: a realtime model listens and answers in text, a voice
    speaks it. `realtime`: one model listens and speaks.
    """

    CASCADE = "cascade"
    PIPELINE = "pipeline"
    REALTIME = "realtime"


class ModelChoice(Document):
    """A model of a provider.

    Attributes:
        provider: the vendor's plugin, as `"local"`.
        model: which of its models; empty: the vendor's default.
        voice: the voice of a TTS, the language of an STT.
        options: settings that the plugin understands.
        api_key: a key of the assistant's own; null: that of the environment.
    """

    provider: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=50)
    model: str = Field(default="", max_length=200, pattern=r"^\S*$")
    voice: str | None = Field(default=None, min_length=1, max_length=200, pattern=r"^\S+$")
    options: Annotated[dict[str, Any], AfterValidator(_check_options)] = Field(default_factory=dict)
    api_key: Annotated[Secret | None, SECRET] = None

    @property
    def registry_name(self) -> str:
        """As `models.registry` wants it: `vendor/model:voice`."""
        name = f"{self.provider}/{self.model}" if self.model or self.voice else self.provider
        return f"{name}:{self.voice}" if self.voice else name


class SilenceReprompts(Document):
    """What happens when the caller says nothing: reprompts, then a goodbye and the end of the call.

    With an `instruction` the model writes the reprompts by it, in the language of the conversation; else `texts` are said
    in turn.
    """

    enabled: bool = True
    interval_seconds: float = Field(default=10.0, ge=1, le=60)
    count: int = Field(default=2, ge=0, le=5)
    texts: Texts = Field(
        default_factory=lambda: ["Are you still there?", "I can't hear you. Are you still on the line?"]
    )
    instruction: Text = ""
    goodbye: Text = "I can't hear anything, so I'll end the call now. Goodbye."

    @model_validator(mode="after")
    def _has_something_to_say(self) -> Self:
        if self.enabled and self.count and not self.texts and not self.instruction.strip():
            raise ValueError("texts is empty, so there is nothing to say; give a text or an instruction")
        return self


class Fillers(Document):
    """Short words that bridge the wait for a late reply; never in realtime mode."""

    enabled: bool = False
    after_seconds: float = Field(default=1.2, ge=0.2, le=10)
    texts: Texts = Field(default_factory=lambda: ["Let me see.", "One moment.", "Hm, just a second."])

    @model_validator(mode="after")
    def _has_something_to_say(self) -> Self:
        if self.enabled and not self.texts:
            raise ValueError("texts is empty, so there is nothing to say; give a text or switch fillers off")
        return self


class BackgroundSound(Document):
    """A quiet sound all through the call: `"room_tone"`, or the name of a WAV file in the platform's folder of sounds."""

    enabled: bool = False
    source: SoundName = "room_tone"
    level_dbfs: Level = -50.0


class ThinkingSound(Document):
    """A sound while the agent thinks: `"typing"`, or the name of a WAV file in the platform's folder of sounds."""

    enabled: bool = False
    source: SoundName = "typing"
    level_dbfs: Level = -40.0


class MaxDuration(Document):
    """How long a call may last; the announcement is spoken before the hang-up."""

    seconds: float = Field(default=1800.0, ge=10, le=86_400)
    announcement: Text = "We have reached the time limit for this call, so I have to end it here. Goodbye."


class Interruptions(Document):
    """Whether and when the caller interrupts the agent, and how long the agent waits before it answers."""

    allowed: bool = True
    min_duration_seconds: float = Field(default=0.5, ge=0, le=5)
    min_words: int = Field(default=0, ge=0, le=10)
    resume_after_false_interruption: bool = True
    false_interruption_seconds: float = Field(default=2.0, ge=0.1, le=10)
    min_endpointing_seconds: float = Field(default=0.5, ge=0, le=10)
    max_endpointing_seconds: float = Field(default=3.0, ge=0.1, le=20)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min_endpointing_seconds > self.max_endpointing_seconds:
            raise ValueError("min_endpointing_seconds must not be above max_endpointing_seconds")
        return self


class TurnDetection(StrEnum):
    """What tells that the caller has finished: their words (auto) or voice (audio), and how long silence lasts (vad)."""

    AUTO = "auto"
    AUDIO = "audio"
    VAD = "vad"


class Interaction(Document):
    """How the assistant behaves in a call, beyond what it says."""

    silence: SilenceReprompts = SilenceReprompts()
    fillers: Fillers = Fillers()
    input_guard_seconds: float = Field(default=0.0, ge=0, le=10)
    background_sound: BackgroundSound = BackgroundSound()
    thinking_sound: ThinkingSound = ThinkingSound()
    max_duration: MaxDuration = MaxDuration()
    interruptions: Interruptions = Interruptions()
    turn_detection: TurnDetection = TurnDetection.AUTO


class EndCall(Document):
    """The agent's own way to end a call.

    Attributes:
        enabled: whether the agent may hang up; its model then has a tool for it.
        phrase: once the agent has said this, the call ends; empty: there is no such phrase.
        message: spoken before the hang-up; empty: nothing is.
    """

    enabled: bool = True
    phrase: str = Field(default="", max_length=300, pattern=r"^$|\w")
    message: str = Field(default="Goodbye.", max_length=300)


class EndCallWebhook(Document):
    """Who is told when a call has ended."""

    url: Url
    headers: Annotated[SecretHeaders, SECRET] = Field(default_factory=dict)
    secret: Annotated[SigningSecret | None, SECRET] = None
    timeout_seconds: float = Field(default=30.0, ge=1, le=120)
    attempts: int = Field(default=8, ge=1, le=20)


class Assistant(Document):
    """An assistant as it is stored and as the REST interface takes it. See docs/calls.md for each field."""

    name: Name
    description: str = Field(default="", max_length=500)
    prompt: str = Field(min_length=1, max_length=100_000, pattern=r"\S")
    mode: Mode = Mode.CASCADE
    stt: ModelChoice | None = None
    llm: ModelChoice | None = None
    tts: ModelChoice | None = None
    realtime: ModelChoice | None = None
    speaks_first: bool = True
    assistant_start_instruction: Text = ""
    tools: list[Name] = Field(default_factory=list, max_length=64)
    transfer_destinations: Destinations = Field(default_factory=dict)
    language: Annotated[str, AfterValidator(_check_language)] = "en"
    interaction: Interaction = Interaction()
    end_call: EndCall = EndCall()
    end_call_webhook: EndCallWebhook | None = None
    recording: bool = True
    active: bool = True
    public: bool = False
    examples: Annotated[list[Example], Field(max_length=10), AfterValidator(_check_texts)] = Field(
        default_factory=list
    )

    @model_validator(mode="after")
    def _each_tool_once(self) -> Self:
        twice = sorted({tool for tool in self.tools if self.tools.count(tool) > 1})
        if twice:
            raise ValueError(f"tools names {', '.join(twice)} more than once")
        return self
