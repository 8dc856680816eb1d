"""`console`: talk with an agent through this machine's microphone and loudspeaker."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from ..audio import SILENCE_DBFS, AudioFrame, Resampler, rms_dbfs
from ..rooms import Participant, RemoteAudioTrack, RoomEvent
from ..rooms.local import LocalRoom, LocalRooms, LocalSource
from ..turns import AgentState
from ..voice import AgentSession, SessionEvent, UserInputTranscribed
from ..worker import JobDispatcher, WorkerOptions
from .dialogue_view import DialogueView
from .errors import FAILED, complain
from .sound_card import LOUDSPEAKER_RATE, MICROPHONE_RATE, SoundCard
from .terminal import terminal

ROOM = "console"
USER = "user"
REFRESH = 0.1
_METER_FLOOR = -60.0
_METER_WIDTH = 20


async def voice_console(
    options: WorkerOptions,
    *,
    input_device: str | None = None,
    output_device: str | None = None,
    headphones: bool = False,
) -> int:
    """Run the agent in a room with the person at this machine, until Ctrl-C or the end of the call.

    Args:
        options: the agent.
        input_device: number or part of the name of the microphone; None: the system's choice.
        output_device: the same for the loudspeaker.
        headphones: the microphone cannot hear the loudspeaker, so it stays open while the agent speaks and the agent
            can be talked over.

    Returns:
        The exit code: 0, or `FAILED` when the agent failed.

    Raises:
        ConfigurationError: there is no sound card, or the agent's models cannot be used.
        AntiphonError: the agent cannot be started.
    """
    loop = asyncio.get_running_loop()
    rooms = LocalRooms()
    console = terminal()
    started = loop.time()
    screen = _Screen(console, options.agent_name or "agent", lambda: loop.time() - started)
    dispatcher = JobDispatcher(rooms, [options], on_session=screen.attach)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(rooms.aclose)
        stack.push_async_callback(dispatcher.aclose)
        room = await rooms.join(ROOM, USER)
        line = _Line(room, screen, headphones=headphones)
        card = SoundCard(line.from_microphone, input_device=input_device, output_device=output_device)
        stack.callback(card.close)
        line.connect(card)
        card.start()
        job = await dispatcher.start(options.agent_name, ROOM)
        if not headphones:
            console.print(
                "The microphone is closed while the agent speaks, so that it does not hear itself. "
                "With headphones on, --headphones lets you talk over it.",
                style="dim",
            )
        console.print("Ctrl-C ends the call.", style="dim")
        await screen.show(job.wait())
        console.print(f"The call has ended: {job.reason}.", style="dim")
    if job.error is not None:
        complain(f"the agent failed: {job.error}")
        return FAILED
    return 0


class _Line:
    """Between the sound card and the room."""

    def __init__(self, room: LocalRoom, screen: _Screen, *, headphones: bool) -> None:
        self._room = room
        self._screen = screen
        self._headphones = headphones
        self._source: LocalSource = room.publish_source("microphone", MICROPHONE_RATE)
        self._silence = AudioFrame.silence(0.02, MICROPHONE_RATE)
        self._resampler: Resampler | None = None
        self._card: SoundCard | None = None

    def connect(self, card: SoundCard) -> None:
        """Play on `card` what the agent says."""
        self._card = card
        self._room.on(RoomEvent.TRACK_SUBSCRIBED, self._subscribe)

    def from_microphone(self, frame: AudioFrame) -> None:
        """Pass on what the user says, or silence while the loudspeaker would be heard."""
        closed = not self._headphones and (
            self._screen.agent_speaks or (self._card is not None and self._card.playing)
        )
        self._screen.level = None if closed else float(rms_dbfs(frame))
        self._source.push(self._silence if closed else frame)

    def _subscribe(self, track: RemoteAudioTrack, _participant: Participant) -> None:
        track.subscribe(self._heard)

    def _heard(self, frame: AudioFrame) -> None:
        if self._card is None:
            return
        if frame.sample_rate != LOUDSPEAKER_RATE:
            if self._resampler is None or self._resampler.input_rate != frame.sample_rate:
                self._resampler = Resampler(frame.sample_rate, LOUDSPEAKER_RATE)
            frame = self._resampler.push(frame)
        self._card.play(frame)


class _Screen:
    """The dialogue, and under it one line that lives: level, states, the words as they are recognised."""

    def __init__(self, console: Console, agent: str, now: Any) -> None:
        self._console = console
        self._view = DialogueView(console, agent, now=now)
        self._sessions: list[AgentSession[Any]] = []
        self._interim = ""
        self.level: float | None = SILENCE_DBFS

    def attach(self, session: AgentSession[Any]) -> None:
        self._sessions.append(session)
        self._view.attach(session)
        session.on(SessionEvent.USER_INPUT_TRANSCRIBED, self._transcribed)

    @property
    def agent_speaks(self) -> bool:
        return any(s.agent_state is AgentState.SPEAKING for s in self._sessions if not s.closed)

    def _transcribed(self, event: UserInputTranscribed) -> None:
        self._interim = "" if event.is_final else event.transcript

    async def show(self, until: Any) -> None:
        """Keep the line alive until `until` is done."""
        ended = asyncio.ensure_future(until)
        try:
            with Live(self._status(), console=self._console, auto_refresh=False, transient=True) as live:
                while not ended.done():
                    await asyncio.wait([ended], timeout=REFRESH)
                    live.update(self._status(), refresh=True)
        finally:
            ended.cancel()
            await asyncio.wait([ended])

    def _status(self) -> Text:
        line = Text()
        if self.level is None:
            line.append("closed".ljust(_METER_WIDTH), style="dim")
        else:
            share = max(0.0, min(1.0, 1 - self.level / _METER_FLOOR))
            filled = round(share * _METER_WIDTH)
            line.append("█" * filled, style="green").append("·" * (_METER_WIDTH - filled), style="dim")
        state = self._sessions[-1].agent_state if self._sessions else AgentState.IDLE
        line.append(f"  {state}  ", style="bold")
        return line.append(self._interim, style="cyan")
