"""`console --text`: type to an agent and read its answers; the same with lines from a pipe."""

from __future__ import annotations

import asyncio
import sys
import threading
from contextlib import AsyncExitStack
from typing import Any, TextIO

from rich.console import Console

from ..rooms.local import LocalRoom, LocalRooms
from ..voice import AgentSession
from ..worker import JobDispatcher, RunningJob, WorkerOptions
from .conversation_report import ConversationReport
from .dialogue_view import DialogueView
from .errors import FAILED, complain
from .rest import at_rest, wait_for_rest, wait_until
from .terminal import terminal

ROOM = "console"
USER = "user"
GREETING_LIMIT = 15.0
ANSWER_LIMIT = 90.0
DELIVERY_LIMIT = 5.0
ANSWER_PAUSE = 0.02
GREETING_PAUSE = 0.1
"""Seconds of rest; a greeting may begin a moment after the session has."""


async def text_console(options: WorkerOptions, lines: TextIO | None = None) -> int:
    """Run the agent in a room with a user who types.

    Lines are sent one after the other, each once the one before was answered. It ends at the end of the lines, after the
    last answer, or when the agent ends the call.

    Args:
        options: the agent.
        lines: what the user types; None: standard input.

    Returns:
        The exit code: 0, or `FAILED` when the agent failed.

    Raises:
        AntiphonError: the agent cannot be started.
    """
    lines = lines or sys.stdin
    rooms = LocalRooms()
    console = terminal()
    view = DialogueView(console, options.agent_name or "agent", show_user=not lines.isatty())
    report = ConversationReport()

    def attach(session: AgentSession[Any]) -> None:
        # No voice is heard and none is spoken, so nothing is recognised or synthesised.
        session.stt = session.vad = session.tts = None
        report.attach(session)
        view.attach(session)

    dispatcher = JobDispatcher(rooms, [options], on_session=attach)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(rooms.aclose)
        stack.push_async_callback(dispatcher.aclose)
        room = await rooms.join(ROOM, USER)
        job = await dispatcher.start(options.agent_name, ROOM)
        if lines.isatty():
            console.print("Type to the agent; Ctrl-D ends the call.", style="dim")
        await _Typist(room, job, report, console).converse(lines)
    if job.error is not None:
        complain(f"the agent failed: {job.error}")
        return FAILED
    return 0


class _Typist:
    def __init__(
        self, room: LocalRoom, job: RunningJob, report: ConversationReport, console: Console
    ) -> None:
        self._room = room
        self._job = job
        self._report = report
        self._console = console

    async def converse(self, lines: TextIO) -> None:
        """Until the lines or the call are over."""
        loop = asyncio.get_running_loop()
        ended = loop.create_task(self._job.wait(), name="end of the call")
        typing = loop.create_task(self._type(lines), name="typing")
        try:
            await asyncio.wait([ended, typing], return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                self._console.print(f"The call has ended: {self._job.reason}.", style="dim")
        finally:
            for task in (ended, typing):
                task.cancel()
            await asyncio.wait([ended, typing])
        if typing.done() and not typing.cancelled():
            typing.result()

    async def _type(self, lines: TextIO) -> None:
        await wait_until(
            lambda: self._job.entrypoint_returned or bool(self._report.greeting.answers), GREETING_LIMIT
        )
        await wait_for_rest(self._greeted, GREETING_PAUSE, GREETING_LIMIT)
        reader = _LineReader(lines)
        while (line := await reader.read(prompt="> " if lines.isatty() else "")) is not None:
            if line.strip():
                await self._say(line.strip())

    async def _say(self, text: str) -> None:
        known = len(self._report.turns)
        await self._room.send_text(text, topic="chat")
        if not await wait_until(lambda: len(self._report.turns) > known, DELIVERY_LIMIT):
            self._console.print("(the agent does not take what is typed)", style="dim")
        await wait_for_rest(self._at_rest, ANSWER_PAUSE, ANSWER_LIMIT)

    def _at_rest(self) -> bool:
        return at_rest(self._job.sessions)

    def _greeted(self) -> bool:
        return self._at_rest() and bool(self._job.sessions)


class _LineReader:
    """Reads lines in a daemon thread: a read that blocks must not hold up the end of the program."""

    def __init__(self, lines: TextIO) -> None:
        self._lines = lines
        self._loop = asyncio.get_running_loop()

    async def read(self, prompt: str) -> str | None:
        """The next line, None at the end."""
        if prompt:
            print(prompt, end="", flush=True)
        future: asyncio.Future[str | None] = self._loop.create_future()

        def deliver(line: str | None) -> None:
            if not future.done():
                future.set_result(line)

        def read() -> None:
            line = self._lines.readline()
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(deliver, line or None)

        threading.Thread(target=read, name="standard input", daemon=True).start()
        return await future
