"""From an assistant document to a conversation: models, agent, tools and controllers of one call.

The owner of the call starts it while the call is set up (`start`), lets it be heard when the call is answered (`open`), and
has it open the conversation when everything is there (`deliver_start_instruction`), as `lifecycle` says.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..assistants.function_tools import FunctionTools, described
from ..audio.wav import AudioFileError
from ..models.errors import ConfigurationError
from ..models.llm import LLM
from ..models.outbound_http import OutboundPolicy
from ..models.realtime import RealtimeModel
from ..models.stt import STT
from ..models.tools import FunctionTool
from ..models.tts import TTS
from ..models.vad import VAD
from ..models.webhook_tool import static_tool, webhook_tool
from ..rooms import AudioOutput, Room
from ..voice import AgentSession, RoomOptions, SpeechHandle
from ..voice.builtin_tools import end_call_tool
from ..voice.controllers import (
    BackgroundAudio,
    BackgroundAudioOptions,
    Controller,
    EndPhraseController,
    EndPhraseOptions,
    FillerController,
    FillerOptions,
    HoldController,
    InputGuard,
    InputGuardOptions,
    KeysController,
    MaxDurationController,
    MaxDurationOptions,
    SilenceWatchdog,
    SilenceWatchdogOptions,
)
from ..voice.turn_detection import AnyTurnDetector, default_detector
from .assistant import Assistant, Interruptions, Mode, TurnDetection
from .assistant_check import USES, create_model
from .document import FieldProblem
from .lifecycle import CallLimits, CallPlan
from .metered_agent import MeteredAgent, ModelUsage
from .status import CallDirection
from .template import Preview, preview
from .tool_definition import ToolDefinition

logger = logging.getLogger(__name__)

OPENING = (
    "You speak first: the call has just been answered. Open the conversation. What to say, or how: {text}"
)
DEFAULT_OPENING = "greet the caller briefly and ask how you can help."
TIME_FOR_GOODBYE = 60.0  # seconds after the announcement of the maximal duration until the call is cut
VOICE_ACTIVITY = "silero/vad"


class CallRuntime:
    """One call of an assistant.

    Attributes:
        session: the conversation; its `close` event tells when and why it ended.
        hold: tell it when the call is put on hold, if the room does not.
        missing: placeholders that had no value.
    """

    def __init__(
        self,
        assistant: Assistant,
        variables: Mapping[str, Any] | None = None,
        *,
        tools: Sequence[FunctionTool] = (),
        room: Room | None = None,
        audio_output: AudioOutput | None = None,
        text_only: bool = False,
        vad: VAD | str = VOICE_ACTIVITY,
        sounds: Path | None = None,
        turn_detector: Path | None = None,
        caller_identity: str | None = None,
    ) -> None:
        """Make everything; nothing runs yet.

        Args:
            assistant: who answers.
            variables: for the placeholders of prompt and start instruction.
            tools: see `make_tool`; `end_call` comes by itself when the assistant may hang up.
            room: where the caller is.
            audio_output: where the voice goes when there is no room.
            text_only: the caller types and reads.
            vad: the voice activity detector.
            sounds: the folder of WAV files for background and thinking sounds.
            turn_detector: a model file for turn detection by words; None: that of this installation.
            caller_identity: who in the room is the caller; None: the first who is no agent.

        Raises:
            ConfigurationError: a model cannot be used.
        """
        self.assistant = assistant
        texts = _texts(assistant, variables or {})
        self.missing = texts.missing
        self._start_instruction = texts.start_instruction.strip()
        self._room = room
        self._room_options = RoomOptions(participant_identity=caller_identity)
        self._audio_output = audio_output
        self._sounds = None if text_only else _sound_options(assistant, sounds)
        self._models: dict[str, STT | LLM | TTS | RealtimeModel] = {
            kind: _make_model(assistant, kind, text_only=text_only)
            for kind in USES[assistant.mode]
            if not text_only or kind in ("llm", "realtime")
        }
        models: dict[str, Any] = dict(self._models)
        self.session: AgentSession[None] = AgentSession(
            **models,
            vad=None if text_only else vad,
            turn_detection="vad" if text_only else _turn_detection(assistant, turn_detector),
            language=assistant.language,
            **_turn_options(assistant.interaction.interruptions),
        )
        ending = [end_call_tool(assistant.end_call.message)] if assistant.end_call.enabled else []
        self._agent = MeteredAgent(instructions=texts.prompt, tools=[*tools, *ending])
        self._controllers = [*_make_controllers(assistant), KeysController(room=room)]
        self.hold = HoldController(_quiet_on_hold(self._controllers), room=room)
        self._open = False
        self._started = False

    @property
    def usage(self) -> ModelUsage:
        """What the models were asked for so far."""
        return self._agent.usage

    @property
    def heard_seconds(self) -> float:
        """How much of the caller's audio came so far."""
        return self.session.conversation.clock.received if self._started else 0.0

    async def start(self) -> None:
        """Load models and listen; returns when the agent is ready. Nothing is said yet."""
        self._started = True
        await self.session.start(
            self._agent, room=self._room, room_options=self._room_options, audio_output=self._audio_output
        )

    async def open(self) -> None:
        """The call is answered: limits and silences count from now. Safe to call twice."""
        if self._open or self.session.closed:
            return
        self._open = True
        if self._room is not None and self._sounds is not None:
            try:
                self._controllers.append(await BackgroundAudio.publish(self._room, self._sounds))
            except (AudioFileError, OSError) as error:
                logger.warning("assistant %r: there is no sound behind it: %s", self.assistant.name, error)
        for controller in (*self._controllers, self.hold):
            controller.attach(self.session)

    def deliver_start_instruction(self) -> SpeechHandle | None:
        """Let the agent open the conversation, if it speaks first."""
        if not self.assistant.speaks_first:
            return None
        text = self._start_instruction or DEFAULT_OPENING
        return self.session.generate_reply(instructions=OPENING.format(text=text))

    async def aclose(self) -> None:
        """End the conversation and free what was made for it. Safe to call twice."""
        await self.session.aclose()
        for controller in (*self._controllers, self.hold):
            await controller.aclose()
        while self._models:
            _, model = self._models.popitem()
            await model.aclose()


def make_plan(assistant: Assistant, direction: CallDirection, *, text_only: bool = False) -> CallPlan:
    """What the call lifecycle must know of a call of this assistant."""
    limits = CallLimits(max_duration=assistant.interaction.max_duration.seconds + TIME_FOR_GOODBYE)
    if text_only:
        limits = replace(limits, no_rtp=None)
    return CallPlan(direction, limits, record=assistant.recording and not text_only)


def make_tool(
    definition: ToolDefinition,
    call: Mapping[str, Any],
    *,
    policy: OutboundPolicy | None = None,
    functions: FunctionTools | None = None,
) -> FunctionTool:
    """The tool of a document.

    Args:
        definition: the document.
        call: what a web service may know of the call.
        policy: where requests may go.
        functions: the Python functions of this call; tools that share state come from the same one.

    Raises:
        ConfigurationError: its secret or its schema does not do, or its function is not installed.
    """
    if definition.function is not None:
        tool = (functions or FunctionTools()).get(definition.function.name)
        return described(tool, definition.name, definition.description)
    if definition.static is not None:
        return static_tool(
            definition.name, definition.description, definition.static.value, definition.parameters
        )
    webhook = definition.webhook
    assert webhook is not None  # the document has exactly one of the two
    return webhook_tool(
        definition.name,
        definition.description,
        definition.parameters,
        url=webhook.url,
        headers=webhook.headers,
        timeout=webhook.timeout_seconds,
        secret=webhook.secret,
        idempotent=webhook.idempotent,
        context_provider=lambda: call,
        policy=policy,
    )


def _texts(assistant: Assistant, variables: Mapping[str, Any]) -> Preview:
    texts = preview(assistant, variables)
    if texts.missing:
        logger.info("assistant %r: no value for %s", assistant.name, ", ".join(texts.missing))
    return texts


def _make_model(assistant: Assistant, kind: str, *, text_only: bool) -> Any:
    choice = getattr(assistant, kind)
    if choice is None:
        raise ConfigurationError(
            f"assistant {assistant.name!r} has no {kind}; mode {assistant.mode} needs one"
        )
    # Where nobody listens, a realtime model need not speak.
    return create_model(kind, choice, Mode.PIPELINE if text_only else assistant.mode)


def _turn_detection(assistant: Assistant, model: Path | None) -> str | AnyTurnDetector:
    chosen = assistant.interaction.turn_detection
    if assistant.mode is not Mode.CASCADE:
        return "vad"  # there are no words, and the model hears the voice by itself
    return default_detector(model) if chosen is TurnDetection.AUTO else chosen.value


def _turn_options(options: Interruptions) -> dict[str, Any]:
    return {
        "allow_interruptions": options.allowed,
        "min_interruption_duration": options.min_duration_seconds,
        "min_interruption_words": options.min_words,
        "resume_false_interruption": options.resume_after_false_interruption,
        "false_interruption_timeout": options.false_interruption_seconds,
        "min_endpointing_delay": options.min_endpointing_seconds,
        "max_endpointing_delay": options.max_endpointing_seconds,
    }


def _quiet_on_hold(
    controllers: Sequence[Controller],
) -> list[SilenceWatchdog | FillerController | KeysController]:
    """Those that a call on hold tells nothing to."""
    return [
        one for one in controllers if isinstance(one, SilenceWatchdog | FillerController | KeysController)
    ]


def _make_controllers(assistant: Assistant) -> list[Controller]:
    """All but hold, and background audio, which needs the room."""
    interaction = assistant.interaction
    silence, fillers, limit = interaction.silence, interaction.fillers, interaction.max_duration
    made: list[Controller] = [
        MaxDurationController(MaxDurationOptions(limit=limit.seconds, announcement=limit.announcement)),
        FillerController(
            FillerOptions(enabled=fillers.enabled, after=fillers.after_seconds, texts=tuple(fillers.texts)),
            realtime=assistant.mode is Mode.REALTIME,
        ),
        InputGuard(InputGuardOptions(window=interaction.input_guard_seconds)),
    ]
    if silence.enabled:
        made.append(
            SilenceWatchdog(
                SilenceWatchdogOptions(
                    interval=silence.interval_seconds,
                    reprompts=silence.count,
                    texts=tuple(silence.texts),
                    instruction=silence.instruction.strip() or None,
                    goodbye=silence.goodbye,
                )
            )
        )
    if assistant.end_call.enabled and assistant.end_call.phrase:
        options = EndPhraseOptions((assistant.end_call.phrase,), assistant.end_call.message)
        made.append(EndPhraseController(options))
    return made


def _sound_options(assistant: Assistant, folder: Path | None) -> BackgroundAudioOptions | None:
    """What is played behind the conversation. A sound that is missing is left out: a call does not fail for it."""
    background, thinking = assistant.interaction.background_sound, assistant.interaction.thinking_sound
    for problem in missing_sounds(assistant, folder):
        logger.warning("assistant %r: %s: %s", assistant.name, problem.field, problem.message)
    ambience = _sound(background.source, folder) if background.enabled else None
    thoughts = _sound(thinking.source, folder) if thinking.enabled else None
    if ambience is None and thoughts is None:
        return None
    return BackgroundAudioOptions(
        ambience=ambience,
        ambience_level=background.level_dbfs,
        thinking=thoughts,
        thinking_level=thinking.level_dbfs,
    )


def missing_sounds(assistant: Assistant, folder: Path | None) -> list[FieldProblem]:
    """The sounds of an assistant that are not in the folder of sounds; without them it can take calls all the same."""
    problems = []
    for name in ("background_sound", "thinking_sound"):
        sound = getattr(assistant.interaction, name)
        if sound.enabled and _sound(sound.source, folder) is None:
            where = f"in {folder}" if folder is not None else "because there is no folder of sounds"
            field = f"interaction.{name}.source"
            problems.append(FieldProblem(field, f"there is no sound {sound.source!r} {where}"))
    return problems


def _sound(source: str, folder: Path | None) -> str | None:
    """What `BackgroundAudioOptions` takes: a name of its own, or the path of a file in the folder of sounds."""
    if not source.endswith(".wav"):
        return source
    path = folder / source if folder is not None else None
    return str(path) if path is not None and path.is_file() else None
