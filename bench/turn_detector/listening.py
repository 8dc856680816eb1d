"""Spoken turns through the real pipeline, in real time: Silero VAD, Moonshine, and the session around them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from antiphon.audio import AudioFrame
from antiphon.models.registry import resolve_stt, resolve_vad
from antiphon.models.stt import STT
from antiphon.models.vad import VAD
from antiphon.turns import Event, Final, Interim, SpeechEnded, SpeechStarted
from antiphon.voice import Agent, AgentSession, SessionEvent

from ..signals import FRAME, RATE, quiet_line
from .spoken import Spoken

AFTERWARDS = 4.0  # seconds of quiet line after a turn: more than any setting waits
_HEARD = SpeechStarted | SpeechEnded | Interim | Final


@dataclass(frozen=True)
class Heard:
    """A turn as the pipeline heard it, in seconds of session time.

    Attributes:
        spoken: the turn.
        events: what the turn-taking machine was told of the user, with the times when it was.
        over: when the last sample of the turn came.
        commits: when the session took a turn for finished.
    """

    spoken: Spoken
    events: list[tuple[float, Event]]
    over: float
    commits: list[float]


async def listen(turns: Sequence[Spoken], *, at_once: int, turn_detection: Any) -> list[Heard]:
    """Play each turn to a session of its own, `at_once` of them at a time; takes as long as the turns do."""
    stt, vad = resolve_stt("local/moonshine-tiny"), resolve_vad("silero/vad")
    await asyncio.gather(stt.prewarm(), vad.prewarm())
    places = asyncio.Semaphore(at_once)

    async def one(spoken: Spoken) -> Heard:
        async with places:
            return await _listen(spoken, stt, vad, turn_detection)

    return await asyncio.gather(*(one(spoken) for spoken in turns))


async def _listen(spoken: Spoken, stt: STT, vad: VAD, turn_detection: Any) -> Heard:
    session: AgentSession[None] = AgentSession(
        stt=stt, vad=vad, turn_detection=turn_detection, user_away_timeout=None
    )
    await session.start(Agent(instructions="Listen."))
    conversation = session.conversation
    for role, text in spoken.context:
        conversation.log.context.add_message(role=role, content=text)
    events: list[tuple[float, Event]] = []
    commits: list[float] = []
    clock, dispatch = conversation.clock, conversation.driver.dispatch

    def noted(event: Event) -> None:
        if isinstance(event, _HEARD):
            events.append((clock.now(), event))
        dispatch(event)

    conversation.driver.dispatch = noted  # type: ignore[method-assign]
    session.on(
        SessionEvent.CONVERSATION_ITEM_ADDED,
        lambda event: commits.append(clock.now()) if event.item.role == "user" else None,
    )
    await _play(session, spoken)
    over = clock.at(spoken.seconds)
    await session.aclose()
    return Heard(spoken, events, over, commits)


async def _play(session: AgentSession[None], spoken: Spoken) -> None:
    """The turn and what follows it, each frame when a microphone would deliver it."""
    sound = np.concatenate([spoken.sound, quiet_line(AFTERWARDS)])
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for end in range(FRAME, sound.size + 1, FRAME):
        await asyncio.sleep(max(0.0, begun + end / RATE - loop.time()))
        session.push_audio(AudioFrame(sound[end - FRAME : end], RATE))
