"""`antiphon talk`: a whole conversation with a recording as the caller, in real time, without a network."""

from __future__ import annotations

import asyncio
import json
import math
import os
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from ..assistants import AssistantDefinition, load_assistant
from ..audio import Int16Array
from ..models.errors import AntiphonError, ConfigurationError
from ..rooms.local import LocalRoom, LocalRooms
from ..voice import AgentSession
from ..worker import JobDispatcher, RunningJob
from ..worker.assistants import assistant_options
from .conversation_report import ConversationReport
from .dialogue_view import DialogueView
from .errors import FAILED
from .heard_audio import HeardAudio
from .rest import at_rest, wait_for_rest, wait_until
from .terminal import terminal
from .wav_caller import SAMPLE_RATE, WavCaller, read_recording

ROOM = "talk"
GREETING_LIMIT = 20.0
GREETING_PAUSE = 0.3
START_LIMIT = 20.0
ANSWER_LIMIT = 60.0
"""Seconds after the recording has ended that the agent has for its last words."""


@dataclass(frozen=True)
class TalkOptions:
    """What to do.

    Attributes:
        assistant: a built-in assistant's name.
        wav: what the caller says.
        out: where to write what the caller hears.
        report: where to write the report.
        stt, llm, tts: other models than the assistant's.
        quiet: print nothing but errors.
        linger: seconds of rest after which the conversation counts as over.
        at_once: do not wait for the greeting to end.
        whole: play the recording to its end, even if the rest of it is silence.
        max_duration: seconds after which the caller hangs up; None: when the conversation is over.
    """

    assistant: str
    wav: Path
    out: Path | None = None
    report: Path | None = None
    stt: str | None = None
    llm: str | None = None
    tts: str | None = None
    quiet: bool = False
    linger: float = 2.0
    at_once: bool = False
    whole: bool = False
    max_duration: float | None = None


def _check_durations(options: TalkOptions) -> None:
    for name, seconds in (("linger", options.linger), ("max-duration", options.max_duration)):
        if seconds is not None and not 0 <= seconds < math.inf:
            raise ConfigurationError(f"--{name} is a number of seconds, 0 or more, not {seconds:g}")


async def talk(options: TalkOptions) -> int:
    """Hold the conversation.

    Returns:
        The exit code: 0, or `FAILED` when the agent failed.

    Raises:
        ConfigurationError: the assistant, a model, the recording or an option cannot be used, or a file cannot be written.
    """
    _check_durations(options)
    definition = load_assistant(options.assistant)
    samples = await asyncio.to_thread(read_recording, options.wav)
    if options.report is not None:
        _check_writable(options.report)
    console = terminal(quiet=options.quiet)
    conversation = _Conversation(options, definition, samples, console)
    try:
        await conversation.hold()
    finally:
        # A report of what there was, even after a failure.
        conversation.write_report()
    return conversation.exit_code


class _Conversation:
    def __init__(
        self, options: TalkOptions, definition: AssistantDefinition, samples: Int16Array, console: Console
    ) -> None:
        self._options = options
        self._definition = definition
        self._samples = samples
        self._console = console
        self._report = ConversationReport()
        self._view = DialogueView(console, definition.name, now=self._now)
        self._caller: WavCaller | None = None
        self._job: RunningJob | None = None
        self._began = False
        self.exit_code = 0

    def _now(self) -> float:
        """Seconds since the start of the recording; below 0 while it has not begun."""
        return self._caller.now if self._caller is not None and self._began else -1.0

    async def hold(self) -> None:
        rooms = LocalRooms()
        options = self._options
        agent = assistant_options(self._definition, stt=options.stt, llm=options.llm, tts=options.tts)
        dispatcher = JobDispatcher(rooms, [agent], on_session=self._attach)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(rooms.aclose)
            stack.push_async_callback(dispatcher.aclose)
            room = await rooms.join(ROOM, "caller")
            if options.out is not None:
                heard = HeardAudio(options.out, room, self._now)
                stack.callback(heard.close)
            self._console.print("Loading the models …", style="dim")
            await dispatcher.prewarm()
            self._job = await dispatcher.start(self._definition.name, ROOM)
            await self._converse(room, self._job)
        self._sum_up()

    def _attach(self, session: AgentSession[Any]) -> None:
        self._report.attach(session)
        self._view.attach(session)

    async def _converse(self, room: LocalRoom, job: RunningJob) -> None:
        source = room.publish_source("recording", SAMPLE_RATE)
        caller = self._caller = WavCaller(self._samples, source)
        if not self._samples.size:
            caller.started_at = asyncio.get_running_loop().time()
            self._console.print(f"{self._options.wav} holds no audio: there is nothing to answer.")
            return
        if not await wait_until(lambda: source.subscribed or self._over(), START_LIMIT):
            raise AntiphonError(f"the agent did not begin to listen within {START_LIMIT:g} s")
        if not self._options.at_once:
            await wait_for_rest(self._at_rest, GREETING_PAUSE, GREETING_LIMIT)
        if not caller.audible_until:
            self._console.print(f"{self._options.wav} is silent: there is nothing to answer.")
        speaking = asyncio.get_running_loop().create_task(caller.speak(), name="recording")
        await asyncio.sleep(0)
        self._began = True
        try:
            await self._listen(caller, job)
        finally:
            speaking.cancel()
            await asyncio.wait([speaking])

    async def _listen(self, caller: WavCaller, job: RunningJob) -> None:
        """Until the conversation is over, the agent has hung up or time is up."""
        options = self._options
        end = caller.duration if options.whole else min(caller.duration, caller.audible_until)
        limit = end + ANSWER_LIMIT
        if options.max_duration is not None:
            limit = min(limit, options.max_duration)
        ended = asyncio.get_running_loop().create_task(job.wait(), name="end of the call")
        try:
            await asyncio.wait([ended], timeout=min(end, limit))
            if not ended.done():
                resting = asyncio.get_running_loop().create_task(
                    wait_for_rest(self._at_rest, options.linger, limit - caller.now), name="rest"
                )
                await asyncio.wait([ended, resting], return_when=asyncio.FIRST_COMPLETED)
                resting.cancel()
                await asyncio.wait([resting])
        finally:
            ended.cancel()
            await asyncio.wait([ended])
        if not self._at_rest() and not self._over():
            self._console.print(f"Hanging up after {caller.now:.0f} s: the conversation is not over.")

    # -- waiting ---------------------------------------------------------------------------------------------------

    def _over(self) -> bool:
        """Whether the agent's side of the conversation has ended."""
        return bool(self._report.closes) or (self._job is not None and bool(self._job.reason))

    def _at_rest(self) -> bool:
        return at_rest(self._job.sessions if self._job is not None else ())

    # -- the end ---------------------------------------------------------------------------------------------------

    def _sum_up(self) -> None:
        error = self._job.error if self._job is not None else None
        failed = [close for close in self._report.closes if close.error is not None]
        if error is not None or failed:
            self.exit_code = FAILED
        latencies = sorted(
            turn.latency.total
            for turn in self._report.turns
            if turn.latency is not None and turn.latency.total is not None
        )
        turns = f"{len(self._report.turns)} turn{'' if len(self._report.turns) == 1 else 's'}"
        median = f", median response {latencies[len(latencies) // 2]:.2f} s" if latencies else ""
        self._console.print(f"{turns}{median}.", style="dim")

    def write_report(self) -> None:
        if self._options.report is None or self._job is None:
            return
        origin = self._caller.started_at if self._caller is not None else 0.0
        report = self._report.as_dict(origin)
        self._options.report.write_text(
            json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )


def _check_writable(path: Path) -> None:
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ConfigurationError(f"{path} cannot be written")
