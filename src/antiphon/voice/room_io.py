"""Joins a session to a room: the user's audio and text in, the agent's voice, transcript, state and metrics out.

What is published on topic `antiphon` is described in docs/web-protocol.md.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..models.errors import ConfigurationError, describe
from ..rooms import (
    Participant,
    ParticipantKind,
    RemoteAudioTrack,
    Room,
    RoomDisconnected,
    RoomEvent,
    TextMessage,
)
from .events import (
    AgentStateChanged,
    Backchannel,
    CloseReason,
    ConversationItemAdded,
    ErrorOccurred,
    FunctionToolsExecuted,
    MetricsCollected,
    SessionClosed,
    SessionEvent,
    UserInputTranscribed,
    UserStateChanged,
)
from .recognition import NoiseFilter
from .task_scope import TaskScope

if TYPE_CHECKING:
    from .agent_session import AgentSession

logger = logging.getLogger(__name__)

TOPIC = "antiphon"
CHAT_TOPIC = "chat"
PROGRESS_INTERVAL = 0.2  # seconds between two updates of the words heard
PUBLISH_TIMEOUT = 5.0


@dataclass(frozen=True)
class NoiseCancellationParams:
    """What a noise cancellation selector decides by."""

    participant: Participant
    track: RemoteAudioTrack


@dataclass(frozen=True)
class AudioInputOptions:
    """How the user's audio is treated.

    `noise_cancellation`: an object with `stream()` (as `noise_cancellation.BVC()`), a processor, or a function from
    `NoiseCancellationParams` to one of them; None: nothing is done.
    """

    noise_cancellation: Any = None


@dataclass(frozen=True)
class RoomOptions:
    """What a session uses of its room.

    Attributes:
        audio_input: False: the user's audio is ignored.
        audio_output: False: replies are text.
        text_input: whether typed text is taken as a turn.
        participant_identity: listen to this participant; None: to the first who is no agent.
        close_on_disconnect: the session closes when that participant leaves.
        output_sample_rate: of the agent's track.
    """

    audio_input: AudioInputOptions | bool = field(default_factory=AudioInputOptions)
    audio_output: bool = True
    text_input: bool = True
    participant_identity: str | None = None
    close_on_disconnect: bool = True
    output_sample_rate: int = 24000


class RoomIO:
    """One session's place in a room."""

    def __init__(
        self, session: AgentSession[Any], room: Room, options: RoomOptions, scope: TaskScope
    ) -> None:
        self._session = session
        self._room = room
        self._options = options
        self._scope = scope
        self._participant: Participant | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self._outbox: deque[str] = deque()
        self._outbox_filled = asyncio.Event()
        self._utterance = 0
        self._last_said = ("", "")  # the user's last transcript, by its name
        self._last_progress: tuple[str, str] | None = None
        self._room_listeners: list[tuple[str, Callable[..., None]]] = []
        self._publisher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Publish the agent's track and listen to the user, now or when they come."""
        if self._options.audio_output and self._session.tts is not None:
            self._session.conversation.playout.output = await self._room.publish_audio(
                "agent", sample_rate=self._options.output_sample_rate
            )
        self._listen(RoomEvent.TRACK_SUBSCRIBED, self._track_subscribed)
        self._listen(RoomEvent.PARTICIPANT_LEFT, self._participant_left)
        self._listen(RoomEvent.DISCONNECTED, self._disconnected)
        if self._options.text_input:
            self._listen(RoomEvent.TEXT_RECEIVED, self._text_received)
        for participant, track in self._room.audio_tracks():
            self._track_subscribed(track, participant)
        self._forward_session_events()
        self._publisher = asyncio.get_running_loop().create_task(self._publish(), name="room publisher")
        self._scope.spawn(self._show_progress(), name="transcript progress")
        self._send_state()

    async def aclose(self) -> None:
        """Send what is left and let go of the room."""
        for event, listener in self._room_listeners:
            self._room.off(event, listener)
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        if self._publisher is not None:
            self._outbox.append("")
            self._outbox_filled.set()
            try:
                async with asyncio.timeout(PUBLISH_TIMEOUT):
                    await self._publisher
            except TimeoutError:
                logger.warning("the room did not take the last messages within %g s", PUBLISH_TIMEOUT)
        output = self._session.conversation.playout.output
        self._session.conversation.playout.output = None
        if output is not None:
            await output.aclose()

    # -- the user --------------------------------------------------------------------------------------------------

    def _listen(self, event: str, listener: Callable[..., None]) -> None:
        self._room.on(event, listener)
        self._room_listeners.append((event, listener))

    def _track_subscribed(self, track: RemoteAudioTrack, participant: Participant) -> None:
        if self._options.audio_input is False or not self._is_user(participant):
            return
        if self._unsubscribe is not None:
            self._unsubscribe()
        self._participant = participant
        self._clean(participant, track)
        self._unsubscribe = track.subscribe(self._session.push_audio)

    def _is_user(self, participant: Participant) -> bool:
        wanted = self._options.participant_identity
        if wanted is not None:
            return participant.identity == wanted
        if participant.kind is ParticipantKind.AGENT:
            return False
        return self._participant is None or participant.identity == self._participant.identity

    def _clean(self, participant: Participant, track: RemoteAudioTrack) -> None:
        """Set up noise cancellation for this participant, as the options choose it."""
        options = self._options.audio_input
        chosen = options.noise_cancellation if isinstance(options, AudioInputOptions) else None
        if callable(chosen) and not hasattr(chosen, "process") and not hasattr(chosen, "stream"):
            chosen = chosen(NoiseCancellationParams(participant, track))
        if chosen is None:
            return
        made = chosen.stream() if hasattr(chosen, "stream") else chosen
        if not hasattr(made, "process"):
            raise ConfigurationError(
                f"noise_cancellation: {type(chosen).__name__} has neither stream() nor process(frame)"
            )
        processor: NoiseFilter = made
        self._session.recognition.use_filter(processor)

    def _text_received(self, message: TextMessage) -> None:
        if message.topic != CHAT_TOPIC or not message.text.strip():
            return
        sender = message.participant
        if sender is None or self._options.participant_identity in (None, sender.identity):
            self._utterance += 1
            self._transcript(f"user_{self._utterance}", "user", message.text.strip(), final=True)
            self._session.input_text(message.text)

    def _participant_left(self, participant: Participant) -> None:
        if self._participant is None:
            gone = participant.kind is not ParticipantKind.AGENT and not any(
                p.kind is not ParticipantKind.AGENT for p in self._room.remote_participants.values()
            )
        else:
            gone = participant.identity == self._participant.identity
        if gone and self._options.close_on_disconnect:
            self._session.shutdown(drain=False, reason=CloseReason.PARTICIPANT_LEFT)

    def _disconnected(self, _reason: str) -> None:
        self._session.shutdown(drain=False, reason=CloseReason.ROOM_CLOSED)

    # -- what the room is told -------------------------------------------------------------------------------------

    def _forward_session_events(self) -> None:
        on = self._session.on
        on(SessionEvent.AGENT_STATE_CHANGED, self._on_state)
        on(SessionEvent.USER_STATE_CHANGED, self._on_state)
        on(SessionEvent.USER_INPUT_TRANSCRIBED, self._on_user_transcript)
        on(SessionEvent.BACKCHANNEL, self._on_backchannel)
        on(SessionEvent.CONVERSATION_ITEM_ADDED, self._on_item)
        on(SessionEvent.METRICS_COLLECTED, self._on_metrics)
        on(SessionEvent.FUNCTION_TOOLS_EXECUTED, self._on_tools)
        on(SessionEvent.ERROR, self._on_error)
        on(SessionEvent.CLOSE, self._on_close)

    def send(self, message: dict[str, Any]) -> None:
        """Publish a message on topic `antiphon`, after those before it."""
        self._outbox.append(json.dumps(message, ensure_ascii=False))
        self._outbox_filled.set()

    async def _publish(self) -> None:
        """Send messages in order until an empty one says that it was the last."""
        while True:
            while self._outbox:
                message = self._outbox.popleft()
                if not message:
                    return
                if not self._room.connected:
                    continue
                try:
                    async with asyncio.timeout(PUBLISH_TIMEOUT):
                        await self._room.publish_data(message, topic=TOPIC)
                except (TimeoutError, OSError, RuntimeError, RoomDisconnected) as error:
                    logger.warning("a message did not reach the room: %s", describe(error))
            self._outbox_filled.clear()
            await self._outbox_filled.wait()

    async def _show_progress(self) -> None:
        """Show the agent's words as they are heard."""
        while True:
            await asyncio.sleep(PROGRESS_INTERVAL)
            progress = self._session.conversation.audible_text()
            if progress is not None and progress[1] and progress != self._last_progress:
                self._last_progress = progress
                self._transcript(progress[0], "assistant", progress[1], final=False)

    def _transcript(
        self,
        name: str,
        role: str,
        text: str,
        *,
        final: bool,
        interrupted: bool = False,
        backchannel: bool = False,
    ) -> None:
        message = {"type": "transcript", "id": name, "role": role, "text": text, "final": final}
        message["interrupted"] = interrupted
        if backchannel:
            message["backchannel"] = True
        self.send(message)

    def _send_state(self) -> None:
        agent, user = self._session.agent_state, self._session.user_state
        self.send({"type": "state", "agent": str(agent), "user": str(user)})

    def _on_state(self, _event: AgentStateChanged | UserStateChanged) -> None:
        self._send_state()

    def _on_user_transcript(self, event: UserInputTranscribed) -> None:
        name = f"user_{self._utterance + 1}"
        if event.is_final:
            self._utterance += 1
            self._last_said = (name, event.transcript)
        self._transcript(name, "user", event.transcript, final=event.is_final)

    def _on_backchannel(self, event: Backchannel) -> None:
        """What was just said takes no turn."""
        name, text = self._last_said
        if event.text == text:
            self._transcript(name, "user", text, final=True, backchannel=True)

    def _on_item(self, event: ConversationItemAdded) -> None:
        item = event.item
        if item.role == "assistant" and item.content:
            self._transcript(item.id, "assistant", item.content, final=True, interrupted=item.interrupted)

    def _on_metrics(self, event: MetricsCollected) -> None:
        latency = event.latency
        if latency.total is None or not latency.answers_turn:
            return
        stages = [
            {"name": name, "start_ms": round(start * 1000), "end_ms": round(end * 1000)}
            for name, start, end in latency.stages()
        ]
        self.send(
            {
                "type": "latency",
                "turn": latency.reply,
                "stages": stages,
                "total_ms": round(latency.total * 1000),
                "interrupted": latency.interrupted,
            }
        )

    def _on_tools(self, event: FunctionToolsExecuted) -> None:
        for tool in event.tools:
            self.send(
                {
                    "type": "tool",
                    "name": tool.call.name,
                    "arguments": _decode(tool.call.arguments),
                    "result": tool.output,
                    "ok": not tool.is_error,
                }
            )

    def _on_error(self, event: ErrorOccurred) -> None:
        self.send({"type": "error", "message": f"{event.source}: {event.error}"})

    def _on_close(self, event: SessionClosed) -> None:
        self.send({"type": "ended", "reason": str(event.reason)})


def _decode(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments
